//! Decides one candidate: a position at which some rules' secrets could begin, each in the dress in which it was found.
//!
//! Where the bytes looked at hold what could be an escape, the rule is tried once more on the text that the escapes stand for.

use std::ops::Range;

use super::automaton::{State, Step};
use super::credit::Credit;
use super::dress::{Dress, Escapes, Read, is_lead};
use super::left::Left;
use super::numbers::continues_number;
use super::rules::{Rule, RuleIndex};
use super::scanner::Pass;
use super::search::{Candidate, Source};
use super::words::Heard;

/// A candidate that is being decided, one way to begin after the other.
pub(super) struct Open {
    pub(super) start: usize,
    pub(super) source: Source,
    pub(super) dress: Dress,
    numbers: Range<u32>,
    /// To be tried again with its escapes read.
    again: Option<Entry>,
    thread: Option<Thread>,
    best: Option<Secret>,
}

/// One rule, and the dress in which it is tried.
#[derive(Clone, Copy)]
struct Entry {
    rule: RuleIndex,
    dress: Dress,
}

/// One rule's automaton under way.
struct Thread {
    entry: Entry,
    state: State,
    dress: Dress,
    at: usize,
    /// How many bytes it has read beneath its dress.
    read: usize,
    /// Steps it may still take.
    allowance: u32,
    /// Where the best match so far ends: in the text, and beneath the dress.
    end: Option<(usize, usize)>,
}

/// A match that passed its checks.
pub(super) struct Secret {
    pub(super) rule: RuleIndex,
    /// What is rewritten of the text.
    pub(super) text: Range<usize>,
    /// Where the whole match ends; the text may end before.
    pub(super) end: usize,
    /// The dress at the text's beginning, and where beneath it the secret stands.
    pub(super) beneath: Option<(Dress, Range<usize>)>,
    /// The automaton's state and dress at `end` when the match outgrew its window.
    pub(super) open: Option<(State, Dress)>,
}

impl Secret {
    /// What is left of it behind `done`, if anything is.
    pub(super) fn behind(mut self, done: usize) -> Option<Self> {
        if self.text.start < done {
            self.text.start = done;
            // It begins within its dress now, so that its bytes are replaced as they stand.
            self.beneath = None;
        }
        (!self.text.is_empty()).then_some(self)
    }

    /// Reaches over `other` as well, and all between.
    pub(super) fn cover(&mut self, other: &Self) {
        self.text = self.text.start.min(other.text.start)..self.text.end.max(other.text.end);
        self.end = self.end.max(other.end);
        self.beneath = None;
        self.open = None;
    }

    /// Counts positions from the byte at `done` on; false when it ends before.
    pub(super) fn rebase(&mut self, done: usize) -> bool {
        let there = self.end > done && self.text.end > done;
        self.text = self.text.start.saturating_sub(done)..self.text.end.saturating_sub(done);
        self.end = self.end.saturating_sub(done);
        there
    }
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
        let ran = if self.entry.dress.is_plain() {
            self.step_to_the_end(rule, pass, start)
        } else {
            self.step_beneath(rule, pass, start)
        };
        let steps = u32::try_from(self.at - from).unwrap_or(u32::MAX);
        let cost = steps.saturating_mul(rule.automaton().step_cost());
        self.allowance = self.allowance.saturating_sub(cost);
        credit.spend(cost);
        match ran {
            // What stands in a gap is no secret, so there is nothing to hide but what matched; and any text could stand there, so
            // that ordinary text uses up the steps as well.
            Ran::Outgrown if rule.automaton().has_gap_first() => Ran::Ended,
            Ran::Paused | Ran::Ended | Ran::Outgrown => ran,
        }
    }

    /// Whether it has used up its steps.
    fn is_exhausted(&self, rule: &Rule) -> bool {
        self.allowance < rule.automaton().step_cost()
    }

    fn limit(&self, rule: &Rule, start: usize) -> usize {
        let allowance = usize::try_from(self.allowance / rule.automaton().step_cost()).unwrap_or(usize::MAX);
        (start + rule.window()).min(self.at.saturating_add(allowance))
    }

    fn step_to_the_end(&mut self, rule: &Rule, pass: &Pass<'_>, start: usize) -> Ran {
        let limit = self.limit(rule, start);
        let part = pass.text.get(self.at..limit.min(pass.text.len())).unwrap_or_default();
        for byte in part {
            match rule.automaton().step(&mut self.state, *byte) {
                Step::Dead => return Ran::Ended,
                Step::On => {}
                Step::Matched => self.end = Some((self.at, self.at - start)),
            }
            self.at += 1;
        }
        if self.at == limit {
            return Ran::Outgrown;
        }
        if !pass.whole {
            return Ran::Paused;
        }
        if rule.automaton().ends(&mut self.state) {
            self.end = Some((self.at, self.at - start));
        }
        Ran::Ended
    }

    fn step_beneath(&mut self, rule: &Rule, pass: &Pass<'_>, start: usize) -> Ran {
        let limit = self.limit(rule, start);
        while self.at < limit {
            let (byte, next) = match self.dress.read(pass.text, self.at, pass.whole) {
                Read::Byte { byte, next } => (byte, next),
                Read::Pause => return Ran::Paused,
                Read::End => {
                    if rule.automaton().ends(&mut self.state) {
                        self.end = Some((self.at, self.read));
                    }
                    return Ran::Ended;
                }
            };
            match rule.automaton().step(&mut self.state, byte) {
                Step::Dead => return Ran::Ended,
                Step::On => {}
                Step::Matched => self.end = Some((self.at, self.read)),
            }
            self.at = next;
            self.read += 1;
        }
        Ran::Outgrown
    }
}

