//! The DNS listener: workloads ask it for names, over UDP and TCP, and learn of those that they may reach; the journey of a query is that of
//! a request up to its vetted addresses.
//!
//! A name that policy refuses is never passed on, whatever the type: DNS would carry anything out in the labels of a name, and anything
//! in by a TXT record. For an allowed name only A and AAAA are answered, with its vetted addresses or with the configured ones.
//!
//! A denied name does not exist (NXDOMAIN) rather than being REFUSED. That is final for every stub resolver. On REFUSED glibc goes
//! on to the next server of `resolv.conf`, which may be one that forwards the name, asks each twice, and reports a temporary failure,
//! which programs retry; musl takes no notice of it, so the client waits out its five seconds. Without an SOA record nobody
//! caches the answer (RFC 2308 §5), so that a changed allowlist counts at once and a name below a denied one stays
//! reachable (RFC 8020). REFUSED is left for clients that get no service at all: no workload, or too many queries.

mod budget;
pub mod message;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) use self::budget::Budget;

use self::budget::Spent;
use self::message::{Answer, Code, Fault, MAX_QUERY, Query, Transport};
use crate::audit::record::{Form, Question};
use crate::config::DnsAnswer;
use crate::identity::Identified;
use crate::metrics::{ConnectionKind, LookupResult};
use crate::policy::{Authority, Decision, DenyReason, DnsName, Scheme};
use crate::proxy::generation::{Generation, Tenant};
use crate::proxy::ledger::{Ledger, Outcome};
use crate::proxy::listener::{ACCEPT_PAUSE, draining, record_turned_away};
use crate::proxy::reply::Refusal;
use crate::proxy::{Connection, Proxy, surface};

/// How long a client may keep an address: long enough for one task, short enough to notice a move. Egret's own dials don't rely on it.
const TTL: u32 = 30;
/// The length of the longest query, and one byte to see that one is longer.
const BUFFER: usize = MAX_QUERY + 1;

/// Extended errors (RFC 8914 §4).
const OTHER: u16 = 0;
const BLOCKED: u16 = 15;
const PROHIBITED: u16 = 18;

/// Answers queries until draining begins.
pub(crate) async fn serve(proxy: Arc<Proxy>, datagrams: UdpSocket, connections: TcpListener) {
    tokio::join!(
        serve_datagrams(Arc::clone(&proxy), Arc::new(datagrams)),
        serve_connections(proxy, connections)
    );
}

async fn serve_datagrams(proxy: Arc<Proxy>, socket: Arc<UdpSocket>) {
    let mut drain = proxy.drain.subscribe();
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = draining(&mut drain) => return,
        };
        match received {
            Ok((length, peer)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                take_datagram(&proxy, &socket, bytes, peer);
            }
            // An earlier reply met a closed port; the socket itself is well.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::warn!(%error, "a DNS query could not be received");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn take_datagram(proxy: &Arc<Proxy>, socket: &Arc<UdpSocket>, bytes: &[u8], peer: SocketAddr) {
    match Lookup::begin(proxy, peer, bytes, Transport::Datagram) {
        Begun::Nothing => {}
        // A client that can't take its reply now asks again.
        Begun::Refused(reply) => drop(socket.try_send_to(&reply, peer)),
        // As many tasks as there are places in the trail.
        Begun::Lookup(lookup) => {
            let socket = Arc::clone(socket);
            tokio::spawn(async move {
                if let Some(reply) = lookup.run().await {
                    socket.send_to(&reply, peer).await.ok();
                }
            });
        }
    }
}

