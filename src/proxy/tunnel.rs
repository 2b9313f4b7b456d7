//! Treatment `tunnel`: the bytes pass unread, once the `ClientHello` has shown that they go where the CONNECT said.
//!
//! For origins that pin certificates or ask for the client's. Nothing inside is redacted; who writes such a rule knows that.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Handover;
use super::client_hello::{self, ClientHello, MAX_CLIENT_HELLO};
use super::client_io::Coming;
use super::connect::Dialled;
use super::ledger::{Ledger, Outcome};
use super::prefixed::Prefixed;
use super::relay::{End, relay};
use crate::policy::{Authority, DenyReason, Host};

/// A fatal alert `unrecognized_name` (RFC 6066 §3), in a record of its own: what a TLS client can show of a refusal.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Carries the tunnel on in a task of its own, once the client was told that it is open.
pub(crate) fn spawn(client: Coming, dialled: Dialled, authority: Authority, mut ledger: Ledger, handover: Handover) {
    tokio::spawn(async move {
        let outcome = run(client, dialled, &authority, &mut ledger, &handover).await;
        drop(ledger.finish(&outcome));
    });
}

async fn run(
    client: Coming,
    dialled: Dialled,
    authority: &Authority,
    ledger: &mut Ledger,
    handover: &Handover,
) -> Outcome {
    let Some(mut client) = client.arrived().await else {
        return Outcome::Failed(DenyReason::ClientClosed);
    };
    let _active = handover.tunnel_guard();
    let hello = match first_hello(&mut client, handover).await {
        Ok(hello) => hello,
        Err(reason) => return refuse(&mut client, reason).await,
    };
    let redacted = |text: &String| handover.generation.redacted(text);
    ledger.hello(
        hello.server_name.as_ref().map(redacted),
        hello.alpn.as_ref().map(redacted),
    );
    if let Err(reason) = check(&hello, authority.host()) {
        return refuse(&mut client, reason).await;
    }
    let mut origin = dialled.stream;
    let limit = handover.generation.limits.tunnel_idle_timeout;
    match relay(&mut client, &mut origin, limit, ledger.moved()).await {
        End::Closed => Outcome::Complete,
        End::Silent => Outcome::Failed(DenyReason::LimitIdle),
        End::Broken => Outcome::Failed(DenyReason::UpstreamClosed),
    }
}

/// Reads until the hello is whole, or can't become one.
pub(crate) async fn first_hello<T: AsyncRead + Unpin>(
    client: &mut Prefixed<T>,
    handover: &Handover,
) -> Result<ClientHello, DenyReason> {
    let limit = handover.generation.limits.client_hello_timeout;
    let mut parsed = Ok(None);
    let peeked = client.peek(MAX_CLIENT_HELLO, |bytes| {
        parsed = client_hello::parse(bytes);
        !matches!(parsed, Ok(None))
    });
    match tokio::time::timeout(limit, peeked).await {
        Err(_elapsed) => Err(DenyReason::LimitClientHelloTimeout),
        Ok(Err(_)) => Err(DenyReason::ClientClosed),
        Ok(Ok(whole)) => match parsed? {
            Some(hello) => Ok(hello),
            None if whole => Err(DenyReason::TlsClientHelloTooLarge),
            None => Err(DenyReason::ClientClosed),
        },
    }
}

/// One name, in clear, and the one that was allowed (invariant 4).
fn check(hello: &ClientHello, host: &Host) -> Result<(), DenyReason> {
    if hello.encrypted {
        return Err(DenyReason::TlsEch);
    }
    same_name(hello.server_name.as_deref(), host)
}

/// Whether a server name is the host's; an address has none (RFC 6066 §3).
pub(crate) fn same_name(server_name: Option<&str>, host: &Host) -> Result<(), DenyReason> {
    let agrees = match (server_name, host) {
        (None, Host::Address(_)) => true,
        (None, Host::Name(_)) => false,
        (Some(name), host) => Host::parse(name).is_ok_and(|name| name == *host),
    };
    if agrees {
        Ok(())
    } else {
        Err(DenyReason::NameSniMismatch)
    }
}

async fn refuse<T: AsyncWrite + Unpin>(client: &mut T, reason: DenyReason) -> Outcome {
    if matches!(reason, DenyReason::NameSniMismatch | DenyReason::TlsEch) {
        alert(client).await;
    }
    Outcome::Refused(reason.into())
}

/// Tells a TLS client that its name is not served; whether it listens is its own affair.
pub(crate) async fn alert<T: AsyncWrite + Unpin>(client: &mut T) {
    if client.write_all(&UNRECOGNIZED_NAME).await.is_ok() {
        client.shutdown().await.ok();
    }
}
