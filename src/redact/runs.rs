//! Runs of bytes that tokens are made of, found 64 bytes at a time: most text has none that is long enough.

use std::ops::Range;

/// The shortest run of token bytes in which a token is looked for.
pub(super) const RUN: usize = 16;
/// How many bytes are looked at together.
const BLOCK: usize = 64;
/// How many positions of a block can have a whole run after them in the block.
const STARTS: usize = BLOCK - RUN + 1;

/// Whether tokens are made of this byte: `A-Z a-z 0-9 _ - . / +`.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    token_mark(byte) == 1
}

/// 1 for a token byte, 0 for another: arithmetic instead of a look-up, so that it is done to many bytes at once.
#[inline]
fn token_mark(byte: u8) -> u8 {
    let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
    // '-' to '9' are `-./0123456789`.
    let mark = u8::from(byte.wrapping_sub(b'-') < 13);
    letter | mark | u8::from(byte == b'+') | u8::from(byte == b'_')
}

/// Where runs begin within one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    /// Where the block begins; all that begins before [`Starts::end`] is known.
    at: usize,
    /// A bit for each position of the block at which a whole run begins.
    bits: u64,
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
                let bits = likely_bits(block);
                if run_starts(bits) == 0 && tail + leading(bits) < RUN {
                    tail = trailing(bits);
                    at += BLOCK;
                    continue;
                }
            }
            at -= tail;
            let bits = token_bits(text.get(at..)?.first_chunk()?);
            let starts = run_starts(bits);
            if starts != 0 {
                return Some(Self { at, bits: starts });
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
            let length = rest.len().min(BLOCK);
            let mut block = [0; BLOCK];
            block.get_mut(..length)?.copy_from_slice(rest.get(..length)?);
            let bits = run_starts(token_bits(&block));
            if bits != 0 {
                return Some(Self { at, bits });
            }
            at += STARTS;
        }
    }

    /// One after the last position of which it is known whether a run begins there.
    pub(super) fn end(self) -> usize {
        self.at + STARTS
    }

    /// Takes out the next positions in a row at or after `from`.
    pub(super) fn stretch(&mut self, from: usize) -> Option<Range<usize>> {
        let passed = u32::try_from(from.saturating_sub(self.at)).unwrap_or(u32::MAX);
        let bits = self.bits & u64::MAX.checked_shl(passed).unwrap_or(0);
        if bits == 0 {
            return None;
        }
        let first = bits.trailing_zeros();
        self.bits = bits & bits.wrapping_add(1 << first);
        let length = (bits >> first).trailing_ones();
        let start = self.at + usize::try_from(first).ok()?;
        Some(start..start + usize::try_from(length).ok()?)
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

/// A bit for each byte of `block`, set for token bytes.
#[inline]
fn token_bits(block: &[u8; BLOCK]) -> u64 {
    bits(block, token_mark)
}

/// A bit for each byte of `block`, set for token bytes and some others, but quickly.
#[inline]
fn likely_bits(block: &[u8; BLOCK]) -> u64 {
    bits(block, |byte| u8::from(byte.cast_signed() >= b'+'.cast_signed()))
}

/// A bit for each byte of `block` that `mark` marks. Written so that the compiler turns it into SIMD.
#[inline]
fn bits(block: &[u8; BLOCK], mark: impl Fn(u8) -> u8) -> u64 {
    let mut marks = [0; BLOCK];
    for (mark_of, byte) in marks.iter_mut().zip(block) {
        *mark_of = mark(*byte);
    }
    let (eights, _) = marks.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, eight| {
        // The product's highest byte gathers the lowest bits of all eight.
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits << 8 | gathered
    })
}

/// Where [`RUN`] set bits begin.
#[inline]
fn run_starts(bits: u64) -> u64 {
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
                from = stretch.end;
                all.extend(stretch);
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

    proptest! {
        #[test]
        fn blocks_and_bytes_agree(text in "([a-zA-Z0-9_./+-]{0,70}[ \"@`\\[{:,]{0,2}){0,12}", from in 0_usize..100) {
            prop_assert_eq!(all(text.as_bytes(), from), bytewise(text.as_bytes(), from));
        }
    }
}
