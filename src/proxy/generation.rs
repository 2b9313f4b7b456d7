//! One configuration at work: what exchanges need of it, and what belongs to it alone.
//!
//! A reload makes a new generation and puts it in place in one step. Resolver, pool and roots are the generation's own, so that
//! nothing vetted under old rules serves under new ones. Exchanges under way keep the generation that they began with.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::connect::Dialled;
use super::dns::Budget;
use super::own;
use super::pool::{Key, Pool, PoolLimits};
use super::reply::Refusal;
use super::resolve::{Resolver, ResolverSettings};
use super::upstream::{Upstream, Verification};
use crate::config::{Audiences, Config, DnsAnswer, Limits, Surfaces};
use crate::identity::{Workload, Workloads};
use crate::metrics::{ConnectionKind, LookupResult, Metrics, WorkloadMetrics};
use crate::policy::{AddressRules, DenyReason, Permit};
use crate::redact::Redactor;

/// Of the files that the process may open, idle connections to origins get one in so many, and those of one workload one in so many: the rest
/// is for clients, look-ups and the trail.
const POOL_SHARE: usize = 4;
const POOL_WORKLOAD_SHARE: usize = 8;

/// Why a configuration that is right in itself can't be put to work.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The system's resolver settings can't be read.
    #[error("failed to set up name resolution: {0}")]
    Resolver(#[from] hickory_resolver::net::NetError),
    /// A root certificate can't be used.
    #[error("upstream.roots: {path}: {what}")]
    Root {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The TLS library refused the settings.
    #[error("failed to prepare TLS towards origins: {0}")]
    Tls(#[from] rustls::Error),
}

/// A workload and its metrics.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) workload: Arc<Workload>,
    pub(crate) metrics: Arc<WorkloadMetrics>,
    /// Its queries to the DNS listener.
    pub(crate) queries: Budget,
}

/// Redaction as exchanges need it.
#[derive(Debug)]
pub(crate) struct Redaction {
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) surfaces: Surfaces,
    /// Where each kind of credential is at home.
    pub(crate) audiences: Audiences,
    /// Whether a rewritten body is as long as it was.
    pub(crate) keeps_length: bool,
}

/// Everything that one configuration decides.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) workloads: Workloads,
    pub(crate) addresses: AddressRules,
    pub(crate) redaction: Redaction,
    pub(crate) limits: Limits,
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: Metrics,
    pub(crate) dns_answer: DnsAnswer,
    /// What the listener with TLS shows and asks for.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    tenants: HashMap<Arc<str>, Arc<Tenant>>,
    resolver: Resolver,
    verification: Verification,
}

impl Generation {
    /// Puts a configuration to work. Must be called within the runtime.
    pub(crate) fn new(
        config: Config,
        metrics: &Metrics,
        listeners: &[SocketAddr],
    ) -> Result<Arc<Self>, GenerationError> {
        let addresses = config.address_rules(listeners.to_vec(), own::addresses());
        let limits = config.limits;
        let resolver = Resolver::new(&ResolverSettings {
            servers: config.dns.servers,
            timeout: limits.dns_timeout,
            cache_entries: u64::try_from(limits.dns_cache_entries).unwrap_or(u64::MAX),
        })?;
        let descriptors = own::descriptors();
        let pool = Arc::new(Pool::new(PoolLimits {
            per_key: limits.pool_idle_per_origin,
            per_workload: descriptors / POOL_WORKLOAD_SHARE,
            total: descriptors / POOL_SHARE,
            idle: limits.pool_idle_timeout,
        }));
        prune_regularly(&pool);
        Ok(Arc::new(Self {
            tenants: tenants(&config.workloads, metrics),
            workloads: config.workloads,
            addresses,
            redaction: Redaction {
                keeps_length: config.redaction.redactor.keeps_length(),
                redactor: config.redaction.redactor,
                surfaces: config.redaction.surfaces,
                audiences: config.redaction.audiences,
            },
            verification: Verification::new(roots(&config.upstream_roots)?)?,
            tls: config.proxy_tls.map(|listener| listener.tls),
            limits,
            dns_answer: config.dns.answer,
            pool,
            metrics: metrics.clone(),
            resolver,
        }))
    }

    pub(crate) fn tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(name).cloned()
    }

    /// A text without secrets, for those who look on.
    pub(crate) fn redacted(&self, text: &str) -> String {
        match self.redaction.redactor.value(text.as_bytes(), &|_| false) {
            Some((redacted, _)) => String::from_utf8_lossy(&redacted).into_owned(),
            None => text.to_owned(),
        }
    }

    /// The addresses of a permitted name, counted.
    pub(crate) async fn resolve(&self, permit: &Permit) -> Result<Vec<IpAddr>, DenyReason> {
        if permit.host().name().is_none() {
            return self.resolver.resolve(permit).await;
        }
        let addresses = self.resolver.resolve(permit).await;
        self.metrics.dns_lookup(match &addresses {
            Ok(_) => LookupResult::Found,
            Err(DenyReason::UpstreamNameNotFound) => LookupResult::NotFound,
            Err(DenyReason::UpstreamResolveTimeout) => LookupResult::TimedOut,
            Err(_) => LookupResult::Failed,
        });
        addresses
    }

    /// Makes a dialled socket a connection to the origin that `key` names.
    pub(crate) async fn establish(&self, dialled: Dialled, key: Arc<Key>) -> Result<Upstream, Refusal> {
        let guard = self.metrics.connection(ConnectionKind::Upstream);
        Ok(Upstream::establish(dialled, key, &self.verification, self.limits.connect_timeout, guard).await?)
    }
}

fn tenants(workloads: &Workloads, metrics: &Metrics) -> HashMap<Arc<str>, Arc<Tenant>> {
    let tenants: HashMap<_, _> = workloads
        .iter()
        .map(|workload| {
            let rules = workload.policy.rules().map(|rule| rule.name());
            let tenant = Tenant {
                workload: Arc::clone(workload),
                metrics: metrics.workload(&workload.name, rules),
                queries: Budget::default(),
            };
            (Arc::clone(&workload.name), Arc::new(tenant))
        })
        .collect();
    metrics.retain_workloads(|name| tenants.contains_key(name));
    tenants
}

fn roots(files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, GenerationError> {
    let mut roots = Vec::new();
    for path in files {
        let failure = |error: &dyn ToString| GenerationError::Root {
            path: path.clone(),
            what: error.to_string(),
        };
        for root in CertificateDer::pem_file_iter(path).map_err(|error| failure(&error))? {
            roots.push(root.map_err(|error| failure(&error))?);
        }
    }
    Ok(roots)
}

/// Closes connections that wait too long, as long as the pool lives.
fn prune_regularly(pool: &Arc<Pool>) {
    let interval = pool.prune_interval();
    let pool: Weak<Pool> = Arc::downgrade(pool);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            let Some(pool) = pool.upgrade() else { return };
            pool.prune();
        }
    });
}
