//! Characters of a token that are escaped although nothing asks for it, and what begins around them.
//!
//! A token whose beginning, or the run after it, is broken by an escape isn't seen by the other searches. So around each escape that
//! stands for a token byte, or for nothing, the beginnings are looked up in the text that the escapes stand for.

use memchr::{memchr_iter, memchr3_iter};

use super::dress::{Escapes, Unit, is_lead, unit};
use super::prefilter::{Entry, Found, Source};
use super::runs::{RUN, is_token_byte};
use super::stems::{self, Stems};
use super::table::{Gram, Table};

/// The longest character as it is written.
const LONGEST: usize = 32;

/// The search for escapes.
pub(super) struct Triggers {
    /// Whether a gram begins with this byte.
    first: Box<[bool; 256]>,
    /// A bit for each two bytes that a gram begins with.
    two: Box<[u64]>,
}

/// The next escape of either kind.
#[derive(Default)]
pub(super) struct Seen {
    escape: Option<Next>,
    character: Option<Next>,
}

/// The first position from `from` on.
#[derive(Clone, Copy)]
struct Next {
    from: usize,
    at: usize,
}

impl Next {
    /// The first position from `from` on, searched for only if it isn't known.
    fn after(known: &mut Option<Self>, from: usize, search: impl FnOnce() -> usize) -> usize {
        match known {
            Some(next) if (next.from..=next.at).contains(&from) => next.at,
            _ => known.insert(Self { from, at: search() }).at,
        }
    }
}

impl Triggers {
    /// For texts that begin with one of `grams`.
    pub(super) fn new(grams: impl Iterator<Item = Gram>) -> Self {
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
        Self { first, two: two.into() }
    }

    /// The next candidate at or after `from`; `whole` when no bytes follow `text`.
    pub(super) fn next(&self, searches: Searches<'_>, text: &[u8], from: usize, whole: bool, seen: &mut Seen) -> Found {
        let mut at = from;
        loop {
            // What begins before the end of the escape before was looked up around that.
            let passed = at;
            let trigger = Self::trigger(text, at, seen);
            if trigger == text.len() {
                break;
            }
            let (is_part, next) = match unit(text, trigger, whole, Escapes::All) {
                Unit::Byte { byte, next } => (next > trigger + 1 && searches.has(byte), next),
                Unit::Skipped { next } => (true, next),
                Unit::Pause | Unit::End => break,
            };
            if is_part && let Some(found) = self.around(searches, text, passed, trigger, whole) {
                return found;
            }
            at = next;
        }
        Found::NoneBefore(if whole {
            text.len()
        } else {
            self.unfinished(searches, text, from)
        })
    }

    /// The next escape at or after `at`, else the end.
    fn trigger(text: &[u8], at: usize, seen: &mut Seen) -> usize {
        let escape = Next::after(&mut seen.escape, at, || next_escape(text, at));
        let character = Next::after(&mut seen.character, at, || next_beyond_ascii(text, at));
        escape.min(character)
    }

    /// What begins in the run before the escape at `trigger`, or with it, but not before `from`.
    fn around(&self, searches: Searches<'_>, text: &[u8], from: usize, trigger: usize, whole: bool) -> Option<Found> {
        match searches {
            Searches::Grams(grams) => {
                let first = run_before(text, from, trigger);
                (first..=trigger).find_map(|at| self.gram_at(grams, text, at, whole))
            }
            Searches::Stems(stems) => {
                let first = stem_before(from, trigger);
                (first..=trigger).find_map(|at| stem_at(stems, text, at, whole))
            }
        }
    }

