//! One connection to an origin and what is sent over it: TLS to the name that was allowed, then HTTP/1.1 or HTTP/2.
//!
//! A connection is made from a [`Dialled`] socket only. The name verified in the certificate is the permit's host (invariant 4).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::{self, Authority, PathAndQuery};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::body::RequestBody;
use super::connect::Dialled;
use super::pool::{Key, Wanted};
use crate::metrics::ConnectionGuard;
use crate::policy::{DenyReason, Host, Scheme, Target};

/// HTTP/2 towards origins: windows large enough for uploads over long paths, small enough to bound what is in flight.
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;
/// A dead HTTP/2 connection is noticed by unanswered pings.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How origins are verified: the system's roots and the configured ones, for the two ALPN offers.
#[derive(Debug, Clone)]
pub(crate) struct Verification {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Verification {
    /// Takes the system's roots, where they can be read, and `extra`.
    pub(crate) fn new(extra: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a system root could not be read");
        }
        roots.add_parsable_certificates(system.certs);
        for root in extra {
            roots.add(root)?;
        }
        if roots.is_empty() {
            tracing::warn!(
                "no root certificates: origins over TLS can't be verified; install ca-certificates or set upstream.roots"
            );
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = |protocols: &[&[u8]]| -> Result<Arc<ClientConfig>, rustls::Error> {
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            http1: config(&[b"http/1.1"])?,
            http2: config(&[b"h2", b"http/1.1"])?,
        })
    }

    fn config(&self, wanted: Wanted) -> Arc<ClientConfig> {
        Arc::clone(match wanted {
            Wanted::Http1 => &self.http1,
            Wanted::Http2 => &self.http2,
        })
    }
}

/// An open connection to an origin.
#[derive(Debug)]
pub(crate) struct Upstream {
    sender: Sender,
    key: Arc<Key>,
    /// The target as Host and `:authority` name it.
    authority: Authority,
    host: HeaderValue,
    address: SocketAddr,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1(_) => "Http1",
            Self::Http2(_) => "Http2",
        })
    }
}

/// A request that did not get an answer.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// Nothing of it was sent: it may be sent over another connection.
    Unsent(Box<Request<RequestBody>>),
    /// The origin may have seen it.
    Broken(hyper::Error),
}

