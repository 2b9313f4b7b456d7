//! Files to a [`Config`]: reads everything, notes every error, and gives out a whole configuration or none.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::allowlist::{self, LoadedList, Text};
use super::error::{ConfigError, ConfigErrors, Errors, FileProblem, Problem, Shape};
use super::field::{Field, Table};
use super::source::{self, Seen};
use super::state::{self, State};
use super::{Audit, CaFiles, Config, Dns, DnsAnswer, ExampleKeys, Limits, OnFailure, Redaction};
use super::{document, redaction, shipped, tls, workload};
use crate::policy::Exception;
use crate::redact::{FingerprintKey, Redactor, Rules};

const KEYS: &[&str] = &[
    "proxy",
    "transparent",
    "admin",
    "state_dir",
    "allowlists",
    "ca",
    "workloads",
    "addresses",
    "dns",
    "upstream",
    "redaction",
    "audit",
    "limits",
];
const PROXY: &[&str] = &["listen", "tls"];
const LISTENER: &[&str] = &["listen"];
const CA: &[&str] = &["certificate", "key"];
const ADDRESSES: &[&str] = &["permit"];
const PERMIT: &[&str] = &["host", "networks"];
const DNS: &[&str] = &["servers", "listen", "answer"];
const UPSTREAM: &[&str] = &["roots", "proxy"];
const AUDIT: &[&str] = &["path", "on_failure"];
const DNS_ANSWERS: &[&str] = &["resolved"];
const ON_FAILURE: &[&str] = &["refuse", "continue"];

const DNS_PORT: u16 = 53;

/// Loads a configuration, or the embedded one, and makes the fingerprint key in its state folder when absent.
///
/// # Errors
///
/// Everything that is wrong with it. The state folder is touched only when nothing else is wrong.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    read(file, State::Keep)
}

/// Loads a configuration as [`load`] does but makes nothing: fingerprints are made with a key for this process alone.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn inspect(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    read(file, State::Leave)
}

fn read(file: Option<&Path>, state: State) -> Result<Config, ConfigErrors> {
    let reading = Reading::of(file);
    let name: Arc<str> =
        Arc::from(file.map_or_else(|| shipped::DEFAULT_FILE.to_owned(), |file| file.display().to_string()));
    let text = file.map_or_else(|| Ok(shipped::DEFAULT.to_owned()), source::read_text);
    let text = text.map_err(|problem| whole_file(&name, problem));
    let node = text.and_then(|text| document::parse(&name, &text));
    match node {
        Ok(node) => configuration(&Field::root(&name, &node), reading, state),
        Err(error) => Err(ConfigErrors::from(error)),
    }
}

fn whole_file(name: &Arc<str>, problem: FileProblem) -> ConfigError {
    ConfigError {
        file: Arc::clone(name),
        position: None,
        key: String::new(),
        problem: Box::new(Problem::Unusable(problem)),
    }
}

/// What is common to the reading of all files of one configuration.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) errors: Errors,
    folder: PathBuf,
    sources: Vec<PathBuf>,
}

impl Reading {
    fn of(file: Option<&Path>) -> Self {
        let folder = file.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let sources = file.map(Path::to_owned).into_iter().collect();
        Self {
            errors: Errors::default(),
            folder,
            sources,
        }
    }

