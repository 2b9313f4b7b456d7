//! Where something legible may lie beneath a coat: told by which digits stand at regular distances, 64 positions at a time.
//!
//! A byte of ASCII text begins with `001`, `010` or `011`, so that in each coding some digits can only be some of the
//! alphabet. Hashes, keys and images hardly ever look so for long, so nearly nothing is decoded in vain.

use memchr::memchr;
use wide::u8x16;

use super::block::{BLOCK, Block, digit, in_a_row, letter, low, one, range};
use super::runs::Starts;

/// What a text may be coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coding {
    Base64,
    Base32,
    Hex,
    /// Hexadecimal digits with something between each two.
    Spaced,
    Utf16,
}

/// How many codings there are.
pub(super) const CODINGS: usize = 5;
/// Fewer than this of `2` to `7` in two blocks belong to no spaced digits.
const SPACED: u32 = 8;
/// How many digits may stand before a gate, of a group that is not whole.
const BEFORE: usize = 8;
/// How many characters in a row must look like UTF-16.
const CHARACTERS: u32 = 10;

impl Coding {
    const ALL: [Self; CODINGS] = [Self::Base64, Self::Base32, Self::Hex, Self::Spaced, Self::Utf16];

    /// How many digits belong together: they stand for a whole number of bytes.
    pub(super) fn group(self) -> usize {
        match self {
            Self::Base64 => 4,
            Self::Base32 => 8,
            Self::Hex | Self::Utf16 => 2,
            Self::Spaced => 3,
        }
    }

    /// Its number in a table by coding.
    pub(super) fn nth(self) -> usize {
        match self {
            Self::Base64 => 0,
            Self::Base32 => 1,
            Self::Hex => 2,
            Self::Spaced => 3,
            Self::Utf16 => 4,
        }
    }
}

/// The search for gates in one text.
#[derive(Default)]
pub(super) struct Gates {
    /// All blocks before were looked at.
    to: usize,
    block: usize,
    /// The gates of the block that were not given out.
    left: [u64; CODINGS],
    /// The digits of the block that begins there.
    known: Option<(usize, Digits)>,
    run: Ahead,
    spaced: Ahead,
    zero: Ahead,
}

/// The next position at which something was found, if it is still ahead.
#[derive(Default)]
struct Ahead(Option<usize>);

impl Ahead {
    /// The first at or after `from`; the search is asked only when it isn't known.
    fn at(&mut self, from: usize, search: impl FnOnce() -> usize) -> usize {
        match self.0 {
            Some(at) if at >= from => at,
            _ => *self.0.insert(search()),
        }
    }
}

impl Gates {
    /// Passes over what stands before `from`.
    pub(super) fn skip_to(&mut self, from: usize) {
        if from > self.to {
            self.to = from;
            self.left = [0; CODINGS];
        }
    }

    /// No gate that is still to be given out stands before this position.
    pub(super) fn position(&self) -> usize {
        if self.left == [0; CODINGS] { self.to } else { self.block }
    }

    /// The next gate: something legible may begin there or shortly before.
    pub(super) fn next(&mut self, text: &[u8]) -> Option<(usize, Coding)> {
        loop {
            let first = Coding::ALL
                .into_iter()
                .filter_map(|coding| Some((self.left.get(coding.nth())?.trailing_zeros(), coding)))
                .min()
                .filter(|(bit, _)| *bit < u64::BITS);
            if let Some((bit, coding)) = first {
                if let Some(left) = self.left.get_mut(coding.nth()) {
                    *left &= *left - 1;
                }
                return Some((self.block + usize::try_from(bit).ok()?, coding));
            }
            self.fill(text)?;
        }
    }

