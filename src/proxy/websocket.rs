//! WebSocket (RFC 6455) through Egret: the handshake is checked on both sides, and what the client sends is redacted message by message.
//!
//! Frames towards the origin are written anew, since a secret may stand across two of them: a message keeps its text, its kind and its end,
//! not its fragments (RFC 6455 §5.4 leaves those to intermediaries). No extension is offered to the origin, so that messages are
//! never compressed. What the origin sends passes as it is.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Handover;
use super::client_io::handed_over;
use super::fields::Outbound;
use super::ledger::{Ledger, Outcome};
use super::outgoing::Outgoing;
use super::relay::{End, relay};
use super::reply::Refusal;
use super::scrub::Scrub;
use crate::policy::DenyReason;

/// Appended to the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How much is read from the client at a time; also how much of a message can be in one frame towards the origin.
const READ: usize = 16 * 1024;
/// In place of a length: it follows in two bytes, or in eight (RFC 6455 §5.2).
const SHORT_LENGTH: u8 = 126;
const LONG_LENGTH: u8 = 127;
/// The longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL: u8 = 125;

/// Whether a request asks for a WebSocket (RFC 6455 §4.1).
pub(crate) fn is_handshake(parts: &Parts) -> bool {
    let has_token = |name: HeaderName, token: &str| {
        parts
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && has_token(UPGRADE, "websocket")
        && has_token(CONNECTION, "upgrade")
}

/// What the origin must answer to.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
    protocols: Vec<String>,
}

impl Handshake {
    /// Reads the client's handshake and puts into `outbound` what makes it one towards the origin.
    pub(crate) fn prepare(outbound: &mut Outbound) -> Result<Self, Refusal> {
        let headers = &mut outbound.headers;
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(
                Refusal::new(DenyReason::RequestMalformed).detail("a WebSocket handshake has one Sec-WebSocket-Key")
            );
        };
        let accept = accept_value(key.as_bytes());
        let protocols = headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|protocol| protocol.trim().to_owned())
            .collect();
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        Ok(Self { accept, protocols })
    }

    /// Holds a 101 against the handshake (RFC 6455 §4.1, client requirements 2 to 6).
    pub(crate) fn check<B>(&self, response: &Response<B>) -> Result<(), Refusal> {
        let headers = response.headers();
        let only = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            values
                .next()
                .filter(|_| values.next().is_none())
                .and_then(|value| value.to_str().ok())
        };
        let upgraded = only(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        let accepted = only(SEC_WEBSOCKET_ACCEPT).is_some_and(|value| value == self.accept);
        let protocol = match headers.get(SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::to_str) {
            None => true,
            Some(chosen) => chosen.is_ok_and(|chosen| self.protocols.iter().any(|offered| offered == chosen)),
        };
        if upgraded && accepted && protocol && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Ok(());
        }
        Err(DenyReason::UpstreamUpgradeInvalid.into())
    }
}

fn accept_value(key: &[u8]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}

/// Joins both sides in a task of its own, once hyper has sent the 101.
pub(crate) fn join(
    client: OnUpgrade,
    origin: OnUpgrade,
    outgoing: Arc<Outgoing>,
    mut ledger: Ledger,
    handover: Handover,
) {
    tokio::spawn(async move {
        let _active = handover.tunnel_guard();
        let (Ok(client), Ok(origin)) = tokio::join!(handed_over(client), origin) else {
            drop(ledger.finish(&Outcome::Failed(DenyReason::ClientClosed)));
            return;
        };
        let mut client = RedactedMessages::new(client, Arc::clone(&outgoing));
        let mut origin = TokioIo::new(origin);
        let limit = handover.generation.limits.tunnel_idle_timeout;
        let end = relay(&mut client, &mut origin, limit, ledger.moved()).await;
        let outcome = match (outgoing.refused(), end) {
            (Some(refusal), _) => Outcome::Refused(refusal),
            (None, End::Closed) => Outcome::Complete,
            (None, End::Silent) => Outcome::Failed(DenyReason::LimitIdle),
            (None, End::Broken) => Outcome::Failed(DenyReason::UpstreamClosed),
        };
        drop(ledger.finish(&outcome));
    });
}

