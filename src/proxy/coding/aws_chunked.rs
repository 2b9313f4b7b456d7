//! `aws-chunked`: the frames in which AWS' SDKs send a body that is signed, or has its checksum, as it goes.
//!
//! Each frame is its length in hexadecimal digits, perhaps `;chunk-signature=…`, and its bytes; behind the frame of length 0 come trailers.
//! Only the bytes are text. The lines around them go on as they came, and are looked at as such.

use super::Fault;

/// How long a line between the bytes of two frames may be.
const MAX_LINE: usize = 1024;

/// Where in the frames it stands.
#[derive(Debug, Default)]
pub(super) struct AwsChunked {
    place: Place,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the line that says a frame's length.
    #[default]
    Length,
    /// In a frame's bytes, of which so many are to come.
    Bytes(u64),
    /// In the line break behind them.
    Break,
    /// In the lines behind the last frame.
    Trailers,
    /// Behind the empty line that ends it all.
    End,
}

impl AwsChunked {
    /// The empty line at the very end is left out by some.
    pub(super) fn is_whole(&self) -> bool {
        match self.place {
            Place::Trailers => self.line.is_empty(),
            Place::End => true,
            Place::Length | Place::Bytes(_) | Place::Break => false,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Fault> {
        if let Place::Bytes(left) = self.place {
            return Ok(self.pass(left, input, out));
        }
        let Some(byte) = input.first().copied() else {
            return Ok((0, 0));
        };
        if self.place == Place::End || self.line.len() >= MAX_LINE {
            return Err(Fault::Unreadable);
        }
        self.line.push(byte);
        if let Some(line) = self.line.strip_suffix(b"\r\n") {
            self.place = after(self.place, line).ok_or(Fault::Unreadable)?;
            self.line.clear();
        }
        Ok((1, 0))
    }

    fn pass(&mut self, left: u64, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let count = input
            .len()
            .min(out.len())
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if let (Some(to), Some(from)) = (out.get_mut(..count), input.get(..count)) {
            to.copy_from_slice(from);
        }
        self.place = match left - u64::try_from(count).unwrap_or(left) {
            0 => Place::Break,
            left => Place::Bytes(left),
        };
        (count, count)
    }
}

/// Where a line leads to; none for a line that can't stand there.
fn after(place: Place, line: &[u8]) -> Option<Place> {
    match place {
        Place::Length => match length(line)? {
            0 => Some(Place::Trailers),
            length => Some(Place::Bytes(length)),
        },
        Place::Break => line.is_empty().then_some(Place::Length),
        Place::Trailers if line.is_empty() => Some(Place::End),
        Place::Trailers => Some(Place::Trailers),
        Place::Bytes(_) | Place::End => None,
    }
}

fn length(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u64::from_str_radix(digits, 16).ok()
}
