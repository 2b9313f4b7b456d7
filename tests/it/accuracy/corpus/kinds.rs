//! The secrets of the corpus: what the shipped rules' examples show, and variations of it.
//!
//! What is secret about an example is what the redactor changes in the bare example. That a rule finds its own bare
//! example is checked elsewhere; here it is the ground from which everything dressed is judged.

use std::collections::HashSet;
use std::ops::Range;

use egret::redact::{Redactor, Rule};

use super::random::Seeded;

/// A run of so many secret bytes that are still readable is a miss.
const RESIDUE: usize = 6;
/// How often a variation is tried before the example is taken as it stands: a rule may want a checksum.
const TRIES: usize = 3;

/// One secret.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    /// The rule whose example it comes from.
    pub(crate) kind: String,
    /// The secret, with as much around it as the rule needs.
    pub(crate) text: String,
    /// Runs of bytes of which none may be left.
    hidden: HashSet<Vec<u8>>,
    /// How long those runs are.
    length: usize,
}

impl Secret {
    /// What is secret about `text`, if the redactor changes it.
    fn new(redactor: &Redactor, kind: &str, text: &str) -> Option<Self> {
        let (redacted, findings) = redactor.value(text.as_bytes(), &|_| false)?;
        if !findings.iter().any(|finding| &*finding.rule == kind) || redacted.len() != text.len() {
            return None;
        }
        let spans = changed(text.as_bytes(), &redacted);
        let length = spans.iter().map(Range::len).max()?.min(RESIDUE);
        let runs = |text: &[u8]| text.windows(length).map(<[u8]>::to_vec).collect::<HashSet<_>>();
        let left = runs(&redacted);
        let hidden = spans
            .into_iter()
            .flat_map(|span| runs(&text.as_bytes()[span]))
            .filter(|run| !left.contains(run));
        Some(Self {
            kind: kind.to_owned(),
            text: text.to_owned(),
            hidden: hidden.collect(),
            length,
        })
    }

    /// Whether `text` holds enough of the secret to be of use.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        text.windows(self.length).any(|run| self.hidden.contains(run))
    }

    /// The secret without what stands around it in the example, where the rule finds it all the same.
    fn bare(self, redactor: &Redactor) -> Self {
        let ends = |character: char| character.is_whitespace() || "\"'<>(){}[],;".contains(character);
        let parts = self
            .text
            .split(ends)
            .filter(|part| part.len() < self.text.len() && self.is_in(part.as_bytes()));
        let found = parts.filter_map(|part| Self::new(redactor, &self.kind, part));
        let bare = found.max_by_key(|secret| secret.hidden.len());
        match bare {
            Some(bare) if self.hidden.iter().all(|run| bare.hidden.contains(run)) => bare,
            _ => self,
        }
    }

    /// The same with other characters in the secret's place, where the rule finds that too.
    fn varied(&self, redactor: &Redactor, random: &mut Seeded) -> Self {
        let Some((redacted, _)) = redactor.value(self.text.as_bytes(), &|_| false) else {
            return self.clone();
        };
        let spans = changed(self.text.as_bytes(), &redacted);
        let varied = (0..TRIES).find_map(|_| {
            let mut text = self.text.clone().into_bytes();
            for span in &spans {
                vary(&mut text[span.clone()], random);
            }
            let other = Self::new(redactor, &self.kind, &String::from_utf8(text).ok()?)?;
            (other.hidden.len() * 4 > self.hidden.len() * 3).then_some(other)
        });
        varied.unwrap_or_else(|| self.clone())
    }
}

/// All kinds' secrets: each example, and `variations` of it.
pub(crate) fn secrets(redactor: &Redactor, variations: usize, random: &mut Seeded) -> Vec<Secret> {
    let mut secrets = Vec::new();
    // What is packed, or goes by a name only, is found as what it is, which is another kind.
    let is_own = |rule: &&Rule| rule.id() != "packed-secret" && !rule.tags().iter().any(|tag| tag == "generic");
    for rule in redactor.rules().iter().filter(is_own) {
        let before = secrets.len();
        for example in rule.examples() {
            let Some(secret) = Secret::new(redactor, rule.id(), example) else {
                continue;
            };
            let secret = secret.bare(redactor);
            secrets.extend((0..variations).map(|_| secret.varied(redactor, random)));
            secrets.push(secret);
        }
        assert!(secrets.len() > before, "{}: no example is found", rule.id());
    }
    secrets
}

/// Where the two, which are as long, differ. A replacement may hold the very byte that it replaces, so places nearby
/// are one.
fn changed(text: &[u8], redacted: &[u8]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for at in (0..text.len()).filter(|at| text[*at] != redacted[*at]) {
        match spans.last_mut() {
            Some(last) if at < last.end + 4 => last.end = at + 1,
            _ => spans.push(at..at + 1),
        }
    }
    spans
}

/// Each letter and digit by another of the same class.
fn vary(text: &mut [u8], random: &mut Seeded) {
    let digits = text.iter().all(u8::is_ascii_digit);
    let hex = text.iter().all(u8::is_ascii_hexdigit) && !digits;
    for byte in text {
        let class = match byte {
            b'0'..=b'9' => "0123456789",
            b'a'..=b'f' if hex => "abcdef",
            b'A'..=b'F' if hex => "ABCDEF",
            b'a'..=b'z' => "abcdefghijklmnopqrstuvwxyz",
            b'A'..=b'Z' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            _ => continue,
        };
        *byte = class.as_bytes()[random.below(class.len())];
    }
}
