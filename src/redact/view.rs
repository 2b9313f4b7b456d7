//! What lies beneath one layer of a text: a stretch of it decoded, with the place of each byte.

use std::sync::LazyLock;

use super::dress::{Bits, Coat, Escapes, INDENT, Unit, Width, reads_as_itself, unit};
use super::gates::Coding;

/// How far a view reaches behind what it was opened for.
const REACH: usize = 1024;
/// All that begins so far before the end of a cut view is seen in the next one. It is more than what is needed to tell what begins.
pub(super) const SLACK: usize = 256;
/// How many digits before a gate may belong to what begins there: as many as make whole groups in each coding.
const BEFORE: usize = 24;
/// How much text at its end may be needed to tell what begins there beneath two coats.
pub(super) const TAIL: usize = 192;
/// How many digits at the end of a text may be needed to tell what begins there beneath two coats.
const LAST: usize = 64;
/// How far they may lie apart.
const BACK: usize = TAIL;
/// Stands for what is no digit.
const NONE: u8 = 0xFF;

/// A decoded stretch of a text.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// Where in the text each byte begins, and at last what was not read any more.
    places: Vec<usize>,
    layer: Layer,
    /// All that begins before this place of the text, in the same phase of its digits, is seen in this view or an earlier one.
    pub(super) read: usize,
}

/// What is taken off.
#[derive(Clone, Copy)]
enum Layer {
    Escapes,
    /// Digits; how many bits of the first one belong to what stands before.
    Digits {
        width: Width,
        skip: u8,
    },
    Spaced(u8),
    Utf16,
}

impl View {
    fn new(layer: Layer) -> Self {
        Self {
            bytes: Vec::new(),
            places: Vec::new(),
            layer,
            read: 0,
        }
    }

    /// The legible bytes around `gate`, but of nothing before `floor`.
    pub(super) fn beneath(text: &[u8], coding: Coding, gate: usize, floor: usize) -> Self {
        let width = match coding {
            Coding::Base64 => Width::Base64,
            Coding::Base32 => Width::Base32,
            Coding::Hex => Width::Hex,
            Coding::Spaced => return Self::spaced(text, gate),
            Coding::Utf16 => return Self::utf16(text, gate),
        };
        let (start, skip) = first_digit(text, width, coding.group(), gate, floor);
        Self::digits(text, width, start, skip, gate)
    }

    /// What the digits from `start` on stand for: all up to the first illegible byte after `gate`, and from the last before it.
    fn digits(text: &[u8], width: Width, start: usize, skip: u8, gate: usize) -> Self {
        let values = values(width);
        let mut limit = text.len().min(gate + REACH);
        let mut view = Self::new(Layer::Digits { width, skip });
        let mut line = None;
        let mut skip = skip;
        let (mut held, mut count) = (0_u32, 0);
        let (mut indent, mut lines) = (None, 0);
        let (mut begin, mut at) = (start, start);
        while let Some(byte) = text.get(at..limit).and_then(<[u8]>::first) {
            let value = values.get(usize::from(*byte)).copied().unwrap_or(NONE);
            if value == NONE {
                lines += u8::from(*byte == b'\n');
                indent = match (byte, indent) {
                    (b'\n', _) if lines > 1 => break,
                    (b'\r' | b'\n', _) => Some(0),
                    (b' ' | b'\t', Some(depth)) if depth < INDENT => Some(depth + 1),
                    _ => break,
                };
                if at > gate && line.is_none() {
                    // The digits' phase is another one in the next line, which has a gate of its own.
                    line = Some(at);
                    limit = limit.min(at + SLACK);
                }
                at += 1;
                continue;
            }
            (indent, lines) = (None, 0);
            if count == 0 {
                begin = at;
            }
            let fresh = width.bits() - std::mem::take(&mut skip);
            held = held << fresh | u32::from(value) & ((1 << fresh) - 1);
            count += fresh;
            at += 1;
            if count < 8 {
                continue;
            }
            count -= 8;
            let [byte, ..] = (held >> count).to_le_bytes();
            if is_legible(byte) {
                view.bytes.push(byte);
                view.places.push(begin);
            } else if at > gate {
                view.read = line.unwrap_or(at);
                return view.ended(at);
            } else {
                let skip = if count > 0 { width.bits() - count } else { 0 };
                view = Self::new(Layer::Digits { width, skip });
            }
            begin = at - 1;
        }
        let is_cut = at == limit && limit < text.len();
        view.read = line.unwrap_or(if is_cut { at.saturating_sub(SLACK) } else { at });
        view.ended(if count > 0 { begin } else { at })
    }

