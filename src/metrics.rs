//! Egret's metrics, behind methods that know every name and label: nobody else spells a label, so no label value can come
//! from traffic.
//!
//! What a request counts on its way (verdict, duration, bytes) is found once for each workload, as [`WorkloadMetrics`];
//! counting is then one atomic addition, without lock or hash. The `prometheus` crate writes the text format and reads
//! `/proc`; its labelled vectors are not used, since they tell series apart by a hash of the joined label values, by which
//! `("ab", "c")` and `("a", "bc")` are one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::TextEncoder;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto;

use crate::audit::record::{Form, Verdict};

/// The media type of [`Metrics::encode`].
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds of the buckets of every duration, in milliseconds: OpenTelemetry's steps for HTTP, then three for streams.
const BUCKETS: [u32; 17] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000, 60_000, 300_000,
];

/// The prefix of the reason codes that blame the origin or the way to it.
const UPSTREAM: &str = "upstream.";

/// A kind of connection that is counted while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// From a client.
    Client,
    /// A client's connection whose bytes are passed on unread, or read inside a CONNECT.
    Tunnel,
    /// To an origin.
    Upstream,
}

/// How a look-up of a name ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// Addresses came from a DNS server.
    Found,
    /// Addresses came from the cache.
    Cached,
    /// There is no such name, or it has no address.
    NotFound,
    /// No server gave a usable answer.
    Failed,
    /// No answer came in time.
    TimedOut,
    /// A workload's own query was answered with the configured addresses, so nobody was asked.
    Fixed,
    /// A workload's own query was refused, so nobody was asked.
    Refused,
}

/// The part of an exchange in which a secret was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The request's body.
    Body,
    /// A header field.
    Header,
    /// The path or the query.
    Url,
    /// A WebSocket message.
    WebSocket,
}

/// All metrics of the process. Cloning is cheap and gives the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<All>);

#[derive(Debug)]
struct All {
    reasons: Vec<&'static str>,
    exchanges: Family<Counter>,
    exchange_duration: Family<Histogram>,
    bytes: Family<Counter>,
    redactions: Family<Counter>,
    connections: Family<Gauge>,
    connection_gauges: [Arc<Gauge>; 3],
    connections_limit: Family<Gauge>,
    dns_lookups: Family<Counter>,
    upstream_connect: Family<Histogram>,
    upstream_connect_seconds: Arc<Histogram>,
    upstream_errors: Family<Counter>,
    certificates_minted: Family<Counter>,
    audit_records: Family<Counter>,
    audit_errors: Family<Counter>,
    config_reloads: Family<Counter>,
    config_loaded: Family<Gauge>,
    build_info: Family<Gauge>,
    process: ProcessCollector,
}

