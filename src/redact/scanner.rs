//! Decides, byte string by byte string, what is clean and what is a secret.
//!
//! The scanner is handed the bytes from the first undecided one on, says how many it decided, and is handed the rest
//! again together with what followed. It remembers where its automaton stood, so no byte is stepped over twice for
//! the same candidate and rule, however small the pieces.

use std::ops::Range;

use regex_automata::util::primitives::StateID;

use super::Settings;
use super::automaton::Step;
use super::findings::Tally;
use super::prefilter::{Found, Prefilter};
use super::replacement::Filler;
use super::rules::{Rule, RuleIndex};

/// Steps that candidates may take before any byte has paid for them: room for one of the longest windows.
const STEPS_FREE: u32 = 64 * 1024;
/// Steps that every automaton gets, paid for or not.
const STEPS_LEAST: u32 = 64;
/// Steps that each byte pays for. A flood of beginnings that spends more is itself taken for a secret.
const STEPS_A_BYTE: u32 = 32;

/// A decided part of the input, in order.
#[derive(Debug)]
pub(super) enum Piece {
    /// So many bytes that stay as they are.
    Clean(usize),
    /// So many bytes, and what stands in their place.
    Replaced { len: usize, with: Vec<u8> },
}

impl Piece {
    /// How many bytes of the input it covers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Clean(len) | Self::Replaced { len, .. } => *len,
        }
    }
}

/// Where the scan of one byte string stands. All positions count from the first undecided byte.
pub(super) struct Scanner {
    mode: Mode,
    /// The byte before the first undecided one.
    before: Option<u8>,
    /// Candidates before this position have been looked at.
    from: usize,
    /// Steps still paid for, as of the byte at `paid_to`.
    credit: u32,
    /// Bytes from the first undecided one that have paid already.
    paid_to: usize,
    #[cfg(test)]
    pub(super) steps: u64,
}

enum Mode {
    Searching,
    Deciding(Open),
    Replacing(Endless),
}

/// A candidate that is being decided, one rule after the other.
struct Open {
    start: usize,
    buckets: u64,
    nth: usize,
    thread: Option<Thread>,
    best: Option<Secret>,
}

/// One rule's automaton under way.
struct Thread {
    rule: RuleIndex,
    state: StateID,
    at: usize,
    /// Steps it may still take.
    allowance: u32,
    /// Where the best match so far ends.
    end: Option<usize>,
}

/// A match that passed its checks.
struct Secret {
    rule: RuleIndex,
    text: Range<usize>,
    /// Where the whole match ends; the text may end before.
    end: usize,
    /// The automaton's state at `end` when the match outgrew its window.
    open: Option<StateID>,
}

/// A secret that outgrew its window and is replaced for as long as its automaton lives.
struct Endless {
    rule: RuleIndex,
    state: StateID,
    at: usize,
    /// The secret reaches at least to here.
    end: usize,
    filler: Filler,
}

enum Verdict {
    Undecided,
    Nothing,
    Secret(Secret),
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            mode: Mode::Searching,
            before: None,
            from: 0,
            credit: STEPS_FREE,
            paid_to: 0,
            #[cfg(test)]
            steps: 0,
        }
    }
}

/// What stays the same during one call.
struct Pass<'a> {
    settings: &'a Settings,
    text: &'a [u8],
    whole: bool,
    at_home: &'a dyn Fn(&Rule) -> bool,
}

impl Pass<'_> {
    fn is_at_home(&self, rule: RuleIndex) -> bool {
        self.settings.rules.rule(rule).is_some_and(self.at_home)
    }
}