async fn serve_connections(proxy: Arc<Proxy>, listener: TcpListener) {
    let mut drain = proxy.drain.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining(&mut drain) => return,
        };
        match accepted {
            Ok((stream, peer)) => welcome(&proxy, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Gives a client its place among all connections, or closes its own.
fn welcome(proxy: &Arc<Proxy>, stream: TcpStream, peer: SocketAddr) {
    let generation = proxy.generation();
    match proxy.places.take(peer.ip(), &generation.limits) {
        Ok(place) => {
            let proxy = Arc::clone(proxy);
            tokio::spawn(async move {
                let _place = place;
                let _counted = proxy.metrics.connection(ConnectionKind::Client);
                // Nothing to say to a client that broke off, or was silent for too long.
                serve_stream(&proxy, stream, peer, generation.limits.dns_idle_timeout)
                    .await
                    .ok();
            });
        }
        Err(reason) => {
            record_turned_away(proxy, peer, reason, Form::Dns);
        }
    }
}

/// One query after the other, each behind its length (RFC 7766 §8). A client that sends many at once waits for as many answers.
async fn serve_stream(proxy: &Arc<Proxy>, mut stream: TcpStream, peer: SocketAddr, idle: Duration) -> io::Result<()> {
    let mut drain = proxy.drain.subscribe();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = tokio::select! {
            length = tokio::time::timeout(idle, stream.read_u16()) => usize::from(length??),
            () = draining(&mut drain) => return Ok(()),
        };
        let bytes = buffer.get_mut(..length.min(BUFFER)).unwrap_or_default();
        tokio::time::timeout(idle, stream.read_exact(bytes)).await??;
        let reply = match Lookup::begin(proxy, peer, bytes, Transport::Stream) {
            Begun::Nothing => None,
            Begun::Refused(reply) => Some(reply),
            Begun::Lookup(lookup) => lookup.run().await,
        };
        let Some(reply) = reply else { return Ok(()) };
        let mut framed = u16::try_from(reply.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        framed.extend(reply);
        tokio::time::timeout(idle, stream.write_all(&framed)).await??;
        if length >= BUFFER {
            // The rest of it was not read.
            return Ok(());
        }
    }
}

/// What bytes from a client come to.
enum Begun {
    /// Nothing that may be replied to.
    Nothing,
    /// A reply without a record: there is no place for one, or a flood is on.
    Refused(Vec<u8>),
    /// One query, with its place in the trail.
    Lookup(Box<Lookup>),
}

/// One query on its way.
struct Lookup {
    connection: Connection,
    generation: Arc<Generation>,
    ledger: Ledger,
    tenant: Result<Arc<Tenant>, DenyReason>,
    query: Result<Query, Fault>,
    transport: Transport,
    within_budget: bool,
}

impl Lookup {
    fn begin(proxy: &Arc<Proxy>, peer: SocketAddr, bytes: &[u8], transport: Transport) -> Begun {
        let query = message::read(bytes);
        if query == Err(Fault::NoQuery) {
            return Begun::Nothing;
        }
        let generation = proxy.generation();
        let tenant = identify(&generation, peer);
        let (budget, metrics) = match &tenant {
            Ok(tenant) => (&tenant.queries, &tenant.metrics),
            Err(_) => (&proxy.strangers, &proxy.nobody),
        };
        let spent = budget.spend(generation.limits.dns_queries, Instant::now());
        if spent == Spent::Beyond {
            metrics.denied(Form::Dns, DenyReason::LimitDnsQueries.code());
            return Begun::unrecorded(&query, DenyReason::LimitDnsQueries, transport);
        }
        let slot = match proxy.reserve() {
            Ok(slot) => slot,
            Err(reason) => return Begun::unrecorded(&query, reason, transport),
        };
        let connection = Connection::refused(Arc::clone(proxy), peer);
        Begun::Lookup(Box::new(Self {
            ledger: Ledger::new(slot, &connection, Form::Dns),
            connection,
            generation,
            tenant,
            query,
            transport,
            within_budget: spent == Spent::Within,
        }))
    }

    /// Runs the steps and turns their outcome into a record and a reply, in this order.
    async fn run(mut self) -> Option<Vec<u8>> {
        let result = AssertUnwindSafe(self.steps()).catch_unwind().await;
        let result = result.unwrap_or_else(|_panic| Err(DenyReason::InternalPanic.into()));
        let addresses = match result {
            Ok(addresses) => addresses,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let question = self.question(Code::NoError);
        self.ledger.told(question, addresses.first().copied());
        if self.ledger.finish(&Outcome::Complete).await.is_err() {
            return refused(&self.query, DenyReason::AuditUnwritable, self.transport);
        }
        let answer = Answer {
            addresses: &addresses,
            ttl: TTL,
            ..Answer::bare(Code::NoError)
        };
        Some(self.query.ok()?.reply(&answer, self.transport))
    }

    async fn refuse(mut self, refusal: Refusal) -> Option<Vec<u8>> {
        let question = self.question(self.code(refusal.reason()));
        self.ledger.told(question, None);
        let (refusal, _) = self.connection.refuse(self.ledger, refusal).await;
        refused(&self.query, refusal.reason(), self.transport)
    }

    /// The addresses to tell, of the family that was asked for.
    async fn steps(&mut self) -> Result<Vec<IpAddr>, Refusal> {
        let tenant = self.tenant.clone()?;
        self.ledger.identified(&tenant);
        if !self.within_budget {
            return Err(DenyReason::LimitDnsQueries.into());
        }
        let (name, family) = self.read()?;
        surface::check_host(&self.generation, &mut self.ledger, &name.clone().into())?;
        let permit = match tenant.workload.policy.decide_lookup(&name) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => {
                self.generation.metrics.dns_lookup(LookupResult::Refused);
                let asked = Authority::new(name.into(), Scheme::Https.default_port());
                let refusal = Refusal::new(denial.reason()).hint(denial.hint_connect(&asked));
                return Err(match denial.rule_id() {
                    Some(rule) => refusal.rule(rule.to_string()),
                    None => refusal,
                });
            }
        };
        self.ledger.permitted(&permit);
        let Some(family) = family else {
            self.generation.metrics.dns_lookup(LookupResult::Refused);
            return Err(DenyReason::DnsTypeNotAnswered.into());
        };
        let mut addresses = match &self.generation.dns_answer {
            DnsAnswer::Fixed(addresses) => {
                self.generation.metrics.dns_lookup(LookupResult::Fixed);
                addresses.clone()
            }
            DnsAnswer::Resolved => {
                let addresses = self.generation.resolve(&permit).await?;
                let vetted = self.generation.addresses.vet(&permit, &addresses)?;
                vetted.iter().map(|address| address.ip()).collect()
            }
        };
        addresses.retain(|address| family.has(*address));
        Ok(addresses)
    }

    /// The name, canonical, and the family of addresses that is asked for.
    fn read(&mut self) -> Result<(DnsName, Option<message::Family>), Refusal> {
        let query = self.query.as_ref().map_err(|fault| match fault {
            Fault::Unsupported(..) => DenyReason::RequestUnsupported,
            Fault::NoQuery | Fault::Malformed(_) => DenyReason::RequestMalformed,
        })?;
        // What is no host name may be anything; the trail shows it without its secrets.
        self.ledger.host(self.generation.redacted(query.name()));
        if !query.is_of_the_internet() {
            return Err(DenyReason::RequestUnsupported.into());
        }
        let name = DnsName::parse(query.name()).map_err(|_| DenyReason::NameInvalid)?;
        self.ledger.host(name.to_string());
        Ok((name, query.family()))
    }

    fn question(&self, code: Code) -> Question<'static> {
        Question {
            kind: self.query.as_ref().ok().map(Query::kind),
            code: code.as_str(),
        }
    }

    fn code(&self, reason: DenyReason) -> Code {
        match &self.query {
            Ok(_) => code(reason),
            Err(fault) => fault.code().unwrap_or(Code::FormErr),
        }
    }
}

impl Begun {
    fn unrecorded(query: &Result<Query, Fault>, reason: DenyReason, transport: Transport) -> Self {
        refused(query, reason, transport).map_or(Self::Nothing, Self::Refused)
    }
}

/// Who asks: by address alone, since a query carries no credential.
fn identify(generation: &Generation, peer: SocketAddr) -> Result<Arc<Tenant>, DenyReason> {
    match generation.workloads.identify(peer.ip(), None, None) {
        Identified::Workload(workload) => generation.tenant(&workload.name).ok_or(DenyReason::WorkloadUnknown),
        Identified::CredentialRequired => Err(DenyReason::WorkloadCredentialRequired),
        Identified::CredentialWrong => Err(DenyReason::WorkloadCredentialWrong),
        Identified::Unknown => Err(DenyReason::WorkloadUnknown),
    }
}

/// The reply that says why, where there may be one.
fn refused(query: &Result<Query, Fault>, reason: DenyReason, transport: Transport) -> Option<Vec<u8>> {
    match query {
        Ok(query) => {
            let answer = Answer {
                error: Some((extended_error(reason), reason.code())),
                ..Answer::bare(code(reason))
            };
            Some(query.reply(&answer, transport))
        }
        Err(fault) => fault.reply(),
    }
}

fn area(reason: DenyReason) -> &'static str {
    reason.code().split('.').next().unwrap_or_default()
}

