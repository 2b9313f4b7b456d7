//! The search for texts that are rare enough to be looked for everywhere.
//!
//! Long texts are looked for at every fourth byte only. Few short ones together are found with SIMD at full speed; many
//! confuse it. So they are searched for in groups.

use aho_corasick::{AhoCorasick, BuildError, MatchKind, packed};

use super::prefilter::Found;
use super::stems::{self, Stems};

/// How many groups there are at most.
pub(super) const GROUPS: usize = 5;
/// How many short texts one group has at least, before there is another.
const TEXTS: usize = 7;

/// Texts with which matches begin, and the buckets whose matches do.
#[derive(Default)]
pub(super) struct RareTexts {
    texts: Vec<(Vec<u8>, u64)>,
    groups: Vec<Group>,
}

/// Texts that are searched for in one pass.
pub(super) struct Group {
    texts: Vec<(Vec<u8>, u64)>,
    longest: usize,
    search: Search,
    /// Whether one of the texts begins with this byte.
    begins: Box<[bool; 256]>,
}

enum Search {
    Stems(Stems),
    Simd(packed::Searcher),
    /// Where there is no SIMD, or there are too many texts for it.
    Automaton(AhoCorasick),
}

impl Search {
    fn new(texts: &[(Vec<u8>, u64)]) -> Result<Self, BuildError> {
        let texts = texts.iter().map(|(text, _)| text);
        if texts.clone().all(|text| text.len() >= stems::LEAST) {
            return Ok(Self::Stems(Stems::new(texts)));
        }
        if let Some(search) = packed::Searcher::new(texts.clone()) {
            return Ok(Self::Simd(search));
        }
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(texts)
            .map(Self::Automaton)
    }

    /// The first of the texts in `text` at or after `from`: where, and its number.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let rest = text.get(from..)?;
        let hit = match self {
            Self::Stems(search) => return search.find(text, from),
            Self::Simd(search) => search.find(rest),
            Self::Automaton(search) => search.find(rest),
        }?;
        Some((from + hit.start(), hit.pattern().as_usize()))
    }
}

impl RareTexts {
    /// Takes in a text; none that is kept begins with another, so that at each position at most one is found.
    pub(super) fn add(&mut self, text: Vec<u8>, bucket: u64) {
        let shorter = self.texts.iter_mut().find(|(known, _)| text.starts_with(known));
        if let Some((_, buckets)) = shorter {
            *buckets |= bucket;
            return;
        }
        let longer = self.texts.extract_if(.., |(known, _)| known.starts_with(&text));
        let buckets = longer.fold(bucket, |all, (_, buckets)| all | buckets);
        self.texts.push((text, buckets));
    }

    /// Builds the search, after the last text.
    pub(super) fn finish(&mut self) -> Result<(), BuildError> {
        let (long, short): (Vec<_>, Vec<_>) = std::mem::take(&mut self.texts)
            .into_iter()
            .partition(|(text, _)| text.len() >= stems::LEAST);
        let size = short.len().div_ceil(GROUPS - 1).max(TEXTS);
        self.groups = std::iter::once(long.as_slice())
            .filter(|long| !long.is_empty())
            .chain(short.chunks(size))
            .map(|texts| Group::new(texts.to_vec()))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// At most [`GROUPS`].
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }
}

impl Group {
    fn new(texts: Vec<(Vec<u8>, u64)>) -> Result<Self, BuildError> {
        let search = Search::new(&texts)?;
        let longest = texts.iter().map(|(text, _)| text.len()).max().unwrap_or(1);
        let mut begins = Box::new([false; 256]);
        for first in texts.iter().filter_map(|(text, _)| text.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*first)) {
                *begins = true;
            }
        }
        Ok(Self {
            texts,
            longest,
            search,
            begins,
        })
    }

    /// The next of the texts at or after `from`; `whole` when no bytes follow `text`.
    pub(super) fn next(&self, text: &[u8], from: usize, whole: bool) -> Found {
        if let Some((at, nth)) = self.search.find(text, from) {
            let buckets = self.buckets(nth);
            return Found::Candidate { at, buckets };
        }
        if whole {
            return Found::NoneBefore(text.len());
        }
        Found::NoneBefore(self.unfinished(text, from))
    }

    fn buckets(&self, nth: usize) -> u64 {
        self.texts.get(nth).map_or(0, |(_, buckets)| *buckets)
    }

    /// The first position at the end of `text` where one of the texts has begun, else the end.
    fn unfinished(&self, text: &[u8], from: usize) -> usize {
        let first = from.max((text.len() + 1).saturating_sub(self.longest));
        let begun = |tail: &[u8]| {
            let begins = tail.first().and_then(|first| self.begins.get(usize::from(*first)));
            begins == Some(&true) && self.texts.iter().any(|(known, _)| known.starts_with(tail))
        };
        (first..text.len())
            .find(|at| text.get(*at..).is_some_and(begun))
            .unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, whole: bool, expected: Found) {
        let mut rare = RareTexts::default();
        rare.add(b"abcdef".to_vec(), 1);
        rare.add(b"abcd".to_vec(), 2);
        rare.add(b"xyz".to_vec(), 4);
        rare.finish().unwrap();
        assert_eq!(rare.groups()[0].next(text.as_bytes(), 1, whole), expected, "{text}");
    }

    #[test]
    fn texts_are_found_or_awaited() {
        check("abcd abcdef", true, Found::Candidate { at: 5, buckets: 3 });
        check("..xyz", true, Found::Candidate { at: 2, buckets: 4 });
        check("..ab", true, Found::NoneBefore(4));
        check("..ab", false, Found::NoneBefore(2));
        check("..x", false, Found::NoneBefore(2));
        check("....", false, Found::NoneBefore(4));
    }
}
