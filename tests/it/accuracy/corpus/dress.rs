//! The dresses in which a secret can leave: encodings, alone and upon each other, and how to read them again.
//!
//! The readers here are written for this corpus alone and share nothing with Egret's. They are lenient: what isn't well
//! formed is left as it stands, so that a secret that a broken rewrite leaves half readable is still seen.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::random::Seeded;

/// Which characters an encoding replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Each with a chance of one in three, and one at least.
    Third,
    /// All but letters and digits.
    Reserved,
}

/// How an HTML entity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entity {
    Decimal,
    Hex,
    /// By name where there is one; letters and digits have none.
    Named,
}

/// One encoding. `apply` dresses, `undo` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// `\uXXXX`, in upper or lower case.
    JsonUnicode {
        which: Which,
        upper: bool,
    },
    /// What a JSON string must escape, and nothing else.
    JsonString,
    /// `/` as `\/`.
    JsonSlash,
    /// `%XX`.
    Percent {
        which: Which,
        upper: bool,
    },
    /// `application/x-www-form-urlencoded`: as `Percent` for what is reserved there, and `+` for a space.
    Form,
    /// Entities.
    Html {
        which: Which,
        entity: Entity,
    },
    /// What XML must escape, and nothing else.
    Xml,
    /// Base64 of the text after some others bytes, as in Basic credentials.
    Base64 {
        url: bool,
        padded: bool,
        after: &'static str,
    },
    /// Text that stands right before, without a boundary.
    GluedTo(&'static str),
    /// Lines of 76 characters.
    MimeLines,
    /// Two hexadecimal digits a byte, with a text before each byte, and one between them.
    Hex {
        upper: bool,
        before: &'static str,
        between: &'static str,
    },
    Base32 {
        padded: bool,
    },
    Utf16 {
        big: bool,
    },
    /// `=XX` for each byte, or for `=` alone, with soft line breaks after so many bytes.
    QuotedPrintable {
        all: bool,
        every: usize,
    },
    /// Characters without width: one somewhere inside, or one between all.
    ZeroWidth {
        all: bool,
    },
    /// Latin characters by their full-width forms.
    FullWidth(Which),
    /// So many letters by others that look the same.
    Homoglyphs(usize),
    Gzip,
    /// The text as a member of a JSON document.
    InJson,
    /// Quotes doubled.
    CsvQuotes,
    /// Each line as one of an event's.
    SseLines,
    /// For a shell's single quotes.
    ShellQuotes,
}

/// A named stack of layers, the first of which is the innermost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dress {
    pub(crate) name: &'static str,
    pub(crate) layers: &'static [Layer],
}

impl Dress {
    /// Whether what it makes is bytes and no text, so that it can't stand in a medium of text.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Utf16 { .. } | Layer::Gzip))
    }
}

const fn json_unicode(which: Which, upper: bool) -> Layer {
    Layer::JsonUnicode { which, upper }
}

const fn percent(which: Which, upper: bool) -> Layer {
    Layer::Percent { which, upper }
}

const fn html(which: Which, entity: Entity) -> Layer {
    Layer::Html { which, entity }
}

const fn base64(after: &'static str) -> Layer {
    Layer::Base64 {
        url: false,
        padded: true,
        after,
    }
}

const fn unpadded(after: &'static str) -> Layer {
    Layer::Base64 {
        url: false,
        padded: false,
        after,
    }
}

const fn base64_url(after: &'static str, padded: bool) -> Layer {
    Layer::Base64 {
        url: true,
        padded,
        after,
    }
}

const fn hex(upper: bool, before: &'static str, between: &'static str) -> Layer {
    Layer::Hex { upper, before, between }
}

const fn dress(name: &'static str, layers: &'static [Layer]) -> Dress {
    Dress { name, layers }
}

