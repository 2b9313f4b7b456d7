//! Characters of a token that are escaped although nothing asks for it, and what begins around them.
//!
//! A token whose beginning, or the run after it, is broken by an escape isn't seen by the other searches. So around each escape that
//! stands for a token byte, or for nothing, the beginnings are looked up in the text that the escapes stand for.

use aho_corasick::{AhoCorasick, BuildError, MatchKind, packed};

use super::dress::{Unit, is_lead, unit};
use super::prefilter::{Entry, Found, Source};
use super::runs::{RUN, is_token_byte};
use super::table::{Gram, Table};

/// With what an escape of an ASCII character can begin.
const ESCAPES: [&str; 28] = [
    "\\u", "\\x", "\\U", "%2", "%3", "%4", "%5", "%6", "%7", "%C", "%D", "%E", "%F", "%c", "%d", "%e", "%f", "&#",
    "&a", "=\n", "=\r", "=2", "=3", "=4", "=5", "=6", "=7", "\\1",
];
/// The longest character as it is written.
const LONGEST: usize = 32;

/// The search for escapes.
pub(super) struct Triggers {
    escapes: Escapes,
    /// Whether a gram begins with this byte.
    first: Box<[bool; 256]>,
    /// A bit for each two bytes that a gram begins with.
    two: Box<[u64]>,
}

enum Escapes {
    Simd(packed::Searcher),
    Automaton(AhoCorasick),
}

/// The next escape of either kind, from where it was last searched for.
#[derive(Default)]
pub(super) struct Seen {
    escape: Option<usize>,
    character: Option<usize>,
}

impl Triggers {
    /// For texts that begin with one of `grams`.
    pub(super) fn new(grams: impl Iterator<Item = Gram>) -> Result<Self, BuildError> {
        let escapes = match packed::Searcher::new(ESCAPES) {
            Some(search) => Escapes::Simd(search),
            None => Escapes::Automaton(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(ESCAPES)?,
            ),
        };
        let mut first = Box::new([false; 256]);
        let mut two = vec![0_u64; 1 << 10];
        for gram in grams {
            let [one, other, ..] = gram.to_le_bytes();
            if let Some(begins) = first.get_mut(usize::from(one)) {
                *begins = true;
            }
            let pair = u16::from_le_bytes([one, other]);
            if let Some(word) = two.get_mut(usize::from(pair >> 6)) {
                *word |= 1 << (pair & 63);
            }
        }
        Ok(Self {
            escapes,
            first,
            two: two.into(),
        })
    }

    /// The next candidate at or after `from`; `whole` when no bytes follow `text`.
    pub(super) fn next(&self, grams: &Table<Entry>, text: &[u8], from: usize, whole: bool, seen: &mut Seen) -> Found {
        let mut at = from;
        loop {
            let trigger = self.trigger(text, at, seen);
            if trigger == text.len() {
                break;
            }
            let (is_part, next) = match unit(text, trigger, whole) {
                Unit::Byte { byte, next } => (next > trigger + 1 && is_token_byte(byte), next),
                Unit::Skipped { next } => (true, next),
                Unit::Pause | Unit::End => break,
            };
            if is_part && let Some(found) = self.around(grams, text, from, trigger, whole) {
                return found;
            }
            at = next;
        }
        Found::NoneBefore(if whole {
            text.len()
        } else {
            self.unfinished(grams, text, from)
        })
    }

    /// The next escape at or after `at`, else the end.
    fn trigger(&self, text: &[u8], at: usize, seen: &mut Seen) -> usize {
        let escape = match seen.escape {
            Some(known) if known >= at => known,
            _ => *seen.escape.insert(self.escapes.find(text, at)),
        };
        let character = match seen.character {
            Some(known) if known >= at => known,
            _ => *seen.character.insert(next_beyond_ascii(text, at)),
        };
        escape.min(character)
    }

