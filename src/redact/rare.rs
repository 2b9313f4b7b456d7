//! The search for texts that are rare enough to be looked for everywhere, and too short for [`super::stems`].

use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError, MatchKind, packed};

use super::byte_set::ByteSet;
use super::rules::RuleIndex;

/// Texts with which matches begin, each with its rules.
pub(super) struct RareTexts {
    rules: Vec<RuleIndex>,
    /// None begins with another, so that at each position at most one is found.
    texts: Vec<(Vec<u8>, Range<u32>)>,
    longest: usize,
    /// Nothing when there are no texts.
    search: Option<Search>,
    first: ByteSet,
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

impl RareTexts {
    /// Takes in texts, each with a rule. Of texts that begin alike the shortest is searched for.
    pub(super) fn new(mut pairs: Vec<(Vec<u8>, RuleIndex)>) -> Result<Self, BuildError> {
        pairs.sort_unstable();
        pairs.dedup();
        let mut texts: Vec<(Vec<u8>, Range<u32>)> = Vec::new();
        let mut rules = Vec::new();
        // Sorted, so that a text stands right behind those that it begins with.
        for (number, (text, rule)) in (0..).zip(pairs) {
            rules.push(rule);
            match texts.last_mut() {
                Some((shorter, of)) if text.starts_with(shorter) => of.end = number + 1,
                _ => texts.push((text, number..number + 1)),
            }
        }
        let all = || texts.iter().map(|(text, _)| text);
        let search = (!texts.is_empty()).then(|| Search::new(all())).transpose()?;
        Ok(Self {
            rules,
            longest: all().map(Vec::len).max().unwrap_or(1),
            search,
            first: all().filter_map(|text| text.first().copied()).collect(),
            texts,
        })
    }

    pub(super) fn rule(&self, number: u32) -> Option<RuleIndex> {
        self.rules.get(usize::try_from(number).ok()?).copied()
    }

    /// The first of the texts at or after `from`: where, and the numbers of its rules.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        let (at, nth) = self.search.as_ref()?.find(text, from)?;
        Some((at, self.texts.get(nth)?.1.clone()))
    }

    /// How long the text is whose rules' numbers begin with `first`.
    pub(super) fn length(&self, first: u32) -> usize {
        let text = self.texts.iter().find(|(_, numbers)| numbers.start == first);
        text.map_or(self.longest, |(text, _)| text.len())
    }

    /// The first position at the end of `text` where one of the texts has begun, else the end.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let first = (text.len() + 1).saturating_sub(self.longest);
        let begun = |tail: &[u8]| {
            let first = tail.first().is_some_and(|first| self.first.contains(*first));
            first && self.texts.iter().any(|(known, _)| known.starts_with(tail))
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
        let pairs = texts.map(|(text, nth)| (text.as_bytes().to_vec(), RuleIndex::nth(nth)));
        let rare = RareTexts::new(pairs.to_vec()).unwrap();
        let found = |text: &str| {
            let (at, numbers) = rare.find(text.as_bytes(), 1)?;
            Some((
                at,
                numbers.map(|n| rare.rule(n).unwrap().position()).collect::<Vec<_>>(),
            ))
        };
        assert_eq!(found("abcd abcdef"), Some((5, vec![2, 1])));
        assert_eq!(found("..xyz"), Some((2, vec![4])));
        assert_eq!(found("..ab"), None);
        assert_eq!(rare.unfinished(b"..ab"), 2);
        assert_eq!(rare.unfinished(b"..x"), 2);
        assert_eq!(rare.unfinished(b"...."), 4);
    }

    #[test]
    fn nothing_is_found_among_no_texts() {
        let rare = RareTexts::new(Vec::new()).unwrap();
        assert_eq!(rare.find(b"any text", 0), None);
        assert_eq!(rare.unfinished(b"any text"), 8);
    }
}