    fn fill(&mut self, text: &[u8]) -> Option<()> {
        let from = self.to;
        // What begins right before the block has its gate in it.
        let run = self.run.at(from, || {
            let starts = Starts::next(text, from.saturating_sub(BEFORE));
            starts.map_or(text.len(), |starts| starts.start().max(from))
        });
        let spaced = self.spaced.at(from, || next_spaced(text, from));
        let zero = self.zero.at(from, || {
            let rest = text.get(from..).unwrap_or_default();
            memchr(0, rest).map_or(text.len(), |ahead| from + ahead)
        });
        let at = run.min(spaced).min(zero.saturating_sub(1).max(from));
        if at >= text.len() {
            self.to = text.len();
            return None;
        }
        self.block = at;
        self.to = at + BLOCK;
        self.left = [0; CODINGS];
        let [base64, base32, hex, in_spaced, in_utf16] = &mut self.left;
        if run < self.to {
            let here = self.known.filter(|(of, _)| *of == at).map(|(_, digits)| digits);
            let here = here.unwrap_or_else(|| Digits::of(Block::at(text, at)));
            let next = Digits::of(Block::at(text, self.to));
            self.known = Some((self.to, next));
            let pair = Pair { here, next };
            (*base64, *base32, *hex) = (pair.base64(text, at), pair.base32(text, at), pair.hex());
        }
        if spaced < self.to {
            *in_spaced = Looked::at(text, at).spaced();
        }
        if zero <= self.to {
            *in_utf16 = Looked::at(text, at).utf16();
        }
        Some(())
    }
}

/// The first position from `from` on at which spaced digits may begin, else the end.
fn next_spaced(text: &[u8], from: usize) -> usize {
    let high_in = |at: usize| Block::at(text, at).bits(high);
    let mut at = from;
    let mut here = high_in(at);
    while at < text.len() {
        let next = high_in(at + BLOCK);
        if here != 0 && here.count_ones() + next.count_ones() >= SPACED {
            let bits = Looked::at(text, at).spaced();
            if bits != 0 {
                return at + usize::try_from(bits.trailing_zeros()).unwrap_or(0);
            }
        }
        at += BLOCK;
        here = next;
    }
    text.len()
}

/// Which bytes of a block may be which digits.
#[derive(Clone, Copy, Default)]
struct Digits {
    first_of_base64: u64,
    second_of_base64: u64,
    zero_of_base64: u64,
    upper_of_base32: u64,
    lower_of_base32: u64,
    hex: u64,
    high_hex: u64,
}

impl Digits {
    fn of(block: Block) -> Self {
        Self {
            first_of_base64: block.bits(|bytes| range(bytes, b'I', b'Z') | range(bytes, b'a', b'f')),
            second_of_base64: block.bits(second_of_base64),
            zero_of_base64: block.bits(|bytes| one(bytes, b'A')),
            upper_of_base32: block.bits(|bytes| range(bytes, b'A', b'Z') | high(bytes)),
            lower_of_base32: block.bits(|bytes| range(bytes, b'a', b'z') | high(bytes)),
            hex: block.bits(hex_digit),
            high_hex: block.bits(high),
        }
    }
}

/// The digits of a block and of the one after it.
struct Pair {
    here: Digits,
    next: Digits,
}

impl Pair {
    #[inline]
    fn bits(&self, of: impl Fn(&Digits) -> u64) -> u128 {
        u128::from(of(&self.here)) | u128::from(of(&self.next)) << BLOCK
    }

    /// Three groups of base64 with a legible byte in each place; or three pairs of them with UTF-16 beneath.
    fn base64(&self, text: &[u8], at: usize) -> u64 {
        let first = self.bits(|digits| digits.first_of_base64);
        let second = self.bits(|digits| digits.second_of_base64);
        let likely = low(in_a_row(first & second >> 1, 4, 3));
        let ascii = if likely == 0 {
            0
        } else {
            likely & low(in_a_row(Looked::at(text, at).bits(third_of_base64) >> 2, 4, 3))
        };
        // The upper halves of characters are zeros: `A` stands in the same places of each eight digits.
        let zero = self.bits(|digits| digits.zero_of_base64);
        let pairs = first & zero >> 4 & second >> 5 & zero >> 7;
        let wide = if pairs == 0 { 0 } else { low(in_a_row(pairs, 8, 3)) };
        ascii | wide
    }

