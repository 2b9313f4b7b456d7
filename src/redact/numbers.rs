//! Payment cards and IBANs: secrets without a beginning of their own, found by their digits, 64 positions at a time.

use super::block::{BLOCK, Block, digit, in_a_row, low, one, range, word};

/// The fewest digits and separators of a card's number.
const CARD: u32 = 14;
/// No number is longer: 34 characters in groups of four.
const LONGEST: usize = 48;

/// What a number can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    Card,
    Iban,
}

/// The first position at or after `from` at which a number could begin, and which.
pub(super) fn find(text: &[u8], from: usize) -> Option<(usize, Number)> {
    let mut at = from;
    while at < text.len() {
        let here = Block::at(text, at);
        if here.bits(digit) != 0 || text.get(at + BLOCK).is_some_and(u8::is_ascii_digit) {
            let [cards, ibans] = beginnings(text, at, here);
            let first = (cards | ibans).trailing_zeros();
            if first < u64::BITS {
                let number = if cards >> first & 1 == 1 {
                    Number::Card
                } else {
                    Number::Iban
                };
                return Some((at + usize::try_from(first).ok()?, number));
            }
        }
        at += BLOCK;
    }
    None
}

/// Where in the block at `at` cards' numbers and IBANs could begin.
fn beginnings(text: &[u8], at: usize, here: Block) -> [u64; 2] {
    let next = Block::at(text, at + BLOCK);
    let digits = u128::from(here.bits(digit)) | u128::from(next.bits(digit)) << BLOCK;
    let four = in_a_row(digits, 1, 4);
    // The networks' numbers begin with 2 to 6.
    let cards = low(four) & here.bits(|bytes| range(bytes, b'2', b'6'));
    let capitals = here.bits(|bytes| range(bytes, b'A', b'Z'));
    let two = low(in_a_row(digits, 1, 2) >> 2);
    let ibans = capitals & (capitals >> 1 | 1 << (BLOCK - 1)) & two;
    if cards | ibans == 0 {
        return [0, 0];
    }
    // No part of a longer word or number stands to the left.
    let apart = here.apart_from(text, at, |bytes| word(bytes) | one(bytes, b'.'));
    let separated = |bytes| digit(bytes) | one(bytes, b' ') | one(bytes, b'-');
    let long = u128::from(here.bits(separated)) | u128::from(next.bits(separated)) << BLOCK;
    [cards & low(in_a_row(long, 1, CARD)) & apart, ibans & apart]
}

/// The first position at the end of `text` from which a number could go on in the bytes still to come, else the end.
pub(super) fn unfinished(text: &[u8], from: usize) -> usize {
    let tail = region(text, from, text.len());
    let begins = |at: &usize| text.get(*at..).is_some_and(|rest| kind(rest).is_some());
    (tail..text.len()).find(begins).unwrap_or(text.len())
}

/// Where the words begin that could belong to a number which goes on at `at`; not before `from`.
fn region(text: &[u8], from: usize, at: usize) -> usize {
    let first = at.saturating_sub(LONGEST).max(from);
    let before = text.get(first..at).unwrap_or_default();
    let part = before.iter().rev().take_while(|byte| is_part(**byte)).count();
    at - part
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-')
}

/// Whether what stands right of this byte is a part of a longer word or number: fractions have sixteen digits as well.
pub(super) fn continues_number(left: u8) -> bool {
    left.is_ascii_alphanumeric() || matches!(left, b'.' | b'_')
}

/// What a text that begins so could be.
fn kind(rest: &[u8]) -> Option<Number> {
    match rest {
        // The networks' numbers begin with 2 to 6.
        [b'2'..=b'6', more @ ..] if more.iter().take(3).all(u8::is_ascii_digit) => Some(Number::Card),
        [b'A'..=b'Z'] => Some(Number::Iban),
        [b'A'..=b'Z', b'A'..=b'Z', more @ ..] if more.iter().take(2).all(u8::is_ascii_digit) => Some(Number::Iban),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seen_wherever_they_stand() {
        let numbers = [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "41111111111111",
            "DE89 3704 0044 0532 0130 00",
            "NL91ABNA0417164300",
        ];
        let numbers = numbers
            .into_iter()
            .chain(["GB33 BUKB 2020 1555 5555 55"])
            .collect::<Vec<_>>();
        for before in 0..20 {
            for number in &numbers {
                let text = format!("{}{number}. ", "x ".repeat(before));
                let found = find(text.as_bytes(), 0).map(|(at, _)| at);
                assert_eq!(found, Some(2 * before), "{text}");
            }
        }
    }

    #[test]
    fn what_is_cut_waits() {
        for end in 1..27 {
            let text = format!("abc {}", "DE89 3704 0044 0532 0130 00".split_at(end).0);
            assert_eq!(unfinished(text.as_bytes(), 0), 4, "{text}");
        }
        assert_eq!(unfinished(b"abc x", 0), 5);
        assert_eq!(unfinished(b"n: 411}", 0), 7);
    }
}
