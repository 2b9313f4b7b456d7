//! What a text may be dressed in: escapes of its characters, and coats that code it as a whole.
//!
//! A [`Dress`] reads the text beneath byte by byte, with a state that is copied and never allocated, so that an automaton steps over
//! a dressed secret as over a plain one. What was found beneath is written back in the same dress at the same length.
//!
//! The bound: at most two coats, beneath escapes that may themselves be repeated [`escapes::REPEATED`] times. Nothing is unfolded, so
//! no dress costs memory.

mod bits;
mod escapes;
mod glyphs;

use std::ops::Range;

pub(super) use bits::{Bits, INDENT, Width};
pub(super) use escapes::{Unit, is_lead, reads_as_itself, unit};
pub(super) use glyphs::{Glyph, glyph_at};

/// How many coats may lie over one another.
const COATS: usize = 2;

/// What lies over a text, outermost first, and how far it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dress {
    escapes: Escapes,
    coats: [Option<Coat>; COATS],
}

/// Which escapes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Escapes {
    #[default]
    None,
    /// All but those of quoted-printable: their equals sign also stands between a name and its value.
    Usual,
    /// All.
    All,
}

/// A coding of a whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coat {
    /// Base64, base32 or hexadecimal digits.
    Bits(Bits),
    /// UTF-16 of either byte order, from the first byte that is not zero.
    Utf16,
}

/// What one look beneath the dress came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A byte; what follows stands at `next`.
    Byte { byte: u8, next: usize },
    /// It depends on bytes still to come.
    Pause,
    /// The dress, or the text, ends here.
    End,
}

impl Dress {
    /// Under one coat.
    pub(super) fn coat(coat: Coat) -> Self {
        Self {
            escapes: Escapes::None,
            coats: [Some(coat), None],
        }
    }

    /// Coded in base64 from here on.
    pub(super) fn base64() -> Self {
        Self::coat(Coat::Bits(Bits::new(Width::Base64, 0)))
    }

    /// Under another coat, which lies over those there are. Nothing when there are too many.
    pub(super) fn under(self, coat: Coat) -> Option<Self> {
        match self.coats {
            [inner, None] => Some(Self {
                escapes: self.escapes,
                coats: [Some(coat), inner],
            }),
            _ => None,
        }
    }

    /// With the characters escaped, outermost.
    pub(super) fn escaped(self, escapes: Escapes) -> Self {
        Self { escapes, ..self }
    }

    /// Whether the text lies open.
    pub(super) fn is_plain(&self) -> bool {
        self.escapes == Escapes::None && !self.has_coat()
    }

    pub(super) fn escapes(&self) -> Escapes {
        self.escapes
    }

    /// Whether the text is coded as a whole, so that what lies to the left is not its neighbour.
    pub(super) fn has_coat(&self) -> bool {
        self.coats != [None; COATS]
    }

    /// Reads the next byte beneath, at `at` of `text`; `whole` when nothing follows `text`.
    pub(super) fn read(&mut self, text: &[u8], at: usize, whole: bool) -> Read {
        let before = *self;
        let depth = self.coats.iter().flatten().count();
        let read = pull(self.escapes, &mut self.coats, depth, text, at, whole);
        if read == Read::Pause {
            *self = before;
        }
        read
    }

    /// The bytes beneath `raw`, of which this is the dress at its beginning, but no more than `limit`.
    pub(super) fn decode(self, raw: &[u8], limit: usize) -> Vec<u8> {
        self.decode_to(raw, limit).0
    }

    /// The same, and where in `raw` each of them ends.
    pub(super) fn decode_to(mut self, raw: &[u8], limit: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut at = 0;
        while bytes.len() < limit
            && let Read::Byte { byte, next } = self.read(raw, at, true)
        {
            bytes.push(byte);
            ends.push(next);
            at = next;
        }
        (bytes, ends)
    }

