//! What leaves unreadable: finds secrets in bytes on their way out and writes something harmless in their place.
//!
//! The module is pure: bytes in, bytes and findings out. A [`Redactor`] is the whole of the configuration (rules,
//! replacement, fingerprint key); [`Redactor::stream`] redacts a body or a WebSocket message piece by piece, and
//! [`Redactor::value`] a header value, a path or a query, which are there as a whole.
//!
//! What is found depends on the whole byte string alone, never on how it was cut into pieces: a position begins a
//! secret when one of the rules' automata, started there, accepts within the rule's window and its checks agree. The
//! leftmost wins, then the longest, then the rule that stands first. A secret that outgrows its window is replaced
//! to the window's end and on for as long as the rule's automaton stays alive.
//!
//! A file a step: `kinds/`, `pack`, `extend`, `translate`, `reshape`, `rules` and `gather` (packs and their expressions), `automaton`, `lazy`
//! and `beginning` (one rule's expression), `prefilter` with `block`, `runs`, `table`, `grams`, `stems`, `rare`, `numbers` and `words` (how what
//! begins is found in open text), `plain`, `triggers`, `gates`, `view` and `beneath` (the same beneath escapes and codings), `search` (the next
//! place where a secret could begin), `dress` (what it may be coded in), `candidate` and `credit` (what begins there, at what cost), `checks`
//! and `allowlist` (what a match must satisfy besides), `known` (values told never to leave), `packed` (gzip within), `scanner` (decides),
//! `stream` (holds back what is undecided), `replacement`, `findings`.
//!
//! What may be coded is told by which digits stand where, 64 positions at a time; only there a stretch of it is decoded, to look for
//! beginnings. A rule's automaton then reads through the coding byte by byte, so that nothing else is ever unfolded.
//!
//! Deliberately not here: content codings, which the caller undoes and redoes.

mod allowlist;
mod automaton;
mod beginning;
mod beneath;
mod block;
mod byte_set;
mod candidate;
mod checks;
mod credit;
mod dress;
mod endless;
mod error;
mod examples;
mod extend;
mod filter;
mod findings;
mod gates;
mod gather;
mod grams;
mod known;
mod lazy;
mod left;
mod numbers;
mod pack;
mod packed;
mod plain;
mod prefilter;
mod rare;
mod replacement;
mod reshape;
mod rules;
mod runs;
mod scanner;
mod search;
mod stems;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod translate;
mod triggers;
mod view;
mod words;

use std::fmt;
use std::sync::Arc;

pub use error::RuleError;
pub use examples::ExampleFailure;
pub use extend::Source;
pub use findings::{Finding, Fingerprint, FingerprintKey, KNOWN_SECRET};
pub use known::{KnownError, KnownSecrets, VALUE_BYTES_MAX, VALUES_MAX, Weakness};
pub use pack::Severity;
pub use replacement::{Replacement, ReplacementError, Template};
pub use rules::{Note, Rule, RuleIndex, Rules};
pub use stream::Stream;

use findings::Tally;
use scanner::{Piece, Scanner};

/// Rules, replacement and fingerprint key: everything that decides what a byte string becomes. Cheap to clone.
#[derive(Clone)]
pub struct Redactor {
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    rules: Arc<Rules>,
    known: Arc<KnownSecrets>,
    examples_pass: bool,
    replacement: Replacement,
    key: FingerprintKey,
}

impl Redactor {
    /// A redactor that looks for `rules`, writes `replacement` and marks its findings under `key`.
    pub fn new(rules: Arc<Rules>, replacement: Replacement, key: FingerprintKey) -> Self {
        Self {
            settings: Arc::new(Settings {
                rules,
                known: Arc::default(),
                examples_pass: false,
                replacement,
                key,
            }),
        }
    }

    /// The same, which looks for `known` values as well. Its findings call them [`KNOWN_SECRET`].
    #[must_use]
    pub fn with_known(self, known: Arc<KnownSecrets>) -> Self {
        self.with(|settings| settings.known = known)
    }

    /// The same, which lets keys pass that public documentation gives as examples.
    #[must_use]
    pub fn with_examples_passing(self) -> Self {
        self.with(|settings| settings.examples_pass = true)
    }

    /// The same, with what it writes as long as what it replaces.
    #[must_use]
    pub fn keeping_length(&self) -> Self {
        self.clone()
            .with(|settings| settings.replacement = Replacement::SameLength)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Arc::unwrap_or_clone(self.settings);
        change(&mut settings);
        Self {
            settings: Arc::new(settings),
        }
    }

    /// The rules it looks for.
    pub fn rules(&self) -> &Rules {
        &self.settings.rules
    }

    /// Whether what it writes is as long as what it replaces.
    pub fn keeps_length(&self) -> bool {
        matches!(self.settings.replacement, Replacement::SameLength)
    }

    /// A stream for one body, or for the messages of one direction of a WebSocket.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    /// Redacts a value that is there as a whole.
    ///
    /// `at_home` says of which rules a secret may stand here; such a secret stays and is no finding, but another
    /// rule's secret inside it is found all the same. `None` when there is nothing to replace; that allocates nothing.
    pub fn value(&self, text: &[u8], at_home: &dyn Fn(&Rule) -> bool) -> Option<(Vec<u8>, Vec<Finding>)> {
        // Clean bytes before the first secret are counted, not kept as pieces: that allocates nothing.
        let mut clean = 0;
        let mut pieces = Vec::new();
        let mut tally = Tally::default();
        Scanner::default().advance(
            &self.settings,
            text,
            true,
            at_home,
            &mut |piece| match (pieces.is_empty(), piece) {
                (true, Piece::Clean(more)) => clean += more,
                (_, piece) => pieces.push(piece),
            },
            &mut tally,
        );
        if tally.is_empty() {
            return None;
        }
        let mut redacted = Vec::with_capacity(text.len());
        let (before, mut rest) = text.split_at_checked(clean).unwrap_or((text, &[]));
        redacted.extend_from_slice(before);
        for piece in pieces {
            let Some((covered, after)) = rest.split_at_checked(piece.len()) else {
                break;
            };
            rest = after;
            match piece {
                Piece::Clean(_) => redacted.extend_from_slice(covered),
                Piece::Replaced { with, .. } => redacted.extend_from_slice(&with),
            }
        }
        Some((redacted, tally.drain(&self.settings.rules)))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("rules", &self.settings.rules.len())
            .field("replacement", &self.settings.replacement)
            .finish_non_exhaustive()
    }
}
