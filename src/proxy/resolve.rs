//! The one place where a name is looked up (invariant 3): once per exchange, as an absolute name, and only for a permit.
//!
//! What the answer may hold is not decided here: see [`crate::policy::AddressRules::vet`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::Name;

use crate::policy::{DenyReason, Host, Permit};

/// Where names are looked up and how long that may take.
#[derive(Debug, Clone)]
pub(crate) struct ResolverSettings {
    /// Name servers; none: the system's.
    pub(crate) servers: Vec<SocketAddr>,
    /// For one look-up, all attempts together.
    pub(crate) timeout: Duration,
    /// Answers kept.
    pub(crate) cache_entries: u64,
}

/// Looks permitted names up, with a bounded cache.
pub(crate) struct Resolver {
    inner: TokioResolver,
    timeout: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Reads the system's settings when no servers are named.
    pub(crate) fn new(settings: &ResolverSettings) -> Result<Self, NetError> {
        let mut builder = if settings.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let config = ResolverConfig::from_parts(
                None,
                Vec::new(),
                settings.servers.iter().copied().map(name_server).collect(),
            );
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        tune(builder.options_mut(), settings);
        Ok(Self {
            inner: builder.build()?,
            timeout: settings.timeout,
        })
    }

    /// The addresses of the permit's host, unvetted.
    pub(crate) async fn resolve(&self, permit: &Permit) -> Result<Vec<IpAddr>, DenyReason> {
        let name = match permit.host() {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        // Absolute, so that no search domain is ever tried.
        let mut absolute = Name::from_ascii(name.as_str()).map_err(|_| DenyReason::NameInvalid)?;
        absolute.set_fqdn(true);
        #[expect(clippy::disallowed_methods, reason = "the one look-up: the name comes from a Permit")]
        let lookup = self.inner.lookup_ip(absolute);
        match tokio::time::timeout(self.timeout, lookup).await {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(DenyReason::UpstreamResolveTimeout),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Err(DenyReason::UpstreamNameNotFound),
            Ok(Err(_)) => Err(DenyReason::UpstreamResolveFailed),
            Ok(Ok(answer)) => Ok(answer.iter().collect()),
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

fn tune(options: &mut ResolverOpts, settings: &ResolverSettings) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = settings.cache_entries;
    options.ndots = 0;
    options.attempts = 2;
    options.timeout = settings.timeout / 3;
    options.try_tcp_on_error = true;
    // An answer is trusted for a while and no longer: names move, and a cached mistake must pass.
    options.positive_max_ttl = Some(Duration::from_mins(5));
    options.negative_max_ttl = Some(Duration::from_secs(30));
}