    /// Hexadecimal digits with the same gap between each two.
    fn spaced(text: &[u8], start: usize) -> Self {
        let gap = text.get(start + 2).copied().unwrap_or(b' ');
        let limit = text.len().min(start + REACH);
        let mut view = Self::new(Layer::Spaced(gap));
        let value = |at: usize| text.get(at..limit)?.first().and_then(|digit| Width::Hex.value(*digit));
        let mut at = start;
        while let (Some(upper), Some(lower)) = (value(at), value(at + 1))
            && is_legible(upper << 4 | lower)
        {
            view.bytes.push(upper << 4 | lower);
            view.places.push(at);
            at += 2;
            if text.get(at) != Some(&gap) {
                break;
            }
            at += 1;
        }
        view.read = at.saturating_sub(if at + 3 > limit { SLACK } else { 0 });
        view.ended(at)
    }

    /// Characters of ASCII, each with a zero after it.
    fn utf16(text: &[u8], start: usize) -> Self {
        let limit = text.len().min(start + REACH);
        let mut view = Self::new(Layer::Utf16);
        let mut at = start;
        while let Some(byte) = text.get(at..limit).and_then(<[u8]>::first)
            && *byte != 0
            && is_legible(*byte)
        {
            view.bytes.push(*byte);
            view.places.push(at);
            at += 2;
            if text.get(at - 1) != Some(&0) {
                break;
            }
        }
        view.read = at.saturating_sub(if at + 2 > limit { SLACK } else { 0 });
        view.ended(at.min(text.len()))
    }

    /// What the characters stand for from `start` on, where one begins, as long as `goes_on` says of the next so.
    pub(super) fn unescaped(text: &[u8], start: usize, whole: bool, mut goes_on: impl FnMut(usize) -> bool) -> Self {
        let mut view = Self::new(Layer::Escapes);
        let mut at = start;
        while goes_on(at) {
            if let Some(byte) = text.get(at).filter(|byte| reads_as_itself(**byte)) {
                view.bytes.push(*byte);
                view.places.push(at);
                at += 1;
                continue;
            }
            match unit(text, at, whole, Escapes::All) {
                Unit::Byte { byte, next } => {
                    view.bytes.push(byte);
                    view.places.push(at);
                    at = next;
                }
                Unit::Skipped { next } => at = next,
                Unit::Pause | Unit::End => break,
            }
        }
        view.ended(at)
    }

    fn ended(mut self, at: usize) -> Self {
        self.places.push(at);
        self
    }

    /// Where in the text the byte at `at` begins; behind the last, where the view ends.
    pub(super) fn place(&self, at: usize) -> usize {
        let last = || self.places.last().copied().unwrap_or(0);
        self.places.get(at).copied().unwrap_or_else(last)
    }

    /// Where the view ends in the text.
    pub(super) fn end(&self) -> usize {
        self.place(self.bytes.len())
    }

    /// The coat under which the byte at `at` begins; none if escapes were taken off.
    pub(super) fn coat(&self, at: usize) -> Option<Coat> {
        match self.layer {
            Layer::Escapes => None,
            Layer::Digits { width, skip } => {
                let bits = (usize::from(skip) + 8 * at) % usize::from(width.bits());
                Some(Coat::Bits(Bits::new(width, u8::try_from(bits).unwrap_or(0))))
            }
            Layer::Spaced(gap) => Some(Coat::Bits(Bits::spaced(gap))),
            Layer::Utf16 => Some(Coat::Utf16),
        }
    }
}

/// Where at the end of `text` something begins that is legible beneath a coat as far as the text goes; else the end.
///
/// Every way is tried in which the text may have begun before.
pub(super) fn last_legible(text: &[u8]) -> usize {
    let codings = [(Width::Base64, 4), (Width::Base32, 8), (Width::Hex, 2)];
    let digits = codings.into_iter().map(|(width, group)| {
        let (first, _) = digits_before(text, width, 0, text.len(), LAST);
        let ways = (0..group).map(|missing| last_legible_digits(text, first, width, missing));
        ways.min().unwrap_or(text.len())
    });
    let spaced = (0..3).map(|behind| last_spaced(text, behind));
    let utf16 = (0..2).map(|behind| last_utf16(text, behind));
    digits.chain(spaced).chain(utf16).min().unwrap_or(text.len())
}

/// The same for the digits from `first` on, the first `missing` of whose group stand before them.
fn last_legible_digits(text: &[u8], first: usize, width: Width, missing: usize) -> usize {
    let values = values(width);
    let (over, mut skip) = without_first(width, missing);
    let (mut held, mut count, mut begin) = (0_u32, 0, text.len());
    let mut stretch = None;
    let digits = (first..).zip(text.get(first..).unwrap_or_default());
    let digits = digits.map(|(at, byte)| (at, values.get(usize::from(*byte)).copied().unwrap_or(NONE)));
    for (at, value) in digits.filter(|(_, value)| *value != NONE).skip(over) {
        if count == 0 {
            begin = at;
        }
        let fresh = width.bits() - std::mem::take(&mut skip);
        held = held << fresh | u32::from(value) & ((1 << fresh) - 1);
        count += fresh;
        if count < 8 {
            continue;
        }
        count -= 8;
        let [whole, ..] = (held >> count).to_le_bytes();
        stretch = is_legible(whole).then(|| stretch.unwrap_or(begin));
        begin = at;
    }
    let incomplete = if count > 0 { begin } else { text.len() };
    stretch.unwrap_or(incomplete)
}

