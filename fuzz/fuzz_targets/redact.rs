//! Any cut of any bytes gives the same output and findings, of the same length.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use egret::redact::{FingerprintKey, Redactor, Replacement, Rules};
use libfuzzer_sys::fuzz_target;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    let rules = Arc::new(Rules::builtin().expect("the shipped rules compile"));
    Redactor::new(
        rules,
        Replacement::SameLength,
        FingerprintKey::new(&[1; 32]),
    )
});

// The first byte says how many of the next ones are the lengths of the pieces, over and over.
fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (cuts, text) = rest.split_at(usize::from(*count).min(rest.len()));
    let (expected, findings) = REDACTOR
        .value(text, &|_| false)
        .unwrap_or_else(|| (text.to_vec(), Vec::new()));
    assert_eq!(expected.len(), text.len());
    let mut stream = REDACTOR.stream();
    let mut out = Vec::new();
    let mut rest = Bytes::copy_from_slice(text);
    let mut lengths = cuts.iter().map(|cut| usize::from(*cut) + 1).cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).min(rest.len());
        stream.push(rest.split_to(length), &mut out);
        assert!(expected.starts_with(&out.concat()));
    }
    stream.flush(&mut out);
    assert_eq!(out.concat(), expected);
    assert_eq!(stream.findings(), findings);
});
