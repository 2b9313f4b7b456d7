//! The path of a request in the one spelling that rules are compared with.
//!
//! A path that origins are known to resolve differently (dot segments, backslashes, control bytes, overlong UTF-8, in any
//! depth of percent-encoding) is refused rather than guessed at. The query is not part of it. What goes to the origin
//! is the caller's business: the canonical text is for matching.

use std::fmt;

/// The longest path that is read, as long as a whole message head may be.
const MAX_PATH_BYTES: usize = 65_536;

/// Why a path can't be matched; each is `request.ambiguous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It doesn't begin with `/`.
    #[error("the path doesn't begin with /")]
    Relative,
    /// It is longer than a message head may be.
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// `%` without two hexadecimal digits.
    #[error("the path has a % that is not followed by two hexadecimal digits")]
    Escape,
    /// A space, `?`, `#`, or a byte beyond ASCII that should have been percent-encoded.
    #[error("the path has a character that must be percent-encoded")]
    Character,
    /// A control byte, percent-encoded or not.
    #[error("the path has a control byte")]
    Control,
    /// `\`, which some origins read as `/`.
    #[error("the path has a backslash")]
    Backslash,
    /// `.` or `..` as a segment, in any spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// Escapes that are no UTF-8; overlong forms have been read as `/` and `.` by origins.
    #[error("the path's percent-encoding is no UTF-8")]
    Encoding,
}

/// A path without ambiguity. Escapes of unreserved characters are decoded, all others have upper-case digits, and what
/// should have been escaped is. `%2F` stays inside of its segment.
///
/// `Debug` shows the length only: paths may carry secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: Box<str>,
    /// What a lenient origin may read, where that differs from the text.
    lenient: Option<Readings>,
}

/// The readings of a path that a deny rule must hold for as well.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Readings {
    /// Fully decoded, `\` as `/`, and repeated slashes as one.
    decoded: Box<[u8]>,
    /// The same without path parameters (`;…` in a segment) and without a slash at the end.
    bare: Box<[u8]>,
}

impl CanonicalPath {
    /// Reads the raw path of a request, without its query.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let text = canonical(raw, Asterisk::Literal)?;
        Ok(Self {
            lenient: readings(&text)?,
            text: text.into_boxed_str(),
        })
    }

    /// The canonical text; it begins with `/` and is printable ASCII without `*`, `"` and `\`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every reading of the path that some origin may have: the canonical one first.
    pub(super) fn readings(&self) -> impl Iterator<Item = &[u8]> {
        let lenient = self.lenient.as_ref();
        std::iter::once(self.text.as_bytes()).chain(
            lenient
                .into_iter()
                .flat_map(|readings| [&*readings.decoded, &*readings.bare]),
        )
    }
}

impl fmt::Debug for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanonicalPath({} bytes)", self.text.len())
    }
}

/// What `*` means in a text: itself in a request, a wildcard in a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asterisk {
    Literal,
    Wildcard,
}

/// The canonical text of a path; dot segments are not looked at.
pub(super) fn canonical(raw: &str, asterisk: Asterisk) -> Result<String, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::Relative);
    }
    if raw.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    let mut text = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => push_escaped(&mut text, escape(&mut bytes)?),
            b'\\' => return Err(PathError::Backslash),
            b'*' if asterisk == Asterisk::Literal => push_escape(&mut text, byte),
            b' ' | b'?' | b'#' | 0x80.. => return Err(PathError::Character),
            _ if byte.is_ascii_control() => return Err(PathError::Control),
            _ if is_path_character(byte) => text.push(char::from(byte)),
            _ => push_escape(&mut text, byte),
        }
    }
    // Escaping makes a path longer; its canonical form must be one itself.
    if text.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    Ok(text)
}

/// RFC 3986 § 3.3: `pchar` and `/`.
fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

