//! The limits: each has a name, a default, a range and a sentence that says what happens at it, in one table.
//!
//! The table makes the struct, reads the configuration and prints the reference, so that the three can't differ.

use std::fmt::Write as _;
use std::time::Duration;

use super::error::{ConfigError, Errors, Problem};
use super::field::Field;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// What a limit counts, and how a person writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// Bytes: a plain number, or one with `KiB`, `MiB` or `GiB`.
    Bytes,
    /// Milliseconds: a number with `ms`, `s`, `m` or `h`.
    Time,
}

/// One limit's entry in the table.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The key below `limits`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The value when the key is absent, in the unit's base (one, bytes, milliseconds).
    pub default: u64,
    /// The least value that may be configured.
    pub least: u64,
    /// The greatest value that may be configured.
    pub most: u64,
    /// What is limited, and what happens at the limit.
    pub sentence: &'static str,
}

macro_rules! limits {
    ($($(#[doc = $sentence:literal])+ $name:ident: $unit:ident = $default:expr, $least:expr => $most:expr;)+) => {
        /// Every limit with its value.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $sentence])+ pub $name: limits!(@type $unit),)+
        }

        /// The table of all limits, in the reference's order.
        pub const LIMITS: &[Limit] = &[
            $(Limit {
                name: stringify!($name),
                unit: Unit::$unit,
                default: $default,
                least: $least,
                most: $most,
                sentence: concat!($($sentence),+),
            },)+
        ];

        /// The keys that may stand below `limits`.
        const KEYS: &[&str] = &[$(stringify!($name)),+];

        impl Limits {
            fn from_values(value: impl Fn(&str, u64) -> u64) -> Self {
                Self {
                    $($name: limits!(@value $unit, value(stringify!($name), $default)),)+
                }
            }
        }
    };
    (@type Count) => { usize };
    (@type Bytes) => { u64 };
    (@type Time) => { Duration };
    (@value Count, $value:expr) => { usize::try_from($value).unwrap_or(usize::MAX) };
    (@value Bytes, $value:expr) => { $value };
    (@value Time, $value:expr) => { Duration::from_millis($value) };
}

limits! {
    /// Client connections open at once; a further one gets 503 `limit.connections` and is closed.
    connections: Count = 10_000, 1 => 1_000_000;
    /// Open connections of one client address; a further one gets 429 `limit.client_connections` and is closed.
    connections_per_client: Count = 1_000, 1 => 1_000_000;
    /// Exchanges and tunnels under way at once; a further one gets 503 `limit.exchanges`.
    exchanges: Count = 20_000, 1 => 1_000_000;
    /// Bytes of one message head; a longer request gets 431 `limit.head_size`.
    head_bytes: Bytes = 64 * KIB, KIB => 1_024 * KIB;
    /// Fields of one message head; a request with more gets 431 `limit.head_fields`.
    head_fields: Count = 128, 8 => 1_024;
    /// Time for a request head, or a SOCKS5 negotiation, to arrive whole; a slower one gets 408 `limit.head_timeout`.
    head_timeout: Time = 10 * SECOND, 100 => 10 * MINUTE;
    /// Time for a `ClientHello` to arrive whole after CONNECT, and for the handshake on `proxy.tls.listen`; a slower one is closed with `limit.client_hello_timeout`.
    client_hello_timeout: Time = 10 * SECOND, 100 => 10 * MINUTE;
    /// Bytes of one request body, streamed and never held whole; a longer one is cut off with 413 `limit.body_size`.
    body_bytes: Bytes = 64 * GIB, KIB => 1_048_576 * GIB;
    /// Silence in both directions of an exchange or between two exchanges; a connection silent for longer is closed with `limit.idle`.
    idle_timeout: Time = 5 * MINUTE, SECOND => 24 * HOUR;
    /// Silence in both directions of a tunnel or a WebSocket; one silent for longer is closed with `limit.idle`.
    tunnel_idle_timeout: Time = HOUR, SECOND => 168 * HOUR;
    /// Time to connect to an origin, its TLS handshake included; a slower one gets 504 `upstream.connect_timeout`.
    connect_timeout: Time = 10 * SECOND, 100 => 5 * MINUTE;
    /// Time from the request's last byte to the response head; a slower origin gets 504 `upstream.response_timeout`.
    response_timeout: Time = 5 * MINUTE, 100 => 24 * HOUR;
    /// Time to look up a name; a slower answer gets 504 `upstream.resolve_timeout`.
    dns_timeout: Time = 5 * SECOND, 100 => MINUTE;
    /// Names in the DNS cache; at the limit the least recently used is dropped.
    dns_cache_entries: Count = 4_096, 1 => 1_000_000;
    /// DNS queries that a workload may ask the DNS listener in one second; a further one is refused with `limit.dns_queries`, and of those one a second is recorded.
    dns_queries: Count = 200, 1 => 1_000_000;
    /// Silence on a TCP connection to the DNS listener; one silent for longer is closed.
    dns_idle_timeout: Time = 10 * SECOND, 100 => 10 * MINUTE;
    /// Minted certificates kept; at the limit one not used lately is dropped and minted again when needed.
    certificate_cache: Count = 1_024, 1 => 1_000_000;
    /// Idle connections kept to one origin for one workload; a further one is closed after its exchange, and so is one beyond an eighth (a quarter for all workloads together) of the files that the process may open.
    pool_idle_per_origin: Count = 256, 0 => 10_000;
    /// Time that an idle connection to an origin is kept; then it is closed.
    pool_idle_timeout: Time = 90 * SECOND, SECOND => HOUR;
    /// Streams open at once on one HTTP/2 connection of a client; the client is told, and a further one is refused.
    h2_streams: Count = 128, 1 => 10_000;
    /// Time for live exchanges and tunnels to end after SIGTERM; then they are closed.
    drain_timeout: Time = 30 * SECOND, 0 => HOUR;
}

impl Default for Limits {
    fn default() -> Self {
        Self::from_values(|_, default| default)
    }
}

impl Limits {
    /// Reads the `limits` table; every limit that isn't there has its default.
    pub(super) fn read(field: &Field<'_>, errors: &mut Errors) -> Self {
        let table = field.table(KEYS, errors);
        let mut given = Vec::new();
        for limit in LIMITS {
            let Some(field) = table.get(limit.name) else {
                continue;
            };
            given.extend(errors.keep(limit.read(&field)).map(|value| (limit.name, value)));
        }
        Self::from_values(|name, default| {
            given
                .iter()
                .find(|(given, _)| *given == name)
                .map_or(default, |(_, value)| *value)
        })
    }
}

impl Limit {
    fn read(&self, field: &Field<'_>) -> Result<u64, ConfigError> {
        let value = self.unit.read(field)?;
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        let [found, least, most] = [value, self.least, self.most].map(|value| self.unit.show(value));
        Err(field.error(Problem::OutOfRange { found, least, most }))
    }
}

const COUNT: &str = "a whole number such as 1000";
const BYTES: &str = "bytes such as 65536 or 64KiB";
const TIME: &str = "a duration such as 500ms, 10s, 5m or 1h";

impl Unit {
    fn read(self, field: &Field<'_>) -> Result<u64, ConfigError> {
        let wrong = |wanted| {
            field.error(Problem::WrongShape {
                found: field.shape(),
                wanted,
            })
        };
        match self {
            Self::Count => field.count().ok_or_else(|| wrong(COUNT)),
            Self::Bytes => match field.count() {
                Some(bytes) => Ok(bytes),
                None => field.parse("a number of bytes", BYTES, bytes),
            },
            Self::Time => field.parse("a duration", TIME, milliseconds),
        }
    }

    /// The value as a person would write it.
    fn show(self, value: u64) -> String {
        let units: &[(u64, &str)] = match self {
            Self::Count => &[],
            Self::Bytes => &[(GIB, "GiB"), (KIB * KIB, "MiB"), (KIB, "KiB")],
            Self::Time => &[(HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")],
        };
        let whole = units
            .iter()
            .find(|(unit, _)| value >= *unit && value.is_multiple_of(*unit));
        match whole {
            Some((unit, name)) => format!("{}{name}", value / unit),
            None if self == Self::Time => format!("{value}s"),
            None => value.to_string(),
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    number_with_unit(text, &[("KiB", KIB), ("MiB", KIB * KIB), ("GiB", GIB)])
}

fn milliseconds(text: &str) -> Option<u64> {
    number_with_unit(text, &[("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR)])
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The reference of all limits as a Markdown table.
pub fn reference() -> String {
    let mut text = String::from("| limit | default | range | what happens at it |\n|---|---|---|---|\n");
    for Limit {
        name,
        unit,
        default,
        least,
        most,
        sentence,
    } in LIMITS
    {
        let [default, least, most] = [default, least, most].map(|value| unit.show(*value));
        // Writing to a `String` can't fail.
        let _infallible = writeln!(
            text,
            "| `{name}` | {default} | {least} to {most} | {} |",
            sentence.trim()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_lies_in_its_range() {
        for limit in LIMITS {
            assert!((limit.least..=limit.most).contains(&limit.default), "{}", limit.name);
        }
    }

    #[test]
    fn each_limit_reads_back_what_it_shows() {
        for limit in LIMITS {
            for value in [limit.default, limit.least, limit.most] {
                let shown = limit.unit.show(value);
                let read = match limit.unit {
                    Unit::Count => shown.parse().ok(),
                    Unit::Bytes => bytes(&shown).or_else(|| shown.parse().ok()),
                    Unit::Time => milliseconds(&shown),
                };
                assert_eq!(read, Some(value), "{} shows {shown}", limit.name);
            }
        }
    }

    #[test]
    fn the_reference_has_a_row_for_each_limit_with_its_default_and_sentence() {
        let reference = reference();
        assert_eq!(reference.lines().count(), LIMITS.len() + 2);
        assert!(
            reference.contains("| `head_timeout` | 10s | 100ms to 10m | Time for a request head"),
            "{reference}"
        );
        for limit in LIMITS {
            assert!(limit.sentence.trim().ends_with('.'), "{}", limit.name);
        }
    }

    #[track_caller]
    fn check_time(text: &str, expected: Option<u64>) {
        assert_eq!(milliseconds(text), expected, "{text:?}");
    }

    #[test]
    fn durations() {
        check_time("10s", Some(10_000));
        check_time("500ms", Some(500));
        check_time("5m", Some(300_000));
        check_time("1h", Some(3_600_000));
        check_time("0s", Some(0));
        for bad in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            " 10s",
            "10 s",
            "10S",
            "1d",
            "1h30m",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            check_time(bad, None);
        }
    }
}
