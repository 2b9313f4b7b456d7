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

    /// Takes the next bytes; best once [`Coded::is_busy`] is over, as else they are copied.
    pub(super) fn feed(&mut self, data: Bytes) {
        self.ahead = if self.ahead.is_empty() {
            data
        } else {
            Bytes::from([&self.ahead[..], &data[..]].concat())
        };
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use http::header::CONTENT_ENCODING;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::metrics::Surface;
    use crate::proxy::scrub::{Action, Scrub};
    use crate::redact::{FingerprintKey, Redactor, Replacement, Rules};

    const REFUSE: Action = Action::Refuse(DenyReason::SecretUnrewritable);
    const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

    fn token() -> String {
        concat!("ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d").to_owned()
    }

    fn scrub(redactor: &Redactor, action: Action, coding: &'static str) -> Scrub {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        Scrub::new(redactor, action, Surface::Body)
            .coded(&Codings::of(&headers).unwrap())
            .unwrap()
    }

    fn redactor() -> Redactor {
        let rules = Arc::new(Rules::builtin().unwrap());
        Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[7; 32]))
    }

    fn coded(coding: &str, text: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(text).unwrap();
                encoder.into_inner()
            }
            "zstd" => zstd::stream::encode_all(text, 3).unwrap(),
            other => panic!("{other}"),
        }
    }

    /// As much of the text as can be read of a body that breaks off.
    fn readable(coding: &'static str, body: &[u8]) -> Vec<u8> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        let mut unfolding = Codings::of(&headers).unwrap().unfolding().unwrap();
        let (mut text, mut out) = (Vec::new(), [0; 4096]);
        unfolding.feed(body);
        while let Ok(count @ 1..) = unfolding.next(&mut out) {
            text.extend_from_slice(&out[..count]);
        }
        text
    }

    /// Lines that don't compress well, so that the text spreads over many slices.
    fn noise(lines: u32) -> Vec<u8> {
        let word = |n: u32| n.wrapping_mul(0x9e37_79b1) >> 7;
        (0..lines)
            .flat_map(|n| format!("{} {}\n", word(n), word(n ^ 0x5555)).into_bytes())
            .collect()
    }

    /// Sends a body in pieces; gives what was let out, and whether it was refused.
    fn send(scrub: &mut Scrub, body: &[u8], piece: usize) -> (Vec<u8>, Result<(), DenyReason>) {
        let mut out = VecDeque::new();
        let mut sent = || {
            for piece in body.chunks(piece) {
                scrub.push(Bytes::copy_from_slice(piece), &mut out)?;
                while scrub.is_busy() {
                    scrub.go_on(&mut out)?;
                }
            }
            scrub.finish(&mut out)
        };
        let result = sent();
        (out.into_iter().flatten().collect(), result)
    }

    #[test]
    fn the_slice_in_which_a_secret_ends_never_leaves() {
        let redactor = redactor();
        for coding in CODINGS {
            for before in [0, 40, 300, 3000, 30_000] {
                let text = [&noise(before), token().as_bytes(), b"\n", &noise(3000)].concat();
                let body = coded(coding, &text);
                for piece in [1, 100, 1024, usize::MAX] {
                    let (left, result) = send(&mut scrub(&redactor, REFUSE, coding), &body, piece);
                    assert_eq!(result, Err(DenyReason::SecretUnrewritable), "{coding} {before} {piece}");
                    assert!(body.starts_with(&left) && left.len() < body.len());
                    let text = readable(coding, &left);
                    let seen = text.windows(40).any(|part| part == token().as_bytes());
                    assert!(
                        !seen,
                        "{coding}: the secret left, {before} lines in, in pieces of {piece}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_clean_body_that_may_not_change_arrives_byte_for_byte() {
        let redactor = redactor();
        for coding in CODINGS {
            let body = coded(coding, &noise(20_000));
            for piece in [1, 1000, 100_000, usize::MAX] {
                let (left, result) = send(&mut scrub(&redactor, REFUSE, coding), &body, piece);
                assert_eq!(result, Ok(()));
                assert!(left == body, "{coding} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_waits_is_let_out_as_it_is_decided() {
        let redactor = redactor();
        for coding in CODINGS {
            let body = coded(coding, &noise(20_000));
            let mut scrub = scrub(&redactor, REFUSE, coding);
            let (mut out, mut given, mut taken, mut most) = (VecDeque::new(), 0, 0, 0);
            for piece in body.chunks(500) {
                given += piece.len();
                scrub.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
                while scrub.is_busy() {
                    scrub.go_on(&mut out).unwrap();
                }
                taken += out.drain(..).map(|slice| slice.len()).sum::<usize>();
                most = most.max(given - taken);
            }
            assert!(most < 160 * 1024, "{coding} held {most} bytes");
        }
    }

    #[test]
    fn what_brings_no_text_is_held_within_bounds() {
        let redactor = redactor();
        // A frame of zstd's to be skipped (RFC 8878 §3.1.2), half a mebibyte long.
        let mut body = vec![0x50, 0x2a, 0x4d, 0x18, 0, 0, 8, 0];
        body.resize(8 + (1 << 19), b'x');
        let (left, result) = send(&mut scrub(&redactor, REFUSE, "zstd"), &body, 4096);
        assert_eq!((left.len(), result), (0, Err(DenyReason::RequestEncoding)));
        let (left, result) = send(&mut scrub(&redactor, Action::Rewrite, "zstd"), &body, 4096);
        assert_eq!(result, Ok(()));
        assert!(left.len() < 100, "what is skipped is not written anew");
    }

    #[test]
    fn each_coded_event_leaves_at_once() {
        let redactor = redactor();
        let mut scrub = scrub(&redactor, Action::Rewrite, "gzip");
        let mut client = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let (mut out, mut origin) = (VecDeque::new(), Vec::new());
        for number in 0..20 {
            let event = format!("data: {number}\n\n");
            client.write_all(event.as_bytes()).unwrap();
            client.flush().unwrap();
            scrub
                .push(Bytes::from(std::mem::take(client.get_mut())), &mut out)
                .unwrap();
            origin.extend(out.drain(..).flatten());
            assert!(readable("gzip", &origin).ends_with(event.as_bytes()), "{number}");
        }
    }
}
