//! Connections to origins that wait for the next request: bounded, and never shared by two workloads.
//!
//! A connection got here only after it was dialled for vetted addresses; who takes one holds a permit for the same host. A new
//! configuration has a new pool, so that no connection outlives the rules it was vetted by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::upstream::Upstream;
use crate::policy::Target;

/// The HTTP versions that a connection to an origin is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, or HTTP/1.1 where the origin doesn't speak it.
    Http2,
}

/// Who may reuse a connection, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) workload: Arc<str>,
    pub(crate) target: Target,
    pub(crate) wanted: Wanted,
}

/// Bounds of a [`Pool`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Idle connections kept for one key.
    pub(crate) per_key: usize,
    /// Idle connections kept for one workload, so that none can take the room of the others.
    pub(crate) per_workload: usize,
    /// Idle connections kept in all.
    pub(crate) total: usize,
    /// How long a connection may wait.
    pub(crate) idle: Duration,
}

/// Idle connections by key, the newest on top.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: PoolLimits,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    by_key: HashMap<Arc<Key>, Vec<(Instant, Upstream)>>,
    by_workload: HashMap<Arc<str>, usize>,
    total: usize,
}

impl Idle {
    fn left(&mut self, workload: &str, count: usize) {
        self.total -= count;
        if let Some(of_workload) = self.by_workload.get_mut(workload) {
            *of_workload -= count;
        }
    }
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            idle: Mutex::default(),
        }
    }

    /// Takes the connection that was used last; a shared HTTP/2 connection stays.
    pub(crate) fn take(&self, key: &Key) -> Option<Upstream> {
        let mut guard = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *guard;
        let waiting = idle.by_key.get_mut(key)?;
        let mut dropped = 0;
        let taken = loop {
            let Some((since, upstream)) = waiting.pop() else {
                break None;
            };
            if upstream.is_closed() || since.elapsed() > self.limits.idle {
                dropped += 1;
                continue;
            }
            if let Some(shared) = upstream.share() {
                waiting.push((Instant::now(), upstream));
                break Some(shared);
            }
            dropped += 1;
            break Some(upstream);
        };
        idle.left(&key.workload, dropped);
        taken
    }

    /// Whether a connection waits for `key`, so that none needs to be opened ahead.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.by_key
            .get(key)
            .is_some_and(|waiting| waiting.iter().any(|(_, upstream)| !upstream.is_closed()))
    }

    /// Keeps a connection for the next request; beyond the limits it is closed.
    pub(crate) fn put(&self, upstream: Upstream) {
        if upstream.is_closed() {
            return;
        }
        let mut guard = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *guard;
        if idle.total >= self.limits.total {
            return;
        }
        let key = upstream.key();
        let of_workload = idle.by_workload.entry(Arc::clone(&key.workload)).or_default();
        if *of_workload >= self.limits.per_workload {
            return;
        }
        let waiting = match idle.by_key.get_mut(&key) {
            Some(waiting) => waiting,
            None => idle.by_key.entry(key).or_default(),
        };
        if waiting.len() < self.limits.per_key {
            waiting.push((Instant::now(), upstream));
            *of_workload += 1;
            idle.total += 1;
        }
    }

    /// Closes what has waited too long.
    pub(crate) fn prune(&self) {
        let mut guard = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *guard;
        for waiting in idle.by_key.values_mut() {
            waiting.retain(|(since, upstream)| !upstream.is_closed() && since.elapsed() <= self.limits.idle);
        }
        idle.by_key.retain(|_, waiting| !waiting.is_empty());
        idle.by_workload.clear();
        for (key, waiting) in &idle.by_key {
            *idle.by_workload.entry(Arc::clone(&key.workload)).or_default() += waiting.len();
        }
        idle.total = idle.by_workload.values().sum();
    }

    /// How often [`Pool::prune`] is worth calling.
    pub(crate) fn prune_interval(&self) -> Duration {
        (self.limits.idle / 2).max(Duration::from_millis(100))
    }
}
