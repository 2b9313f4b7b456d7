//! Two bytes at a time: whether a token could begin here or at the byte before.
//!
//! Only every second pair of bytes is looked up. A match that begins with one of them has its first four bytes in two
//! neighbouring pairs; one that begins a byte before has its second to fifth there. Both are taken in.

/// How many positions are looked at before a decision.
pub(super) const AT_ONCE: usize = 8;
/// How many bytes are needed for that.
pub(super) const BYTES: usize = AT_ONCE + 4;
/// Sets that are told apart; the last is for what can go on in many ways.
const SETS: usize = 8;
/// Pairs from which on there are many ways.
const MANY: usize = 256;

/// For each pair the sets in which it can stand first (low byte) and second (high byte).
pub(super) struct Pairs {
    table: Box<[u16; 1 << 16]>,
}

impl Pairs {
    #[expect(
        clippy::large_stack_arrays,
        reason = "128 KiB, once, when the rules are compiled; its fixed size spares the look-ups a check"
    )]
    pub(super) fn none() -> Self {
        Self {
            table: Box::new([0; 1 << 16]),
        }
    }

    /// Takes in the matches of rule number `rule`, which have one of each `bytes` first, second and so on.
    pub(super) fn add(&mut self, bytes: &[Vec<u8>; 5], rule: usize) {
        let [one, two, three, four, five] = bytes;
        for [a, b, c, d] in [[one, two, three, four], [two, three, four, five]] {
            let many = c.len() * d.len() >= MANY;
            let set = if many { SETS - 1 } else { rule % (SETS - 1) };
            self.mark(a, b, 1 << set);
            self.mark(c, d, 1 << (SETS + set));
        }
    }

    fn mark(&mut self, first: &[u8], second: &[u8], mark: u16) {
        for one in first {
            for two in second {
                let pair = usize::from(u16::from_le_bytes([*one, *two]));
                if let Some(entry) = self.table.get_mut(pair) {
                    *entry |= mark;
                }
            }
        }
    }

    /// Whether a match could begin at one of the first [`AT_ONCE`] of `bytes`.
    #[inline]
    pub(super) fn any(&self, bytes: &[u8; BYTES]) -> bool {
        let (pairs, _) = bytes.as_chunks::<2>();
        let mut any = 0;
        let mut before = 0;
        for pair in pairs {
            let sets = self.sets(*pair);
            any |= before & sets >> SETS;
            before = sets;
        }
        any != 0
    }

    #[inline]
    fn sets(&self, pair: [u8; 2]) -> u16 {
        let pair = usize::from(u16::from_le_bytes(pair));
        self.table.get(pair).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_seen_at_each_of_the_positions() {
        let mut pairs = Pairs::none();
        pairs.add(&b"ghp_x".map(|byte| vec![byte]), 3);
        for at in 0..AT_ONCE {
            let mut bytes = [b'.'; BYTES + 1];
            bytes[at..at + 5].copy_from_slice(b"ghp_x");
            assert!(pairs.any(bytes.first_chunk().unwrap()), "{at}");
        }
        assert!(!pairs.any(b"ghpxghx_p_gh"));
        assert!(!pairs.any(b"............"));
    }
}
