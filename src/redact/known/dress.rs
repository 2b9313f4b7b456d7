//! The dresses in which a value may stand: encodings, alone and two deep, reversed and rotated.
//!
//! base64 and base32 code several bytes together, so that a value inside a longer text has one form for each place where it may begin. The characters
//! at its edges that hold bits of its neighbours are left out. Buffers have room for all that is written to them, so that they are wiped whole.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

type Text = Zeroizing<Vec<u8>>;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";
const DECIMAL: &[u8; 10] = b"0123456789";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A value in every dress, each once.
pub(super) fn all(value: &[u8]) -> Vec<Text> {
    let mut all = Set::default();
    plain(value, &mut all);
    one_layer(value, &mut all);
    two_layers(value, &mut all);
    let mut texts = all.0;
    texts.sort_unstable_by(|one, other| one.as_slice().cmp(other));
    texts.dedup_by(|one, other| one.as_slice() == other.as_slice());
    texts
}

/// Dresses, some of them twice.
#[derive(Default)]
struct Set(Vec<Text>);

impl Set {
    fn add(&mut self, text: Vec<u8>) {
        self.0.push(Zeroizing::new(text));
    }
}

/// As it is, reversed, rotated, in other character encodings.
fn plain(value: &[u8], all: &mut Set) {
    all.add(value.to_vec());
    all.add(reversed(value));
    all.add(value.iter().map(|byte| rot13(*byte)).collect());
    all.add(utf16(value, u16::to_le_bytes));
    all.add(utf16(value, u16::to_be_bytes));
}

fn one_layer(value: &[u8], all: &mut Set) {
    for text in base64s(value) {
        all.add(reversed(&text));
        in_json_and_urls(&text, all);
        all.add(text);
    }
    for text in base64s(&reversed(value)) {
        all.add(text);
    }
    for digits in [LOWER, UPPER] {
        for separator in ["", ":", " ", "-"] {
            all.add(hex(value, digits, separator.as_bytes()));
        }
        all.add(percent(value, digits, |_| true));
        all.add(percent(value, digits, |byte| !is_unreserved(byte)));
        all.add(form(value, digits));
        all.add(json_units(value, digits));
        all.add(entities(value, b"&#x", digits));
    }
    for text in base32s(value) {
        all.add(text.to_ascii_lowercase());
        all.add(text);
    }
    all.add(json(value, b"/"));
    all.add(json(value, b"\\/"));
    all.add(entities(value, b"&#", DECIMAL));
    for apostrophe in ["&#39;", "&#x27;", "&apos;", "'"] {
        all.add(named_entities(value, apostrophe.as_bytes()));
    }
}

fn two_layers(value: &[u8], all: &mut Set) {
    let inner: Vec<Vec<u8>> = alignments(value, &STANDARD)
        .chain([STANDARD.encode(value).into_bytes()])
        .collect();
    let mut dressed = vec![
        utf16(value, u16::to_le_bytes),
        utf16(value, u16::to_be_bytes),
        hex(value, LOWER, b""),
        hex(value, UPPER, b""),
        json(value, b"/"),
        percent(value, UPPER, |byte| !is_unreserved(byte)),
    ];
    for text in &inner {
        all.add(hex(text, LOWER, b""));
        all.add(hex(text, UPPER, b""));
        all.add(utf16(text, u16::to_le_bytes));
    }
    dressed.extend(inner);
    for text in dressed.into_iter().map(Zeroizing::new) {
        for text in base64s(&text) {
            all.add(text);
        }
    }
}

/// base64 holds characters that JSON and URLs may escape.
fn in_json_and_urls(text: &[u8], all: &mut Set) {
    if text.contains(&b'/') {
        all.add(json(text, b"\\/"));
    }
    for digits in [LOWER, UPPER] {
        all.add(percent(text, digits, |byte| !is_unreserved(byte)));
    }
}

fn reversed(text: &[u8]) -> Vec<u8> {
    text.iter().rev().copied().collect()
}

fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'm' | b'A'..=b'M' => byte + 13,
        b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
        _ => byte,
    }
}

/// The code units of a text, or of bytes that are none.
fn units(value: &[u8]) -> Zeroizing<Vec<u16>> {
    let mut units = Zeroizing::new(Vec::with_capacity(value.len()));
    match std::str::from_utf8(value) {
        Ok(text) => units.extend(text.encode_utf16()),
        Err(_) => units.extend(value.iter().map(|byte| u16::from(*byte))),
    }
    units
}

/// An empty buffer with room for so many bytes for each of `value`.
fn room(value: &[u8], each: usize) -> Vec<u8> {
    Vec::with_capacity(value.len() * each)
}

fn utf16(value: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut text = room(value, 2);
    text.extend(units(value).iter().copied().flat_map(bytes));
    text
}

fn digit(digits: &[u8], value: u8) -> u8 {
    digits.get(usize::from(value)).copied().unwrap_or_default()
}

fn two_digits(byte: u8, digits: &[u8]) -> [u8; 2] {
    [digit(digits, byte >> 4), digit(digits, byte & 15)]
}

