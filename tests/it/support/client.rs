//! A client that says exactly the bytes a test wants, in the clear, inside TLS, or as HTTP/2.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ca::provider;
use super::within;

/// A response, whatever protocol brought it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The reason phrase; empty over HTTP/2.
    pub(crate) phrase: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The fields after the body.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Reply {
    /// The first field of that name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The code with which Egret refused, if it did.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.header("x-egret-reason")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// Fails unless this is Egret's own refusal with this status and code, in the form that the contract promises.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.reason()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let proxy_status = self.header("proxy-status").unwrap_or_default();
        assert!(proxy_status.starts_with("egret; error="), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["reason"], code);
        for field in ["title", "detail", "exchange"] {
            assert!(problem[field].is_string(), "no {field} in {problem}");
        }
        if code.ends_with(".not_listed") {
            assert!(problem["hint"].is_string(), "no hint in {problem}");
        }
    }

    /// Fails unless the origin answered with this status.
    #[track_caller]
    pub(crate) fn assert_passed(&self, status: u16) {
        assert_eq!((self.status, self.reason()), (status, None), "{self:?}");
    }
}

/// An HTTP/1.1 connection, byte by byte.
pub(crate) struct Wire<S> {
    stream: S,
    /// Read but not yet taken.
    ahead: Vec<u8>,
}

impl Wire<TcpStream> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests' client is not Egret: it dials the proxy on loopback"
    )]
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Dials from a certain loopback address, to be a certain workload.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests' client is not Egret: it dials the proxy on loopback"
    )]
    pub(crate) async fn dial_from(from: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }

    /// Asks the proxy for a tunnel to `target` (`host:port`); a refusal comes back as the reply.
    pub(crate) async fn tunnel(proxy: SocketAddr, target: &str, fields: &str) -> Result<Self, Reply> {
        let mut wire = Self::dial(proxy).await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n");
        wire.send(&head).await;
        let reply = wire.reply_to("CONNECT").await;
        if reply.status == 200 { Ok(wire) } else { Err(reply) }
    }
}

impl Wire<TlsStream<TcpStream>> {
    /// The certificates that the other side showed, leaf first.
    pub(crate) fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        let session = self.stream.get_ref().1;
        session.peer_certificates().unwrap_or_default().to_vec()
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Speaks TLS from here on, and wants a certificate for `name`.
    pub(crate) async fn tls(self, name: &str, roots: RootCertStore, alpn: &[&str]) -> io::Result<Wire<TlsStream<S>>> {
        let config = tls_config(roots, alpn);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let handshake = TlsConnector::from(config).connect(name, self.into_stream());
        Ok(Wire::over(within("the TLS handshake", handshake).await?))
    }

    /// The stream itself, at a point where nothing was read ahead.
    pub(crate) fn into_stream(self) -> S {
        assert!(self.ahead.is_empty(), "bytes came ahead of time");
        self.stream
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends to a peer that may have closed.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("sending", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Ends this direction; the other stays open.
    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// A request with the given target, fields (each line ended by CRLF) and body, and its reply.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, fields: &str, body: &[u8]) -> Reply {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\n{fields}").into_bytes();
        if !body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        self.send(&bytes).await;
        self.reply_to(method).await
    }

    /// The reply to anything but HEAD and CONNECT.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_to("GET").await
    }

