//! Accepting clients: bounded in number, each in a task of its own; HTTP/1, HTTP/2 or SOCKS5 by the first bytes.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::checked_io::{CheckedIo, Inspection, Waits};
use super::ledger::{Ledger, Outcome};
use super::prefixed::Prefixed;
use super::reply::Refusal;
use super::wire::{Fault, HeadLimits};
use super::{Connection, Entrance, Handover, Proxy, client_tls, exchange, socks5, socks5_client, transparent};
use crate::audit::record::Form;
use crate::metrics::ConnectionKind;
use crate::policy::DenyReason;

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// When `accept` fails for want of descriptors or memory: a pause, so that the failure does not spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After a refusal the client may still be sending; so much is read and thrown away, for so long, that the reply is not lost to a reset.
const LINGER_BYTES: u64 = 256 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);
/// HTTP/2 towards clients: what may be in flight for one stream and for all of a connection.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1 << 20;
/// How many times `limits.head_bytes` an HTTP/2 head may have before it isn't even read.
const HARD_HEAD_FACTOR: u64 = 4;
/// A client that has gone is noticed by unanswered pings.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How clients of a listener begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// With the first bytes of HTTP or SOCKS5.
    Clear,
    /// With TLS.
    Tls,
    /// Redirected by a packet filter, with the first bytes of TLS or HTTP.
    Transparent,
}

/// Accepts clients until draining begins.
pub(crate) async fn accept(proxy: Arc<Proxy>, listener: TcpListener, door: Door) {
    let mut drain = proxy.drain.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining(&mut drain) => return,
        };
        match accepted {
            Ok((stream, peer)) => greet(&proxy, stream, peer, door),
            Err(error) if is_clients_fault(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Resolves when draining begins.
pub(crate) async fn draining(drain: &mut watch::Receiver<bool>) {
    // A proxy that is gone drains too.
    drop(drain.wait_for(|draining| *draining).await);
}

fn is_clients_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Gives a client its place, or the reason why there is none.
fn greet(proxy: &Arc<Proxy>, stream: TcpStream, peer: SocketAddr, door: Door) {
    let generation = proxy.generation();
    match proxy.places.take(peer.ip(), &generation.limits) {
        Ok(place) => {
            let handover = Handover {
                proxy: Arc::clone(proxy),
                generation,
                peer,
                place: Arc::new(place),
            };
            match door {
                Door::Clear => tokio::spawn(welcome(handover, stream)),
                Door::Tls => tokio::spawn(client_tls::welcome(handover, stream)),
                Door::Transparent => tokio::spawn(transparent::welcome(handover, stream)),
            };
        }
        Err(reason) if door == Door::Transparent => {
            // What the client speaks is not known yet, so that there is nothing to say.
            record_turned_away(proxy, peer, reason, Form::Transparent);
        }
        Err(reason) => {
            // Nothing is read: the reply goes out if it fits the socket's buffer, as it does.
            let connection = Connection::refused(Arc::clone(proxy), peer);
            let reply = match proxy.reserve() {
                Ok(slot) => {
                    let ledger = Ledger::new(slot, &connection, Form::Absolute);
                    let refusal = Refusal::from(reason);
                    let reply = refusal.http1_bytes(&ledger.id());
                    drop(ledger.finish(&Outcome::Refused(refusal)));
                    reply
                }
                Err(reason) => Refusal::from(reason).http1_bytes(""),
            };
            // A client that waits for TLS could not read it.
            if door == Door::Clear {
                stream.try_write(&reply).ok();
            }
        }
    }
}

/// Records that a client found no place.
pub(crate) fn record_turned_away(proxy: &Arc<Proxy>, peer: SocketAddr, reason: DenyReason, form: Form) {
    if let Ok(slot) = proxy.reserve() {
        let ledger = Ledger::new(slot, &Connection::refused(Arc::clone(proxy), peer), form);
        drop(ledger.finish(&Outcome::Refused(reason.into())));
    }
}

async fn welcome(handover: Handover, stream: TcpStream) {
    let _counted = handover.proxy.metrics.connection(ConnectionKind::Client);
    // A relayed write must not wait for an acknowledgement; without the option it only gets slower.
    stream.set_nodelay(true).ok();
    let idle = handover.generation.limits.idle_timeout;
    let mut stream = Prefixed::new(Bytes::new(), stream);
    if !matches!(tokio::time::timeout(idle, stream.peek(1, |_| true)).await, Ok(Ok(true))) {
        return;
    }
    if stream.peeked().first() == Some(&socks5::VERSION) {
        let (first, stream) = stream.into_parts();
        return socks5_client::serve(handover, stream, first).await;
    }
    serve_clear(handover, Entrance::Listener(None), stream).await;
}

/// Serves HTTP in clear, of the version that the first bytes tell.
pub(crate) async fn serve_clear(handover: Handover, entrance: Entrance, mut stream: Prefixed<TcpStream>) {
    let head = handover.generation.limits.head_timeout;
    let differs = |bytes: &[u8]| !H2_PREFACE.starts_with(bytes);
    if !differs(stream.peeked())
        && tokio::time::timeout(head, stream.peek(H2_PREFACE.len(), differs))
            .await
            .is_err()
    {
        return;
    }
    if stream.peeked().starts_with(H2_PREFACE) {
        serve_http2(handover, entrance, stream).await;
    } else {
        let (first, stream) = stream.into_parts();
        serve_http1(handover, entrance, stream, first).await;
    }
}

/// Serves HTTP/1 on a stream of which `first` was read already.
pub(crate) async fn serve_http1<T>(handover: Handover, entrance: Entrance, stream: T, first: Bytes)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &handover.generation.limits;
    let head = HeadLimits {
        bytes: usize::try_from(limits.head_bytes).unwrap_or(usize::MAX),
        fields: limits.head_fields,
    };
    let waits = Waits {
        head: limits.head_timeout,
        idle: limits.idle_timeout,
    };
    let checked = CheckedIo::new(stream, first, head, waits);
    let inspection = checked.inspection();
    let mut drain = handover.proxy.drain.subscribe();
    let connection = Arc::new(Connection::new(handover, entrance, Some(Arc::clone(&inspection))));
    let serving = Arc::clone(&connection);
    let service = service_fn(move |request| exchange::serve(Arc::clone(&serving), request));
    let mut http = http1::Builder::new()
        .max_headers(head.fields + 1)
        .serve_connection(TokioIo::new(checked), service)
        .with_upgrades();
    let ended = tokio::select! {
        ended = Pin::new(&mut http) => Some(ended),
        () = draining(&mut drain) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        Pin::new(&mut http).graceful_shutdown();
        Pin::new(&mut http).await
    };
    if inspection.fault().is_none() && ended.is_err_and(|error| error.is_parse()) {
        // hyper refused what the check let pass, and has answered it already: the record is left to write.
        tracing::warn!("a request passed the wire check and failed to parse");
        record_refusal(&connection, DenyReason::RequestMalformed.into()).await;
    }
    if let Some(fault) = inspection.fault()
        && let Some(parts) = http.into_parts()
    {
        let (stream, _) = parts.io.into_inner().into_parts();
        refuse_bytes(&connection, stream, fault).await;
    }
}

/// Answers bytes that could not be read as a request, and closes.
async fn refuse_bytes<T>(connection: &Connection, stream: T, fault: Fault)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (refusal, id) = record_refusal(connection, Refusal::new(fault.reason).detail(fault.detail)).await;
    farewell(stream, &refusal.http1_bytes(&id)).await;
}

