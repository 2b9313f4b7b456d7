//! Treatment `intercept`: the tunnel is opened with a certificate of Egret's, and each request inside takes the journey of its own.
//!
//! What is inside is found by its first bytes: TLS, HTTP/2 by prior knowledge, or HTTP/1 in clear, as some clients send to port 80. The
//! client is offered HTTP/2 only where the origin speaks it.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_hello::looks_like_tls;
use super::client_io::{ClientIo, Coming};
use super::connect::Dialled;
use super::exchange::reach;
use super::generation::{Generation, Tenant};
use super::head::Tunnel;
use super::issuer::Offer;
use super::ledger::{Ledger, Outcome};
use super::listener::{self, H2_PREFACE};
use super::pool::{Key, Wanted};
use super::prefixed::Prefixed;
use super::reply::Refusal;
use super::tunnel::{alert, same_name};
use super::upstream::version_name;
use super::{Entrance, Handover, Inner};
use crate::audit::Tls;
use crate::policy::{Authority, DenyReason, Permit, Scheme, Target};

type Client = Prefixed<ClientIo>;

/// What a tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tls,
    Http2,
    Http1,
}

/// A tunnel that was permitted, and what is known of it.
struct Opened {
    authority: Authority,
    tenant: Arc<Tenant>,
    permit: Permit,
    ahead: Option<Dialled>,
}

/// Dials before 200 is answered, so that an origin that can't be reached refuses the CONNECT; not when a connection waits already.
pub(crate) async fn reach_ahead(
    generation: &Generation,
    permit: &Permit,
    tenant: &Tenant,
    authority: &Authority,
) -> Result<Option<Dialled>, Refusal> {
    let waits = [
        (Scheme::Https, Wanted::Http1),
        (Scheme::Https, Wanted::Http2),
        (Scheme::Http, Wanted::Http1),
    ]
    .into_iter()
    .any(|(scheme, wanted)| generation.pool.has(&key(tenant, authority, scheme, wanted)));
    if waits {
        return Ok(None);
    }
    reach(generation, permit).await.map(Some)
}

/// Serves the tunnel in a task of its own, once the client was told that it is open.
pub(crate) fn spawn(
    client: Coming,
    ahead: Option<Dialled>,
    authority: Authority,
    tenant: Arc<Tenant>,
    permit: Permit,
    mut ledger: Ledger,
    handover: Handover,
) {
    let opened = Opened {
        authority,
        tenant,
        permit,
        ahead,
    };
    tokio::spawn(async move {
        let outcome = match client.arrived().await {
            Some(client) => open(client, opened, &mut ledger, &handover).await,
            None => Err(DenyReason::ClientClosed),
        };
        match outcome {
            Ok(serving) => {
                drop(ledger.finish(&Outcome::Complete));
                serving.run(handover).await;
            }
            Err(DenyReason::ClientClosed) => drop(ledger.finish(&Outcome::Failed(DenyReason::ClientClosed))),
            Err(reason) => drop(ledger.finish(&Outcome::Refused(reason.into()))),
        }
    });
}

/// A tunnel that was looked into and is ready to be served.
enum Serving {
    Tls(Box<TlsStream<Client>>, Inner),
    Clear(Protocol, Client, Inner),
}

impl Serving {
    async fn run(self, handover: Handover) {
        match self {
            Self::Tls(stream, inner) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                listener::serve_http2(handover, Entrance::Tunnel(inner), *stream).await;
            }
            Self::Tls(stream, inner) => {
                listener::serve_http1(handover, Entrance::Tunnel(inner), *stream, bytes::Bytes::new()).await;
            }
            Self::Clear(Protocol::Http2, client, inner) => {
                listener::serve_http2(handover, Entrance::Tunnel(inner), client).await;
            }
            Self::Clear(_, client, inner) => {
                let (first, client) = client.into_parts();
                listener::serve_http1(handover, Entrance::Tunnel(inner), client, first).await;
            }
        }
    }
}

async fn open(
    mut client: Client,
    opened: Opened,
    ledger: &mut Ledger,
    handover: &Handover,
) -> Result<Serving, DenyReason> {
    match sniff(&mut client, handover).await? {
        Protocol::Tls => open_tls(client, opened, ledger, handover).await,
        protocol @ (Protocol::Http2 | Protocol::Http1) => {
            let key = key(&opened.tenant, &opened.authority, Scheme::Http, Wanted::Http1);
            if let Some(dialled) = opened.ahead {
                keep(&handover.generation, dialled, &key).await;
            }
            Ok(Serving::Clear(
                protocol,
                client,
                inner(&opened.tenant, &opened.authority, Scheme::Http, key),
            ))
        }
    }
}