impl Upstream {
    /// Speaks TLS, where the scheme asks for it, and HTTP over a dialled socket.
    pub(crate) async fn establish(
        dialled: Dialled,
        key: Arc<Key>,
        verification: &Verification,
        limit: Duration,
        guard: ConnectionGuard,
    ) -> Result<Self, DenyReason> {
        let address = dialled.address();
        let (authority, host) = written(&key.target).ok_or(DenyReason::NameInvalid)?;
        let sender = match key.target.scheme() {
            Scheme::Http => http1_sender(dialled.stream, guard).await?,
            Scheme::Https => {
                let stream = tokio::time::timeout(limit, secure(dialled, &key, verification, limit))
                    .await
                    .map_err(|_| DenyReason::UpstreamConnectTimeout)??;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    http2_sender(stream, guard).await?
                } else {
                    http1_sender(stream, guard).await?
                }
            }
        };
        Ok(Self {
            sender,
            key,
            authority,
            host,
            address,
        })
    }

    /// Sends one request and waits for the head of the response.
    pub(crate) async fn send(&mut self, mut request: Request<RequestBody>) -> Result<Response<Incoming>, SendFailure> {
        let failure = |error: TrySendError<Request<RequestBody>>| {
            let mut error = error;
            match error.take_message() {
                Some(request) => SendFailure::Unsent(Box::new(request)),
                None => SendFailure::Broken(error.into_error()),
            }
        };
        match &mut self.sender {
            Sender::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(SendFailure::Unsent(Box::new(request)));
                }
                *request.version_mut() = Version::HTTP_11;
                *request.uri_mut() = Uri::from(path_of(&request));
                request.headers_mut().insert(HOST, self.host.clone());
                sender.try_send_request(request).await.map_err(failure)
            }
            Sender::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(SendFailure::Unsent(Box::new(request)));
                }
                *request.version_mut() = Version::HTTP_2;
                let mut uri = uri::Parts::default();
                uri.scheme = Some(if self.key.target.scheme() == Scheme::Https {
                    uri::Scheme::HTTPS
                } else {
                    uri::Scheme::HTTP
                });
                uri.authority = Some(self.authority.clone());
                uri.path_and_query = Some(path_of(&request));
                // All three parts are there, which is all that is asked for.
                *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
                request.headers_mut().remove(HOST);
                sender.try_send_request(request).await.map_err(failure)
            }
        }
    }

    /// Another handle to the same connection, when it carries many requests at once.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                key: Arc::clone(&self.key),
                address: self.address,
                authority: self.authority.clone(),
                host: self.host.clone(),
            }),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    pub(crate) fn key(&self) -> Arc<Key> {
        Arc::clone(&self.key)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn path_of(request: &Request<RequestBody>) -> PathAndQuery {
    request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// The target as it is written in Host and `:authority`: without the port that its scheme has anyway.
fn written(target: &Target) -> Option<(Authority, HeaderValue)> {
    let text = if target.port() == target.scheme().default_port() {
        target.host().to_string()
    } else {
        target.authority().to_string()
    };
    Some((
        Authority::try_from(text.as_str()).ok()?,
        HeaderValue::try_from(text).ok()?,
    ))
}

/// Speaks TLS to the origin. One that knows no HTTP/1.1 is dialled again, at the same vetted address, and offered HTTP/2 as well.
async fn secure(
    dialled: Dialled,
    key: &Key,
    verification: &Verification,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, DenyReason> {
    let host = key.target.host();
    let again = dialled.again(limit);
    match handshake(dialled.stream, host, verification.config(key.wanted)).await {
        Ok(stream) => Ok(stream),
        Err(error) if key.wanted == Wanted::Http1 && speaks_http2_only(&error) => {
            let dialled = again.await?;
            handshake(dialled.stream, host, verification.config(Wanted::Http2))
                .await
                .map_err(|error| tls_failure(&error))
        }
        Err(error) => Err(tls_failure(&error)),
    }
}

/// Whether the origin refused every protocol it was offered (RFC 7301 §3.2).
fn speaks_http2_only(error: &io::Error) -> bool {
    matches!(
        tls_error(error),
        Some(rustls::Error::AlertReceived(
            rustls::AlertDescription::NoApplicationProtocol
        ))
    )
}

async fn handshake(stream: TcpStream, host: &Host, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(io::Error::other)?,
        Host::Address(address) => ServerName::from(*address),
    };
    TlsConnector::from(config).connect(name, stream).await
}

/// Tells a certificate that does not hold from a handshake that failed otherwise.
fn tls_failure(error: &io::Error) -> DenyReason {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            DenyReason::UpstreamCertificateInvalid
        }
        _ => DenyReason::UpstreamTlsFailed,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// The usual name of a TLS version; no third one is spoken.
pub(crate) fn version_name(version: rustls::ProtocolVersion) -> &'static str {
    if version == rustls::ProtocolVersion::TLSv1_3 {
        "1.3"
    } else {
        "1.2"
    }
}

async fn http1_sender<T>(io: T, guard: ConnectionGuard) -> Result<Sender, DenyReason>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| DenyReason::UpstreamProtocol)?;
    tokio::spawn(async move {
        let _open = guard;
        // How the connection ended shows in the exchange that was under way, if any was.
        connection.with_upgrades().await.ok();
    });
    Ok(Sender::Http1(sender))
}

async fn http2_sender<T>(io: T, guard: ConnectionGuard) -> Result<Sender, DenyReason>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| DenyReason::UpstreamProtocol)?;
    tokio::spawn(async move {
        let _open = guard;
        connection.await.ok();
    });
    Ok(Sender::Http2(sender))
}
