//! HTTP/2 frames written by hand (RFC 9113), for what no well-behaved client sends.

use tokio::io::{AsyncRead, AsyncWrite};

use super::client::Wire;

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const CONTINUATION: u8 = 0x9;

/// The flag `END_STREAM` of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 0x1;
/// The flag `END_HEADERS` of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 0x4;

/// The first bytes of a client: the preface and empty settings.
pub(crate) fn greeting() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK literals (RFC 7541, section 6.2.2), whatever bytes they hold.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        bytes.push(u8::try_from(length).unwrap());
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// Reads until the peer has answered the stream, reset it, or ended the connection; gives the kind of frame that did, if one did.
pub(crate) async fn fate<S>(wire: &mut Wire<S>, stream: u32) -> Option<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let head = wire.try_exactly(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        wire.try_exactly(usize::try_from(length).unwrap()).await?;
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let kind = head[3];
        if kind == GOAWAY || (of == stream && matches!(kind, HEADERS | RST_STREAM)) {
            return Some(kind);
        }
    }
}
