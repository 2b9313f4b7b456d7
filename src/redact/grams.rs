//! Three bytes at a time: whether a token could begin here or at the byte before.
//!
//! Every second position is looked at. Either a match begins there or it began one byte earlier, so both the first
//! three bytes of every match and the three after its first are in one table.

/// How many positions are looked at before a decision.
pub(super) const AT_ONCE: usize = 8;
/// The table's size in bits, as a power of two: small enough to stay in the first cache.
const BITS: u32 = 17;

/// A set of three-byte texts; says yes to a few that are not in it.
pub(super) struct Grams {
    words: Box<[u64; 1 << (BITS - 6)]>,
}

impl Grams {
    pub(super) fn none() -> Self {
        Self {
            words: Box::new([0; 1 << (BITS - 6)]),
        }
    }

    /// Takes in all three-byte texts with one of each `bytes` first, second and third.
    pub(super) fn add(&mut self, bytes: [&Vec<u8>; 3]) {
        let [first, second, third] = bytes;
        for one in first {
            for two in second {
                for three in third {
                    self.insert([*one, *two, *three, 0]);
                }
            }
        }
    }

    fn insert(&mut self, bytes: [u8; 4]) {
        let (word, bit) = place(bytes);
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Whether the first three of `bytes` could be in the set.
    #[inline]
    fn holds(&self, bytes: [u8; 4]) -> bool {
        let (word, bit) = place(bytes);
        self.words.get(word).is_some_and(|word| word >> bit & 1 != 0)
    }

    /// Whether a match could begin at one of the first [`AT_ONCE`] of `bytes`.
    #[inline]
    pub(super) fn any(&self, bytes: &[u8; AT_ONCE + 4]) -> bool {
        let [_, a, b, c, d, e, f, g, h, i, j, _] = *bytes;
        self.holds([a, b, c, d]) | self.holds([c, d, e, f]) | self.holds([e, f, g, h]) | self.holds([g, h, i, j])
    }
}

/// Where the bit of the first three bytes is: multiplied out, so that similar texts lie apart.
#[inline]
fn place(bytes: [u8; 4]) -> (usize, u32) {
    let hash = (u32::from_le_bytes(bytes) << 8).wrapping_mul(0x9E37_79B1) >> (32 - BITS);
    (usize::try_from(hash >> 6).unwrap_or(0), hash & 63)
}