impl Metrics {
    /// Every metric, with each series of a closed set at zero, so that `increase()` sees the first event. `reasons` are the
    /// codes of all deny reasons.
    pub fn new(reasons: impl IntoIterator<Item = &'static str>) -> Self {
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_unstable();
        reasons.dedup();
        let connections = Family::new("egret_connections_active", "Connections that are open now.", &["kind"]);
        let upstream_connect = Family::new(
            "egret_upstream_connect_seconds",
            "Time from the first dial to a connection to an origin.",
            &[],
        );
        let all = All {
            reasons,
            exchanges: Family::new(
                "egret_exchanges_total",
                "Exchanges and tunnels that ended, by verdict; an allowed one with a reason was let pass by observe mode.",
                &["workload", "form", "decision", "reason"],
            ),
            exchange_duration: Family::new(
                "egret_exchange_duration_seconds",
                "Time from the first byte of the request head to the end of the exchange or tunnel.",
                &["workload", "form"],
            ),
            bytes: Family::new(
                "egret_bytes_total",
                "Body and tunnel bytes passed on, out to origins and in to clients.",
                &["workload", "rule", "direction"],
            ),
            redactions: Family::new(
                "egret_redactions_total",
                "Secrets found in what went out; a series begins with its first finding.",
                &["workload", "rule", "where"],
            ),
            connection_gauges: ConnectionKind::ALL.map(|kind| connections.series(&[kind.label()])),
            connections,
            connections_limit: Family::new(
                "egret_connections_limit",
                "Connections that may be open at once.",
                &["kind"],
            ),
            dns_lookups: Family::new(
                "egret_dns_lookups_total",
                "Look-ups of names, by how they ended.",
                &["result"],
            ),
            upstream_connect_seconds: upstream_connect.series(&[]),
            upstream_connect,
            upstream_errors: Family::new(
                "egret_upstream_errors_total",
                "Exchanges that failed at the origin or on the way to it.",
                &["reason"],
            ),
            certificates_minted: Family::new(
                "egret_certificates_minted_total",
                "Leaf certificates minted for intercepted names.",
                &[],
            ),
            audit_records: Family::new("egret_audit_records_total", "Audit records written to the trail.", &[]),
            audit_errors: Family::new(
                "egret_audit_errors_total",
                "Failed attempts to write the audit trail, and records that were lost.",
                &[],
            ),
            config_reloads: Family::new(
                "egret_config_reloads_total",
                "Configurations offered to the running process, by whether they were taken.",
                &["result"],
            ),
            config_loaded: Family::new(
                "egret_config_loaded_timestamp_seconds",
                "When the configuration in force was loaded, in seconds since 1970.",
                &[],
            ),
            build_info: Family::new(
                "egret_build_info",
                "Always 1; the labels tell the build.",
                &["version", "revision"],
            ),
            process: ProcessCollector::for_self(),
        };
        all.start_closed_sets();
        Self(Arc::new(all))
    }