    /// What begins in the run before the escape at `trigger`, or with it, but not before `from`.
    fn around(&self, grams: &Table<Entry>, text: &[u8], from: usize, trigger: usize, whole: bool) -> Option<Found> {
        let first = run_before(text, from, trigger);
        (first..=trigger).find_map(|at| match gram_at(text, at, whole) {
            Beginning::Gram(gram) => {
                let numbers = grams.numbers(gram);
                (!numbers.is_empty()).then_some(Found::Candidate {
                    at,
                    source: Source::Triggers,
                    numbers,
                })
            }
            Beginning::Unfinished(bytes, length) => {
                let begun = bytes.get(..length).is_some_and(|begun| self.begins(begun));
                begun.then_some(Found::NoneBefore(at))
            }
            Beginning::None => None,
        })
    }

    /// Whether a gram can begin so.
    fn begins(&self, text: &[u8]) -> bool {
        match text {
            [] => true,
            [one] => self.first.get(usize::from(*one)).copied().unwrap_or(false),
            [one, other, ..] => {
                let pair = u16::from_le_bytes([*one, *other]);
                self.two
                    .get(usize::from(pair >> 6))
                    .is_some_and(|word| word >> (pair & 63) & 1 == 1)
            }
        }
    }

    /// The first position at the end of `text` from which a token could go on in the bytes still to come, else the end.
    fn unfinished(&self, grams: &Table<Entry>, text: &[u8], from: usize) -> usize {
        let tail = text.len().saturating_sub(LONGEST).max(from);
        let is_open =
            |at: &usize| text.get(*at).is_some_and(|byte| is_lead(*byte)) && unit(text, *at, false) == Unit::Pause;
        let end = (tail..text.len()).find(is_open).unwrap_or(text.len());
        let first = run_before(text, from, end);
        (first..end)
            .find(|at| {
                let begun = text.get(*at..end).unwrap_or_default();
                match begun.first_chunk() {
                    Some(gram) => grams.hint(Gram::from_le_bytes(*gram)) & 1 == 1,
                    None => self.begins(begun),
                }
            })
            .unwrap_or(end)
    }
}

impl Escapes {
    /// The next escape at or after `at`, else the end.
    fn find(&self, text: &[u8], at: usize) -> usize {
        let rest = text.get(at..).unwrap_or_default();
        let hit = match self {
            Self::Simd(search) => search.find(rest),
            Self::Automaton(search) => search.find(rest),
        };
        hit.map_or(text.len(), |hit| at + hit.start())
    }
}

/// How much text is asked at once whether all of it is ASCII.
const STEP: usize = 64;

/// The next byte at or after `at` with which a character beyond ASCII can begin, else the end.
fn next_beyond_ascii(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(block) = text
        .get(at..text.len().min(at + STEP))
        .filter(|block| !block.is_empty())
    {
        if !block.is_ascii()
            && let Some(ahead) = block.iter().position(|byte| *byte >= 0xC0)
        {
            return at + ahead;
        }
        at += block.len();
    }
    text.len()
}

/// Where the run of token bytes begins that ends at `end`; not before `from`, and not a whole run away, since what begins
/// there is found in the run.
fn run_before(text: &[u8], from: usize, end: usize) -> usize {
    let before = text.get(from..end).unwrap_or_default();
    let run = before
        .iter()
        .rev()
        .take(RUN - 1)
        .take_while(|byte| is_token_byte(**byte))
        .count();
    end - run
}

/// The first four bytes of a text beneath its escapes.
enum Beginning {
    Gram(Gram),
    /// So many of them; the rest depends on bytes still to come.
    Unfinished([u8; 4], usize),
    None,
}

fn gram_at(text: &[u8], at: usize, whole: bool) -> Beginning {
    let mut gram = [0; 4];
    let mut at = at;
    let mut length = 0;
    while let Some(place) = gram.get_mut(length) {
        match unit(text, at, whole) {
            Unit::Byte { byte, next } if is_token_byte(byte) => {
                *place = byte;
                length += 1;
                at = next;
            }
            Unit::Skipped { next } if length > 0 => at = next,
            Unit::Pause => return Beginning::Unfinished(gram, length),
            Unit::Byte { .. } | Unit::Skipped { .. } | Unit::End => return Beginning::None,
        }
    }
    Beginning::Gram(Gram::from_le_bytes(gram))
}
