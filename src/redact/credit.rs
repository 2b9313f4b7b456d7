//! The work that bytes pay for, so that hostile bytes cost no more of it than others.
//!
//! Steps are counted where they are taken once however the input is cut, so the count, and what follows from it, is
//! the same for every cut.

/// Steps that candidates may take before any byte has paid for them: room for several of the longest windows.
const FREE: u32 = 64 * 1024;
/// Steps that every automaton gets, paid for or not.
const LEAST: u32 = 64;
/// Steps that each byte pays for. A flood of beginnings that spends more is itself taken for a secret.
const A_BYTE: u32 = 32;

/// Steps that may still be taken. Positions count from the first undecided byte.
pub(super) struct Credit {
    left: u32,
    /// The bytes before this position have paid.
    paid_to: usize,
    #[cfg(test)]
    pub(super) spent: u64,
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            left: FREE,
            paid_to: 0,
            #[cfg(test)]
            spent: 0,
        }
    }
}

impl Credit {
    /// The bytes before `position` pay, each once.
    pub(super) fn pay_to(&mut self, position: usize) {
        let bytes = position.saturating_sub(self.paid_to);
        let steps = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(A_BYTE);
        self.left = self.left.saturating_add(steps).min(FREE);
        self.paid_to = self.paid_to.max(position);
    }

    /// What an automaton may take that starts now.
    pub(super) fn allowance(&self) -> u32 {
        self.left.max(LEAST)
    }

    pub(super) fn spend(&mut self, steps: u32) {
        self.left = self.left.saturating_sub(steps);
        #[cfg(test)]
        {
            self.spent += u64::from(steps);
        }
    }

    /// Counts positions from the byte at `done` on.
    pub(super) fn rebase(&mut self, done: usize) {
        self.pay_to(done);
        self.paid_to -= done;
    }
}
