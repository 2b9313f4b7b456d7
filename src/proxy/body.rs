//! The bodies of an exchange on their way: the request's through the redactor, the response's to its record.
//!
//! Neither is ever held whole. [`RequestBody`] lets out what the redactor has released; [`ResponseBody`] holds back only the last
//! frame, until the exchange's record is written (see [`super::ledger`]).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::UnderWay;
use super::fields;
use super::ledger::{Ledger, Outcome};
use super::outgoing::Outgoing;
use super::pool::Pool;
use super::silence::Silence;
use super::upstream::Upstream;
use crate::audit::Written;
use crate::policy::DenyReason;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The sender failed.
    #[error("the body was cut: {0}")]
    Cut(#[from] hyper::Error),
    /// Nothing came for the limit.
    #[error("the body was silent for too long")]
    Silent,
    /// Egret stopped it.
    #[error("the body was refused: {}", .0.code())]
    Refused(DenyReason),
    /// The exchange is over.
    #[error("the exchange is over")]
    Over,
    /// The record could not be written.
    #[error("the record could not be written")]
    Unrecorded,
}

/// A request's content on its way to the origin.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    outgoing: Arc<Outgoing>,
    released: VecDeque<Bytes>,
    trailers: Option<http::HeaderMap>,
    silence: Silence,
    /// The length at the origin; none when redaction may change it.
    length: SizeHint,
}

impl RequestBody {
    /// `keeps_length` tells whether what leaves is as long as what came.
    pub(crate) fn new(inner: Incoming, outgoing: Arc<Outgoing>, keeps_length: bool, silence: Duration) -> Self {
        let length = if keeps_length || inner.is_end_stream() {
            inner.size_hint()
        } else {
            SizeHint::default()
        };
        Self {
            inner: (!inner.is_end_stream()).then_some(inner),
            outgoing,
            released: VecDeque::new(),
            trailers: None,
            silence: Silence::new(silence),
            length,
        }
    }

