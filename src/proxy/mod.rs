//! The data plane: sockets in, sockets out, and between them the journey of a request.
//!
//! | file | step |
//! |---|---|
//! | `listener`, `places`, `client_tls` | accept: bounded; HTTP/1, HTTP/2 or SOCKS5 by the first bytes; TLS on a listener of its own |
//! | `socks5`, `socks5_client` | the messages of SOCKS5; the client that speaks it |
//! | `transparent` | what a packet filter redirects: by server name or Host |
//! | `wire`, `checked_io` | the bytes of HTTP/1 heads and chunks, before hyper sees them |
//! | `exchange` | the order of the steps |
//! | `head` | read the head |
//! | `resolve`, `connect` | the one look-up, the one dial |
//! | `tunnel`, `client_hello`, `relay` | treatment `tunnel` |
//! | `intercept`, `issuer` | treatment `intercept` |
//! | `surface`, `signed`, `scrub`, `coded`, `coding`, `outgoing`, `body`, `websocket` | what leaves, redacted and counted |
//! | `fields`, `upstream`, `pool` | send |
//! | `dns` | the workloads' own DNS queries: decide, resolve, vet, record; nothing is dialled |
//! | `ledger`, `reply` | record and answer |
//! | `generation` | one configuration at work |
//!
//! It decides nothing itself: [`crate::policy`] does. It reads no configuration files.

mod body;
mod checked_io;
mod client_hello;
mod client_io;
mod client_tls;
mod coded;
mod coding;
mod connect;
pub mod dns;
mod exchange;
mod fields;
mod generation;
mod head;
mod intercept;
pub mod issuer;
mod ledger;
mod listener;
mod outgoing;
mod own;
mod places;
mod pool;
mod prefixed;
mod reader;
mod relay;
mod reply;
mod resolve;
mod scrub;
mod signed;
mod silence;
pub mod socks5;
mod socks5_client;
mod surface;
mod transparent;
mod tunnel;
mod upstream;
mod websocket;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Method;
use time::OffsetDateTime;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

pub use self::generation::GenerationError;

use self::checked_io::Inspection;
use self::dns::Budget;
use self::generation::Generation;
use self::head::Tunnel;
use self::issuer::Issuer;
use self::ledger::{Ledger, Outcome};
use self::listener::Door;
use self::places::{Place, Places};
use self::pool::Key;
use self::reply::Refusal;
use self::wire::Fault;
use crate::audit::recent::Recent;
use crate::audit::{ExchangeId, Form, Slot, Tls, Trail};
use crate::config::Config;
use crate::identity::{CertificateNames, Identified};
use crate::metrics::{ConnectionGuard, ConnectionKind, Metrics, WorkloadMetrics};
use crate::policy::DenyReason;

/// The proxy: what all its connections share.
#[derive(Debug)]
pub struct Proxy {
    generation: ArcSwap<Generation>,
    trail: Trail,
    metrics: Metrics,
    /// Counts for those who match no workload.
    nobody: Arc<WorkloadMetrics>,
    /// The DNS queries of those who match no workload.
    strangers: Budget,
    issuer: Issuer,
    recent: Recent,
    /// Where Egret itself listens.
    listeners: Vec<SocketAddr>,
    places: Places,
    drain: watch::Sender<bool>,
    /// Tells exchanges of this process from those of others and of each other.
    identity: u128,
    exchanges: AtomicU64,
}

impl Proxy {
    /// Puts a configuration to work. Must be called within the runtime.
    pub fn new(
        config: Config,
        issuer: Issuer,
        trail: Trail,
        metrics: Metrics,
        recent: Recent,
        listeners: Vec<SocketAddr>,
    ) -> Result<Arc<Self>, GenerationError> {
        metrics.client_connections_limit(config.limits.connections);
        let mut identity = [0; 16];
        // Only a name, not a secret: a process without random numbers still has its counter.
        aws_lc_rs::rand::fill(&mut identity).ok();
        Ok(Arc::new(Self {
            generation: ArcSwap::new(Generation::new(config, &metrics, &listeners)?),
            trail,
            nobody: metrics.workload("", []),
            strangers: Budget::default(),
            metrics,
            issuer,
            recent,
            listeners,
            places: Places::default(),
            drain: watch::Sender::new(false),
            identity: u128::from_le_bytes(identity),
            exchanges: AtomicU64::new(0),
        }))
    }