/// The same for spaced digits, of the last pair of which `behind` are there and no gap.
fn last_spaced(text: &[u8], behind: usize) -> usize {
    let digit = |at: usize| Width::Hex.value(*text.get(at)?);
    let Some(mut start) = text.len().checked_sub(behind) else {
        return text.len();
    };
    let gap = start.checked_sub(1).and_then(|gap| text.get(gap)).copied();
    let is_gap = gap.is_some_and(|gap| matches!(gap, b':' | b' ' | b'-' | b','));
    if !is_gap || !(start..text.len()).all(|at| digit(at).is_some()) {
        return text.len();
    }
    while let Some(before) = start.checked_sub(3)
        && text.len() - before <= BACK
        && text.get(start - 1).copied() == gap
        && let (Some(upper), Some(lower)) = (digit(before), digit(before + 1))
        && is_legible(upper << 4 | lower)
    {
        start = before;
    }
    start
}

/// The same for UTF-16, of whose last characters `behind` are there without a zero behind them.
fn last_utf16(text: &[u8], behind: usize) -> usize {
    let Some(paired) = text.len().checked_sub(behind) else {
        return text.len();
    };
    let mut start = paired;
    while let Some(before) = start.checked_sub(2)
        && text.len() - before <= BACK
        && let Some([character, 0]) = text.get(before..start)
        && *character != 0
        && is_legible(*character)
    {
        start = before;
    }
    // A single character is held as it lies open, if something begins with it.
    if start < paired { start } else { text.len() }
}

/// The first digit around `gate` that can be read, and how many of its bits belong to a byte that can't.
fn first_digit(text: &[u8], width: Width, group: usize, gate: usize, floor: usize) -> (usize, u8) {
    let (start, count) = digits_before(text, width, floor, gate, BEFORE);
    let (over, skip) = without_first(width, (group - count % group) % group);
    (start + over, skip)
}

/// Where the digits before `end` begin, line breaks between them included, and how many they are: as many as `most`, none before
/// `floor`.
fn digits_before(text: &[u8], width: Width, floor: usize, end: usize, most: usize) -> (usize, usize) {
    let floor = floor.max(end.saturating_sub(TAIL));
    let (mut start, mut count) = (end, 0);
    let (mut broken, mut lines) = (true, 0);
    for (at, byte) in (floor..end).zip(text.get(floor..end).unwrap_or_default()).rev() {
        match byte {
            byte if width.value(*byte).is_some() => {
                if !broken || count == most {
                    break;
                }
                (start, count, lines) = (at, count + 1, 0);
            }
            b'\n' if lines == 1 => break,
            b'\r' | b'\n' => {
                broken = true;
                lines += u8::from(*byte == b'\n');
            }
            // Indentation, if a line break stands before it.
            b' ' | b'\t' => broken = false,
            _ => break,
        }
    }
    (start, count)
}

/// How many digits of a group from which the first `missing` are missing stand for nothing, and how many bits of the one after them.
fn without_first(width: Width, missing: usize) -> (usize, u8) {
    let bits = usize::from(width.bits());
    let skip = (8 - bits * missing % 8) % 8;
    (skip / bits, u8::try_from(skip % bits).unwrap_or(0))
}

/// Whether a text that is worth reading has this byte: visible ASCII, blanks, and the upper half of UTF-16.
#[inline]
fn is_legible(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r' | 0)
}

/// What each byte stands for as a digit.
fn values(width: Width) -> &'static [u8; 256] {
    fn of(width: Width) -> [u8; 256] {
        let mut values = [NONE; 256];
        for (digit, value) in (0..=u8::MAX).zip(&mut values) {
            *value = width.value(digit).unwrap_or(NONE);
        }
        values
    }
    static HEX: LazyLock<[u8; 256]> = LazyLock::new(|| of(Width::Hex));
    static BASE32: LazyLock<[u8; 256]> = LazyLock::new(|| of(Width::Base32));
    static BASE64: LazyLock<[u8; 256]> = LazyLock::new(|| of(Width::Base64));
    match width {
        Width::Hex => &HEX,
        Width::Base32 => &BASE32,
        Width::Base64 => &BASE64,
    }
}