    fn gram_at(&self, grams: &Table<Entry>, text: &[u8], at: usize, whole: bool) -> Option<Found> {
        let source = Source::Triggers;
        match spelled(text, at, whole, is_token_byte) {
            Spelled::All(gram) => {
                let numbers = grams.numbers(Gram::from_le_bytes(gram));
                (!numbers.is_empty()).then_some(Found::Candidate { at, source, numbers })
            }
            Spelled::Some(bytes, length) => {
                let begun = bytes.get(..length).is_some_and(|begun| self.begins(begun));
                begun.then_some(Found::NoneBefore(at))
            }
            Spelled::None => None,
        }
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
    fn unfinished(&self, searches: Searches<'_>, text: &[u8], from: usize) -> usize {
        let tail = text.len().saturating_sub(LONGEST).max(from);
        let is_open = |at: &usize| {
            text.get(*at).is_some_and(|byte| is_lead(*byte)) && unit(text, *at, false, Escapes::All) == Unit::Pause
        };
        let end = (tail..text.len()).find(is_open).unwrap_or(text.len());
        let begun = |at: &usize| text.get(*at..end).unwrap_or_default();
        let found = match searches {
            Searches::Grams(grams) => (run_before(text, from, end)..end).find(|at| match begun(at).first_chunk() {
                Some(gram) => grams.hint(Gram::from_le_bytes(*gram)) & 1 == 1,
                None => self.begins(begun(at)),
            }),
            Searches::Stems(stems) => (stem_before(from, end)..end).find(|at| stems.begins(begun(at))),
        };
        found.unwrap_or(end)
    }
}

/// The next byte at or after `at` with which an escape can begin, else the end.
fn next_escape(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let begins = |ahead: &usize| begins_escape(rest.get(*ahead..).unwrap_or_default());
    let first = memchr3_iter(b'\\', b'%', b'&', rest).find(begins);
    let before = first.and_then(|first| rest.get(..first)).unwrap_or(rest);
    let equals = memchr_iter(b'=', before).find(begins);
    equals.or(first).map_or(text.len(), |ahead| at + ahead)
}

/// Whether a text that begins with a byte of escapes may be one.
fn begins_escape(text: &[u8]) -> bool {
    match text {
        [b'\\', next, ..] => matches!(next, b'u' | b'U' | b'x' | b'1'),
        [b'%', next, ..] => next.is_ascii_hexdigit() && !matches!(next, b'0' | b'1' | b'8' | b'9'),
        [b'&', next, ..] => *next == b'#' || next.is_ascii_alphabetic(),
        [b'=', next, ..] => matches!(next, b'\n' | b'\r' | b'\\' | b'2'..=b'7'),
        _ => false,
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

/// The first bytes of a text beneath its escapes.
enum Spelled<const LENGTH: usize> {
    All([u8; LENGTH]),
    /// So many of them; the rest depends on bytes still to come.
    Some([u8; LENGTH], usize),
    None,
}

/// What the text at `at` spells, as far as all bytes are `allowed`.
fn spelled<const LENGTH: usize>(text: &[u8], at: usize, whole: bool, allowed: fn(u8) -> bool) -> Spelled<LENGTH> {
    let mut bytes = [0; LENGTH];
    let mut at = at;
    let mut length = 0;
    while let Some(place) = bytes.get_mut(length) {
        match unit(text, at, whole, Escapes::All) {
            Unit::Byte { byte, next } if allowed(byte) => {
                *place = byte;
                length += 1;
                at = next;
            }
            Unit::Skipped { next } if length > 0 => at = next,
            Unit::Pause => return Spelled::Some(bytes, length),
            Unit::Byte { .. } | Unit::Skipped { .. } | Unit::End => return Spelled::None,
        }
    }
    Spelled::All(bytes)
}

/// What is looked up around an escape.
#[derive(Clone, Copy)]
pub(super) enum Searches<'a> {
    /// What begins a token.
    Grams(&'a Table<Entry>),
    /// What begins anything else.
    Stems(&'a Stems<Entry>),
}

impl Searches<'_> {
    /// Whether an escape that stands for `byte` may be a part of it.
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Grams(_) => is_token_byte(byte),
            Self::Stems(_) => byte.is_ascii_graphic(),
        }
    }
}

/// The first position from which a stem could reach `end`; not before `from`.
fn stem_before(from: usize, end: usize) -> usize {
    end.saturating_sub(stems::LENGTH - 1).max(from)
}

fn stem_at(stems: &Stems<Entry>, text: &[u8], at: usize, whole: bool) -> Option<Found> {
    let source = Source::Spelled;
    match spelled(text, at, whole, |byte| byte.is_ascii_graphic()) {
        Spelled::All(stem) => {
            let numbers = stems.numbers(stem);
            (!numbers.is_empty()).then_some(Found::Candidate { at, source, numbers })
        }
        Spelled::Some(bytes, length) => {
            let begun = bytes.get(..length).is_some_and(|begun| stems.begins(begun));
            begun.then_some(Found::NoneBefore(at))
        }
        Spelled::None => None,
    }
}
