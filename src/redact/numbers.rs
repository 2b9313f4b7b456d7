//! Payment cards and IBANs: secrets without a beginning of their own, found by their digits.
//!
//! Wherever such a number stands, together or in groups of four, one look at every second byte falls on four digits. Around those, each word that could be a
//! number's beginning is a candidate.

/// How many bytes a look falls on.
const LOOK: usize = 4;
/// How many looks there are before a decision.
const AT_ONCE: usize = 16;
/// No number is longer: 34 characters in groups of four.
const LONGEST: usize = 48;
/// The longest group within a number.
const GROUP: usize = 6;
/// No number has more characters without groups.
const TOGETHER: usize = 34;

/// What a number can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    Card,
    Iban,
}

/// The first position at or after `from` at which a number could begin, and which.
pub(super) fn find(text: &[u8], from: usize) -> Option<(usize, Number)> {
    let mut at = from;
    while let Some(look) = next_look(text, at) {
        let word = word_around(text, from, look);
        // A group may belong to what stands before it; a longer word can only be a number by itself.
        let first = if word.len() <= GROUP {
            region(text, from, look)
        } else {
            word.start
        };
        let part = if word.len() > TOGETHER {
            word.end..word.end
        } else {
            first..look + LOOK
        };
        let found = beginning(text, part);
        if found.is_some() {
            return found;
        }
        at = word.end.max(look + LOOK);
    }
    None
}

/// The letters and digits around the look at `at`, as far as a number could reach.
fn word_around(text: &[u8], from: usize, at: usize) -> std::ops::Range<usize> {
    let first = at.saturating_sub(TOGETHER).max(from);
    let before = text.get(first..at).unwrap_or_default();
    let after = text.get(at..).unwrap_or_default();
    let part = |byte: &&u8| byte.is_ascii_alphanumeric();
    let start = at - before.iter().rev().take_while(part).count();
    start..at + after.iter().take_while(part).count()
}

/// The first position at the end of `text` from which a number could go on in the bytes still to come, else the end.
pub(super) fn unfinished(text: &[u8], from: usize) -> usize {
    let tail = region(text, from, text.len());
    beginning(text, tail..text.len()).map_or(text.len(), |(at, _)| at)
}

/// The first look from `from` on that falls on four digits.
fn next_look(text: &[u8], from: usize) -> Option<usize> {
    let even = digits_in(text, from);
    let odd = digits_in(
        text.get(..even.map_or(text.len(), |even| even + LOOK))?,
        from + LOOK / 2,
    );
    odd.or(even)
}

/// The first of every four bytes from `from` on that are digits.
fn digits_in(text: &[u8], from: usize) -> Option<usize> {
    let (looks, _) = text.get(from..)?.as_chunks::<LOOK>();
    let (groups, _) = looks.as_chunks::<AT_ONCE>();
    let none = |group: &&[[u8; LOOK]; AT_ONCE]| !group.iter().fold(false, |any, look| any | is_digits(*look));
    let nth = AT_ONCE * groups.iter().take_while(none).count();
    let ahead = looks.get(nth..)?.iter().position(|look| is_digits(*look))?;
    Some(from + (nth + ahead) * LOOK)
}

/// Whether all four bytes are digits.
#[inline]
fn is_digits(look: [u8; LOOK]) -> bool {
    let bytes = u32::from_le_bytes(look);
    // The upper half of a digit's byte is 3, also after 6 is added to it.
    (bytes & 0xF0F0_F0F0) | (bytes.wrapping_add(0x0606_0606) & 0xF0F0_F0F0) >> 4 == 0x3333_3333
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

/// The first word in `part` with which a number begins, as far as the text goes.
fn beginning(text: &[u8], part: std::ops::Range<usize>) -> Option<(usize, Number)> {
    part.filter(|at| is_word_start(text, *at))
        .find_map(|at| Some((at, kind(text.get(at..)?)?)))
}

fn is_word_start(text: &[u8], at: usize) -> bool {
    let left = at.checked_sub(1).and_then(|left| text.get(left));
    left.is_none_or(|left| !continues_number(*left))
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
    fn looks_see_four_digits() {
        for text in ["0000", "9999", "4190"] {
            assert!(is_digits(*text.as_bytes().first_chunk().unwrap()), "{text}");
        }
        for text in ["000:", "/999", "41 0", "abcd", "12\x0345", "\u{3c1}12"] {
            assert!(!is_digits(*text.as_bytes().first_chunk().unwrap()), "{text}");
        }
    }

    #[test]
    fn numbers_are_seen_wherever_they_stand() {
        let numbers = [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111111111111",
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
