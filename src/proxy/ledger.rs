//! The account of one exchange: what is known of it so far, and the duty to record it exactly once (invariant 5).
//!
//! [`Ledger::finish`] writes the record; a ledger that is dropped unfinished, because its client left or its task panicked, records that.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use time::OffsetDateTime;

use super::Connection;
use super::generation::Tenant;
use super::head::MAX_METHOD;
use super::outgoing::Outgoing;
use super::relay::Moved;
use super::reply::Refusal;
use super::scrub::Found;
use super::socks5::Command;
use super::upstream::Upstream;
use crate::audit::{
    Client, Event, ExchangeId, Form, HttpVersion, Question, Record, Redaction, Slot, Tls, Treatment, Verdict, Written,
};
use crate::metrics::{Metrics, WorkloadMetrics};
use crate::policy::{self, Authority, DenyReason, Permit, Rule, Scheme, Target};

/// How an exchange came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The response, or the tunnel, came to its own end.
    Complete,
    /// Egret answered itself, or closed a tunnel.
    Refused(Refusal),
    /// It was allowed and broke off.
    Failed(DenyReason),
}

/// One exchange's account, until it is finished.
#[derive(Debug)]
pub(crate) struct Ledger {
    open: Option<Box<Open>>,
    /// Bytes that passed; kept up while they do, so that an abandoned exchange can be accounted for.
    moved: Moved,
}

/// What is known of an exchange under way.
#[derive(Debug)]
struct Open {
    /// Taken by the record.
    slot: Option<Slot>,
    id: ExchangeId,
    time: OffsetDateTime,
    began: Instant,
    metrics: Metrics,
    nobody: Arc<WorkloadMetrics>,
    peer: SocketAddr,
    form: Form,
    event: Event,
    tenant: Option<Arc<Tenant>>,
    method: Option<Method>,
    version: Option<Version>,
    trace: Option<String>,
    scheme: Option<Scheme>,
    host: Option<String>,
    port: Option<u16>,
    url: Option<String>,
    permitted: bool,
    observed: Option<DenyReason>,
    rule: Option<Arc<Rule>>,
    treatment: Option<Treatment>,
    address: Option<IpAddr>,
    dns: Option<Question<'static>>,
    tls: Option<Tls<'static>>,
    status: Option<StatusCode>,
    outgoing: Option<Arc<Outgoing>>,
    found: Vec<Found>,
}

impl Ledger {
    /// Opens the account of a request.
    pub(crate) fn open(slot: Slot, connection: &Connection, request: &Request<Incoming>) -> Self {
        let mut ledger = Self::new(slot, connection, connection.form(request.method()));
        ledger.with(|open| {
            open.method = Some(request.method().clone());
            open.version = Some(request.version());
            open.trace = trace_id(request.headers());
        });
        ledger
    }

    /// Opens the account of a SOCKS5 request, whose command stands for the method.
    pub(crate) fn open_socks5(slot: Slot, connection: &Connection, command: Command) -> Self {
        let mut ledger = Self::new(slot, connection, Form::Socks5);
        ledger.with(|open| open.method = command.name().and_then(|name| name.parse().ok()));
        ledger
    }

    /// Opens the account of something that isn't a readable request.
    pub(crate) fn new(slot: Slot, connection: &Connection, form: Form) -> Self {
        let proxy = &connection.proxy;
        let time = OffsetDateTime::now_utc();
        Self {
            open: Some(Box::new(Open {
                slot: Some(slot),
                id: proxy.name_exchange(time),
                time,
                began: Instant::now(),
                metrics: proxy.metrics.clone(),
                nobody: Arc::clone(&proxy.nobody),
                peer: connection.peer,
                form,
                event: if form == Form::Dns {
                    Event::Lookup
                } else {
                    Event::Exchange
                },
                tenant: None,
                method: None,
                version: None,
                trace: None,
                scheme: None,
                host: None,
                port: None,
                url: None,
                permitted: false,
                observed: None,
                rule: None,
                treatment: None,
                address: None,
                dns: None,
                tls: connection.tls(),
                status: None,
                outgoing: None,
                found: Vec::new(),
            })),
            moved: Moved::default(),
        }
    }

