//! What one audit record holds, and how it reads as one JSON object.
//!
//! Pure: time, identity and sequence number come in. The record has no field yet for MCP calls, signals and the
//! hash chain; it holds no text that redaction has not passed, which is for whoever fills it in to see to.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use time::{OffsetDateTime, UtcOffset};

use super::json::{Object, padded};

/// The name of one exchange, in its record and in the reply to its client: a UUID of version 7 (RFC 9562 §5.7), so that
/// names sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(u128);

impl ExchangeId {
    /// The name for an exchange that began at `time`; `random` keeps it apart from others of that millisecond. Of `random`
    /// 74 bits are used.
    pub fn new(time: OffsetDateTime, random: u128) -> Self {
        const RANDOM_BITS: u128 = 0x0fff_3fff_ffff_ffff_ffff;
        const VERSION_AND_VARIANT: u128 = 0x7000_8000_0000_0000_0000;
        let milliseconds = u128::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self(milliseconds << 80 | random & RANDOM_BITS | VERSION_AND_VARIANT)
    }

    fn text(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let places = text
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        let nibbles = (0..32u32).rev().map(|nibble| self.0 >> (nibble * 4) & 0xf);
        for ((_, place), nibble) in places.zip(nibbles) {
            let nibble = u8::try_from(nibble).unwrap_or(0);
            *place = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        text
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// A closed set of words, each with its spelling in the record.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every word of the set.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in records and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// What a record tells of.
    Event {
        /// One request and its response.
        Exchange = "exchange",
        /// One tunnel, from its CONNECT to its end.
        Tunnel = "tunnel",
        /// One DNS query of a workload.
        Lookup = "lookup",
        /// A configuration that was taken or refused.
        Config = "config",
        /// Something that a person should look at.
        Alert = "alert",
        /// A mark in the trail itself.
        Checkpoint = "checkpoint",
    }
}

words! {
    /// How a request came to Egret.
    Form {
        /// Absolute-form (RFC 9112 §3.2.2): a request for a whole URL.
        Absolute = "absolute",
        /// A CONNECT request.
        Connect = "connect",
        /// A request read inside an intercepted tunnel.
        Intercepted = "intercepted",
        /// A SOCKS5 request (RFC 1928).
        Socks5 = "socks5",
        /// Redirected by the packet filter: a request in clear, or a TLS connection to its server name.
        Transparent = "transparent",
        /// A query to the DNS listener.
        Dns = "dns",
    }
}

words! {
    /// The HTTP version that the client spoke.
    HttpVersion {
        /// HTTP/1.0.
        Http10 = "1.0",
        /// HTTP/1.1.
        Http11 = "1.1",
        /// HTTP/2.
        Http2 = "2",
    }
}

words! {
    /// How the exchange was decided.
    Verdict {
        /// Let out.
        Allow = "allow",
        /// Refused.
        Deny = "deny",
    }
}

words! {
    /// What became of the client's bytes.
    Treatment {
        /// HTTP in clear, read and passed on.
        Plain = "plain",
        /// TLS ended at Egret and begun anew towards the origin.
        Intercept = "intercept",
        /// Passed on unread.
        Tunnel = "tunnel",
    }
}

/// The process that connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The pod that holds the address, as `namespace/name`.
    pub pod: Option<Cow<'a, str>>,
    /// The user named by its proxy credential.
    pub user: Option<Cow<'a, str>>,
}

/// A query to the DNS listener, beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The type, such as `AAAA`; none when the query can't be read. The record's key is `type`.
    pub kind: Option<Cow<'a, str>>,
    /// The code of the reply, such as `NXDOMAIN`.
    pub code: &'static str,
}

/// The TLS that the client spoke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// The server name of its `ClientHello`.
    pub sni: Option<Cow<'a, str>>,
    /// The version, such as `1.3`.
    pub version: Option<&'static str>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<Cow<'a, str>>,
}

/// A secret that was found in what the client sent. Of the text itself nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction<'a> {
    /// The redaction rule.
    pub rule: Cow<'a, str>,
    /// Where it stood: `body`, `header`, `url` or `websocket`. The record's key is `where`.
    pub place: &'static str,
    /// The header field it stood in.
    pub field: Option<Cow<'a, str>>,
    /// How often.
    pub count: u32,
    /// Its keyed fingerprint, which tells two secrets apart.
    pub fingerprint: Option<Cow<'a, str>>,
}