    /// A request without content.
    pub(crate) fn empty() -> Self {
        Self {
            inner: None,
            outgoing: Arc::new(Outgoing::new(None, 0)),
            released: VecDeque::new(),
            trailers: None,
            silence: Silence::new(Duration::MAX),
            length: SizeHint::with_exact(0),
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence.broken();
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Cut)))
            }
            Poll::Pending => {
                ready!(self.silence.poll_exceeded(cx));
                Poll::Ready(Some(Err(BodyError::Silent)))
            }
        }
    }

    /// Puts a frame through the redactor.
    fn take_in(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), BodyError> {
        let mut guard = self.outgoing.lock();
        let state = &mut *guard;
        let refused = match frame.map(Frame::into_data) {
            Some(Ok(data)) => match (state.receive(data.len()), &mut state.scrub) {
                (Err(reason), _) => Err(reason),
                (Ok(()), Some(scrub)) => scrub.push(data, &mut self.released),
                (Ok(()), None) => {
                    self.released.push_back(data);
                    Ok(())
                }
            },
            Some(Err(frame)) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    let scrubbed = state.scrub.as_mut().map_or(Ok(()), |scrub| scrub.fields(&mut trailers));
                    self.trailers = Some(trailers);
                    scrubbed
                }
                Err(_unknown) => Ok(()),
            },
            None => {
                state.end();
                self.inner = None;
                state
                    .scrub
                    .as_mut()
                    .map_or(Ok(()), |scrub| scrub.finish(&mut self.released))
            }
        };
        refused.map_err(|reason| {
            state.refused = Some(reason);
            BodyError::Refused(reason)
        })
    }

    /// Lets the redactor go on with what it has; tells whether it had anything.
    fn go_on(&mut self) -> Result<bool, BodyError> {
        let mut guard = self.outgoing.lock();
        let state = &mut *guard;
        let Some(scrub) = state.scrub.as_mut().filter(|scrub| scrub.is_busy()) else {
            return Ok(false);
        };
        match scrub.go_on(&mut self.released) {
            Ok(()) => Ok(true),
            Err(reason) => {
                state.refused = Some(reason);
                Err(BodyError::Refused(reason))
            }
        }
    }

    /// The end is often known with the last frame: waiting to be told of it would cost another turn of the client's connection.
    fn end_if_known(&mut self) -> Result<(), BodyError> {
        let is_known = self.inner.as_ref().is_some_and(Body::is_end_stream);
        if is_known && !self.outgoing.lock().is_busy() {
            self.take_in(None)?;
        }
        Ok(())
    }

    /// Lets the next released piece out, if the exchange still lives.
    fn let_out(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        let piece = self.released.pop_front()?;
        let mut state = self.outgoing.lock();
        if state.closed {
            return Some(Err(BodyError::Over));
        }
        state.count(piece.len());
        Some(Ok(Frame::data(piece)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(frame) = self.let_out() {
                return Poll::Ready(Some(frame));
            }
            if self.go_on()? {
                self.end_if_known()?;
                if self.released.is_empty() && self.inner.is_some() {
                    // Nothing to send yet, and perhaps much to look at: others get their turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            if self.inner.is_none() {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let frame = ready!(self.poll_inner(cx)).transpose()?;
            self.take_in(frame)?;
            self.end_if_known()?;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none() && self.released.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
    }
}

/// A response's content on its way to the client, and the end of its exchange.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    inner: Incoming,
    silence: Silence,
    stage: Stage,
    /// A frame that was looked at before anybody asked for it.
    ahead: Option<Frame<Bytes>>,
}

#[derive(Debug)]
enum Stage {
    /// Frames come.
    Streaming(Box<Passage>),
    /// The last frame waits until the record is written.
    Recording(Pin<Box<Written>>, Option<Frame<Bytes>>),
    Over,
}

/// What an exchange still has to settle when its response ends.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) ledger: Ledger,
    /// The exchange counts as under way until its response ends.
    pub(crate) under_way: Option<UnderWay>,
    /// The connection, to be used again.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) pool: Arc<Pool>,
}

impl Passage {
    /// The response came to its end.
    fn complete(mut self) -> Written {
        drop(self.under_way.take());
        if let Some(upstream) = self.upstream.take() {
            self.pool.put(upstream);
        }
        self.ledger.finish(&Outcome::Complete)
    }
}

/// What a response's content turned out to be after one look.
#[derive(Debug)]
pub(crate) enum Looked {
    /// All of it, recorded already: it can be sent with the head.
    Whole(Bytes),
    /// It is still coming.
    Streaming(Box<ResponseBody>),
    /// It broke off before anything of it came.
    Broken(Ledger),
    /// Its record could not be written.
    Unrecorded,
}

impl ResponseBody {
    /// Takes over an origin's response and the duty to record it.
    pub(crate) fn new(inner: Incoming, passage: Passage, silence: Duration) -> Self {
        Self {
            inner,
            silence: Silence::new(silence),
            stage: Stage::Streaming(Box::new(passage)),
            ahead: None,
        }
    }

    /// Looks whether the content is there already, as it is for most API answers: head and content then leave in one write.
    pub(crate) async fn look(mut self) -> Looked {
        let frame = if self.inner.is_end_stream() {
            None
        } else {
            match self.glance().await {
                Glance::Frame(frame) => frame,
                Glance::Nothing => return Looked::Streaming(Box::new(self)),
                Glance::Broken => return self.give_up(),
            }
        };
        match self.receive(frame) {
            Received::More(frame) => {
                self.ahead = Some(frame);
                Looked::Streaming(Box::new(self))
            }
            Received::Last(written, frame) => match (written.await, frame.map(Frame::into_data)) {
                (Err(_), _) => Looked::Unrecorded,
                (Ok(()), None) => Looked::Whole(Bytes::new()),
                (Ok(()), Some(Ok(data))) => Looked::Whole(data),
                // Trailers alone: they go out the ordinary way.
                (Ok(()), Some(Err(trailers))) => {
                    self.ahead = Some(trailers);
                    Looked::Streaming(Box::new(self))
                }
            },
        }
    }

    /// The connection's task hands the first frame over when it is asked; letting it run once is enough when the bytes are there.
    async fn glance(&mut self) -> Glance {
        for patient in [true, false] {
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut self.inner).poll_frame(cx))).await {
                Poll::Ready(Some(Err(_))) => return Glance::Broken,
                Poll::Ready(Some(Ok(frame))) => return Glance::Frame(Some(frame)),
                Poll::Ready(None) => return Glance::Frame(None),
                Poll::Pending if patient => tokio::task::yield_now().await,
                Poll::Pending => {}
            }
        }
        Glance::Nothing
    }

    /// Gives the account back: the client can still be told that the response broke off.
    fn give_up(self) -> Looked {
        match self.stage {
            Stage::Streaming(passage) => Looked::Broken(passage.ledger),
            Stage::Recording(..) | Stage::Over => Looked::Unrecorded,
        }
    }

    /// Accounts for a frame, or for the end; the last one is to be held until the record is written.
    fn receive(&mut self, mut frame: Option<Frame<Bytes>>) -> Received {
        if let Some(trailers) = frame.as_mut().and_then(Frame::trailers_mut) {
            fields::inbound_trailers(trailers);
        }
        let Stage::Streaming(passage) = &mut self.stage else {
            return Received::Last(Written::done(), frame);
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            passage.ledger.count_back(data.len());
        }
        match frame {
            Some(frame) if !frame.is_trailers() && !self.inner.is_end_stream() => Received::More(frame),
            frame => match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Streaming(passage) => Received::Last(passage.complete(), frame),
                Stage::Recording(..) | Stage::Over => Received::Last(Written::done(), frame),
            },
        }
    }

    fn fail(&mut self, reason: DenyReason, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Stage::Streaming(passage) = std::mem::replace(&mut self.stage, Stage::Over) {
            drop(passage.ledger.finish(&Outcome::Failed(reason)));
        }
        Poll::Ready(Some(Err(error)))
    }
}

/// What a look at the content showed.
enum Glance {
    /// A frame, or the end.
    Frame(Option<Frame<Bytes>>),
    Nothing,
    Broken,
}

/// What came of a frame.
enum Received {
    More(Frame<Bytes>),
    Last(Written, Option<Frame<Bytes>>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.ahead.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            match &mut self.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Recording(written, frame) => {
                    let recorded = ready!(written.as_mut().poll(cx));
                    let frame = frame.take();
                    self.stage = Stage::Over;
                    return Poll::Ready(match recorded {
                        Ok(()) => frame.map(Ok),
                        Err(_) => Some(Err(BodyError::Unrecorded)),
                    });
                }
                Stage::Streaming(_) => {}
            }
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.silence.poll_exceeded(cx));
                    return self.fail(DenyReason::LimitIdle, BodyError::Silent);
                }
                Poll::Ready(Some(Err(error))) => return self.fail(DenyReason::UpstreamClosed, error.into()),
                Poll::Ready(Some(Ok(frame))) => Some(frame),
                Poll::Ready(None) => None,
            };
            self.silence.broken();
            match self.receive(frame) {
                Received::More(frame) => return Poll::Ready(Some(Ok(frame))),
                Received::Last(written, frame) => self.stage = Stage::Recording(Box::pin(written), frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.ahead.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
