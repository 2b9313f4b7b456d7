//! TLS between a client and the proxy itself (`proxy.tls`): the handshake, the protocol chosen by ALPN, and who the client's certificate says
//! it is.
//!
//! Inside stand requests to the proxy, as on the listener without TLS; SOCKS5 is not among them. What is in a tunnel is `intercept`'s affair.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::generation::Generation;
use super::listener::{draining, record_refusal, serve_http1, serve_http2};
use super::prefixed::Prefixed;
use super::reply::Refusal;
use super::upstream::version_name;
use super::{Connection, Entrance, Handover, Outer};
use crate::audit::Tls;
use crate::identity::CertificateNames;
use crate::metrics::ConnectionKind;
use crate::policy::DenyReason;

type Stream = TlsStream<Prefixed<TcpStream>>;

/// Shakes hands with a client, and serves it.
pub(crate) async fn welcome(handover: Handover, stream: TcpStream) {
    let _counted = handover.proxy.metrics.connection(ConnectionKind::Client);
    stream.set_nodelay(true).ok();
    let Some(config) = handover.generation.tls.clone() else {
        // A reload took the certificate away; the listener goes with a restart only.
        return refuse(handover, DenyReason::TlsHandshakeFailed).await;
    };
    let mut drain = handover.proxy.drain.subscribe();
    let shaken = tokio::select! {
        shaken = shake_hands(&handover, config, stream) => shaken,
        () = draining(&mut drain) => return,
    };
    match shaken {
        Ok(stream) => serve(handover, stream).await,
        Err(None) => {}
        Err(Some(reason)) => refuse(handover, reason).await,
    }
}

/// Records a refusal; what there is to be told, TLS has told by its alert.
async fn refuse(handover: Handover, reason: DenyReason) {
    let connection = Connection::new(handover, Entrance::Listener(None), None);
    record_refusal(&connection, Refusal::new(reason)).await;
}

async fn serve(handover: Handover, stream: Stream) {
    let entrance = Entrance::Listener(Some(Box::new(outer(&stream, &handover.generation))));
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(handover, entrance, stream).await;
    } else {
        serve_http1(handover, entrance, stream, Bytes::new()).await;
    }
}

/// The handshake; why it was refused, or no reason where it was the client that left.
async fn shake_hands(
    handover: &Handover,
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> Result<Stream, Option<DenyReason>> {
    let limits = &handover.generation.limits;
    let mut stream = Prefixed::new(Bytes::new(), stream);
    // Until the first byte it is a connection that idles, as without TLS.
    if !matches!(
        tokio::time::timeout(limits.idle_timeout, stream.peek(1, |_| true)).await,
        Ok(Ok(true))
    ) {
        return Err(None);
    }
    let accepting = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(limits.client_hello_timeout, accepting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_elapsed) => Err(Some(DenyReason::LimitClientHelloTimeout)),
    }
}

/// Whose doing a failed handshake is: none of Egret's when the client left, or refused what it was shown.
fn refusal(error: &io::Error) -> Option<DenyReason> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    if matches!(cause, rustls::Error::AlertReceived(_)) {
        return None;
    }
    Some(if matches!(cause, rustls::Error::InvalidCertificate(_)) {
        DenyReason::WorkloadCertificateInvalid
    } else {
        DenyReason::TlsHandshakeFailed
    })
}

/// What the handshake came to.
fn outer(stream: &Stream, generation: &Generation) -> Outer {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    Outer {
        tls: Tls {
            // The client's word, on its way into the trail.
            sni: session.server_name().map(|name| Cow::Owned(generation.redacted(name))),
            version: session.protocol_version().map(version_name),
            alpn: session
                .alpn_protocol()
                .map(|alpn| Cow::Owned(String::from_utf8_lossy(alpn).into_owned())),
        },
        certificate: certificate.map(CertificateNames::of).unwrap_or_default(),
    }
}
