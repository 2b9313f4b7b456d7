//! How the beginning of a secret looks in each dress, so that it can be searched for as it stands.

use super::super::byte_set::{ByteSet, texts};
use super::{Bits, Coat, Dress, Width};

/// How many digits of a coded beginning are told.
const DIGITS: usize = 8;
/// How many spellings the first characters of a beginning may have, for it to be looked for in escapes.
const SPELLINGS: usize = 8;
/// More texts than this are not searched for.
const FEW: usize = 1024;
/// What may stand between two bytes in hexadecimal digits.
const GAPS: [u8; 4] = *b": -,";

/// A beginning under one or two coats: the dress that reads it, and what can stand first, second and so on.
pub(in super::super) struct Coded {
    pub(in super::super) dress: Dress,
    pub(in super::super) sets: Vec<ByteSet>,
    /// Whether all of it is made of token bytes.
    pub(in super::super) is_token: bool,
    /// Whether it is what programs write without being asked: base64 alone.
    pub(in super::super) is_common: bool,
}

/// All forms of what begins with one of each of `sets`, of which the first `fixed` are one byte in one or both cases.
pub(in super::super) fn coded(sets: &[ByteSet], fixed: usize) -> Vec<Coded> {
    let mut forms = Vec::new();
    let mut add = |dress: Dress, outer: Coat, sets: Vec<ByteSet>| {
        let is_token = is_token(outer);
        let is_common = width(outer) == Some(Width::Base64) && dress == Dress::coat(outer);
        forms.push(Coded {
            dress,
            sets,
            is_token,
            is_common,
        });
    };
    for sets in in_one_case(sets, fixed) {
        for (inner, once) in codings(&sets) {
            let dress = Dress::coat(inner);
            for (outer, twice) in codings_over(inner, &once) {
                if let Some(dress) = dress.under(outer) {
                    add(dress, outer, twice);
                }
            }
            add(dress, inner, once);
        }
    }
    forms
}

fn width(coat: Coat) -> Option<Width> {
    match coat {
        Coat::Bits(bits) => Some(bits.width()),
        Coat::Utf16 => None,
    }
}

fn is_token(outer: Coat) -> bool {
    matches!(width(outer), Some(Width::Base32 | Width::Base64))
}

/// What is worth a search over another coat: base64 of base64, of hexadecimal digits or of UTF-16, and hexadecimal digits of base64.
fn codings_over(inner: Coat, sets: &[ByteSet]) -> Vec<(Coat, Vec<ByteSet>)> {
    match inner {
        Coat::Bits(bits) if bits.has_gap() => Vec::new(),
        Coat::Bits(bits) => match bits.width() {
            Width::Base64 => base64(sets).chain(hex(sets)).collect(),
            Width::Hex => base64(sets).collect(),
            Width::Base32 => Vec::new(),
        },
        Coat::Utf16 => base64(sets).collect(),
    }
}

fn base64(sets: &[ByteSet]) -> impl Iterator<Item = (Coat, Vec<ByteSet>)> {
    [0, 4, 2]
        .into_iter()
        .flat_map(|count| digits(sets, Width::Base64, count, None))
}

fn hex(sets: &[ByteSet]) -> impl Iterator<Item = (Coat, Vec<ByteSet>)> {
    [false, true]
        .into_iter()
        .flat_map(|lower| digits(sets, Width::Hex, 0, Some(lower)))
}

/// The sets with each fixed letter in its small form, and in its capital form; once if that makes no difference.
fn in_one_case(sets: &[ByteSet], fixed: usize) -> Vec<Vec<ByteSet>> {
    let choose = |keep: fn(&u8) -> bool| -> Vec<ByteSet> {
        let both = |set: &ByteSet| set.len() == 2 && set.iter().all(|byte| byte.is_ascii_alphabetic());
        (0..)
            .zip(sets)
            .map(|(nth, set)| {
                if nth < fixed && both(set) {
                    set.iter().filter(keep).collect()
                } else {
                    *set
                }
            })
            .collect()
    };
    let small = choose(u8::is_ascii_lowercase);
    let capital = choose(u8::is_ascii_uppercase);
    if small == capital {
        vec![small]
    } else {
        vec![small, capital]
    }
}

/// `sets` under each coat.
fn codings(sets: &[ByteSet]) -> Vec<(Coat, Vec<ByteSet>)> {
    let mut codings: Vec<_> = base64(sets).collect();
    codings.extend((0..5).flat_map(|count| digits(sets, Width::Base32, count, Some(false))));
    for (coat, hex) in hex(sets) {
        codings.extend(
            GAPS.into_iter()
                .map(|gap| (Coat::Bits(Bits::spaced(gap)), with_gaps(&hex, gap))),
        );
        codings.push((coat, hex));
    }
    let zero = ByteSet::from_iter([0]);
    let utf16 = sets.iter().flat_map(|set| [*set, zero]).take(DIGITS).collect();
    codings.push((Coat::Utf16, utf16));
    codings
}

