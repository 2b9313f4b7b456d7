//! Where a secret could begin at all, found near the speed of memory.
//!
//! Most kinds begin with a run of at least [`RUN`] token bytes. Text has few such runs, so their first bytes are
//! looked up only inside runs. The others (a URL with a password, a PEM block, `AccountKey=`) begin with a rare text
//! that is searched for everywhere.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::automaton::Automaton;
use super::rules::RuleIndex;

/// The shortest run of token bytes in which a token is looked for.
pub(super) const RUN: usize = 16;
/// How much of a run is measured before it is looked at, so that both happen in the nearest cache.
const STRETCH: usize = 2048;
const BLOCK: usize = 32;
const BUCKETS: usize = 64;
/// One position in this many of a run may open a rule's automaton; more would slow clean traffic down.
const SELECTIVITY: usize = 1000;
/// The shortest beginning that is rare enough to be searched for everywhere.
const RARE: usize = 3;

/// Whether tokens are made of this byte: `A-Z a-z 0-9 _ - . / +`.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES
        .checked_shr(u32::from(byte))
        .is_some_and(|bits| bits & 1 == 1)
}

/// A bit for each token byte: one byte after the other, shifting is the fastest.
const TOKEN_BYTES: u128 = {
    let mut bits = 0;
    let mut rest: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+";
    while let [byte, after @ ..] = rest {
        bits |= 1 << *byte;
        rest = after;
    }
    bits
};

/// Whether all of `block` are token bytes; arithmetic instead of look-ups, which the compiler turns into SIMD.
#[inline]
fn is_token_block(block: &[u8]) -> bool {
    let all = block.iter().fold(1, |all, byte| {
        let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
        // '-' to '9' are `-./0123456789`.
        let mark = u8::from(byte.wrapping_sub(b'-') < 13);
        all & (letter | mark | u8::from(*byte == b'+') | u8::from(*byte == b'_'))
    });
    all == 1
}

/// What a search for the next candidate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The rules in `buckets` could match at `at`.
    Candidate { at: usize, buckets: u64 },
    /// No candidate before this position; from there on it depends on bytes still to come.
    NoneBefore(usize),
}

/// Why a rule can't be searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoBeginning;

/// The search for all rules' beginnings.
pub(super) struct Prefilter {
    in_runs: FirstBytes,
    everywhere: Vec<(Vec<u8>, u64)>,
    search: Option<AhoCorasick>,
    buckets: Vec<Vec<RuleIndex>>,
}

/// Which buckets' matches can have a byte first, second and third.
struct FirstBytes {
    first: Box<[u64; 256]>,
    second: Box<[u64; 256]>,
    third: Box<[u64; 256]>,
}

impl FirstBytes {
    fn none() -> Self {
        let table = || Box::new([0; 256]);
        Self {
            first: table(),
            second: table(),
            third: table(),
        }
    }

    fn add(&mut self, bytes: &[Vec<u8>; 3], bucket: u64) {
        let tables = [&mut self.first, &mut self.second, &mut self.third];
        for (table, bytes) in tables.into_iter().zip(bytes) {
            for byte in bytes {
                if let Some(entry) = table.get_mut(usize::from(*byte)) {
                    *entry |= bucket;
                }
            }
        }
    }

    /// The buckets whose matches can begin like `text`, as far as three bytes say, or fewer if there are fewer.
    #[inline]
    fn of(&self, text: &[u8]) -> u64 {
        let look =
            |table: &[u64; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        match text {
            [] => 0,
            [one] => look(&self.first, *one),
            [one, two] => look(&self.first, *one) & look(&self.second, *two),
            [one, two, three, ..] => {
                look(&self.first, *one) & look(&self.second, *two) & look(&self.third, *three)
            }
        }
    }
}

impl Prefilter {
    pub(super) fn new() -> Self {
        Self {
            in_runs: FirstBytes::none(),
            everywhere: Vec::new(),
            search: None,
            buckets: vec![Vec::new(); BUCKETS],
        }
    }

    /// Takes a rule in.
    pub(super) fn add(
        &mut self,
        rule: RuleIndex,
        automaton: &Automaton,
    ) -> Result<(), NoBeginning> {
        let number = rule.position() % BUCKETS;
        let bucket = 1 << number;
        let first = automaton.first_bytes();
        let choices: usize = first.iter().map(Vec::len).product();
        if automaton.begins_with_run() && choices * SELECTIVITY <= 64 * 64 * 64 {
            self.in_runs.add(&first, bucket);
        } else {
            let beginnings = automaton.beginnings();
            if beginnings.iter().any(|text| text.len() < RARE) {
                return Err(NoBeginning);
            }
            for text in beginnings {
                self.add_everywhere(text, bucket);
            }
        }
        if let Some(rules) = self.buckets.get_mut(number) {
            rules.push(rule);
        }
        Ok(())
    }

    // No text here begins with another, so that at each position at most one is found.
    fn add_everywhere(&mut self, text: Vec<u8>, bucket: u64) {
        if let Some((_, buckets)) = self
            .everywhere
            .iter_mut()
            .find(|(known, _)| text.starts_with(known))
        {
            *buckets |= bucket;
            return;
        }
        let longer = self
            .everywhere
            .extract_if(.., |(known, _)| known.starts_with(&text));
        let buckets = longer.fold(bucket, |all, (_, buckets)| all | buckets);
        self.everywhere.push((text, buckets));
    }

    /// Builds the search, after the last rule.
    pub(super) fn finish(&mut self) -> Result<(), aho_corasick::BuildError> {
        if !self.everywhere.is_empty() {
            let search = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(self.everywhere.iter().map(|(text, _)| text))?;
            self.search = Some(search);
        }
        Ok(())
    }