    /// Passes the account on to whoever ends the exchange.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            open: self.open.take(),
            moved: std::mem::take(&mut self.moved),
        }
    }

    /// The exchange's name, in its record and in a reply of Egret's own.
    pub(crate) fn id(&self) -> String {
        self.open.as_ref().map(|open| open.id.to_string()).unwrap_or_default()
    }

    /// What the console shows of a refusal. `hint` must hold no secret.
    pub(crate) fn refusal(&self, refusal: &Refusal, hint: String) -> Option<crate::audit::recent::Refusal> {
        let open = self.open.as_ref()?;
        Some(crate::audit::recent::Refusal {
            time: open.time,
            workload: open
                .tenant
                .as_ref()
                .map(|tenant| Arc::clone(&tenant.workload.name))
                .unwrap_or_default(),
            host: open.host.clone().unwrap_or_default(),
            reason: refusal.reason().code(),
            hint,
        })
    }

    fn with(&mut self, note: impl FnOnce(&mut Open)) {
        if let Some(open) = &mut self.open {
            note(open);
        }
    }

    pub(crate) fn identified(&mut self, tenant: &Arc<Tenant>) {
        self.with(|open| open.tenant = Some(Arc::clone(tenant)));
    }

    pub(crate) fn targeted(&mut self, target: &Target) {
        self.tunnelled(target.authority());
        self.with(|open| open.scheme = Some(target.scheme()));
    }

    pub(crate) fn tunnelled(&mut self, authority: &Authority) {
        self.with(|open| {
            open.host = Some(authority.host().to_string());
            open.port = Some(authority.port());
        });
    }

    /// The host in a form that may stand in the trail.
    pub(crate) fn host(&mut self, redacted: String) {
        self.with(|open| open.host = Some(redacted));
    }

    /// Path and query, redacted.
    pub(crate) fn url(&mut self, redacted: String) {
        self.with(|open| open.url = Some(redacted));
    }

    pub(crate) fn permitted(&mut self, permit: &Permit) {
        self.with(|open| {
            open.permitted = true;
            open.observed = permit.observed();
            open.rule = permit.rule().cloned();
            // A tunnel has no scheme before it is looked into.
            let in_clear = open.scheme == Some(Scheme::Http);
            open.treatment = match (open.form, permit.treatment()) {
                (Form::Transparent, _) if in_clear => Some(Treatment::Plain),
                (Form::Connect | Form::Socks5 | Form::Transparent, policy::Treatment::Tunnel) => {
                    Some(Treatment::Tunnel)
                }
                (Form::Absolute, _) => Some(Treatment::Plain),
                (Form::Connect | Form::Socks5 | Form::Transparent, policy::Treatment::Intercept)
                | (Form::Intercepted, _) => Some(Treatment::Intercept),
                (Form::Dns, _) => None,
            };
            if open.treatment == Some(Treatment::Tunnel) {
                open.event = Event::Tunnel;
            }
        });
    }

    /// What will leave in the body.
    pub(crate) fn account(&mut self, outgoing: Arc<Outgoing>) {
        self.with(|open| open.outgoing = Some(outgoing));
    }

    /// What was found outside the body.
    pub(crate) fn found(&mut self, found: impl IntoIterator<Item = Found>) {
        self.with(|open| open.found.extend(found));
    }

    /// What a DNS query is told, and the first address of it.
    pub(crate) fn told(&mut self, question: Question<'static>, address: Option<IpAddr>) {
        self.with(|open| {
            open.dns = Some(question);
            open.address = address;
        });
    }

    pub(crate) fn dialled(&mut self, address: SocketAddr) {
        self.with(|open| open.address = Some(address.ip()));
    }

    pub(crate) fn reached(&mut self, upstream: &Upstream) {
        self.dialled(upstream.address());
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.with(|open| open.status = Some(status));
    }

    /// What the client's `ClientHello` said, redacted.
    pub(crate) fn hello(&mut self, server_name: Option<String>, alpn: Option<String>) {
        self.with(|open| {
            open.tls = Some(Tls {
                sni: server_name.map(Cow::Owned),
                version: None,
                alpn: alpn.map(Cow::Owned),
            });
        });
    }

    /// What the handshake with the client agreed on.
    pub(crate) fn agreed(&mut self, tls: Tls<'static>) {
        self.with(|open| open.tls = Some(tls));
    }

    pub(crate) fn count_back(&mut self, bytes: usize) {
        self.moved.back += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// The counts of a tunnel, for whoever moves its bytes.
    pub(crate) fn moved(&mut self) -> &mut Moved {
        &mut self.moved
    }

    /// Ends the account: writes the record and counts the metrics. What comes back resolves when the record is in the file.
    pub(crate) fn finish(mut self, outcome: &Outcome) -> Written {
        match self.open.take() {
            Some(open) => open.finish(outcome, self.moved),
            None => Written::done(),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let outcome = if std::thread::panicking() {
                Outcome::Refused(DenyReason::InternalPanic.into())
            } else {
                Outcome::Failed(DenyReason::ClientClosed)
            };
            drop(open.finish(&outcome, self.moved));
        }
    }
}

