//! Seed phrases of BIP-39, in English: 12 to 24 words of a fixed list, the last of which holds a checksum.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// The standard's list, in order: a word's number is its place.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("bip39.txt").lines().collect());

/// How many words a phrase can have, the longest first.
const LENGTHS: [usize; 5] = [24, 21, 18, 15, 12];
/// How far apart two words of a phrase may be, in bytes.
const GAP: usize = 8;

/// The length in bytes of the seed phrase that `text` begins with. Words may be in capitals and are separated by white
/// space, also escaped, and commas.
///
/// The caller sees to it that no letter stands before `text`. One phrase of twelve listed words in sixteen has a valid
/// checksum by chance; twelve listed words in a row are what is rare.
pub(in crate::redact) fn seed_phrase(text: &[u8]) -> Option<usize> {
    let words = words(text);
    LENGTHS.into_iter().find_map(|length| {
        let phrase = words.get(..length)?;
        let (_, end) = phrase.last()?;
        has_checksum(phrase).then_some(*end)
    })
}

/// The listed words at the beginning of `text`, by number, each with where it ends.
fn words(text: &[u8]) -> Vec<(u16, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && words.len() < 24
    {
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let Some(number) = rest.get(..length).and_then(number) else {
            break;
        };
        words.push((number, at + length));
        let gap = gap(rest.get(length..).unwrap_or_default());
        if gap == 0 {
            break;
        }
        at += length + gap;
    }
    words
}

fn number(word: &[u8]) -> Option<u16> {
    // The list's words have three to eight letters.
    if !(3..=8).contains(&word.len()) {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let place = WORDS.binary_search_by(|listed| listed.as_bytes().cmp(&word)).ok()?;
    u16::try_from(place).ok()
}

/// How many bytes separate two words here, 0 when they are no separator.
fn gap(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += match text.get(at..) {
            Some([b'\\', b'n' | b'r' | b't', ..]) => 2,
            Some([b' ' | b'\n' | b'\r' | b'\t' | b',', ..]) => 1,
            _ => return at,
        };
        if at > GAP {
            return 0;
        }
    }
}

/// Eleven bits a word; of 33 bits the last is the checksum's, which is how the SHA-256 of the others begins.
fn has_checksum(phrase: &[(u16, usize)]) -> bool {
    let bits: Vec<bool> = phrase
        .iter()
        .flat_map(|(number, _)| (0..11).rev().map(move |bit| number >> bit & 1 == 1))
        .collect();
    let (entropy, checksum) = bits.split_at(bits.len() / 33 * 32);
    let (bytes, _) = entropy.as_chunks::<8>();
    let bytes: Vec<u8> = bytes.iter().map(|bits| byte(bits)).collect();
    let digest = Sha256::digest(&bytes);
    let bit_of_digest = |place: usize| digest.first().is_some_and(|first| first >> (7 - place) & 1 == 1);
    checksum
        .iter()
        .enumerate()
        .all(|(place, bit)| *bit == bit_of_digest(place))
}

fn byte(bits: &[bool]) -> u8 {
    bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZEROS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn the_list_is_the_standards() {
        assert_eq!(WORDS.len(), 2048);
        assert!(WORDS.is_sorted());
        assert_eq!((WORDS[0], WORDS[2047]), ("abandon", "zoo"));
    }

    #[track_caller]
    fn check_phrase(text: &str, expected: Option<usize>) {
        assert_eq!(seed_phrase(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn a_phrase_has_a_checksum() {
        check_phrase(ZEROS, Some(ZEROS.len()));
        check_phrase(&format!("{ZEROS}\", and more"), Some(ZEROS.len()));
        check_phrase(&format!("{ZEROS} zoo"), Some(ZEROS.len()));
        check_phrase(&ZEROS.to_uppercase(), Some(ZEROS.len()));
        check_phrase(&ZEROS.replace(' ', ", "), Some(ZEROS.len() + 11));
        check_phrase(&ZEROS.replace(' ', "\\n"), Some(ZEROS.len() + 11));
        check_phrase(&ZEROS.replace("about", "abandon"), None);
        check_phrase(&ZEROS.replace("about", "aboutt"), None);
        check_phrase(&ZEROS.replace(' ', "                "), None);
        check_phrase(
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            Some(75),
        );
        check_phrase("the user should be able to open this file and then run it", None);
        check_phrase("", None);
    }

    fn phrase(entropy: &[u8]) -> String {
        let digest = Sha256::digest(entropy);
        let all = [entropy, &digest[..1]].concat();
        let bits: Vec<bool> = all
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
            .collect();
        let count = entropy.len() * 8 / 32 * 3;
        let number = |bits: &[bool]| bits.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
        let words: Vec<&str> = bits.chunks(11).take(count).map(|bits| WORDS[number(bits)]).collect();
        words.join(" ")
    }

    proptest! {
        #[test]
        fn every_phrase_is_found_with_its_length(
            entropy in proptest::collection::vec(any::<u8>(), 4..=8).prop_map(|seed| seed.repeat(4)),
        ) {
            let phrase = phrase(&entropy);
            prop_assert_eq!(seed_phrase(phrase.as_bytes()), Some(phrase.len()));
        }

        #[test]
        fn a_phrase_ends_within_its_text(text in "([a-z]{3,8} ){0,30}") {
            prop_assert!(seed_phrase(text.as_bytes()).is_none_or(|length| length <= text.len()));
        }
    }
}