impl Open {
    /// Nothing is decided yet.
    pub(super) fn new(candidate: Candidate) -> Self {
        Self {
            start: candidate.at,
            source: candidate.source,
            dress: candidate.dress,
            numbers: candidate.numbers,
            again: None,
            thread: None,
            best: None,
        }
    }

    /// Goes on deciding; `before` is the byte before the first undecided one.
    pub(super) fn decide(&mut self, pass: &Pass<'_>, before: Left, credit: &mut Credit, heard: &mut Heard) -> Verdict {
        loop {
            if self.thread.is_none() && !self.next_entry(pass, before, credit) {
                return self.best.take().map_or(Verdict::Nothing, Verdict::Secret);
            }
            let Some(thread) = &mut self.thread else {
                continue;
            };
            let Some(rule) = pass.settings.rules.rule(thread.entry.rule) else {
                return Verdict::Nothing;
            };
            match thread.run(rule, pass, self.start, credit) {
                Ran::Paused => return Verdict::Undecided,
                Ran::Ended => {
                    if let Some(secret) = self.secret(pass, rule, before, heard) {
                        self.take(secret);
                    }
                    self.again = self.escaped(pass);
                }
                Ran::Outgrown => {
                    if let Some(secret) = self.outgrown(pass, rule, before, heard) {
                        return Verdict::Secret(secret);
                    }
                }
            }
            self.thread = None;
        }
    }

    /// Starts the next automaton; false when there is none left.
    fn next_entry(&mut self, pass: &Pass<'_>, before: Left, credit: &Credit) -> bool {
        loop {
            let entry = match self.again.take() {
                Some(entry) => entry,
                None => match self.numbers.next() {
                    None => return false,
                    Some(number) => match pass.settings.rules.prefilter.rule(self.source, number) {
                        Some(rule) => Entry {
                            rule,
                            dress: self.dress,
                        },
                        None => continue,
                    },
                },
            };
            let left = before.character_at(pass.text, self.start);
            if self.source == Source::Numbers && left.is_some_and(continues_number) {
                continue;
            }
            // What is coded as a whole has neighbours of its own.
            let left = left.filter(|_| !entry.dress.has_coat());
            let rule = pass.settings.rules.rule(entry.rule);
            if let Some(state) = rule.and_then(|rule| rule.automaton().start(left)) {
                self.thread = Some(Thread {
                    entry,
                    state,
                    dress: entry.dress,
                    at: self.start,
                    read: 0,
                    allowance: credit.allowance(),
                    end: None,
                });
                return true;
            }
        }
    }

    /// The same with its escapes read, if it met any.
    fn escaped(&self, pass: &Pass<'_>) -> Option<Entry> {
        // A number whose digits are escaped is seen or not by chance.
        let thread = self.thread.as_ref().filter(|_| self.source != Source::Numbers)?;
        let met = pass.text.get(self.start..pass.text.len().min(thread.at + 1))?;
        let escapes = match thread.entry.dress.escapes() {
            Escapes::None if met.iter().any(|byte| is_lead(*byte)) => Escapes::Usual,
            Escapes::Usual if may_be_quoted(met) => Escapes::All,
            Escapes::None | Escapes::Usual | Escapes::All => return None,
        };
        Some(Entry {
            dress: thread.entry.dress.escaped(escapes),
            ..thread.entry
        })
    }

