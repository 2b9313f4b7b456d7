//! The inbound side of an HTTP/1 connection with [`Framing`] before it: hyper reads only bytes that were checked.
//!
//! On a fault hyper is shown the end of the stream, finishes what it had begun, and the connection's owner answers with the
//! fault: see [`Inspection`]. A head that comes too slowly, a connection that idles and a peer that won't read are faults too.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::silence::Silence;
use super::wire::{Advance, Fault, Framing, HeadLimits};
use crate::policy::DenyReason;

/// How much is read at a time while a head is gathered; the larger one (a TLS record) where heads come with their bodies.
const GATHER: usize = 4096;
const GATHER_MORE: usize = 16 * 1024;

/// Waits that a connection is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// Between requests, and while the peer reads nothing of what is written.
    pub(crate) idle: Duration,
}

/// What the connection's owner and its exchanges know of the bytes: shared, since hyper owns the IO.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    fault: Mutex<Option<Fault>>,
    /// Under way now.
    exchanges: AtomicUsize,
    /// Begun since the connection was opened.
    begun: AtomicUsize,
}

impl Inspection {
    /// Why the connection was cut, if it was.
    pub(crate) fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_fault(&self, fault: Fault) {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(fault);
    }

    /// An exchange is under way: the connection does not count as idle.
    pub(crate) fn exchange_began(&self) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// How many exchanges have begun: a connection that is idle, and on which the number hasn't changed, has been idle since.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// The exchange is over.
    pub(crate) fn exchange_ended(&self) {
        self.exchanges.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) == 0
    }
}

/// A stream whose inbound bytes are checked.
#[derive(Debug)]
pub(crate) struct CheckedIo<T> {
    io: T,
    framing: Framing,
    /// Bytes that were read; the first `clear` of them are checked.
    stash: BytesMut,
    clear: usize,
    gather: usize,
    inspection: Arc<Inspection>,
    head_silence: Silence,
    idle_silence: Silence,
    write_silence: Silence,
    ended: bool,
}

impl<T> CheckedIo<T> {
    /// Wraps `io`, of which `first` has been read already.
    pub(crate) fn new(io: T, first: Bytes, limits: HeadLimits, waits: Waits) -> Self {
        Self {
            io,
            framing: Framing::new(limits),
            stash: BytesMut::from(first),
            clear: 0,
            gather: GATHER,
            inspection: Arc::default(),
            head_silence: Silence::new(waits.head),
            idle_silence: Silence::new(waits.idle),
            write_silence: Silence::new(waits.idle),
            ended: false,
        }
    }

    /// The shared view of this connection's bytes.
    pub(crate) fn inspection(&self) -> Arc<Inspection> {
        Arc::clone(&self.inspection)
    }

    /// The stream itself, with the bytes that were read and not passed on.
    pub(crate) fn into_parts(self) -> (T, Bytes) {
        (self.io, self.stash.freeze())
    }

    /// Checks what was read and not yet checked.
    fn check(&mut self) -> Result<(), Fault> {
        let fresh = self.stash.get(self.clear..).unwrap_or_default();
        match self.framing.advance(fresh)? {
            Advance::All => self.clear = self.stash.len(),
            Advance::Passed(count) => self.clear += count,
        }
        Ok(())
    }

    /// Gives checked bytes to hyper.
    fn deliver(&mut self, out: &mut ReadBuf<'_>) {
        let count = self.clear.min(out.remaining());
        out.put_slice(self.stash.get(..count).unwrap_or_default());
        self.stash.advance(count);
        self.clear -= count;
    }

    /// Ends the stream for hyper and keeps the reason for the owner.
    fn fail(&mut self, fault: Fault) -> io::Result<()> {
        self.inspection.set_fault(fault);
        self.ended = true;
        if self.framing.gathers() && self.framing.at_head() {
            return Ok(());
        }
        // In the middle of a body an end would look like one: an error can't.
        Err(io::Error::new(io::ErrorKind::InvalidData, fault.detail))
    }

    /// Whether the wait for a head has become too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fault>> {
        if !self.framing.at_head() {
            return Poll::Pending;
        }
        if self.stash.is_empty() {
            ready!(self.idle_silence.poll_exceeded(cx));
            if self.inspection.is_idle() {
                return Poll::Ready(None);
            }
            self.idle_silence.broken();
            return self.idle_silence.poll_exceeded(cx).map(|()| None);
        }
        // Not moved by further bytes: the limit is on the whole head.
        ready!(self.head_silence.poll_exceeded(cx));
        Poll::Ready(Some(Fault {
            reason: DenyReason::LimitHeadTimeout,
            detail: "the head was not whole within limits.head_timeout",
        }))
    }
}

