//! Connections that a packet filter redirects here (`SO_ORIGINAL_DST`), for clients that know nothing of a proxy.
//!
//! Where one goes is told by the server name of its `ClientHello`, or by the `Host` of its requests in clear, and by the port that it was on
//! its way to. The address is never looked at: a client can write anything there, and what is dialled comes from a look-up of the allowed
//! name. What is neither TLS with a server name nor HTTP is refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::client_hello::looks_like_tls;
use super::client_io::{ClientIo, Coming};
use super::listener::{draining, record_refusal, serve_clear};
use super::prefixed::Prefixed;
use super::tunnel::{alert, first_hello};
use super::{Connection, Entrance, Handover, exchange};
use crate::metrics::ConnectionKind;
use crate::policy::DenyReason;

/// Serves a client, by its first byte.
pub(crate) async fn welcome(handover: Handover, stream: TcpStream) {
    let _counted = handover.proxy.metrics.connection(ConnectionKind::Client);
    stream.set_nodelay(true).ok();
    // A connection whose address can't be told is gone.
    let Some(port) = original_port(&stream) else { return };
    let mut drain = handover.proxy.drain.subscribe();
    let idle = handover.generation.limits.idle_timeout;
    let mut stream = Prefixed::new(Bytes::new(), stream);
    let begun = tokio::select! {
        begun = tokio::time::timeout(idle, stream.peek(1, |_| true)) => begun,
        // Nothing was asked for yet.
        () = draining(&mut drain) => return,
    };
    if !matches!(begun, Ok(Ok(true))) {
        return;
    }
    if looks_like_tls(stream.peeked()) {
        serve_tls(handover, stream, port).await;
    } else {
        serve_clear(handover, Entrance::Redirected { port }, stream).await;
    }
}

/// The port that the client connected to. One that was not redirected came to the listener's own, at which no rule lets anybody go.
fn original_port(stream: &TcpStream) -> Option<u16> {
    let local = stream.local_addr().ok()?;
    let original = match local.ip().to_canonical() {
        IpAddr::V4(_) => ip_original_dst(stream).map(SocketAddr::from),
        IpAddr::V6(_) => ipv6_original_dst(stream).map(SocketAddr::from),
    };
    Some(original.unwrap_or(local).port())
}

async fn serve_tls(handover: Handover, mut stream: Prefixed<TcpStream>, port: u16) {
    let hello = first_hello(&mut stream, &handover).await;
    let connection = Connection::new(handover, Entrance::Redirected { port }, None);
    let hello = match hello {
        Ok(hello) => hello,
        // Nothing was asked for yet.
        Err(DenyReason::ClientClosed) => return,
        Err(reason) => {
            record_refusal(&connection, reason.into()).await;
            return;
        }
    };
    let (told, coming) = oneshot::channel();
    match exchange::serve_redirected(Arc::new(connection), &hello, port, Coming::Told(coming)).await {
        Ok(()) => {
            let (first, socket) = stream.into_parts();
            let client = Prefixed::new(first, ClientIo::Socket(socket));
            // The tunnel waits for it.
            told.send(client).ok();
        }
        Err(_recorded) => alert(&mut stream).await,
    }
}
