//! Two byte streams joined: what one side says, the other hears, until both have ended.
//!
//! A direction that ends is closed on the other side and stays closed, while the other goes on (half-close). An idle relay holds
//! no buffer: bytes pass through one that belongs to the thread. The limit is on silence in both directions together.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::silence::Silence;

/// How much is moved at a time: large enough that a system call's cost is small beside the copy.
const BUFFER: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// How a relay came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions were closed by their senders.
    Closed,
    /// Nothing moved for the limit.
    Silent,
    /// A side was reset or failed.
    Broken,
}

/// Bytes that passed in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    /// From the client to the origin.
    pub(crate) out: u64,
    /// From the origin to the client.
    pub(crate) back: u64,
}

/// Joins `client` and `origin`; `moved` is kept up to date, so that an abandoned relay can still be accounted for.
pub(crate) async fn relay<C, O>(client: &mut C, origin: &mut O, limit: Duration, moved: &mut Moved) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Direction::default();
    let mut back = Direction::default();
    let mut silence = Silence::new(limit);
    poll_fn(|cx| {
        let before = *moved;
        let first = out.poll(cx, client, origin, &mut moved.out);
        let second = back.poll(cx, origin, client, &mut moved.back);
        match (first, second) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
            _ => {}
        }
        if *moved != before {
            silence.broken();
        }
        silence.poll_exceeded(cx).map(|()| End::Silent)
    })
    .await
}

/// One direction's state: what was read and could not be written yet.
#[derive(Debug, Default)]
struct Direction {
    pending: Vec<u8>,
    written: usize,
    state: Flow,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Flow {
    #[default]
    Moving,
    /// Read, and not yet flushed.
    Flushing,
    /// The reader has ended: the writer is being closed.
    Closing,
    Done,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &mut u64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.state {
                Flow::Done => return Poll::Ready(Ok(())),
                Flow::Closing => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.state = Flow::Done;
                }
                Flow::Moving | Flow::Flushing => {
                    ready!(self.poll_pending(cx, writer, moved))?;
                    ready!(self.poll_move(cx, reader, writer, moved))?;
                }
            }
        }
    }

    /// Writes what an earlier turn left over.
    fn poll_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.pending.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            *moved += u64::try_from(count).unwrap_or(u64::MAX);
        }
        self.pending = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads once into the thread's buffer and writes what it can from there.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &mut u64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Ready(polled) => polled?,
                Poll::Pending => {
                    // Nothing more to read now: what was written must not wait in a TLS or HTTP/2 buffer.
                    if self.state == Flow::Flushing {
                        ready!(Pin::new(writer).poll_flush(cx))?;
                        self.state = Flow::Moving;
                    }
                    return Poll::Pending;
                }
            }
            let mut rest = buffer.filled();
            if rest.is_empty() {
                self.state = Flow::Closing;
                return Poll::Ready(Ok(()));
            }
            self.state = Flow::Flushing;
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => {
                        *moved += u64::try_from(count).unwrap_or(u64::MAX);
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.pending = rest.to_vec();
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn both_directions_pass_and_half_close_holds() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut origin) = duplex(64);
        let joined = tokio::spawn(async move {
            let mut moved = Moved::default();
            let end = relay(&mut near, &mut far, Duration::from_mins(1), &mut moved).await;
            (end, moved)
        });
        let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let expected = sent.clone();
        let upload = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut received = Vec::new();
        origin.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, expected);
        origin.write_all(b"after the half-close").await.unwrap();
        drop(origin);
        assert_eq!(upload.await.unwrap(), b"after the half-close");
        let (end, moved) = joined.await.unwrap();
        assert_eq!((end, moved), (End::Closed, Moved { out: 100_000, back: 20 }));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let (_client, mut near) = duplex(64);
        let (mut far, _origin) = duplex(64);
        let mut moved = Moved::default();
        assert_eq!(
            relay(&mut near, &mut far, Duration::from_mins(1), &mut moved).await,
            End::Silent
        );
    }
}
