//! Any bytes, cut in any way, under both kinds of replacement: every cut gives the same output and the same findings, nothing
//! is released that the whole would hide, and a replacement of the same length keeps the length.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use egret::redact::{FingerprintKey, Redactor, Replacement, Rules};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| Arc::new(Rules::builtin().expect("the shipped rules compile")));
static SAME_LENGTH: LazyLock<Redactor> = LazyLock::new(|| redactor(Replacement::SameLength));
static TEMPLATE: LazyLock<Redactor> = LazyLock::new(|| redactor("[{rule}]".parse().expect("a template")));

fn redactor(replacement: Replacement) -> Redactor {
    Redactor::new(Arc::clone(&RULES), replacement, FingerprintKey::new(&[1; 32]))
}

/// Redacts `text` whole and in pieces of `lengths` over and over, and gives what both write.
fn check_cuts(redactor: &Redactor, text: &[u8], lengths: &[u8]) -> Vec<u8> {
    let (expected, findings) = redactor
        .value(text, &|_| false)
        .unwrap_or_else(|| (text.to_vec(), Vec::new()));
    let mut stream = redactor.stream();
    let mut released = Vec::new();
    let mut rest = Bytes::copy_from_slice(text);
    let mut lengths = lengths.iter().map(|length| usize::from(*length) + 1).cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).min(rest.len());
        let mut out = Vec::new();
        stream.push(rest.split_to(length), &mut out);
        let already = released.len();
        released.extend(out.into_iter().flatten());
        let new = expected.get(already..released.len());
        assert_eq!(new, released.get(already..), "released what the whole hides");
    }
    let mut out = Vec::new();
    stream.flush(&mut out);
    released.extend(out.into_iter().flatten());
    assert_eq!(released, expected, "a cut changes the output");
    assert_eq!(stream.findings(), findings, "a cut changes the findings");
    expected
}

// The first byte says how many of the next ones are the lengths of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (lengths, text) = rest.split_at(usize::from(*count).min(rest.len()));
    check_cuts(&TEMPLATE, text, lengths);
    let redacted = check_cuts(&SAME_LENGTH, text, lengths);
    assert_eq!(redacted.len(), text.len(), "the length changes");
});