/// Every dress of the corpus; the first is none.
pub(crate) const DRESSES: &[Dress] = &[
    dress("none", &[]),
    dress("JSON \\u, all", &[json_unicode(Which::All, false)]),
    dress("JSON \\u, all, upper case", &[json_unicode(Which::All, true)]),
    dress("JSON \\u, a third", &[json_unicode(Which::Third, false)]),
    dress("JSON \\u, a third, upper case", &[json_unicode(Which::Third, true)]),
    dress("percent, all", &[percent(Which::All, true)]),
    dress("percent, all, lower case", &[percent(Which::All, false)]),
    dress("percent, a third", &[percent(Which::Third, true)]),
    dress("percent, reserved", &[percent(Which::Reserved, true)]),
    dress(
        "percent twice, all",
        &[percent(Which::All, true), percent(Which::Reserved, true)],
    ),
    dress(
        "percent twice, a third",
        &[percent(Which::Third, false), percent(Which::Reserved, true)],
    ),
    dress("entities, decimal, all", &[html(Which::All, Entity::Decimal)]),
    dress("entities, decimal, a third", &[html(Which::Third, Entity::Decimal)]),
    dress("entities, hex, all", &[html(Which::All, Entity::Hex)]),
    dress("entities, hex, a third", &[html(Which::Third, Entity::Hex)]),
    dress("entities, named, reserved", &[html(Which::Reserved, Entity::Named)]),
    dress("base64", &[base64("")]),
    dress("base64 after 1 byte", &[base64("u")]),
    dress("base64 after 2 bytes", &[base64("u:")]),
    dress("base64 after a name", &[base64("deploy-bot:")]),
    dress("base64 without padding", &[unpadded("")]),
    dress("base64 without padding after 1 byte", &[unpadded(":")]),
    dress("base64 without padding after 2 bytes", &[unpadded("x:")]),
    dress("base64url", &[base64_url("", false)]),
    dress("base64url after 1 byte", &[base64_url("=", false)]),
    dress("base64url after 2 bytes, padded", &[base64_url("a=", true)]),
    dress(
        "base64 in lines of 76",
        &[base64("From: a@example.com\r\n\r\n"), Layer::MimeLines],
    ),
    dress("base64 behind 1 character", &[base64(""), Layer::GluedTo("Q")]),
    dress("base64 behind 2 characters", &[base64(""), Layer::GluedTo("x9")]),
    dress("base64 behind 3 characters", &[base64("u"), Layer::GluedTo("k3R")]),
    dress(
        "base64 behind 37 characters",
        &[base64("u:"), Layer::GluedTo("c2Vzc2lvbnN0YXRlLzAxMjM0NTY3ODkvYWJjZ")],
    ),
    dress("hex", &[hex(false, "", "")]),
    dress("hex, upper case", &[hex(true, "", "")]),
    dress("hex with colons", &[hex(false, "", ":")]),
    dress("hex with spaces", &[hex(true, "", " ")]),
    dress("hex with dashes", &[hex(false, "", "-")]),
    dress("hex with \\x", &[hex(false, "\\x", "")]),
    dress("base32", &[Layer::Base32 { padded: true }]),
    dress("base32 without padding", &[Layer::Base32 { padded: false }]),
    dress("UTF-16LE", &[Layer::Utf16 { big: false }]),
    dress("UTF-16BE", &[Layer::Utf16 { big: true }]),
    dress(
        "quoted-printable, all",
        &[Layer::QuotedPrintable { all: true, every: 24 }],
    ),
    dress(
        "quoted-printable, soft line breaks",
        &[Layer::QuotedPrintable { all: false, every: 19 }],
    ),
    dress("one zero-width character", &[Layer::ZeroWidth { all: false }]),
    dress("zero-width characters between all", &[Layer::ZeroWidth { all: true }]),
    dress("full-width, all", &[Layer::FullWidth(Which::All)]),
    dress("full-width, a third", &[Layer::FullWidth(Which::Third)]),
    dress("one homoglyph", &[Layer::Homoglyphs(1)]),
    dress("two homoglyphs", &[Layer::Homoglyphs(2)]),
    dress("gzip in base64", &[Layer::Gzip, base64("")]),
    dress("base64 twice", &[base64(""), base64("u:")]),
    dress("JSON in base64", &[Layer::InJson, base64("")]),
    dress("JSON in base64url", &[Layer::InJson, base64_url("", false)]),
    dress("base64 with \\/", &[base64("u:"), Layer::JsonSlash]),
    dress("base64 in a form", &[base64("u:"), percent(Which::Reserved, true)]),
    dress("base64 in hex", &[base64(""), hex(false, "", "")]),
    dress("UTF-16LE in base64", &[Layer::Utf16 { big: false }, base64("")]),
];

