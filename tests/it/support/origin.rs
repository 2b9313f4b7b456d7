//! An origin that behaves as the path asks and remembers every request, and raw ones that break the protocol.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::ServerConfig;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::ca::{Identity, TestCa};
use super::within;

/// Bodies up to this length are kept whole; of longer ones the length and the digest.
const KEPT: usize = 1 << 20;

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// A request as it reached the origin.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// The path with its query, as it came.
    pub(crate) target: String,
    /// The `:authority` of HTTP/2 or that of an absolute-form target; empty otherwise.
    pub(crate) authority: String,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) version: Version,
    pub(crate) tls: bool,
    /// The number of the connection, from 1 on, in the order of acceptance over both ports.
    pub(crate) connection: u64,
    /// The body's first mebibyte.
    pub(crate) body: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) sha256: [u8; 32],
    /// Whether the body arrived to its end.
    pub(crate) complete: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A well-behaved server on two ports of loopback, one plain and one TLS; it answers as the path asks:
///
/// `/echo` the request's body · `/status/NNN` that status · `/headers` the request's fields as JSON ·
/// `/slow?ms=N` after a while · `/drip?n=N&ms=N` N chunks with a pause before each · `/sse` an endless event stream ·
/// `/close-early` half of the promised body · `/gzip` a compressed body · `/trailers` a body with trailers ·
/// `/big?bytes=N` that many bytes · `/sink` counts an upload of any size · `/redirect?to=URL` · `/hop` fields that
/// must go no further than the next hop · `/ws` WebSocket echo · `/ws-bad-accept` a `101` with a wrong proof ·
/// `/silent` never answers · anything else `200` and `hello`.
pub(crate) struct Origin {
    plain: SocketAddr,
    tls: SocketAddr,
    log: Arc<Log>,
}

struct Log {
    seen: Mutex<Vec<Seen>>,
    changes: watch::Sender<u64>,
    connections: AtomicU64,
    served_files: Mutex<Option<std::path::PathBuf>>,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            changes: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            served_files: Mutex::default(),
        })
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    fn connected(&self) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        self.changed();
        number
    }

    fn begin(&self, seen: Seen) -> usize {
        let mut all = self.seen.lock().unwrap();
        all.push(seen);
        let index = all.len() - 1;
        drop(all);
        self.changed();
        index
    }

    fn amend(&self, index: usize, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap()[index]);
        self.changed();
    }

    async fn until<T>(&self, what: &'static str, look: impl Fn(&Self) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(self) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        within(what, search).await
    }
}

impl Origin {
    /// An origin with a good certificate for `names`.
    pub(crate) async fn start(ca: &TestCa, names: &[&str]) -> Self {
        Self::with_identity(ca.identity(names)).await
    }

    /// An origin that shows `identity`, good or bad, and offers HTTP/2 and HTTP/1.1.
    pub(crate) async fn with_identity(identity: Identity) -> Self {
        Self::with_tls(identity.server(&["h2", "http/1.1"])).await
    }

    pub(crate) async fn with_tls(config: Arc<ServerConfig>) -> Self {
        let log = Log::new();
        let (plain, tls) = (listen().await, listen().await);
        let origin = Self {
            plain: plain.local_addr().unwrap(),
            tls: tls.local_addr().unwrap(),
            log: Arc::clone(&log),
        };
        tokio::spawn(accept_plain(plain, Arc::clone(&log)));
        tokio::spawn(accept_tls(tls, TlsAcceptor::from(config), log));
        origin
    }

    pub(crate) fn plain_port(&self) -> u16 {
        self.plain.port()
    }

    pub(crate) fn tls_port(&self) -> u16 {
        self.tls.port()
    }

    /// Answers `GET /files/…` with the files below `folder`, as a dumb HTTP server does.
    pub(crate) fn serve_files(&self, folder: &std::path::Path) {
        *self.log.served_files.lock().unwrap() = Some(folder.to_owned());
    }

    /// Every request whose head arrived.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Waits until `count` requests arrived to their end, and gives them all.
    pub(crate) async fn await_requests(&self, count: usize) -> Vec<Seen> {
        self.log
            .until("requests at the origin", |log| {
                let seen = log.seen.lock().unwrap();
                (seen.iter().filter(|one| one.complete).count() >= count).then(|| seen.clone())
            })
            .await
    }

    /// The one request that arrived; fails when it was not exactly one.
    pub(crate) async fn only_request(&self) -> Seen {
        let mut seen = self.await_requests(1).await;
        assert_eq!(seen.len(), 1, "requests at the origin: {seen:#?}");
        seen.remove(0)
    }

