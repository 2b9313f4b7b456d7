//! Clients that speak SOCKS5 (RFC 1928) with user name and password (RFC 1929) on the proxy's own listener, told apart by their first byte.
//!
//! A request to CONNECT takes the journey of an HTTP CONNECT, from [`exchange`] on. BIND and UDP ASSOCIATE are refused, and GSSAPI is not
//! offered. A connection carries one request: whatever its fate, nothing behind it is read as another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::client_io::{ClientIo, Coming};
use super::listener::{draining, farewell, record_refusal};
use super::prefixed::Prefixed;
use super::reply::Refusal;
use super::socks5::{self, Failure, Fault, Greeting, Reading, Request, Selection};
use super::{Connection, Entrance, Handover, exchange};
use crate::identity::{Identified, Shown};
use crate::policy::DenyReason;

/// Serves a client of which `first` was read already.
pub(crate) async fn serve(handover: Handover, stream: TcpStream, first: Bytes) {
    let mut drain = handover.proxy.drain.subscribe();
    let limit = handover.generation.limits.head_timeout;
    let mut negotiation = Negotiation {
        stream,
        unread: BytesMut::from(first),
        stage: Stage::Greeting,
        workload: None,
    };
    let ended = tokio::select! {
        ended = negotiation.run(&handover, limit) => ended,
        // Nothing was asked for yet.
        () = draining(&mut drain) => return,
    };
    match ended {
        Ok(request) => negotiation.carry_out(handover, request).await,
        Err(Ended::Refused(refusal)) => negotiation.refuse(handover, refusal).await,
        Err(Ended::AddressType(refusal)) => {
            negotiation.stage = Stage::Address;
            negotiation.refuse(handover, refusal).await;
        }
        Err(Ended::Gone) => {}
    }
}

/// How a negotiation ended without a request.
enum Ended {
    Refused(Refusal),
    /// The same, with a reply code of its own.
    AddressType(Refusal),
    /// Nobody is left to be told.
    Gone,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<DenyReason> for Ended {
    fn from(reason: DenyReason) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::AddressType => Self::AddressType(
                Refusal::new(DenyReason::RequestUnsupported)
                    .detail("SOCKS5 knows IPv4 addresses, domain names and IPv6 addresses"),
            ),
            Fault::Version | Fault::Reserved => {
                Self::Refused(Refusal::new(DenyReason::RequestMalformed).detail(fault.to_string()))
            }
        }
    }
}

/// What the client waits for an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Credentials,
    Request,
    /// A request whose address can't be read.
    Address,
}

impl Stage {
    /// How a refusal is told.
    fn refusal(self, reason: DenyReason) -> Vec<u8> {
        match self {
            Self::Greeting => Selection::NoAcceptableMethods.bytes().to_vec(),
            Self::Credentials => socks5::NOT_AUTHENTICATED.to_vec(),
            Self::Address if reason == DenyReason::RequestUnsupported => Failure::AddressTypeNotSupported.reply(reason),
            Self::Request | Self::Address => Failure::of(reason).reply(reason),
        }
    }
}

/// A client until its request is whole.
struct Negotiation {
    stream: TcpStream,
    /// Bounded by [`socks5::MAX_MESSAGE`] and one read: each reader decides by then.
    unread: BytesMut,
    stage: Stage,
    /// Known once it was authenticated; none for nobody's client, whose request is refused once it has said where it wants to go.
    workload: Option<Arc<str>>,
}

impl Negotiation {
    /// Greeting, credentials and request, all within `limit`, which is on the whole as on a head's.
    async fn run(&mut self, handover: &Handover, limit: Duration) -> Result<Request, Ended> {
        let negotiated = async {
            let greeting = self.message(socks5::greeting).await?;
            self.workload = self.authenticate(greeting, handover).await?;
            self.stage = Stage::Request;
            self.message(socks5::request).await
        };
        match tokio::time::timeout(limit, negotiated).await {
            Ok(ended) => ended,
            Err(_elapsed) => Err(DenyReason::LimitHeadTimeout.into()),
        }
    }

    /// Who asks. A client that can show a credential is asked for it, as an HTTP client sends it unasked: the first workload that
    /// matches is the same.
    async fn authenticate(&mut self, greeting: Greeting, handover: &Handover) -> Result<Option<Arc<str>>, Ended> {
        if greeting.username_password {
            self.stream.write_all(&Selection::UsernamePassword.bytes()).await?;
            self.stage = Stage::Credentials;
            let credentials = self.message(socks5::credentials).await?;
            let shown = Shown::Password {
                user: &credentials.user,
                password: &credentials.password,
            };
            let workload = identify(handover, Some(shown))?;
            self.stream.write_all(&socks5::AUTHENTICATED).await?;
            return Ok(workload);
        }
        if !greeting.no_authentication {
            let refusal = Refusal::new(DenyReason::RequestUnsupported)
                .detail("of SOCKS5's methods Egret knows X'00' (no authentication) and X'02' (user name and password)");
            return Err(Ended::Refused(refusal));
        }
        let workload = identify(handover, None)?;
        self.stream.write_all(&Selection::NoAuthentication.bytes()).await?;
        Ok(workload)
    }

    /// Reads until the message is whole, and no further than what came with it.
    async fn message<T>(&mut self, read: fn(&[u8]) -> Reading<T>) -> Result<T, Ended> {
        loop {
            if let Some((message, length)) = read(&self.unread)? {
                self.unread.advance(length);
                return Ok(message);
            }
            self.unread.reserve(socks5::MAX_MESSAGE);
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                let refusal = Refusal::new(DenyReason::RequestMalformed)
                    .detail("the connection ended in the middle of a SOCKS5 message");
                return Err(Ended::Refused(refusal));
            }
        }
    }

    /// Takes the request on its journey; what came behind it belongs to the tunnel, or to nobody.
    async fn carry_out(mut self, handover: Handover, request: Request) {
        let connection = Connection::new(handover, Entrance::Socks5(self.workload), None);
        let (told, coming) = oneshot::channel();
        match exchange::serve_socks5(Arc::new(connection), request, Coming::Told(coming)).await {
            Ok(()) => {
                // A client that is gone by now is missed by the tunnel, which has the record to write.
                if self.stream.write_all(&socks5::SUCCEEDED).await.is_ok() {
                    let client = Prefixed::new(self.unread.freeze(), ClientIo::Socket(self.stream));
                    told.send(client).ok();
                }
            }
            Err(reason) => farewell(self.stream, &Stage::Request.refusal(reason)).await,
        }
    }

    /// Records a refusal, tells it and closes.
    async fn refuse(self, handover: Handover, refusal: Refusal) {
        let connection = Connection::new(handover, Entrance::Socks5(self.workload), None);
        let (refusal, _) = record_refusal(&connection, refusal).await;
        farewell(self.stream, &self.stage.refusal(refusal.reason())).await;
    }
}

/// The workload's name; none for nobody's client.
fn identify(handover: &Handover, shown: Option<Shown<'_>>) -> Result<Option<Arc<str>>, DenyReason> {
    let workloads = &handover.proxy.generation().workloads;
    match workloads.identify(handover.peer.ip(), shown, None) {
        Identified::Workload(workload) => Ok(Some(Arc::clone(&workload.name))),
        Identified::Unknown => Ok(None),
        Identified::CredentialRequired => Err(DenyReason::WorkloadCredentialRequired),
        Identified::CredentialWrong => Err(DenyReason::WorkloadCredentialWrong),
    }
}