impl Layer {
    /// Dresses a text.
    pub(crate) fn apply(self, text: &[u8], random: &mut Seeded) -> Vec<u8> {
        match self {
            Self::JsonUnicode { which, upper } => by_characters(text, which, "\\\"\n\r\t", random, |character| {
                let mut units = [0; 2];
                let units = character.encode_utf16(&mut units).iter();
                let escapes: Vec<String> = units
                    .map(|unit| ["\\u", &cased(&format!("{unit:04x}"), upper)].concat())
                    .collect();
                escapes.concat()
            }),
            Self::JsonString => json_string(text).into_bytes(),
            Self::JsonSlash => replaced(text, b'/', "\\/"),
            Self::Percent { which, upper } => by_bytes(text, which, random, |byte| percent_of(byte, upper)),
            Self::Form => form(text),
            Self::Html { which, entity } => by_characters(text, which, "&", random, |character| match entity {
                Entity::Decimal => format!("&#{};", u32::from(character)),
                Entity::Hex => format!("&#x{:x};", u32::from(character)),
                Entity::Named => name_of(character).map_or(character.to_string(), |name| format!("&{name};")),
            }),
            Self::Xml => xml(text),
            Self::Base64 { url, padded, after } => to_base64(&[after.as_bytes(), text].concat(), url, padded),
            Self::GluedTo(before) => [before.as_bytes(), text].concat(),
            Self::MimeLines => text.chunks(76).collect::<Vec<_>>().join(&b"\r\n"[..]),
            Self::Hex { upper, before, between } => {
                let digits = text.iter().map(|byte| cased(&format!("{byte:02x}"), upper));
                digits
                    .map(|two| format!("{before}{two}"))
                    .collect::<Vec<_>>()
                    .join(between)
                    .into_bytes()
            }
            Self::Base32 { padded } => to_base32(text, padded),
            Self::Utf16 { big } => {
                let text = String::from_utf8_lossy(text);
                let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
                text.encode_utf16().flat_map(bytes).collect()
            }
            Self::QuotedPrintable { all, every } => quoted_printable(text, all, every),
            Self::ZeroWidth { all } => zero_width(text, all, random),
            Self::FullWidth(which) => by_characters(text, which, "", random, |character| full_width(character).into()),
            Self::Homoglyphs(count) => homoglyphs(text, count, random),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Self::InJson => {
                let (before, after) = in_json();
                [before.as_bytes(), json_string(text).as_bytes(), after.as_bytes()].concat()
            }
            Self::CsvQuotes => replaced(text, b'"', "\"\""),
            Self::SseLines => replaced(text, b'\n', "\ndata: "),
            Self::ShellQuotes => replaced(text, b'\'', "'\\''"),
        }
    }

    /// Reads a text that was dressed, and perhaps rewritten after that.
    pub(crate) fn undo(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::JsonUnicode { .. } | Self::JsonString | Self::JsonSlash | Self::InJson => from_json_string(text),
            Self::Percent { .. } => from_percent(text),
            Self::Form => from_percent(&replaced(text, b'+', " ")),
            Self::Html { .. } | Self::Xml => from_entities(text),
            Self::Base64 { after, .. } => from_base64(text).split_off(after.len().min(text.len() / 2)),
            Self::GluedTo(before) => text.get(before.len()..).unwrap_or_default().to_vec(),
            Self::MimeLines => without(text, b"\r\n"),
            Self::Hex { before, between, .. } => {
                from_hex(&without(&without(text, before.as_bytes()), between.as_bytes()))
            }
            Self::Base32 { .. } => from_base32(text),
            Self::Utf16 { big } => {
                let unit = |two: &[u8]| if big { [two[0], two[1]] } else { [two[1], two[0]] };
                let units: Vec<u16> = text.chunks_exact(2).map(unit).map(u16::from_be_bytes).collect();
                String::from_utf16_lossy(&units).into_bytes()
            }
            Self::QuotedPrintable { .. } => from_percent(&replaced(&without(text, b"=\r\n"), b'=', "%")),
            Self::ZeroWidth { .. } => ZERO_WIDTH
                .iter()
                .fold(text.to_vec(), |text, none| without(&text, none.as_bytes())),
            Self::FullWidth(_) => mapped(text, from_full_width),
            Self::Homoglyphs(_) => mapped(text, |character| {
                LOOK_ALIKES
                    .iter()
                    .find(|(_, other)| *other == character)
                    .map_or(character, |(latin, _)| *latin)
            }),
            Self::Gzip => {
                let mut read = Vec::new();
                // What comes before an error is readable all the same.
                drop(GzDecoder::new(text).read_to_end(&mut read));
                read
            }
            Self::CsvQuotes => String::from_utf8_lossy(text).replace("\"\"", "\"").into_bytes(),
            Self::SseLines => String::from_utf8_lossy(text).replace("\ndata: ", "\n").into_bytes(),
            Self::ShellQuotes => String::from_utf8_lossy(text).replace("'\\''", "'").into_bytes(),
        }
    }
}

