//! How well the redactor finds what it should and leaves what it should: a corpus made from a seed, and its floors.
//!
//! Positive: every kind of secret, each in every medium, every encoding and at several positions. Whether one was found
//! is not asked of the redactor's findings: what it wrote is read again by decoders of the corpus' own, and six bytes in
//! a row that are still there are a miss. Negative: realistic traffic of many kinds without any secret.
//!
//! The tests run a sample; `cargo bench --bench redact -- --accuracy` runs it all and prints the tables.

#[allow(dead_code, reason = "the benchmark takes what the tests don't")]
mod corpus;

use egret::redact::Redactor;

use corpus::dress::DRESSES;
use corpus::kinds::{Secret, secrets};
use corpus::media::{MEDIA, Position};
use corpus::random::Seeded;
use corpus::report::Report;
use corpus::run::{self, Dressed};
use corpus::{CLEAN_EACH, CLEAN_LENGTH, SEED};

/// The least recall of a secret that stands as it is.
const PLAIN: f64 = 0.99;
/// The least recall under one encoding, of the sample. Of the whole corpus, which is of other proportions, it is above 0.97.
const ENCODED: f64 = 0.96;
/// The least recall under several encodings upon each other.
const ENCODED_AGAIN: f64 = 0.90;
/// The least share of changed documents that hold a secret.
const PRECISION: f64 = 0.99;
/// The least share of documents that stay whole and well formed around what was replaced.
const WHOLE: f64 = 0.99;
/// The least number of documents of clean traffic.
const CLEAN_DOCUMENTS: usize = 5000;
/// The least size of clean traffic, in bytes.
const CLEAN_BYTES: usize = 8_000_000;

/// The redactor, secrets for it, and what is random about the rest.
fn begin(variations: usize) -> (Redactor, Vec<Secret>, Seeded) {
    let (redactor, mut random) = (run::redactor(), Seeded::new(SEED));
    let secrets = secrets(&redactor, variations, &mut random);
    (redactor, secrets, random)
}

#[track_caller]
fn check_floor(what: &str, value: f64, floor: f64, report: &Report) {
    assert!(value >= floor, "{what}: {value:.4}, and {floor} is the least\n{report}");
}

#[test]
fn the_corpus_can_read_what_it_dresses() {
    let (_, secrets, mut random) = begin(0);
    let mut read = 0;
    for secret in secrets.iter().step_by(3) {
        for medium in MEDIA {
            for dress in DRESSES {
                let Some(dressed) = Dressed::new(secret, dress, medium, Position::First, &mut random) else {
                    continue;
                };
                let (name, document) = (dress.name, &dressed.document.bytes);
                let shown = String::from_utf8_lossy(document);
                assert!(dressed.is_readable_in(document), "{name} in {}: {shown}", medium.name);
                assert!((medium.is_valid)(document), "{name} in {}: {shown}", medium.name);
                read += 1;
            }
        }
    }
    assert!(read > 10_000, "only {read} documents were made");
}

#[test]
fn a_secret_is_hidden_wherever_it_stands_and_however_it_is_dressed() {
    let (redactor, secrets, mut random) = begin(1);
    let report = run::sample(&redactor, &secrets, &mut random);
    check_floor("recall, plain", report.plain().value(), PLAIN, &report);
    check_floor("documents left whole", report.whole().value(), WHOLE, &report);
    check_floor("recall under one encoding", report.encoded().value(), ENCODED, &report);
    check_floor(
        "recall under several",
        report.encoded_again().value(),
        ENCODED_AGAIN,
        &report,
    );
}

#[test]
fn clean_traffic_arrives_byte_for_byte() {
    let (redactor, secrets, mut random) = begin(0);
    let few: Vec<Secret> = secrets.into_iter().step_by(4).collect();
    let mut report = run::sample(&redactor, &few, &mut random);
    run::clean(&redactor, CLEAN_EACH, CLEAN_LENGTH, &mut random, &mut report);
    let (documents, bytes) = report.clean_size();
    assert!(
        documents >= CLEAN_DOCUMENTS && bytes >= CLEAN_BYTES,
        "{documents} documents, {bytes} bytes"
    );
    assert_eq!(report.changed(), Vec::<String>::new(), "{report}");
    check_floor("precision", report.precision(), PRECISION, &report);
}
