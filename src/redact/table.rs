//! Values by four bytes of text, with a filter before them that is asked at every position.

use std::ops::Range;

/// The filter's size as a power of two, in bits: it stays in the second cache, and few texts hit it by chance.
const BITS: u32 = 21;
/// The same in words.
const WORDS: usize = 1 << (BITS - 6);
/// Four bytes of text, as a little-endian number.
pub(super) type Gram = u32;

/// Values by gram. Immutable once built.
pub(super) struct Table<T> {
    filter: Box<[u64; WORDS]>,
    slots: Box<[Slot]>,
    values: Vec<T>,
}

/// Where the values of one gram are. Empty when there are none.
#[derive(Clone, Copy, Default)]
struct Slot {
    gram: Gram,
    first: u32,
    end: u32,
}

impl<T: Clone + Ord> Table<T> {
    /// Takes each value once a gram.
    pub(super) fn new(mut pairs: Vec<(Gram, T)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut table = Self {
            filter: no_words(),
            slots: vec![Slot::default(); (2 * pairs.len()).next_power_of_two().max(2)].into(),
            values: pairs.iter().map(|(_, value)| value.clone()).collect(),
        };
        let mut first = 0;
        for same in pairs.chunk_by(|(one, _), (other, _)| one == other) {
            let end = first + u32::try_from(same.len()).unwrap_or(0);
            if let Some((gram, _)) = same.first() {
                table.insert(Slot {
                    gram: *gram,
                    first,
                    end,
                });
            }
            first = end;
        }
        table
    }

    fn insert(&mut self, slot: Slot) {
        let (word, one, other) = place(slot.gram);
        if let Some(word) = self.filter.get_mut(word) {
            *word |= 1 << one | 1 << other;
        }
        let mask = self.slots.len() - 1;
        let mut at = hashed(slot.gram) & mask;
        while self.slots.get(at).is_some_and(|slot| slot.first < slot.end) {
            at = (at + 1) & mask;
        }
        if let Some(free) = self.slots.get_mut(at) {
            *free = slot;
        }
    }
}

impl<T> Table<T> {
    /// Whether there may be values for `gram`: the lowest bit tells.
    #[inline]
    pub(super) fn hint(&self, gram: Gram) -> u64 {
        let (word, one, other) = place(gram);
        let word = self.filter.get(word).copied().unwrap_or(0);
        word >> one & word >> other
    }

    /// The numbers of the values for `gram`; empty when there are none.
    pub(super) fn numbers(&self, gram: Gram) -> Range<u32> {
        if self.hint(gram) & 1 == 0 {
            return 0..0;
        }
        let mask = self.slots.len() - 1;
        let mut at = hashed(gram) & mask;
        while let Some(slot) = self.slots.get(at)
            && slot.first < slot.end
        {
            if slot.gram == gram {
                return slot.first..slot.end;
            }
            at = (at + 1) & mask;
        }
        0..0
    }

    pub(super) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?)
    }

    /// The values for `gram`.
    pub(super) fn values(&self, gram: Gram) -> &[T] {
        let Range { start, end } = self.numbers(gram);
        let [start, end] = [start, end].map(|number| usize::try_from(number).unwrap_or(0));
        self.values.get(start..end).unwrap_or_default()
    }
}

#[expect(
    clippy::large_stack_arrays,
    reason = "256 KiB, once, when the rules are compiled; its fixed size spares the look-ups a check"
)]
fn no_words() -> Box<[u64; WORDS]> {
    Box::new([0; WORDS])
}

/// The filter's word and two bits in it for a gram: multiplied out, so that similar texts lie apart.
#[inline]
fn place(gram: Gram) -> (usize, u32, u32) {
    let hash = gram.wrapping_mul(0x9E37_79B1);
    let word = hash >> (32 - (BITS - 6));
    (usize::try_from(word).unwrap_or(0), hash >> 11 & 63, hash >> 5 & 63)
}

fn hashed(gram: Gram) -> usize {
    usize::try_from(gram.wrapping_mul(0x85EB_CA6B) >> 8).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_and_no_other() {
        let pairs: Vec<_> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_769) | 1, n)).collect();
        let table = Table::new(pairs.iter().copied().chain(pairs.iter().copied()).collect());
        for (gram, n) in &pairs {
            assert_eq!(table.values(*gram), [*n]);
        }
        assert!((0..5000_u32).all(|n| table.values(n * 2).is_empty()));
    }
}
