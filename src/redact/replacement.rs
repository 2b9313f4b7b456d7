//! What is written in a secret's place.

use std::fmt;

/// How long a template may be, in bytes.
const TEMPLATE_BYTES: usize = 128;

/// What stands in a secret's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The kind's public prefix, then `REDACTED` over and over, to the length of the secret. Line breaks and JSON
    /// escapes stay where they are, digits become digits: framing and JSON stay valid.
    SameLength,
    /// The text of a template, once for each secret.
    Template(Template),
}

/// A replacement text in which `{rule}` stands for the rule's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// Why a text is no replacement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplacementError {
    /// Empty, or beyond the limit.
    #[error("a replacement template has 1 to {TEMPLATE_BYTES} bytes, this has {0}")]
    Length(usize),
    /// A character that would break a JSON string or a header.
    #[error("a replacement template is printable ASCII without '\"' and '\\', so that JSON and headers stay valid")]
    Character,
}

impl std::str::FromStr for Replacement {
    type Err = ReplacementError;

    /// `same_length`, or else a template.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "same_length" {
            return Ok(Self::SameLength);
        }
        if text.is_empty() || text.len() > TEMPLATE_BYTES {
            return Err(ReplacementError::Length(text.len()));
        }
        let harmless = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !text.bytes().all(harmless) {
            return Err(ReplacementError::Character);
        }
        Ok(Self::Template(Template(text.to_owned())))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Template {
    fn filled(&self, rule: &str) -> Vec<u8> {
        self.0.replace("{rule}", rule).into_bytes()
    }
}

/// Writes one secret's replacement, piece by piece if it comes so.
pub(super) struct Filler {
    style: Style,
}

enum Style {
    Nothing,
    Letters {
        cycle: std::iter::Cycle<std::slice::Iter<'static, u8>>,
        escape: Escape,
    },
}

/// What the byte to the left makes of the next one.
#[derive(Clone, Copy)]
enum Escape {
    No,
    Backslash,
    Digits(u8),
}

impl Filler {
    /// Begins the replacement of `secret`, of which `kept` bytes are public and `before` is the byte to the left.
    /// Gives what stands in its place so far.
    pub(super) fn begin(
        replacement: &Replacement,
        rule: &str,
        secret: &[u8],
        kept: usize,
        before: Option<u8>,
    ) -> (Self, Vec<u8>) {
        match replacement {
            Replacement::Template(template) => (Self { style: Style::Nothing }, template.filled(rule)),
            Replacement::SameLength => {
                let (public, hidden) = secret.split_at_checked(kept).unwrap_or((b"", secret));
                let before = public.last().copied().or(before);
                let escape = if before == Some(b'\\') {
                    Escape::Backslash
                } else {
                    Escape::No
                };
                let mut filler = Self::letters(hidden, escape);
                let mut with = public.to_vec();
                filler.go_on(hidden, &mut with);
                (filler, with)
            }
        }
    }

    fn letters(hidden: &[u8], escape: Escape) -> Self {
        let cycle = letters(hidden).iter().cycle();
        Self {
            style: Style::Letters { cycle, escape },
        }
    }

    /// Appends what stands in the place of `hidden`, the next bytes of the same secret.
    pub(super) fn go_on(&mut self, hidden: &[u8], with: &mut Vec<u8>) {
        let Style::Letters { cycle, escape } = &mut self.style else {
            return;
        };
        for byte in hidden {
            let mut letter = || cycle.next().copied().unwrap_or(b'X');
            let (written, next) = match (*escape, *byte) {
                (_, b'\\') => (b'\\', Escape::Backslash),
                (Escape::Backslash, b'u') => (b'u', Escape::Digits(4)),
                (Escape::Backslash, b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
                | (Escape::No | Escape::Backslash, b'\n' | b'\r' | b'\t' | b' ') => (*byte, Escape::No),
                (Escape::Digits(left), _) => {
                    // `\u0058` is an X.
                    let digit = match left {
                        2 => b'5',
                        1 => b'8',
                        _ => b'0',
                    };
                    let next = if left > 1 { Escape::Digits(left - 1) } else { Escape::No };
                    (digit, next)
                }
                (Escape::No | Escape::Backslash, _) => (letter(), Escape::No),
            };
            *escape = next;
            with.push(written);
        }
    }
}

/// `REDACTED` as the alphabet of `hidden` has it. Nines stay a number wherever digits were one.
fn letters(hidden: &[u8]) -> &'static [u8] {
    if !hidden.is_empty() && hidden.iter().all(u8::is_ascii_digit) {
        return b"9";
    }
    let upper = hidden.iter().any(u8::is_ascii_uppercase);
    let lower = hidden.iter().any(u8::is_ascii_lowercase);
    if lower && !upper { b"redacted" } else { b"REDACTED" }
}

/// Whether `hidden` is what a replacement of the same length leaves behind.
pub(super) fn is_filled(hidden: &[u8]) -> bool {
    let mut again = Vec::with_capacity(hidden.len());
    Filler::letters(hidden, Escape::No).go_on(hidden, &mut again);
    hidden.len() > 1 && again == hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, kept: usize, before: Option<u8>, becomes: &str) {
        let (_, with) = Filler::begin(&Replacement::SameLength, "r", secret.as_bytes(), kept, before);
        assert_eq!(String::from_utf8(with).unwrap(), becomes);
    }

    #[test]
    fn same_length_keeps_prefix_alphabet_and_escapes() {
        check("ghp_A1b2C3d4E5", 4, None, "ghp_REDACTEDRE");
        check("0a1b2c3d4e", 0, None, "redactedre");
        check("4111111111111111", 0, None, "9999999999999999");
        check("ab\\nCD\\u00e9EF", 0, None, "RE\\nDA\\u0058CT");
        check("ab\\\\nCD\ncd", 0, None, "RE\\\\nDA\nCT");
        check("nAB", 0, Some(b'\\'), "nRE");
        check("nAB", 0, Some(b'x'), "RED");
    }

    #[test]
    fn a_long_secret_is_filled_on() {
        let (mut filler, mut with) = Filler::begin(&Replacement::SameLength, "r", b"ABCDE", 0, None);
        filler.go_on(b"FGHIJ", &mut with);
        assert_eq!(with, b"REDACTEDRE");
    }

    #[test]
    fn a_template_names_the_rule() {
        let template: Replacement = "[redacted:{rule}]".parse().unwrap();
        let (mut filler, mut with) = Filler::begin(&template, "jwt", b"secret", 0, None);
        filler.go_on(b"more", &mut with);
        assert_eq!(with, b"[redacted:jwt]");
    }

    #[test]
    fn a_template_breaks_nothing() {
        assert_eq!("".parse::<Replacement>(), Err(ReplacementError::Length(0)));
        assert_eq!("a\"b".parse::<Replacement>(), Err(ReplacementError::Character));
        assert_eq!("a\nb".parse::<Replacement>(), Err(ReplacementError::Character));
    }
}
