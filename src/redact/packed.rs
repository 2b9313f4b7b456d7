//! Text that is compressed with gzip (RFC 1952) and coded in base64, as many programs store and send it.
//!
//! It can't be rewritten in place: another text packs to another length. So all of it is replaced when there is a secret
//! beneath. The bounds: of the coded text the first [`CODED`] bytes, of the text beneath the first [`UNPACKED`]; what is packed within
//! is not looked at.

use flate2::{Decompress, FlushDecompress};

use super::Settings;
use super::dress::Dress;
use super::findings::Tally;
use super::scanner::Scanner;

/// How much of the coded text is looked at: as much as the longest window.
const CODED: usize = 16 * 1024;
/// How much text is unpacked.
const UNPACKED: usize = 256 * 1024;
/// The shortest gzip member: its head, an empty block and its tail.
const SHORTEST: usize = 20;
/// The head without its optional fields (RFC 1952 §2.3).
const HEAD: usize = 10;

/// What is found in the text beneath `coded`. Empty when nothing is, or when it isn't gzip.
pub(super) fn findings(settings: &Settings, coded: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let packed = Dress::base64().decode(coded, CODED);
    if let Some(text) = unpacked(&packed) {
        Scanner::unpacked().advance(settings, &text, true, &|_| false, &mut |_| {}, &mut tally);
    }
    tally
}

/// The text as far as it can be unpacked.
fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let body = packed.get(head(packed)?..)?;
    let mut text = Vec::with_capacity(UNPACKED.min(8 * packed.len()));
    let mut inflater = Decompress::new(false);
    while text.len() < UNPACKED {
        let (read, written) = (inflater.total_in(), text.len());
        let rest = body.get(usize::try_from(read).ok()?..)?;
        if text.capacity() == text.len() {
            text.reserve(UNPACKED / 8);
        }
        let more = inflater.decompress_vec(rest, &mut text, FlushDecompress::None);
        if more.is_err() || (inflater.total_in(), text.len()) == (read, written) {
            break;
        }
    }
    (!text.is_empty()).then_some(text)
}

/// How long the member's head is.
fn head(packed: &[u8]) -> Option<usize> {
    if packed.len() < SHORTEST || !packed.starts_with(&[0x1F, 0x8B, 8]) {
        return None;
    }
    let flags = *packed.get(3)?;
    let mut length = HEAD;
    if flags & 4 != 0 {
        let extra = packed.get(length..)?.first_chunk()?;
        length += 2 + usize::from(u16::from_le_bytes(*extra));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            length += 1 + packed.get(length..)?.iter().position(|byte| *byte == 0)?;
        }
    }
    if flags & 2 != 0 {
        length += 2;
    }
    Some(length)
}