fn cased(digits: &str, upper: bool) -> String {
    if upper {
        digits.to_uppercase()
    } else {
        digits.to_owned()
    }
}

/// Which of `count` characters to replace.
fn chosen(count: usize, which: Which, random: &mut Seeded, is_reserved: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut chosen: Vec<bool> = (0..count)
        .map(|at| match which {
            Which::All => true,
            Which::Third => random.once_in(3),
            Which::Reserved => is_reserved(at),
        })
        .collect();
    if which == Which::Third && count > 0 {
        chosen[random.below(count)] = true;
    }
    chosen
}

/// Replaces what was chosen, and `always` what would else be read as an escape.
fn by_characters(
    text: &[u8],
    which: Which,
    always: &str,
    random: &mut Seeded,
    written: impl Fn(char) -> String,
) -> Vec<u8> {
    let text: Vec<char> = String::from_utf8_lossy(text).chars().collect();
    let chosen = chosen(text.len(), which, random, |at| !text[at].is_ascii_alphanumeric());
    let each = text.iter().zip(chosen);
    each.map(|(one, chosen)| {
        if chosen || always.contains(*one) {
            written(*one)
        } else {
            one.to_string()
        }
    })
    .collect::<String>()
    .into_bytes()
}

fn by_bytes(text: &[u8], which: Which, random: &mut Seeded, written: impl Fn(u8) -> String) -> Vec<u8> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let chosen = chosen(text.len(), which, random, |at| !unreserved(text[at]));
    let each = text.iter().zip(chosen);
    each.flat_map(|(byte, chosen)| {
        if chosen || *byte == b'%' {
            written(*byte).into_bytes()
        } else {
            vec![*byte]
        }
    })
    .collect()
}

fn percent_of(byte: u8, upper: bool) -> String {
    format!("%{}", cased(&format!("{byte:02x}"), upper))
}

fn form(text: &[u8]) -> Vec<u8> {
    let written = |byte: &u8| match byte {
        b' ' => vec![b'+'],
        byte if byte.is_ascii_alphanumeric() || b"-._*".contains(byte) => vec![*byte],
        byte => percent_of(*byte, true).into_bytes(),
    };
    text.iter().flat_map(written).collect()
}

fn xml(text: &[u8]) -> Vec<u8> {
    let written = |byte: &u8| match byte {
        b'&' => b"&amp;".to_vec(),
        b'<' => b"&lt;".to_vec(),
        b'>' => b"&gt;".to_vec(),
        b'"' => b"&quot;".to_vec(),
        byte => vec![*byte],
    };
    text.iter().flat_map(written).collect()
}

/// A text between the quotes of a JSON string.
fn json_string(text: &[u8]) -> String {
    let quoted = serde_json::to_string(&String::from_utf8_lossy(text)).unwrap();
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap().to_owned()
}

/// What stands around the text in a JSON document.
fn in_json() -> (&'static str, &'static str) {
    (r#"{"v":2,"user":"ada","value":""#, r#"","expires":1767225600}"#)
}

fn replaced(text: &[u8], byte: u8, with: &str) -> Vec<u8> {
    let written = |next: &u8| {
        if *next == byte {
            with.as_bytes().to_vec()
        } else {
            vec![*next]
        }
    };
    text.iter().flat_map(written).collect()
}

/// `text` without any `part`.
fn without(text: &[u8], part: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match rest.strip_prefix(part) {
            Some(after) if !part.is_empty() => rest = after,
            _ => {
                left.push(*first);
                rest = after;
            }
        }
    }
    left
}