    /// The counters of one workload, with a byte counter for each of its `rules` (as `list/number`). Called again after a
    /// reload, it keeps what was counted and forgets the rules that are gone. An empty name stands for clients that match
    /// no workload.
    pub fn workload<'r>(&self, name: &str, rules: impl IntoIterator<Item = &'r str>) -> Arc<WorkloadMetrics> {
        let all = &self.0;
        let bytes = |rule: &str| RuleBytes {
            out: all.bytes.series(&[name, rule, "out"]),
            into: all.bytes.series(&[name, rule, "in"]),
        };
        let rules: BTreeMap<Box<str>, RuleBytes> = rules.into_iter().map(|rule| (rule.into(), bytes(rule))).collect();
        all.bytes.retain(|labels| match labels {
            [workload, rule, _] if **workload == *name => rule.is_empty() || rules.contains_key(&**rule),
            _ => true,
        });
        Arc::new(WorkloadMetrics {
            name: name.into(),
            allowed: PerForm::new(|form| all.exchange_series(name, form, Verdict::Allow, "")),
            denied: all
                .reasons
                .iter()
                .map(|reason| (*reason, all.denied_series(name, reason)))
                .collect(),
            duration: PerForm::new(|form| all.exchange_duration.series(&[name, form.as_str()])),
            rules,
            no_rule: bytes(""),
            metrics: self.clone(),
        })
    }

    /// Removes the series of every workload that `is_configured` doesn't know; the empty name stays.
    pub fn retain_workloads(&self, is_configured: impl Fn(&str) -> bool) {
        let keep = |labels: &[Arc<str>]| labels.first().is_none_or(|name| name.is_empty() || is_configured(name));
        self.0.exchanges.retain(keep);
        self.0.exchange_duration.retain(keep);
        self.0.bytes.retain(keep);
        self.0.redactions.retain(keep);
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn connection(&self, kind: ConnectionKind) -> ConnectionGuard {
        let [client, tunnel, upstream] = &self.0.connection_gauges;
        let gauge = match kind {
            ConnectionKind::Client => client,
            ConnectionKind::Tunnel => tunnel,
            ConnectionKind::Upstream => upstream,
        };
        gauge.0.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(Arc::clone(gauge))
    }

    /// States how many client connections may be open at once.
    pub fn client_connections_limit(&self, limit: usize) {
        self.0
            .connections_limit
            .series(&[ConnectionKind::Client.label()])
            .set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// Counts a look-up of a name.
    pub fn dns_lookup(&self, result: LookupResult) {
        self.0.dns_lookups.series(&[result.label()]).add(1);
    }

    /// Counts a connection made to an origin, and the time it took.
    pub fn upstream_connected(&self, took: Duration) {
        self.0.upstream_connect_seconds.observe(took);
    }

    /// Counts an exchange that failed upstream, by its reason code.
    pub fn upstream_error(&self, reason: &'static str) {
        self.0.upstream_errors.series(&[reason]).add(1);
    }

    /// Counts a minted certificate.
    pub fn certificate_minted(&self) {
        self.0.certificates_minted.series(&[]).add(1);
    }

    /// Counts records that were written.
    pub fn audit_records(&self, count: u64) {
        self.0.audit_records.series(&[]).add(count);
    }

    /// Counts a failed attempt to write the trail, or a lost record.
    pub fn audit_error(&self) {
        self.0.audit_errors.series(&[]).add(1);
    }

    /// States when the configuration in force was loaded.
    pub fn config_loaded(&self, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.0
            .config_loaded
            .series(&[])
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Counts a reload whose configuration was taken `at` that time.
    pub fn config_reload_taken(&self, at: SystemTime) {
        self.0.config_reloads.series(&["taken"]).add(1);
        self.config_loaded(at);
    }

    /// Counts a reload whose configuration was refused; the old one holds on.
    pub fn config_reload_refused(&self) {
        self.0.config_reloads.series(&["refused"]).add(1);
    }

    /// What each workload was let and refused so far, by name.
    pub fn totals(&self) -> Vec<WorkloadTotals> {
        let mut totals: BTreeMap<Arc<str>, WorkloadTotals> = BTreeMap::new();
        for (labels, counter) in self.0.exchanges.snapshot() {
            let [workload, _, decision, reason] = labels.as_slice() else {
                continue;
            };
            let entry = totals
                .entry(Arc::clone(workload))
                .or_insert_with(|| WorkloadTotals::new(workload));
            entry.count(decision, reason, counter.value());
        }
        totals.into_values().collect()
    }

    /// Every metric in Prometheus' text format, [`MEDIA_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.0.collect(), &mut text) {
            tracing::error!(%error, "failed to encode the metrics");
        }
        text
    }
}

