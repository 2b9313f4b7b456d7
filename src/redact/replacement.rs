//! What is written in a secret's place.

use std::fmt;

use super::findings::Fingerprint;

/// How long a template may be, in bytes.
const TEMPLATE_BYTES: usize = 128;

/// What stands in a secret's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The kind's public prefix, then `REDACTED`, a tag of six characters that tells two secrets apart, and `REDACTED` over and over,
    /// to the length of the secret. It stays in the secret's alphabet: digits become digits, hexadecimal digits become such.
    /// Line breaks and JSON escapes stay where they are: framing and JSON stay valid.
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

/// How many characters the tag has. It is keyed like the fingerprint, and tells nothing else of the secret.
const TAG: usize = 6;
/// The tag stands after the first word.
const BEFORE_TAG: usize = 8;
/// Secrets shorter than this have no tag, so that they can be read as redacted.
const TAGGED: usize = 20;

/// Writes one secret's replacement, piece by piece if it comes so.
pub(super) struct Filler {
    style: Style,
}

enum Style {
    Nothing,
    Letters {
        alphabet: Alphabet,
        tag: Tag,
        written: usize,
        escape: Escape,
    },
}

/// What stands after the first word.
#[derive(Clone, Copy)]
enum Tag {
    None,
    Of(Fingerprint),
    /// Any: whatever of the alphabet is there already.
    Kept,
}

/// The bytes that a secret is made of, as far as a replacement keeps to them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Digits,
    SmallHex,
    CapitalHex,
    Small,
    Capital,
}

/// What the byte to the left makes of the next one.
#[derive(Clone, Copy)]
enum Escape {
    No,
    Backslash,
    Digits(u8),
}

impl Alphabet {
    fn of(hidden: &[u8]) -> Self {
        let token = || hidden.iter().filter(|byte| !matches!(byte, b' ' | b'-' | b':'));
        let only = |of: fn(&u8) -> bool| !hidden.is_empty() && token().all(of);
        if only(u8::is_ascii_digit) {
            return Self::Digits;
        }
        if hidden.len() >= 16 && only(u8::is_ascii_hexdigit) {
            let small = !hidden.iter().any(u8::is_ascii_uppercase);
            return if small { Self::SmallHex } else { Self::CapitalHex };
        }
        let capital = hidden.iter().any(u8::is_ascii_uppercase);
        let small = hidden.iter().any(u8::is_ascii_lowercase);
        if small && !capital { Self::Small } else { Self::Capital }
    }

    /// What is written over and over.
    fn word(self) -> &'static [u8] {
        match self {
            // Nines stay a number wherever digits were one.
            Self::Digits => b"9",
            Self::SmallHex => b"deadbeef",
            Self::CapitalHex => b"DEADBEEF",
            Self::Small => b"redacted",
            Self::Capital => b"REDACTED",
        }
    }

    /// The characters of tags.
    fn of_tags(self) -> &'static [u8] {
        match self {
            Self::Digits => b"0123456789",
            Self::SmallHex => b"0123456789abcdef",
            Self::CapitalHex => b"0123456789ABCDEF",
            Self::Small => b"abcdefghijklmnopqrstuvwxyz",
            Self::Capital => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        }
    }

    /// Whether a byte that separates groups stays: in a card's number, or between hexadecimal digits.
    fn keeps(self, byte: u8) -> bool {
        matches!(self, Self::Digits | Self::SmallHex | Self::CapitalHex) && matches!(byte, b'-' | b':')
    }

    /// The `nth` byte of a replacement, in the place of `byte`.
    fn letter(self, nth: usize, tag: Tag, byte: u8) -> u8 {
        let word = self.word();
        let fill = |nth: usize| word.get(nth % word.len()).copied().unwrap_or(b'X');
        let after = match tag {
            Tag::None => return fill(nth),
            Tag::Of(_) | Tag::Kept => nth.checked_sub(BEFORE_TAG),
        };
        let in_tag = match after {
            None => return fill(nth),
            Some(after) if after >= TAG => return fill(nth - TAG),
            Some(in_tag) => in_tag,
        };
        match tag {
            Tag::Kept if self.of_tags().contains(&byte) => byte,
            Tag::None | Tag::Kept => fill(nth),
            Tag::Of(fingerprint) => fingerprint.character(in_tag, self.of_tags()),
        }
    }
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
        fingerprint: Fingerprint,
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
                let mut filler = Self::letters(hidden, Tag::Of(fingerprint), escape);
                let mut with = public.to_vec();
                filler.go_on(hidden, &mut with);
                (filler, with)
            }
        }
    }

    fn letters(hidden: &[u8], tag: Tag, escape: Escape) -> Self {
        let alphabet = Alphabet::of(hidden);
        // A word of one character would let the tag stand for the secret's own digits.
        let tagged = hidden.len() >= TAGGED && alphabet != Alphabet::Digits;
        Self {
            style: Style::Letters {
                alphabet,
                tag: if tagged { tag } else { Tag::None },
                written: 0,
                escape,
            },
        }
    }

    /// Appends what stands in the place of `hidden`, the next bytes of the same secret.
    pub(super) fn go_on(&mut self, hidden: &[u8], with: &mut Vec<u8>) {
        let Style::Letters {
            alphabet,
            tag,
            written,
            escape,
        } = &mut self.style
        else {
            return;
        };
        for byte in hidden {
            let mut letter = || {
                *written += 1;
                alphabet.letter(*written - 1, *tag, *byte)
            };
            let (fill, next) = match (*escape, *byte) {
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
                (Escape::No | Escape::Backslash, byte) if alphabet.keeps(byte) => (byte, Escape::No),
                (Escape::No | Escape::Backslash, _) => (letter(), Escape::No),
            };
            *escape = next;
            with.push(fill);
        }
    }
}

