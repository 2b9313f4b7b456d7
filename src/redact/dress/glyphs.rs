//! Characters beyond ASCII that are read as one of its own, or not seen at all.

use std::sync::LazyLock;

/// What a character is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Glyph {
    /// Looks like this ASCII character.
    Like(u8),
    /// Has no width.
    Unseen,
    /// Itself.
    Other,
}

/// Letters of other alphabets that look like Latin ones, by code point.
const LOOK_ALIKES: [(u32, u8); 92] = [
    (0x0131, b'i'),
    (0x0251, b'a'),
    (0x0261, b'g'),
    (0x0391, b'A'),
    (0x0392, b'B'),
    (0x0395, b'E'),
    (0x0396, b'Z'),
    (0x0397, b'H'),
    (0x0399, b'I'),
    (0x039A, b'K'),
    (0x039C, b'M'),
    (0x039D, b'N'),
    (0x039F, b'O'),
    (0x03A1, b'P'),
    (0x03A4, b'T'),
    (0x03A5, b'Y'),
    (0x03A7, b'X'),
    (0x03B1, b'a'),
    (0x03B3, b'y'),
    (0x03B9, b'i'),
    (0x03BA, b'k'),
    (0x03BD, b'v'),
    (0x03BF, b'o'),
    (0x03C1, b'p'),
    (0x03C3, b'o'),
    (0x03C4, b't'),
    (0x03C5, b'u'),
    (0x03C7, b'x'),
    (0x03C9, b'w'),
    (0x03F2, b'c'),
    (0x03F3, b'j'),
    (0x0405, b'S'),
    (0x0406, b'I'),
    (0x0408, b'J'),
    (0x0410, b'A'),
    (0x0412, b'B'),
    (0x0415, b'E'),
    (0x0417, b'3'),
    (0x041A, b'K'),
    (0x041C, b'M'),
    (0x041D, b'H'),
    (0x041E, b'O'),
    (0x0420, b'P'),
    (0x0421, b'C'),
    (0x0422, b'T'),
    (0x0423, b'Y'),
    (0x0425, b'X'),
    (0x0430, b'a'),
    (0x0432, b'b'),
    (0x0433, b'r'),
    (0x0435, b'e'),
    (0x043A, b'k'),
    (0x043C, b'm'),
    (0x043D, b'h'),
    (0x043E, b'o'),
    (0x043F, b'n'),
    (0x0440, b'p'),
    (0x0441, b'c'),
    (0x0442, b't'),
    (0x0443, b'y'),
    (0x0445, b'x'),
    (0x0455, b's'),
    (0x0456, b'i'),
    (0x0458, b'j'),
    (0x0475, b'v'),
    (0x04AE, b'Y'),
    (0x04BB, b'h'),
    (0x04C0, b'I'),
    (0x04CF, b'l'),
    (0x0501, b'd'),
    (0x050C, b'G'),
    (0x051A, b'Q'),
    (0x051B, b'q'),
    (0x051C, b'W'),
    (0x051D, b'w'),
    (0x0570, b'h'),
    (0x0578, b'n'),
    (0x057D, b'u'),
    (0x0585, b'o'),
    (0x2010, b'-'),
    (0x2011, b'-'),
    (0x2012, b'-'),
    (0x2013, b'-'),
    (0x2014, b'-'),
    (0x2024, b'.'),
    (0x203F, b'_'),
    (0x2044, b'/'),
    (0x2212, b'-'),
    (0x2215, b'/'),
    (0x2236, b':'),
    (0xA789, b':'),
    (0xFF3F, b'_'),
];

/// Runs of the Latin alphabet or the digits at other code points: the first, how many, and the ASCII of the first.
const RUNS: [(u32, u32, u8); 6] = [
    (0x24B6, 26, b'A'),
    (0x24D0, 26, b'a'),
    (0x1F130, 26, b'A'),
    (0xFF01, 94, b'!'),
    // Tags (U+E0020 to U+E007E) aren't drawn and spell ASCII.
    (0xE0020, 95, b' '),
    (0x2070, 1, b'0'),
];

/// The code points before this one are looked up in a table: most text that isn't ASCII is made of them.
const TABLE: u32 = 0x2400;
/// The ideographs and syllables that no character between them is taken for another.
const ITSELF: [std::ops::RangeInclusive<u32>; 2] = [0x3165..=0xA788, 0xA78A..=0xFDFF];