    /// The secret in the match that the automaton found, if it found one that passes the rule's checks.
    fn secret(&self, pass: &Pass<'_>, rule: &Rule, before: Left, heard: &mut Heard) -> Option<Secret> {
        let thread = self.thread.as_ref()?;
        let (end, read) = thread.end?;
        if !self.is_backed(pass, thread, end, heard) {
            return None;
        }
        let dress = thread.entry.dress;
        if dress.is_plain() {
            let text = self.secret_part(pass, rule, before, end)?;
            let passes = pass.passes(rule, pass.text.get(text.clone())?, pass.text.get(self.start..end));
            return passes.then_some(Secret {
                rule: thread.entry.rule,
                text,
                end,
                beneath: None,
                open: None,
            });
        }
        let (bytes, ends) = dress.decode_to(pass.text.get(self.start..end)?, read);
        let left = before.character_at(pass.text, self.start).filter(|_| !dress.has_coat());
        let part = secret_in(rule, left, &bytes, bytes.len(), None)?;
        let last = ends.get(part.end.checked_sub(1)?)?;
        pass.passes(rule, bytes.get(part.clone())?, Some(&bytes))
            .then_some(Secret {
                rule: thread.entry.rule,
                text: self.start..self.start + last,
                end,
                beneath: Some((dress, part)),
                open: None,
            })
    }

    /// Whether the rule's keywords, if it needs them, back a match that ends at `end`.
    fn is_backed(&self, pass: &Pass<'_>, thread: &Thread, end: usize, heard: &mut Heard) -> bool {
        let beneath = || {
            let raw = pass.text.get(self.start..end).unwrap_or_default();
            if thread.entry.dress.is_plain() {
                Vec::new()
            } else {
                thread.entry.dress.decode(raw, raw.len())
            }
        };
        pass.settings
            .rules
            .prefilter
            .is_backed(thread.entry.rule, heard, pass.text, end, beneath)
    }

    fn secret_part(&self, pass: &Pass<'_>, rule: &Rule, before: Left, end: usize) -> Option<Range<usize>> {
        let left = before.character_at(pass.text, self.start);
        let text = pass.text.get(self.start..pass.text.len().min(end + 1))?;
        let right = text.get(end - self.start).copied();
        let found = secret_in(rule, left, text.get(..end - self.start)?, end - self.start, right)?;
        Some(self.start + found.start..self.start + found.end)
    }

    /// What is replaced of a match that outgrew its window: all of it but the public prefix. When the steps are used
    /// up, its checks are no longer asked.
    fn outgrown(&mut self, pass: &Pass<'_>, rule: &Rule, before: Left, heard: &mut Heard) -> Option<Secret> {
        let thread = self.thread.take()?;
        if !self.is_backed(pass, &thread, thread.at, heard) {
            return None;
        }
        let exhausted = thread.is_exhausted(rule);
        let end = thread.at;
        let plain = thread.entry.dress.is_plain();
        let start = match thread.end {
            Some((matched, _)) if plain => self.secret_part(pass, rule, before, matched)?.start,
            _ => self.start,
        };
        let text = start..end;
        let passes = || {
            let raw = pass.text.get(text.clone()).unwrap_or_default();
            let beneath = || thread.entry.dress.decode(raw, raw.len());
            if plain {
                pass.passes(rule, raw, None)
            } else {
                pass.passes(rule, &beneath(), None)
            }
        };
        let counts = !text.is_empty() && (exhausted || passes());
        counts.then_some(Secret {
            rule: thread.entry.rule,
            text,
            end,
            beneath: None,
            open: Some((thread.state, thread.dress)),
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
            thread.end = thread.end.map(|(end, read)| (end - done, read));
        }
        if let Some(best) = &mut self.best {
            best.rebase(done);
        }
    }
}

/// Whether a text may be quoted-printable: it has an equals sign, which may itself be escaped.
fn may_be_quoted(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'=' | b'%' | b'\\' | b'&'))
}

/// Where the secret stands in the match `text[..end]`; the bytes to its left and right are there for look-around. Nothing when it is
/// empty.
fn secret_in(rule: &Rule, left: Option<u8>, text: &[u8], end: usize, right: Option<u8>) -> Option<Range<usize>> {
    if rule.automaton().group_count() == 0 {
        return Some(0..end);
    }
    let mut around: Vec<u8> = left.into_iter().collect();
    let shift = around.len();
    around.extend_from_slice(text.get(..end)?);
    around.extend(right);
    let found = rule
        .automaton()
        .secret(&around, shift..shift + end, rule.secret_group());
    (!found.is_empty()).then(|| found.start - shift..found.end - shift)
}
