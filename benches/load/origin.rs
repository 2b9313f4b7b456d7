//! The origin that every proxy forwards to, and the name server that points to it. A process of its own.
//!
//! `/` answers a small JSON document, `/bytes/N` that many bytes, `/echo` the body it got, and any other POST the number of
//! bytes it got.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::{certificates, payload};

const DOCUMENT: &str = r#"{"id":4711,"state":"open","title":"request fails when retry window overlaps with a deploy","sha":"9f2c1d7be0a44f7f8a6f0c3d5f1b2a6e7c8d9e0f","created_at":"2026-03-14T15:09:26.535Z","labels":["bug","area:retry"],"next":null}"#;
const BLOCK: usize = 64 * 1024;
static NOISE: LazyLock<Bytes> = LazyLock::new(|| payload::noise(1, BLOCK).into());

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where it listens, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) dns: u16,
}

/// Prints its ports as one line of JSON, and then serves until it is ended.
#[tokio::main]
pub(crate) async fn run(specification: &str) {
    let specification: Specification = serde_json::from_str(specification).expect("a specification");
    let tls = certificates::server_config(&specification.certificate, &specification.key, &["h2", "http/1.1"]);
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let https = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dns = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let ports = Ports {
        http: http.local_addr().unwrap().port(),
        https: https.local_addr().unwrap().port(),
        dns: dns.local_addr().unwrap().port(),
    };
    println!("{}", serde_json::to_string(&ports).unwrap());
    tokio::join!(serve_plain(http), serve_tls(https, tls), serve_names(dns));
}

async fn serve_plain(listener: TcpListener) {
    loop {
        let stream = accept(&listener).await;
        tokio::spawn(serve_http1(stream));
    }
}

async fn serve_tls(listener: TcpListener, config: Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let stream = accept(&listener).await;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream).await;
            } else {
                serve_http1(stream).await;
            }
        });
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a listener accepts");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// A connection that a proxy breaks off is the proxy's affair: the client counts what it missed.
async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
        .ok();
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
        .ok();
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Reply>> {
    if request.uri().path() == "/echo" {
        let body = request.into_body().collect().await?.to_bytes();
        return Ok(json(body));
    }
    if request.method() == Method::POST {
        let received = count(request.into_body()).await?;
        return Ok(json(format!(r#"{{"received":{received}}}"#).into()));
    }
    let asked = request.uri().path().strip_prefix("/bytes/");
    match asked.and_then(|number| number.parse().ok()) {
        Some(left) => Ok(Response::new(Reply {
            chunk: NOISE.clone(),
            left,
        })),
        None => Ok(json(Bytes::from_static(DOCUMENT.as_bytes()))),
    }
}

async fn count(mut body: Incoming) -> hyper::Result<usize> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(received)
}

fn json(chunk: Bytes) -> Response<Reply> {
    let left = chunk.len();
    Response::builder()
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .body(Reply { chunk, left })
        .expect("a valid response")
}

/// One chunk over and over, until that many bytes are out.
struct Reply {
    chunk: Bytes,
    left: usize,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = self.chunk.slice(..self.left.min(self.chunk.len()));
        self.left -= chunk.len();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// Answers every A question with 127.0.0.1 and every other one with "no such record, and that for five minutes".
async fn serve_names(socket: UdpSocket) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.expect("a datagram");
        if let Some(answer) = name_answer(&question[..length]) {
            socket.send_to(&answer, from).await.expect("a sent datagram");
        }
    }
}

/// RFC 1035 §4: header, the question as it came, then an address, or the SOA of a negative answer (RFC 2308).
fn name_answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const ADDRESS: &[u8] = &[0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 1];
    const AUTHORITY: &[u8] = &[0xC0, 12, 0, 6, 0, 1, 0, 0, 1, 44, 0, 22, 0, 0];
    const TIMES: [u32; 5] = [1, 300, 300, 300, 300];

    let mut end = HEADER;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(HEADER..end + 5)?;
    let is_address = question[question.len() - 4..] == [0, 1, 0, 1];
    let counts = if is_address { [1, 0] } else { [0, 1] };
    let mut answer = query.get(..2)?.to_vec();
    answer.extend_from_slice(&[0x85, 0x80, 0, 1, 0, counts[0], 0, counts[1], 0, 0]);
    answer.extend_from_slice(question);
    if is_address {
        answer.extend_from_slice(ADDRESS);
    } else {
        answer.extend_from_slice(AUTHORITY);
        answer.extend(TIMES.iter().flat_map(|time| time.to_be_bytes()));
    }
    Some(answer)
}
