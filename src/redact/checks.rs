//! What a match must satisfy besides its expression before it counts as a secret.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A test of a match beyond its expression, named in a rule as `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// Some dot-separated part of the match is base64url of a JSON object.
    Jwt,
    /// It is gzip with a secret in it, which the scanner finds out.
    Gzip,
    /// Somewhere base64 stands as densely as in a key and not as in prose.
    Pem,
}

impl Check {
    pub(super) fn holds(self, text: &[u8]) -> bool {
        match self {
            Self::Jwt => text.split(|byte| *byte == b'.').any(is_json_object),
            Self::Gzip => true,
            Self::Pem => text
                .split(|byte| !matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'='))
                .any(|run| run.len() >= DENSE),
        }
    }
}

/// Longer than the words of prose, shorter than a line of PEM.
const DENSE: usize = 24;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn is_json_object(part: &[u8]) -> bool {
    LENIENT
        .decode(part)
        .is_ok_and(|json| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).is_ok())
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

    #[test]
    fn a_jwt_has_a_json_object_in_it() {
        assert!(Check::Jwt.holds(b".eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"));
        assert!(!Check::Jwt.holds(b".eyJzdWIiOiIxMjM0In.c2lnbmF0dXJl"));
        assert!(!Check::Jwt.holds(b""));
    }
}