/// The client's side: read through the redactor, written as it comes.
struct RedactedMessages<T> {
    io: T,
    outgoing: Arc<Outgoing>,
    frames: Frames,
    input: BytesMut,
    output: BytesMut,
}

impl<T> RedactedMessages<T> {
    fn new(io: T, outgoing: Arc<Outgoing>) -> Self {
        Self {
            io,
            outgoing,
            frames: Frames::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Turns what was read into what may go on.
    fn transform(&mut self) -> io::Result<()> {
        let mut state = self.outgoing.lock();
        let result = self
            .frames
            .transform(&mut self.input, &mut self.output, &mut state.scrub);
        result.map_err(|reason| {
            state.refused = Some(reason);
            io::Error::new(io::ErrorKind::InvalidData, reason.code())
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for RedactedMessages<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.output.is_empty() {
            let old = this.input.len();
            this.input.resize(old + READ, 0);
            let mut fresh = ReadBuf::new(this.input.get_mut(old..).unwrap_or_default());
            let polled = Pin::new(&mut this.io).poll_read(cx, &mut fresh);
            let count = fresh.filled().len();
            this.input.truncate(old + count);
            ready!(polled)?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            this.transform()?;
        }
        let count = this.output.len().min(out.remaining());
        out.put_slice(this.output.get(..count).unwrap_or_default());
        this.output.advance(count);
        if this.output.is_empty() {
            // An idle connection keeps no buffer.
            this.output = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for RedactedMessages<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// Where in the client's frames the next byte stands.
#[derive(Debug, Default)]
struct Frames {
    payload: Option<Payload>,
    /// The kind of the message under way, and whether a frame of it was written yet.
    message: Option<Message>,
}

/// A data frame's payload that is still coming.
#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u64,
    mask: [u8; 4],
    last: bool,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    opcode: u8,
    begun: bool,
}

/// A frame's header (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy)]
struct Header {
    last: bool,
    opcode: u8,
    length: u64,
    mask: [u8; 4],
    size: usize,
}

impl Frames {
    /// Takes whole headers and any part of payloads off `input`, and writes what may go on to `output`.
    fn transform(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        scrub: &mut Option<Scrub>,
    ) -> Result<(), DenyReason> {
        loop {
            if let Some(payload) = self.payload {
                if !self.data(payload, input, output, scrub)? {
                    return Ok(());
                }
                continue;
            }
            let Some(header) = Header::parse(input)? else {
                return Ok(());
            };
            if header.opcode >= 8 {
                if !control(header, input, output, scrub)? {
                    return Ok(());
                }
                continue;
            }
            self.begin(header)?;
            input.advance(header.size);
        }
    }

    /// A data frame begins: the first of a message names its kind, the others continue it.
    fn begin(&mut self, header: Header) -> Result<(), DenyReason> {
        match (header.opcode, self.message) {
            (0, Some(_)) => {}
            (1 | 2, None) => {
                self.message = Some(Message {
                    opcode: header.opcode,
                    begun: false,
                });
            }
            _ => return Err(DenyReason::RequestMalformed),
        }
        self.payload = Some(Payload {
            left: header.length,
            mask: header.mask,
            last: header.last,
        });
        Ok(())
    }

    /// Passes what is there of a payload; false when more must come.
    fn data(
        &mut self,
        mut payload: Payload,
        input: &mut BytesMut,
        output: &mut BytesMut,
        scrub: &mut Option<Scrub>,
    ) -> Result<bool, DenyReason> {
        let count = usize::try_from(payload.left).map_or(input.len(), |left| left.min(input.len()));
        if count == 0 && payload.left > 0 {
            return Ok(false);
        }
        let mut piece = input.split_to(count);
        unmask(&mut piece, payload.mask);
        payload.left -= u64::try_from(count).unwrap_or(0);
        payload.mask.rotate_left(count % 4);
        let ends_frame = payload.left == 0;
        let ends_message = ends_frame && payload.last;
        let mut released = VecDeque::new();
        match scrub {
            None => released.push_back(piece.freeze()),
            Some(scrub) => {
                scrub.push(piece.freeze(), &mut released)?;
                if ends_message {
                    scrub.finish(&mut released)?;
                }
            }
        }
        if let Some(message) = &mut self.message
            && (ends_message || released.iter().any(|piece| !piece.is_empty()))
        {
            let opcode = if message.begun { 0 } else { message.opcode };
            message.begun = true;
            write_frame(output, ends_message, opcode, payload.mask, &released);
        }
        if ends_message {
            self.message = None;
        }
        self.payload = (!ends_frame).then_some(payload);
        Ok(true)
    }
}

/// Passes a control frame, which stands whole between the fragments of a message; false when more must come.
fn control(
    header: Header,
    input: &mut BytesMut,
    output: &mut BytesMut,
    scrub: &mut Option<Scrub>,
) -> Result<bool, DenyReason> {
    let length = usize::try_from(header.length).unwrap_or(usize::MAX);
    if !header.last || header.length > u64::from(MAX_CONTROL) {
        return Err(DenyReason::RequestMalformed);
    }
    if input.len() < header.size + length {
        return Ok(false);
    }
    input.advance(header.size);
    let mut payload = input.split_to(length);
    unmask(&mut payload, header.mask);
    let payload = match scrub {
        None => payload.freeze(),
        Some(scrub) => scrub.once(payload.freeze())?,
    };
    if payload.len() > usize::from(MAX_CONTROL) {
        return Err(DenyReason::SecretUnrewritable);
    }
    write_frame(output, true, header.opcode, header.mask, &VecDeque::from([payload]));
    Ok(true)
}

impl Header {
    /// Reads a header that is whole. A client's frames are masked, and without extensions the reserved bits are clear.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, DenyReason> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        if first & 0x70 != 0 || second & 0x80 == 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return Err(DenyReason::RequestMalformed);
        }
        let (length, rest, extended) = match (second & 0x7f, rest) {
            (SHORT_LENGTH, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 2),
            (LONG_LENGTH, rest) => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest, 8),
                None => return Ok(None),
            },
            (SHORT_LENGTH, _) => return Ok(None),
            (length, rest) => (u64::from(length), rest, 0),
        };
        if length > i64::MAX.unsigned_abs() {
            return Err(DenyReason::RequestMalformed);
        }
        let [a, b, c, d, ..] = rest else { return Ok(None) };
        Ok(Some(Self {
            last: first & 0x80 != 0,
            opcode,
            length,
            mask: [*a, *b, *c, *d],
            size: 2 + extended + 4,
        }))
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for (byte, key) in bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Writes one masked frame. The client's own key masks it: it was chosen by the client, as it must be (RFC 6455 §5.3).
fn write_frame(output: &mut BytesMut, last: bool, opcode: u8, mask: [u8; 4], pieces: &VecDeque<Bytes>) {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let first = if last { 0x80 | opcode } else { opcode };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < SHORT_LENGTH => output.extend_from_slice(&[first, 0x80 | short]),
        (_, Ok(medium)) => {
            output.extend_from_slice(&[first, 0x80 | SHORT_LENGTH]);
            output.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            output.extend_from_slice(&[first, 0x80 | LONG_LENGTH]);
            output.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    output.extend_from_slice(&mask);
    let start = output.len();
    for piece in pieces {
        output.extend_from_slice(piece);
    }
    unmask(output.get_mut(start..).unwrap_or_default(), mask);
}
