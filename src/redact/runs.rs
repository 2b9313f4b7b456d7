//! Runs of bytes that tokens are made of, found 64 bytes at a time: most text has none that is long enough.

use std::ops::Range;

use wide::u8x16;

use super::block::{BLOCK, Block, token, word};

/// The shortest run of token bytes in which a token is looked for.
pub(super) const RUN: usize = 16;
/// How many positions of a block can have a whole run after them in the block.
const STARTS: usize = BLOCK - RUN + 1;

/// Whether tokens are made of this byte: `A-Z a-z 0-9 _ - . / +`.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+')
}

/// Where runs begin within one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    /// Where the block begins; all that begins before [`Starts::end`] is known.
    at: usize,
    /// A bit for each position of the block at which a whole run begins.
    bits: u64,
    /// A bit for each position that no letter or digit may stand left of.
    apart: u64,
}

/// Positions in a row at which whole runs begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) positions: Range<usize>,
    /// A bit for each of them, the first one's lowest, that no letter or digit may stand left of.
    pub(super) apart: u64,
}

impl Starts {
    /// The next block at or after `from` in which a run begins.
    #[inline(never)]
    pub(super) fn next(text: &[u8], from: usize) -> Option<Self> {
        let mut at = from;
        // How many bytes before `at` could belong to a run that goes on there.
        let mut tail = 0;
        let mut expected = true;
        while let Some(block) = text.get(at..)?.first_chunk::<BLOCK>() {
            if !expected {
                let bits = Block::new(block).bits(likely);
                if run_starts(bits) == 0 && tail + leading(bits) < RUN {
                    tail = trailing(bits);
                    at += BLOCK;
                    continue;
                }
            }
            at -= tail;
            let block = Block::at(text, at);
            let bits = block.bits(token);
            let starts = run_starts(bits);
            if starts != 0 {
                return Some(Self::new(text, at, block, starts));
            }
            tail = trailing(bits);
            at += BLOCK;
            expected = false;
        }
        Self::in_rest(text, at - tail)
    }

    /// The same for less than two blocks.
    fn in_rest(text: &[u8], from: usize) -> Option<Self> {
        let mut at = from;
        loop {
            let rest = text.get(at..).filter(|rest| rest.len() >= RUN)?;
            let block = Block::at(rest, 0);
            let starts = run_starts(block.bits(token));
            if starts != 0 {
                return Some(Self::new(text, at, block, starts));
            }
            at += STARTS;
        }
    }

    fn new(text: &[u8], at: usize, block: Block, bits: u64) -> Self {
        let apart = block.apart_from(text, at, word);
        Self { at, bits, apart }
    }

    /// Where the block begins.
    pub(super) fn start(self) -> usize {
        self.at
    }

    /// One after the last position of which it is known whether a run begins there.
    pub(super) fn end(self) -> usize {
        self.at + STARTS
    }

    /// Takes out the next positions in a row at or after `from`.
    pub(super) fn stretch(&mut self, from: usize) -> Option<Stretch> {
        let passed = u32::try_from(from.saturating_sub(self.at)).unwrap_or(u32::MAX);
        let bits = self.bits & u64::MAX.checked_shl(passed).unwrap_or(0);
        if bits == 0 {
            return None;
        }
        let first = bits.trailing_zeros();
        self.bits = bits & bits.wrapping_add(1 << first);
        let length = (bits >> first).trailing_ones();
        let start = self.at + usize::try_from(first).ok()?;
        Some(Stretch {
            positions: start..start + usize::try_from(length).ok()?,
            apart: self.apart >> first,
        })
    }
}

/// How many of a block's first bytes could belong to a run that began before it.
#[inline]
fn leading(bits: u64) -> usize {
    usize::try_from(bits.trailing_ones()).unwrap_or(0)
}

/// How many of a block's last bytes could be the beginning of a run that goes on in the next.
#[inline]
fn trailing(bits: u64) -> usize {
    usize::try_from(bits.leading_ones()).map_or(0, |ones| ones.min(RUN - 1))
}

/// Token bytes and some others, but quickly told.
#[inline]
fn likely(bytes: u8x16) -> u8x16 {
    let offset = bytes - u8x16::splat(b'+');
    offset.min(u8x16::splat(b'z' - b'+')).simd_eq(offset)
}

/// Where [`RUN`] set bits begin.
#[inline]
pub(super) fn run_starts(bits: u64) -> u64 {
    let two = bits & bits >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_bytes_are_those_of_the_documentation() {
        for byte in 0..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"_-./+".contains(&byte);
            assert_eq!(is_token_byte(byte), listed, "{byte:#x}");
        }
    }

    /// All positions that begin a run.
    fn all(text: &[u8], from: usize) -> Vec<usize> {
        let mut from = from;
        let mut all = Vec::new();
        while let Some(mut starts) = Starts::next(text, from) {
            while let Some(stretch) = starts.stretch(from) {
                from = stretch.positions.end;
                all.extend(stretch.positions);
            }
            from = from.max(starts.end());
        }
        all
    }

    fn bytewise(text: &[u8], from: usize) -> Vec<usize> {
        let begins = |at: &usize| {
            let run = text.get(*at..at + RUN);
            run.is_some_and(|run| run.iter().all(|byte| is_token_byte(*byte)))
        };
        (from..text.len()).filter(begins).collect()
    }

    #[track_caller]
    fn check_run(text: &str, from: usize, expected: impl IntoIterator<Item = usize>) {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(all(text.as_bytes(), from), expected, "{text}");
    }

    #[test]
    fn runs_have_at_least_16_token_bytes() {
        check_run("", 0, []);
        check_run("0123456789abcde", 0, []);
        check_run("0123456789abcdef", 0, [0]);
        check_run("\"0123456789abcdef\"", 0, [1]);
        check_run("short words and 0123456789abcdefgh!", 0, 16..19);
        check_run("0123456789abcdef", 1, []);
        let long = "a".repeat(200);
        check_run(&long, 3, 3..=200 - RUN);
        check_run(
            &format!("! {}! {}", "a".repeat(20), "a".repeat(16)),
            0,
            (2..7).chain([24]),
        );
    }

    #[test]
    fn what_may_stand_apart_is_known() {
        let apart = |text: &str, at: usize| {
            let mut starts = Starts::next(text.as_bytes(), at).unwrap();
            let stretch = starts.stretch(at).unwrap();
            assert_eq!(stretch.positions.start, at);
            stretch.apart & 1 == 1
        };
        let token = "abcdefghijklmnopqrst";
        for before in [
            "",
            "x",
            "x ",
            "_",
            "-",
            "/",
            r"\n",
            "%3D",
            "%3",
            r"\u003d",
            "123456789 ",
        ] {
            for more in [0, 1, 40, 48, 50, 64, 100] {
                let text = format!("{}{before}{token}", " ".repeat(more));
                let expected = !matches!(before, "x" | "_") || more == 0 && before.is_empty();
                let at = text.len() - token.len();
                assert_eq!(apart(&text, at), expected, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn blocks_and_bytes_agree(text in "([a-zA-Z0-9_./+-]{0,70}[ \"@`\\[{:,]{0,2}){0,12}", from in 0_usize..100) {
            prop_assert_eq!(all(text.as_bytes(), from), bytewise(text.as_bytes(), from));
        }
    }
}
