//! The search for texts that are so long that looking at every fourth byte finds them.

/// How long a text is at least: wherever it stands, one of the looks falls on four bytes of it.
pub(super) const LEAST: usize = STRIDE + 3;
/// The distance of two looks.
const STRIDE: usize = 4;
/// How many looks there are before a decision.
const AT_ONCE: usize = 8;
/// The table's size, as a power of two: small enough for the first cache, large enough that few other texts hit.
const BITS: u32 = 14;

/// A search for texts of at least [`LEAST`] bytes, of which none begins with another.
pub(super) struct Stems {
    texts: Vec<Vec<u8>>,
    /// For each hash one more than the position of the first part that has it, or 0. The last number stands for all
    /// later parts as well.
    table: Box<[u8; 1 << BITS]>,
    /// Sorted by hash.
    parts: Vec<Part>,
}

/// Four bytes of a text.
struct Part {
    bytes: [u8; 4],
    /// Where in the text they stand.
    offset: usize,
    text: usize,
}

impl Stems {
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a Vec<u8>>) -> Self {
        let texts: Vec<_> = texts.cloned().collect();
        let mut parts = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let windows = text.windows(4).filter_map(|part| part.first_chunk());
            parts.extend(windows.take(STRIDE).enumerate().map(|(offset, bytes)| Part {
                bytes: *bytes,
                offset,
                text: number,
            }));
        }
        parts.sort_unstable_by_key(|part: &Part| place(part.bytes));
        let mut table = Box::new([0; 1 << BITS]);
        for (nth, part) in (1_usize..).zip(&parts) {
            if let Some(entry @ 0) = table.get_mut(place(part.bytes)) {
                *entry = u8::try_from(nth).unwrap_or(u8::MAX);
            }
        }
        Self { texts, table, parts }
    }

    /// The first text in `text` at or after `from`: where, and its number.
    #[inline(never)]
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let (looks, _) = text.get(from..)?.as_chunks::<STRIDE>();
        let mut nth = 0;
        loop {
            nth += self.clean_looks(looks.get(nth..)?);
            for look in looks.get(nth..)?.iter().take(AT_ONCE) {
                if self.first(*look) != 0
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
    fn clean_looks(&self, looks: &[[u8; 4]]) -> usize {
        let (groups, _) = looks.as_chunks::<AT_ONCE>();
        let clean = groups
            .iter()
            .take_while(|group| group.iter().fold(0, |any, look| any | self.first(*look)) == 0);
        clean.count() * AT_ONCE
    }

    #[inline]
    fn first(&self, look: [u8; 4]) -> u8 {
        self.table.get(place(look)).copied().unwrap_or(0)
    }

    /// The first text from `from` on that has the bytes at `at` among its first.
    fn around(&self, text: &[u8], from: usize, at: usize, look: [u8; 4]) -> Option<(usize, usize)> {
        let first = usize::from(self.first(look)).checked_sub(1)?;
        let parts = self.parts.get(first..)?.iter();
        parts
            .take_while(|part| place(part.bytes) <= place(look))
            .filter(|part| part.bytes == look)
            .filter_map(|part| {
                let start = at.checked_sub(part.offset).filter(|start| *start >= from)?;
                let known = self.texts.get(part.text)?;
                text.get(start..)?.starts_with(known).then_some((start, part.text))
            })
            .min()
    }
}

/// Where in the table four bytes are: multiplied out, so that similar texts lie apart.
#[inline]
fn place(bytes: [u8; 4]) -> usize {
    let hash = u32::from_le_bytes(bytes).wrapping_mul(0x9E37_79B1) >> (32 - BITS);
    usize::try_from(hash).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytewise(texts: &[Vec<u8>], text: &[u8], from: usize) -> Option<(usize, usize)> {
        (from..text.len()).find_map(|at| {
            let nth = texts.iter().position(|known| text[at..].starts_with(known))?;
            Some((at, nth))
        })
    }

    proptest! {
        #[test]
        fn looks_and_bytes_agree(
            pieces in proptest::collection::vec("(secret_a|AccountK|aaaaaaa|postgres)?[a-eS_ ]{0,9}", 0..12),
            from in 0_usize..20,
        ) {
            let texts: Vec<_> = ["secret_a", "AccountK", "aaaaaaa", "postgres", "abcabcd"]
                .map(|text| text.as_bytes().to_vec()).into();
            let text = pieces.concat().into_bytes();
            let from = from.min(text.len());
            let stems = Stems::new(texts.iter());
            prop_assert_eq!(stems.find(&text, from), bytewise(&texts, &text, from));
        }
    }
}
