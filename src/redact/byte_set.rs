//! A set of bytes.

use std::ops::BitOr;

/// A set of bytes, as a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0
            .get(usize::from(byte >> 6))
            .is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    pub(super) fn len(&self) -> usize {
        self.0
            .iter()
            .map(|word| word.count_ones())
            .sum::<u32>()
            .try_into()
            .unwrap_or(usize::MAX)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let words = self.0;
        (0_u8..).zip(words).flat_map(|(nth, word)| {
            let rest = std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0)
                .map(move |rest| nth << 6 | u8::try_from(rest.trailing_zeros()).unwrap_or(0))
        })
    }
}

impl BitOr for ByteSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let mut both = self;
        for (word, more) in both.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        both
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<T: IntoIterator<Item = u8>>(bytes: T) -> Self {
        let mut set = Self::default();
        for byte in bytes {
            set.insert(byte);
        }
        set
    }
}

/// Every text that has one of each set's bytes in its place; nothing when they are more than `limit`.
pub(super) fn texts(sets: &[ByteSet], limit: usize) -> Option<Vec<Vec<u8>>> {
    let many = sets.iter().try_fold(1_usize, |many, set| many.checked_mul(set.len()))?;
    if many == 0 || many > limit {
        return None;
    }
    let first = vec![Vec::with_capacity(sets.len())];
    Some(sets.iter().fold(first, |texts, set| {
        let longer = |text: Vec<u8>| {
            set.iter().map(move |byte| {
                let mut text = text.clone();
                text.push(byte);
                text
            })
        };
        texts.into_iter().flat_map(longer).collect()
    }))
}