    /// A group of base32 and the first half of another with legible bytes where two digits or three tell.
    fn base32(&self, text: &[u8], at: usize) -> u64 {
        let upper = self.bits(|digits| digits.upper_of_base32);
        let lower = self.bits(|digits| digits.lower_of_base32);
        let runs = low(in_a_row(upper, 1, 12) | in_a_row(lower, 1, 12));
        if runs == 0 {
            return 0;
        }
        let looked = Looked::at(text, at);
        let folded = |bytes: u8x16| bytes & u8x16::splat(0xDF);
        let first = looked.bits(|bytes| range(folded(bytes), b'E', b'P'));
        let fourth = looked.bits(|bytes| range(folded(bytes) & u8x16::splat(0xEF), b'C', b'H'));
        let seventh = looked.bits(|bytes| range(bytes & u8x16::splat(7), 2, 4));
        let half = first & fourth >> 3;
        runs & low(half & seventh >> 6 & half >> 8)
    }

    /// Twelve pairs of hexadecimal digits that stand for ASCII.
    fn hex(&self) -> u64 {
        let any = self.bits(|digits| digits.hex);
        if low(in_a_row(any, 1, 8)) == 0 {
            return 0;
        }
        low(in_a_row(self.bits(|digits| digits.high_hex) & any >> 1, 2, 12))
    }
}

/// A block and the one after it.
struct Looked {
    here: Block,
    next: Block,
}

impl Looked {
    fn at(text: &[u8], at: usize) -> Self {
        Self {
            here: Block::at(text, at),
            next: Block::at(text, at + BLOCK),
        }
    }

    #[inline]
    fn bits(&self, class: impl Fn(u8x16) -> u8x16) -> u128 {
        u128::from(self.here.bits(&class)) | u128::from(self.next.bits(&class)) << BLOCK
    }

    /// Eight of such pairs, each with a gap after it.
    fn spaced(&self) -> u64 {
        let gap = |bytes| one(bytes, b':') | one(bytes, b' ') | one(bytes, b'-') | one(bytes, b',');
        low(in_a_row(
            self.bits(high) & self.bits(hex_digit) >> 1 & self.bits(gap) >> 2,
            3,
            8,
        ))
    }

    fn utf16(&self) -> u64 {
        let character = self.bits(|bytes| range(bytes, b' ', b'~'));
        let zero = self.bits(|bytes| one(bytes, 0));
        low(in_a_row(character & zero >> 1, 2, CHARACTERS))
    }
}

/// What the upper half of an ASCII byte can be.
#[inline]
fn high(bytes: u8x16) -> u8x16 {
    range(bytes, b'2', b'7')
}

#[inline]
fn hex_digit(bytes: u8x16) -> u8x16 {
    digit(bytes) | range(bytes | u8x16::splat(0x20), b'a', b'f')
}

/// Digits whose last four bits are 2 to 7: `C-H S-X i-n y z 0-3`, and some bytes beyond the alphabet.
#[inline]
fn second_of_base64(bytes: u8x16) -> u8x16 {
    let folded = bytes & u8x16::splat(0xEF);
    range(folded, b'C', b'H') | range(folded, b'i', b'n') | range(bytes, b'0', b'3')
}

/// Digits whose last two bits are 0 or 1.
#[inline]
fn third_of_base64(bytes: u8x16) -> u8x16 {
    // `A` stands for 0, `a` for 26, `0` for 52.
    let odd = one((bytes + u8x16::splat(1)) & u8x16::splat(2), 2);
    let small = one(bytes & u8x16::splat(0x20), 0x20);
    let even = one(bytes & u8x16::splat(2), 0);
    letter(bytes) & (odd ^ small) | digit(bytes) & even
}
