//! A gzip body (RFC 1952) taken apart for the redactor and put together again behind it.
//!
//! Bounded in what a slice of input can unfold to, and in the ratio: a bomb is refused, not held.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};

use crate::policy::DenyReason;
use crate::redact::Stream;

/// Compressed input is decoded in slices of this size, so that what one slice can unfold to is bounded (at most about a thousandfold).
pub(super) const INFLATE_SLICE: usize = 1024;
/// A body may unfold to this many times its size …
const MAX_RATIO: u64 = 200;
/// … once it has unfolded to more than this.
const RATIO_FLOOR: u64 = 1 << 20;

/// A gzip body: inflated for the redactor, and deflated again behind it.
pub(super) struct Gzip {
    /// Looks at the compressed bytes themselves, where those go on.
    pub(super) raw: Stream,
    inflater: MultiGzDecoder<Vec<u8>>,
    deflater: Option<GzEncoder<Vec<u8>>>,
    bytes_in: u64,
    bytes_out: u64,
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip").finish_non_exhaustive()
    }
}

impl Gzip {
    pub(super) fn new(raw: Stream) -> Self {
        Self {
            raw,
            inflater: MultiGzDecoder::new(Vec::new()),
            deflater: Some(GzEncoder::new(Vec::new(), Compression::fast())),
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    pub(super) fn inflate(&mut self, slice: &[u8]) -> Result<(), DenyReason> {
        self.inflater.write_all(slice).map_err(bad_gzip)?;
        self.bytes_in += u64::try_from(slice.len()).unwrap_or(u64::MAX);
        self.bytes_out += u64::try_from(self.inflater.get_ref().len()).unwrap_or(u64::MAX);
        if self.bytes_out > RATIO_FLOOR && self.bytes_out / self.bytes_in.max(1) > MAX_RATIO {
            return Err(DenyReason::LimitDecompression);
        }
        Ok(())
    }

    pub(super) fn end_input(&mut self) -> Result<(), DenyReason> {
        self.inflater.try_finish().map_err(bad_gzip)
    }

    pub(super) fn take_inflated(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.inflater.get_mut()))
    }

    pub(super) fn deflate(
        &mut self,
        pieces: impl Iterator<Item = Bytes>,
        last: bool,
        out: &mut VecDeque<Bytes>,
    ) -> Result<(), DenyReason> {
        let Some(deflater) = &mut self.deflater else {
            return Ok(());
        };
        for piece in pieces {
            deflater.write_all(&piece).map_err(bad_gzip)?;
        }
        let mut ready = std::mem::take(deflater.get_mut());
        if last && let Some(deflater) = self.deflater.take() {
            ready.extend(deflater.finish().map_err(bad_gzip)?);
        }
        if !ready.is_empty() {
            out.push_back(Bytes::from(ready));
        }
        Ok(())
    }
}

/// A body that says gzip and isn't can't be read, so it can't go on.
fn bad_gzip(_: io::Error) -> DenyReason {
    DenyReason::RequestEncoding
}
