//! The encoders: text in, and out come the codings that the body had. What was written leaves at the next flush at the latest.

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::Fault;

/// Fast settings: the text was compressed once for its way, which is mostly behind it.
const BROTLI_QUALITY: u32 = 3;
const BROTLI_WINDOW: u32 = 18;
const BROTLI_BUFFER: usize = 4096;
const ZSTD_LEVEL: i32 = 1;

/// How a coding is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Gzip,
    Zlib,
    RawDeflate,
    Brotli,
    Zstd,
}

impl Form {
    fn encoder(self) -> io::Result<Box<dyn Encoder>> {
        let level = Compression::fast();
        Ok(match self {
            Self::Gzip => Box::new(GzEncoder::new(Vec::new(), level)),
            Self::Zlib => Box::new(ZlibEncoder::new(Vec::new(), level)),
            Self::RawDeflate => Box::new(DeflateEncoder::new(Vec::new(), level)),
            Self::Brotli => Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            )),
            Self::Zstd => Box::new(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }
}

/// Writes into a vector of its own.
trait Encoder: Write + Send {
    fn written(&mut self) -> &mut Vec<u8>;
    /// Ends the coding; gives what is left to be written.
    fn end(self: Box<Self>) -> io::Result<Vec<u8>>;
}

impl Encoder for GzEncoder<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }
    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

impl Encoder for ZlibEncoder<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }
    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

impl Encoder for DeflateEncoder<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }
    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

impl Encoder for CompressorWriter<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }
    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

impl Encoder for zstd::stream::write::Encoder<'static, Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }
    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

/// Text on its way to be a coded body.
pub(in super::super) struct Folding {
    /// The innermost first.
    encoders: Vec<Box<dyn Encoder>>,
    /// Whether anything was written since the last flush.
    dirty: bool,
}

impl std::fmt::Debug for Folding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folding").finish_non_exhaustive()
    }
}

impl Folding {
    pub(super) fn new(forms: impl Iterator<Item = Form>) -> Result<Self, Fault> {
        let encoders: io::Result<Vec<_>> = forms.map(Form::encoder).collect();
        Ok(Self {
            encoders: encoders.map_err(|_| Fault::Unreadable)?,
            dirty: false,
        })
    }

    /// Takes text; gives what of the coded body is ready.
    pub(in super::super) fn write(&mut self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        self.dirty |= !text.is_empty();
        self.through(text.to_vec(), false).map_err(|_| Fault::Unreadable)
    }

    /// Gives everything that was written, so that the origin can read it all.
    pub(in super::super) fn flush(&mut self) -> Result<Vec<u8>, Fault> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(Vec::new());
        }
        self.through(Vec::new(), true).map_err(|_| Fault::Unreadable)
    }

    /// Ends the body.
    pub(in super::super) fn finish(self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        for mut encoder in self.encoders {
            let ended = encoder.write_all(&bytes).and_then(|()| encoder.end());
            bytes = ended.map_err(|_| Fault::Unreadable)?;
        }
        Ok(bytes)
    }

    fn through(&mut self, text: Vec<u8>, flush: bool) -> io::Result<Vec<u8>> {
        let mut bytes = text;
        for encoder in &mut self.encoders {
            encoder.write_all(&bytes)?;
            if flush {
                encoder.flush()?;
            }
            bytes = std::mem::take(encoder.written());
        }
        Ok(bytes)
    }
}