/// Whether `hidden` is what a replacement of the same length leaves behind.
pub(super) fn is_filled(hidden: &[u8]) -> bool {
    let mut again = Vec::with_capacity(hidden.len());
    Filler::letters(hidden, Tag::Kept, Escape::No).go_on(hidden, &mut again);
    hidden.len() > 1 && again == hidden
}

#[cfg(test)]
mod tests {
    use super::super::findings::FingerprintKey;
    use super::*;

    fn fingerprint(secret: &str) -> Fingerprint {
        FingerprintKey::new(&[7; 32]).fingerprint(secret.as_bytes())
    }

    fn filled(secret: &str, kept: usize, before: Option<u8>) -> String {
        let (_, with) = Filler::begin(
            &Replacement::SameLength,
            "r",
            secret.as_bytes(),
            kept,
            before,
            fingerprint(secret),
        );
        String::from_utf8(with).unwrap()
    }

    #[track_caller]
    fn check(secret: &str, kept: usize, before: Option<u8>, becomes: &str) {
        assert_eq!(filled(secret, kept, before), becomes);
    }

    #[test]
    fn same_length_keeps_prefix_alphabet_and_escapes() {
        check("ghp_A1b2C3d4E5", 4, None, "ghp_REDACTEDRE");
        check("0a1b2c3d4z", 0, None, "redactedre");
        check("0a1b2c3d4e0a1b2c3d", 0, None, "deadbeefdeadbeefde");
        check("4111111111111111", 0, None, "9999999999999999");
        check("4111-1111 1111-1111", 0, None, "9999-9999 9999-9999");
        check("ab\\nCD\\u00e9EF", 0, None, "RE\\nDA\\u0058CT");
        check("ab\\\\nCD\ncd", 0, None, "RE\\\\nDA\nCT");
        check("nAB", 0, Some(b'\\'), "nRE");
        check("nAB", 0, Some(b'x'), "RED");
    }

    #[test]
    fn a_tag_tells_two_secrets_apart() {
        let (one, other) = ("A1b2C3d4E5f6G7h8I9j0K1", "A1b2C3d4E5f6G7h8I9j0K2");
        let (filled_one, filled_other) = (filled(one, 0, None), filled(other, 0, None));
        assert!(filled_one.starts_with("REDACTED") && filled_one.ends_with("REDACTED"));
        assert_ne!(filled_one, filled_other);
        assert_eq!(filled_one, filled(one, 0, None));
        for text in [filled_one, filled_other, filled(&"0a1b2c3d4e".repeat(4), 0, None)] {
            assert!(is_filled(text.as_bytes()), "{text}");
        }
        assert!(!is_filled(one.as_bytes()));
    }

    #[test]
    fn a_long_secret_is_filled_on() {
        let (mut filler, mut with) = Filler::begin(&Replacement::SameLength, "r", b"ABCDE", 0, None, fingerprint("x"));
        filler.go_on(b"FGHIJ", &mut with);
        assert_eq!(with, b"REDACTEDRE");
    }

    #[test]
    fn a_template_names_the_rule() {
        let template: Replacement = "[redacted:{rule}]".parse().unwrap();
        let (mut filler, mut with) = Filler::begin(&template, "jwt", b"secret", 0, None, fingerprint("x"));
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
