//! What was found, without the text: the rule, a keyed fingerprint, and how often.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::rules::{RuleIndex, Rules};

/// What findings call a value that was told never to leave. No rule has that id.
pub const KNOWN_SECRET: &str = "known-secret";
/// How many different secrets one stream tells apart; those beyond are counted by rule only.
const DISTINCT: usize = 64;

/// The key under which fingerprints are made. Without it a fingerprint can't be checked against a guessed secret.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    /// A key from 32 random bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC itself pads a shorter key with zeros to the hash's block.
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Self(Hmac::new(&block.into()))
    }

    pub(super) fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        let mut mac = self.0.clone();
        mac.update(secret);
        let whole = mac.finalize().into_bytes();
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(whole) {
            *to = from;
        }
        Fingerprint(short)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// The first 64 bits of a secret's HMAC-SHA-256, shown as 16 hexadecimal digits: tells two secrets apart, and nothing
/// else about them. Of a secret that outgrew its rule's window it covers the part within the window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// The `nth` of up to eight characters of `alphabet` that differ with the secret.
    pub(super) fn character(self, nth: usize, alphabet: &[u8]) -> u8 {
        let byte = self.0.get(nth).map_or(0, |byte| usize::from(*byte));
        alphabet.get(byte % alphabet.len().max(1)).copied().unwrap_or(b'X')
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Arc<str>,
    /// How often it was replaced; at least 1.
    pub count: u32,
    /// Which secret it was. `None` for those beyond the number of different secrets that one stream tells apart.
    pub fingerprint: Option<Fingerprint>,
}

impl Finding {
    /// Whether both are of one secret, as far as they tell.
    pub fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule && self.fingerprint == other.fingerprint
    }
}

/// The findings of one stream, in the order of their first occurrence, bounded.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: Vec<(RuleIndex, Option<Fingerprint>, u32)>,
    distinct: usize,
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn add(&mut self, rule: RuleIndex, fingerprint: Fingerprint) {
        self.add_all(rule, Some(fingerprint), 1);
    }

    /// Adds another's findings.
    pub(super) fn merge(&mut self, other: Self) {
        for (rule, fingerprint, count) in other.entries {
            self.add_all(rule, fingerprint, count);
        }
    }

    fn add_all(&mut self, rule: RuleIndex, fingerprint: Option<Fingerprint>, count: u32) {
        if self.raise(rule, fingerprint, count) {
            return;
        }
        let distinct = fingerprint.is_some();
        if distinct && self.distinct == DISTINCT {
            return self.add_all(rule, None, count);
        }
        self.distinct += usize::from(distinct);
        self.entries.push((rule, fingerprint, count));
    }

    fn raise(&mut self, rule: RuleIndex, fingerprint: Option<Fingerprint>, more: u32) -> bool {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.0 == rule && entry.1 == fingerprint);
        if let Some((.., count)) = entry {
            *count = count.saturating_add(more);
            return true;
        }
        false
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self, rules: &Rules) -> Vec<Finding> {
        self.distinct = 0;
        self.entries
            .drain(..)
            .map(|(rule, fingerprint, count)| {
                let rule = match rules.rule(rule) {
                    Some(rule) => Arc::clone(rule.shared_id()),
                    None => Arc::from(KNOWN_SECRET),
                };
                Finding {
                    rule,
                    count,
                    fingerprint,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_keyed_and_shows_16_digits() {
        let one = FingerprintKey::new(&[1; 32]).fingerprint(b"secret");
        let other = FingerprintKey::new(&[2; 32]).fingerprint(b"secret");
        assert_ne!(one, other);
        assert_eq!(one, FingerprintKey::new(&[1; 32]).fingerprint(b"secret"));
        assert_eq!(one.to_string().len(), 16);
    }

    #[test]
    fn a_key_shows_nothing() {
        assert_eq!(format!("{:?}", FingerprintKey::new(&[7; 32])), "FingerprintKey(..)");
    }

    #[test]
    fn a_tally_is_bounded() {
        let rules = Rules::builtin().unwrap();
        let key = FingerprintKey::new(&[0; 32]);
        let mut tally = Tally::default();
        for n in 0..1000_u32 {
            tally.add(RuleIndex::default(), key.fingerprint(&n.to_be_bytes()));
        }
        let findings = tally.drain(&rules);
        assert_eq!(findings.len(), DISTINCT + 1);
        assert_eq!(findings.iter().map(|finding| finding.count).sum::<u32>(), 1000);
        assert!(tally.is_empty());
    }
}
