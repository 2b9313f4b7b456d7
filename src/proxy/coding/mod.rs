//! Content codings (RFC 9110 §8.4): a coded body taken apart for the redactor, and put together again behind it.
//!
//! A body has at most [`MAX_STACKED`] codings, one over the other, and perhaps the framing `aws-chunked` around them. [`Unfolding`] takes
//! it apart in steps whose output the caller bounds; [`Folding`] writes text in the same codings. What was coded in several parts
//! (gzip members, zstd frames) is written as one.
//!
//! Bounded: in what a body may unfold to for its size, and in memory. A decoder keeps its window, which is 32 KiB for gzip and deflate, at most
//! 8 MiB for zstd and 16 MiB for br (and then only of a body that unfolds to as much); an encoder keeps under 2 MiB. What nobody looks
//! into is refused: dictionaries, br's large windows, bytes behind the end.

mod aws_chunked;
mod decode;
mod encode;

use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

use decode::Decoder;
pub(super) use encode::Folding;

/// How many codings may lie over one another.
const MAX_STACKED: usize = 2;
/// A body may unfold to this many times its size …
const MAX_RATIO: u64 = 200;
/// … once it has unfolded to more than this.
const RATIO_FLOOR: u64 = 1 << 20;
/// What one decoder hands to the next at a time.
const BETWEEN: usize = 4096;

/// What is said of a body in a coding that isn't among these.
pub(super) const READABLE: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd, identity");

/// A coding that can be taken apart and put together again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name {
            _ if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            _ if is("deflate") => Some(Self::Deflate),
            _ if is("br") => Some(Self::Brotli),
            _ if is("zstd") => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why a coded body can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It isn't what it says, or needs more memory than there is for it.
    Unreadable,
    /// It unfolds to too many times its size.
    TooFar,
}

/// The codings of a body, as its head names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Codings {
    /// In the order in which they were applied.
    stacked: Vec<Coding>,
    /// Around them all, wherever the head names it (S3 SDKs name it first).
    aws_chunked: bool,
}

impl Codings {
    /// None: a coding that can't be read, or too many of them.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut codings = Self::default();
        for line in headers.get_all(CONTENT_ENCODING) {
            for name in line.to_str().ok()?.split(',') {
                codings.add(name.trim())?;
            }
        }
        Some(codings)
    }

    fn add(&mut self, name: &str) -> Option<()> {
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Some(());
        }
        if name.eq_ignore_ascii_case("aws-chunked") {
            let first = !self.aws_chunked;
            self.aws_chunked = true;
            return first.then_some(());
        }
        self.stacked.push(Coding::named(name)?);
        (self.stacked.len() <= MAX_STACKED).then_some(())
    }

    /// Whether the body is text as it comes.
    pub(super) fn is_identity(&self) -> bool {
        self.stacked.is_empty() && !self.aws_chunked
    }

    /// Whether the body comes in frames that a signature covers.
    pub(super) fn has_signed_frames(&self) -> bool {
        self.aws_chunked
    }

    /// None: no memory for it.
    pub(super) fn unfolding(&self) -> Result<Unfolding, Fault> {
        let frames = self.aws_chunked.then(|| Ok(Decoder::aws_chunked()));
        let stacked = self.stacked.iter().rev().map(|coding| Decoder::new(*coding));
        let decoders: Result<Vec<Decoder>, Fault> = frames.into_iter().chain(stacked).collect();
        Ok(Unfolding {
            layers: decoders?.into_iter().map(Layer::new).collect(),
            coded: 0,
        })
    }
}

/// A coded body on its way to be text.
pub(super) struct Unfolding {
    /// The outermost first.
    layers: Vec<Layer>,
    /// How many bytes were fed.
    coded: u64,
}

/// One coding and what waits for its decoder.
struct Layer {
    decoder: Decoder,
    input: Vec<u8>,
    /// How much of `input` was read.
    read: usize,
    /// Whether the last step filled its output, so that there may be more.
    full: bool,
    unfolded: u64,
}

impl std::fmt::Debug for Unfolding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unfolding")
            .field("coded", &self.coded)
            .finish_non_exhaustive()
    }
}

impl Unfolding {
    /// Takes the next bytes, after [`Unfolding::next`] has said that it has none.
    pub(super) fn feed(&mut self, slice: &[u8]) {
        self.coded += u64::try_from(slice.len()).unwrap_or(u64::MAX);
        if let Some(outermost) = self.layers.first_mut() {
            outermost.refill(slice);
        }
    }

    /// Writes more of the text to `out` and tells how much; 0: what was fed is used up.
    pub(super) fn next(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        pull(&mut self.layers, self.coded, out)
    }

    /// Whether the body may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.coded == 0 || self.layers.iter().all(|layer| layer.decoder.is_whole())
    }

    /// Whether nothing was fed.
    pub(super) fn is_untouched(&self) -> bool {
        self.coded == 0
    }

    /// The way back, once the first text is there (deflate has two forms, and its first bytes tell which).
    pub(super) fn folding(&self) -> Result<Folding, Fault> {
        let forms = self.layers.iter().rev().filter_map(|layer| layer.decoder.form());
        Folding::new(forms)
    }
}

/// Text out of the last of `layers`.
fn pull(layers: &mut [Layer], coded: u64, out: &mut [u8]) -> Result<usize, Fault> {
    let Some((layer, outside)) = layers.split_last_mut() else {
        return Ok(0);
    };
    loop {
        let (read, written) = layer.step(coded, out)?;
        if written > 0 {
            return Ok(written);
        }
        if read > 0 {
            continue;
        }
        if outside.is_empty() {
            return Ok(0);
        }
        let mut between = [0; BETWEEN];
        let count = pull(outside, coded, &mut between)?;
        if count == 0 {
            return Ok(0);
        }
        layer.refill(between.get(..count).unwrap_or_default());
    }
}

impl Layer {
    fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            input: Vec::new(),
            read: 0,
            full: false,
            unfolded: 0,
        }
    }

    fn refill(&mut self, bytes: &[u8]) {
        self.input.drain(..self.read.min(self.input.len()));
        self.read = 0;
        self.input.extend_from_slice(bytes);
    }

    /// How much was read and written.
    fn step(&mut self, coded: u64, out: &mut [u8]) -> Result<(usize, usize), Fault> {
        let input = self.input.get(self.read..).unwrap_or_default();
        if input.is_empty() && !self.full {
            return Ok((0, 0));
        }
        let (read, written) = self.decoder.step(input, out)?;
        self.read += read;
        self.full = written == out.len();
        self.unfolded += u64::try_from(written).unwrap_or(u64::MAX);
        if self.unfolded > RATIO_FLOOR && self.unfolded / coded.max(1) > MAX_RATIO {
            return Err(Fault::TooFar);
        }
        // Bytes that a decoder won't take would be carried on unread.
        if read == 0 && written == 0 && !input.is_empty() {
            return Err(Fault::Unreadable);
        }
        Ok((read, written))
    }
}

#[cfg(test)]
mod tests;
