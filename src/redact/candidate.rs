//! Decides one candidate: a position at which some rules' secrets could begin.

use std::ops::Range;

use regex_automata::util::primitives::StateID;

use super::automaton::Step;
use super::credit::Credit;
use super::rules::{Rule, RuleIndex};
use super::scanner::{Pass, left_of};

/// A candidate that is being decided, one rule after the other.
pub(super) struct Open {
    pub(super) start: usize,
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
pub(super) struct Secret {
    pub(super) rule: RuleIndex,
    pub(super) text: Range<usize>,
    /// Where the whole match ends; the text may end before.
    pub(super) end: usize,
    /// The automaton's state at `end` when the match outgrew its window.
    pub(super) open: Option<StateID>,
}

/// What became of a candidate.
pub(super) enum Verdict {
    /// It depends on bytes still to come.
    Undecided,
    /// No secret begins there.
    Nothing,
    /// The longest one that begins there.
    Secret(Secret),
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
    fn run(&mut self, rule: &Rule, pass: &Pass<'_>, start: usize, credit: &mut Credit) -> Ran {
        let from = self.at;
        let ran = self.step_to_the_end(rule, pass, start);
        let steps = u32::try_from(self.at - from).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_sub(steps);
        credit.spend(steps);
        ran
    }

    fn step_to_the_end(&mut self, rule: &Rule, pass: &Pass<'_>, start: usize) -> Ran {
        let allowance = usize::try_from(self.allowance).unwrap_or(usize::MAX);
        let limit = (start + rule.window()).min(self.at.saturating_add(allowance));
        let part = pass.text.get(self.at..limit.min(pass.text.len())).unwrap_or_default();
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
    /// A candidate at `start` for the rules in `buckets`.
    pub(super) fn new(start: usize, buckets: u64) -> Self {
        Self {
            start,
            buckets,
            nth: 0,
            thread: None,
            best: None,
        }
    }

    /// Goes on deciding; `before` is the byte before the first undecided one.
    pub(super) fn decide(&mut self, pass: &Pass<'_>, before: Option<u8>, credit: &mut Credit) -> Verdict {
        loop {
            if self.thread.is_none() && !self.next_rule(pass, before, credit) {
                return self.best.take().map_or(Verdict::Nothing, Verdict::Secret);
            }
            let Some(thread) = &mut self.thread else {
                continue;
            };
            let Some(rule) = pass.settings.rules.rule(thread.rule) else {
                return Verdict::Nothing;
            };
            match thread.run(rule, pass, self.start, credit) {
                Ran::Paused => return Verdict::Undecided,
                Ran::Ended => {
                    if let Some(secret) = self.secret(pass, rule, before) {
                        self.take(secret);
                    }
                }
                Ran::Outgrown => {
                    if let Some(secret) = self.outgrown(pass, rule, before) {
                        return Verdict::Secret(secret);
                    }
                }
            }
            self.thread = None;
        }
    }

    /// Starts the next rule's automaton; false when there is none left.
    fn next_rule(&mut self, pass: &Pass<'_>, before: Option<u8>, credit: &Credit) -> bool {
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
                let allowance = credit.allowance();
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

    fn secret_part(&self, pass: &Pass<'_>, rule: &Rule, before: Option<u8>, end: usize) -> Option<Range<usize>> {
        if rule.automaton().group_count() == 0 {
            return Some(self.start..end);
        }
        // The expression may look at the byte on either side, and the one to the left may be gone already.
        let left = left_of(pass.text, self.start, before);
        let mut around: Vec<u8> = left.into_iter().collect();
        let shift = around.len();
        around.extend_from_slice(pass.text.get(self.start..pass.text.len().min(end + 1))?);
        let found = rule
            .automaton()
            .secret(&around, shift..shift + end - self.start, rule.secret_group());
        let found = found.start - shift + self.start..found.end - shift + self.start;
        (!found.is_empty()).then_some(found)
    }

    /// What is replaced of a match that outgrew its window: all of it but the public prefix. When the steps are used
    /// up, its checks are no longer asked.
    fn outgrown(&self, pass: &Pass<'_>, rule: &Rule, before: Option<u8>) -> Option<Secret> {
        let thread = self.thread.as_ref()?;
        let exhausted = thread.allowance == 0;
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
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| (secret.end, std::cmp::Reverse(secret.rule)) > (best.end, std::cmp::Reverse(best.rule)));
        if better {
            self.best = Some(secret);
        }
    }

    pub(super) fn rebase(&mut self, done: usize) {
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