/// How each reason is told: see the module's own words on REFUSED.
fn code(reason: DenyReason) -> Code {
    match area(reason) {
        // The name exists, and its addresses may be had.
        "dns" => Code::NoError,
        "workload" | "limit" => Code::Refused,
        "request" => Code::NotImp,
        "audit" | "internal" | "shutdown" => Code::ServFail,
        "upstream" if reason != DenyReason::UpstreamNameNotFound => Code::ServFail,
        _ => Code::NxDomain,
    }
}

fn extended_error(reason: DenyReason) -> u16 {
    match area(reason) {
        "workload" => PROHIBITED,
        "host" | "port" | "address" | "secret" | "name" | "dns" => BLOCKED,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_code() {
        for (reason, expected) in [
            (DenyReason::HostNotListed, Code::NxDomain),
            (DenyReason::HostDenied, Code::NxDomain),
            (DenyReason::AddressMetadata, Code::NxDomain),
            (DenyReason::SecretUnrewritable, Code::NxDomain),
            (DenyReason::UpstreamNameNotFound, Code::NxDomain),
            (DenyReason::UpstreamResolveTimeout, Code::ServFail),
            (DenyReason::AuditUnwritable, Code::ServFail),
            (DenyReason::WorkloadUnknown, Code::Refused),
            (DenyReason::LimitDnsQueries, Code::Refused),
            (DenyReason::DnsTypeNotAnswered, Code::NoError),
        ] {
            assert_eq!(code(reason), expected, "{reason}");
        }
    }

    #[test]
    fn every_code_of_a_reason_fits_an_extended_error() {
        for reason in DenyReason::ALL {
            assert!(reason.code().len() <= 64, "{reason}");
        }
    }
}