    /// Writes `wanted` beneath `raw`, whose length stays: what differs is coded anew in its place.
    pub(super) fn rewrite(self, raw: &mut [u8], wanted: &[u8]) {
        let places = self.places(raw);
        let mut layers = vec![places.iter().map(|(byte, _)| *byte).collect::<Vec<u8>>()];
        let coats: Vec<Coat> = self.coats.into_iter().flatten().collect();
        for coat in coats.iter().take(coats.len().saturating_sub(1)) {
            let outer = layers.last().map_or(&[][..], Vec::as_slice);
            layers.push(Self::coat(*coat).decode(outer, usize::MAX));
        }
        let mut wanted = wanted.to_vec();
        for coat in coats.iter().rev() {
            let Some(mut outer) = layers.pop() else { return };
            coat.write(&mut outer, &wanted);
            wanted = outer;
        }
        for ((was, place), byte) in places.into_iter().zip(wanted) {
            if was != byte
                && let Some(unit) = raw.get_mut(place)
            {
                escapes::write(unit, byte);
            }
        }
    }

    /// The bytes beneath the escapes alone, and where each stands.
    fn places(&self, raw: &[u8]) -> Vec<(u8, Range<usize>)> {
        if self.escapes == Escapes::None {
            return (0..).zip(raw).map(|(at, byte)| (*byte, at..at + 1)).collect();
        }
        let mut at = 0;
        let mut places = Vec::new();
        loop {
            match unit(raw, at, true, self.escapes) {
                Unit::Byte { byte, next } => {
                    places.push((byte, at..next));
                    at = next;
                }
                Unit::Skipped { next } => at = next,
                Unit::Pause | Unit::End => return places,
            }
        }
    }
}

/// Reads through the first `depth` coats.
fn pull(escapes: Escapes, coats: &mut [Option<Coat>], depth: usize, text: &[u8], at: usize, whole: bool) -> Read {
    let Some(outer) = depth.checked_sub(1) else {
        return match escapes {
            Escapes::None => open(text, at, whole),
            Escapes::Usual | Escapes::All => unescaped(text, at, whole, escapes),
        };
    };
    let (below, this) = coats.split_at_mut(outer);
    match this.first_mut() {
        Some(Some(Coat::Bits(bits))) => bits.read(at, |at| pull(escapes, below, outer, text, at, whole)),
        Some(Some(Coat::Utf16)) => utf16(at, |at| pull(escapes, below, outer, text, at, whole)),
        _ => Read::End,
    }
}

fn open(text: &[u8], at: usize, whole: bool) -> Read {
    match text.get(at) {
        Some(byte) => Read::Byte {
            byte: *byte,
            next: at + 1,
        },
        None if whole => Read::End,
        None => Read::Pause,
    }
}

fn unescaped(text: &[u8], at: usize, whole: bool, escapes: Escapes) -> Read {
    let mut at = at;
    loop {
        match unit(text, at, whole, escapes) {
            Unit::Byte { byte, next } => return Read::Byte { byte, next },
            Unit::Skipped { next } => at = next,
            Unit::Pause => return Read::Pause,
            Unit::End => return Read::End,
        }
    }
}

/// A byte and the zero after it, which is the upper half of this character or of the next.
fn utf16(at: usize, mut pull: impl FnMut(usize) -> Read) -> Read {
    let (byte, next) = match pull(at) {
        Read::Byte { byte, next } => (byte, next),
        read @ (Read::Pause | Read::End) => return read,
    };
    match (byte, pull(next)) {
        (0, _) => Read::End,
        (_, Read::Byte { byte: 0, next: after }) => Read::Byte { byte, next: after },
        (_, Read::Pause) => Read::Pause,
        // The last character of a text in the other byte order has no zero after it.
        _ => Read::Byte { byte, next },
    }
}

impl Coat {
    /// Writes `wanted` beneath `outer`.
    fn write(self, outer: &mut [u8], wanted: &[u8]) {
        match self {
            Self::Bits(bits) => bits.write(outer, wanted),
            Self::Utf16 => {
                for (to, byte) in outer.iter_mut().step_by(2).zip(wanted) {
                    *to = *byte;
                }
            }
        }
    }
}
