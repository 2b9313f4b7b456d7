//! Where a secret could begin at all, found near the speed of memory.
//!
//! Most kinds begin with a run of at least [`RUN`] token bytes. Text has few such runs, so their first bytes are
//! looked up only inside runs. The others (a URL with a password, a PEM block, `AccountKey=`) begin with a rare text
//! that is searched for everywhere.

use super::automaton::Automaton;
use super::pairs::{AT_ONCE, BYTES, Pairs};
use super::rare::{GROUPS, RareTexts};
use super::rules::RuleIndex;
use super::runs::{RUN, Starts, is_token_byte};

const BUCKETS: usize = 64;
/// One position in this many of a run may open a rule's automaton; more would slow clean traffic down.
const SELECTIVITY: usize = 1000;
/// The shortest beginning that is rare enough to be searched for everywhere.
const RARE: usize = 3;

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
    pairs_in_runs: Pairs,
    rare_texts: RareTexts,
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

    fn add(&mut self, bytes: [&Vec<u8>; 3], bucket: u64) {
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
        let look = |table: &[u64; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        match text {
            [] => 0,
            [one] => look(&self.first, *one),
            [one, two] => look(&self.first, *one) & look(&self.second, *two),
            [one, two, three, ..] => look(&self.first, *one) & look(&self.second, *two) & look(&self.third, *three),
        }
    }
}

impl Prefilter {
    pub(super) fn new() -> Self {
        Self {
            in_runs: FirstBytes::none(),
            pairs_in_runs: Pairs::none(),
            rare_texts: RareTexts::default(),
            buckets: vec![Vec::new(); BUCKETS],
        }
    }

    /// Takes a rule in.
    pub(super) fn add(&mut self, rule: RuleIndex, automaton: &Automaton) -> Result<(), NoBeginning> {
        let number = rule.position() % BUCKETS;
        let bucket = 1 << number;
        let first = automaton.first_bytes();
        let [one, two, three, ..] = &first;
        let choices: usize = [one, two, three].map(Vec::len).iter().product();
        if automaton.begins_with_run() && choices * SELECTIVITY <= 64 * 64 * 64 {
            self.in_runs.add([one, two, three], bucket);
            self.pairs_in_runs.add(&first, rule.position());
        } else {
            let beginnings = automaton.beginnings();
            if beginnings.iter().any(|text| text.len() < RARE) {
                return Err(NoBeginning);
            }
            for text in beginnings {
                self.rare_texts.add(text, bucket);
            }
        }
        if let Some(rules) = self.buckets.get_mut(number) {
            rules.push(rule);
        }
        Ok(())
    }

    /// Builds the search, after the last rule.
    pub(super) fn finish(&mut self) -> Result<(), aho_corasick::BuildError> {
        self.rare_texts.finish()
    }

    /// The rules in the first of `buckets`, and the buckets after it.
    pub(super) fn rules(&self, buckets: u64) -> (&[RuleIndex], u64) {
        let first = usize::try_from(buckets.trailing_zeros()).ok();
        let rules = first.and_then(|number| self.buckets.get(number));
        (rules.map_or(&[], Vec::as_slice), buckets & buckets.wrapping_sub(1))
    }

    /// The next candidate that begins with a run, at or after `from`; `whole` when no bytes follow `text`. `known` is
    /// where runs are known to begin, for the next call.
    fn next_in_run(&self, text: &[u8], from: usize, whole: bool, known: &mut Option<Starts>) -> Found {
        let mut at = from;
        while let Some(block) = known.take().or_else(|| Starts::next(text, at)) {
            let mut starts = block;
            while let Some(stretch) = starts.stretch(at) {
                if let Some(found) = self.in_stretch(text, stretch.start, stretch.end) {
                    *known = Some(block);
                    return found;
                }
            }
            at = at.max(block.end());
        }
        if whole {
            return Found::NoneBefore(text.len());
        }
        Found::NoneBefore(self.unfinished_run(text, from))
    }

    /// The first candidate in the stretch of beginnings.
    // Apart from its caller, so that what it looks up stays in registers.
    #[inline(never)]
    fn in_stretch(&self, text: &[u8], start: usize, end: usize) -> Option<Found> {
        // Every position before `end` has a whole run after it, so also the bytes looked at here.
        let mut rest = text.get(start..end + RUN - 1)?;
        let mut at = start;
        while at < end
            && let Some(bytes) = rest.first_chunk()
        {
            if self.pairs_in_runs.any(bytes)
                && let Some(found) = self.among(bytes, at, end)
            {
                return Some(found);
            }
            at += AT_ONCE;
            rest = rest.get(AT_ONCE..).unwrap_or_default();
        }
        None
    }

    /// The first candidate among the first [`AT_ONCE`] of `bytes`, which stand at `at`, and before `end`. Most have none,
    /// and take one branch.
    fn among(&self, bytes: &[u8; BYTES], at: usize, end: usize) -> Option<Found> {
        let windows = || bytes.windows(3).take(AT_ONCE);
        let any = windows().fold(0, |any, window| any | self.in_runs.of(window));
        if any == 0 {
            return None;
        }
        (at..end).zip(windows()).find_map(|(at, window)| {
            let buckets = self.in_runs.of(window);
            (buckets != 0).then_some(Found::Candidate { at, buckets })
        })
    }

    /// The first position of a run at the end of `text` that could still become a candidate, else the end.
    fn unfinished_run(&self, text: &[u8], from: usize) -> usize {
        let tail = text
            .get(from.max(text.len().saturating_sub(RUN - 1))..)
            .unwrap_or_default();
        let run = tail.iter().rev().take_while(|byte| is_token_byte(**byte)).count();
        (text.len() - run..text.len())
            .find(|at| text.get(*at..).is_some_and(|rest| self.in_runs.of(rest) != 0))
            .unwrap_or(text.len())
    }
}

/// The searches for candidates, each of which keeps what it found until the scan has passed it.
#[derive(Default)]
pub(super) struct Search {
    in_run: Option<Found>,
    runs: Option<Starts>,
    rare: [Option<Found>; GROUPS],
}

impl Search {
    /// The next candidate at or after `from`; `whole` when no bytes follow `text`.
    pub(super) fn next(&mut self, prefilter: &Prefilter, text: &[u8], from: usize, whole: bool) -> Found {
        let runs = &mut self.runs;
        let in_run = kept(&mut self.in_run, from, || {
            prefilter.next_in_run(text, from, whole, runs)
        });
        let groups = prefilter.rare_texts.groups().iter().zip(&mut self.rare);
        groups.fold(in_run, |first, (group, slot)| {
            first.or_earlier(kept(slot, from, || group.next(text, from, whole)))
        })
    }
}

impl Found {
    fn position(self) -> usize {
        match self {
            Self::Candidate { at, .. } | Self::NoneBefore(at) => at,
        }
    }

    /// The earlier of the two; of two candidates at one position, both.
    fn or_earlier(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Candidate { at, buckets },
                Self::Candidate {
                    at: same,
                    buckets: more,
                },
            ) if at == same => Self::Candidate {
                at,
                buckets: buckets | more,
            },
            // What is undecided at a position comes before what is found there.
            (Self::Candidate { at, .. }, Self::NoneBefore(open)) if at == open => other,
            _ if other.position() < self.position() => other,
            _ => self,
        }
    }
}

fn kept(slot: &mut Option<Found>, from: usize, search: impl FnOnce() -> Found) -> Found {
    match *slot {
        Some(found) if found.position() >= from => found,
        _ => *slot.insert(search()),
    }
}