    /// The rules in the first of `buckets`, and the buckets after it.
    pub(super) fn rules(&self, buckets: u64) -> (&[RuleIndex], u64) {
        let first = usize::try_from(buckets.trailing_zeros()).ok();
        let rules = first.and_then(|number| self.buckets.get(number));
        (
            rules.map_or(&[], Vec::as_slice),
            buckets & buckets.wrapping_sub(1),
        )
    }

    /// The next candidate that begins with a run, at or after `from`; `whole` when no bytes follow `text`. `known` is
    /// where runs are known to begin, for the next call.
    pub(super) fn next_in_run(
        &self,
        text: &[u8],
        from: usize,
        whole: bool,
        known: &mut Range<usize>,
    ) -> Found {
        let mut from = from;
        loop {
            if known.contains(&from) {
                if let Some(found) = self.in_stretch(text, from, known.end) {
                    return found;
                }
                from = known.end;
            }
            let Some(stretch) = next_run(text, from) else {
                break;
            };
            from = stretch.start;
            *known = stretch.start..stretch.end + 1 - RUN;
        }
        if whole {
            return Found::NoneBefore(text.len());
        }
        Found::NoneBefore(self.unfinished_run(text, from))
    }

    fn in_stretch(&self, text: &[u8], start: usize, end: usize) -> Option<Found> {
        // Every position before `end` has a whole run after it, so also the two bytes looked at here.
        text.get(start..end + 2)?
            .windows(3)
            .enumerate()
            .find_map(|(nth, window)| {
                let buckets = self.in_runs.of(window);
                (buckets != 0).then_some(Found::Candidate {
                    at: start + nth,
                    buckets,
                })
            })
    }

    /// The first position of a run at the end of `text` that could still become a candidate, else the end.
    fn unfinished_run(&self, text: &[u8], from: usize) -> usize {
        let tail = text
            .get(from.max(text.len().saturating_sub(RUN - 1))..)
            .unwrap_or_default();
        let run = tail
            .iter()
            .rev()
            .take_while(|byte| is_token_byte(**byte))
            .count();
        (text.len() - run..text.len())
            .find(|at| {
                text.get(*at..)
                    .is_some_and(|rest| self.in_runs.of(rest) != 0)
            })
            .unwrap_or(text.len())
    }

    /// The next candidate that begins with a rare text, at or after `from`; `whole` when no bytes follow `text`.
    pub(super) fn next_everywhere(&self, text: &[u8], from: usize, whole: bool) -> Found {
        let rest = text.get(from..).unwrap_or_default();
        if let Some(hit) = self.search.as_ref().and_then(|search| search.find(rest)) {
            let buckets = self
                .everywhere
                .get(hit.pattern().as_usize())
                .map_or(0, |(_, buckets)| *buckets);
            return Found::Candidate {
                at: from + hit.start(),
                buckets,
            };
        }
        if whole {
            return Found::NoneBefore(text.len());
        }
        Found::NoneBefore(self.unfinished_text(text, from))
    }

    fn unfinished_text(&self, text: &[u8], from: usize) -> usize {
        let longest = self
            .everywhere
            .iter()
            .map(|(text, _)| text.len())
            .max()
            .unwrap_or(1);
        let first = from.max((text.len() + 1).saturating_sub(longest));
        (first..text.len())
            .find(|at| {
                text.get(*at..).is_some_and(|tail| {
                    self.everywhere
                        .iter()
                        .any(|(known, _)| known.starts_with(tail))
                })
            })
            .unwrap_or(text.len())
    }
}

/// The next run of at least [`RUN`] token bytes at or after `from`, or as much of it as makes a stretch.
fn next_run(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let window = text.get(at..at + RUN)?;
        match window.iter().rposition(|byte| !is_token_byte(*byte)) {
            Some(last) => at += last + 1,
            None => return Some(at..run_end(text, at + RUN, at + STRETCH)),
        }
    }
}

fn run_end(text: &[u8], from: usize, limit: usize) -> usize {
    let rest = text.get(from..limit.min(text.len())).unwrap_or_default();
    let blocks = rest
        .chunks_exact(BLOCK)
        .take_while(|block| is_token_block(block))
        .count();
    let tail = rest.get(blocks * BLOCK..).unwrap_or_default();
    from + blocks * BLOCK + tail.iter().take_while(|byte| is_token_byte(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_those_of_the_documentation() {
        for byte in 0..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"_-./+".contains(&byte);
            assert_eq!(is_token_byte(byte), listed, "{byte:#x}");
            assert_eq!(is_token_block(&[b'a', byte]), listed, "{byte:#x}");
        }
    }

    #[track_caller]
    fn check_run(text: &str, from: usize, expected: Option<Range<usize>>) {
        assert_eq!(next_run(text.as_bytes(), from), expected, "{text}");
    }

    #[test]
    fn runs_have_at_least_16_token_bytes() {
        check_run("", 0, None);
        check_run("0123456789abcde", 0, None);
        check_run("0123456789abcdef", 0, Some(0..16));
        check_run("\"0123456789abcdef\"", 0, Some(1..17));
        check_run("short words and 0123456789abcdefgh!", 0, Some(16..34));
        check_run("0123456789abcdef", 1, None);
        let long = "a".repeat(STRETCH + 500);
        check_run(&long, 3, Some(3..STRETCH + 3));
        check_run(&format!("{}!", &long[..100]), 0, Some(0..100));
    }
}