/// One line of the trail. `None` is "not known" and is left out of the line. Texts are borrowed where they can be: a record
/// lives as long as it takes to write it down.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// When the exchange began.
    pub time: OffsetDateTime,
    /// The exchange's name.
    pub id: ExchangeId,
    /// What the record tells of.
    pub event: Event,
    /// The workload whose policy applied.
    pub workload: Option<Cow<'a, str>>,
    /// The process that connected.
    pub client: Option<Client<'a>>,
    /// How the request came.
    pub form: Option<Form>,
    /// The request's method.
    pub method: Option<Cow<'a, str>>,
    /// The target's scheme: `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The target's host, canonical.
    pub host: Option<Cow<'a, str>>,
    /// The target's port.
    pub port: Option<u16>,
    /// The target's path, redacted.
    pub path: Option<Cow<'a, str>>,
    /// The target's query, redacted, without the question mark.
    pub query: Option<Cow<'a, str>>,
    /// The client's HTTP version.
    pub http: Option<HttpVersion>,
    /// The verdict. The record's key is `decision`.
    pub verdict: Option<Verdict>,
    /// The code of the deny reason; on an allowed exchange in observe mode, the reason that enforcing would have given.
    pub reason: Option<&'static str>,
    /// The rule that decided, as `list/number`.
    pub rule: Option<Cow<'a, str>>,
    /// The workload's mode: `enforce` or `observe`.
    pub mode: Option<&'static str>,
    /// What became of the bytes.
    pub treatment: Option<Treatment>,
    /// The address that was dialled.
    pub address: Option<IpAddr>,
    /// What was asked of the DNS listener. `host` is the name, `address` the first address told.
    pub dns: Option<Question<'a>>,
    /// The client's TLS.
    pub tls: Option<Tls<'a>>,
    /// The status of the reply, the origin's or Egret's own.
    pub status: Option<u16>,
    /// Bytes of the request's body, or of the tunnel towards the origin.
    pub bytes_out: Option<u64>,
    /// Bytes of the response's body, or of the tunnel towards the client.
    pub bytes_in: Option<u64>,
    /// From the head's first byte to the end. The record's key is `duration_ms`, with microseconds as decimals.
    pub duration: Option<Duration>,
    /// The secrets found in what the client sent.
    pub redactions: Vec<Redaction<'a>>,
    /// The trace id of the request's `traceparent` (W3C Trace Context).
    pub trace: Option<Cow<'a, str>>,
}

impl Record<'_> {
    /// A record of which nothing else is known yet.
    pub fn new(time: OffsetDateTime, id: ExchangeId, event: Event) -> Self {
        Self {
            time,
            id,
            event,
            workload: None,
            client: None,
            form: None,
            method: None,
            scheme: None,
            host: None,
            port: None,
            path: None,
            query: None,
            http: None,
            verdict: None,
            reason: None,
            rule: None,
            mode: None,
            treatment: None,
            address: None,
            dns: None,
            tls: None,
            status: None,
            bytes_out: None,
            bytes_in: None,
            duration: None,
            redactions: Vec::new(),
            trace: None,
        }
    }

    /// Appends the record to `out` as one JSON object on one line, without line end. The sink puts `v` and `seq` before the
    /// first member.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.raw("time", &rfc3339(self.time));
        object.raw("id", &self.id.text());
        object.word("event", self.event.as_str());
        self.write_origin_of_request(&mut object);
        self.write_request(&mut object);
        self.write_decision(&mut object);
        self.write_outcome(&mut object);
        object.close();
    }

    fn write_origin_of_request(&self, object: &mut Object<'_>) {
        object.text("workload", self.workload.as_ref());
        if let Some(client) = &self.client {
            object.object("client", |inner| client.write_members(inner));
        }
    }

    fn write_request(&self, object: &mut Object<'_>) {
        object.word("form", self.form.map(Form::as_str));
        object.text("method", self.method.as_ref());
        object.word("scheme", self.scheme);
        object.text("host", self.host.as_ref());
        object.number("port", self.port.map(u64::from));
        object.text("path", self.path.as_ref());
        object.text("query", self.query.as_ref());
        object.word("http", self.http.map(HttpVersion::as_str));
    }

    fn write_decision(&self, object: &mut Object<'_>) {
        object.word("decision", self.verdict.map(Verdict::as_str));
        object.word("reason", self.reason);
        object.text("rule", self.rule.as_ref());
        object.word("mode", self.mode);
        object.word("treatment", self.treatment.map(Treatment::as_str));
    }

    fn write_outcome(&self, object: &mut Object<'_>) {
        object.address("address", self.address);
        if let Some(question) = &self.dns {
            object.object("dns", |inner| question.write_members(inner));
        }
        if let Some(tls) = &self.tls {
            object.object("tls", |inner| tls.write_members(inner));
        }
        object.number("status", self.status.map(u64::from));
        object.number("bytes_out", self.bytes_out);
        object.number("bytes_in", self.bytes_in);
        let microseconds = self
            .duration
            .map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        object.thousandths("duration_ms", microseconds);
        object.list("redactions", &self.redactions, Redaction::write_members);
        object.text("trace", self.trace.as_ref());
    }
}