    /// How many connections were accepted, whatever came over them.
    pub(crate) fn connections(&self) -> u64 {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Fails when a request arrived.
    #[track_caller]
    pub(crate) fn assert_no_request(&self) {
        let seen = self.requests();
        assert!(seen.is_empty(), "reached the origin: {seen:#?}");
    }

    /// Fails when so much as a connection arrived.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        self.assert_no_request();
        assert_eq!(self.connections(), 0, "connections at the origin");
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

async fn accept_plain(listener: TcpListener, log: Arc<Log>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = log.connected();
        tokio::spawn(serve_http1(stream, false, connection, Arc::clone(&log)));
    }
}

async fn accept_tls(listener: TcpListener, acceptor: TlsAcceptor, log: Arc<Log>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = log.connected();
        let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
        tokio::spawn(async move {
            // A client that breaks the handshake off is what some tests are about.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream, connection, log).await;
            } else {
                serve_http1(stream, true, connection, log).await;
            }
        });
    }
}

async fn serve_http1<S>(stream: S, tls: bool, connection: u64, log: Arc<Log>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, tls, connection, Arc::clone(&log)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
        .ok();
}

async fn serve_http2<S>(stream: S, connection: u64, log: Arc<Log>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, true, connection, Arc::clone(&log)));
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

async fn answer(mut request: Request<Incoming>, tls: bool, connection: u64, log: Arc<Log>) -> Result<Reply, io::Error> {
    let uri = request.uri().clone();
    let index = log.begin(Seen {
        method: request.method().clone(),
        target: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
        headers: request.headers().clone(),
        trailers: None,
        version: request.version(),
        tls,
        connection,
        body: Vec::new(),
        length: 0,
        sha256: [0; 32],
        complete: false,
    });
    if matches!(uri.path(), "/ws" | "/ws-bad-accept") {
        log.amend(index, |seen| seen.complete = true);
        return Ok(upgrade(&mut request, uri.path() == "/ws", log, index));
    }
    read_body(request.into_body(), &log, index).await?;
    let seen = log.seen.lock().unwrap()[index].clone();
    let files = log.served_files.lock().unwrap().clone();
    if let (Some(folder), Some(file)) = (files, uri.path().strip_prefix("/files/")) {
        return Ok(file_reply(&folder.join(file)));
    }
    Ok(behave(&seen, uri.path(), uri.query().unwrap_or_default()).await)
}

/// Reads to the end with constant memory.
async fn read_body(body: Incoming, log: &Log, index: usize) -> Result<(), io::Error> {
    let mut body = pin!(body);
    let mut digest = Sha256::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        match frame.into_data() {
            Ok(piece) => {
                digest.update(&piece);
                log.amend(index, |seen| {
                    let room = KEPT - seen.body.len();
                    seen.body.extend(piece.iter().take(room));
                    seen.length += u64::try_from(piece.len()).unwrap();
                });
            }
            Err(frame) => log.amend(index, |seen| seen.trailers = frame.into_trailers().ok()),
        }
    }
    log.amend(index, |seen| {
        seen.sha256 = digest.finalize().into();
        seen.complete = true;
    });
    Ok(())
}

async fn behave(seen: &Seen, path: &str, query: &str) -> Reply {
    match path {
        "/echo" => full(200, seen.body.clone()),
        "/headers" => full(200, fields_as_json(&seen.headers)),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number(query, "ms"))).await;
            full(200, "slow")
        }
        "/drip" => streamed(drip(number(query, "n"), number(query, "ms"))),
        "/sse" => event_stream(),
        "/close-early" => close_early(),
        "/gzip" => gzip(),
        "/trailers" => trailers(),
        "/big" => streamed(big(number(query, "bytes"))),
        "/sink" => full(200, format!("{{\"length\":{}}}", seen.length)),
        "/redirect" => redirect(query),
        "/hop" => hop(),
        "/silent" => std::future::pending().await,
        _ => match path.strip_prefix("/status/") {
            Some(status) => full(status.parse().unwrap(), "as you wish"),
            None => full(200, "hello"),
        },
    }
}

/// A number of the query, 0 when it isn't there.
fn number(query: &str, name: &str) -> u64 {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map_or(0, |(_, value)| value.parse().unwrap())
}

fn full(status: u16, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut reply = Response::new(body.boxed_unsync());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply
}

fn streamed(pieces: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> Reply {
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

fn with(mut reply: Reply, name: &'static str, value: &'static str) -> Reply {
    reply.headers_mut().append(name, value.parse().unwrap());
    reply
}

fn fields_as_json(headers: &HeaderMap) -> String {
    let fields: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    serde_json::to_string(&fields).unwrap()
}

fn drip(count: u64, pause_ms: u64) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::iter(0..count).then(move |number| async move {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok(Frame::data(Bytes::from(format!("drop {number}\n"))))
    })
}

fn event_stream() -> Reply {
    let events = stream::iter(0_u64..).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(Frame::data(Bytes::from(format!("data: {number}\n\n"))))
    });
    with(streamed(events), "content-type", "text/event-stream")
}

fn big(bytes: u64) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    const PIECE: u64 = 64 << 10;
    let zeros = Bytes::from(vec![b'z'; usize::try_from(PIECE).unwrap()]);
    let pieces = bytes.div_ceil(PIECE);
    stream::iter((0..pieces).map(move |number| {
        let length = PIECE.min(bytes - number * PIECE);
        Ok(Frame::data(zeros.slice(..usize::try_from(length).unwrap())))
    }))
}

