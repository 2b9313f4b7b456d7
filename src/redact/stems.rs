//! The search for texts that are so long that looking at every fourth byte finds them. Their case is not regarded.

use std::ops::Range;

use super::byte_set::ByteSet;
use super::rules::RuleIndex;
use super::table::{Filter, Gram, Index, gram};

/// How long a text is: wherever it stands, one of the looks falls on four bytes of it.
pub(super) const LENGTH: usize = STRIDE + 3;
/// The distance of two looks.
const STRIDE: usize = 4;
/// How many looks there are before a decision.
const AT_ONCE: usize = 8;
/// Folds the case of letters, and some other bytes into one another.
const FOLD: u8 = 0x20;

/// The beginning of a text, folded.
pub(super) type Stem = [u8; LENGTH];

/// A search for stems, each with the rules that begin so.
pub(super) struct Stems {
    /// In order.
    all: Vec<Stem>,
    rules: Index<RuleIndex>,
    /// Each four bytes of a stem.
    parts: Filter<{ 1 << 12 }>,
    first: ByteSet,
    /// A bit for each two bytes, as a big-endian number, that a stem begins with.
    two: Box<[u64]>,
    /// Each stem, mixed to four bytes.
    wholes: Filter<{ 1 << 11 }>,
}

/// The stem that `text` has, if it is long enough.
#[inline]
pub(super) fn stem(text: &[u8]) -> Option<Stem> {
    text.first_chunk::<LENGTH>().map(|stem| stem.map(|byte| byte | FOLD))
}

#[inline]
fn key(stem: Stem) -> u64 {
    let [one, two, three, four, five, six, seven] = stem;
    u64::from_le_bytes([one, two, three, four, five, six, seven, 0])
}

/// The stem in four bytes, which few others share.
#[inline]
fn mixed(stem: Stem) -> Gram {
    let key = key(stem);
    let [low, high] = [key & 0xFFFF_FFFF, key >> 32].map(|half| Gram::try_from(half).unwrap_or(0));
    low ^ high.wrapping_mul(0x85EB_CA6B)
}

impl Stems {
    pub(super) fn new(pairs: Vec<(Stem, RuleIndex)>) -> Self {
        let mut sorted: Vec<Stem> = pairs.iter().map(|(stem, _)| *stem).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let all = || sorted.iter().copied();
        let mut two = vec![0; 1 << 10];
        for [one, other, ..] in all() {
            let pair = u16::from_be_bytes([one, other]);
            if let Some(word) = two.get_mut(usize::from(pair >> 6)) {
                *word |= 1 << (pair & 63);
            }
        }
        let part = |stem: Stem, at: usize| stem.get(at..).and_then(gram);
        let parts = all().flat_map(|stem| (0..=LENGTH - STRIDE).filter_map(move |at| part(stem, at)));
        Self {
            first: all().filter_map(|stem| stem.first().copied()).collect(),
            two: two.into(),
            parts: Filter::new(parts),
            wholes: Filter::new(all().map(mixed)),
            rules: Index::new(pairs.into_iter().map(|(stem, rule)| (key(stem), rule)).collect()),
            all: sorted,
        }
    }

    pub(super) fn rule(&self, number: u32) -> Option<RuleIndex> {
        self.rules.value(number).copied()
    }