    /// A path of the configuration that is relative to the configuration's folder.
    pub(super) fn beside_configuration(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Notes a file or folder that a reload watches.
    pub(super) fn add_source(&mut self, path: &Path) {
        self.sources.push(path.to_owned());
    }

    /// The text of a file that `field` names; `None` after noting why not.
    pub(super) fn text(&mut self, path: &Path, field: &Field<'_>) -> Option<String> {
        self.add_source(path);
        let text = source::read_text(path).map_err(|problem| at_field(field, path, problem));
        self.errors.keep(text)
    }
}

pub(super) fn at_field(field: &Field<'_>, path: &Path, problem: FileProblem) -> ConfigError {
    field.error(Problem::File {
        path: path.display().to_string(),
        problem,
    })
}

fn configuration(root: &Field<'_>, mut reading: Reading, state: State) -> Result<Config, ConfigErrors> {
    let table = root.table(KEYS, &mut reading.errors);
    let parts = redaction::read(&table, &mut reading);
    let allowlists = allowlists(&table, parts.rules.as_deref(), &mut reading);
    let upstream_roots = upstream_roots(&table, &mut reading);
    let proxy = table.get("proxy").map(|field| field.table(PROXY, &mut reading.errors));
    let proxy_listen = listen(proxy.as_ref(), 3128, &mut reading.errors);
    let proxy_tls = proxy.as_ref().and_then(|proxy| tls::read(proxy, &mut reading));
    let errors = &mut reading.errors;
    let transparent_listen = table.get("transparent").and_then(|field| {
        let table = field.table(LISTENER, errors);
        let listen = table.get("listen").filter(|listen| !listen.is_nothing())?;
        errors.keep(socket(&listen, "one such as 10.1.0.2:3129 or \"[::1]:3129\""))
    });
    let admin = table.get("admin").map(|field| field.table(LISTENER, errors));
    let admin_listen = listen(admin.as_ref(), 9090, errors);
    let dns = dns(&table, errors);
    let listeners = [
        ("proxy.listen", Some(proxy_listen)),
        ("proxy.tls.listen", proxy_tls.as_ref().map(|tls| tls.listen)),
        ("transparent.listen", transparent_listen),
        ("dns.listen", dns.listen),
        ("admin.listen", Some(admin_listen)),
    ];
    apart(&table, listeners, errors);
    let state_dir = table.read_or("state_dir", PathBuf::from("./egret-state"), errors, path);
    let ca = ca(&table, &state_dir, errors);
    let workloads = workload::workloads(
        table.get("workloads"),
        &allowlists,
        may_show_certificates(proxy.as_ref()),
        errors,
    );
    let address_exceptions = exceptions(&table, errors);
    let audit = audit(&table, &state_dir, errors);
    let limits = table
        .get("limits")
        .map(|field| Limits::read(&field, errors))
        .unwrap_or_default();
    // Nothing is made before all is known to be right.
    let rules = reading.errors.give(parts.rules)?;
    let key = fingerprint_key(&table, &state_dir, state)?;
    let redactor = Redactor::new(Arc::clone(&rules), parts.replacement, key).with_known(Arc::new(parts.known));
    let redactor = Arc::new(match parts.examples {
        ExampleKeys::Redact => redactor,
        ExampleKeys::Pass => redactor.with_examples_passing(),
    });
    Ok(Config {
        proxy_listen,
        proxy_tls,
        transparent_listen,
        admin_listen,
        state_dir,
        ca,
        workloads,
        address_exceptions,
        dns,
        upstream_roots,
        redaction: Redaction {
            rules,
            redactor,
            audiences: parts.audiences,
            surfaces: parts.surfaces,
        },
        audit,
        limits,
        allowlists,
        sources: reading.sources,
    })
}

fn fingerprint_key(root: &Table<'_>, state_dir: &Path, state: State) -> Result<FingerprintKey, ConfigErrors> {
    let key = match state {
        State::Keep => state::kept_key(state_dir),
        State::Leave => state::random_key(),
    };
    let key = key.map_err(|error| {
        let problem = Problem::State {
            path: error.path.display().to_string(),
            kind: error.source.kind(),
        };
        let field = root.get("state_dir");
        ConfigErrors::from(field.as_ref().unwrap_or(root.field()).error(problem))
    });
    Ok(FingerprintKey::new(&key?))
}

fn allowlists(root: &Table<'_>, rules: Option<&Rules>, reading: &mut Reading) -> Vec<Arc<LoadedList>> {
    let mut lists = Vec::new();
    let Some(field) = root.get("allowlists") else {
        for (file, text) in shipped::ALLOWLISTS {
            let text = Text {
                file: &Arc::from(*file),
                yaml: text,
                shipped: true,
            };
            lists.extend(allowlist::read(&text, rules, &mut reading.errors));
        }
        return unique(lists, &mut reading.errors);
    };
    let named = reading
        .errors
        .keep(field.list("a list of files and folders"))
        .unwrap_or_default();
    let mut seen = Seen::default();
    for item in &named {
        for path in files(item, reading) {
            if !seen.is_new(&path) {
                continue;
            }
            let Some(text) = reading.text(&path, item) else {
                continue;
            };
            let file = Arc::from(path.display().to_string());
            let text = Text {
                file: &file,
                yaml: &text,
                shipped: false,
            };
            lists.extend(allowlist::read(&text, rules, &mut reading.errors));
        }
    }
    unique(lists, &mut reading.errors)
}

/// The files of one entry of `allowlists`; a folder is a source too, so that a new file in it is seen.
fn files(item: &Field<'_>, reading: &mut Reading) -> Vec<PathBuf> {
    let Some(name) = reading.errors.keep(item.text("a file or a folder")) else {
        return Vec::new();
    };
    let path = reading.beside_configuration(name);
    if path.is_dir() {
        reading.sources.push(path.clone());
    }
    let files = source::files_of(&path).map_err(|problem| at_field(item, &path, problem));
    reading.errors.keep(files).unwrap_or_default()
}

/// Workloads name lists, so a name is one list's.
fn unique(lists: Vec<LoadedList>, errors: &mut Errors) -> Vec<Arc<LoadedList>> {
    let mut unique: Vec<Arc<LoadedList>> = Vec::new();
    for list in lists {
        match unique.iter().find(|first| first.list.name() == list.list.name()) {
            Some(first) => errors.add(list.repeats(first)),
            None => unique.push(Arc::new(list)),
        }
    }
    unique
}

fn path(field: &Field<'_>) -> Result<PathBuf, ConfigError> {
    let text = field.text("a path")?;
    if text.is_empty() {
        return Err(field.error(Problem::WrongText {
            found: String::new(),
            wanted: "a path",
            example: "one such as ./egret-state",
        }));
    }
    Ok(PathBuf::from(text))
}

fn listen(table: Option<&Table<'_>>, port: u16, errors: &mut Errors) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], port));
    table.map_or(default, |table| {
        table.read_or("listen", default, errors, listen_address)
    })
}

pub(super) fn listen_address(field: &Field<'_>) -> Result<SocketAddr, ConfigError> {
    socket(field, "one such as 127.0.0.1:3128 or \"[::1]:3128\"")
}

fn socket(field: &Field<'_>, example: &'static str) -> Result<SocketAddr, ConfigError> {
    field.parse("an address with a port", example, |text| text.parse().ok())
}

/// No two listeners may have one address. Named is the one that stands further down in the reference.
fn apart<const N: usize>(root: &Table<'_>, listeners: [(&'static str, Option<SocketAddr>); N], errors: &mut Errors) {
    let mut before: Vec<(&'static str, SocketAddr)> = Vec::new();
    for (one, address) in listeners {
        let Some(address) = address else { continue };
        for (other, _) in before.iter().filter(|(_, other)| is_same(address, *other)) {
            let section = |key: &str| root.get(key.split('.').next().unwrap_or_default());
            let field = section(one).or_else(|| section(other));
            let problem = Problem::SameListener { one, other };
            errors.add(field.as_ref().unwrap_or(root.field()).error(problem));
        }
        before.push((one, address));
    }
}

fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    // Port 0 is whichever is free.
    one.port() == other.port() && one.port() != 0 && same_host
}

