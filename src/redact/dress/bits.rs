//! Base64, base32 and hexadecimal digits: codings in which each digit carries some bits.

use super::Read;

/// How many bytes of indentation may follow a line break within a coded text.
pub(in super::super) const INDENT: usize = 64;

/// How many bits a digit carries, and with that, which alphabet it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Width {
    /// `0-9 a-f A-F` (RFC 4648 §8).
    Hex,
    /// `A-Z 2-7`, in either case (RFC 4648 §6).
    Base32,
    /// Both alphabets of RFC 4648, §4 and §5.
    Base64,
}

impl Width {
    pub(in super::super) fn bits(self) -> u8 {
        match self {
            Self::Hex => 4,
            Self::Base32 => 5,
            Self::Base64 => 6,
        }
    }

    /// What a digit stands for.
    pub(in super::super) fn value(self, digit: u8) -> Option<u8> {
        match (self, digit) {
            (Self::Hex, b'0'..=b'9') => Some(digit - b'0'),
            (Self::Hex, b'a'..=b'f') => Some(digit - b'a' + 10),
            (Self::Hex, b'A'..=b'F') | (Self::Base32 | Self::Base64, b'A'..=b'Z') => match self {
                Self::Hex => Some(digit - b'A' + 10),
                Self::Base32 | Self::Base64 => Some(digit - b'A'),
            },
            (Self::Base32, b'a'..=b'z') => Some(digit - b'a'),
            (Self::Base32, b'2'..=b'7') => Some(digit - b'2' + 26),
            (Self::Base64, b'a'..=b'z') => Some(digit - b'a' + 26),
            (Self::Base64, b'0'..=b'9') => Some(digit - b'0' + 52),
            (Self::Base64, b'+' | b'-') => Some(62),
            (Self::Base64, b'/' | b'_') => Some(63),
            _ => None,
        }
    }

    /// The digit for `value`, of the kind that `like` is.
    fn digit(self, value: u8, like: Style) -> u8 {
        let letter = |nth: u8| {
            let first = if like.lower { b'a' } else { b'A' };
            first + nth
        };
        match (self, value) {
            (Self::Hex, 0..=9) => b'0' + value,
            (Self::Hex, _) => letter(value.saturating_sub(10).min(5)),
            (Self::Base32, 0..=25) => letter(value),
            (Self::Base32, _) => b'2' + value.saturating_sub(26).min(5),
            (Self::Base64, 0..=25) => b'A' + value,
            (Self::Base64, 26..=51) => b'a' + (value - 26),
            (Self::Base64, 52..=61) => b'0' + (value - 52),
            (Self::Base64, 62) => {
                if like.url {
                    b'-'
                } else {
                    b'+'
                }
            }
            (Self::Base64, _) => {
                if like.url {
                    b'_'
                } else {
                    b'/'
                }
            }
        }
    }
}

/// How digits are written where an alphabet leaves a choice.
#[derive(Clone, Copy)]
struct Style {
    lower: bool,
    url: bool,
}

impl Style {
    fn of(digits: &[u8]) -> Self {
        Self {
            lower: !digits.iter().any(u8::is_ascii_uppercase),
            url: digits.iter().any(|digit| matches!(digit, b'-' | b'_')),
        }
    }
}

/// A coding by digits, and the bits that were read and not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Bits {
    width: Width,
    /// What stands between two bytes' digits.
    gap: Option<u8>,
    /// How many bits of the first digit belong to what stands before.
    skip: u8,
    held: u8,
    count: u8,
}

impl Bits {
    /// From a digit of which the first `skip` bits belong to what stands before.
    pub(in super::super) fn new(width: Width, skip: u8) -> Self {
        Self {
            width,
            gap: None,
            skip,
            held: 0,
            count: 0,
        }
    }

    /// Hexadecimal digits with `gap` between the bytes.
    pub(in super::super) fn spaced(gap: u8) -> Self {
        Self {
            width: Width::Hex,
            gap: Some(gap),
            skip: 0,
            held: 0,
            count: 0,
        }
    }

    /// The next byte; `pull` gives what lies over the digits.
    pub(super) fn read(&mut self, at: usize, mut pull: impl FnMut(usize) -> Read) -> Read {
        let mut at = at;
        let mut between = self.count == 0;
        let mut indent = None;
        let mut lines = 0;
        loop {
            let (byte, next) = match pull(at) {
                Read::Byte { byte, next } => (byte, next),
                read @ (Read::Pause | Read::End) => return read,
            };
            at = next;
            if let Some(value) = self.width.value(byte) {
                between = false;
                (indent, lines) = (None, 0);
                let fresh = self.width.bits() - std::mem::take(&mut self.skip);
                let bits = u16::from(self.held) << fresh | u16::from(value) & ((1 << fresh) - 1);
                self.count += fresh;
                if self.count >= 8 {
                    self.count -= 8;
                    let [whole, _] = (bits >> self.count).to_le_bytes();
                    let [rest, _] = (bits & ((1 << self.count) - 1)).to_le_bytes();
                    self.held = rest;
                    return Read::Byte { byte: whole, next: at };
                }
                let [held, _] = bits.to_le_bytes();
                self.held = held;
                continue;
            }
            let gap = between && self.gap == Some(byte);
            lines += u8::from(byte == b'\n');
            indent = match (byte, indent) {
                // An empty line ends the text: events and messages are parted so.
                (b'\n', _) if lines > 1 => return Read::End,
                (b'\r' | b'\n', _) => Some(0),
                (b' ' | b'\t', Some(depth)) if depth < INDENT => Some(depth + 1),
                _ if gap => indent,
                _ => return Read::End,
            };
            between = between && !gap;
        }
    }

    /// Writes `wanted` in the digits of `outer`; the first bits of the first are left as they are.
    pub(super) fn write(self, outer: &mut [u8], wanted: &[u8]) {
        let digits: Vec<u8> = outer
            .iter()
            .copied()
            .filter(|byte| self.width.value(*byte).is_some())
            .collect();
        let style = Style::of(&digits);
        let mut kept = self.skip;
        let mut bits = wanted
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |nth| byte >> nth & 1));
        for digit in outer.iter_mut() {
            let Some(was) = self.width.value(*digit) else {
                continue;
            };
            let mut value = was;
            let fresh = self.width.bits() - std::mem::take(&mut kept);
            for nth in (0..fresh).rev() {
                let Some(bit) = bits.next() else { break };
                value = value & !(1 << nth) | bit << nth;
            }
            if value != was {
                *digit = self.width.digit(value, style);
            }
        }
    }
}