impl All {
    fn start_closed_sets(&self) {
        for result in LookupResult::ALL {
            self.dns_lookups.series(&[result.label()]);
        }
        for reason in self.reasons.iter().filter(|reason| reason.starts_with(UPSTREAM)) {
            self.upstream_errors.series(&[reason]);
        }
        for family in [&self.certificates_minted, &self.audit_records, &self.audit_errors] {
            family.series(&[]);
        }
        for result in ["taken", "refused"] {
            self.config_reloads.series(&[result]);
        }
        let revision = option_env!("EGRET_REVISION").unwrap_or("unknown");
        self.build_info.series(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
    }

    fn exchange_series(&self, workload: &str, form: Form, verdict: Verdict, reason: &str) -> Arc<Counter> {
        self.exchanges
            .series(&[workload, form.as_str(), verdict.as_str(), reason])
    }

    fn denied_series(&self, workload: &str, reason: &str) -> PerForm<Arc<Counter>> {
        PerForm::new(|form| self.exchange_series(workload, form, Verdict::Deny, reason))
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families = vec![
            self.audit_errors.collect(),
            self.audit_records.collect(),
            self.build_info.collect(),
            self.bytes.collect(),
            self.certificates_minted.collect(),
            self.config_loaded.collect(),
            self.config_reloads.collect(),
            self.connections.collect(),
            self.connections_limit.collect(),
            self.dns_lookups.collect(),
            self.exchange_duration.collect(),
            self.exchanges.collect(),
            self.redactions.collect(),
            self.upstream_connect.collect(),
            self.upstream_errors.collect(),
        ];
        families.extend(self.process.collect());
        // The encoder takes a family without series for a mistake.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// The counters of one workload. It outlives the workload's place in the configuration, for the exchanges still under way.
#[derive(Debug)]
pub struct WorkloadMetrics {
    name: Arc<str>,
    allowed: PerForm<Arc<Counter>>,
    denied: BTreeMap<&'static str, PerForm<Arc<Counter>>>,
    duration: PerForm<Arc<Histogram>>,
    rules: BTreeMap<Box<str>, RuleBytes>,
    no_rule: RuleBytes,
    metrics: Metrics,
}

impl WorkloadMetrics {
    /// Counts an exchange that was let out.
    pub fn allowed(&self, form: Form) {
        self.allowed.of(form).add(1);
    }

    /// Counts an exchange that was let out in observe mode, though `reason` would have refused it.
    pub fn observed(&self, form: Form, reason: &'static str) {
        self.metrics
            .0
            .exchange_series(&self.name, form, Verdict::Allow, reason)
            .add(1);
    }

    /// Counts an exchange that was refused.
    pub fn denied(&self, form: Form, reason: &'static str) {
        match self.denied.get(reason) {
            Some(counters) => counters.of(form).add(1),
            None => self
                .metrics
                .0
                .exchange_series(&self.name, form, Verdict::Deny, reason)
                .add(1),
        }
    }

    /// Records how long an exchange took.
    pub fn duration(&self, form: Form, took: Duration) {
        self.duration.of(form).observe(took);
    }

    /// The byte counters of a rule; without one, or with one that isn't the workload's, those with an empty rule.
    pub fn bytes(&self, rule: Option<&str>) -> &RuleBytes {
        rule.and_then(|rule| self.rules.get(rule)).unwrap_or(&self.no_rule)
    }

    /// Counts findings of a redaction rule. `rule` must be the name of a configured rule.
    pub fn redacted(&self, rule: &str, surface: Surface, findings: u64) {
        self.metrics
            .0
            .redactions
            .series(&[&self.name, rule, surface.as_str()])
            .add(findings);
    }
}

/// The bytes that one rule of one workload let pass.
#[derive(Clone, Debug)]
pub struct RuleBytes {
    out: Arc<Counter>,
    into: Arc<Counter>,
}

impl RuleBytes {
    /// Counts bytes towards the origin.
    pub fn add_out(&self, bytes: u64) {
        self.out.add(bytes);
    }

    /// Counts bytes towards the client.
    pub fn add_in(&self, bytes: u64) {
        self.into.add(bytes);
    }
}

/// What one workload was let and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadTotals {
    /// The workload's name; empty for clients that match none.
    pub name: Arc<str>,
    /// Exchanges that were let out.
    pub allowed: u64,
    /// Of those, the ones that observe mode let pass.
    pub observed: u64,
    /// Refused exchanges by reason code; no entry is zero.
    pub refused: BTreeMap<Arc<str>, u64>,
}

impl WorkloadTotals {
    fn new(name: &Arc<str>) -> Self {
        Self {
            name: Arc::clone(name),
            allowed: 0,
            observed: 0,
            refused: BTreeMap::new(),
        }
    }

    fn count(&mut self, decision: &str, reason: &Arc<str>, value: u64) {
        if value == 0 {
            return;
        }
        if decision == Verdict::Deny.as_str() {
            *self.refused.entry(Arc::clone(reason)).or_default() += value;
            return;
        }
        self.allowed += value;
        if !reason.is_empty() {
            self.observed += value;
        }
    }
}

/// An open connection, in the count until it is dropped.
#[derive(Debug)]
#[must_use = "the connection is counted while this lives"]
pub struct ConnectionGuard(Arc<Gauge>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionKind {
    const ALL: [Self; 3] = [Self::Client, Self::Tunnel, Self::Upstream];

    const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Tunnel => "tunnel",
            Self::Upstream => "upstream",
        }
    }
}

impl LookupResult {
    const ALL: [Self; 7] = [
        Self::Found,
        Self::Cached,
        Self::NotFound,
        Self::Failed,
        Self::TimedOut,
        Self::Fixed,
        Self::Refused,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Cached => "cached",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::Fixed => "fixed",
            Self::Refused => "refused",
        }
    }
}

