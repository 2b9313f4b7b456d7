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
/// How much is scanned at a time, so that all searches find it in the cache; more than any window.
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
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let mut pieces = Pieces::default();
            self.scan(&held, true, &mut pieces);
            pieces.release(&mut held, out);
        }
        self.scanner = Scanner::default();
    }

    /// How many of the bytes pushed are not decided yet.
    pub fn held(&self) -> usize {
        self.held.len()
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
        let mut pieces = Pieces::default();
        let decided = self.scan(&held, false, &mut pieces);
        pieces.release(&mut held, out);
        if let Some(ahead) = decided.checked_sub(before) {
            chunk.advance(ahead);
        } else {
            chunk.advance(taken);
            self.held = held;
        }
    }

    fn direct(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let mut decided = 0;
        let mut pieces = Pieces::default();
        let mut end = 0;
        while end < chunk.len() {
            end = chunk.len().min(decided + BLOCK);
            let block = chunk.get(decided..end).unwrap_or_default();
            decided += self.scan(block, false, &mut pieces);
        }
        let mut chunk = chunk;
        pieces.release(&mut chunk, out);
        self.held.extend_from_slice(&chunk);
    }

    fn scan(&mut self, text: &[u8], whole: bool, pieces: &mut Pieces) -> usize {
        let nowhere = |_: &Rule| false;
        self.scanner.advance(
            &self.redactor.settings,
            text,
            whole,
            &nowhere,
            &mut |piece| pieces.add(piece),
            &mut self.tally,
        )
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.scanner.steps()
    }
}

/// Decided pieces, neighbouring clean ones joined. Takes no memory as long as all is clean.
#[derive(Default)]
struct Pieces {
    /// How many clean bytes come before the others.
    clean: usize,
    rest: Vec<Piece>,
}

impl Pieces {
    fn add(&mut self, piece: Piece) {
        match (self.rest.last_mut(), piece) {
            (None, Piece::Clean(more)) => self.clean += more,
            (Some(Piece::Clean(last)), Piece::Clean(more)) => *last += more,
            (_, piece) => self.rest.push(piece),
        }
    }

    /// Appends to `out` what becomes of the first bytes of `from`.
    fn release(self, from: &mut impl Buf, out: &mut Vec<Bytes>) {
        if self.clean > 0 {
            out.push(from.copy_to_bytes(self.clean));
        }
        for piece in self.rest {
            match piece {
                Piece::Clean(len) => out.push(from.copy_to_bytes(len)),
                Piece::Replaced { len, with } => {
                    from.advance(len);
                    out.push(Bytes::from(with));
                }
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