impl Redaction<'_> {
    fn write_members(&self, object: &mut Object<'_>) {
        object.text("rule", Some(&self.rule));
        object.word("where", self.place);
        object.text("field", self.field.as_ref());
        object.number("count", Some(u64::from(self.count)));
        object.text("fingerprint", self.fingerprint.as_ref());
    }
}

impl Question<'_> {
    fn write_members(&self, object: &mut Object<'_>) {
        object.text("type", self.kind.as_ref());
        object.word("rcode", self.code);
    }
}

impl Client<'_> {
    fn write_members(&self, object: &mut Object<'_>) {
        object.address("ip", Some(self.ip));
        object.number("port", Some(u64::from(self.port)));
        object.text("pod", self.pod.as_ref());
        object.text("user", self.user.as_ref());
    }
}

impl Tls<'_> {
    fn write_members(&self, object: &mut Object<'_>) {
        object.text("sni", self.sni.as_ref());
        object.word("version", self.version);
        object.text("alpn", self.alpn.as_ref());
    }
}

/// `2026-01-31T23:59:59.000001Z`. Several times as fast as `time`'s own formatter; a year before 0 reads as 0.
fn rfc3339(time: OffsetDateTime) -> [u8; 27] {
    let utc = time.checked_to_offset(UtcOffset::UTC).unwrap_or(time);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut places = text.iter_mut();
    let mut put = |digits: &[u8]| {
        for digit in digits {
            if let Some(place) = places.next() {
                *place = *digit;
            }
        }
        // Over the separator that follows.
        places.next();
    };
    put(&padded::<4>(u64::try_from(utc.year()).unwrap_or(0)));
    put(&padded::<2>(u64::from(u8::from(utc.month()))));
    put(&padded::<2>(u64::from(utc.day())));
    put(&padded::<2>(u64::from(utc.hour())));
    put(&padded::<2>(u64::from(utc.minute())));
    put(&padded::<2>(u64::from(utc.second())));
    put(&padded::<6>(u64::from(utc.microsecond())));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::format_description::well_known::Iso8601;
    use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};
    use time::macros::datetime;

    use super::*;

    const MICROSECONDS: EncodedConfig = Config::DEFAULT
        .set_time_precision(TimePrecision::Second {
            decimal_digits: std::num::NonZeroU8::new(6),
        })
        .encode();

    #[track_caller]
    fn check_time(time: OffsetDateTime) {
        let theirs = time.to_offset(UtcOffset::UTC).format(&Iso8601::<MICROSECONDS>).unwrap();
        assert_eq!(std::str::from_utf8(&rfc3339(time)).unwrap(), theirs);
    }

    #[test]
    fn times_read_as_the_time_crate_writes_them() {
        check_time(datetime!(1970-01-01 0:00 UTC));
        check_time(datetime!(2026-12-31 23:59:59.999_999_999 UTC));
        check_time(datetime!(2028-02-29 01:02:03.000_004 +05:30));
        check_time(datetime!(2026-01-01 00:30 +01));
        check_time(datetime!(9999-12-31 23:59:59 UTC));
    }

    proptest! {
        #[test]
        fn any_time_reads_as_the_time_crate_writes_it(seconds in 0..250_000_000_000i64, nanoseconds in 0..1_000_000_000i64) {
            let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap() + time::Duration::nanoseconds(nanoseconds);
            check_time(time);
        }
    }

    #[test]
    fn an_exchange_id_is_a_uuid_of_version_7() {
        let time = datetime!(2022-02-22 19:22:22 UTC);
        // The example of RFC 9562, appendix A.6.
        let random = 0x0cc3_18c4_dc0c_0c07_398f;
        assert_eq!(
            ExchangeId::new(time, random).to_string(),
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
        );
        assert_eq!(
            ExchangeId::new(time, u128::MAX).to_string(),
            "017f22e2-79b0-7fff-bfff-ffffffffffff"
        );
        assert!(ExchangeId::new(time, u128::MAX) < ExchangeId::new(time + Duration::from_millis(1), 0));
    }

    fn full() -> Record<'static> {
        let time = datetime!(2026-03-04 05:06:07.000_008 UTC);
        Record {
            workload: Some("github-mcp".into()),
            client: Some(Client {
                ip: "10.1.2.3".parse().unwrap(),
                port: 40_000,
                pod: Some("tools/github-0".into()),
                user: Some("alice".into()),
            }),
            form: Some(Form::Intercepted),
            method: Some("POST".into()),
            scheme: Some("https"),
            host: Some("api.github.com".into()),
            port: Some(443),
            path: Some("/repos/a/b\"\n".into()),
            query: Some("q=1".into()),
            http: Some(HttpVersion::Http2),
            verdict: Some(Verdict::Allow),
            reason: Some("path.not_listed"),
            rule: Some("github/1".into()),
            mode: Some("observe"),
            treatment: Some(Treatment::Intercept),
            address: Some("2001:db8::1".parse().unwrap()),
            tls: Some(Tls {
                sni: Some("api.github.com".into()),
                version: Some("1.3"),
                alpn: Some("h2".into()),
            }),
            status: Some(201),
            bytes_out: Some(10),
            bytes_in: Some(u64::MAX),
            duration: Some(Duration::from_micros(12_045)),
            trace: Some("0af7651916cd43dd8448eb211c80319c".into()),
            ..Record::new(time, ExchangeId::new(time, 1), Event::Exchange)
        }
    }

    #[track_caller]
    fn check(record: &Record<'_>, expected: &serde_json::Value) {
        let mut line = Vec::new();
        record.write_json(&mut line);
        assert!(!line.contains(&b'\n'));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), *expected);
    }

    #[test]
    fn a_full_record_has_every_key_of_the_contract() {
        check(
            &full(),
            &json!({
                "time": "2026-03-04T05:06:07.000008Z", "id": "019cb73d-3218-7000-8000-000000000001", "event": "exchange",
                "workload": "github-mcp",
                "client": {"ip": "10.1.2.3", "port": 40000, "pod": "tools/github-0", "user": "alice"},
                "form": "intercepted", "method": "POST", "scheme": "https", "host": "api.github.com", "port": 443,
                "path": "/repos/a/b\"\n", "query": "q=1", "http": "2",
                "decision": "allow", "reason": "path.not_listed", "rule": "github/1", "mode": "observe",
                "treatment": "intercept", "address": "2001:db8::1",
                "tls": {"sni": "api.github.com", "version": "1.3", "alpn": "h2"},
                "status": 201, "bytes_out": 10, "bytes_in": u64::MAX, "duration_ms": 12.045,
                "trace": "0af7651916cd43dd8448eb211c80319c",
            }),
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let time = datetime!(2026-03-04 05:06:07 UTC);
        let record = Record {
            client: Some(Client {
                ip: "::1".parse().unwrap(),
                port: 1,
                pod: None,
                user: None,
            }),
            tls: Some(Tls::default()),
            ..Record::new(time, ExchangeId::new(time, 0), Event::Tunnel)
        };
        check(
            &record,
            &json!({
                "time": "2026-03-04T05:06:07.000000Z", "id": "019cb73d-3218-7000-8000-000000000000", "event": "tunnel",
                "client": {"ip": "::1", "port": 1}, "tls": {},
            }),
        );
    }
}