impl<T: AsyncRead + Unpin> CheckedIo<T> {
    /// Reads a body's bytes straight into hyper's buffer and takes back what belongs to the next head.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        let fresh = out.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match self.framing.advance(fresh) {
            Ok(Advance::All) => Poll::Ready(Ok(())),
            Ok(Advance::Passed(count)) => {
                self.stash.extend_from_slice(fresh.get(count..).unwrap_or_default());
                out.set_filled(before + count);
                if count > 0 {
                    Poll::Ready(Ok(()))
                } else {
                    self.poll_gather(cx, out)
                }
            }
            Err(fault) => {
                out.set_filled(before);
                Poll::Ready(self.fail(fault))
            }
        }
    }

    /// Reads until a head or trailers are whole and checked.
    fn poll_gather(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(fault) = self.check() {
                return Poll::Ready(self.fail(fault));
            }
            if self.clear > 0 {
                self.head_silence.broken();
                self.deliver(out);
                return Poll::Ready(Ok(()));
            }
            match self.poll_more(cx)? {
                Poll::Ready(0) => return Poll::Ready(self.end_of_stream()),
                Poll::Ready(_) => self.idle_silence.broken(),
                Poll::Pending => {
                    return match ready!(self.poll_overdue(cx)) {
                        Some(fault) => Poll::Ready(self.fail(fault)),
                        None => Poll::Ready(self.end_of_stream()),
                    };
                }
            }
        }
    }

    /// Reads some bytes into the stash; 0 at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let old = self.stash.len();
        self.stash.resize(old + self.gather, 0);
        let mut fresh = ReadBuf::new(self.stash.get_mut(old..).unwrap_or_default());
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut fresh);
        let count = fresh.filled().len();
        self.stash.truncate(old + count);
        self.gather = if count >= GATHER { GATHER_MORE } else { GATHER };
        ready!(polled)?;
        Poll::Ready(Ok(count))
    }

    fn end_of_stream(&mut self) -> io::Result<()> {
        self.ended = true;
        if self.stash.is_empty() && self.framing.at_head() {
            return Ok(());
        }
        self.fail(Fault {
            reason: DenyReason::RequestMalformed,
            detail: "the connection ended in the middle of a head",
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for CheckedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.clear > 0 {
            this.deliver(out);
            return Poll::Ready(Ok(()));
        }
        if this.ended || out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.stash.is_empty() && !this.framing.gathers() {
            return this.poll_body(cx, out);
        }
        this.poll_gather(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> CheckedIo<T> {
    /// Bounds how long a peer may refuse to read.
    fn poll_written<R>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.write_silence.broken();
            return polled;
        }
        ready!(self.write_silence.poll_exceeded(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for CheckedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.poll_written(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.poll_written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_flush(cx);
        this.poll_written(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The owner still has the fault to tell.
        if this.inspection.fault().is_some() {
            return Pin::new(&mut this.io).poll_flush(cx);
        }
        let polled = Pin::new(&mut this.io).poll_shutdown(cx);
        this.poll_written(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 4096,
        fields: 16,
    };
    const WAITS: Waits = Waits {
        head: Duration::from_secs(10),
        idle: Duration::from_mins(1),
    };

    #[tokio::test]
    async fn good_bytes_pass_and_bad_ones_never_do() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut io = CheckedIo::new(server, Bytes::new(), LIMITS, WAITS);
        let good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        client.write_all(good).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\nHost: a\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        io.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, good);
        assert_eq!(io.inspection().fault().unwrap().reason, DenyReason::RequestMalformed);
    }

    #[tokio::test]
    async fn a_bad_chunk_is_an_error_and_not_an_end() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut io = CheckedIo::new(server, Bytes::new(), LIMITS, WAITS);
        client
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            .await
            .unwrap();
        let mut seen = Vec::new();
        assert!(io.read_to_end(&mut seen).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_is_a_fault_and_an_idle_connection_is_not() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut io = CheckedIo::new(server, Bytes::new(), LIMITS, WAITS);
        client.write_all(b"GET / HTTP").await.unwrap();
        let mut seen = Vec::new();
        io.read_to_end(&mut seen).await.unwrap();
        assert_eq!(io.inspection().fault().unwrap().reason, DenyReason::LimitHeadTimeout);

        let (_client, server) = tokio::io::duplex(1024);
        let mut io = CheckedIo::new(server, Bytes::new(), LIMITS, WAITS);
        io.read_to_end(&mut seen).await.unwrap();
        assert!(io.inspection().fault().is_none());
    }
}