    /// The reply, with its body framed as RFC 9112, section 6.3 says.
    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        let mut reply = within("the reply's head", self.head()).await;
        let bodiless = method == "HEAD"
            || (method == "CONNECT" && reply.status == 200)
            || matches!(reply.status, 100..=199 | 204 | 304);
        if bodiless {
            return reply;
        }
        let length = reply.header("content-length").map(|n| n.parse().unwrap());
        let chunked = reply.header("transfer-encoding") == Some("chunked");
        (reply.body, reply.trailers) = within("the reply's body", async {
            match (chunked, length) {
                (true, _) => self.chunks().await,
                (false, Some(length)) => (self.exactly(length).await, Vec::new()),
                (false, None) => (self.rest().await, Vec::new()),
            }
        })
        .await;
        reply
    }

    /// Only the head of a reply, leaving its body to be read.
    pub(crate) async fn head(&mut self) -> Reply {
        let head = self.up_to(b"\r\n\r\n").await;
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut start = lines.next().unwrap().splitn(3, ' ');
        let version = start.next().unwrap();
        assert!(version.starts_with("HTTP/1."), "not a status line: {head}");
        let status = start.next().unwrap().parse().unwrap();
        let phrase = start.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(field).collect();
        Reply {
            status,
            phrase,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// Exactly that many bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.try_exactly(length).await;
        bytes.expect("the stream goes on")
    }

    /// Exactly that many bytes, or none when the stream ends before.
    pub(crate) async fn try_exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            if !within("further bytes", self.more()).await {
                return None;
            }
        }
        Some(self.ahead.drain(..length).collect())
    }

    /// Bytes up to and with `end`.
    pub(crate) async fn up_to(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.ahead.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                return self.ahead.drain(..at + end.len()).collect();
            }
            let so_far = String::from_utf8_lossy(&self.ahead).into_owned();
            assert!(self.more().await, "the stream ended after {so_far:?}");
        }
    }

    /// Everything to the end of the stream; a reset counts as an end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        within("the end of the stream", async { while self.more().await {} }).await;
        std::mem::take(&mut self.ahead)
    }

    /// What comes first, however much it is; empty at the end of the stream.
    pub(crate) async fn first_bytes(&mut self) -> Vec<u8> {
        within("the first bytes", self.more()).await;
        std::mem::take(&mut self.ahead)
    }

    /// Whether the other side closed without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// The next chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = String::from_utf8(self.up_to(b"\r\n").await).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let chunk = self.exactly(size).await;
        if size > 0 {
            self.exactly(2).await;
        }
        chunk
    }

    /// A chunked body to its end, and its trailers.
    async fn chunks(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.up_to(b"\r\n").await).unwrap();
            match field(&line) {
                Some(trailer) => trailers.push(trailer),
                None => return (body, trailers),
            }
        }
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let length = self.stream.read(&mut buffer).await.unwrap_or_default();
        self.ahead.extend_from_slice(&buffer[..length]);
        length > 0
    }
}

/// A field line; `None` for the empty one that ends them.
fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// Fields as they compare easily.
fn fields(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

/// An HTTP/2 connection.
pub(crate) struct H2 {
    sender: SendRequest<Full<Bytes>>,
}

impl H2 {
    /// Starts HTTP/2 with prior knowledge over a stream.
    pub(crate) async fn over<S>(wire: Wire<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(wire.into_stream());
        let handshake = http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = within("the HTTP/2 handshake", handshake).await.unwrap();
        tokio::spawn(async move { connection.await.ok() });
        Self { sender }
    }

    /// Asks for a tunnel to `target` (`host:port`) on a stream of this connection; a refusal comes back as the reply.
    pub(crate) async fn tunnel(&mut self, target: &str) -> Result<Wire<TokioIo<Upgraded>>, Reply> {
        let request = Request::connect(target).body(Full::default()).unwrap();
        let response = within("the answer to CONNECT", self.sender.send_request(request))
            .await
            .unwrap();
        if response.status() != StatusCode::OK {
            return Err(read(response).await.unwrap());
        }
        Ok(Wire::over(TokioIo::new(hyper::upgrade::on(response).await.unwrap())))
    }

    pub(crate) async fn get(&mut self, url: &str) -> Reply {
        let request = Request::get(url).body(Full::default()).unwrap();
        self.send(request).await.unwrap()
    }

    /// Sends a request; an error says how the stream or the connection broke.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
        let exchange = async {
            self.sender.ready().await?;
            read(self.sender.send_request(request).await?).await
        };
        within("the HTTP/2 exchange", exchange).await
    }
}

/// A response to its end.
async fn read(response: Response<Incoming>) -> hyper::Result<Reply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    Ok(Reply {
        status: head.status.as_u16(),
        phrase: String::new(),
        headers: fields(&head.headers),
        trailers: body.trailers().map(fields).unwrap_or_default(),
        body: body.to_bytes().to_vec(),
    })
}

/// Roots from a PEM file's text.
pub(crate) fn roots_from_pem(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    assert!(!roots.is_empty(), "no certificate in the PEM text");
    roots
}

/// A client configuration that trusts `roots` only.
pub(crate) fn tls_config(roots: RootCertStore, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