impl Scanner {
    /// Goes over `text`, which begins with the first undecided byte; `whole` when nothing follows it. Hands each
    /// decided piece to `emit`, counts findings in `tally`, and gives the number of bytes decided.
    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        text: &[u8],
        whole: bool,
        at_home: &dyn Fn(&Rule) -> bool,
        emit: &mut dyn FnMut(Piece),
        tally: &mut Tally,
    ) -> usize {
        let pass = Pass {
            settings,
            text,
            whole,
            at_home,
        };
        let mut search = Search::default();
        let mut done = 0;
        loop {
            done = match &mut self.mode {
                Mode::Searching => {
                    match search.next(&settings.rules.prefilter, text, self.from, whole) {
                        Found::Candidate { at, buckets } => {
                            self.open(at, buckets);
                            continue;
                        }
                        Found::NoneBefore(at) => {
                            self.from = self.from.max(at);
                            let decided = at.max(done);
                            clean(done..decided, emit);
                            done = decided;
                            break;
                        }
                    }
                }
                Mode::Deciding(open) => {
                    let start = open.start;
                    match self.decide(&pass) {
                        Verdict::Undecided => {
                            clean(done..start, emit);
                            done = start;
                            break;
                        }
                        Verdict::Secret(secret) if !pass.is_at_home(secret.rule) => {
                            clean(done..secret.text.start, emit);
                            self.replace(&pass, &secret, emit, tally)
                        }
                        Verdict::Nothing | Verdict::Secret(_) => {
                            self.from = start + 1;
                            self.mode = Mode::Searching;
                            continue;
                        }
                    }
                }
                Mode::Replacing(endless) => match endless.go_on(&pass, done, emit) {
                    (end, true) => {
                        self.from = end;
                        self.mode = Mode::Searching;
                        end
                    }
                    (end, false) => {
                        done = end;
                        break;
                    }
                },
            };
        }
        self.rebase(done, text);
        done
    }

    fn open(&mut self, start: usize, buckets: u64) {
        let bytes = u32::try_from(start.saturating_sub(self.paid_to)).unwrap_or(u32::MAX);
        self.credit = self
            .credit
            .saturating_add(bytes.saturating_mul(STEPS_A_BYTE))
            .min(STEPS_FREE);
        self.paid_to = self.paid_to.max(start);
        self.mode = Mode::Deciding(Open {
            start,
            buckets,
            nth: 0,
            thread: None,
            best: None,
        });
    }

    fn decide(&mut self, pass: &Pass<'_>) -> Verdict {
        let Mode::Deciding(open) = &mut self.mode else {
            return Verdict::Nothing;
        };
        loop {
            if open.thread.is_none() && !open.next_rule(pass, self.before, self.credit) {
                return open.best.take().map_or(Verdict::Nothing, Verdict::Secret);
            }
            let Some(thread) = &mut open.thread else {
                continue;
            };
            let Some(rule) = pass.settings.rules.rule(thread.rule) else {
                return Verdict::Nothing;
            };
            let from = thread.at;
            let ran = thread.run(rule, pass, open.start);
            let steps = u32::try_from(thread.at - from).unwrap_or(u32::MAX);
            thread.allowance = thread.allowance.saturating_sub(steps);
            let exhausted = thread.allowance == 0;
            self.credit = self.credit.saturating_sub(steps);
            #[cfg(test)]
            {
                self.steps += u64::from(steps);
            }
            match ran {
                Ran::Paused => return Verdict::Undecided,
                Ran::Ended => {
                    if let Some(secret) = open.secret(pass, rule, self.before) {
                        open.take(secret);
                    }
                    open.thread = None;
                }
                Ran::Outgrown => {
                    if let Some(secret) = open.outgrown(pass, rule, self.before, exhausted) {
                        return Verdict::Secret(secret);
                    }
                    open.thread = None;
                }
            }
        }
    }

    /// Writes the replacement of `secret`; gives the position decided to.
    fn replace(
        &mut self,
        pass: &Pass<'_>,
        secret: &Secret,
        emit: &mut dyn FnMut(Piece),
        tally: &mut Tally,
    ) -> usize {
        self.mode = Mode::Searching;
        let (Some(rule), Some(text)) = (
            pass.settings.rules.rule(secret.rule),
            pass.text.get(secret.text.clone()),
        ) else {
            self.from = secret.end;
            return secret.text.start;
        };
        tally.add(secret.rule, pass.settings.key.fingerprint(text));
        let before = left_of(pass.text, secret.text.start, self.before);
        let kept = rule.public_prefix(text);
        let (filler, with) =
            Filler::begin(&pass.settings.replacement, rule.id(), text, kept, before);
        emit(Piece::Replaced {
            len: text.len(),
            with,
        });
        self.from = secret.text.end;
        if let Some(state) = secret.open {
            let Secret { rule, end, .. } = *secret;
            self.mode = Mode::Replacing(Endless {
                rule,
                state,
                at: end,
                end,
                filler,
            });
        }
        secret.text.end
    }

    /// Counts positions from the byte at `done` on.
    fn rebase(&mut self, done: usize, text: &[u8]) {
        self.before = left_of(text, done, self.before);
        self.from = self.from.saturating_sub(done);
        if done > self.paid_to {
            let bytes = u32::try_from(done - self.paid_to).unwrap_or(u32::MAX);
            self.credit = self
                .credit
                .saturating_add(bytes.saturating_mul(STEPS_A_BYTE))
                .min(STEPS_FREE);
        }
        self.paid_to = self.paid_to.saturating_sub(done);
        match &mut self.mode {
            Mode::Searching => {}
            Mode::Deciding(open) => open.rebase(done),
            Mode::Replacing(endless) => {
                endless.at -= done;
                endless.end -= done;
            }
        }
    }
}

