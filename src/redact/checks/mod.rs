//! What a match must satisfy besides its expression before it counts as a secret, and what is never one.
//!
//! Pure functions of the matched bytes, a file a family: `suffix` (tokens that end in a checksum), `encoded` (JWT, PEM,
//! Basic credentials), `number` (payment cards, IBAN), `wallet` (base58check), `seed` (BIP-39), `opaque` (values that
//! only their name makes a secret), `published` (examples from public documentation).
//!
//! Deliberately not here: whether a credential is live. Nothing is asked of anybody.

mod encoded;
mod number;
mod opaque;
mod published;
mod seed;
mod suffix;
mod wallet;

pub(super) use published::is_well_known_example;

use crate::redact::numbers::Number;

/// A test of a match beyond its expression, named in a rule as `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// An AWS access key id, and no word in capitals that begins like one.
    Aws,
    /// An extended key of BIP-32 (`xprv…`), by its checksum or its entropy.
    Base58check,
    /// `user:password` in base64.
    Basic,
    /// Begins with a seed phrase of BIP-39.
    Bip39,
    /// Begins with a payment card's number.
    Card,
    /// A token of GitHub's or npm's, by its checksum or its entropy.
    Github,
    /// It is gzip with a secret in it, which the scanner finds out.
    Gzip,
    /// Begins with an IBAN.
    Iban,
    /// Some dot-separated part of the match is base64url of a JSON object.
    Jwt,
    /// A random value, as behind a name that says `api_key`.
    Key,
    /// A token of npm's, by its checksum or its entropy.
    Npm,
    /// A random value that is no identifier or hash either, as behind a name that says no more than `secret`.
    Opaque,
    /// What a person or a generator would choose for a password, and no word, variable or label.
    Password,
    /// Somewhere base64 stands as densely as in a key and not as in prose.
    Pem,
    /// No variable that stands for the secret.
    Value,
    /// A private key in Bitcoin's wallet import format.
    Wif,
}

impl Check {
    /// What kind of number satisfies it.
    pub(super) fn number(self) -> Option<Number> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the other checks are of no numbers")]
        match self {
            Self::Card => Some(Number::Card),
            Self::Iban => Some(Number::Iban),
            _ => None,
        }
    }

    pub(super) fn holds(self, text: &[u8]) -> bool {
        match self {
            Self::Aws => suffix::is_aws_key_id(text),
            Self::Base58check => wallet::is_extended_key(text),
            Self::Basic => encoded::is_user_and_password(text),
            Self::Bip39 => seed::seed_phrase(text).is_some(),
            Self::Card => number::card(text).is_some(),
            Self::Gzip => true,
            Self::Github | Self::Npm => suffix::is_checksummed_or_random(text),
            Self::Iban => number::iban(text).is_some(),
            Self::Jwt => encoded::is_jwt(text),
            Self::Key => opaque::is_key(text),
            Self::Opaque => opaque::is_key(text) && !opaque::never_secret(text),
            Self::Password => opaque::is_password(text),
            Self::Pem => encoded::is_pem(text),
            Self::Value => !opaque::is_variable(text),
            Self::Wif => wallet::is_wif(text),
        }
    }
}

/// Shannon entropy of `text` in bits a byte.
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

    #[track_caller]
    fn check_entropy(text: &str, bits: f64) {
        assert!((entropy(text.as_bytes()) - bits).abs() < 1e-9, "{text}");
    }

    #[test]
    fn entropy_is_shannons() {
        check_entropy("", 0.0);
        check_entropy("aaaa", 0.0);
        check_entropy("abab", 1.0);
        check_entropy("abcdefgh", 3.0);
    }

    #[track_caller]
    fn check_named(name: &str, expected: Check) {
        let check = Check::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name));
        assert_eq!(check.unwrap(), expected);
    }

    #[test]
    fn checks_are_named_in_kebab_case() {
        check_named("base58check", Check::Base58check);
        check_named("bip39", Check::Bip39);
        check_named("github", Check::Github);
        check_named("wif", Check::Wif);
    }
}