/// Whether the configuration means to ask clients for certificates; how well, `tls` says.
fn may_show_certificates(proxy: Option<&Table<'_>>) -> bool {
    let tls = proxy.and_then(|proxy| proxy.get("tls"));
    tls.is_some_and(|tls| tls.has("client_ca"))
}

fn ca(root: &Table<'_>, state_dir: &Path, errors: &mut Errors) -> CaFiles {
    let mut files = CaFiles {
        certificate: PathBuf::from("ca.crt"),
        key: PathBuf::from("ca.key"),
    };
    if let Some(field) = root.get("ca") {
        let table = field.table(CA, errors);
        files.certificate = table.read_or("certificate", files.certificate, errors, path);
        files.key = table.read_or("key", files.key, errors, path);
    }
    CaFiles {
        certificate: state_dir.join(files.certificate),
        key: state_dir.join(files.key),
    }
}

fn exceptions(root: &Table<'_>, errors: &mut Errors) -> Vec<Exception> {
    let Some(field) = root.get("addresses") else {
        return Vec::new();
    };
    let table = field.table(ADDRESSES, errors);
    let items = table
        .get("permit")
        .and_then(|permit| errors.keep(permit.list("a list of {host, networks}")))
        .unwrap_or_default();
    items.iter().filter_map(|item| exception(item, errors)).collect()
}

fn exception(field: &Field<'_>, errors: &mut Errors) -> Option<Exception> {
    let table = field.table(PERMIT, errors);
    let host = table.require("host", "name the host whose addresses may be special", errors);
    let host = host.and_then(|host| errors.keep(allowlist::host(&host)));
    let networks = table.require(
        "networks",
        "name the networks that the host's addresses may be in",
        errors,
    );
    let networks = networks.and_then(|_| workload::networks(&table, errors));
    Some(Exception {
        hosts: host?,
        networks: networks?,
    })
}

fn dns(root: &Table<'_>, errors: &mut Errors) -> Dns {
    let Some(field) = root.get("dns") else {
        return Dns::default();
    };
    let table = field.table(DNS, errors);
    let servers = table.read_list(
        "servers",
        "a list of addresses, or [] for the system's servers",
        errors,
        name_server,
    );
    let servers = servers.unwrap_or_default();
    let listen = table.get("listen").filter(|listen| !listen.is_nothing());
    if let Some(own) = listen.as_ref() {
        note_circle(own, &servers, errors);
    }
    Dns {
        listen: listen.and_then(|listen| errors.keep(socket(&listen, "one such as 10.1.0.2:53 or \"[::1]:53\""))),
        answer: table
            .get("answer")
            .map(|answer| dns_answer(&answer, errors))
            .unwrap_or_default(),
        servers,
    }
}

