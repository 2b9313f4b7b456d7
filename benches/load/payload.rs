//! Bodies as MCP servers send them: tool calls with identifiers, hashes, timestamps and prose. The same seed, the same bytes.

use std::fmt::Write;

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, seeded, and nothing secret hangs on it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }

    fn hex(&mut self, length: usize) -> String {
        self.text(b"0123456789abcdef", length)
    }
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

const WORDS: [&str; 48] = [
    "the",
    "request",
    "fails",
    "when",
    "retry",
    "window",
    "overlaps",
    "with",
    "a",
    "deploy",
    "and",
    "we",
    "see",
    "timeouts",
    "in",
    "staging",
    "after",
    "upgrade",
    "to",
    "version",
    "please",
    "check",
    "whether",
    "cache",
    "holds",
    "stale",
    "entries",
    "for",
    "this",
    "customer",
    "because",
    "invoice",
    "total",
    "does",
    "not",
    "match",
    "what",
    "dashboard",
    "shows",
    "caf\u{e9}",
    "Z\u{fc}rich",
    "it\u{2019}s",
    "token",
    "budget",
    "key",
    "metric",
    "secretary",
    "password-less",
];

const TOOLS: [&str; 4] = ["create_issue", "search_messages", "update_page", "run_query"];
const STATES: [&str; 4] = ["open", "closed", "in_progress", "triaged"];

/// A `tools/call` of exactly that many bytes, free of secrets. At least 512 bytes.
pub(crate) fn tool_call(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"{}","arguments":{{"records":["#,
        random.below(100_000),
        random.pick(&TOOLS)
    );
    let tail = r#"],"note":""#;
    let end = r#""}}}"#;
    let room = size - tail.len() - end.len();
    let mut separator = "";
    loop {
        let record = record(&mut random);
        if body.len() + separator.len() + record.len() > room {
            break;
        }
        body.push_str(separator);
        body.push_str(&record);
        separator = ",";
    }
    body.push_str(tail);
    loop {
        let word = random.pick(&WORDS[..32]);
        let left = size - end.len() - body.len();
        if word.len() >= left {
            body.push_str(&".".repeat(left));
            break;
        }
        body.push_str(word);
        body.push(' ');
    }
    body.push_str(end);
    body.into_bytes()
}

fn record(random: &mut Random) -> String {
    let mut record = String::new();
    let number = random.below(90_000);
    write!(
        record,
        r#"{{"id":{},"uuid":"{}-{}-4{}-a{}-{}","number":{number},"state":"{}","sha":"{}","etag":"W/\"{}\"","#,
        random.next() >> 16,
        random.hex(8),
        random.hex(4),
        random.hex(3),
        random.hex(3),
        random.hex(12),
        random.pick(&STATES),
        random.hex(40),
        random.hex(32),
    )
    .expect("a String takes what is written");
    write!(
        record,
        r#""created_at":"2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z","html_url":"https://origin.test/acme/{}/issues/{number}","cursor":"{}=","labels":["bug","area:{}"],"amount":{}.{:02},"#,
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(1000),
        random.pick(&WORDS[..32]),
        random.text(ALPHANUMERIC, 31),
        random.pick(&WORDS[..32]),
        random.below(10_000),
        random.below(100),
    )
    .expect("a String takes what is written");
    let title = prose(random, 6);
    let length = 8 + random.below(60);
    let text = prose(random, length);
    write!(record, r#""title":"{title}","body":"{text}\n\n> \"{title}\""}}"#).expect("a String takes what is written");
    record
}

fn prose(random: &mut Random, words: usize) -> String {
    let words: Vec<&str> = (0..words).map(|_| random.pick(&WORDS)).collect();
    words.join(" ")
}

/// A tool call that carries made-up secrets of kinds that every scanner knows.
pub(crate) fn with_secrets(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let upper = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let call = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "create_issue", "arguments": {
            "aws_access_key_id": format!("AKIA{}", random.text(upper, 16)),
            "github": format!("ghp_{}", random.text(ALPHANUMERIC, 36)),
            "slack": format!("xoxb-{}-{}-{}", random.text(b"123456789", 12), random.text(b"123456789", 12), random.text(ALPHANUMERIC, 24)),
        }},
    });
    call.to_string().into_bytes()
}

/// Bytes without a pattern, for tunnels.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