    /// The first stem in `text` at or after `from`: where, and the numbers of its rules.
    #[inline(never)]
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        let (looks, _) = text.get(from..)?.as_chunks::<STRIDE>();
        let (groups, rest) = looks.as_chunks::<AT_ONCE>();
        let mut at = from;
        for group in groups {
            let hits = self.hits(group);
            if hits != 0
                && let Some(found) = self.around(text, from, at, hits)
            {
                return Some(found);
            }
            at += AT_ONCE * STRIDE;
        }
        self.around(text, from, at, self.hits(rest))
    }

    /// A bit for each of as many as [`AT_ONCE`] looks that may fall on a part of a stem, the first one's highest.
    #[inline]
    fn hits(&self, looks: &[[u8; STRIDE]]) -> u8 {
        let hit = |look: &[u8; STRIDE]| u8::from(self.parts.may_have(folded(*look)));
        let hits = looks.iter().fold(0, |hits, look| hits << 1 | hit(look));
        let unused = AT_ONCE.saturating_sub(looks.len());
        hits.unbounded_shl(u32::try_from(unused).unwrap_or(0))
    }

    /// The first stem from `from` on around one of the looks from `first` on that hit.
    #[inline(never)]
    fn around(&self, text: &[u8], from: usize, first: usize, hits: u8) -> Option<(usize, Range<u32>)> {
        let mut left = hits;
        while left != 0 {
            let nth = left.leading_zeros();
            left &= !(0x80 >> nth);
            let at = first + STRIDE * usize::try_from(nth).ok()?;
            let earliest = at.saturating_sub(LENGTH - STRIDE).max(from);
            for start in earliest..=at {
                let stem = text.get(start..).and_then(stem)?;
                if self.wholes.may_have(mixed(stem)) {
                    let numbers = self.rules.numbers(key(stem));
                    if !numbers.is_empty() {
                        return Some((start, numbers));
                    }
                }
            }
        }
        None
    }

    /// The first position of less than a stem at the end of `text` that one could begin with; else the end.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(LENGTH - 1);
        let open = |at: &usize| text.get(*at..).is_some_and(|rest| self.begins(rest));
        (first..text.len()).find(open).unwrap_or(text.len())
    }

    /// Whether a stem begins so; `text` is not a whole one.
    fn begins(&self, text: &[u8]) -> bool {
        let may = match text {
            [] => return true,
            [one] => return self.first.contains(one | FOLD),
            [one, two, three, four, ..] => self.parts.may_have(folded([*one, *two, *three, *four])),
            [one, other, ..] => self.has_two(one | FOLD, other | FOLD),
        };
        let is_before = |stem: &Stem| stem.iter().copied().lt(text.iter().map(|byte| byte | FOLD));
        may && self.all.get(self.all.partition_point(is_before)).is_some_and(|stem| {
            let begun = text.iter().map(|byte| byte | FOLD);
            stem.iter().copied().zip(begun).all(|(known, byte)| known == byte)
        })
    }

    fn has_two(&self, one: u8, other: u8) -> bool {
        let pair = u16::from_be_bytes([one, other]);
        let word = self.two.get(usize::from(pair >> 6)).copied().unwrap_or(0);
        word & 1 << (pair & 63) != 0
    }
}

#[inline]
fn folded(look: [u8; STRIDE]) -> Gram {
    Gram::from_le_bytes(look) | Gram::from_le_bytes([FOLD; STRIDE])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn looks_and_bytes_agree(
            pieces in proptest::collection::vec("(secret_a|ACCOUNTK|aaaaaaa|postgres)?[a-eS_ ]{0,9}", 0..12),
            from in 0_usize..20,
        ) {
            let stems: Vec<_> = (0..)
                .map(RuleIndex::nth)
                .zip(["secret_a", "AccountK", "aaaaaaa", "postgres", "abcabcd"])
                .map(|(rule, text)| (stem(text.as_bytes()).unwrap(), rule))
                .collect();
            let text = pieces.concat().into_bytes();
            let from = from.min(text.len());
            let bytewise = (from..text.len()).find_map(|at| {
                let here = stem(&text[at..])?;
                stems.iter().find(|(stem, _)| *stem == here).map(|(_, rule)| (at, *rule))
            });
            let search = Stems::new(stems);
            let found = search.find(&text, from).map(|(at, numbers)| (at, search.rule(numbers.start).unwrap()));
            prop_assert_eq!(found, bytewise);
        }
    }

    #[test]
    fn an_unfinished_stem_is_seen() {
        let search = Stems::new(vec![(stem(b"AccountKey").unwrap(), RuleIndex::nth(0))]);
        assert_eq!(search.unfinished(b"x accou"), 2);
        assert_eq!(search.unfinished(b"x acx"), 5);
    }
}