impl Open {
    fn finish(mut self: Box<Self>, outcome: &Outcome, moved: Moved) -> Written {
        let took = self.began.elapsed();
        let moved = self.settle(moved);
        let (verdict, reason) = self.verdict(outcome);
        self.count(verdict, reason, took, moved);
        match self.slot.take() {
            Some(slot) => slot.write(&self.record(outcome, verdict, reason, took, moved)),
            None => Written::done(),
        }
    }

    /// Closes the account of the body: nothing more leaves.
    fn settle(&mut self, moved: Moved) -> Moved {
        let Some(outgoing) = self.outgoing.take() else {
            return moved;
        };
        let account = outgoing.close();
        self.found.extend(account.found);
        // A WebSocket's bytes are counted where they pass.
        Moved {
            out: moved.out.max(account.bytes),
            back: moved.back,
        }
    }

    /// What failed beyond Egret was allowed; all else that ends in a refusal was denied.
    fn verdict(&self, outcome: &Outcome) -> (Verdict, Option<DenyReason>) {
        match outcome {
            Outcome::Complete => (Verdict::Allow, self.observed),
            Outcome::Failed(reason) => (Verdict::Allow, Some(*reason)),
            Outcome::Refused(refusal) if self.permitted && blames_upstream(refusal.reason()) => {
                (Verdict::Allow, Some(refusal.reason()))
            }
            Outcome::Refused(refusal) => (Verdict::Deny, Some(refusal.reason())),
        }
    }

    fn count(&self, verdict: Verdict, reason: Option<DenyReason>, took: Duration, moved: Moved) {
        let metrics = self.tenant.as_ref().map_or(&self.nobody, |tenant| &tenant.metrics);
        match (verdict, reason, self.observed) {
            (Verdict::Deny, Some(reason), _) => metrics.denied(self.form, reason.code()),
            (_, _, Some(observed)) => metrics.observed(self.form, observed.code()),
            (Verdict::Allow | Verdict::Deny, ..) => metrics.allowed(self.form),
        }
        metrics.duration(self.form, took);
        let bytes = metrics.bytes(self.rule.as_ref().map(|rule| rule.name()));
        bytes.add_out(moved.out);
        bytes.add_in(moved.back);
        for found in &self.found {
            metrics.redacted(&found.finding.rule, found.surface, u64::from(found.finding.count));
        }
        if let Some(reason) = reason.filter(|reason| blames_upstream(*reason)) {
            self.metrics.upstream_error(reason.code());
        }
    }