impl Surface {
    /// The word in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Header => "header",
            Self::Url => "url",
            Self::WebSocket => "websocket",
        }
    }
}

/// One of something for each form of request.
#[derive(Debug)]
struct PerForm<T> {
    absolute: T,
    connect: T,
    intercepted: T,
    socks5: T,
    transparent: T,
    dns: T,
}

impl<T> PerForm<T> {
    fn new(mut make: impl FnMut(Form) -> T) -> Self {
        Self {
            absolute: make(Form::Absolute),
            connect: make(Form::Connect),
            intercepted: make(Form::Intercepted),
            socks5: make(Form::Socks5),
            transparent: make(Form::Transparent),
            dns: make(Form::Dns),
        }
    }

    fn of(&self, form: Form) -> &T {
        match form {
            Form::Absolute => &self.absolute,
            Form::Connect => &self.connect,
            Form::Intercepted => &self.intercepted,
            Form::Socks5 => &self.socks5,
            Form::Transparent => &self.transparent,
            Form::Dns => &self.dns,
        }
    }
}

/// A metric's value, and how the text format shows it.
trait Value: Default {
    const TYPE: proto::MetricType;

    fn show(&self, metric: &mut proto::Metric);
}

/// A number that only grows.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value for Counter {
    const TYPE: proto::MetricType = proto::MetricType::COUNTER;

    fn show(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(float(self.value()));
        metric.set_counter(counter);
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
struct Gauge(AtomicI64);

impl Gauge {
    fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Value for Gauge {
    const TYPE: proto::MetricType = proto::MetricType::GAUGE;

    fn show(&self, metric: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        let value = self.0.load(Ordering::Relaxed);
        let size = float(value.unsigned_abs());
        gauge.set_value(if value < 0 { -size } else { size });
        metric.set_gauge(gauge);
    }
}

/// Durations by bucket. The count is the sum of the buckets, so the two never differ in a scrape.
#[derive(Debug, Default)]
struct Histogram {
    /// One more than [`BUCKETS`]: the last has no upper bound.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let bounds = BUCKETS.iter().map(|bound| Duration::from_millis(u64::from(*bound)));
        let place = bounds.take_while(|bound| *bound < took).count();
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Value for Histogram {
    const TYPE: proto::MetricType = proto::MetricType::HISTOGRAM;

    fn show(&self, metric: &mut proto::Metric) {
        let mut count = 0;
        let mut shown = Vec::with_capacity(self.buckets.len());
        let bounds = BUCKETS
            .iter()
            .map(|bound| f64::from(*bound) / 1e3)
            .chain([f64::INFINITY]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            let mut one = proto::Bucket::default();
            one.set_upper_bound(bound);
            one.set_cumulative_count(count);
            shown.push(one);
        }
        // The encoder writes the unbounded bucket itself, from the count.
        shown.pop();
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(shown);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(float(self.nanoseconds.load(Ordering::Relaxed)) / 1e9);
        metric.set_histogram(histogram);
    }
}

/// All series of one metric, by their label values.
#[derive(Debug)]
struct Family<V> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: RwLock<BTreeMap<Vec<Arc<str>>, Arc<V>>>,
}

impl<V: Value> Family<V> {
    fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self {
            name,
            help,
            labels,
            series: RwLock::default(),
        }
    }

    /// The series with these label values, one for each label; made at zero when it isn't there.
    fn series(&self, values: &[&str]) -> Arc<V> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let key = values.iter().map(|value| Arc::from(*value)).collect();
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry(key).or_default())
    }

    fn retain(&self, keep: impl Fn(&[Arc<str>]) -> bool) {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        series.retain(|values, _| keep(values));
    }

    fn snapshot(&self) -> Vec<(Vec<Arc<str>>, Arc<V>)> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        series
            .iter()
            .map(|(values, value)| (values.clone(), Arc::clone(value)))
            .collect()
    }

    fn collect(&self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(V::TYPE);
        family.set_metric(
            self.snapshot()
                .iter()
                .map(|(values, value)| self.show(values, &**value))
                .collect(),
        );
        family
    }

    fn show(&self, values: &[Arc<str>], value: &V) -> proto::Metric {
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_string());
            pair
        });
        let mut metric = proto::Metric::from_label(pairs.collect());
        value.show(&mut metric);
        metric
    }
}

