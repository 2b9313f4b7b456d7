//! What is measured: one row is one kind of traffic, with a fixed number of requests.

use serde::{Deserialize, Serialize};

/// How the client reaches the origin through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// `GET http://origin/…` sent to the proxy.
    Absolute,
    /// CONNECT, then TLS with the origin itself.
    Tunnel,
    /// CONNECT, then TLS with the proxy, which opens its own to the origin.
    Intercept,
}

/// What one request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exchange {
    /// A GET that is answered with a small JSON document.
    Get,
    /// A POST of a JSON body of that many bytes.
    Post(usize),
    /// That many bytes, down and up by turns.
    Bulk(usize),
    /// A tunnel that is opened and then held, idle, to the end.
    Hold,
    /// A POST with made-up secrets whose body is sent back.
    Echo,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) form: Form,
    pub(crate) exchange: Exchange,
    /// Requests in flight at once.
    pub(crate) clients: usize,
    /// Requests in one measurement, unless its time ends before.
    pub(crate) count: u64,
    /// A new connection for each request.
    pub(crate) fresh: bool,
}

impl Row {
    /// Requests before the clocks are read: at least one by each client.
    pub(crate) fn warm_up(&self) -> u64 {
        if self.exchange == Exchange::Echo {
            return 0;
        }
        (self.count / 16).max(self.clients as u64)
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const ROWS: [Row; 9] = [
    Row {
        name: "plain",
        title: "Plain HTTP, absolute-form, keep-alive, 64 clients",
        form: Form::Absolute,
        exchange: Exchange::Get,
        clients: 64,
        count: 30_000,
        fresh: false,
    },
    Row {
        name: "connect",
        title: "CONNECT and one request, a new tunnel each, 16 clients",
        form: Form::Tunnel,
        exchange: Exchange::Get,
        clients: 16,
        count: 3_000,
        fresh: true,
    },
    Row {
        name: "throughput",
        title: "Tunnel throughput, both directions, 4 tunnels",
        form: Form::Tunnel,
        exchange: Exchange::Bulk(16 * MIB),
        clients: 4,
        count: 128,
        fresh: false,
    },
    Row {
        name: "get",
        title: "Intercepted GET, keep-alive, 64 clients",
        form: Form::Intercept,
        exchange: Exchange::Get,
        clients: 64,
        count: 30_000,
        fresh: false,
    },
    Row {
        name: "post-1k",
        title: "Intercepted POST of 1 KiB JSON, keep-alive, 64 clients",
        form: Form::Intercept,
        exchange: Exchange::Post(KIB),
        clients: 64,
        count: 30_000,
        fresh: false,
    },
    Row {
        name: "post-64k",
        title: "Intercepted POST of 64 KiB JSON, keep-alive, 16 clients",
        form: Form::Intercept,
        exchange: Exchange::Post(64 * KIB),
        clients: 16,
        count: 8_000,
        fresh: false,
    },
    Row {
        name: "post-10m",
        title: "Intercepted POST of 10 MiB JSON, keep-alive, 4 clients",
        form: Form::Intercept,
        exchange: Exchange::Post(10 * MIB),
        clients: 4,
        count: 80,
        fresh: false,
    },
    Row {
        name: "new",
        title: "Intercepted GET, a new connection each, 16 clients",
        form: Form::Intercept,
        exchange: Exchange::Get,
        clients: 16,
        count: 1_500,
        fresh: true,
    },
    Row {
        name: "idle",
        title: "1,000 idle tunnels",
        form: Form::Tunnel,
        exchange: Exchange::Hold,
        clients: 32,
        count: 1_000,
        fresh: true,
    },
];

/// Whether redaction is really on.
pub(crate) const PROBE: Row = Row {
    name: "probe",
    title: "Redaction probe",
    form: Form::Intercept,
    exchange: Exchange::Echo,
    clients: 1,
    count: 1,
    fresh: true,
};

/// The rows of those names, all for none; or the first name that no row has.
pub(crate) fn named(names: &[String]) -> Result<Vec<Row>, String> {
    if let Some(unknown) = names.iter().find(|name| !has_row(name)) {
        return Err(unknown.clone());
    }
    let wanted = |row: &Row| names.is_empty() || names.iter().any(|name| name == row.name);
    Ok(ROWS.into_iter().filter(wanted).collect())
}

fn has_row(name: &str) -> bool {
    ROWS.iter().any(|row| row.name == name)
}

pub(crate) fn names() -> String {
    ROWS.map(|row| row.name).join(", ")
}
