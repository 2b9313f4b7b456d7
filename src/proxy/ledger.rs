//! The account of one exchange: what is known of it so far, and the duty to record it exactly once (invariant 5).
//!
//! [`Ledger::finish`] writes the record; a ledger that is dropped unfinished, because its client left or its task panicked, records that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use time::OffsetDateTime;

use super::Connection;
use super::generation::Tenant;
use super::outgoing::Outgoing;
use super::relay::Moved;
use super::reply::Refusal;
use super::surface::Found;
use super::upstream::Upstream;
use crate::audit::record::{self, Client, Event, ExchangeId, Form, HttpVersion, Record, Redaction, Tls, Verdict};
use crate::audit::{Slot, Written};
use crate::metrics::{Metrics, WorkloadMetrics};
use crate::policy::{Authority, DenyReason, Permit, Target, Treatment};

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
}

/// What is known of an exchange under way.
#[derive(Debug)]
struct Open {
    slot: Slot,
    metrics: Metrics,
    workload_metrics: Arc<WorkloadMetrics>,
    began: Instant,
    record: Record<'static>,
    form: Form,
    permitted: bool,
    observed: Option<DenyReason>,
    outgoing: Option<Arc<Outgoing>>,
    moved: Moved,
    found: Vec<Found>,
}

impl Ledger {
    /// Opens the account of a request.
    pub(crate) fn open(slot: Slot, id: ExchangeId, connection: &Connection, request: &Request<Incoming>) -> Self {
        let mut ledger = Self::new(slot, id, connection, connection.form(request.method()));
        if let Some(open) = &mut ledger.open {
            open.record.method = Some(method_name(request.method()));
            open.record.http = version(request.version());
            open.record.trace = trace_id(request.headers()).map(Into::into);
        }
        ledger
    }

    /// Opens the account of something that isn't a readable request.
    pub(crate) fn new(slot: Slot, id: ExchangeId, connection: &Connection, form: Form) -> Self {
        let proxy = &connection.proxy;
        let mut record = Record::new(OffsetDateTime::now_utc(), id, Event::Exchange);
        record.form = Some(form);
        record.client = Some(Client {
            ip: connection.peer.ip(),
            port: connection.peer.port(),
            pod: None,
            user: None,
        });
        Self {
            open: Some(Box::new(Open {
                slot,
                metrics: proxy.metrics.clone(),
                workload_metrics: Arc::clone(&proxy.nobody),
                began: Instant::now(),
                record,
                form,
                permitted: false,
                observed: None,
                outgoing: None,
                moved: Moved::default(),
                found: Vec::new(),
            })),
        }
    }

    /// Passes the account on to whoever ends the exchange.
    pub(crate) fn take(&mut self) -> Self {
        Self { open: self.open.take() }
    }

    fn with(&mut self, note: impl FnOnce(&mut Open)) {
        if let Some(open) = &mut self.open {
            note(open);
        }
    }

    pub(crate) fn identified(&mut self, tenant: &Tenant) {
        self.with(|open| {
            open.record.workload = Some(shared(&tenant.workload.name));
            open.record.mode = Some(tenant.workload.policy.mode().as_str());
            open.workload_metrics = Arc::clone(&tenant.metrics);
        });
    }

    pub(crate) fn targeted(&mut self, target: &Target) {
        self.with(|open| {
            open.record.scheme = Some(target.scheme().as_str());
            open.record.host = Some(target.host().to_string().into());
            open.record.port = Some(target.port());
        });
    }

    pub(crate) fn tunnelled(&mut self, authority: &Authority) {
        self.with(|open| {
            open.record.host = Some(authority.host().to_string().into());
            open.record.port = Some(authority.port());
        });
    }

    /// The host in a form that may stand in the trail.
    pub(crate) fn host(&mut self, redacted: &str) {
        self.with(|open| open.record.host = Some(redacted.to_owned().into()));
    }

    /// Path and query, redacted.
    pub(crate) fn path(&mut self, redacted: &str) {
        self.with(|open| {
            let (path, query) = redacted.split_once('?').map_or((redacted, None), |(path, query)| (path, Some(query)));
            open.record.path = Some(path.to_owned().into());
            open.record.query = query.map(|query| query.to_owned().into());
        });
    }

