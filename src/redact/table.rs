//! Values by a short text, and the filter that is asked first, at every position.

use std::ops::Range;

/// Four bytes of text, as a little-endian number.
pub(super) type Gram = u32;

/// The first four bytes of `text`.
#[inline]
pub(super) fn gram(text: &[u8]) -> Option<Gram> {
    text.first_chunk().map(|gram| Gram::from_le_bytes(*gram))
}

/// Tells of most grams that were never put in that they weren't. Of a power of two of words, so that it stays in the cache.
pub(super) struct Filter<const WORDS: usize>(Box<[u64; WORDS]>);

impl<const WORDS: usize> Filter<WORDS> {
    pub(super) fn new(grams: impl Iterator<Item = Gram>) -> Self {
        let mut words = Box::new([0_u64; WORDS]);
        for gram in grams {
            let (word, bit) = Self::place(gram);
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
        Self(words)
    }

    /// Whether `gram` may have been put in.
    #[inline]
    pub(super) fn may_have(&self, gram: Gram) -> bool {
        let (word, bit) = Self::place(gram);
        self.0.get(word).copied().unwrap_or(0) & bit != 0
    }

    /// The word and the bit in it for a gram: multiplied out, so that similar texts lie apart.
    #[inline]
    fn place(gram: Gram) -> (usize, u64) {
        let hash = gram.wrapping_mul(0x9E37_79B1);
        let word = usize::try_from(hash >> 11).unwrap_or(0) % WORDS;
        (word, 1 << (hash >> 26 & 63))
    }
}

/// Values by key. Immutable once built.
pub(super) struct Index<T> {
    /// At most half of them are taken; none is empty while taken.
    slots: Box<[Slot]>,
    values: Vec<T>,
}

/// Where the values of one key are. Empty when there are none.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    first: u32,
    end: u32,
}

impl<T: Ord> Index<T> {
    /// Takes each value once a key.
    pub(super) fn new(mut pairs: Vec<(u64, T)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut slots: Box<[Slot]> = vec![Slot::default(); (2 * pairs.len()).next_power_of_two().max(2)].into();
        let mut first = 0;
        for same in pairs.chunk_by(|(one, _), (other, _)| one == other) {
            let end = first + u32::try_from(same.len()).unwrap_or(0);
            if let Some((key, _)) = same.first() {
                let slot = Slot { key: *key, first, end };
                insert(&mut slots, slot);
            }
            first = end;
        }
        let values = pairs.into_iter().map(|(_, value)| value).collect();
        Self { slots, values }
    }
}

fn insert(slots: &mut [Slot], slot: Slot) {
    let mask = slots.len() - 1;
    let mut at = hashed(slot.key) & mask;
    while slots.get(at).is_some_and(|slot| slot.first < slot.end) {
        at = (at + 1) & mask;
    }
    if let Some(free) = slots.get_mut(at) {
        *free = slot;
    }
}

impl<T> Index<T> {
    /// The numbers of the values for `key`; empty when there are none.
    #[inline]
    pub(super) fn numbers(&self, key: u64) -> Range<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hashed(key) & mask;
        while let Some(slot) = self.slots.get(at)
            && slot.first < slot.end
        {
            if slot.key == key {
                return slot.first..slot.end;
            }
            at = (at + 1) & mask;
        }
        0..0
    }

    pub(super) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?)
    }
}

#[inline]
fn hashed(key: u64) -> usize {
    usize::try_from(key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_and_no_other() {
        let keys = || (0..5000_u32).map(|n| n.wrapping_mul(2_654_435_769) | 1);
        let pairs: Vec<_> = keys().map(u64::from).zip(0_u32..).collect();
        let index = Index::new(pairs.iter().copied().chain(pairs.iter().copied()).collect());
        for (key, n) in &pairs {
            let values: Vec<_> = index
                .numbers(*key)
                .map(|number| *index.value(number).unwrap())
                .collect();
            assert_eq!(values, [*n]);
        }
        assert!((0..5000_u64).all(|n| index.numbers(n * 2).is_empty()));
    }

    #[test]
    fn the_filter_forgets_nothing() {
        let grams = || (0..5000_u32).map(|n| n.wrapping_mul(2_654_435_769));
        let filter = Filter::<4096>::new(grams());
        assert!(grams().all(|gram| filter.may_have(gram)));
        let others = (0..50_000).filter(|gram| filter.may_have(*gram)).count();
        assert!(others < 1000, "{others}");
    }
}
