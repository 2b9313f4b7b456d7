//! What leaves in the body of one exchange: counted, redacted, and cut off when the exchange is over.
//!
//! The request's body is read by the connection to the origin, in another task than the exchange that accounts for it. [`Outgoing`]
//! is what both see, under a lock that is held for a frame at a time: once the exchange has closed it, not one more byte leaves, so
//! that the record's count is the whole count.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::reply::Refusal;
use super::scrub::{self, Found, Scrub};
use crate::policy::DenyReason;

/// The shared account of one request body.
#[derive(Debug)]
pub(crate) struct Outgoing {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) scrub: Option<Scrub>,
    /// What came, before redaction; refused beyond `limit`.
    received: u64,
    limit: u64,
    pub(super) bytes: u64,
    pub(super) refused: Option<DenyReason>,
    pub(super) closed: bool,
    /// The sender has come to its end.
    ended: bool,
    /// When a byte last came or left.
    moved: Instant,
}

impl State {
    /// Bytes came; an error when they are too many.
    pub(super) fn receive(&mut self, bytes: usize) -> Result<(), DenyReason> {
        self.received += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.moved = Instant::now();
        if self.received > self.limit {
            Err(DenyReason::LimitBodySize)
        } else {
            Ok(())
        }
    }

    /// Whether the redactor has bytes that it did not look at yet.
    pub(super) fn is_busy(&self) -> bool {
        self.scrub.as_ref().is_some_and(Scrub::is_busy)
    }

    /// The last byte came.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.moved = Instant::now();
    }

    /// Bytes are about to leave.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.moved = Instant::now();
    }
}

/// The account after it was closed.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Bytes of content that left, after redaction.
    pub(crate) bytes: u64,
    /// What was found in them.
    pub(crate) found: Vec<Found>,
}

impl Outgoing {
    /// An account for a body of at most `limit` bytes that goes through `scrub`; none: it passes as it is.
    pub(crate) fn new(scrub: Option<Scrub>, limit: u64) -> Self {
        Self {
            state: Mutex::new(State {
                scrub,
                received: 0,
                limit,
                bytes: 0,
                refused: None,
                closed: false,
                ended: false,
                moved: Instant::now(),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the body was stopped, if Egret stopped it.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        let state = self.lock();
        let reason = state.refused?;
        let found = state.scrub.as_ref().map(Scrub::found).unwrap_or_default();
        Some(scrub::refusal(reason, found))
    }

    /// There is no body, or its end has come.
    pub(crate) fn end(&self) {
        self.lock().end();
    }

    /// When a response is overdue: `response` after the request's last byte, or `stalled` after anything moved while it is still coming.
    pub(crate) fn overdue(&self, response: Duration, stalled: Duration) -> Instant {
        let state = self.lock();
        state.moved + if state.ended { response } else { stalled.max(response) }
    }

    /// Lets nothing more out and gives the account.
    pub(crate) fn close(&self) -> Account {
        let mut state = self.lock();
        state.closed = true;
        Account {
            bytes: state.bytes,
            found: state.scrub.take().map(Scrub::into_found).unwrap_or_default(),
        }
    }
}
