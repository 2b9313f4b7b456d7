//! Runs of bytes that tokens are made of, found 64 bytes at a time: most text has none that is long enough.

use std::ops::Range;

/// The shortest run of token bytes in which a token is looked for.
pub(super) const RUN: usize = 16;
/// How many bytes are looked at together.
const BLOCK: usize = 64;

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

/// Where runs begin: the next positions at or after `from` that have a whole run after them, or as many of them as
/// were looked at together.
pub(super) fn next_run(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while let Some(block) = text.get(at..)?.first_chunk::<BLOCK>() {
        let bits = token_bits(block);
        let starts = run_starts(bits);
        if starts != 0 {
            let start = starts.trailing_zeros();
            let length = (starts >> start).trailing_ones();
            let start = at + usize::try_from(start).ok()?;
            return Some(start..start + usize::try_from(length).ok()?);
        }
        // The last bytes may be the beginning of a run.
        at += BLOCK - usize::try_from(bits.leading_ones()).ok()?;
    }
    next_run_bytewise(text, at)
}

/// A bit for each byte of `block`, set for token bytes. Written so that the compiler turns it into SIMD.
#[inline]
fn token_bits(block: &[u8; BLOCK]) -> u64 {
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = token_mark(*byte);
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

fn next_run_bytewise(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let window = text.get(at..at + RUN)?;
        match window.iter().rposition(|byte| !is_token_byte(*byte)) {
            Some(last) => at += last + 1,
            None => return Some(at..at + 1),
        }
    }
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

    #[track_caller]
    fn check_run(text: &str, from: usize, expected: impl Into<Option<Range<usize>>>) {
        assert_eq!(next_run(text.as_bytes(), from), expected.into(), "{text}");
    }

    #[test]
    fn runs_have_at_least_16_token_bytes() {
        check_run("", 0, None);
        check_run("0123456789abcde", 0, None);
        check_run("0123456789abcdef", 0, Some(0..1));
        check_run("\"0123456789abcdef\"", 0, Some(1..2));
        check_run("short words and 0123456789abcdefgh!", 0, Some(16..17));
        check_run("0123456789abcdef", 1, None);
        let long = "a".repeat(200);
        check_run(&long, 3, Some(3..4 + BLOCK - RUN));
        check_run(&format!("! {}! {long}", "a".repeat(20)), 0, 2..7);
    }

    /// All positions that begin a run, stretch by stretch.
    fn all(text: &[u8], next: fn(&[u8], usize) -> Option<Range<usize>>) -> Vec<usize> {
        let mut from = 0;
        let mut all = Vec::new();
        while let Some(stretch) = next(text, from) {
            from = stretch.end;
            all.extend(stretch);
        }
        all
    }

    proptest! {
        #[test]
        fn blocks_and_bytes_agree(text in "([a-zA-Z0-9_./+-]{0,70}[ \"@`\\[{:,]{0,2}){0,12}") {
            prop_assert_eq!(all(text.as_bytes(), next_run), all(text.as_bytes(), next_run_bytewise));
        }
    }
}
