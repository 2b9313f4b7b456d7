//! The decoders, each behind the same step: bytes in, bytes out, never more than there is room for.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Operation};

use super::aws_chunked::AwsChunked;
use super::encode::Form;
use super::{Coding, Fault};

/// deflate's largest window, as a power of two.
const DEFLATE_WINDOW: u8 = 15;
/// The window that every decoder of zstd should have (RFC 8878 §3.1.1.1.2), as a power of two: 8 MiB.
const ZSTD_WINDOW: u32 = 23;

type BrotliDecoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// One coding, being taken off.
pub(super) enum Decoder {
    /// Members follow one another (RFC 1952 §2.2).
    Gzip {
        inflate: Decompress,
        ended: bool,
    },
    Deflate(Deflate),
    Brotli {
        state: Box<BrotliDecoder>,
        ended: bool,
    },
    /// Frames follow one another (RFC 8878 §3.1).
    Zstd {
        decoder: zstd::stream::raw::Decoder<'static>,
        ended: bool,
    },
    AwsChunked(AwsChunked),
}

impl Decoder {
    pub(super) fn new(coding: Coding) -> Result<Self, Fault> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip {
                inflate: Decompress::new_gzip(DEFLATE_WINDOW),
                ended: false,
            },
            Coding::Deflate => Self::Deflate(Deflate::default()),
            Coding::Brotli => Self::Brotli {
                // Strict: no windows beyond RFC 7932's.
                state: Box::new(BrotliState::new_strict(
                    StandardAlloc::default(),
                    StandardAlloc::default(),
                    StandardAlloc::default(),
                )),
                ended: false,
            },
            Coding::Zstd => Self::Zstd {
                decoder: zstd_decoder().map_err(|_| Fault::Unreadable)?,
                ended: false,
            },
        })
    }

    pub(super) fn aws_chunked() -> Self {
        Self::AwsChunked(AwsChunked::default())
    }

    /// How it is written again; none for frames, which can't be.
    pub(super) fn form(&self) -> Option<Form> {
        match self {
            Self::Gzip { .. } => Some(Form::Gzip),
            Self::Deflate(Deflate { raw: Some(_), .. }) => Some(Form::RawDeflate),
            Self::Deflate(_) => Some(Form::Zlib),
            Self::Brotli { .. } => Some(Form::Brotli),
            Self::Zstd { .. } => Some(Form::Zstd),
            Self::AwsChunked(_) => None,
        }
    }

    /// Whether its input may end here.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Gzip { ended, .. } | Self::Brotli { ended, .. } | Self::Zstd { ended, .. } => *ended,
            Self::Deflate(deflate) => deflate.ended,
            Self::AwsChunked(frames) => frames.is_whole(),
        }
    }

    /// How much was read and written. Bytes behind the end are a fault.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Fault> {
        match self {
            Self::Gzip { inflate, ended } => {
                if *ended && !input.is_empty() {
                    *inflate = Decompress::new_gzip(DEFLATE_WINDOW);
                    *ended = false;
                }
                inflate_step(inflate, ended, input, out)
            }
            Self::Deflate(deflate) => deflate.step(input, out),
            Self::Brotli { state, ended } => brotli_step(state, ended, input, out),
            Self::Zstd { decoder, ended } => {
                let status = decoder.run_on_buffers(input, out).map_err(|_| Fault::Unreadable)?;
                if status.bytes_read > 0 || status.bytes_written > 0 {
                    *ended = status.remaining == 0;
                }
                Ok((status.bytes_read, status.bytes_written))
            }
            Self::AwsChunked(frames) => frames.step(input, out),
        }
    }
}

fn zstd_decoder() -> std::io::Result<zstd::stream::raw::Decoder<'static>> {
    let mut decoder = zstd::stream::raw::Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))?;
    Ok(decoder)
}

fn inflate_step(
    inflate: &mut Decompress,
    ended: &mut bool,
    input: &[u8],
    out: &mut [u8],
) -> Result<(usize, usize), Fault> {
    if *ended {
        return Ok((0, 0));
    }
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, out, FlushDecompress::None)
        .map_err(|_| Fault::Unreadable)?;
    *ended = status == Status::StreamEnd;
    let moved = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
    Ok((moved(inflate.total_in(), read), moved(inflate.total_out(), written)))
}

fn brotli_step(
    state: &mut BrotliDecoder,
    ended: &mut bool,
    input: &[u8],
    out: &mut [u8],
) -> Result<(usize, usize), Fault> {
    if *ended {
        return Ok((0, 0));
    }
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, out.len(), 0, 0);
    match BrotliDecompressStream(
        &mut left,
        &mut read,
        input,
        &mut room,
        &mut written,
        out,
        &mut total,
        state,
    ) {
        BrotliResult::ResultFailure => return Err(Fault::Unreadable),
        BrotliResult::ResultSuccess => *ended = true,
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
    }
    Ok((read, written))
}

/// The coding `deflate`: in the zlib format (RFC 1950), or without it as some clients send it and servers accept it.
#[derive(Default)]
pub(super) struct Deflate {
    /// The first byte, until the second tells the format.
    first: Option<u8>,
    zlib: Option<Decompress>,
    raw: Option<Decompress>,
    ended: bool,
}

impl Deflate {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Fault> {
        if let Some(inflate) = self.zlib.as_mut().or(self.raw.as_mut()) {
            return inflate_step(inflate, &mut self.ended, input, out);
        }
        let Some(byte) = input.first().copied() else {
            return Ok((0, 0));
        };
        let Some(first) = self.first else {
            self.first = Some(byte);
            return Ok((1, 0));
        };
        let is_zlib = is_zlib(first, byte);
        let format = if is_zlib { &mut self.zlib } else { &mut self.raw };
        let inflate = format.insert(Decompress::new_with_window_bits(is_zlib, DEFLATE_WINDOW));
        let (_, written) = inflate_step(inflate, &mut self.ended, &[first, byte], out)?;
        Ok((1, written))
    }
}

/// Whether two bytes begin the zlib format: method 8, a window that exists, and a check that holds (RFC 1950 §2.2).
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
