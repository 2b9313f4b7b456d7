//! Sends the corpus through the redactor and judges what comes out.

use bytes::Bytes;
use egret::redact::{Finding, FingerprintKey, Redactor, Replacement, Rules};

use super::dress::{DRESSES, Dress, Layer};
use super::kinds::Secret;
use super::media::{Document, MEDIA, Medium, Position};
use super::negatives::FAMILIES;
use super::random::Seeded;
use super::report::{Case, Clean, Outcome, Report};

/// The largest piece that a document is sent in.
const PIECE: usize = 4096;

/// A redactor of the shipped rules.
pub(crate) fn redactor() -> Redactor {
    let rules = Rules::builtin().unwrap().into();
    Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[7; 32]))
}

/// A secret in a dress in a medium.
pub(crate) struct Dressed<'a> {
    secret: &'a Secret,
    dress: &'a Dress,
    medium: &'a Medium,
    /// Layers that changed something, the medium's own among them.
    pub(crate) depth: usize,
    pub(crate) document: Document,
}

impl<'a> Dressed<'a> {
    /// Nothing when the medium can't hold what the dress makes.
    pub(crate) fn new(
        secret: &'a Secret,
        dress: &'a Dress,
        medium: &'a Medium,
        position: Position,
        random: &mut Seeded,
    ) -> Option<Self> {
        let mut depth = 0;
        let mut put_on = |layers: &[Layer], text: Vec<u8>, random: &mut Seeded| {
            layers.iter().fold(text, |text, layer| {
                let dressed = layer.apply(&text, random);
                depth += usize::from(dressed != text);
                dressed
            })
        };
        let text = put_on(dress.layers, secret.text.clone().into_bytes(), random);
        if !medium.can_hold(&text, dress.is_binary()) {
            return None;
        }
        let written = put_on(medium.layers, text, random);
        let document = medium.document(&written, position, random);
        Some(Self {
            secret,
            dress,
            medium,
            depth,
            document,
        })
    }

    /// What a reader who knows the medium and the dress makes of a document.
    fn read(&self, document: &[u8]) -> Vec<u8> {
        let written = document[self.document.value.clone()].to_vec();
        let layers = self.dress.layers.iter().chain(self.medium.layers).rev();
        layers.fold(written, |text, layer| layer.undo(&text))
    }

    /// Whether that reader finds the secret in it.
    pub(crate) fn is_readable_in(&self, document: &[u8]) -> bool {
        self.secret.is_in(&self.read(document))
    }

    fn judge(&self, redacted: &[u8]) -> Outcome {
        let bytes = &self.document.bytes;
        let value = &self.document.value;
        if redacted.len() != bytes.len() {
            return Outcome::Broken;
        }
        let around = |text: &[u8]| [&text[..value.start], &text[value.end..]].concat();
        if self.is_readable_in(redacted) {
            Outcome::Missed
        } else if self.medium.is_clean_around && around(redacted) != around(bytes) || !(self.medium.is_valid)(redacted)
        {
            Outcome::Broken
        } else {
            Outcome::Found
        }
    }

    /// Redacts it and judges.
    fn tried(&self, redactor: &Redactor, position: Position, random: &mut Seeded) -> Case {
        let (redacted, findings) = redact(redactor, &self.document.bytes, random);
        Case {
            kind: self.secret.kind.clone(),
            medium: self.medium.name,
            dress: self.dress.name,
            position: position.name(),
            depth: self.depth,
            outcome: self.judge(&redacted),
            named: findings.iter().any(|finding| *finding.rule == *self.secret.kind),
        }
    }
}

/// Redacts a document as a whole, or as a stream of pieces.
fn redact(redactor: &Redactor, document: &[u8], random: &mut Seeded) -> (Vec<u8>, Vec<Finding>) {
    if random.once_in(2) {
        return redactor
            .value(document, &|_| false)
            .unwrap_or_else(|| (document.to_vec(), Vec::new()));
    }
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut rest = Bytes::copy_from_slice(document);
    let largest = random.between(1, PIECE);
    while !rest.is_empty() {
        stream.push(rest.split_to(random.between(1, largest).min(rest.len())), &mut out);
    }
    stream.flush(&mut out);
    (out.concat(), stream.findings())
}

/// A sample of the corpus: each secret bare in each medium, and in each dress in one.
pub(crate) fn sample(redactor: &Redactor, secrets: &[Secret], random: &mut Seeded) -> Report {
    let mut report = Report::default();
    for secret in secrets {
        for medium in MEDIA {
            let position = near(random);
            let dressed = Dressed::new(secret, &DRESSES[0], medium, position, random);
            report.cases(dressed.map(|dressed| dressed.tried(redactor, position, random)));
        }
        for dress in &DRESSES[1..] {
            let position = near(random);
            let tries = (0..8).find_map(|_| {
                let medium = &MEDIA[random.below(MEDIA.len())];
                Dressed::new(secret, dress, medium, position, random)
            });
            report.cases(tries.map(|dressed| dressed.tried(redactor, position, random)));
        }
    }
    report
}

/// Mostly near the beginning: what is far costs time.
fn near(random: &mut Seeded) -> Position {
    match random.below(40) {
        0 => Position::Far,
        1..=4 => Position::Page,
        5..=12 => Position::First,
        _ => Position::Near,
    }
}

/// The whole corpus: each secret in each dress in each medium that can hold it, at each position in turn.
pub(crate) fn everything(redactor: &Redactor, secrets: &[Secret], random: &mut Seeded) -> Report {
    let mut report = Report::default();
    let mut positions = [[Position::First, Position::Near, Position::Near, Position::Page]; 10].concat();
    positions.push(Position::Far);
    let mut positions = positions.into_iter().cycle();
    for secret in secrets {
        for medium in MEDIA {
            for dress in DRESSES {
                let position = positions.next().unwrap_or(Position::Near);
                let dressed = Dressed::new(secret, dress, medium, position, random);
                report.cases(dressed.map(|dressed| dressed.tried(redactor, position, random)));
            }
        }
    }
    report
}

/// Sends `each` documents of each family of clean traffic, of `length` bytes or somewhat more.
pub(crate) fn clean(redactor: &Redactor, each: usize, length: usize, random: &mut Seeded, report: &mut Report) {
    for family in FAMILIES {
        for _ in 0..each {
            let document = family.document(length, random);
            let (redacted, findings) = redact(redactor, &document, random);
            let changed = if redacted.len() == document.len() {
                document
                    .iter()
                    .zip(&redacted)
                    .filter(|(before, after)| before != after)
                    .count()
            } else {
                document.len()
            };
            report.clean(&Clean {
                family,
                bytes: document.len(),
                changed,
                findings: &findings,
            });
        }
    }
}
