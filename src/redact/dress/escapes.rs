//! Characters written by escapes: JSON and source code's backslashes, percent signs (RFC 3986 §2.1), HTML's character references,
//! quoted-printable (RFC 2045 §6.7), and characters that only look like those of a token.
//!
//! All are read at once, since they don't contradict each other in a token: a text that mixes them is read all the same. Escaped
//! escapes are followed a few times over.

use super::Escapes;
use super::glyphs::{Glyph, glyph, glyph_at};

/// How often an escape may itself be escaped.
pub(super) const REPEATED: usize = 4;
/// How many backslashes may stand before one character: nested JSON doubles them each time.
const BACKSLASHES: usize = 16;
/// How long a character reference may be, from its `&`.
const REFERENCE: usize = 12;
/// Stands for a character that no token has.
const FOREIGN: u8 = 0xFF;

/// Character references by name that have a part in tokens, or around them.
const NAMED: [(&[u8], u8); 19] = [
    (b"amp;", b'&'),
    (b"lt;", b'<'),
    (b"gt;", b'>'),
    (b"quot;", b'"'),
    (b"apos;", b'\''),
    (b"sol;", b'/'),
    (b"bsol;", b'\\'),
    (b"colon;", b':'),
    (b"semi;", b';'),
    (b"lowbar;", b'_'),
    (b"UnderBar;", b'_'),
    (b"hyphen;", b'-'),
    (b"dash;", b'-'),
    (b"period;", b'.'),
    (b"equals;", b'='),
    (b"plus;", b'+'),
    (b"commat;", b'@'),
    (b"num;", b'#'),
    (b"percnt;", b'%'),
];

/// A character as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Unit {
    /// It reads as this byte; the next character begins at `next`.
    Byte { byte: u8, next: usize },
    /// It isn't seen.
    Skipped { next: usize },
    /// It depends on bytes still to come.
    Pause,
    /// There is none.
    End,
}

/// What a part of a text came to.
type Parsed = Option<Result<Unit, More>>;

/// The bytes ran out.
struct More;

/// Whether a character that begins with this byte may be more than the byte.
#[inline]
pub(in super::super) fn is_lead(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&' | b'=' | 0x80..)
}

/// Whether this byte is read as it stands, whatever follows.
#[inline]
pub(in super::super) fn reads_as_itself(byte: u8) -> bool {
    !is_lead(byte) || matches!(byte, 0x80..=0xBF)
}

/// The character at `at`; `whole` when nothing follows `text`.
///
/// Where the first character of an escape is itself escaped, as in `%5Cu0067`, the escape is read beneath.
pub(in super::super) fn unit(text: &[u8], at: usize, whole: bool, escapes: Escapes) -> Unit {
    match flat(text, at, whole, escapes) {
        Unit::Byte { byte, next }
            if next > at + 1 && byte.is_ascii() && is_lead(byte) && text.get(at) != Some(&byte) =>
        {
            beneath(text, byte, next, whole, escapes)
        }
        unit @ (Unit::Byte { .. } | Unit::Skipped { .. } | Unit::Pause | Unit::End) => unit,
    }
}

/// How many characters an escape of escapes may have.
const BENEATH: usize = 16;

/// The character that begins with `lead`, which stands escaped up to `next`.
fn beneath(text: &[u8], lead: u8, next: usize, whole: bool, escapes: Escapes) -> Unit {
    let mut bytes = [lead; BENEATH];
    let mut ends = [next; BENEATH];
    let mut length = 1;
    let mut at = next;
    let mut ended = false;
    while !ended && let (Some(byte_at), Some(end_at)) = (bytes.get_mut(length), ends.get_mut(length)) {
        match flat(text, at, whole, escapes) {
            Unit::Byte { byte, next } => {
                (*byte_at, *end_at) = (byte, next);
                length += 1;
                at = next;
            }
            Unit::Skipped { next } => at = next,
            Unit::Pause | Unit::End => ended = true,
        }
    }
    let known = bytes.get(..length).unwrap_or_default();
    let end_of = |next: usize| ends.get(next.saturating_sub(1)).copied().unwrap_or(at);
    match flat(known, 0, whole || !ended, escapes) {
        Unit::Byte { byte, next } => Unit::Byte {
            byte,
            next: end_of(next),
        },
        Unit::Skipped { next } => Unit::Skipped { next: end_of(next) },
        unit @ (Unit::Pause | Unit::End) => unit,
    }
}

