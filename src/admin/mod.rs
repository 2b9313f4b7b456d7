//! The admin listener: metrics, health and the console.
//!
//! It only shows: every route is read-only, and no request changes anything. It asks for no credential either, so it belongs
//! on a listener of its own that only operators and Prometheus reach; the proxy never leads to it.

mod console;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::audit::Trail;
use crate::audit::recent::Recent;
use crate::metrics::Metrics;

/// Connections served at once; further ones wait in the listener's backlog.
const CONNECTIONS: usize = 64;
/// A request head that isn't whole by then ends its connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection carries one request and is ended after this, read or not.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request head, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// The pause after a connection couldn't be accepted, so that a lack of file descriptors doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests under way may go on after the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet taking requests.
    Starting,
    /// Taking requests.
    Ready,
    /// Ending what is under way, taking nothing new.
    Draining,
}

/// The process' phase, shared between those who set it and those who show it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// A process that is starting.
    pub fn starting() -> Self {
        Self(Arc::new(AtomicU8::new(0)))
    }

    /// Notes that the process takes requests, unless it is draining already.
    pub fn ready(&self) {
        self.0.fetch_max(1, Ordering::AcqRel);
    }

    /// Notes that the process drains. There is no way back.
    pub fn draining(&self) {
        self.0.fetch_max(2, Ordering::AcqRel);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}

/// What the admin listener shows.
#[derive(Debug)]
pub struct Admin {
    metrics: Metrics,
    trail: Trail,
    readiness: Readiness,
    recent: Recent,
    started: Instant,
}

impl Admin {
    /// Shows these; the uptime counts from now.
    pub fn new(metrics: Metrics, trail: Trail, readiness: Readiness, recent: Recent) -> Self {
        Self {
            metrics,
            trail,
            readiness,
            recent,
            started: Instant::now(),
        }
    }

    /// Why requests shouldn't be sent here now; empty when they should.
    fn unready(&self) -> Vec<&'static str> {
        let phase = match self.readiness.phase() {
            Phase::Starting => Some("starting"),
            Phase::Ready => None,
            Phase::Draining => Some("draining"),
        };
        let trail = self.trail.refuses().then_some("audit trail can't be written");
        phase.into_iter().chain(trail).collect()
    }
}

/// Serves the admin routes on `listener` until `shutdown` resolves, and then what is under way, for a second at most.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = std::pin::pin!(accept(&listener, &places));
        let Either::Left(((stream, place), _)) = select(next, &mut shutdown).await else {
            break;
        };
        while connections.try_join_next().is_some() {}
        let admin = Arc::clone(&admin);
        connections.spawn(async move {
            serve_connection(stream, &admin, HEAD_TIMEOUT).await;
            drop(place);
        });
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        tracing::debug!("admin connections were cut at the end");
    }
}

/// The next connection, and its place among those served at once.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    // The semaphore is never closed: there always is a place in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "failed to accept an admin connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, admin: &Admin, head_timeout: Duration) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (head, _) = request.into_parts();
        let reply = routes::reply(admin, &head);
        async { Ok::<_, Infallible>(reply) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .keep_alive(false)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;
    use crate::audit::OnFailure;

    pub(super) fn admin(folder: &std::path::Path, on_failure: OnFailure) -> Admin {
        let metrics = Metrics::new(["host.not_listed", "upstream.closed"]);
        let trail = Trail::open(&folder.join("audit.jsonl"), on_failure, 8, metrics.clone()).unwrap();
        Admin::new(metrics, trail, Readiness::starting(), Recent::default())
    }

    // The one door to the outside is for origins; a test's own listener is none.
    #[expect(clippy::disallowed_methods, reason = "a test client of the listener on loopback")]
    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    #[tokio::test]
    async fn serves_until_shutdown_one_request_a_connection() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let shown = Arc::new(admin(folder.path(), OnFailure::Refuse));
        let server = tokio::spawn(serve(listener, shown, async { drop(ended.await) }));
        let twice = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
        let reply = ask(address, &twice).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{reply}");
        let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(HEAD_BYTES));
        assert!(
            ask(address, &huge).await.starts_with("HTTP/1.1 431"),
            "a head beyond the limit is refused"
        );
        end.send(()).unwrap();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_connection_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn(ask(address, "GET / HT"));
        let (stream, _) = listener.accept().await.unwrap();
        serve_connection(
            stream,
            &admin(folder.path(), OnFailure::Refuse),
            Duration::from_millis(20),
        )
        .await;
        assert_eq!(client.await.unwrap(), "");
    }

    #[test]
    fn draining_is_final() {
        let readiness = Readiness::starting();
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.ready();
        assert_eq!(readiness.phase(), Phase::Ready);
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
