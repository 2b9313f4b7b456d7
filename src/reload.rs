//! Takes a changed configuration, whole or not at all: on SIGHUP, and when a file that was read has changed.
//!
//! Kubernetes swaps a mounted `ConfigMap` by renaming a symlink, editors write a new file over the old one, and neither is a change of
//! the file that was opened. So the folders are watched, contents are compared, and since no notification is certain, they are
//! looked at regularly as well.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, mpsc};

use crate::config::{self, Config};
use crate::metrics::Metrics;

/// How often files are compared when no notification comes.
const POLL: Duration = Duration::from_secs(15);
/// After a notification: time for a swap of several files to be whole.
const SETTLE: Duration = Duration::from_millis(200);

/// Contents of files, and names in folders, as they were read.
type Snapshot = BTreeMap<PathBuf, Option<[u8; 32]>>;

/// What can't be changed without a restart.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    proxy: std::net::SocketAddr,
    proxy_tls: Option<std::net::SocketAddr>,
    admin: std::net::SocketAddr,
    transparent: Option<std::net::SocketAddr>,
    dns: Option<std::net::SocketAddr>,
    audit: config::Audit,
    ca: config::CaFiles,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            proxy: config.proxy_listen,
            proxy_tls: config.proxy_tls.as_ref().map(|tls| tls.listen),
            admin: config.admin_listen,
            transparent: config.transparent_listen,
            dns: config.dns.listen,
            audit: config.audit.clone(),
            ca: config.ca.clone(),
        }
    }
}

/// Watches the files of a configuration and takes it again when they change.
#[derive(Debug)]
pub struct Reloader {
    file: Option<PathBuf>,
    fixed: Fixed,
    sources: Vec<PathBuf>,
    seen: Snapshot,
}

impl Reloader {
    /// Begins with the configuration in force.
    pub fn new(file: Option<PathBuf>, config: &Config) -> Self {
        Self {
            file,
            fixed: Fixed::of(config),
            seen: snapshot(&config.sources),
            sources: config.sources.clone(),
        }
    }

    /// Reloads for as long as the process lives: `take` puts a configuration in force, whole, or says why it can't.
    pub async fn run<E: Display>(
        mut self,
        take: impl Fn(Config) -> Result<(), E>,
        metrics: Metrics,
        mut hangups: mpsc::Receiver<()>,
    ) {
        let changed = Arc::new(Notify::new());
        let mut watcher = watch(&self.sources, &changed);
        loop {
            let asked = tokio::select! {
                Some(()) = hangups.recv() => true,
                () = changed.notified() => {
                    tokio::time::sleep(SETTLE).await;
                    false
                }
                () = tokio::time::sleep(POLL) => false,
            };
            let now = snapshot(&self.sources);
            if !asked && now == self.seen {
                continue;
            }
            self.seen = now;
            if self.reload(&take, &metrics) {
                watcher = watch(&self.sources, &changed);
            }
            let _ = &watcher;
        }
    }

    /// Takes the configuration as it is now, or keeps the one in force and says why.
    fn reload<E: Display>(&mut self, take: &impl Fn(Config) -> Result<(), E>, metrics: &Metrics) -> bool {
        let config = match config::load(self.file.as_deref()) {
            Ok(config) => config,
            Err(errors) => {
                tracing::error!(%errors, "the new configuration is refused; the one in force stays");
                metrics.config_reload_refused();
                return false;
            }
        };
        if Fixed::of(&config) != self.fixed {
            tracing::warn!("listen addresses, audit and ca take effect only after a restart");
        }
        let sources = config.sources.clone();
        if let Err(error) = take(config) {
            tracing::error!(%error, "the new configuration is refused; the one in force stays");
            metrics.config_reload_refused();
            return false;
        }
        self.seen = snapshot(&sources);
        self.sources = sources;
        metrics.config_reload_taken(SystemTime::now());
        tracing::info!("a new configuration is in force");
        true
    }
}

/// Watches the folders that hold the sources; none where the system gives no notifications, which leaves the regular look.
fn watch(sources: &[PathBuf], changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and not a change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })
    .ok()?;
    let mut folders: Vec<&Path> = sources.iter().map(|source| folder_of(source)).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "a folder can't be watched; it is looked at regularly");
        }
    }
    Some(watcher)
}

fn folder_of(source: &Path) -> &Path {
    if source.is_dir() {
        return source;
    }
    match source.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn snapshot(sources: &[PathBuf]) -> Snapshot {
    sources
        .iter()
        .map(|source| (source.clone(), fingerprint(source)))
        .collect()
}

/// A file's contents or a folder's names; none for what isn't there.
fn fingerprint(source: &Path) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    if source.is_dir() {
        let mut names: Vec<_> = fs::read_dir(source)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .collect();
        names.sort_unstable();
        for name in names {
            hash.update(name.as_encoded_bytes());
            hash.update([0]);
        }
    } else {
        hash.update(fs::read(source).ok()?);
    }
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_symlink_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for (version, text) in [("one", "a: 1"), ("two", "a: 2")] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("egret.yaml"), text).unwrap();
        }
        let data = folder.path().join("..data");
        std::os::unix::fs::symlink("one", &data).unwrap();
        let source = data.join("egret.yaml");
        let before = snapshot(std::slice::from_ref(&source));
        std::os::unix::fs::symlink("two", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &data).unwrap();
        assert_ne!(before, snapshot(&[source]));
    }
}