/// Records that a request could not be read. Gives the refusal to answer with, and the exchange's name.
pub(crate) async fn record_refusal(connection: &Connection, refusal: Refusal) -> (Refusal, String) {
    match connection.proxy.reserve() {
        Ok(slot) => {
            let mut ledger = Ledger::new(slot, connection, connection.form(&http::Method::GET));
            connection.identify_by_address(&mut ledger);
            connection.refuse(ledger, refusal).await
        }
        // Without a record there is no exchange to name.
        Err(reason) => (reason.into(), String::new()),
    }
}

/// Says the last word on a connection, so that it arrives, and closes. What the client still sends is thrown away.
pub(crate) async fn farewell<T>(mut stream: T, last_word: &[u8])
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async {
        stream.write_all(last_word).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whether the client stays to listen is its own affair.
    tokio::time::timeout(LINGER_TIME, farewell).await.ok();
}

/// Serves HTTP/2 with prior knowledge or as ALPN chose it.
pub(crate) async fn serve_http2<T>(handover: Handover, entrance: Entrance, stream: T)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &handover.generation.limits;
    let idle = limits.idle_timeout;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.h2_streams).unwrap_or(u32::MAX))
        .max_header_list_size(hard_head_limit(limits.head_bytes))
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT);
    let mut drain = handover.proxy.drain.subscribe();
    let inspection = Arc::new(Inspection::default());
    let connection = Arc::new(Connection::new(handover, entrance, Some(Arc::clone(&inspection))));
    let serving = Arc::clone(&connection);
    let service = service_fn(move |request| exchange::serve(Arc::clone(&serving), request));
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut http => Some(ended),
        () = draining(&mut drain) => None,
        () = idled(&inspection, idle) => {
            http.as_mut().graceful_shutdown();
            // A client that leaves a head half sent is not waited for.
            tokio::time::timeout(LINGER_TIME, http).await.ok();
            return;
        }
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        http.as_mut().graceful_shutdown();
        http.await
    };
    if ended.is_err_and(|error| is_protocol_error(&error)) {
        record_refusal(&connection, DenyReason::RequestMalformed.into()).await;
    }
}

/// Resolves when no exchange was under way for `limit`; at most twice that after the last one.
async fn idled(inspection: &Inspection, limit: Duration) {
    let mut begun = inspection.begun();
    loop {
        tokio::time::sleep(limit).await;
        let now = inspection.begun();
        if inspection.is_idle() && now == begun {
            return;
        }
        begun = now;
    }
}

/// Beyond this the HTTP/2 library refuses a head by itself. What lies between `limits.head_bytes` and this is refused with a reply and a record.
fn hard_head_limit(head_bytes: u64) -> u32 {
    u32::try_from(head_bytes.saturating_mul(HARD_HEAD_FACTOR)).unwrap_or(u32::MAX)
}

/// Whether the client broke the protocol, rather than the connection.
fn is_protocol_error(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| !cause.is_io() && !cause.is_remote())
}
