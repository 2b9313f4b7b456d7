//! What begins in a text that lies open: the same searches for what comes in and for what lies beneath a layer of it.

use std::ops::Range;

use super::grams::Grams;
use super::rare::RareTexts;
use super::rules::RuleIndex;
use super::runs::RUN;
use super::stems::{self, Stems};

/// How many bytes of what lies beneath a coat must be legible for it to be looked at: less is chance.
pub(super) const LEGIBLE: usize = 12;

/// One of the searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plain {
    Runs,
    Stems,
    Rare,
}

/// The searches for beginnings of a fixed text.
pub(super) struct Texts {
    pub(super) grams: Grams,
    pub(super) stems: Stems,
    pub(super) rare: RareTexts,
}

/// What begins at `at`, and how many bytes tell that it does.
pub(super) struct Begun {
    pub(super) at: usize,
    pub(super) search: Plain,
    pub(super) numbers: Range<u32>,
    pub(super) length: usize,
}

impl Texts {
    /// The rule of that number of a search.
    pub(super) fn rule(&self, search: Plain, number: u32) -> Option<RuleIndex> {
        match search {
            Plain::Runs => self.grams.rule(number),
            Plain::Stems => self.stems.rule(number),
            Plain::Rare => self.rare.rule(number),
        }
    }

    /// All that begins in `text`.
    pub(super) fn all(&self, text: &[u8], mut found: impl FnMut(Begun)) {
        let begun = |at, numbers, search, length| Begun {
            at,
            search,
            numbers,
            length,
        };
        self.grams
            .all(text, |at, numbers| found(begun(at, numbers, Plain::Runs, RUN)));
        each(
            |from| self.stems.find(text, from),
            |at, numbers| found(begun(at, numbers, Plain::Stems, stems::LENGTH)),
        );
        each(
            |from| self.rare.find(text, from),
            |at, numbers| {
                let length = self.rare.length(numbers.start);
                found(begun(at, numbers, Plain::Rare, length));
            },
        );
    }

    /// The first position at the end of `text` from which something could begin, depending on the bytes to come; else the end.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let grams = self.grams.unfinished(text);
        grams.min(self.stems.unfinished(text)).min(self.rare.unfinished(text))
    }
}

fn each(find: impl Fn(usize) -> Option<(usize, Range<u32>)>, mut found: impl FnMut(usize, Range<u32>)) {
    let mut from = 0;
    while let Some((at, numbers)) = find(from) {
        found(at, numbers);
        from = at + 1;
    }
}
