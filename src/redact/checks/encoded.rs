//! Secrets that are an encoding of something with a form of its own: JSON Web Tokens, PEM, Basic credentials.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longer than the words of prose, shorter than a line of PEM.
const DENSE: usize = 24;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
const FOR_HEADERS: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);

/// Whether some dot-separated part is base64url of a JSON object: header or claims, whichever the rule took in.
pub(super) fn is_jwt(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'.').any(is_json_object)
}

fn is_json_object(part: &[u8]) -> bool {
    FOR_URLS
        .decode(part)
        .is_ok_and(|json| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).is_ok())
}

/// Whether base64 stands somewhere as densely as in a key. Line breaks may be escaped.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.split(|byte| !matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'='))
        .any(|run| run.len() >= DENSE)
}

/// Whether this is what RFC 7617 puts behind `Basic`: a user and a password that is not empty.
pub(super) fn is_user_and_password(text: &[u8]) -> bool {
    let Ok(pair) = FOR_HEADERS.decode(text) else {
        return false;
    };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return false;
    };
    colon + 1 < pair.len() && std::str::from_utf8(&pair).is_ok_and(|pair| !pair.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_has_a_json_object_in_it() {
        assert!(is_jwt(b".eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"));
        assert!(!is_jwt(b".eyJzdWIiOiIxMjM0In.c2lnbmF0dXJl"));
        assert!(!is_jwt(b""));
    }

    #[track_caller]
    fn check_pem(text: &str, expected: bool) {
        assert_eq!(is_pem(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn prose_is_no_key() {
        check_pem("\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n", true);
        check_pem("\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n", true);
        check_pem(" is the first line of the file, and the body follows it", false);
    }

    #[track_caller]
    fn check_basic(text: &str, expected: bool) {
        assert_eq!(is_user_and_password(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn basic_credentials_are_a_pair() {
        check_basic("dXNlcjpodW50ZXIy", true);
        check_basic("OnBhc3N3b3Jk", true);
        check_basic("dXNlcjo=", false);
        check_basic("dXNlcg==", false);
        check_basic("AAAAOgAAAA==", false);
        check_basic("not base64", false);
    }
}