/// What the character of that code point is to a reader.
pub(in super::super) fn glyph(code: u32) -> Glyph {
    static GLYPHS: LazyLock<Vec<Glyph>> = LazyLock::new(|| (0..TABLE).map(searched).collect());
    let known = usize::try_from(code).ok().and_then(|nth| GLYPHS.get(nth));
    match known {
        Some(glyph) => *glyph,
        None if ITSELF.iter().any(|range| range.contains(&code)) => Glyph::Other,
        None => searched(code),
    }
}

fn searched(code: u32) -> Glyph {
    match code {
        0xAD
        | 0x34F
        | 0x300..=0x36F
        | 0x61C
        | 0x115F
        | 0x1160
        | 0x17B4
        | 0x17B5
        | 0x180B..=0x180F
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x206F
        | 0x3164
        | 0xFE00..=0xFE0F
        | 0xFEFF
        | 0xFFA0
        | 0xE0001
        | 0xE007F
        | 0xE0100..=0xE01EF => return Glyph::Unseen,
        // Mathematical alphabets: capitals, then small letters, thirteen times; then digits, five times.
        0x1D400..=0x1D6A3 => {
            let nth = u8::try_from((code - 0x1D400) % 52).unwrap_or(0);
            return Glyph::Like(if nth < 26 { b'A' + nth } else { b'a' + (nth - 26) });
        }
        0x1D7CE..=0x1D7FF => {
            let nth = u8::try_from((code - 0x1D7CE) % 10).unwrap_or(0);
            return Glyph::Like(b'0' + nth);
        }
        _ => {}
    }
    let run = RUNS
        .iter()
        .find(|(first, many, _)| (*first..*first + *many).contains(&code));
    if let Some((first, _, ascii)) = run {
        return Glyph::Like(ascii + u8::try_from(code - first).unwrap_or(0));
    }
    let nth = LOOK_ALIKES.binary_search_by_key(&code, |(code, _)| *code);
    match nth.ok().and_then(|nth| LOOK_ALIKES.get(nth)) {
        Some((_, ascii)) => Glyph::Like(*ascii),
        None => Glyph::Other,
    }
}

/// The character of UTF-8 at `at`, and where the next begins. Nothing when the bytes run out within it; an ill-formed
/// one is a character of one byte.
pub(in super::super) fn glyph_at(text: &[u8], at: usize) -> Option<(Glyph, usize)> {
    let lead = *text.get(at)?;
    let (length, bits) = match lead {
        0xC2..=0xDF => (2, lead & 0x1F),
        0xE0..=0xEF => (3, lead & 0x0F),
        0xF0..=0xF4 => (4, lead & 0x07),
        _ => return Some((Glyph::Other, at + 1)),
    };
    let mut code = u32::from(bits);
    for nth in 1..length {
        match text.get(at + nth)? {
            byte @ 0x80..=0xBF => code = code << 6 | u32::from(byte & 0x3F),
            _ => return Some((Glyph::Other, at + 1)),
        }
    }
    Some((glyph(code), at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_sorted() {
        assert!(LOOK_ALIKES.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn what_is_known_beforehand_is_what_a_search_finds() {
        for code in 0..0x1_0000 {
            assert_eq!(glyph(code), searched(code), "{code:#x}");
        }
    }

    #[test]
    fn alphabets_are_read() {
        for (text, like) in [
            ("\u{ff47}", b'g'),
            ("\u{1d5c0}", b'g'),
            ("\u{0440}", b'p'),
            ("\u{e0067}", b'g'),
            ("\u{1d7d8}", b'0'),
        ] {
            assert_eq!(
                glyph_at(text.as_bytes(), 0),
                Some((Glyph::Like(like), text.len())),
                "{text}"
            );
        }
        for text in ["\u{200b}", "\u{feff}", "\u{ad}"] {
            assert_eq!(glyph_at(text.as_bytes(), 0), Some((Glyph::Unseen, text.len())));
        }
        assert_eq!(glyph_at("\u{e9}".as_bytes(), 0), Some((Glyph::Other, 2)));
        assert_eq!(glyph_at(b"\xe2\x80", 0), None);
        assert_eq!(glyph_at(b"\xe2x", 0), Some((Glyph::Other, 1)));
    }
}
