//! The vocabulary of the integration tests: a CA, an origin, a DNS server, Egret itself, and clients.

pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod egret;
pub(crate) mod frames;
pub(crate) mod namespace;
pub(crate) mod origin;
pub(crate) mod scene;

use std::time::Duration;

/// How long a test waits for something outside its own process before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Looks again and again until `look` finds something, and fails after [`PATIENCE`] with what was awaited.
pub(crate) async fn eventually<T, F>(awaited: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {awaited}"))
}

/// Fails when `work` takes longer than [`PATIENCE`]: no test may hang.
pub(crate) async fn within<F: Future>(what: &'static str, work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("{what} took longer than {PATIENCE:?}"))
}