fn mapped(text: &[u8], map: impl Fn(char) -> char) -> Vec<u8> {
    String::from_utf8_lossy(text)
        .chars()
        .map(map)
        .collect::<String>()
        .into_bytes()
}

fn to_base64(bytes: &[u8], url: bool, padded: bool) -> Vec<u8> {
    let alphabet = if url {
        super::random::BASE64_URL
    } else {
        super::random::BASE64
    }
    .as_bytes();
    let mut text = Vec::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| usize::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.extend((0..=three.len()).map(|at| alphabet[bits >> (18 - 6 * at) & 63]));
        if padded {
            text.extend(std::iter::repeat_n(b'=', 3 - three.len()));
        }
    }
    text
}

fn from_base64(text: &[u8]) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    from_bits(text.iter().filter_map(|byte| value(*byte)), 6)
}

fn to_base32(bytes: &[u8], padded: bool) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = Vec::new();
    for five in bytes.chunks(5) {
        let bits = (0..5).fold(0_u64, |bits, at| {
            bits << 8 | u64::from(five.get(at).copied().unwrap_or(0))
        });
        let digits = (five.len() * 8).div_ceil(5);
        text.extend((0..digits).map(|at| alphabet[usize::try_from(bits >> (35 - 5 * at) & 31).unwrap()]));
        if padded {
            text.extend(std::iter::repeat_n(b'=', 8 - digits));
        }
    }
    text
}

fn from_base32(text: &[u8]) -> Vec<u8> {
    let value = |byte: u8| match byte.to_ascii_uppercase() {
        upper @ b'A'..=b'Z' => Some(upper - b'A'),
        digit @ b'2'..=b'7' => Some(digit - b'2' + 26),
        _ => None,
    };
    from_bits(text.iter().filter_map(|byte| value(*byte)), 5)
}

fn from_hex(text: &[u8]) -> Vec<u8> {
    let value = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    from_bits(text.iter().filter_map(value), 4)
}

/// The bytes in digits of `width` bits each.
fn from_bits(digits: impl Iterator<Item = u8>, width: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = bits << width | u32::from(digit);
        count += width;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
        bits &= 0xffff;
    }
    bytes
}

fn from_percent(text: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        if *first == b'%'
            && let [high, low, after @ ..] = after
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            read.extend(from_hex(&[*high, *low]));
            rest = after;
        } else {
            read.push(*first);
            rest = after;
        }
    }
    read
}

fn from_json_string(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        let mut after = rest.clone();
        let escaped = (next == '\\').then(|| after.next()).flatten();
        let digits: String = after.clone().take(4).collect();
        let read = match escaped {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') if let Ok(unit) = u16::from_str_radix(&digits, 16) => {
                units.push(unit);
                rest = after;
                rest.nth(3);
                continue;
            }
            Some(other) => other,
            None => next,
        };
        if escaped.is_some() {
            rest = after;
        }
        units.extend_from_slice(read.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units).into_bytes()
}

/// Names of characters in HTML.
const NAMES: &[(char, &str)] = &[
    ('!', "excl"),
    ('"', "quot"),
    ('#', "num"),
    ('$', "dollar"),
    ('%', "percnt"),
    ('&', "amp"),
    ('\'', "apos"),
    ('(', "lpar"),
    (')', "rpar"),
    ('*', "ast"),
    ('+', "plus"),
    (',', "comma"),
    ('.', "period"),
    ('/', "sol"),
    (':', "colon"),
    (';', "semi"),
    ('<', "lt"),
    ('=', "equals"),
    ('>', "gt"),
    ('?', "quest"),
    ('@', "commat"),
    ('[', "lsqb"),
    ('\\', "bsol"),
    (']', "rsqb"),
    ('^', "Hat"),
    ('_', "lowbar"),
    ('`', "grave"),
    ('{', "lcub"),
    ('|', "vert"),
    ('}', "rcub"),
    ('\n', "NewLine"),
    ('\t', "Tab"),
];

fn name_of(character: char) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(named, _)| *named == character)
        .map(|(_, name)| *name)
}

