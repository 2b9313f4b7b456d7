//! The search for texts that are so long that looking at every fourth byte finds them. Their case is not regarded.

use std::ops::Range;

use super::table::{Gram, Table};

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

/// A search for stems, each with its values.
pub(super) struct Stems<T> {
    all: Vec<(Stem, Range<u32>)>,
    values: Vec<T>,
    /// For each four bytes of a stem, where in which stem they stand.
    parts: Table<(u8, u32)>,
}

/// The stem that `text` has, if it is long enough.
pub(super) fn stem(text: &[u8]) -> Option<Stem> {
    text.first_chunk::<LENGTH>().map(|stem| stem.map(|byte| byte | FOLD))
}

impl<T: Clone + Ord> Stems<T> {
    pub(super) fn new(mut pairs: Vec<(Stem, T)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut stems = Vec::new();
        let mut parts = Vec::new();
        let mut first = 0;
        for same in pairs.chunk_by(|(one, _), (other, _)| one == other) {
            let end = first + u32::try_from(same.len()).unwrap_or(0);
            if let Some((stem, _)) = same.first() {
                let number = u32::try_from(stems.len()).unwrap_or(u32::MAX);
                let windows = stem.windows(4).filter_map(|part| part.first_chunk());
                parts.extend(
                    (0..)
                        .zip(windows)
                        .map(|(offset, part)| (Gram::from_le_bytes(*part), (offset, number))),
                );
                stems.push((*stem, first..end));
            }
            first = end;
        }
        let values = pairs.into_iter().map(|(_, value)| value).collect();
        Self {
            all: stems,
            values,
            parts: Table::new(parts),
        }
    }
}

impl<T> Stems<T> {
    pub(super) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?)
    }

    /// The first stem in `text` at or after `from`: where, and the numbers of its values.
    #[inline(never)]
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        let (looks, _) = text.get(from..)?.as_chunks::<STRIDE>();
        let mut nth = 0;
        loop {
            nth += self.clean_looks(looks.get(nth..)?);
            for look in looks.get(nth..)?.iter().take(AT_ONCE) {
                if self.parts.hint(folded(*look)) & 1 != 0
                    && let Some(found) = self.around(text, from, from + nth * STRIDE, *look)
                {
                    return Some(found);
                }
                nth += 1;
            }
            if nth == looks.len() {
                return None;
            }
        }
    }

    /// How many looks meet nothing, a multiple of [`AT_ONCE`].
    #[inline]
    fn clean_looks(&self, looks: &[[u8; STRIDE]]) -> usize {
        let (groups, _) = looks.as_chunks::<AT_ONCE>();
        let clean = groups
            .iter()
            .take_while(|group| group.iter().fold(0, |any, look| any | self.parts.hint(folded(*look))) & 1 == 0);
        clean.count() * AT_ONCE
    }

    /// The first stem from `from` on that has the bytes at `at` among its first.
    fn around(&self, text: &[u8], from: usize, at: usize, look: [u8; STRIDE]) -> Option<(usize, Range<u32>)> {
        self.parts
            .values(folded(look))
            .iter()
            .filter_map(|(offset, number)| {
                let start = at.checked_sub(usize::from(*offset)).filter(|start| *start >= from)?;
                let (known, values) = self.all.get(usize::try_from(*number).ok()?)?;
                (stem(text.get(start..)?)? == *known).then(|| (start, values.clone()))
            })
            .min_by_key(|(start, _)| *start)
    }

    /// The first position at or after `from` of less than a stem at the end of `text` that one could begin with.
    pub(super) fn unfinished(&self, text: &[u8], from: usize) -> usize {
        let first = text.len().saturating_sub(LENGTH - 1).max(from);
        (first..text.len())
            .find(|at| text.get(*at..).is_some_and(|rest| self.begins(rest)))
            .unwrap_or(text.len())
    }

    /// Whether a stem can begin so.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        let mut folded = [0; LENGTH];
        for (to, byte) in folded.iter_mut().zip(text) {
            *to = byte | FOLD;
        }
        let length = text.len().min(LENGTH);
        let nth = self.all.partition_point(|(stem, _)| *stem < folded);
        self.all
            .get(nth)
            .is_some_and(|(stem, _)| stem.get(..length) == folded.get(..length))
    }

    /// The numbers of the values of the stem that `text` begins with; empty when there is none.
    pub(super) fn numbers(&self, text: [u8; LENGTH]) -> Range<u32> {
        let [first, second, third, fourth, ..] = text;
        if self.parts.hint(folded([first, second, third, fourth])) & 1 == 0 {
            return 0..0;
        }
        let stem = text.map(|byte| byte | FOLD);
        let nth = self.all.binary_search_by(|(known, _)| known.cmp(&stem)).ok();
        nth.and_then(|nth| self.all.get(nth))
            .map_or(0..0, |(_, numbers)| numbers.clone())
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
            let stems: Vec<_> = (0_u32..)
                .zip(["secret_a", "AccountK", "aaaaaaa", "postgres", "abcabcd"])
                .map(|(n, text)| (stem(text.as_bytes()).unwrap(), n))
                .collect();
            let text = pieces.concat().into_bytes();
            let from = from.min(text.len());
            let bytewise = (from..text.len()).find_map(|at| {
                let here = stem(&text[at..])?;
                stems.iter().find(|(stem, _)| *stem == here).map(|(_, n)| (at, *n))
            });
            let search = Stems::new(stems);
            let found = search.find(&text, from).map(|(at, values)| (at, *search.value(values.start).unwrap()));
            prop_assert_eq!(found, bytewise);
        }
    }

    #[test]
    fn an_unfinished_stem_is_seen() {
        let search = Stems::new(vec![(stem(b"AccountKey").unwrap(), 0)]);
        assert_eq!(search.unfinished(b"x accou", 0), 2);
        assert_eq!(search.unfinished(b"x acc", 3), 5);
        assert_eq!(search.unfinished(b"x acx", 0), 5);
    }
}