/// A listener that asks itself would never come to an answer.
fn note_circle(listen: &Field<'_>, servers: &[SocketAddr], errors: &mut Errors) {
    let own = listen.text("an address").ok().and_then(|text| text.parse().ok());
    if own.is_some_and(|own| servers.contains(&own)) {
        errors.add(listen.error(Problem::AsksItself));
    }
}

fn dns_answer(field: &Field<'_>, errors: &mut Errors) -> DnsAnswer {
    if field.shape() != Shape::List {
        errors.keep(field.one_of(DNS_ANSWERS, &[()]));
        return DnsAnswer::Resolved;
    }
    let items = errors.keep(field.list("a list of addresses")).unwrap_or_default();
    if items.is_empty() {
        let remedy = "write resolved, or addresses of Egret's own";
        errors.add(field.error(Problem::EmptyList { remedy }));
    }
    let addresses = items.iter().filter_map(|item| errors.keep(told_address(item)));
    DnsAnswer::Fixed(addresses.collect())
}

/// An address that a client can connect to.
fn told_address(field: &Field<'_>) -> Result<IpAddr, ConfigError> {
    field.parse("an address of Egret's own", "one such as 10.1.0.2", |text| {
        let address: IpAddr = text.parse().ok()?;
        (!address.is_unspecified() && !address.is_multicast()).then_some(address)
    })
}

fn name_server(field: &Field<'_>) -> Result<SocketAddr, ConfigError> {
    let example = "one such as 1.1.1.1, 127.0.0.1:5353 or \"[::1]:53\"";
    let text = field.text(example)?;
    if text.starts_with("tls://") || text.starts_with("https://") {
        return Err(field.error(Problem::NotInThisRelease {
            feature: "DNS over TLS or HTTPS",
        }));
    }
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .ok()
            .map(|address| SocketAddr::new(address, DNS_PORT))
    };
    let socket = |text: &str| text.parse::<SocketAddr>().ok().filter(|socket| socket.port() != 0);
    field.parse("a DNS server", example, |text| address(text).or_else(|| socket(text)))
}

fn upstream_roots(root: &Table<'_>, reading: &mut Reading) -> Vec<PathBuf> {
    let Some(field) = root.get("upstream") else {
        return Vec::new();
    };
    let table = field.table(UPSTREAM, &mut reading.errors);
    if let Some(proxy) = table.get("proxy").filter(|proxy| !proxy.is_nothing()) {
        reading.errors.add(proxy.error(Problem::NotInThisRelease {
            feature: "chaining to another proxy",
        }));
    }
    let Some(roots) = table.get("roots") else {
        return Vec::new();
    };
    let items = reading
        .errors
        .keep(roots.list("a list of PEM files"))
        .unwrap_or_default();
    items.iter().filter_map(|item| root_file(item, reading)).collect()
}

fn root_file(field: &Field<'_>, reading: &mut Reading) -> Option<PathBuf> {
    let name = reading.errors.keep(field.text("a PEM file"))?;
    let path = reading.beside_configuration(name);
    reading.sources.push(path.clone());
    let checked = source::read_bytes(&path).and_then(|pem| roots(&pem));
    reading
        .errors
        .keep(checked.map_err(|problem| at_field(field, &path, problem)))?;
    Some(path)
}

/// Every certificate of the file must do as a root, and there must be one.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, FileProblem> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.ok().and_then(|certificate| store.add(certificate).ok());
        added.ok_or(FileProblem::NoCertificate)?;
    }
    if store.is_empty() {
        Err(FileProblem::NoCertificate)
    } else {
        Ok(store)
    }
}

fn audit(root: &Table<'_>, state_dir: &Path, errors: &mut Errors) -> Audit {
    let default = Audit {
        path: state_dir.join("audit.jsonl"),
        on_failure: OnFailure::Refuse,
    };
    let Some(field) = root.get("audit") else {
        return default;
    };
    let table = field.table(AUDIT, errors);
    let on_failure = |field: &Field<'_>| field.one_of(ON_FAILURE, &[OnFailure::Refuse, OnFailure::Continue]);
    Audit {
        path: table.read_or("path", default.path, errors, path),
        on_failure: table.read_or("on_failure", default.on_failure, errors, on_failure),
    }
}
