//! The signals that a process in a container gets: end, and read the configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Hang-ups that came while one was being handled are one.
const PENDING_HANGUPS: usize = 1;

/// SIGTERM, SIGINT and SIGHUP.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes over the signals. Must be called within the runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: Some(signal(SignalKind::hangup())?),
        })
    }

    /// Resolves at the next SIGTERM or SIGINT.
    pub async fn termination(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Gets a message for every SIGHUP. Taken once: later calls give a channel in which nothing comes.
    pub fn hangups(&mut self) -> mpsc::Receiver<()> {
        let (sender, receiver) = mpsc::channel(PENDING_HANGUPS);
        if let Some(mut hangup) = self.hangup.take() {
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    // A full channel holds a hang-up already.
                    if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                        return;
                    }
                }
            });
        }
        receiver
    }
}
