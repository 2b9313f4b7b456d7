//! Clean traffic of several kinds, made from a seed.

use std::fmt::Write as _;

use bytes::Bytes;

/// How large an input is.
const SIZE: usize = 256 << 20;

/// One kind of traffic.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    add: fn(&mut Seeded, &mut String),
}

pub(crate) const INPUTS: &[Input] = &[
    Input {
        name: "hash-dense JSON",
        add: hash_dense_json,
    },
    Input {
        name: "lifelike JSON",
        add: lifelike_json,
    },
    Input {
        name: "prose",
        add: prose,
    },
    Input {
        name: "source code",
        add: code,
    },
    Input {
        name: "base64 images",
        add: base64_images,
    },
    Input {
        name: "URL-dense",
        add: urls,
    },
];

impl Input {
    pub(crate) fn body(&self) -> Bytes {
        let mut random = Seeded(0x5eed_0001);
        let mut text = String::with_capacity(SIZE + 64 * 1024);
        while text.len() < SIZE {
            (self.add)(&mut random, &mut text);
        }
        text.truncate(SIZE);
        text.into()
    }
}

/// A xorshift generator: the same inputs every time, and fast enough for hundreds of megabytes.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.bits() % bound).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Appends `length` characters out of 64, some of which may be the same.
    fn text(&mut self, alphabet: &[u8; 64], length: usize, text: &mut String) {
        let mut left = length;
        while left > 0 {
            let mut bits = self.bits();
            for _ in 0..left.min(10) {
                text.push(char::from(alphabet[usize::try_from(bits & 63).unwrap()]));
                bits >>= 6;
            }
            left = left.saturating_sub(10);
        }
    }

    fn of(&mut self, alphabet: &[u8; 64], length: usize) -> String {
        let mut text = String::with_capacity(length);
        self.text(alphabet, length, &mut text);
        text
    }

    fn hex(&mut self, length: usize) -> String {
        self.of(HEX, length)
    }

    fn uuid(&mut self) -> String {
        let [one, two, three, four, five] = [8, 4, 3, 3, 12].map(|length| self.hex(length));
        format!("{one}-{two}-4{three}-8{four}-{five}")
    }

    fn words(&mut self, count: usize, text: &mut String) {
        for _ in 0..count {
            text.push_str(self.pick(WORDS));
            text.push(' ');
        }
    }
}

const HEX: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WORDS: &[&str] = &[
    "the",
    "request",
    "was",
    "answered",
    "by",
    "an",
    "origin",
    "that",
    "nobody",
    "had",
    "listed",
    "and",
    "which",
    "is",
    "therefore",
    "could",
    "not",
    "be",
    "reached",
    "from",
    "this",
    "workload",
    "until",
    "somebody",
    "configured",
    "of",
    "a",
    "to",
    "in",
    "it",
    "for",
    "on",
    "with",
    "as",
    "one",
    "we",
];
const FIELDS: &[&str] = &[
    "id",
    "name",
    "title",
    "description",
    "created_at",
    "status",
    "author",
    "labels",
    "content",
    "total_count",
];
const CODE: &[&str] = &[
    "    let connection = self.pool.checkout(&target).await?;\n",
    "fn resolve_address(name: &CanonicalHost) -> Result<VettedAddrs, DenyReason> {\n",
    "import { createServer } from 'node:http';\n",
    "        return response_headers.get(\"content-security-policy\", default_policy_value)\n",
    "#[derive(Debug, Clone, PartialEq)]\n",
    "    // see https://example.com/documentation/reference-manual.html#section\n",
    "    for (const [key, value] of Object.entries(environment)) {\n",
    "self.assertEqual(expected_number_of_records, len(records))\n",
    "}\n\n",
    "use crate::policy::decision::{Decision, DenyReason, Permit};\n",
    "    static readonly DEFAULT_CONNECTION_TIMEOUT_MILLISECONDS = 30_000;\n",
    "  if err := json.NewDecoder(resp.Body).Decode(&repositoryCollaborators); err != nil {\n",
];

/// Nothing but identifiers: what traffic of models and tools is at its densest.
fn hash_dense_json(random: &mut Seeded, text: &mut String) {
    let (sha, id, cursor) = (random.hex(64), random.hex(32), random.of(BASE64, 44));
    let url = format!("https://api.example.com/v1/{id}");
    write!(
        text,
        r#"{{"id":"{id}","sha256":"{sha}","cursor":"{cursor}","role":"assistant","url":"{url}"}},"#
    )
    .unwrap();
}

/// A list of issues as an API answers it: identifiers, times, links and prose.
fn lifelike_json(random: &mut Seeded, text: &mut String) {
    let (id, sha) = (random.uuid(), random.hex(40));
    let (number, second) = (random.below(100_000), random.below(60));
    let field = random.pick(FIELDS);
    write!(
        text,
        r#"{{"id":"{id}","number":{number},"head":{{"sha":"{sha}","ref":"main"}},"created_at":"2026-03-03T10:11:{second:02}Z","{field}":{number},"html_url":"https://github.example.com/org/repository/issues/{number}","body":""#
    )
    .unwrap();
    let count = 10 + random.below(60);
    random.words(count, text);
    text.push_str(r#"","labels":[{"name":"bug","color":"d73a4a"}],"comments":3,"locked":false},"#);
}

fn prose(random: &mut Seeded, text: &mut String) {
    let count = 5 + random.below(15);
    random.words(count, text);
    text.pop();
    if random.below(200) == 0 {
        text.push_str(" internationalization");
    }
    text.push_str(random.pick(&[". ", ", ", ".\n"]));
}

fn code(random: &mut Seeded, text: &mut String) {
    text.push_str(random.pick(CODE));
}

/// Images as models are sent them.
fn base64_images(random: &mut Seeded, text: &mut String) {
    text.push_str(r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo"#);
    random.text(BASE64, 40_000, text);
    text.push_str("==\"}},");
}

/// A crawl's links.
fn urls(random: &mut Seeded, text: &mut String) {
    let (name, other, hash) = (random.pick(WORDS), random.pick(WORDS), random.hex(12));
    let page = random.below(1000);
    writeln!(
        text,
        "https://{name}.example.com:8443/{other}/{hash}/page-{page}.html?utm_source={other}&q={name}#top"
    )
    .unwrap();
}