/// RFC 3986 § 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The byte that the two digits after a `%` stand for.
fn escape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, PathError> {
    let high = bytes.next().and_then(hex_digit);
    let low = bytes.next().and_then(hex_digit);
    high.zip(low)
        .map(|(high, low)| high << 4 | low)
        .ok_or(PathError::Escape)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn push_escaped(text: &mut String, byte: u8) {
    if is_unreserved(byte) {
        return text.push(char::from(byte));
    }
    push_escape(text, byte);
}

fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// The lenient readings of a canonical text; none when they are all the text itself.
fn readings(text: &str) -> Result<Option<Readings>, PathError> {
    let decoded = lenient_decode(text.as_bytes());
    check_decoded(&decoded)?;
    let bare = bare(&decoded);
    if decoded == text.as_bytes() && bare == decoded {
        return Ok(None);
    }
    Ok(Some(Readings {
        decoded: decoded.into_boxed_slice(),
        bare: bare.into_boxed_slice(),
    }))
}

/// Decodes escapes, also those that decoding brings forth, reads `\` as `/` and repeated slashes as one.
/// Linear: an escape shrinks the output by two bytes, and nothing is read twice.
pub(super) fn lenient_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text {
        decoded.push(*byte);
        while let Some(byte) = trailing_escape(&decoded) {
            decoded.truncate(decoded.len().saturating_sub(3));
            decoded.push(byte);
        }
        settle_separator(&mut decoded);
    }
    decoded
}

/// The byte that the last three bytes are an escape of.
fn trailing_escape(decoded: &[u8]) -> Option<u8> {
    match decoded {
        [.., b'%', high, low] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    }
}

fn settle_separator(decoded: &mut Vec<u8>) {
    if let Some(last @ b'\\') = decoded.last_mut() {
        *last = b'/';
    }
    if decoded.ends_with(b"//") {
        decoded.pop();
    }
}

fn check_decoded(decoded: &[u8]) -> Result<(), PathError> {
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(PathError::Control);
    }
    if std::str::from_utf8(decoded).is_err() {
        return Err(PathError::Encoding);
    }
    if decoded.split(|byte| *byte == b'/').any(is_dot_segment) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

/// `.` and `..`, also with parameters behind, which servlet containers cut off before they resolve (`..;/`).
fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(without_parameters(segment), b"." | b"..")
}

fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or(segment)
}