fn close_early() -> Reply {
    let half = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"half of it"))),
        Err(io::Error::other("the other half never comes")),
    ]);
    let mut reply = streamed(half);
    reply.headers_mut().insert(CONTENT_LENGTH, 20.into());
    reply
}

fn gzip() -> Reply {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"hello, compressed").unwrap();
    with(full(200, encoder.finish().unwrap()), "content-encoding", "gzip")
}

fn trailers() -> Reply {
    let mut fields = HeaderMap::new();
    fields.insert("x-checksum", "42".parse().unwrap());
    let frames = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"body"))),
        Ok(Frame::trailers(fields)),
    ]);
    with(streamed(frames), "trailer", "x-checksum")
}

fn redirect(query: &str) -> Reply {
    let to = query.strip_prefix("to=").unwrap();
    let mut reply = full(302, "elsewhere");
    reply.headers_mut().insert(LOCATION, to.parse().unwrap());
    reply
}

/// Fields of one hop, and those that only Egret may write. HTTP/2 forbids the former, so this is for HTTP/1.1.
fn hop() -> Reply {
    let fields = [
        ("connection", "x-named"),
        ("x-named", "named by Connection"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic realm=\"origin\""),
        ("x-egret-reason", "host.not_listed"),
        ("proxy-status", "egret; error=http_request_denied"),
        ("x-end-to-end", "stays"),
    ];
    fields
        .into_iter()
        .fold(full(200, "hop"), |reply, (name, value)| with(reply, name, value))
}

fn file_reply(path: &std::path::Path) -> Reply {
    match std::fs::read(path) {
        Ok(content) => full(200, content),
        Err(_) => full(404, "no such file"),
    }
}

/// Accepts a WebSocket by hand, so that the proof can be wrong, and echoes its messages.
fn upgrade(request: &mut Request<Incoming>, honest: bool, log: Arc<Log>, index: usize) -> Reply {
    let key = request.headers().get("sec-websocket-key").cloned();
    let Some(key) = key else {
        return full(426, "a WebSocket lives here");
    };
    let proof = if honest {
        derive_accept_key(key.as_bytes())
    } else {
        derive_accept_key(b"another key")
    };
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        echo_messages(socket, &log, index).await;
    });
    let mut reply = full(101, "");
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, "Upgrade".parse().unwrap());
    headers.insert(UPGRADE, "websocket".parse().unwrap());
    headers.insert(SEC_WEBSOCKET_ACCEPT, proof.parse().unwrap());
    reply
}

/// Each message goes back, and is added to what the log keeps of the request.
async fn echo_messages<S>(mut socket: WebSocketStream<S>, log: &Log, index: usize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            let payload = message.clone().into_data();
            log.amend(index, |seen| seen.body.extend_from_slice(&payload));
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// What a raw origin does with each connection.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// Closes at once.
    Close,
    /// Resets at once.
    Reset,
    /// Reads nothing, says nothing, stays.
    Silent,
    /// Waits for the first bytes, says these bytes, and closes.
    Says(&'static [u8]),
    /// Reads until the other side ends its direction, and only then says these bytes.
    SaysAtEnd(&'static [u8]),
    /// Gives back every byte.
    Echo,
}

/// An origin below HTTP.
pub(crate) struct RawOrigin {
    address: SocketAddr,
    log: Arc<RawLog>,
}

#[derive(Default)]
struct RawLog {
    connections: AtomicU64,
    received: Mutex<Vec<u8>>,
}

impl RawOrigin {
    pub(crate) async fn start(behaviour: Raw) -> Self {
        let listener = listen().await;
        let log = Arc::new(RawLog::default());
        let origin = Self {
            address: listener.local_addr().unwrap(),
            log: Arc::clone(&log),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                log.connections.fetch_add(1, Ordering::SeqCst);
                let (behaviour, log) = (behaviour.clone(), Arc::clone(&log));
                // A broken connection is what these tests are about.
                tokio::spawn(async move { behaviour.play(stream, &log).await.ok() });
            }
        });
        origin
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// All bytes of all connections, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.log.received.lock().unwrap().clone()
    }
}

impl Raw {
    async fn play(self, mut stream: TcpStream, log: &RawLog) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        match self {
            Self::Close => Ok(()),
            Self::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Self::Silent => std::future::pending().await,
            Self::Says(bytes) => {
                log.receive(&mut stream, &mut buffer).await?;
                stream.write_all(bytes).await?;
                stream.shutdown().await
            }
            Self::SaysAtEnd(bytes) => {
                while log.receive(&mut stream, &mut buffer).await? > 0 {}
                stream.write_all(bytes).await?;
                stream.shutdown().await
            }
            Self::Echo => loop {
                let length = log.receive(&mut stream, &mut buffer).await?;
                if length == 0 {
                    return stream.shutdown().await;
                }
                stream.write_all(&buffer[..length]).await?;
            },
        }
    }
}

impl RawLog {
    async fn receive(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let length = stream.read(buffer).await?;
        self.received.lock().unwrap().extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}