fn hex(value: &[u8], digits: &[u8], separator: &[u8]) -> Vec<u8> {
    let mut text = room(value, 2 + separator.len());
    for (number, byte) in value.iter().enumerate() {
        if number > 0 {
            text.extend_from_slice(separator);
        }
        text.extend(two_digits(*byte, digits));
    }
    text
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn percent(value: &[u8], digits: &[u8], encodes: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut text = room(value, 3);
    for byte in value {
        if encodes(*byte) {
            text.push(b'%');
            text.extend(two_digits(*byte, digits));
        } else {
            text.push(*byte);
        }
    }
    text
}

/// As HTML forms encode (WHATWG URL, `application/x-www-form-urlencoded`).
fn form(value: &[u8], digits: &[u8]) -> Vec<u8> {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*' | b' ');
    let mut text = percent(value, digits, |byte| !kept(byte));
    text.iter_mut()
        .filter(|byte| **byte == b' ')
        .for_each(|byte| *byte = b'+');
    text
}

/// What JSON must escape, with a slash as it is or escaped.
fn json(value: &[u8], slash: &[u8]) -> Vec<u8> {
    let mut text = room(value, 6);
    for byte in value {
        match byte {
            b'/' => text.extend_from_slice(slash),
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            0x08 => text.extend_from_slice(b"\\b"),
            0x0c => text.extend_from_slice(b"\\f"),
            0..0x20 => {
                text.extend_from_slice(b"\\u00");
                text.extend(two_digits(*byte, LOWER));
            }
            _ => text.push(*byte),
        }
    }
    text
}

/// Every code unit as `\uXXXX`.
fn json_units(value: &[u8], digits: &[u8]) -> Vec<u8> {
    let mut text = room(value, 6);
    for unit in units(value).iter() {
        text.extend_from_slice(b"\\u");
        text.extend(unit.to_be_bytes().into_iter().flat_map(|byte| two_digits(byte, digits)));
    }
    text
}

/// Every character as a numeric entity: `&#`, perhaps `x`, its number in a base's digits, `;`.
fn entities(value: &[u8], begin: &[u8], digits: &[u8]) -> Vec<u8> {
    // `&#x10FFFF;` is the longest.
    let mut text = room(value, 10);
    let mut entity = |character: u32| {
        text.extend_from_slice(begin);
        number(character, digits, &mut text);
        text.push(b';');
    };
    match std::str::from_utf8(value) {
        Ok(characters) => characters.chars().for_each(|one| entity(u32::from(one))),
        Err(_) => value.iter().for_each(|byte| entity(u32::from(*byte))),
    }
    text
}

/// Writes a number, without zeros in front.
fn number(value: u32, digits: &[u8], text: &mut Vec<u8>) {
    let base = u32::try_from(digits.len()).unwrap_or(10);
    if value >= base {
        number(value / base, digits, text);
    }
    text.push(digit(digits, u8::try_from(value % base).unwrap_or_default()));
}

/// What HTML must escape.
fn named_entities(value: &[u8], apostrophe: &[u8]) -> Vec<u8> {
    let mut text = room(value, 6);
    for byte in value {
        match byte {
            b'&' => text.extend_from_slice(b"&amp;"),
            b'<' => text.extend_from_slice(b"&lt;"),
            b'>' => text.extend_from_slice(b"&gt;"),
            b'"' => text.extend_from_slice(b"&quot;"),
            b'\'' => text.extend_from_slice(apostrophe),
            _ => text.push(*byte),
        }
    }
    text
}

/// In both alphabets: by itself, and inside a longer text in the three places where it may begin.
fn base64s(value: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        let mut alone = engine.encode(value).into_bytes();
        let padding = alone.iter().rev().take_while(|byte| **byte == b'=').count();
        alone.truncate(alone.len() - padding);
        texts.push(alone);
        texts.extend(alignments(value, engine));
    }
    texts
}

fn alignments(value: &[u8], engine: &base64::engine::GeneralPurpose) -> impl Iterator<Item = Vec<u8>> {
    (0..3).map(move |ahead| {
        let text = Zeroizing::new(engine.encode(behind(value, ahead)).into_bytes());
        inner(&text, ahead, value.len(), 6)
    })
}

/// In the five places where it may begin.
fn base32s(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..5).map(move |ahead| inner(&Zeroizing::new(base32(&behind(value, ahead))), ahead, value.len(), 5))
}

fn behind(value: &[u8], ahead: usize) -> Text {
    let mut text = Vec::with_capacity(ahead + value.len());
    text.resize(ahead, 0);
    text.extend_from_slice(value);
    Zeroizing::new(text)
}

/// The characters of `bits` bits each that hold nothing but the value, which stands behind `ahead` bytes.
fn inner(text: &[u8], ahead: usize, length: usize, bits: usize) -> Vec<u8> {
    let first = (ahead * 8).div_ceil(bits);
    let end = (ahead + length) * 8 / bits;
    text.get(first..end).unwrap_or_default().to_vec()
}

/// RFC 4648 §6, without padding.
fn base32(value: &[u8]) -> Vec<u8> {
    let mut text = room(value, 2);
    let (mut kept, mut count) = (0_u16, 0_u32);
    for byte in value {
        kept = kept << 8 | u16::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(character(kept >> count));
        }
        kept &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(character(kept << (5 - count)));
    }
    text
}

fn character(bits: u16) -> u8 {
    BASE32.get(usize::from(bits & 31)).copied().unwrap_or_default()
}