fn with_gaps(hex: &[ByteSet], gap: u8) -> Vec<ByteSet> {
    let gap = ByteSet::from_iter([gap]);
    hex.chunks(2)
        .flat_map(|pair| pair.iter().copied().chain([gap]))
        .take(DIGITS)
        .collect()
}

/// The digits of `sets` from the first that begins `count` bits within the first byte; once for each value that those
/// bits can have.
fn digits(sets: &[ByteSet], width: Width, count: u8, lower: Option<bool>) -> Vec<(Coat, Vec<ByteSet>)> {
    let Some((first, rest)) = sets.split_first() else {
        return Vec::new();
    };
    let held = |byte: u8| byte.checked_shr(u32::from(8 - count)).unwrap_or(0);
    let mut values: Vec<u8> = first.iter().map(held).collect();
    values.sort_unstable();
    values.dedup();
    if values.len() > 2 {
        return Vec::new();
    }
    values
        .into_iter()
        .map(|value| {
            let first = first.iter().filter(|byte| held(*byte) == value).collect();
            let sets: Vec<ByteSet> = std::iter::once(first).chain(rest.iter().copied()).collect();
            let starts = (usize::from(count)..).step_by(usize::from(width.bits()));
            let digits = starts.map_while(|bit| digit(&sets, bit, width, lower)).take(DIGITS);
            (Coat::Bits(Bits::new(width, value, count)), few(digits))
        })
        .collect()
}

/// The sets up to the one with which they make too many texts to be searched for.
fn few(sets: impl Iterator<Item = ByteSet>) -> Vec<ByteSet> {
    let mut texts = 1_usize;
    let few = sets.take_while(|set| {
        texts = texts.saturating_mul(set.len());
        texts <= FEW
    });
    few.collect()
}

/// The digits that can stand for the bits from `bit` on.
fn digit(sets: &[ByteSet], bit: usize, width: Width, lower: Option<bool>) -> Option<ByteSet> {
    let (byte, offset) = (bit / 8, bit % 8);
    let bits = usize::from(width.bits());
    let here = sets.get(byte)?;
    let spill = (offset + bits).saturating_sub(8);
    let mut values = ByteSet::default();
    for one in here.iter() {
        let kept = u16::from(one) & (0xFF >> offset);
        if spill == 0 {
            values.insert(low_byte(kept >> (8 - offset - bits)));
            continue;
        }
        let lows: ByteSet = match sets.get(byte + 1) {
            Some(next) => next.iter().map(|next| next >> (8 - spill)).collect(),
            None => (0..1 << spill).collect(),
        };
        for low in lows.iter() {
            values.insert(low_byte(kept << spill) | low);
        }
    }
    Some(
        values
            .iter()
            .flat_map(|value| width.digits(value))
            .filter(|digit| of_case(*digit, lower))
            .collect(),
    )
}

fn of_case(digit: u8, lower: Option<bool>) -> bool {
    match lower {
        Some(true) => !digit.is_ascii_uppercase(),
        Some(false) => !digit.is_ascii_lowercase(),
        None => true,
    }
}

fn low_byte(value: u16) -> u8 {
    let [low, _] = value.to_le_bytes();
    low
}

/// The sets with their letters all small, all in capitals, and as a word with one, where either case may stand.
pub(in super::super) fn in_usual_cases(sets: &[ByteSet]) -> Vec<Vec<ByteSet>> {
    let mut cases = in_one_case(sets, sets.len());
    if let [small, capitals] = cases.as_slice() {
        let (first, _) = capitals.split_at(1.min(capitals.len()));
        cases.push(first.iter().chain(small.iter().skip(1)).copied().collect());
    }
    cases
}

/// The first characters of what begins so, all of them escaped, without regard to the case of digits.
pub(in super::super) fn escaped(sets: &[ByteSet], fixed: usize) -> Vec<Vec<u8>> {
    let forms: [fn(u8) -> String; 10] = [
        |byte| format!("\\u00{byte:02x}"),
        |byte| format!("\\x{byte:02x}"),
        |byte| format!("\\u{{{byte:x}}}"),
        |byte| format!("%{byte:02x}"),
        |byte| format!("%25{byte:02x}"),
        |byte| format!("&#{byte};"),
        |byte| format!("&#x{byte:x};"),
        |byte| format!("={byte:02x}"),
        |byte| char::from_u32(u32::from(byte) + 0xFEE0).map_or_else(String::new, String::from),
        |byte| format!("{}\u{200b}", char::from(byte)),
    ];
    let texts = in_one_case(sets, fixed)
        .into_iter()
        .filter_map(|sets| texts(sets.get(..3)?, SPELLINGS));
    let spell = |text: Vec<u8>| forms.map(|form| text.iter().map(|byte| form(*byte)).collect::<String>().into_bytes());
    texts.flatten().flat_map(spell).collect()
}