    /// Takes another configuration; exchanges under way keep theirs, new ones get this one.
    pub fn reload(&self, config: Config) -> Result<(), GenerationError> {
        let connections = config.limits.connections;
        self.generation
            .store(Generation::new(config, &self.metrics, &self.listeners)?);
        self.metrics.client_connections_limit(connections);
        Ok(())
    }

    /// Accepts clients until [`Proxy::drain`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        listener::accept(self, listener, Door::Clear).await;
    }

    /// Accepts clients that speak TLS to the proxy itself, until [`Proxy::drain`].
    pub async fn serve_tls(self: Arc<Self>, listener: TcpListener) {
        listener::accept(self, listener, Door::Tls).await;
    }

    /// Accepts connections that a packet filter redirects here, until [`Proxy::drain`].
    pub async fn serve_redirected(self: Arc<Self>, listener: TcpListener) {
        listener::accept(self, listener, Door::Transparent).await;
    }

    /// Answers the workloads' DNS queries until [`Proxy::drain`].
    pub async fn serve_dns(self: Arc<Self>, datagrams: UdpSocket, connections: TcpListener) {
        dns::serve(self, datagrams, connections).await;
    }

    /// Accepts no more, lets what is under way end, and tells whether all ended within `limit`.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.drain.send_replace(true);
        tokio::time::timeout(limit, self.places.emptied()).await.is_ok()
    }

    fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// A place in the trail, without which no exchange begins.
    fn reserve(&self) -> Result<Slot, DenyReason> {
        self.trail.reserve().map_err(|_| {
            if self.trail.writable() {
                DenyReason::LimitExchanges
            } else {
                DenyReason::AuditUnwritable
            }
        })
    }

    /// A name for an exchange that begins now.
    fn name_exchange(&self, now: OffsetDateTime) -> ExchangeId {
        let count = self.exchanges.fetch_add(1, Ordering::Relaxed);
        ExchangeId::new(now, self.identity ^ u128::from(count))
    }
}

/// One client's connection, or the inside of one tunnel.
#[derive(Debug)]
struct Connection {
    proxy: Arc<Proxy>,
    peer: SocketAddr,
    entrance: Entrance,
    inspection: Option<Arc<Inspection>>,
    place: Option<Arc<Place>>,
}

/// How requests come in on a connection.
#[derive(Debug)]
enum Entrance {
    /// To the proxy itself, in clear or in TLS.
    Listener(Option<Box<Outer>>),
    /// By SOCKS5, from a client of the workload of that name; its policy is that of the day.
    Socks5(Option<Arc<str>>),
    /// Redirected here on its way to this port of some address, which says nothing and is never dialled.
    Redirected {
        /// The port.
        port: u16,
    },
    /// Inside a tunnel that was opened.
    Tunnel(Inner),
}

/// What the TLS of a client with the proxy itself came to.
#[derive(Debug)]
struct Outer {
    tls: Tls<'static>,
    /// Of the certificate that the client showed.
    certificate: CertificateNames,
}

/// What the requests inside a tunnel share.
#[derive(Debug)]
struct Inner {
    /// The name of the workload that opened it; its policy is that of the day.
    workload: Arc<str>,
    tunnel: Tunnel,
    key: Arc<Key>,
    /// What the client's TLS said and agreed on; none in clear.
    tls: Option<Tls<'static>>,
}

/// What a task needs that carries an exchange on after its reply.
#[derive(Debug, Clone)]
struct Handover {
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    peer: SocketAddr,
    place: Arc<Place>,
}

impl Handover {
    fn tunnel_guard(&self) -> ConnectionGuard {
        self.proxy.metrics.connection(ConnectionKind::Tunnel)
    }
}

/// Counts an exchange as under way on its connection.
#[derive(Debug)]
struct UnderWay(Option<Arc<Inspection>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(inspection) = &self.0 {
            inspection.exchange_ended();
        }
    }
}

