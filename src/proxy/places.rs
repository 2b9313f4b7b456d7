//! How many clients may be connected at once, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::config::Limits;
use crate::policy::DenyReason;

/// The count of connected clients. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    /// Told when the last place becomes free.
    empty: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Bounded by `total`: an address without connections has no entry.
    by_address: HashMap<IpAddr, usize>,
}

/// One client's place, held by its connection and by whatever that became.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Places {
    /// A place for a client of this address, or the limit that it met.
    pub(crate) fn take(&self, address: IpAddr, limits: &Limits) -> Result<Place, DenyReason> {
        let mut guard = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = &mut *guard;
        if taken.total >= limits.connections {
            return Err(DenyReason::LimitConnections);
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= limits.connections_per_client {
            return Err(DenyReason::LimitClientConnections);
        }
        *of_address += 1;
        taken.total += 1;
        Ok(Place {
            shared: Arc::clone(&self.shared),
            address,
        })
    }

    /// Waits until no client is connected.
    pub(crate) async fn emptied(&self) {
        loop {
            let told = self.shared.empty.notified();
            if self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner).total == 0 {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guard = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = &mut *guard;
        taken.total -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        if taken.total == 0 {
            self.shared.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_one_address() {
        let limits = Limits {
            connections: 3,
            connections_per_client: 2,
            ..Limits::default()
        };
        let places = Places::default();
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = places.take(a, &limits).unwrap();
        let _second = places.take(a, &limits).unwrap();
        assert_eq!(places.take(a, &limits).unwrap_err(), DenyReason::LimitClientConnections);
        let _third = places.take(b, &limits).unwrap();
        assert_eq!(places.take(b, &limits).unwrap_err(), DenyReason::LimitConnections);
        drop(first);
        assert!(places.take(a, &limits).is_ok());
    }
}
