//! The last refusals, for a person who wants to know why.
//!
//! Bounded in number and in size; the whole story is in the audit trail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

/// How many refusals are kept; the oldest goes first.
const KEPT: usize = 100;
/// How much of each text is kept, in bytes.
const TEXT: usize = 512;

/// One refused exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time: OffsetDateTime,
    /// Whose; empty when the client matched no workload.
    pub workload: Arc<str>,
    /// The host that was asked for; empty when it couldn't be read.
    pub host: String,
    /// The reason code.
    pub reason: &'static str,
    /// What would have to change.
    pub hint: String,
}

/// The last refusals. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Refusal>>>);

impl Recent {
    /// Keeps a refusal, its texts cut at 512 bytes, and lets go of the oldest beyond a hundred.
    pub fn push(&self, mut refusal: Refusal) {
        shorten(&mut refusal.host);
        shorten(&mut refusal.hint);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(refusal);
    }

    /// All that are kept, the newest first.
    pub fn newest_first(&self) -> Vec<Refusal> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.shrink_to_fit();
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(host: String) -> Refusal {
        Refusal {
            time: OffsetDateTime::UNIX_EPOCH,
            workload: "w".into(),
            host,
            reason: "host.not_listed",
            hint: "é".repeat(TEXT),
        }
    }

    #[test]
    fn the_newest_hundred_are_kept_and_cut() {
        let recent = Recent::default();
        for number in 0..=KEPT {
            recent.push(refusal(number.to_string()));
        }
        let kept = recent.newest_first();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].host.as_str(), kept[KEPT - 1].host.as_str()), ("100", "1"));
        assert_eq!(kept[0].hint, format!("{}…", "é".repeat(TEXT / 2)));
    }
}
