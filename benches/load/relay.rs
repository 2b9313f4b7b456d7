//! The floor of an intercepting proxy: hyper on both sides, TLS with one minted certificate, pooled connections to the origin.
//!
//! It has no policy, no record, no redaction, no limits, and dials 127.0.0.1 whatever the name: nobody should run it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates;

/// Of each direction of a tunnel.
const TUNNEL_BUFFER: usize = 16 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Whom it trusts as origins.
    pub(crate) roots: PathBuf,
    /// The one name that is tunnelled instead of intercepted.
    pub(crate) tunnel: String,
}

/// Prints its port as one line, and then serves until it is ended.
#[tokio::main]
pub(crate) async fn run(specification: &str) {
    let specification: Specification = serde_json::from_str(specification).expect("a specification");
    let relay = Arc::new(Relay::of(specification));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.expect("a listener accepts");
        stream.set_nodelay(true).expect("a TCP option");
        tokio::spawn(relay.clone().serve(stream));
    }
}

type Sender = SendRequest<Incoming>;
type Answer = Response<Either<Leased, Empty<Bytes>>>;

struct Relay {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    tunnel: String,
    upstreams: Mutex<HashMap<String, Arc<Upstream>>>,
}

/// One origin, and its connections that are idle.
struct Upstream {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<Sender>>,
}

impl Relay {
    fn of(specification: Specification) -> Self {
        let server = certificates::server_config(&specification.certificate, &specification.key, &["http/1.1"]);
        let client = certificates::client_config(&specification.roots, &["http/1.1"]);
        Self {
            acceptor: TlsAcceptor::from(server),
            connector: TlsConnector::from(Arc::new(client)),
            tunnel: specification.tunnel,
            upstreams: Mutex::default(),
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| self.clone().answer(request));
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await
            .ok();
    }

    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> anyhow::Result<Answer> {
        if request.method() != Method::CONNECT {
            return self.upstream(request.uri(), None)?.send(request).await;
        }
        let upgrade = hyper::upgrade::on(&mut request);
        if request.uri().host() == Some(&self.tunnel) {
            let origin = dial(port(request.uri())?).await?;
            tokio::spawn(tunnel(upgrade, origin));
        } else {
            let upstream = self.upstream(request.uri(), Some(&self.connector))?;
            tokio::spawn(self.intercept(upgrade, upstream));
        }
        Ok(Response::new(Either::Right(Empty::new())))
    }

    async fn intercept(self: Arc<Self>, upgrade: OnUpgrade, upstream: Arc<Upstream>) -> anyhow::Result<()> {
        let stream = self.acceptor.accept(plain(upgrade).await?).await?;
        let service = service_fn(|request| upstream.clone().send(request));
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await?;
        Ok(())
    }

    fn upstream(&self, uri: &Uri, tls: Option<&TlsConnector>) -> anyhow::Result<Arc<Upstream>> {
        let authority = uri.authority().context("no authority")?;
        let mut upstreams = self.upstreams.lock().unwrap();
        if let Some(upstream) = upstreams.get(authority.as_str()) {
            return Ok(upstream.clone());
        }
        let upstream = Arc::new(Upstream {
            host: authority.host().to_owned(),
            port: port(uri)?,
            tls: tls.cloned(),
            idle: Mutex::default(),
        });
        upstreams.insert(authority.to_string(), upstream.clone());
        Ok(upstream)
    }
}

fn port(uri: &Uri) -> anyhow::Result<u16> {
    uri.port_u16().context("no port")
}

async fn dial(port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The TCP stream below an upgrade. A client sends nothing ahead of the reply to CONNECT here, so no byte is lost.
async fn plain(upgrade: OnUpgrade) -> anyhow::Result<TcpStream> {
    let upgraded = upgrade.await?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>();
    let parts = parts.ok().context("not a TCP stream")?;
    anyhow::ensure!(parts.read_buf.is_empty(), "bytes ahead of the tunnel");
    Ok(parts.io.into_inner())
}

async fn tunnel(upgrade: OnUpgrade, mut origin: TcpStream) -> anyhow::Result<()> {
    let mut client = plain(upgrade).await?;
    copy_bidirectional_with_sizes(&mut client, &mut origin, TUNNEL_BUFFER, TUNNEL_BUFFER).await?;
    Ok(())
}

impl Upstream {
    async fn send(self: Arc<Self>, mut request: Request<Incoming>) -> anyhow::Result<Answer> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        let mut sender = self.sender().await?;
        let response = sender.send_request(request).await?;
        let lease = |body| {
            Either::Left(Leased {
                body,
                sender: Some(sender),
                upstream: self,
            })
        };
        Ok(response.map(lease))
    }

    async fn sender(&self) -> anyhow::Result<Sender> {
        while let Some(mut sender) = self.take_idle() {
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = dial(self.port).await?;
        let Some(tls) = &self.tls else {
            return speak(stream).await;
        };
        let name = ServerName::try_from(self.host.clone())?;
        speak(tls.connect(name, stream).await?).await
    }

    fn take_idle(&self) -> Option<Sender> {
        self.idle.lock().unwrap().pop()
    }
}

async fn speak<S>(stream: S) -> anyhow::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A response body that gives its connection back when it is done with.
struct Leased {
    body: Incoming,
    sender: Option<Sender>,
    upstream: Arc<Upstream>,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.upstream.idle.lock().unwrap().extend(self.sender.take());
    }
}

impl Body for Leased {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