    pub(crate) fn permitted(&mut self, permit: &Permit) {
        self.with(|open| {
            open.permitted = true;
            open.observed = permit.observed();
            open.record.rule = permit.rule().map(|rule| shared(rule.id().text()));
            open.record.treatment = Some(match (open.form, permit.treatment()) {
                (Form::Connect, Treatment::Tunnel) => record::Treatment::Tunnel,
                (Form::Connect, Treatment::Intercept) => record::Treatment::Intercept,
                (Form::Absolute, _) => record::Treatment::Plain,
                (Form::Intercepted, _) => record::Treatment::Intercept,
            });
            if open.form == Form::Connect && permit.treatment() == Treatment::Tunnel {
                open.record.event = Event::Tunnel;
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

    pub(crate) fn dialled(&mut self, address: SocketAddr) {
        self.with(|open| open.record.address = Some(address.ip()));
    }

    pub(crate) fn reached(&mut self, upstream: &Upstream) {
        self.dialled(upstream.address());
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.with(|open| open.record.status = Some(status.as_u16()));
    }

    /// What the client's ClientHello said.
    pub(crate) fn hello(&mut self, server_name: Option<&str>, alpn: Option<&str>) {
        self.with(|open| {
            open.record.tls = Some(Tls {
                sni: server_name.map(|name| name.to_owned().into()),
                version: None,
                alpn: alpn.map(|alpn| alpn.to_owned().into()),
            });
        });
    }

    /// What the handshake with the client agreed on.
    pub(crate) fn agreed(&mut self, version: Option<&'static str>, alpn: Option<&[u8]>) {
        self.with(|open| {
            let tls = open.record.tls.get_or_insert_default();
            tls.version = version;
            tls.alpn = alpn.map(|alpn| String::from_utf8_lossy(alpn).into_owned().into());
        });
    }

    pub(crate) fn count_back(&mut self, bytes: usize) {
        self.with(|open| open.moved.back += u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Takes over the counts of a tunnel.
    pub(crate) fn count(&mut self, moved: Moved) {
        self.with(|open| open.moved = moved);
    }

    /// Ends the account: writes the record and counts the metrics. What comes back resolves when the record is in the file.
    pub(crate) fn finish(mut self, outcome: Outcome) -> Written {
        match self.open.take() {
            Some(open) => open.finish(outcome),
            None => Written::nothing(),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let reason = if std::thread::panicking() { DenyReason::InternalPanic } else { DenyReason::ClientClosed };
            drop(open.finish(Outcome::Failed(reason)));
        }
    }
}

impl Open {
    fn finish(mut self: Box<Self>, outcome: Outcome) -> Written {
        let took = self.began.elapsed();
        self.settle_bytes();
        self.decide(&outcome);
        self.count(&outcome, took);
        self.record.duration = Some(took);
        self.record.redactions = self.found.iter().map(redaction).collect();
        self.slot.write(&self.record)
    }

    fn settle_bytes(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            let account = outgoing.close();
            self.found.extend(account.found);
            // A WebSocket's bytes are counted where they pass.
            self.moved.out = self.moved.out.max(account.bytes);
        }
        if self.permitted {
            self.record.bytes_out = Some(self.moved.out);
            self.record.bytes_in = Some(self.moved.back);
        }
    }

    fn decide(&mut self, outcome: &Outcome) {
        let (verdict, reason) = match outcome {
            Outcome::Complete => (Verdict::Allow, self.observed),
            Outcome::Failed(reason) => (Verdict::Allow, Some(*reason)),
            Outcome::Refused(refusal) => {
                self.record.status = Some(refusal.reason().status());
                if let Some(rule) = refusal.deciding_rule() {
                    self.record.rule = Some(rule.to_owned().into());
                }
                let failed_upstream = self.permitted && blames_upstream(refusal.reason());
                (if failed_upstream { Verdict::Allow } else { Verdict::Deny }, Some(refusal.reason()))
            }
        };
        self.record.verdict = Some(verdict);
        self.record.reason = reason.map(DenyReason::code);
    }

    fn count(&self, outcome: &Outcome, took: std::time::Duration) {
        let metrics = &self.workload_metrics;
        match (self.record.verdict, self.observed, self.record.reason) {
            (Some(Verdict::Deny), _, Some(reason)) => metrics.denied(self.form, reason),
            (_, Some(observed), _) => metrics.observed(self.form, observed.code()),
            (..) => metrics.allowed(self.form),
        }
        metrics.duration(self.form, took);
        let rule = metrics.bytes(self.record.rule.as_deref());
        rule.add_out(self.moved.out);
        rule.add_in(self.moved.back);
        for found in &self.found {
            metrics.redacted(&found.finding.rule, found.surface, u64::from(found.finding.count));
        }
        let failure = match outcome {
            Outcome::Complete => None,
            Outcome::Failed(reason) => Some(*reason),
            Outcome::Refused(refusal) => Some(refusal.reason()),
        };
        if let Some(reason) = failure.filter(|reason| blames_upstream(*reason)) {
            self.metrics.upstream_error(reason.code());
        }
    }
}

/// Whether an exchange failed beyond Egret, so that policy had allowed it.
fn blames_upstream(reason: DenyReason) -> bool {
    reason.code().starts_with("upstream.")
}

fn redaction(found: &Found) -> Redaction<'static> {
    Redaction {
        rule: shared(&found.finding.rule),
        surface: found.surface,
        field: found.field.as_ref().map(|field| field.as_str().to_owned().into()),
        count: found.finding.count,
        fingerprint: found.finding.fingerprint.map(|fingerprint| fingerprint.to_string().into()),
    }
}

fn shared(text: &Arc<str>) -> record::Text<'static> {
    record::Text::Shared(Arc::clone(text))
}

/// The registered methods need no allocation.
fn method_name(method: &Method) -> record::Text<'static> {
    match *method {
        Method::GET => "GET".into(),
        Method::POST => "POST".into(),
        Method::CONNECT => "CONNECT".into(),
        Method::PUT => "PUT".into(),
        Method::DELETE => "DELETE".into(),
        Method::HEAD => "HEAD".into(),
        Method::OPTIONS => "OPTIONS".into(),
        Method::PATCH => "PATCH".into(),
        _ => method.as_str().chars().take(32).collect::<String>().into(),
    }
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