fn from_entities(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut read = String::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('&') {
        read.push_str(before);
        let entity = after
            .split_once(';')
            .and_then(|(entity, after)| Some((entity_of(entity)?, after)));
        rest = after;
        match entity {
            Some((character, after)) => {
                read.push(character);
                rest = after;
            }
            None => read.push('&'),
        }
    }
    read.push_str(rest);
    read.into_bytes()
}

fn entity_of(entity: &str) -> Option<char> {
    if let Some(digits) = entity.strip_prefix("#x").or(entity.strip_prefix("#X")) {
        return u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    }
    if let Some(digits) = entity.strip_prefix('#') {
        return digits.parse().ok().and_then(char::from_u32);
    }
    NAMES
        .iter()
        .find(|(_, name)| *name == entity)
        .map(|(character, _)| *character)
}

fn quoted_printable(text: &[u8], all: bool, every: usize) -> Vec<u8> {
    let written = |byte: &u8| match byte {
        byte if all || *byte == b'=' => percent_of(*byte, true).replacen('%', "=", 1).into_bytes(),
        byte => vec![*byte],
    };
    let lines = text
        .chunks(every)
        .map(|line| line.iter().flat_map(written).collect::<Vec<u8>>());
    lines.collect::<Vec<_>>().join(&b"=\r\n"[..])
}

/// Characters that nobody sees.
const ZERO_WIDTH: [&str; 5] = ["\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}"];

fn zero_width(text: &[u8], all: bool, random: &mut Seeded) -> Vec<u8> {
    let text: Vec<char> = String::from_utf8_lossy(text).chars().collect();
    let one = random.between(1, text.len().max(2) - 1);
    let mut dressed = String::new();
    for (at, character) in text.iter().enumerate() {
        if at > 0 && (all || at == one) {
            dressed.push_str(random.pick(&ZERO_WIDTH));
        }
        dressed.push(*character);
    }
    dressed.into_bytes()
}

/// How far the full-width forms of `!` to `~` stand behind them.
const FULL_WIDTH: u32 = 0xfee0;

fn full_width(character: char) -> char {
    let shifted = char::from_u32(u32::from(character) + FULL_WIDTH);
    shifted.filter(|_| character.is_ascii_graphic()).unwrap_or(character)
}

fn from_full_width(character: char) -> char {
    let shifted = u32::from(character).checked_sub(FULL_WIDTH).and_then(char::from_u32);
    shifted.filter(char::is_ascii_graphic).unwrap_or(character)
}

/// Latin letters and what looks like them: Cyrillic, then Greek.
const LOOK_ALIKES: &[(char, char)] = &[
    ('a', '\u{430}'),
    ('c', '\u{441}'),
    ('e', '\u{435}'),
    ('i', '\u{456}'),
    ('j', '\u{458}'),
    ('o', '\u{43e}'),
    ('p', '\u{440}'),
    ('s', '\u{455}'),
    ('x', '\u{445}'),
    ('y', '\u{443}'),
    ('h', '\u{4bb}'),
    ('A', '\u{410}'),
    ('B', '\u{412}'),
    ('C', '\u{421}'),
    ('E', '\u{415}'),
    ('H', '\u{41d}'),
    ('K', '\u{41a}'),
    ('M', '\u{41c}'),
    ('O', '\u{41e}'),
    ('P', '\u{420}'),
    ('T', '\u{422}'),
    ('X', '\u{425}'),
    ('o', '\u{3bf}'),
    ('A', '\u{391}'),
    ('B', '\u{392}'),
    ('E', '\u{395}'),
    ('I', '\u{399}'),
    ('N', '\u{39d}'),
    ('Z', '\u{396}'),
    ('v', '\u{3bd}'),
];

fn homoglyphs(text: &[u8], count: usize, random: &mut Seeded) -> Vec<u8> {
    let mut text: Vec<char> = String::from_utf8_lossy(text).chars().collect();
    for _ in 0..count {
        let like = |latin: char| LOOK_ALIKES.iter().filter(move |(letter, _)| *letter == latin);
        let places: Vec<usize> = (0..text.len()).filter(|at| like(text[*at]).next().is_some()).collect();
        if places.is_empty() {
            break;
        }
        let at = places[random.below(places.len())];
        let others: Vec<char> = like(text[at]).map(|(_, other)| *other).collect();
        text[at] = others[random.below(others.len())];
    }
    text.into_iter().collect::<String>().into_bytes()
}
