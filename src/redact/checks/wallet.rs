//! Keys of wallets: base58check, which ends in four bytes of a double SHA-256.

use sha2::{Digest as _, Sha256};

use super::entropy;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Extended keys have 111 symbols; decoding takes the square of it.
const SYMBOLS_MAX: usize = 128;
/// The entropy above which an extended key with an invalid checksum is taken for one all the same: its prefix and length
/// leave no doubt of what it was meant to be.
const RANDOM: f64 = 4.0;

/// Whether `text` is a private key in wallet import format, of Bitcoin's main or test network.
pub(super) fn is_wif(text: &[u8]) -> bool {
    let Some(payload) = base58check(text) else {
        return false;
    };
    let network = matches!(payload.first(), Some(0x80 | 0xef));
    let compressed = payload.len() == 34 && payload.last() == Some(&1);
    network && (payload.len() == 33 || compressed)
}

/// Whether `text`, which begins like an extended private key, is one.
pub(super) fn is_extended_key(text: &[u8]) -> bool {
    base58check(text).is_some() || entropy(text) > RANDOM
}

/// What stands before the checksum, if the checksum is right.
fn base58check(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = decode(text)?;
    let checksum = *bytes.last_chunk::<4>()?;
    bytes.truncate(bytes.len() - checksum.len());
    let digest = Sha256::digest(Sha256::digest(&bytes));
    digest.starts_with(&checksum).then_some(bytes)
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > SYMBOLS_MAX {
        return None;
    }
    // The lowest byte first, until all symbols are in.
    let mut bytes: Vec<u8> = Vec::new();
    for symbol in text {
        let value = ALPHABET.iter().position(|known| known == symbol)?;
        let mut carry = u32::try_from(value).ok()?;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            [*byte, ..] = carry.to_le_bytes();
            carry >>= 8;
        }
        if carry > 0 {
            let [low, ..] = carry.to_le_bytes();
            bytes.push(low);
        }
    }
    let zeros = text.iter().take_while(|symbol| **symbol == b'1').count();
    bytes.resize(bytes.len() + zeros, 0);
    bytes.reverse();
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        let mut digits: Vec<u32> = Vec::new();
        for byte in bytes {
            let mut carry = u32::from(*byte);
            for digit in &mut digits {
                carry += *digit << 8;
                *digit = carry % 58;
                carry /= 58;
            }
            while carry > 0 {
                digits.push(carry % 58);
                carry /= 58;
            }
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let symbols = digits
            .iter()
            .rev()
            .map(|digit| ALPHABET[usize::try_from(*digit).unwrap()]);
        std::iter::repeat_n(b'1', zeros)
            .chain(symbols)
            .map(char::from)
            .collect()
    }

    fn with_checksum(payload: &[u8]) -> String {
        let digest = Sha256::digest(Sha256::digest(payload));
        encode(&[payload, &digest[..4]].concat())
    }

    #[track_caller]
    fn check_wif(text: &str, expected: bool) {
        assert_eq!(is_wif(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn wif_has_a_checksum() {
        // The keys of Bitcoin's documentation.
        check_wif(concat!("5Hue", "CGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"), true);
        check_wif(
            concat!("KwDi", "Bf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"),
            true,
        );
        check_wif(
            concat!("5Hue", "CGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTK"),
            false,
        );
        check_wif("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", false);
        check_wif("", false);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn every_key_is_found_and_no_mistyped_one(key in any::<[u8; 32]>(), at in 1_usize..51, symbol in 0_usize..58) {
            let text = with_checksum(&[&[0x80][..], &key].concat());
            prop_assert!(is_wif(text.as_bytes()));
            let mut other = text.clone().into_bytes();
            other[at] = ALPHABET[symbol];
            prop_assert_eq!(is_wif(&other), other == text.as_bytes());
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = is_wif(&text) || is_extended_key(&text);
        }
    }
}
