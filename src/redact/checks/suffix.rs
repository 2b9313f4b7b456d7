//! Tokens that can be told from lookalikes by their own bytes: a checksum at the end, an account number inside.

use super::entropy;

/// The entropy above which a token without a valid checksum is taken for one all the same, in bits a byte.
const RANDOM: f64 = 3.0;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Whether a token of GitHub's or npm's is real, or looks as random as one.
///
/// Since 2021 both issue `prefix_` + random + six symbols of base62: the CRC-32 of the random part. A valid checksum
/// confirms a token beyond doubt. An invalid one is not held against it: a token that was mistyped, cut from a longer
/// text or issued by a compatible server is as much of a leak, so entropy decides then.
pub(super) fn is_checksummed_or_random(token: &[u8]) -> bool {
    let after = |at: usize| token.get(at + 1..).unwrap_or_default();
    let first = token.iter().position(|byte| *byte == b'_').map_or(token, after);
    let last = token.iter().rposition(|byte| *byte == b'_').map_or(token, after);
    has_crc32(last) || entropy(first) > RANDOM
}

fn has_crc32(body: &[u8]) -> bool {
    body.split_last_chunk::<6>()
        .is_some_and(|(random, checksum)| base62(crc32(random)) == *checksum)
}

/// CRC-32 of IEEE 802.3, bit by bit: tokens are short.
fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let reduced = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            crc >> 1 ^ reduced
        })
    })
}

/// A number in six symbols, zeros in front.
fn base62(mut number: u32) -> [u8; 6] {
    let mut symbols = [b'0'; 6];
    for symbol in symbols.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        *symbol = BASE62.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    symbols
}

/// Whether a text of the shape of an AWS access key id is one.
///
/// Since 2019 the sixteen symbols are base32 in which the account's number stands; older ids are random and begin with I
/// or J. Ids are made up as well, in tests and documentation, so a digit among them is enough: what has to be told apart
/// is a word in capitals, such as `ASIAPACIFIC…`.
pub(super) fn is_aws_key_id(id: &[u8]) -> bool {
    let symbols = id.get(4..).unwrap_or_default();
    let digit = symbols.iter().any(u8::is_ascii_digit);
    entropy(symbols) > 2.5 && (digit || has_account(symbols))
}

/// Account numbers have twelve digits.
fn has_account(symbols: &[u8]) -> bool {
    let bits = symbols.iter().take(10).try_fold(0_u64, |bits, symbol| {
        let value = BASE32.iter().position(|known| known == symbol)?;
        Some(bits << 5 | u64::try_from(value).ok()?)
    });
    // Of the first 48 bits the highest and the lowest seven belong to something else.
    bits.is_some_and(|bits| (bits >> 2 & 0x7fff_ffff_ff80) >> 7 < 1_000_000_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crc32_is_the_standards() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn base62_pads_with_zeros() {
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(62), b"000010");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    #[track_caller]
    fn check_token(token: &str, crc: bool, counts: bool) {
        let (_, body) = token.rsplit_once('_').unwrap();
        assert_eq!(has_crc32(body.as_bytes()), crc, "{token}");
        assert_eq!(is_checksummed_or_random(token.as_bytes()), counts, "{token}");
    }

    #[test]
    fn a_checksum_confirms_and_entropy_does_without() {
        // The example of GitHub's announcement.
        check_token(concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"), true, true);
        check_token(concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"), false, true);
        check_token(concat!("ghp_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), false, false);
        check_token(concat!("npm_", "000000000000000000000000000000000000"), false, false);
    }

    #[track_caller]
    fn check_aws(id: &str, expected: bool) {
        assert_eq!(is_aws_key_id(id.as_bytes()), expected, "{id}");
    }

    #[test]
    fn words_in_capitals_are_no_key_ids() {
        check_aws(concat!("AKIA", "IOSFODNN7EXAMPLE"), true);
        check_aws(concat!("ASIA", "UQR3KCSJJR7WF7YM"), true);
        check_aws(concat!("AKIA", "AAAAAAAAAAAAAAAA"), false);
        check_aws("ASIAPACIFICHEADQUART", false);
    }

    proptest! {
        #[test]
        fn every_token_with_its_checksum_is_taken(random in "[a-c]{30}") {
            let checksum = base62(crc32(random.as_bytes()));
            let token = format!("npm_{random}{}", String::from_utf8_lossy(&checksum));
            prop_assert!(is_checksummed_or_random(token.as_bytes()));
        }
    }
}
