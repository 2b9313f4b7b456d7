//! A limit on silence, not on length: how long nothing may happen before a wait is given up.
//!
//! The timer is made only when something is waited for, and moved only when it fires, so that a busy stream pays nothing for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Watches one direction of one stream.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    /// When the current wait began; none while bytes move.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    /// Something happened: the next wait counts anew.
    pub(crate) fn broken(&mut self) {
        self.since = None;
    }

    /// Called while waiting: ready once nothing has happened for the limit.
    pub(crate) fn poll_exceeded(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let due = since + self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn only_unbroken_silence_counts() {
        let mut silence = Silence::new(Duration::from_secs(10));
        let start = Instant::now();
        for _ in 0..5 {
            let early = tokio::time::timeout(Duration::from_secs(9), poll_fn(|cx| silence.poll_exceeded(cx))).await;
            assert!(early.is_err(), "nine seconds are within the limit");
            silence.broken();
        }
        poll_fn(|cx| silence.poll_exceeded(cx)).await;
        assert!(
            start.elapsed() >= Duration::from_secs(55),
            "45 s of broken silence, then 10 s unbroken"
        );
    }
}
