//! The search for the next place where a secret could begin: all searches together, in the order of the text.

use std::ops::Range;

use super::Settings;
use super::beneath::{Beneath, Hidden};
use super::dress::Dress;
use super::known::KnownSecrets;
use super::plain::Plain;
use super::runs::Starts;

/// The searches, in the order in which their candidates at one position are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Plain(Plain),
    Numbers,
    Words,
    Known,
}

/// How many searches there are.
const SOURCES: usize = 6;

/// A position at which a match could begin beneath a dress, in one of the ways of these numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) at: usize,
    pub(super) dress: Dress,
    pub(super) source: Source,
    pub(super) numbers: Range<u32>,
}

/// What a search for the next candidate came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Candidate(Candidate),
    /// No candidate before this position; from there on it depends on bytes still to come.
    NoneBefore(usize),
}

impl Found {
    pub(super) fn position(&self) -> usize {
        match self {
            Self::Candidate(candidate) => candidate.at,
            Self::NoneBefore(at) => *at,
        }
    }

    /// Whether it comes first.
    #[inline]
    fn is_before(&self, other: &Self) -> bool {
        let (this, that) = (self.position(), other.position());
        this < that || this == that && self.order() < other.order()
    }

    /// What is undecided at a position comes before what is found there.
    fn order(&self) -> (usize, Option<(Dress, Source)>) {
        match self {
            Self::Candidate(candidate) => (candidate.at, Some((candidate.dress, candidate.source))),
            Self::NoneBefore(at) => (*at, None),
        }
    }
}

/// Where the search for candidates stands between two texts: those before this position, and at it those up to this dress and
/// source, have been decided.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) at: usize,
    last: Option<(Dress, Source)>,
}

impl Passed {
    /// All before `at`.
    pub(super) fn to(at: usize) -> Self {
        Self { at, last: None }
    }

    /// All up to that candidate.
    pub(super) fn candidate(at: usize, dress: Dress, source: Source) -> Self {
        Self {
            at,
            last: Some((dress, source)),
        }
    }

    /// Counts positions from the byte at `done` on.
    pub(super) fn rebase(&mut self, done: usize) {
        *self = match self.at.checked_sub(done) {
            Some(at) => Self { at, ..*self },
            None => Self::default(),
        };
    }

    /// The first position that `source` hasn't passed in the text as it lies open.
    fn first(self, source: Source) -> usize {
        let passed = self.last.is_some_and(|last| (Dress::default(), source) <= last);
        self.at + usize::from(passed)
    }

    fn has_passed(self, at: usize, dress: Dress, source: Source) -> bool {
        at < self.at || at == self.at && self.last.is_some_and(|last| (dress, source) <= last)
    }
}

impl Source {
    const ALL: [Self; SOURCES] = [
        Self::Plain(Plain::Runs),
        Self::Plain(Plain::Stems),
        Self::Plain(Plain::Rare),
        Self::Numbers,
        Self::Words,
        Self::Known,
    ];
}

/// The searches for candidates in one text, each of which keeps what it found until the scan has passed it.
#[derive(Default)]
pub(super) struct Search {
    runs: Option<Starts>,
    found: [Option<Found>; SOURCES],
    beneath: Beneath,
    hidden: Option<Found>,
    /// The byte before the text.
    before: Option<u8>,
}

impl Search {
    /// In a text that comes after the byte `before`.
    pub(super) fn after(before: Option<u8>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// The next candidate that has not been passed; `whole` when no bytes follow `text`.
    pub(super) fn next(&mut self, settings: &Settings, text: &[u8], passed: Passed, whole: bool) -> Found {
        let mut next = self.next_hidden(settings, text, passed, whole);
        for (nth, source) in Source::ALL.into_iter().enumerate() {
            let from = passed.first(source);
            let known = self.found.get(nth).and_then(Option::as_ref);
            if known.is_none_or(|found| found.position() < from) {
                let found = self.search(settings, source, text, from, whole);
                if let Some(slot) = self.found.get_mut(nth) {
                    *slot = Some(found);
                }
            }
            if let Some(Some(found)) = self.found.get(nth)
                && found.is_before(&next)
            {
                next = found.clone();
            }
        }
        next
    }

    fn next_hidden(&mut self, settings: &Settings, text: &[u8], passed: Passed, whole: bool) -> Found {
        if let Some(found) = &self.hidden {
            let is_passed = match found {
                Found::NoneBefore(at) => *at < passed.at,
                Found::Candidate(hidden) => passed.has_passed(hidden.at, hidden.dress, hidden.source),
            };
            if !is_passed {
                return found.clone();
            }
        }
        let texts = &settings.rules.prefilter.texts;
        let is_passed = |hidden: &Hidden| passed.has_passed(hidden.at, hidden.dress, Source::Plain(hidden.search));
        let next = self.beneath.next(texts, text, whole, passed.at, is_passed);
        let found = match next {
            Ok(hidden) => Found::Candidate(Candidate {
                at: hidden.at,
                dress: hidden.dress,
                source: Source::Plain(hidden.search),
                numbers: hidden.numbers(),
            }),
            Err(at) => Found::NoneBefore(at),
        };
        self.hidden.insert(found).clone()
    }

    fn search(&mut self, settings: &Settings, source: Source, text: &[u8], from: usize, whole: bool) -> Found {
        let prefilter = &settings.rules.prefilter;
        let texts = &prefilter.texts;
        // What is not finished yet in the open text is told together with what lies beneath it.
        let found = match source {
            Source::Plain(Plain::Runs) => texts.grams.find(text, from, &mut self.runs),
            Source::Plain(Plain::Stems) => texts.stems.find(text, from),
            Source::Plain(Plain::Rare) => texts.rare.find(text, from),
            Source::Numbers => prefilter.next_number(text, from),
            Source::Words => {
                let words = prefilter.words.as_ref();
                return words.map_or(Found::NoneBefore(text.len()), |words| {
                    words.next(text, from, self.before, whole)
                });
            }
            Source::Known => settings.known.next(text, from).map(|at| (at, 0..0)),
        };
        match (found, source) {
            (Some((at, numbers)), _) => Found::Candidate(Candidate {
                at,
                dress: Dress::default(),
                source,
                numbers,
            }),
            (None, Source::Numbers) if !whole => Found::NoneBefore(prefilter.unfinished_number(text, from)),
            (None, Source::Known) if !whole => Found::NoneBefore(unfinished_known(&settings.known, text, from)),
            (None, _) => Found::NoneBefore(text.len()),
        }
    }
}

/// The first position at the end of `text` with which a known secret could begin, else the end.
fn unfinished_known(known: &KnownSecrets, text: &[u8], from: usize) -> usize {
    if known.is_empty() {
        return text.len();
    }
    let first = text.len().saturating_sub(KnownSecrets::SEED - 1).max(from);
    let begun = |at: &usize| text.get(*at..).is_some_and(|rest| known.may_grow(rest));
    (first..text.len()).find(begun).unwrap_or(text.len())
}
