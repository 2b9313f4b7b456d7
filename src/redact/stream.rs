//! Redacts a body in the pieces it comes in.
//!
//! A piece without a secret is passed on as slices of itself. Held back is only what is undecided: an open candidate
//! up to its rule's window, or the beginning of one at a piece's very end.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::findings::Tally;
use super::scanner::{Piece, Scanner};
use super::{Finding, Redactor, Rule};

/// How much of a piece is appended to what was held back, until that is decided. Doubles while it isn't.
const BRIDGE: usize = 128;
/// How much is scanned at a time, so that both searches find it in the cache; more than any window.
const BLOCK: usize = 64 * 1024;

/// The redaction of one body, or of one message after the other. Its state is bounded by the largest rule window
/// (16 KiB) and the findings' bound.
pub struct Stream {
    redactor: Redactor,
    scanner: Scanner,
    held: BytesMut,
    tally: Tally,
}

impl Stream {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            scanner: Scanner::default(),
            held: BytesMut::new(),
            tally: Tally::default(),
        }
    }

    /// Takes the next piece and appends to `out` what is decided.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let mut chunk = chunk;
        let mut bridge = BRIDGE;
        while !self.held.is_empty() && chunk.has_remaining() {
            self.bridge(&mut chunk, bridge, out);
            bridge = bridge.saturating_mul(2).min(BLOCK);
        }
        self.direct(chunk, out);
    }

    /// Ends the message or the body: appends the rest to `out`. What is pushed next is a text of its own.
    pub fn flush(&mut self, out: &mut Vec<Bytes>) {
        let mut held = std::mem::take(&mut self.held);
        let (_, pieces) = self.scan(&held, true);
        release(&mut held, pieces, out);
        self.scanner = Scanner::default();
    }

    /// Takes what was found since it was last asked, each secret once with its count.
    pub fn findings(&mut self) -> Vec<Finding> {
        self.tally.drain(self.redactor.rules())
    }

    /// Decides what was held back with the help of the next bytes. When they decide it all, the scan goes on in the
    /// piece itself and the copy is dropped.
    fn bridge(&mut self, chunk: &mut Bytes, length: usize, out: &mut Vec<Bytes>) {
        let mut held = std::mem::take(&mut self.held);
        let before = held.len();
        let taken = length.min(chunk.len());
        held.extend_from_slice(chunk.get(..taken).unwrap_or_default());
        let (decided, pieces) = self.scan(&held, false);
        release(&mut held, pieces, out);
        if let Some(ahead) = decided.checked_sub(before) {
            chunk.advance(ahead);
        } else {
            chunk.advance(taken);
            self.held = held;
        }
    }

    fn direct(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let mut decided = 0;
        let mut pieces = Vec::new();
        let mut end = 0;
        while end < chunk.len() {
            end = chunk.len().min(decided + BLOCK);
            let (more, found) = self.scan(chunk.get(decided..end).unwrap_or_default(), false);
            decided += more;
            for piece in found {
                join(&mut pieces, piece);
            }
        }
        let mut chunk = chunk;
        release(&mut chunk, pieces, out);
        self.held.extend_from_slice(&chunk);
    }

    fn scan(&mut self, text: &[u8], whole: bool) -> (usize, Vec<Piece>) {
        let mut pieces = Vec::new();
        let nowhere = |_: &Rule| false;
        let decided = self.scanner.advance(
            &self.redactor.settings,
            text,
            whole,
            &nowhere,
            &mut |piece| join(&mut pieces, piece),
            &mut self.tally,
        );
        (decided, pieces)
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.scanner.steps()
    }
}

/// Adds a piece; neighbouring clean ones become one.
fn join(pieces: &mut Vec<Piece>, piece: Piece) {
    if let (Some(Piece::Clean(last)), Piece::Clean(more)) = (pieces.last_mut(), &piece) {
        *last += more;
    } else {
        pieces.push(piece);
    }
}

fn release(from: &mut impl Buf, pieces: Vec<Piece>, out: &mut Vec<Bytes>) {
    for piece in pieces {
        match piece {
            Piece::Clean(len) => out.push(from.copy_to_bytes(len)),
            Piece::Replaced { len, with } => {
                from.advance(len);
                out.push(Bytes::from(with));
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