impl Connection {
    fn new(handover: Handover, entrance: Entrance, inspection: Option<Arc<Inspection>>) -> Self {
        Self {
            proxy: handover.proxy,
            peer: handover.peer,
            entrance,
            inspection,
            place: Some(handover.place),
        }
    }

    /// A connection that gets no place, or the sender of a datagram.
    fn refused(proxy: Arc<Proxy>, peer: SocketAddr) -> Self {
        Self {
            proxy,
            peer,
            entrance: Entrance::Listener(None),
            inspection: None,
            place: None,
        }
    }

    fn form(&self, method: &Method) -> Form {
        match &self.entrance {
            Entrance::Tunnel(_) => Form::Intercepted,
            Entrance::Socks5(_) => Form::Socks5,
            Entrance::Redirected { .. } => Form::Transparent,
            Entrance::Listener(_) if *method == Method::CONNECT => Form::Connect,
            Entrance::Listener(_) => Form::Absolute,
        }
    }

    /// The TLS that the client's requests come in.
    fn tls(&self) -> Option<Tls<'static>> {
        match &self.entrance {
            Entrance::Tunnel(inner) => inner.tls.clone(),
            Entrance::Listener(outer) => outer.as_ref().map(|outer| outer.tls.clone()),
            Entrance::Socks5(_) | Entrance::Redirected { .. } => None,
        }
    }

    /// What the certificate says that the client showed to the proxy itself.
    fn certificate(&self) -> Option<&CertificateNames> {
        match &self.entrance {
            Entrance::Listener(outer) => outer.as_ref().map(|outer| &outer.certificate),
            Entrance::Socks5(_) | Entrance::Redirected { .. } | Entrance::Tunnel(_) => None,
        }
    }

    fn exchange(&self) -> UnderWay {
        if let Some(inspection) = &self.inspection {
            inspection.exchange_began();
        }
        UnderWay(self.inspection.clone())
    }

    /// Why its bytes were refused, if they were.
    fn fault(&self) -> Option<Fault> {
        self.inspection.as_ref().and_then(|inspection| inspection.fault())
    }

    /// Names the workload in the record of a request that could not be read.
    fn identify_by_address(&self, ledger: &mut Ledger) {
        let generation = self.proxy.generation();
        let name = match &self.entrance {
            Entrance::Tunnel(inner) => Some(Arc::clone(&inner.workload)),
            Entrance::Socks5(Some(workload)) => Some(Arc::clone(workload)),
            Entrance::Listener(_) | Entrance::Socks5(None) | Entrance::Redirected { .. } => {
                match generation.workloads.identify(self.peer.ip(), None, self.certificate()) {
                    Identified::Workload(workload) => Some(Arc::clone(&workload.name)),
                    Identified::CredentialRequired | Identified::CredentialWrong | Identified::Unknown => None,
                }
            }
        };
        if let Some(tenant) = name.and_then(|name| generation.tenant(&name)) {
            ledger.identified(&tenant);
        }
    }

    /// Records a refusal and shows it on the console. Gives the refusal to answer with, which is another when no record can be written,
    /// and the exchange's name.
    async fn refuse(&self, ledger: Ledger, refusal: Refusal) -> (Refusal, String) {
        let id = ledger.id();
        let hint = refusal
            .hint_text()
            .map(|hint| self.proxy.generation().redacted(hint))
            .unwrap_or_default();
        if let Some(shown) = ledger.refusal(&refusal, hint) {
            self.proxy.recent.push(shown);
        }
        let outcome = Outcome::Refused(refusal);
        let recorded = ledger.finish(&outcome).await;
        match (recorded, outcome) {
            (Ok(()), Outcome::Refused(refusal)) => (refusal, id),
            _ => (DenyReason::AuditUnwritable.into(), id),
        }
    }

    fn handover(&self, generation: &Arc<Generation>) -> Option<Handover> {
        Some(Handover {
            proxy: Arc::clone(&self.proxy),
            generation: Arc::clone(generation),
            peer: self.peer,
            place: Arc::clone(self.place.as_ref()?),
        })
    }
}