fn clean(part: Range<usize>, emit: &mut dyn FnMut(Piece)) {
    if !part.is_empty() {
        emit(Piece::Clean(part.len()));
    }
}

/// The byte to the left of `at`, which for the first is the one decided last.
fn left_of(text: &[u8], at: usize, before: Option<u8>) -> Option<u8> {
    match at.checked_sub(1) {
        Some(left) => text.get(left).copied(),
        None => before,
    }
}

enum Ran {
    /// The bytes ran out; more may come.
    Paused,
    /// The automaton is dead, or the input ended.
    Ended,
    /// It lives on at the end of its window, or of the steps paid for.
    Outgrown,
}

impl Thread {
    fn run(&mut self, rule: &Rule, pass: &Pass<'_>, start: usize) -> Ran {
        let allowance = usize::try_from(self.allowance).unwrap_or(usize::MAX);
        let limit = (start + rule.window()).min(self.at.saturating_add(allowance));
        let part = pass
            .text
            .get(self.at..limit.min(pass.text.len()))
            .unwrap_or_default();
        for byte in part {
            match rule.automaton().step(self.state, *byte) {
                Step::Dead => return Ran::Ended,
                Step::On(state) => self.state = state,
                Step::Matched(state) => {
                    self.state = state;
                    self.end = Some(self.at);
                }
            }
            self.at += 1;
        }
        if self.at == limit {
            return Ran::Outgrown;
        }
        if !pass.whole {
            return Ran::Paused;
        }
        if rule.automaton().ends(self.state) {
            self.end = Some(self.at);
        }
        Ran::Ended
    }
}

impl Open {
    /// Starts the next rule's automaton; false when there is none left.
    fn next_rule(&mut self, pass: &Pass<'_>, before: Option<u8>, credit: u32) -> bool {
        let before = left_of(pass.text, self.start, before);
        while self.buckets != 0 {
            let (rules, after) = pass.settings.rules.prefilter.rules(self.buckets);
            let Some(index) = rules.get(self.nth).copied() else {
                self.buckets = after;
                self.nth = 0;
                continue;
            };
            self.nth += 1;
            let rule = pass.settings.rules.rule(index);
            if let Some(state) = rule.and_then(|rule| rule.automaton().start(before)) {
                let allowance = credit.max(STEPS_LEAST);
                self.thread = Some(Thread {
                    rule: index,
                    state,
                    at: self.start,
                    allowance,
                    end: None,
                });
                return true;
            }
        }
        false
    }

    /// The secret in the match that the automaton found, if it found one that passes the rule's checks.
    fn secret(&self, pass: &Pass<'_>, rule: &Rule, before: Option<u8>) -> Option<Secret> {
        let thread = self.thread.as_ref()?;
        let end = thread.end?;
        let text = self.secret_part(pass, rule, before, end)?;
        let passes = rule.passes(pass.text.get(text.clone())?);
        passes.then_some(Secret {
            rule: thread.rule,
            text,
            end,
            open: None,
        })
    }

    fn secret_part(
        &self,
        pass: &Pass<'_>,
        rule: &Rule,
        before: Option<u8>,
        end: usize,
    ) -> Option<Range<usize>> {
        if rule.automaton().group_count() == 0 {
            return Some(self.start..end);
        }
        // The expression may look at the byte on either side, and the one to the left may be gone already.
        let left = left_of(pass.text, self.start, before);
        let mut around: Vec<u8> = left.into_iter().collect();
        let shift = around.len();
        around.extend_from_slice(pass.text.get(self.start..pass.text.len().min(end + 1))?);
        let found = rule.automaton().secret(
            &around,
            shift..shift + end - self.start,
            rule.secret_group(),
        );
        let found = found.start - shift + self.start..found.end - shift + self.start;
        (!found.is_empty()).then_some(found)
    }

