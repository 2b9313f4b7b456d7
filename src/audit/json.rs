//! JSON members written straight into a byte buffer: the trail's hot path.
//!
//! Knows strings, unsigned numbers and the nesting of one object; it reads no JSON and checks no duplicate keys.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;

/// The longest text that a record holds, in bytes; what is beyond is counted, not kept. With it a record has a greatest size,
/// and so has the queue of records.
pub(super) const LONGEST_TEXT: usize = 8 * 1024;

/// One open JSON object. [`Object::close`] ends it.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Ends the object.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// A member whose value is an object of its own.
    pub(super) fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut inner = Object::open(self.out);
        fill(&mut inner);
        inner.close();
    }

    /// A member whose value is a list of objects; left out when the list is empty.
    pub(super) fn list<T>(&mut self, key: &'static str, items: &[T], fill: impl Fn(&T, &mut Object<'_>)) {
        if items.is_empty() {
            return;
        }
        self.key(key);
        self.out.push(b'[');
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            let mut inner = Object::open(self.out);
            fill(item, &mut inner);
            inner.close();
        }
        self.out.push(b']');
    }

    /// A word of Egret's own, which needs no escapes.
    pub(super) fn word(&mut self, key: &'static str, value: impl Into<Option<&'static str>>) {
        let Some(value) = value.into() else { return };
        self.raw(key, value.as_bytes());
    }

    /// A text that may come from traffic: escaped, and cut at [`LONGEST_TEXT`].
    pub(super) fn text(&mut self, key: &'static str, value: Option<&Cow<'_, str>>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        let (kept, cut) = shorten(value);
        escape(kept, self.out);
        if cut > 0 {
            self.out.extend_from_slice("…(+".as_bytes());
            digits(u64::try_from(cut).unwrap_or(u64::MAX), self.out);
            self.out.extend_from_slice(b" bytes)");
        }
        self.out.push(b'"');
    }

    /// An address as text.
    pub(super) fn address(&mut self, key: &'static str, value: Option<IpAddr>) {
        let Some(value) = value else { return };
        self.key(key);
        // Writing into a Vec can't fail.
        write!(self.out, "\"{value}\"").unwrap_or_default();
    }

    /// A text without anything to escape, as bytes.
    pub(super) fn raw(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value);
        self.out.push(b'"');
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.key(key);
        digits(value, self.out);
    }

    /// Thousandths, written as a number with three decimals.
    pub(super) fn thousandths(&mut self, key: &'static str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.key(key);
        digits(value / 1000, self.out);
        self.out.push(b'.');
        self.out.extend_from_slice(&padded::<3>(value % 1000));
    }

    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// `value` in decimal at the end of `out`.
pub(super) fn digits(value: u64, out: &mut Vec<u8>) {
    // u64::MAX has 20 digits.
    let all = padded::<20>(value);
    let zeros = all.iter().take(19).take_while(|&&digit| digit == b'0').count();
    out.extend(all.iter().skip(zeros));
}

/// The last `N` decimal digits of `value`.
pub(super) fn padded<const N: usize>(mut value: u64) -> [u8; N] {
    let mut all = [b'0'; N];
    for digit in all.iter_mut().rev() {
        if value == 0 {
            break;
        }
        *digit = b'0'.saturating_add(u8::try_from(value % 10).unwrap_or(0));
        value /= 10;
    }
    all
}

/// What is kept of a text, cut between characters, and how many bytes are not.
fn shorten(text: &str) -> (&str, usize) {
    let kept = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
    (kept, text.len().saturating_sub(kept.len()))
}

/// `text` as the inside of a JSON string. Beyond what RFC 8259 §7 asks for, DEL and the C1 controls are escaped as well, so
/// that a record shown in a terminal doesn't act on it.
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_look) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut characters = tail.chars();
        if let Some(character) = characters.next() {
            escape_character(character, out);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Control bytes, the two characters of JSON's own, DEL, and 0xC2, with which every C1 control begins in UTF-8.
fn needs_look(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f | 0xc2)
}

fn escape_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // Writing into a Vec can't fail.
        control if control.is_control() => {
            write!(out, "\\u{:04x}", u32::from(control)).unwrap_or_default();
        }
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str) -> String {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("k", Some(&Cow::Borrowed(value)));
        object.close();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(text(value), format!("{{\"k\":\"{expected}\"}}"));
    }

    #[test]
    fn texts_are_escaped() {
        check("", "");
        check("plain", "plain");
        check("a\"b\\c", "a\\\"b\\\\c");
        check("\n\r\t\0\u{1b}[31m", "\\n\\r\\t\\u0000\\u001b[31m");
        check("\u{7f}\u{9b}31m", "\\u007f\\u009b31m");
        check("ü £ 💥", "ü £ 💥");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(LONGEST_TEXT);
        let parsed: serde_json::Value = serde_json::from_str(&text(&long)).unwrap();
        let expected = format!("{}…(+{LONGEST_TEXT} bytes)", "é".repeat(LONGEST_TEXT / 2));
        assert_eq!(parsed["k"], expected);
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 99, 100, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            digits(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(value in ".{0,200}", also in proptest::collection::vec(any::<char>(), 0..50)) {
            let value = value + &String::from_iter(also);
            let parsed: serde_json::Value = serde_json::from_str(&text(&value)).unwrap();
            prop_assert_eq!(parsed["k"].as_str().unwrap(), value);
        }
    }
}
