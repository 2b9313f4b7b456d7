//! The configuration: YAML files to domain types, whole or not at all.
//!
//! This is the only folder that reads configuration files. A document becomes a tree that knows its places (`document`), the tree is read
//! key by key with every error noted (`field`), and only a configuration without errors is given out.
//!
//! Relative paths: files that the configuration names to be read (`proxy.tls`, `allowlists`, `upstream.roots`, `redaction.rules`, `redaction.known_secrets`) are relative
//! to the configuration file's folder; `ca.certificate` and `ca.key` to `state_dir`; `state_dir` and `audit.path` to the working directory.
//!
//! Not here: watching files ([`Config::sources`] says which), making the CA, opening anything for writing but the fingerprint key.

mod allowlist;
mod closest;
mod document;
mod error;
mod field;
mod known_secrets;
mod limits;
mod load;
mod probe;
mod redaction;
mod shipped;
mod source;
pub mod state;
#[cfg(test)]
mod tests;
mod tls;

mod workload;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

pub use allowlist::{Example, LoadedList, Verdict};
pub use error::{ConfigError, ConfigErrors, Position, Problem, Shape};
pub use limits::{LIMITS, Limit, Limits, Unit, reference};
pub use load::{inspect, load};
pub use probe::{Probe, ProbeError};
pub use redaction::Audiences;
pub use shipped::{ALLOWLISTS, DEFAULT};
pub use tls::TlsListener;

use crate::identity::Workloads;
use crate::policy::{AddressRules, Exception};
use crate::redact::{Redactor, Rules};

/// A whole configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Where clients connect.
    pub proxy_listen: SocketAddr,
    /// Where they connect by TLS, if they may.
    pub proxy_tls: Option<TlsListener>,
    /// Where connections come in that a packet filter redirects; none: nowhere.
    pub transparent_listen: Option<SocketAddr>,
    /// Where metrics, health and console are.
    pub admin_listen: SocketAddr,
    /// The folder for what Egret makes itself, relative to the working directory.
    pub state_dir: PathBuf,
    /// The issuer's files.
    pub ca: CaFiles,
    /// Who may ask, and for what.
    pub workloads: Workloads,
    /// Exceptions to the refusal of special-use addresses; see [`Config::address_rules`].
    pub address_exceptions: Vec<Exception>,
    /// Which DNS servers are asked.
    pub dns: Dns,
    /// PEM files with further roots for origins; each holds a certificate.
    pub upstream_roots: Vec<PathBuf>,
    /// What leaves unreadable.
    pub redaction: Redaction,
    /// The audit trail.
    pub audit: Audit,
    /// Bounds on everything.
    pub limits: Limits,
    /// Every allowlist read, with its examples.
    pub allowlists: Vec<Arc<LoadedList>>,
    /// Every file and folder read: what a reload watches. Empty for the embedded configuration.
    pub sources: Vec<PathBuf>,
}

impl Config {
    /// The address rules of a proxy that listens at `listeners` on a machine with the addresses `interfaces`: only who opened the
    /// listeners knows them.
    pub fn address_rules(&self, listeners: Vec<SocketAddr>, interfaces: Vec<IpAddr>) -> AddressRules {
        AddressRules::new(self.address_exceptions.clone(), listeners, interfaces)
    }
}

/// The issuer's certificate and key, made when absent; absolute or relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFiles {
    /// PEM file of the CA's certificate.
    pub certificate: PathBuf,
    /// PEM file of the CA's private key.
    pub key: PathBuf,
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// Servers to ask; empty for the system's.
    pub servers: Vec<SocketAddr>,
    /// Where workloads may ask for names, over UDP and TCP; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// What a workload is told of a name that it may reach.
    pub answer: DnsAnswer,
}

/// What the DNS listener tells a workload of a name that it may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DnsAnswer {
    /// The name's own addresses, looked up and vetted as if they were to be dialled.
    #[default]
    Resolved,
    /// These addresses for every name: Egret's own, where packets are redirected to it. Nothing is looked up.
    Fixed(Vec<IpAddr>),
}

/// Redaction of what goes out.
#[derive(Debug, Clone)]
pub struct Redaction {
    /// The kinds of secret.
    pub rules: Arc<Rules>,
    /// Finds and rewrites them.
    pub redactor: Arc<Redactor>,
    /// Where each kind of secret may go.
    pub audiences: Audiences,
    /// What happens at a finding, by the place where it was found.
    pub surfaces: Surfaces,
}

/// What happens to keys that documentation shows as examples, such as AWS' `AKIA…EXAMPLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExampleKeys {
    /// They are findings like any other.
    #[default]
    Redact,
    /// They pass.
    Pass,
}

/// What happens at a finding, by the place where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surfaces {
    /// Request bodies.
    pub body: SurfaceMode,
    /// Request header fields.
    pub header: SurfaceMode,
    /// Path and query.
    pub url: SurfaceMode,
    /// Messages of a WebSocket.
    pub websocket: SurfaceMode,
}

/// What happens at a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SurfaceMode {
    /// The secret is rewritten, the request goes on.
    #[default]
    Redact,
    /// The request is refused.
    Block,
    /// The finding is recorded, the secret goes out.
    Alert,
    /// Nothing is looked for.
    Off,
}

impl SurfaceMode {
    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Block => "block",
            Self::Alert => "alert",
            Self::Off => "off",
        }
    }
}

/// The audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The JSON Lines file, relative to the working directory.
    pub path: PathBuf,
    /// What happens when it can't be written.
    pub on_failure: OnFailure,
}

/// What happens to exchanges while their records can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They are refused.
    #[default]
    Refuse,
    /// They go on unrecorded, loudly.
    Continue,
}
