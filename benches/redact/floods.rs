//! Crafted inputs: beginnings of secrets again and again, bare and in every dress that is looked through.

use std::fmt::Write as _;

use bytes::Bytes;

use super::inputs::Seeded;

const SIZE: usize = 1 << 20;

/// What secrets begin with, or nearly.
const BEGINNINGS: &[&str] = &[
    "EAAA",
    "://",
    "://a:",
    "ghp_",
    "gh",
    ".eyJ",
    "eyJhbGciOi",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "SecretAccessKey=",
    "AIza",
    "1/123456789012345",
    "AKIAABCDEFGHIJKLMNOP ",
    "postgres://a:b@",
    "sk-",
    "xoxb-",
    "SG.",
    "sk-ant-api03-",
    "github_pat_",
    "access_token$",
    "hooks.slack.com/services/",
    "4111 1111 1111 111",
    "DE89 3704 0044 0532 0130 0",
    "abandon ability able ",
    "H4sIAAAAAAAA",
    "\\",
    "%",
    "&#",
    "=",
];

/// Each flood with its name.
pub(crate) fn floods() -> Vec<(String, Bytes)> {
    let mut floods: Vec<(String, String)> = Vec::new();
    for beginning in BEGINNINGS {
        floods.push((format!("{beginning:?}"), (*beginning).to_owned()));
    }
    for beginning in ["ghp_", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi", "://a:b"] {
        let bytes = beginning.bytes();
        let each = |write: fn(u8) -> String| bytes.clone().map(write).collect::<String>();
        let dressed = [
            ("\\u", each(|byte| format!("\\u{byte:04x}"))),
            ("percent", each(|byte| format!("%{byte:02X}"))),
            ("percent twice", each(|byte| format!("%25{byte:02X}"))),
            ("entities", each(|byte| format!("&#{byte};"))),
            ("hex", each(|byte| format!("{byte:02x}"))),
            ("hex with colons", each(|byte| format!("{byte:02x}:"))),
            ("quoted-printable", each(|byte| format!("={byte:02X}"))),
            ("zero-width", each(|byte| format!("{}\u{200b}", char::from(byte)))),
            (
                "full-width",
                each(|byte| char::from_u32(u32::from(byte) + 0xfee0).unwrap().to_string()),
            ),
            ("UTF-16", each(|byte| format!("{}\0", char::from(byte)))),
            ("base64", base64(&beginning.repeat(3))),
            ("base64 after 1 byte", base64(&format!(":{}", beginning.repeat(3)))),
            ("base64 twice", base64(&base64(&beginning.repeat(9)))),
        ];
        floods.extend(dressed.map(|(dress, text)| (format!("{beginning:?} in {dress}"), text)));
    }
    floods.push(("zero-width characters".to_owned(), "\u{200b}\u{200d}".to_owned()));
    floods.push(("\\u005c".to_owned(), "\\u005c".to_owned()));
    floods.push(("%25".to_owned(), "%25".to_owned()));
    floods.push(("&amp;".to_owned(), "&amp;".to_owned()));
    floods.push(("beginnings in any order".to_owned(), shuffled()));
    let filled = |text: String| Bytes::from(text.repeat(SIZE.div_ceil(text.len())));
    floods.into_iter().map(|(name, text)| (name, filled(text))).collect()
}

fn shuffled() -> String {
    let mut random = Seeded(0x5eed_0002);
    let mut text = String::new();
    while text.len() < 64 << 10 {
        let number = random.below(1 << 16);
        write!(text, "{}{number:x}", BEGINNINGS[random.below(BEGINNINGS.len())]).unwrap();
    }
    text
}

/// Base64 of whole groups of three bytes, so that it can be repeated.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    let whole = text.len() / 3 * 3;
    base64::engine::general_purpose::STANDARD.encode(&text.as_bytes()[..whole])
}
