//! How many queries a workload may ask in a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The count of the second under way. What a workload doesn't ask in one second it can't ask in the next.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    spent: usize,
}

/// Whether a query is within its second's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    Within,
    /// The first beyond the limit, which is recorded; a flood must not fill the trail.
    FirstBeyond,
    Beyond,
}

impl Budget {
    /// Counts one query that came at `now`.
    pub(crate) fn spend(&self, limit: usize, now: Instant) -> Spent {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = &mut *guard;
        let over = |began: Instant| now.duration_since(began) >= Duration::from_secs(1);
        if second.began.is_none_or(over) {
            *second = Second {
                began: Some(now),
                spent: 0,
            };
        }
        second.spent = second.spent.saturating_add(1);
        match second.spent.checked_sub(limit) {
            None | Some(0) => Spent::Within,
            Some(1) => Spent::FirstBeyond,
            Some(_) => Spent::Beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_limit_and_the_next_one_begins_anew() {
        let budget = Budget::default();
        let start = Instant::now();
        for second in 0..3 {
            let at = start + Duration::from_secs(second);
            let spent: Vec<Spent> = (0..5).map(|_| budget.spend(2, at)).collect();
            assert_eq!(
                spent,
                [
                    Spent::Within,
                    Spent::Within,
                    Spent::FirstBeyond,
                    Spent::Beyond,
                    Spent::Beyond
                ]
            );
            let late = at + Duration::from_millis(999);
            assert_eq!(budget.spend(2, late), Spent::Beyond);
        }
    }
}