/// Looks at the first bytes, as many as it takes to tell.
async fn sniff(client: &mut Client, handover: &Handover) -> Result<Protocol, DenyReason> {
    let limit = handover.generation.limits.client_hello_timeout;
    let peeked = client.peek(H2_PREFACE.len(), |bytes| {
        bytes.len() >= 2 && looks_like_tls(bytes) || !looks_like_tls(bytes) && !H2_PREFACE.starts_with(bytes)
    });
    match tokio::time::timeout(limit, peeked).await {
        Err(_elapsed) => return Err(DenyReason::LimitClientHelloTimeout),
        Ok(Err(_) | Ok(false)) => return Err(DenyReason::ClientClosed),
        Ok(Ok(true)) => {}
    }
    Ok(match client.peeked() {
        first if looks_like_tls(first) => Protocol::Tls,
        first if first.starts_with(H2_PREFACE) => Protocol::Http2,
        _ => Protocol::Http1,
    })
}

async fn open_tls(
    client: Client,
    mut opened: Opened,
    ledger: &mut Ledger,
    handover: &Handover,
) -> Result<Serving, DenyReason> {
    let limit = handover.generation.limits.client_hello_timeout;
    let accepting = LazyConfigAcceptor::new(Acceptor::default(), client);
    let mut start = match tokio::time::timeout(limit, accepting).await {
        Err(_elapsed) => return Err(DenyReason::LimitClientHelloTimeout),
        Ok(Err(error)) => return Err(hello_failure(&error)),
        Ok(Ok(start)) => start,
    };
    let hello = start.client_hello();
    let alpn: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
    let wanted = if alpn.contains(&&b"h2"[..]) {
        Wanted::Http2
    } else {
        Wanted::Http1
    };
    let named = same_name(hello.server_name(), opened.authority.host());
    ledger.hello(hello.server_name().map(|name| handover.generation.redacted(name)), None);
    if let Err(reason) = named {
        alert(&mut start.io).await;
        return Err(reason);
    }
    let key = key(&opened.tenant, &opened.authority, Scheme::Https, wanted);
    let offer = offer(&mut opened, &key, handover).await;
    let minted = || handover.proxy.metrics.certificate_minted();
    let config = handover
        .proxy
        .issuer
        .server_config(opened.authority.host(), offer, minted)
        .map_err(|error| {
            tracing::error!(%error, "no certificate could be made");
            DenyReason::UpstreamTlsFailed
        })?;
    let stream = match tokio::time::timeout(limit, start.into_stream(config)).await {
        Err(_elapsed) => return Err(DenyReason::LimitClientHelloTimeout),
        Ok(Err(error)) => return Err(hello_failure(&error)),
        Ok(Ok(stream)) => stream,
    };
    let tls = agreed(&stream);
    ledger.agreed(tls.clone());
    let inner = Inner {
        tls: Some(tls),
        ..inner(&opened.tenant, &opened.authority, Scheme::Https, key)
    };
    Ok(Serving::Tls(Box::new(stream), inner))
}

/// What the client is offered: HTTP/2 if it asks for it and the origin speaks it. The connection that tells is kept for the first
/// request. An origin that fails here fails again for that request, where the client can be told why.
async fn offer(opened: &mut Opened, key: &Arc<Key>, handover: &Handover) -> Offer {
    let generation = &handover.generation;
    if let Some(dialled) = opened.ahead.take() {
        keep(generation, dialled, key).await;
    } else if key.wanted == Wanted::Http2
        && !generation.pool.has(key)
        && let Ok(dialled) = reach(generation, &opened.permit).await
    {
        keep(generation, dialled, key).await;
    }
    match generation.pool.take(key) {
        Some(upstream) => {
            let offer = if key.wanted == Wanted::Http2 && upstream.speaks_http2() {
                Offer::Http2
            } else {
                Offer::Http1
            };
            generation.pool.put(upstream);
            offer
        }
        None => Offer::Http1,
    }
}

/// Makes a dialled socket a connection that waits.
async fn keep(generation: &Generation, dialled: Dialled, key: &Arc<Key>) {
    if let Ok(upstream) = generation.establish(dialled, Arc::clone(key)).await {
        generation.pool.put(upstream);
    }
}

/// What the client's handshake came to.
fn agreed(stream: &TlsStream<Client>) -> Tls<'static> {
    let (_, session) = stream.get_ref();
    Tls {
        sni: session.server_name().map(|name| Cow::Owned(name.to_owned())),
        version: session.protocol_version().map(version_name),
        alpn: session
            .alpn_protocol()
            .map(|alpn| Cow::Owned(String::from_utf8_lossy(alpn).into_owned())),
    }
}

fn hello_failure(error: &io::Error) -> DenyReason {
    let gone = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ];
    if gone.contains(&error.kind()) {
        DenyReason::ClientClosed
    } else {
        DenyReason::TlsNotTls
    }
}

fn key(tenant: &Tenant, authority: &Authority, scheme: Scheme, wanted: Wanted) -> Arc<Key> {
    Arc::new(Key {
        workload: Arc::clone(&tenant.workload.name),
        target: Target::new(scheme, authority.host().clone(), authority.port()),
        wanted,
    })
}

fn inner(tenant: &Tenant, authority: &Authority, scheme: Scheme, key: Arc<Key>) -> Inner {
    Inner {
        workload: Arc::clone(&tenant.workload.name),
        tunnel: Tunnel::new(authority.clone(), scheme),
        key,
        tls: None,
    }
}