/// The nearest number that the text format can hold.
fn float(value: u64) -> f64 {
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let high = u32::try_from(value >> 32).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    const REASONS: [&str; 3] = ["host.not_listed", "upstream.closed", "upstream.connect_failed"];

    #[track_caller]
    fn check(metrics: &Metrics, line: &str) {
        let text = metrics.encode();
        assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
    }

    #[test]
    fn closed_sets_start_at_zero() {
        let metrics = Metrics::new(REASONS);
        metrics.workload("w", ["github/1"]);
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="absolute",decision="allow",reason=""} 0"#,
        );
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="connect",decision="deny",reason="host.not_listed"} 0"#,
        );
        check(
            &metrics,
            r#"egret_exchange_duration_seconds_count{workload="w",form="intercepted"} 0"#,
        );
        check(
            &metrics,
            r#"egret_bytes_total{workload="w",rule="github/1",direction="out"} 0"#,
        );
        check(&metrics, r#"egret_connections_active{kind="tunnel"} 0"#);
        check(&metrics, r#"egret_dns_lookups_total{result="timeout"} 0"#);
        check(&metrics, r#"egret_upstream_errors_total{reason="upstream.closed"} 0"#);
        check(&metrics, r#"egret_config_reloads_total{result="refused"} 0"#);
        check(&metrics, "egret_audit_errors_total 0");
        assert!(
            !metrics
                .encode()
                .contains(r#"egret_upstream_errors_total{reason="host.not_listed"}"#)
        );
    }

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::new(REASONS);
        let workload = metrics.workload("w", ["github/1"]);
        workload.allowed(Form::Intercepted);
        workload.observed(Form::Connect, "host.not_listed");
        workload.denied(Form::Absolute, "host.not_listed");
        workload.denied(Form::Absolute, "internal.panic");
        workload.bytes(Some("github/1")).add_out(7);
        workload.bytes(Some("of another workload")).add_in(5);
        workload.redacted("github-pat", Surface::Url, 2);
        metrics.client_connections_limit(10_000);
        metrics.config_reload_taken(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        metrics.upstream_error("upstream.closed");
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="intercepted",decision="allow",reason=""} 1"#,
        );
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="connect",decision="allow",reason="host.not_listed"} 1"#,
        );
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="absolute",decision="deny",reason="host.not_listed"} 1"#,
        );
        check(
            &metrics,
            r#"egret_exchanges_total{workload="w",form="absolute",decision="deny",reason="internal.panic"} 1"#,
        );
        check(
            &metrics,
            r#"egret_bytes_total{workload="w",rule="github/1",direction="out"} 7"#,
        );
        check(&metrics, r#"egret_bytes_total{workload="w",rule="",direction="in"} 5"#);
        check(
            &metrics,
            r#"egret_redactions_total{workload="w",rule="github-pat",where="url"} 2"#,
        );
        check(&metrics, r#"egret_connections_limit{kind="client"} 10000"#);
        check(&metrics, "egret_config_loaded_timestamp_seconds 1700000000");
        check(&metrics, r#"egret_config_reloads_total{result="taken"} 1"#);
        check(&metrics, r#"egret_upstream_errors_total{reason="upstream.closed"} 1"#);
        let refused = BTreeMap::from([("host.not_listed".into(), 1), ("internal.panic".into(), 1)]);
        assert_eq!(
            metrics.totals(),
            [WorkloadTotals {
                name: "w".into(),
                allowed: 2,
                observed: 1,
                refused
            }]
        );
    }

    #[test]
    fn names_that_join_alike_are_told_apart() {
        let metrics = Metrics::new(REASONS);
        metrics.workload("ab", ["c/1"]).bytes(Some("c/1")).add_out(1);
        metrics.workload("a", ["bc/1"]).bytes(Some("bc/1")).add_out(2);
        check(
            &metrics,
            r#"egret_bytes_total{workload="ab",rule="c/1",direction="out"} 1"#,
        );
        check(
            &metrics,
            r#"egret_bytes_total{workload="a",rule="bc/1",direction="out"} 2"#,
        );
    }

    #[test]
    fn a_connection_is_counted_while_its_guard_lives() {
        let metrics = Metrics::new(REASONS);
        let guards = [ConnectionKind::Client, ConnectionKind::Client, ConnectionKind::Upstream]
            .map(|kind| metrics.connection(kind));
        check(&metrics, r#"egret_connections_active{kind="client"} 2"#);
        check(&metrics, r#"egret_connections_active{kind="upstream"} 1"#);
        drop(guards);
        check(&metrics, r#"egret_connections_active{kind="client"} 0"#);
    }

    #[test]
    fn durations_fall_in_their_buckets() {
        let metrics = Metrics::new(REASONS);
        let workload = metrics.workload("w", []);
        for milliseconds in [5, 6, 400_000] {
            workload.duration(Form::Connect, Duration::from_millis(milliseconds));
        }
        let bucket = |bound: &str, count: u64| {
            check(
                &metrics,
                &format!(
                    r#"egret_exchange_duration_seconds_bucket{{workload="w",form="connect",le="{bound}"}} {count}"#
                ),
            );
        };
        bucket("0.005", 1);
        bucket("0.01", 2);
        bucket("300", 2);
        bucket("+Inf", 3);
        check(
            &metrics,
            r#"egret_exchange_duration_seconds_sum{workload="w",form="connect"} 400.011"#,
        );
    }

    #[test]
    fn a_reload_keeps_counts_and_forgets_what_is_gone() {
        let metrics = Metrics::new(REASONS);
        let before = metrics.workload("w", ["github/1", "github/2"]);
        metrics.workload("gone", ["github/1"]);
        metrics.workload("", []);
        before.bytes(Some("github/1")).add_out(3);
        let after = metrics.workload("w", ["github/1"]);
        metrics.retain_workloads(|name| name == "w");
        before.bytes(Some("github/1")).add_out(1);
        after.bytes(Some("github/1")).add_out(1);
        check(
            &metrics,
            r#"egret_bytes_total{workload="w",rule="github/1",direction="out"} 5"#,
        );
        let names: Vec<_> = metrics
            .totals()
            .into_iter()
            .map(|totals| totals.name.to_string())
            .collect();
        assert_eq!(names, ["", "w"]);
        let text = metrics.encode();
        assert!(!text.contains("gone") && !text.contains("github/2"));
    }

    #[test]
    fn large_numbers_are_shown() {
        assert!((float(u64::MAX) - 18_446_744_073_709_551_615.0).abs() < 1.0);
        assert!((float(4_294_967_297) - 4_294_967_297.0).abs() < 0.5);
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        let metrics = Metrics::new(REASONS);
        let workload = metrics.workload("quo\"te\\", ["github/1"]);
        workload.redacted("github-pat", Surface::WebSocket, 1);
        metrics.client_connections_limit(1);
        metrics.config_loaded(UNIX_EPOCH);
        metrics.upstream_connected(Duration::from_millis(3));
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool (Debian: prometheus) must be on the PATH for this test");
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(metrics.encode().as_bytes())
            .unwrap();
        let said = promtool.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && text.is_empty(), "{text}");
    }
}
