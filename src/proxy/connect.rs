//! The one place where a socket to the outside is opened (invariant 2): Happy Eyeballs (RFC 8305) over vetted addresses.
//!
//! It looks nothing up and decides nothing: [`VettedAddrs`] is the proof that both were done.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::policy::{DenyReason, VettedAddrs};

/// How long one attempt has before the next begins beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Attempts under way at once, and addresses tried in all.
const MAX_ATTEMPTS: usize = 8;

/// An open connection to an origin, and the address it goes to.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    address: SocketAddr,
}

impl Dialled {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another connection to the same address, which was vetted for this one.
    pub(crate) fn again(&self, limit: Duration) -> impl Future<Output = Result<Self, DenyReason>> + use<> {
        let attempt = attempt(self.address);
        async move {
            match timeout(limit, attempt).await {
                Ok(dialled) => dialled.map_err(|_| DenyReason::UpstreamConnectFailed),
                Err(_) => Err(DenyReason::UpstreamConnectTimeout),
            }
        }
    }
}

/// Connects to the first address that answers within `limit`.
pub(crate) async fn dial(addresses: &VettedAddrs, limit: Duration) -> Result<Dialled, DenyReason> {
    match timeout(limit, race(interleave(addresses))).await {
        Ok(Ok(dialled)) => Ok(dialled),
        Ok(Err(_refused)) => Err(DenyReason::UpstreamConnectFailed),
        Err(_elapsed) => Err(DenyReason::UpstreamConnectTimeout),
    }
}

/// The families in turn, IPv6 first (RFC 8305 §4).
fn interleave(addresses: &VettedAddrs) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().partition(SocketAddr::is_ipv6);
    let longest = v6.len().max(v4.len());
    (0..longest)
        .flat_map(|index| [v6.get(index), v4.get(index)])
        .flatten()
        .copied()
        .take(MAX_ATTEMPTS)
        .collect()
}

/// Starts an attempt, another when one fails or is slow, and takes the first that succeeds.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<Dialled> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match waiting.next() {
            Some(address) => attempts.push(attempt(address)),
            None if attempts.is_empty() => return Err(last_error),
            None => {}
        }
        let patience = if waiting.len() > 0 {
            ATTEMPT_DELAY
        } else {
            Duration::MAX
        };
        match timeout(patience, attempts.next()).await {
            Ok(Some(Ok(dialled))) => return Ok(dialled),
            Ok(Some(Err(error))) => last_error = error,
            Ok(None) | Err(_) => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<Dialled> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()
    } else {
        TcpSocket::new_v4()
    }?;
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the one dial: `address` comes from VettedAddrs"
    )]
    let stream = socket.connect(address).await?;
    Ok(Dialled { stream, address })
}
