//! A coded body in the redactor's hands: what comes is taken apart slice by slice, and goes on anew or as it came.
//!
//! Where the bytes go on as they came, a slice waits until everything that it unfolded to is decided, so that the origin never sees the one
//! in which a secret ends.

use std::collections::VecDeque;

use bytes::Bytes;

use super::coding::{Codings, Fault, Folding, Unfolding};
use crate::policy::DenyReason;
use crate::redact::Stream;

/// Coded bytes are taken apart, and go on, in slices of this size.
const SLICE: usize = 1024;
/// The text that a slice unfolds to comes in pieces of this size.
const PIECE: usize = 16 * 1024;
/// Slices that wait, in bytes. Decided text lags by no more than the redactor's window; what brings no text for this long (a gzip header
/// with an endless name, a zstd frame to be skipped) is nothing that a client sends.
const MAX_WAITING: usize = 256 * 1024;

impl From<Fault> for DenyReason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable => Self::RequestEncoding,
            Fault::TooFar => Self::LimitDecompression,
        }
    }
}

/// What came of looking further into a coded body.
pub(super) enum Look {
    /// Text.
    Text(Bytes),
    /// A slice has brought all the text it has.
    Read(Bytes),
    /// Everything that came was looked into.
    Nothing,
}

/// A coded body on its way.
#[derive(Debug)]
pub(super) struct Coded {
    /// Looks at the coded bytes themselves, where those go on: comments, names and skipped frames never become text.
    pub(super) raw: Stream,
    unfolding: Unfolding,
    folding: Option<Folding>,
    /// What came and was not looked into.
    ahead: Bytes,
    /// What is being looked into.
    slice: Bytes,
    piece: Box<[u8]>,
    text: u64,
    waiting: Waiting,
}

impl Coded {
    pub(super) fn new(codings: &Codings, raw: Stream) -> Result<Self, Fault> {
        Ok(Self {
            raw,
            unfolding: codings.unfolding()?,
            folding: None,
            ahead: Bytes::new(),
            slice: Bytes::new(),
            piece: vec![0; PIECE].into_boxed_slice(),
            text: 0,
            waiting: Waiting::default(),
        })
    }

    /// Takes the next bytes, once [`Coded::is_busy`] is over.
    pub(super) fn feed(&mut self, data: Bytes) {
        self.ahead = data;
    }

    /// Whether there are bytes that were not looked into.
    pub(super) fn is_busy(&self) -> bool {
        !self.ahead.is_empty() || !self.slice.is_empty()
    }

    /// Looks a piece further.
    pub(super) fn look(&mut self) -> Result<Look, Fault> {
        if self.slice.is_empty() {
            if self.ahead.is_empty() {
                return Ok(Look::Nothing);
            }
            self.slice = self.ahead.split_to(SLICE.min(self.ahead.len()));
            self.unfolding.feed(&self.slice);
        }
        match self.unfolding.next(&mut self.piece)? {
            0 => Ok(Look::Read(std::mem::take(&mut self.slice))),
            count => {
                self.text += u64::try_from(count).unwrap_or(u64::MAX);
                let text = self.piece.get(..count).unwrap_or_default();
                Ok(Look::Text(Bytes::copy_from_slice(text)))
            }
        }
    }

    /// Writes text in the body's codings.
    pub(super) fn fold(&mut self, text: impl Iterator<Item = Bytes>, out: &mut VecDeque<Bytes>) -> Result<(), Fault> {
        for text in text {
            let folding = match &mut self.folding {
                Some(folding) => folding,
                None => self.folding.insert(self.unfolding.folding()?),
            };
            release(folding.write(&text)?, out);
        }
        Ok(())
    }

    /// Lets everything out that was written, as the client may wait for an answer to it.
    pub(super) fn flush(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Fault> {
        if let Some(folding) = &mut self.folding {
            release(folding.flush()?, out);
        }
        Ok(())
    }

    /// No more bytes come.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.unfolding.is_whole() {
            Ok(())
        } else {
            Err(Fault::Unreadable)
        }
    }

    /// Ends what is written. A body that came without a byte leaves without one.
    pub(super) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Fault> {
        let folding = match self.folding.take() {
            Some(folding) => folding,
            None if self.unfolding.is_untouched() => return Ok(()),
            None => self.unfolding.folding()?,
        };
        release(folding.finish()?, out);
        Ok(())
    }

    /// Keeps a slice that was read until it is decided.
    pub(super) fn hold(&mut self, slice: Bytes) -> Result<(), Fault> {
        self.waiting.add(slice, self.text)
    }

    /// Lets out the slices whose text is decided, save for the last `undecided` bytes of it.
    pub(super) fn release(&mut self, undecided: usize, out: &mut VecDeque<Bytes>) {
        let decided = self.text.saturating_sub(u64::try_from(undecided).unwrap_or(u64::MAX));
        self.waiting.release(decided, self.raw.held(), out);
    }

    /// Lets out all slices: everything was decided.
    pub(super) fn release_all(&mut self, out: &mut VecDeque<Bytes>) {
        out.extend(self.waiting.slices.drain(..).map(|slice| slice.bytes));
    }
}

fn release(bytes: Vec<u8>, out: &mut VecDeque<Bytes>) {
    if !bytes.is_empty() {
        out.push_back(Bytes::from(bytes));
    }
}

/// Slices that wait for their text to be decided.
#[derive(Debug, Default)]
struct Waiting {
    slices: VecDeque<Slice>,
    bytes: usize,
    /// How much text there was when a slice was last added.
    text: u64,
}

#[derive(Debug)]
struct Slice {
    bytes: Bytes,
    /// Where the text ends that it brought. None as long as it brought none: its bytes belong to the text that comes next.
    text_to: Option<u64>,
}

impl Waiting {
    fn add(&mut self, bytes: Bytes, text: u64) -> Result<(), Fault> {
        self.bytes += bytes.len();
        if self.bytes > MAX_WAITING {
            return Err(Fault::Unreadable);
        }
        let brought = text > self.text;
        self.text = text;
        self.slices.push_back(Slice { bytes, text_to: None });
        if brought {
            let silent = self.slices.iter_mut().rev().take_while(|slice| slice.text_to.is_none());
            silent.for_each(|slice| slice.text_to = Some(text));
        }
        Ok(())
    }

    /// `undecided`: how many of the coded bytes themselves are not decided.
    fn release(&mut self, decided: u64, undecided: usize, out: &mut VecDeque<Bytes>) {
        while let Some(first) = self.slices.front() {
            let left = self.bytes.saturating_sub(first.bytes.len());
            if left < undecided || first.text_to.is_none_or(|end| end > decided) {
                return;
            }
            self.bytes = left;
            out.extend(self.slices.pop_front().map(|slice| slice.bytes));
        }
    }
}