fn bare(decoded: &[u8]) -> Vec<u8> {
    let segments = decoded.split(|byte| *byte == b'/').map(without_parameters);
    let segments = segments.filter(|segment| !segment.is_empty());
    let bare = segments.fold(Vec::with_capacity(decoded.len()), |mut bare, segment| {
        bare.push(b'/');
        bare.extend_from_slice(segment);
        bare
    });
    if bare.is_empty() { vec![b'/'] } else { bare }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(raw: &str, canonical: &str) {
        let path = CanonicalPath::parse(raw).unwrap_or_else(|error| panic!("{raw:?}: {error}"));
        assert_eq!(path.as_str(), canonical, "{raw:?}");
    }

    #[track_caller]
    fn refused(raw: &str, error: PathError) {
        assert_eq!(
            CanonicalPath::parse(raw).map(|path| path.as_str().to_owned()),
            Err(error),
            "{raw:?}"
        );
    }

    #[test]
    fn paths_have_one_form() {
        check("/", "/");
        check("/a/b", "/a/b");
        check("/a//b/", "/a//b/");
        check("/%61%2D%2e%5F%7e", "/a-._~");
        check("/a%2fb", "/a%2Fb");
        check("/%e9%9b%aa", "/%E9%9B%AA");
        check("/{id}|^`\"<>[]", "/%7Bid%7D%7C%5E%60%22%3C%3E%5B%5D");
        check("/a*b", "/a%2Ab");
        check("/!$&'()+,;=:@", "/!$&'()+,;=:@");
        check("/a%20b", "/a%20b");
        check("/%25", "/%25");
        check("/100%25%20off", "/100%25%20off");
        check("/...", "/...");
        check("/.well-known/x", "/.well-known/x");
        check("/a..b/..c/d..", "/a..b/..c/d..");
        check("/a;v=..", "/a;v=..");
    }

    #[test]
    fn dot_segments_are_refused_in_any_spelling() {
        for raw in [
            "/.",
            "/..",
            "/./",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e",
            "/%2e%2e/a",
            "/.%2E/a",
            "/a%2f..%2fb",
            "/a%2F%2e%2e",
            "/a%5c..%5cb",
            "/..%5ca",
            "/..;/a",
            "/a/..;x=1/b",
            "/.;/a",
            "/..%3B/a",
            "/%252e%252e/a",
            "/%25252e%25252e/a",
            "/a%252f..%252fb",
            "/%25%32%65%25%32%65/a",
            "/a/%2e.%3bx/b",
            "/%2e%2f",
            "//..",
            "/a//../b",
        ] {
            refused(raw, PathError::DotSegment);
        }
    }

    #[test]
    fn ambiguous_bytes_are_refused() {
        refused("", PathError::Relative);
        refused("*", PathError::Relative);
        refused("a/b", PathError::Relative);
        refused("http://a/", PathError::Relative);
        refused("/a\\b", PathError::Backslash);
        for raw in ["/%", "/%2", "/%2g", "/%u002e", "/%%32", "/% 20", "/%+1", "/a%"] {
            refused(raw, PathError::Escape);
        }
        for raw in ["/a b", "/a?b", "/a#b", "/é", "/\u{ff0e}\u{ff0e}/"] {
            refused(raw, PathError::Character);
        }
        for raw in [
            "/\0", "/\n", "/\r", "/\t", "/\u{7f}", "/%00", "/%0d%0aX", "/%7F", "/%2500", "/%1f",
        ] {
            refused(raw, PathError::Control);
        }
        // Overlong forms of `.` and `/`, a lone surrogate, Latin-1, and the first once more encoded.
        for raw in [
            "/%c0%ae%c0%ae/",
            "/%c0%af",
            "/%e0%80%ae",
            "/%ed%a0%80",
            "/%e9",
            "/%25c0%25ae",
        ] {
            refused(raw, PathError::Encoding);
        }
        refused(&format!("/{}", "a".repeat(MAX_PATH_BYTES)), PathError::TooLong);
        refused(&format!("/{}", "{".repeat(MAX_PATH_BYTES / 2)), PathError::TooLong);
        check(
            &format!("/{}", "a".repeat(MAX_PATH_BYTES - 1)),
            &format!("/{}", "a".repeat(MAX_PATH_BYTES - 1)),
        );
    }

    #[test]
    fn readings_are_what_lenient_origins_see() {
        let readings = |raw: &str| -> Vec<String> {
            let path = CanonicalPath::parse(raw).unwrap();
            path.readings()
                .map(|reading| String::from_utf8_lossy(reading).into_owned())
                .collect()
        };
        assert_eq!(readings("/a/b"), ["/a/b"]);
        assert_eq!(readings("/a%2Fb"), ["/a%2Fb", "/a/b", "/a/b"]);
        assert_eq!(readings("/a%252Fb"), ["/a%252Fb", "/a/b", "/a/b"]);
        assert_eq!(
            readings("//a%5Cb;x=1//c/"),
            ["//a%5Cb;x=1//c/", "/a/b;x=1/c/", "/a/b/c"]
        );
        assert_eq!(readings("/%2F%5c/"), ["/%2F%5C/", "/", "/"]);
    }

    #[test]
    fn debug_keeps_the_path_to_itself() {
        let path = CanonicalPath::parse("/bot123:secret/send").unwrap();
        assert_eq!(format!("{path:?}"), "CanonicalPath(19 bytes)");
    }

    /// The same decoding as `lenient_decode`, as often as it changes anything.
    fn decode_until_stable(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        while let Some(at) = text
            .windows(3)
            .position(|window| window[0] == b'%' && hex_digit(window[1]).is_some() && hex_digit(window[2]).is_some())
        {
            let byte = hex_digit(text[at + 1]).unwrap() << 4 | hex_digit(text[at + 2]).unwrap();
            text.splice(at..at + 3, [byte]);
        }
        text
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(raw in "/[a-zA-Z0-9/._~%25eEfF!*;{}-]{0,40}|/(%[0-9a-f]{2}|[a-z/.]){0,20}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let again = CanonicalPath::parse(path.as_str());
                prop_assert_eq!(again, Ok(path));
            }
        }

        #[test]
        fn no_reading_climbs(raw in "/([./;a\\\\]|%2e|%2f|%5c|%3b|%25){0,12}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                for reading in path.readings().skip(1) {
                    let decoded = decode_until_stable(reading);
                    prop_assert!(!decoded.split(|byte| b"/\\".contains(byte)).any(is_dot_segment), "{}", raw);
                }
                let decoded = decode_until_stable(path.as_str().as_bytes());
                prop_assert!(!decoded.split(|byte| b"/\\".contains(byte)).any(is_dot_segment), "{}", raw);
            }
        }

        #[test]
        fn anything_is_a_path_or_refused(raw in "\\PC{0,60}|/[ -~]{0,60}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"*\"\\ ?#".contains(&byte)));
            }
        }
    }
}
