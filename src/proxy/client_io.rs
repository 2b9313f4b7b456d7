//! The client's side of a connection after CONNECT: the socket itself where it can be had, so that bytes take the short way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::checked_io::CheckedIo;
use super::prefixed::Prefixed;

/// A stream that hyper has handed over.
#[derive(Debug)]
pub(crate) enum ClientIo {
    /// An HTTP/1 connection's own socket.
    Socket(TcpStream),
    /// Anything else: an HTTP/2 stream, a connection inside TLS.
    Stream(TokioIo<Upgraded>),
}

/// A client whose tunnel was granted: its stream comes once it was told so.
#[derive(Debug)]
pub(crate) enum Coming {
    /// Told by hyper, which answers 200.
    Upgrade(OnUpgrade),
    /// Told by whoever speaks with it; when it couldn't be, nothing comes.
    Told(oneshot::Receiver<Prefixed<ClientIo>>),
}

impl Coming {
    /// Waits for the stream; none when the client has gone.
    pub(crate) async fn arrived(self) -> Option<Prefixed<ClientIo>> {
        match self {
            Self::Upgrade(upgrade) => handed_over(upgrade).await.ok(),
            Self::Told(client) => client.await.ok(),
        }
    }
}

/// Waits until hyper hands the client's stream over, with the bytes that it read ahead.
pub(crate) async fn handed_over(upgrade: OnUpgrade) -> Result<Prefixed<ClientIo>, hyper::Error> {
    let upgraded = upgrade.await?;
    Ok(match upgraded.downcast::<TokioIo<CheckedIo<TcpStream>>>() {
        Ok(parts) => {
            let (socket, stash) = parts.io.into_inner().into_parts();
            Prefixed::new(joined(parts.read_buf, &stash), ClientIo::Socket(socket))
        }
        Err(upgraded) => Prefixed::new(Bytes::new(), ClientIo::Stream(TokioIo::new(upgraded))),
    })
}

fn joined(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    let mut both = BytesMut::from(first);
    both.extend_from_slice(second);
    both.freeze()
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, out),
            Self::Stream(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Stream(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Stream(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_write_vectored(),
            Self::Stream(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