    /// What is replaced of a match that outgrew its window: all of it but the public prefix. When the steps are used
    /// up, its checks are no longer asked.
    fn outgrown(
        &self,
        pass: &Pass<'_>,
        rule: &Rule,
        before: Option<u8>,
        exhausted: bool,
    ) -> Option<Secret> {
        let thread = self.thread.as_ref()?;
        let end = thread.at;
        let start = match thread.end {
            Some(matched) => self.secret_part(pass, rule, before, matched)?.start,
            None => self.start,
        };
        let text = start..end;
        let counts = !text.is_empty() && (exhausted || rule.passes(pass.text.get(text.clone())?));
        counts.then_some(Secret {
            rule: thread.rule,
            text,
            end,
            open: Some(thread.state),
        })
    }

    /// Keeps the longer match, and of two equally long ones that of the earlier rule.
    fn take(&mut self, secret: Secret) {
        let better = self.best.as_ref().is_none_or(|best| {
            (secret.end, std::cmp::Reverse(secret.rule)) > (best.end, std::cmp::Reverse(best.rule))
        });
        if better {
            self.best = Some(secret);
        }
    }

    fn rebase(&mut self, done: usize) {
        self.start -= done;
        if let Some(thread) = &mut self.thread {
            thread.at -= done;
            thread.end = thread.end.map(|end| end - done);
        }
        if let Some(best) = &mut self.best {
            best.text = best.text.start - done..best.text.end - done;
            best.end -= done;
        }
    }
}

impl Endless {
    /// Replaces what is known to belong to the secret, from `done` on. Gives the position decided to, and whether the
    /// secret ends there.
    fn go_on(
        &mut self,
        pass: &Pass<'_>,
        done: usize,
        emit: &mut dyn FnMut(Piece),
    ) -> (usize, bool) {
        let ended = pass
            .settings
            .rules
            .rule(self.rule)
            .is_none_or(|rule| self.run(rule, pass));
        if let Some(hidden) = pass.text.get(done..self.end)
            && !hidden.is_empty()
        {
            let mut with = Vec::with_capacity(hidden.len());
            self.filler.go_on(hidden, &mut with);
            emit(Piece::Replaced {
                len: hidden.len(),
                with,
            });
        }
        (self.end, ended)
    }

    fn run(&mut self, rule: &Rule, pass: &Pass<'_>) -> bool {
        for byte in pass.text.get(self.at..).unwrap_or_default() {
            match rule.automaton().step(self.state, *byte) {
                Step::Dead => return true,
                Step::On(state) => self.state = state,
                Step::Matched(state) => {
                    self.state = state;
                    self.end = self.at.max(self.end);
                }
            }
            self.at += 1;
            if self.at - self.end >= rule.window() {
                self.end = self.at;
            }
        }
        if pass.whole && rule.automaton().ends(self.state) {
            self.end = self.at;
        }
        pass.whole
    }
}

/// The two searches for candidates, each of which keeps what it found until the scan has passed it.
#[derive(Default)]
struct Search {
    in_run: Option<Found>,
    runs: Range<usize>,
    everywhere: Option<Found>,
}

impl Search {
    fn next(&mut self, prefilter: &Prefilter, text: &[u8], from: usize, whole: bool) -> Found {
        let runs = &mut self.runs;
        let in_run = kept(&mut self.in_run, from, || {
            prefilter.next_in_run(text, from, whole, runs)
        });
        let everywhere = kept(&mut self.everywhere, from, || {
            prefilter.next_everywhere(text, from, whole)
        });
        match (in_run, everywhere) {
            (
                Found::Candidate { at, buckets },
                Found::Candidate {
                    at: same,
                    buckets: more,
                },
            ) if at == same => Found::Candidate {
                at,
                buckets: buckets | more,
            },
            _ if position(everywhere) < position(in_run) => everywhere,
            _ => in_run,
        }
    }
}

fn position(found: Found) -> usize {
    match found {
        Found::Candidate { at, .. } | Found::NoneBefore(at) => at,
    }
}

fn kept(slot: &mut Option<Found>, from: usize, search: impl FnOnce() -> Found) -> Found {
    match *slot {
        Some(found) if position(found) >= from => found,
        _ => *slot.insert(search()),
    }
}
