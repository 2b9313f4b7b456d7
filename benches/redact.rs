//! How fast the redactor is, on one core: clean traffic of four kinds and hostile floods, all made from a seed.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::expect_used, reason = "a benchmark that can't begin may stop")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use egret::redact::{FingerprintKey, Redactor, Replacement, Rules};

const SIZE: usize = 8 << 20;
const CHUNK: usize = 16 << 10;

/// A xorshift generator: the same inputs every time.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let length = u64::try_from(from.len()).unwrap_or(1);
        let at = usize::try_from(self.next() % length).unwrap_or(0);
        from.get(at).copied().expect("not empty")
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(self.pick(alphabet))).collect()
    }
}

fn until_full(mut add: impl FnMut(&mut String)) -> String {
    let mut text = String::with_capacity(SIZE + 1024);
    while text.len() < SIZE {
        add(&mut text);
    }
    text.truncate(SIZE);
    text
}

const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WORDS: [&str; 24] = [
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
];
const CODE: [&str; 10] = [
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
];

fn hash_dense_json() -> String {
    let mut random = Seeded(1);
    until_full(|text| {
        let (sha, id, cursor) = (random.text(HEX, 64), random.text(HEX, 32), random.text(BASE64, 44));
        let written = write!(
            text,
            r#"{{"id":"{id}","sha256":"{sha}","cursor":"{cursor}","role":"assistant","url":"https://api.example.com/v1/{id}"}},"#
        );
        written.expect("strings can be written to");
    })
}

fn words() -> String {
    let mut random = Seeded(2);
    until_full(|text| {
        text.push_str(random.pick(&WORDS));
        text.push_str(random.pick(&[" ", " ", " ", ", ", ".\n"]));
    })
}

fn code() -> String {
    let mut random = Seeded(3);
    until_full(|text| text.push_str(random.pick(&CODE)))
}

fn base64() -> String {
    let mut random = Seeded(4);
    until_full(|text| text.push_str(&random.text(BASE64, 1024)))
}

fn redact(redactor: &Redactor, body: &Bytes) {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut rest = body.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(CHUNK.min(rest.len()));
        stream.push(chunk, &mut out);
        black_box(&out);
        out.clear();
    }
    stream.flush(&mut out);
    black_box(out);
}

fn throughput(c: &mut Criterion) {
    let rules = Arc::new(Rules::builtin().expect("the shipped rules compile"));
    let redactor = Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[1; 32]));
    let mut inputs = vec![
        ("hash-dense json".to_owned(), hash_dense_json()),
        ("prose".to_owned(), words()),
        ("code".to_owned(), code()),
        ("base64".to_owned(), base64()),
    ];
    let floods = [
        "EAAA",
        "://",
        "://a:",
        "ghp_",
        ".eyJ",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "SecretAccessKey=",
        "AIza",
        "1/123456789012345",
        "AKIAABCDEFGHIJKLMNOP ",
        "postgres://a:b@",
    ];
    for flood in floods {
        inputs.push((format!("flood {}", flood.trim()), flood.repeat((1 << 20) / flood.len())));
    }
    let mut group = c.benchmark_group("redact");
    group.sample_size(10);
    group.warm_up_time(std::time::Duration::from_millis(300));
    group.measurement_time(std::time::Duration::from_secs(1));
    for (name, text) in inputs {
        let body = Bytes::from(text);
        group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap_or(u64::MAX)));
        group.bench_function(name, |b| b.iter(|| redact(&redactor, &body)));
    }
    group.finish();
}

fn start_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("rules");
    group.sample_size(10);
    group.bench_function("compile the shipped pack", |b| {
        b.iter(|| black_box(Rules::builtin()));
    });
    group.finish();
}

criterion_group!(benches, throughput, start_up);
criterion_main!(benches);
