//! The corpus: secrets in every dress and medium, and clean traffic, all made from one seed.
//!
//! Whether a secret was found is not asked of the redactor's findings: what it wrote is read again by decoders of the
//! corpus' own, and six bytes in a row that are still there are a miss.

pub(crate) mod dress;
pub(crate) mod kinds;
pub(crate) mod media;
mod negatives;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod run;
mod vocabulary;

use dress::DRESSES;
use kinds::secrets;
use media::{MEDIA, Position};
use random::Seeded;
use report::Report;
use run::Dressed;

/// Where all of it begins.
pub(crate) const SEED: u64 = 0x6567_7265_7400_0003;

/// Variations of each example in the full report.
const VARIATIONS: usize = 0;
/// Documents of each family of clean traffic.
pub(crate) const CLEAN_EACH: usize = 80;
/// Their least length in bytes.
pub(crate) const CLEAN_LENGTH: usize = 1300;

/// The whole corpus' report: minutes in a build without optimisation.
pub(crate) fn full_report() -> Report {
    let (redactor, mut random) = (run::redactor(), Seeded::new(SEED));
    let secrets = secrets(&redactor, VARIATIONS, &mut random);
    let mut report = run::everything(&redactor, &secrets, &mut random);
    run::clean(&redactor, CLEAN_EACH * 10, CLEAN_LENGTH, &mut random, &mut report);
    report
}

/// Documents to begin fuzzing with: each secret bare, and in some dresses.
pub(crate) fn fuzz_seeds() -> Vec<Vec<u8>> {
    let (redactor, mut random) = (run::redactor(), Seeded::new(SEED));
    let secrets = secrets(&redactor, 0, &mut random);
    let mut seeds = Vec::new();
    for (at, secret) in secrets.iter().enumerate() {
        seeds.push(secret.text.clone().into_bytes());
        for (dress, medium) in DRESSES
            .iter()
            .skip(at % 5)
            .step_by(5)
            .zip(MEDIA.iter().skip(at % 7).cycle())
        {
            let dressed = Dressed::new(secret, dress, medium, Position::Near, &mut random);
            seeds.extend(dressed.map(|dressed| dressed.document.bytes));
        }
    }
    seeds
}