    fn record(
        &self,
        outcome: &Outcome,
        verdict: Verdict,
        reason: Option<DenyReason>,
        took: Duration,
        moved: Moved,
    ) -> Record<'_> {
        let (status, denied_by) = match outcome {
            Outcome::Refused(refusal) => (
                Some(refusal.reason().status()),
                refusal.deciding_rule().map(|rule| Cow::Owned(rule.to_owned())),
            ),
            Outcome::Complete | Outcome::Failed(_) => (self.status.map(|status| status.as_u16()), None),
        };
        // A look-up has a code of its own, and no bytes pass.
        let is_http = self.form != Form::Dns;
        let (path, query) = match self.url.as_deref().map(|url| url.split_once('?').ok_or(url)) {
            Some(Ok((path, query))) => (Some(path), Some(query)),
            Some(Err(path)) => (Some(path), None),
            None => (None, None),
        };
        Record {
            workload: self.tenant.as_ref().map(|tenant| Cow::Borrowed(&*tenant.workload.name)),
            client: Some(Client {
                ip: self.peer.ip(),
                port: self.peer.port(),
                pod: None,
                user: self
                    .tenant
                    .as_ref()
                    .and_then(|tenant| tenant.workload.user())
                    .map(Cow::Borrowed),
            }),
            form: Some(self.form),
            method: self.method.as_ref().and_then(recordable).map(Cow::Borrowed),
            scheme: self.scheme.map(Scheme::as_str),
            host: self.host.as_deref().map(Cow::Borrowed),
            port: self.port,
            path: path.map(Cow::Borrowed),
            query: query.map(Cow::Borrowed),
            http: self.version.and_then(version),
            verdict: Some(verdict),
            reason: reason.map(DenyReason::code),
            rule: denied_by.or_else(|| self.rule.as_ref().map(|rule| Cow::Borrowed(rule.name()))),
            mode: self
                .tenant
                .as_ref()
                .map(|tenant| tenant.workload.policy.mode().as_str()),
            treatment: self.treatment,
            address: self.address,
            dns: self.dns.clone(),
            tls: self.tls.clone(),
            status: status.filter(|_| is_http),
            bytes_out: (self.permitted && is_http).then_some(moved.out),
            bytes_in: (self.permitted && is_http).then_some(moved.back),
            duration: Some(took),
            redactions: self.found.iter().map(redaction).collect(),
            trace: self.trace.as_deref().map(Cow::Borrowed),
            ..Record::new(self.time, self.id, self.event)
        }
    }
}

/// Whether an exchange failed beyond Egret, so that policy had allowed it.
fn blames_upstream(reason: DenyReason) -> bool {
    reason.code().starts_with("upstream.")
}

fn redaction(found: &Found) -> Redaction<'_> {
    Redaction {
        rule: Cow::Borrowed(&found.finding.rule),
        place: found.surface.as_str(),
        field: found.field.as_ref().map(|field| Cow::Borrowed(field.as_str())),
        count: found.finding.count,
        fingerprint: found
            .finding
            .fingerprint
            .map(|fingerprint| Cow::Owned(fingerprint.to_string())),
    }
}

/// A method that is one; what is longer is refused, and might be anything.
fn recordable(method: &Method) -> Option<&str> {
    Some(method.as_str()).filter(|name| name.len() <= MAX_METHOD)
}

fn version(version: Version) -> Option<HttpVersion> {
    match version {
        Version::HTTP_10 => Some(HttpVersion::Http10),
        Version::HTTP_11 => Some(HttpVersion::Http11),
        Version::HTTP_2 => Some(HttpVersion::Http2),
        _ => None,
    }
}

/// The trace id of a `traceparent` that has the form of one (W3C Trace Context §3.2): 32 hex digits, so that nothing else gets into the trail.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let id = value.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::audit::recent::Recent;
    use crate::audit::{OnFailure, Trail};
    use crate::config::{self, CaFiles};
    use crate::proxy::Proxy;
    use crate::proxy::issuer::Issuer;

    #[tokio::test]
    async fn a_panic_is_recorded_and_counted_as_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new(DenyReason::ALL.iter().map(|reason| reason.code()));
        let trail_file = folder.path().join("audit.jsonl");
        let trail = Trail::open(&trail_file, OnFailure::Refuse, 8, metrics.clone()).unwrap();
        let ca = CaFiles {
            certificate: folder.path().join("ca.crt"),
            key: folder.path().join("ca.key"),
        };
        let issuer = Issuer::open(&ca, 1).unwrap();
        let config = config::inspect(None).unwrap();
        let proxy = Proxy::new(
            config,
            issuer,
            trail.clone(),
            metrics.clone(),
            Recent::default(),
            Vec::new(),
        )
        .unwrap();
        let connection = Connection::refused(Arc::clone(&proxy), "127.0.0.1:1".parse().unwrap());

        let slot = proxy.reserve().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ledger = Ledger::new(slot, &connection, Form::Absolute);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());

        trail.close(Duration::from_secs(5)).unwrap();
        let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&trail_file).unwrap()).unwrap();
        assert_eq!(
            (&record["decision"], &record["reason"]),
            (&"deny".into(), &"internal.panic".into())
        );
        let metrics = metrics.encode();
        let counted = metrics.lines().any(|line| {
            line.starts_with("egret_exchanges_total{") && line.contains("\"internal.panic\"") && line.ends_with(" 1")
        });
        assert!(counted, "{metrics}");
    }
}