/// The character at `at`, whose escape is not itself escaped.
fn flat(text: &[u8], at: usize, whole: bool, escapes: Escapes) -> Unit {
    let Some(byte) = text.get(at).copied() else {
        return if whole { Unit::End } else { Unit::Pause };
    };
    let rest = text.get(at + 1..).unwrap_or_default();
    let parsed = match byte {
        b'\\' => backslash(rest),
        b'%' => percent(rest),
        b'&' => reference(rest),
        b'=' if escapes == Escapes::All => quoted(rest),
        0x80.. => character(text, at),
        _ => None,
    };
    match parsed {
        Some(Ok(Unit::Byte { byte, next })) => Unit::Byte {
            byte,
            next: at + 1 + next,
        },
        Some(Ok(Unit::Skipped { next })) => Unit::Skipped { next: at + 1 + next },
        Some(Err(More)) if !whole => Unit::Pause,
        _ => Unit::Byte { byte, next: at + 1 },
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what each kind of escape comes to")]
fn byte(byte: u8, next: usize) -> Parsed {
    Some(Ok(Unit::Byte { byte, next }))
}

fn code_point(code: u32, next: usize) -> Parsed {
    if let Ok(ascii @ 0..=0x7F) = u8::try_from(code) {
        return byte(ascii, next);
    }
    match glyph(code) {
        Glyph::Like(ascii) => byte(ascii, next),
        Glyph::Unseen => Some(Ok(Unit::Skipped { next })),
        Glyph::Other => byte(FOREIGN, next),
    }
}

/// `rest` is what follows the first backslash.
fn backslash(rest: &[u8]) -> Parsed {
    let more = rest.iter().take(BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    let Some((kind, digits)) = rest.get(more..).and_then(<[u8]>::split_first) else {
        return Some(Err(More));
    };
    let next = more + 1;
    match kind {
        b'u' if digits.first() == Some(&b'{') => braced(digits, next),
        b'u' => unicode(digits, next),
        b'U' => number(digits, 8, 16)
            .map(|code| code.map(|code| (code, next + 8)))
            .and_then(wide),
        b'x' => number(digits, 2, 16)
            .map(|code| code.map(|code| (code, next + 2)))
            .and_then(wide),
        b'0'..=b'3' => octal(rest.get(more..)?, more),
        b'n' => byte(b'\n', next),
        b'r' => byte(b'\r', next),
        b't' => byte(b'\t', next),
        b'/' | b'"' | b'\'' => byte(*kind, next),
        _ => None,
    }
}

fn wide(code: Result<(u32, usize), More>) -> Parsed {
    match code {
        Ok((code, next)) => code_point(code, next),
        Err(more) => Some(Err(more)),
    }
}

/// `\u` and four digits, or two such for one character beyond the first plane (RFC 8259 §7).
fn unicode(digits: &[u8], next: usize) -> Parsed {
    let code = match number(digits, 4, 16)? {
        Ok(code) => code,
        Err(more) => return Some(Err(more)),
    };
    if !(0xD800..0xDC00).contains(&code) {
        return code_point(code, next + 4);
    }
    let after = digits.get(4..).unwrap_or_default();
    let slashes = after
        .iter()
        .take(BACKSLASHES)
        .take_while(|byte| **byte == b'\\')
        .count();
    let low = match after.get(slashes..) {
        Some([b'u', low @ ..]) if slashes > 0 => number(low, 4, 16),
        Some([]) => return Some(Err(More)),
        _ => None,
    };
    match low {
        Some(Ok(low @ 0xDC00..0xE000)) => code_point(
            0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00)),
            next + 4 + slashes + 5,
        ),
        Some(Err(more)) => Some(Err(more)),
        _ => byte(FOREIGN, next + 4),
    }
}

/// `\u{67}`, as JavaScript and Rust have it.
fn braced(digits: &[u8], next: usize) -> Parsed {
    let inner = digits.get(1..).unwrap_or_default();
    let length = inner.iter().take(7).take_while(|byte| byte.is_ascii_hexdigit()).count();
    match inner.get(length) {
        None if length <= 6 => Some(Err(More)),
        Some(b'}') if (1..=6).contains(&length) => match number(inner, length, 16)? {
            Ok(code) => code_point(code, next + length + 2),
            Err(more) => Some(Err(more)),
        },
        _ => None,
    }
}

fn octal(digits: &[u8], next: usize) -> Parsed {
    match number(digits, 3, 8)? {
        Ok(code) => code_point(code, next + 3),
        Err(more) => Some(Err(more)),
    }
}

/// The number in the first `length` digits. Nothing when they aren't such digits.
fn number(digits: &[u8], length: usize, radix: u32) -> Option<Result<u32, More>> {
    let there = digits.get(..length.min(digits.len()))?;
    let mut value = 0;
    for digit in there {
        value = value * radix + char::from(*digit).to_digit(radix)?;
    }
    Some(if there.len() == length { Ok(value) } else { Err(More) })
}

/// `rest` is what follows the percent sign.
fn percent(rest: &[u8]) -> Parsed {
    let (mut value, mut next) = match percent_byte(rest)? {
        Ok(found) => found,
        Err(more) => return Some(Err(more)),
    };
    let mut repeated = 0;
    while value == b'%' && repeated < REPEATED {
        match percent_byte(rest.get(next..).unwrap_or_default()) {
            None => break,
            Some(Err(more)) => return Some(Err(more)),
            Some(Ok((inner, length))) => {
                value = inner;
                next += length;
            }
        }
        repeated += 1;
    }
    if value < 0x80 || repeated > 0 {
        return byte(value, next);
    }
    percent_character(value, rest, next)
}

fn percent_byte(rest: &[u8]) -> Option<Result<(u8, usize), More>> {
    match number(rest, 2, 16)? {
        Ok(value) => u8::try_from(value).ok().map(|value| Ok((value, 2))),
        Err(more) => Some(Err(more)),
    }
}

/// A character of several bytes, each after a percent sign of its own.
fn percent_character(lead: u8, rest: &[u8], next: usize) -> Parsed {
    let mut bytes = [lead, 0, 0, 0];
    let mut length = 1;
    let mut next = next;
    loop {
        let there = bytes.get(..length)?;
        match glyph_at(there, 0) {
            Some((Glyph::Like(ascii), _)) => return byte(ascii, next),
            Some((Glyph::Unseen, _)) => return Some(Ok(Unit::Skipped { next })),
            Some((Glyph::Other, _)) => return byte(lead, 2),
            None => {}
        }
        let after = match rest.get(next) {
            None => return Some(Err(More)),
            Some(b'%') => percent_byte(rest.get(next + 1..).unwrap_or_default()),
            Some(_) => None,
        };
        match after {
            None => return byte(lead, 2),
            Some(Err(more)) => return Some(Err(more)),
            Some(Ok((byte, used))) => {
                *bytes.get_mut(length)? = byte;
                length += 1;
                next += 1 + used;
            }
        }
    }
}

/// `rest` is what follows the ampersand.
fn reference(rest: &[u8]) -> Parsed {
    let mut next = 0;
    for _ in 0..REPEATED {
        let here = rest.get(next..).unwrap_or_default();
        match here.strip_prefix(b"amp;") {
            Some(after)
                if after
                    .first()
                    .is_none_or(|byte| *byte == b'#' || byte.is_ascii_lowercase()) =>
            {
                next += 4;
            }
            _ => break,
        }
    }
    let here = rest.get(next..).unwrap_or_default();
    if next > 0 && here.is_empty() {
        return Some(Err(More));
    }
    let found = match here {
        [b'#', b'x' | b'X', digits @ ..] => numeric(digits, 16).map(|code| code.map(|(code, used)| (code, used + 2))),
        [b'#', digits @ ..] => numeric(digits, 10).map(|code| code.map(|(code, used)| (code, used + 1))),
        [] => Some(Err(More)),
        _ => named(here),
    };
    match found {
        Some(Ok((code, used))) => code_point(code, next + used),
        Some(Err(more)) => Some(Err(more)),
        // What was `&amp;` is an ampersand.
        None if next > 0 => byte(b'&', 4),
        None => None,
    }
}

fn numeric(digits: &[u8], radix: u32) -> Option<Result<(u32, usize), More>> {
    let length = digits
        .iter()
        .take(REFERENCE)
        .take_while(|digit| char::from(**digit).is_digit(radix))
        .count();
    match digits.get(length) {
        None if length < REFERENCE => Some(Err(More)),
        Some(b';') if (1..=8).contains(&length) => {
            number(digits, length, radix).map(|code| code.map(|code| (code, length + 1)))
        }
        _ => None,
    }
}

fn named(rest: &[u8]) -> Option<Result<(u32, usize), More>> {
    let found = NAMED.iter().find(|(name, _)| rest.starts_with(name));
    if let Some((name, ascii)) = found {
        return Some(Ok((u32::from(*ascii), name.len())));
    }
    NAMED
        .iter()
        .any(|(name, _)| name.starts_with(rest))
        .then_some(Err(More))
}

/// `rest` is what follows the equals sign.
fn quoted(rest: &[u8]) -> Parsed {
    match rest {
        [b'\n', ..] => Some(Ok(Unit::Skipped { next: 1 })),
        // The line break may itself be escaped.
        [b'\r', b'\n', ..] | [b'\\', b'n', ..] => Some(Ok(Unit::Skipped { next: 2 })),
        [b'\\', b'r', b'\\', b'n', ..] => Some(Ok(Unit::Skipped { next: 4 })),
        [] | [b'\r' | b'\\'] | [b'\\', b'r'] | [b'\\', b'r', b'\\'] => Some(Err(More)),
        _ if rest.iter().take(2).any(u8::is_ascii_lowercase) => None,
        _ => match number(rest, 2, 16)? {
            Ok(code @ 0x20..=0x7E) => code_point(code, 2),
            Ok(_) => None,
            Err(more) => Some(Err(more)),
        },
    }
}

fn character(text: &[u8], at: usize) -> Parsed {
    let Some((glyph, next)) = glyph_at(text, at) else {
        return Some(Err(More));
    };
    match glyph {
        Glyph::Like(ascii) => byte(ascii, next - at - 1),
        Glyph::Unseen => Some(Ok(Unit::Skipped { next: next - at - 1 })),
        Glyph::Other => None,
    }
}

/// Writes `byte` in the place of the character `unit`, at its length: in the same escape if that can hold it, else as it is,
/// over and over.
pub(super) fn write(unit: &mut [u8], byte: u8) {
    let unit = match unit {
        [braced @ .., b'}'] if braced.contains(&b'{') => braced,
        unit => unit,
    };
    let digits = match unit {
        [b'\\', ..] if unit.iter().any(|byte| matches!(byte, b'u' | b'U' | b'x')) => {
            trailing(unit, u8::is_ascii_hexdigit)
        }
        [b'%' | b'=', _, _] | [b'%', b'2', b'5', _, ..] => 2,
        [b'&', ..] if unit.contains(&b'#') => {
            return write_reference(unit, byte);
        }
        _ => 0,
    };
    let length = unit.len();
    match unit.get_mut(length - digits.min(length)..) {
        Some(place) if digits >= 2 => write_number(place, byte, 16),
        _ => unit.fill(byte),
    }
}

fn write_reference(unit: &mut [u8], byte: u8) {
    let (radix, digits) = match unit.iter().rposition(|byte| matches!(byte, b'x' | b'X')) {
        Some(x) => (16, x + 1),
        None => (
            10,
            unit.iter().rposition(|byte| *byte == b'#').map_or(0, |hash| hash + 1),
        ),
    };
    let last = unit.len().saturating_sub(1);
    let needed = if radix == 16 || byte < 100 { 2 } else { 3 };
    match unit.get_mut(digits..last) {
        Some(place) if place.len() >= needed => write_number(place, byte, radix),
        _ => unit.fill(byte),
    }
}

fn write_number(place: &mut [u8], value: u8, radix: u32) {
    let upper = !place.iter().any(u8::is_ascii_lowercase);
    let mut rest = u32::from(value);
    for digit in place.iter_mut().rev() {
        let written = char::from_digit(rest % radix, radix).unwrap_or('0');
        let written = if upper { written.to_ascii_uppercase() } else { written };
        *digit = u8::try_from(written).unwrap_or(b'0');
        rest /= radix;
    }
}

fn trailing(unit: &[u8], of: impl Fn(&u8) -> bool) -> usize {
    unit.iter().rev().take_while(|byte| of(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<u8> {
        let mut at = 0;
        let mut bytes = Vec::new();
        loop {
            match unit(text, at, true, Escapes::All) {
                Unit::Byte { byte, next } => {
                    bytes.push(byte);
                    at = next;
                }
                Unit::Skipped { next } => at = next,
                Unit::Pause | Unit::End => return bytes,
            }
        }
    }

    #[track_caller]
    fn check(text: &str, reads: &str) {
        assert_eq!(String::from_utf8_lossy(&read(text.as_bytes())), reads, "{text}");
    }

    #[test]
    fn every_escape_is_read() {
        check("plain text", "plain text");
        check(
            r"\u0067hp_ \\u0067 \\\\u0067 \x67 \u{67} \u{0067} \U00000067 \147",
            "ghp_ g g g g g g g",
        );
        check(r#"\/ \" \n"#, "/ \" \n");
        check("%67%68%5F %2567 %252567 %E2%80%8B| %EF%BD%87", "gh_ g g | g");
        check("&#103;&#x67;&#0103;&amp;#103;&amp;amp;#103;&lowbar;", "ggggg_");
        check("=67=68 a=\r\nb=\nc", "gh abc");
        check("g\u{200b}h\u{ad}p \u{ff47}\u{0440}", "ghp gp");
        check(r"\ud835\udc88", "g");
        check("%5Cu0067%26%23104%3B&amp;lowbar; a=\\r\\nb", "gh_ ab");
    }

    #[test]
    fn what_is_no_escape_is_itself() {
        for text in [
            "100% sure",
            "a & b",
            "&copy=1",
            "a=b&c=d",
            r"C:\dir",
            "key=ab12",
            "&#;",
            "%zz",
            r"\u00g1",
            "&#x110000000;",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn a_cut_escape_waits() {
        for text in [
            r"\u0067",
            r"\\u0067",
            "%67",
            "%2567",
            "&#103;",
            "&amp;#x67;",
            "=67",
            "=\r\n",
            "\u{200b}",
            r"\u{67}",
            "%E2%80%8B",
            r"\ud835\udc88",
        ] {
            for end in 1..text.len() {
                assert_eq!(
                    unit(&text.as_bytes()[..end], 0, false, Escapes::All),
                    Unit::Pause,
                    "{text} to {end}"
                );
            }
            assert_ne!(unit(text.as_bytes(), 0, true, Escapes::All), Unit::Pause);
        }
    }

    #[test]
    fn another_byte_is_written_in_its_place() {
        for text in [
            r"\u0067",
            r"\\u0067",
            r"\x67",
            r"\u{67}",
            "%67",
            "%2567",
            "&#103;",
            "&#x67;",
            "&amp;#103;",
            "=67",
            "g",
        ] {
            let mut unit = text.as_bytes().to_vec();
            write(&mut unit, b'R');
            assert_eq!(unit.len(), text.len());
            assert_eq!(read(&unit), b"R", "{text}: {}", String::from_utf8_lossy(&unit));
        }
        for text in [r"\/", "&lt;", "\u{0440}", "%E2%80%A4", "&#45;"] {
            let mut unit = text.as_bytes().to_vec();
            write(&mut unit, b'd');
            assert!(unit.iter().all(|byte| *byte == b'd'), "{text}");
        }
    }
}
