//! Sixty-four bytes of text at once: which of them are of a class, as a bit each.

use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// A block of text, in vectors.
#[derive(Clone, Copy)]
pub(super) struct Block([u8x16; 4]);

impl Block {
    #[inline]
    pub(super) fn new(bytes: &[u8; BLOCK]) -> Self {
        let vector = |nth: usize| {
            let bytes = bytes.get(16 * nth..).and_then(<[u8]>::first_chunk);
            bytes.map_or(u8x16::ZERO, |bytes| u8x16::new(*bytes))
        };
        Self([vector(0), vector(1), vector(2), vector(3)])
    }

    /// The block at `at`, with zeros for what lies behind the text.
    #[inline]
    pub(super) fn at(text: &[u8], at: usize) -> Self {
        let rest = text.get(at..).unwrap_or_default();
        match rest.first_chunk() {
            Some(bytes) => Self::new(bytes),
            None => Self::part(rest),
        }
    }

    #[cold]
    fn part(rest: &[u8]) -> Self {
        let mut bytes = [0; BLOCK];
        for (to, byte) in bytes.iter_mut().zip(rest) {
            *to = *byte;
        }
        Self::new(&bytes)
    }

    /// A bit for each byte that `class` marks with ones, the first byte's lowest.
    #[inline]
    pub(super) fn bits(&self, class: impl Fn(u8x16) -> u8x16) -> u64 {
        let [first, second, third, fourth] = self.0.map(|part| u64::from(class(part).to_bitmask()));
        first | second << 16 | third << 32 | fourth << 48
    }
}

/// From `first` to `last`.
#[inline]
pub(super) fn range(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let offset = bytes - u8x16::splat(first);
    offset.min(u8x16::splat(last - first)).simd_eq(offset)
}

/// The one byte.
#[inline]
pub(super) fn one(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

/// Letters of either case.
#[inline]
pub(super) fn letter(bytes: u8x16) -> u8x16 {
    range(bytes | u8x16::splat(0x20), b'a', b'z')
}

#[inline]
pub(super) fn digit(bytes: u8x16) -> u8x16 {
    range(bytes, b'0', b'9')
}

/// Letters, digits and the underscore.
#[inline]
pub(super) fn word(bytes: u8x16) -> u8x16 {
    letter(bytes) | digit(bytes) | one(bytes, b'_')
}

/// What tokens are made of, see [`super::runs::is_token_byte`].
#[inline]
pub(super) fn token(bytes: u8x16) -> u8x16 {
    // '-' to '9' are `-./0123456789`.
    letter(bytes) | range(bytes, b'-', b'9') | one(bytes, b'+') | one(bytes, b'_')
}

/// How long the longest escape is that may end left of a token: `\u003d`.
const ESCAPE: usize = 6;

impl Block {
    /// Where nothing of `class` stands to the left, save for what may be an escape's last character: of `\n`, `%3D` or `\u003d`. The
    /// block stands at `at` of `text`.
    pub(super) fn apart_from(&self, text: &[u8], at: usize, class: impl Fn(u8x16) -> u8x16) -> u64 {
        let leads = self.bits(|bytes| one(bytes, b'\\') | one(bytes, b'%'));
        let behind_leads = leads << 2 | leads << 3 | leads << ESCAPE;
        let left = text.get(at.saturating_sub(ESCAPE)..at).unwrap_or_default();
        let first = match left.last() {
            Some(left) => !Self::new(&[*left; BLOCK]).bits(&class) & 1,
            None => 1,
        };
        let begun = if left.iter().any(|byte| matches!(byte, b'\\' | b'%')) {
            (1 << ESCAPE) - 1
        } else {
            first
        };
        !(self.bits(class) << 1 | 1) | behind_leads | begun
    }
}

/// Where `count` bits begin that are set `step` apart, for up to 16 of them.
#[inline]
pub(super) fn in_a_row(bits: u128, step: u32, count: u32) -> u128 {
    let mut all = bits;
    let mut known = 1;
    while known < count {
        let more = known.min(count - known);
        all &= all >> (step * more);
        known += more;
    }
    all
}

/// The lower half: the positions of the first of two blocks.
#[inline]
pub(super) fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_ascii() {
        for byte in 0..=u8::MAX {
            let block = Block::new(&[byte; BLOCK]);
            let check = |class: fn(u8x16) -> u8x16, is: bool| {
                assert_eq!(block.bits(class), if is { u64::MAX } else { 0 }, "{byte:#x}");
            };
            check(letter, byte.is_ascii_alphabetic());
            check(digit, byte.is_ascii_digit());
            check(word, byte.is_ascii_alphanumeric() || byte == b'_');
            check(token, super::super::runs::is_token_byte(byte));
        }
    }

    #[test]
    fn bits_are_in_order_and_end_with_the_text() {
        let text = b"a.bb.ccc................................................................Z";
        assert_eq!(Block::at(text, 0).bits(letter), 0b1110_1101);
        assert_eq!(Block::at(text, 70).bits(letter), 0b100);
        assert_eq!(Block::at(text, 900).bits(letter), 0);
    }

    #[test]
    fn rows_are_found() {
        let bits = 0b0101_0101_0000_1010_1010_1010_u128;
        for count in 1..=6 {
            let expected = (0..24).filter(|at| (0..count).all(|nth| bits >> (at + 2 * nth) & 1 == 1));
            let expected = expected.fold(0_u128, |all, at| all | 1 << at);
            assert_eq!(in_a_row(bits, 2, count), expected, "{count}");
        }
    }
}
