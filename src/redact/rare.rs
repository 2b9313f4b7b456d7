//! The search for texts that are rare enough to be looked for everywhere, and too short for [`super::stems`].
//!
//! Few of them together are found with SIMD at full speed; many confuse it. So they are searched for in groups.

use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError, MatchKind, packed};

/// How many groups there are at most.
pub(super) const GROUPS: usize = 4;
/// How many texts one group has at least, before there is another.
const TEXTS: usize = 7;

/// Texts with which matches begin, each with its values.
pub(super) struct RareTexts<T> {
    values: Vec<T>,
    groups: Vec<Group>,
}

/// Texts that are searched for in one pass.
pub(super) struct Group {
    /// None begins with another, so that at each position at most one is found.
    texts: Vec<(Vec<u8>, Range<u32>)>,
    longest: usize,
    search: Search,
    /// Whether one of the texts begins with this byte.
    begins: Box<[bool; 256]>,
}

enum Search {
    Simd(packed::Searcher),
    /// Where there is no SIMD, or there are too many texts for it.
    Automaton(AhoCorasick),
}

impl Search {
    fn new<'a>(texts: impl Iterator<Item = &'a Vec<u8>> + Clone) -> Result<Self, BuildError> {
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
            Self::Simd(search) => search.find(rest),
            Self::Automaton(search) => search.find(rest),
        }?;
        Some((from + hit.start(), hit.pattern().as_usize()))
    }
}

impl<T: Clone + Ord> RareTexts<T> {
    /// Takes in texts, each with a value. Of texts that begin alike the shortest is searched for.
    pub(super) fn new(mut pairs: Vec<(Vec<u8>, T)>) -> Result<Self, BuildError> {
        pairs.sort_unstable();
        pairs.dedup();
        let mut texts: Vec<(Vec<u8>, Range<u32>)> = Vec::new();
        let mut values = Vec::new();
        // Sorted, so that a text stands right behind those that it begins with.
        for (number, (text, value)) in (0..).zip(pairs) {
            values.push(value);
            match texts.last_mut() {
                Some((shorter, of)) if text.starts_with(shorter) => of.end = number + 1,
                _ => texts.push((text, number..number + 1)),
            }
        }
        let size = texts.len().div_ceil(GROUPS).max(TEXTS);
        let groups = texts
            .chunks(size)
            .map(|texts| Group::new(texts.to_vec()))
            .collect::<Result<_, _>>()?;
        Ok(Self { values, groups })
    }
}

impl<T> RareTexts<T> {
    /// At most [`GROUPS`].
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?)
    }
}

impl Group {
    fn new(texts: Vec<(Vec<u8>, Range<u32>)>) -> Result<Self, BuildError> {
        let search = Search::new(texts.iter().map(|(text, _)| text))?;
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

    /// The first of the texts at or after `from`: where, and the numbers of its values.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        let (at, nth) = self.search.find(text, from)?;
        Some((at, self.texts.get(nth)?.1.clone()))
    }

    /// The first position at the end of `text` where one of the texts has begun, else the end.
    pub(super) fn unfinished(&self, text: &[u8], from: usize) -> usize {
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

    #[test]
    fn texts_are_found_or_awaited() {
        let texts = [("abcdef", 1), ("abcd", 2), ("xyz", 4)];
        let rare = RareTexts::new(texts.map(|(text, n)| (text.as_bytes().to_vec(), n)).to_vec()).unwrap();
        let group = &rare.groups()[0];
        let found = |text: &str| {
            let (at, values) = group.find(text.as_bytes(), 1)?;
            Some((at, values.map(|n| *rare.value(n).unwrap()).collect::<Vec<_>>()))
        };
        assert_eq!(found("abcd abcdef"), Some((5, vec![2, 1])));
        assert_eq!(found("..xyz"), Some((2, vec![4])));
        assert_eq!(found("..ab"), None);
        assert_eq!(group.unfinished(b"..ab", 1), 2);
        assert_eq!(group.unfinished(b"..x", 1), 2);
        assert_eq!(group.unfinished(b"....", 1), 4);
    }
}
