//! `egret run`: the proxy, from its configuration to its last record.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::UNUSABLE;
use crate::admin::{self, Admin, Readiness};
use crate::audit::recent::Recent;
use crate::audit::{self, Trail};
use crate::config::{self, Config, OnFailure};
use crate::metrics::Metrics;
use crate::policy::DenyReason;
use crate::proxy::Proxy;
use crate::proxy::issuer::Issuer;
use crate::reload::Reloader;
use crate::shutdown::Signals;

/// How long the last records may take to get into the file.
const LAST_RECORDS: Duration = Duration::from_secs(10);
/// How long tasks may take to notice that the runtime ends.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// The arguments of `egret run`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The configuration; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the proxy until it is told to end. Gives the exit code.
///
/// # Errors
///
/// Something that the proxy can't do without can't be had: a port, the CA, the audit trail.
pub fn run(args: &Args, err: &mut dyn Write) -> anyhow::Result<u8> {
    let config = match config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(UNUSABLE);
        }
    };
    crate::log::start()?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let trail = runtime.block_on(serve(config, args.config.clone()))?;
    end(runtime, &trail);
    Ok(0)
}

/// Many systems start a process with a low limit of open files that it may raise itself; every connection is one.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}

/// Everything that lives as long as the process does.
struct Service {
    proxy: Arc<Proxy>,
    trail: Trail,
    readiness: Readiness,
    drain_timeout: Duration,
}

async fn serve(config: Config, file: Option<PathBuf>) -> anyhow::Result<Trail> {
    let mut signals = Signals::new().context("failed to listen for signals")?;
    let metrics = Metrics::new(DenyReason::ALL.iter().map(|reason| reason.code()));
    let trail = open_trail(&config, &metrics)?;
    let issuer = Issuer::open(&config.ca, config.limits.certificate_cache).context("failed to open the CA")?;
    let proxy_listener = bind("proxy.listen", config.proxy_listen).await?;
    let admin_listener = bind("admin.listen", config.admin_listen).await?;
    let dns = match config.dns.listen {
        Some(address) => Some(bind_dns(address).await?),
        None => None,
    };
    let transparent = match config.transparent_listen {
        Some(address) => Some(bind("transparent.listen", address).await?),
        None => None,
    };
    let tls_listener = match &config.proxy_tls {
        Some(tls) => Some(bind("proxy.tls.listen", tls.listen).await?),
        None => None,
    };
    let tls_address = tls_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let dns_address = dns
        .as_ref()
        .map(|(_, connections)| connections.local_addr())
        .transpose()?;
    let transparent_address = transparent.as_ref().map(TcpListener::local_addr).transpose()?;
    let mut listeners = vec![proxy_listener.local_addr()?, admin_listener.local_addr()?];
    listeners.extend([tls_address, dns_address, transparent_address].into_iter().flatten());
    let (proxy_address, admin_address) = (proxy_listener.local_addr()?, admin_listener.local_addr()?);
    let drain_timeout = config.limits.drain_timeout;
    let reloader = Reloader::new(file, &config);
    let readiness = Readiness::starting();
    let recent = Recent::default();
    let proxy = Proxy::new(
        config,
        issuer,
        trail.clone(),
        metrics.clone(),
        recent.clone(),
        listeners,
    )?;
    metrics.config_loaded(SystemTime::now());

    let (ending, ended) = watch::channel(false);
    let admin = Arc::new(Admin::new(metrics.clone(), trail.clone(), readiness.clone(), recent));
    let admin = tokio::spawn(admin::serve(admin_listener, admin, told(ended)));
    let mut accepting = vec![tokio::spawn(Arc::clone(&proxy).serve(proxy_listener))];
    accepting.extend(tls_listener.map(|listener| tokio::spawn(Arc::clone(&proxy).serve_tls(listener))));
    accepting.extend(transparent.map(|listener| tokio::spawn(Arc::clone(&proxy).serve_redirected(listener))));
    if let Some((datagrams, connections)) = dns {
        accepting.push(tokio::spawn(Arc::clone(&proxy).serve_dns(datagrams, connections)));
    }
    let served = Arc::clone(&proxy);
    let take = move |config| served.reload(config);
    let reloading = tokio::spawn(reloader.run(take, metrics, signals.hangups()));
    readiness.ready();
    let [tls, dns, transparent] =
        [tls_address, dns_address, transparent_address].map(|at| at.map(tracing::field::display));
    tracing::info!(proxy = %proxy_address, tls, transparent, dns, admin = %admin_address, version = env!("CARGO_PKG_VERSION"), "listening");

    signals.termination().await;
    reloading.abort();
    let service = Service {
        proxy,
        trail,
        readiness,
        drain_timeout,
    };
    service.drain(&mut signals).await;
    for task in accepting {
        task.abort();
    }
    ending.send_replace(true);
    // The admin listener answers until the end, so that a prober sees the draining.
    admin.await.ok();
    Ok(service.trail)
}

impl Service {
    /// Takes nothing new, and gives what is under way its time; a second signal takes it away.
    async fn drain(&self, signals: &mut Signals) {
        self.readiness.draining();
        tracing::info!(seconds = self.drain_timeout.as_secs(), "draining");
        tokio::select! {
            all_ended = self.proxy.drain(self.drain_timeout) => if all_ended {
                tracing::info!("drained");
            } else {
                tracing::warn!("the drain's time is over: what is still under way is closed");
            },
            () = signals.termination() => tracing::warn!("a second signal: what is still under way is closed"),
        }
    }
}

async fn told(mut ended: watch::Receiver<bool>) {
    // A sender that is gone has ended too.
    ended.wait_for(|ended| *ended).await.ok();
}

fn open_trail(config: &Config, metrics: &Metrics) -> anyhow::Result<Trail> {
    let on_failure = match config.audit.on_failure {
        OnFailure::Refuse => audit::OnFailure::Refuse,
        OnFailure::Continue => audit::OnFailure::Continue,
    };
    let path: &Path = &config.audit.path;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("audit.path: failed to make {}", parent.display()))?;
    }
    Trail::open(path, on_failure, config.limits.exchanges, metrics.clone())
        .with_context(|| format!("audit.path: failed to open {}", path.display()))
}

async fn bind(key: &'static str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: failed to listen on {address}"))
}

/// Both transports of the DNS listener; with port 0, on one port that is free for both.
async fn bind_dns(address: SocketAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let connections = bind("dns.listen", address).await?;
    let address = connections.local_addr()?;
    let datagrams = UdpSocket::bind(address)
        .await
        .with_context(|| format!("dns.listen: failed to listen on {address} over UDP"))?;
    Ok((datagrams, connections))
}

/// Drops what is still under way, which records itself, and waits for the records.
fn end(runtime: Runtime, trail: &Trail) {
    runtime.shutdown_timeout(LAST_TASKS);
    if let Err(unfinished) = trail.close(LAST_RECORDS) {
        tracing::error!(%unfinished, "records could not be written");
    }
}
