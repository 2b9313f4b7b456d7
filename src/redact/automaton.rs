//! One rule's expression as an automaton that is stepped byte by byte, and what can be learnt from its states: how
//! every match begins.

use std::collections::BTreeSet;
use std::ops::Range;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};
use regex_automata::{Anchored, Input, MatchKind, meta};

use super::byte_set::ByteSet;
use super::runs::{RUN, is_token_byte};

/// How large the automaton of one expression may become; user packs with counted repetitions of large classes meet it.
const AUTOMATON_BYTES: usize = 8 << 20;
/// Fixed beginnings longer than this say nothing more that would make a search faster.
const FIXED: usize = 8;
/// A fixed beginning ends where there are more choices than this.
const CHOICES: usize = 12;
/// It ends as well when there are more beginnings than this.
const BEGINNINGS: usize = 256;
/// How many bytes of a beginning are known, fixed or as sets.
const KNOWN: usize = 12;

/// Where the automaton stands after a byte.
pub(super) enum Step {
    /// No match can come any more.
    Dead,
    /// A match may come; none ended before this byte.
    On(StateID),
    /// A match ended just before this byte, and a longer one may come.
    Matched(StateID),
}

/// One compiled expression, anchored at its beginning, preferring as Perl and Go do.
pub(super) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    groups: Option<meta::Regex>,
}

/// How a match begins.
pub(super) struct Beginning {
    /// How many bytes are fixed, save for their case.
    pub(super) fixed: usize,
    /// What can stand first, second and so on.
    pub(super) sets: Vec<ByteSet>,
}

/// Why an expression is no automaton; the text names the position in the expression.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExpressionError {
    #[error("{0}")]
    Syntax(#[from] Box<meta::BuildError>),
    #[error("{0}")]
    Automaton(#[from] Box<dense::BuildError>),
}

impl Automaton {
    /// Compiles `expression`; bytes, not Unicode, are what it matches.
    pub(super) fn compile(expression: &str) -> Result<Self, ExpressionError> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let groups = meta::Regex::builder()
            .syntax(syntax)
            .configure(meta::Config::new().utf8_empty(false))
            .build(expression)
            .map_err(Box::new)?;
        let dfa = dense::Builder::new()
            .syntax(syntax)
            .thompson(thompson::Config::new().utf8(false))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .accelerate(false)
                    .dfa_size_limit(Some(AUTOMATON_BYTES))
                    .determinize_size_limit(Some(2 * AUTOMATON_BYTES)),
            )
            .build(expression)
            .map_err(Box::new)?;
        let groups = (groups.captures_len() > 1).then_some(groups);
        Ok(Self { dfa, groups })
    }

    /// The state before the first byte, or nothing when `before`, the byte to the left, rules a match out.
    pub(super) fn start(&self, before: Option<u8>) -> Option<StateID> {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(before);
        let state = self.dfa.start_state(&config).ok()?;
        (!self.dfa.is_dead_state(state)).then_some(state)
    }

    /// One byte on.
    #[inline]
    pub(super) fn step(&self, state: StateID, byte: u8) -> Step {
        let next = self.dfa.next_state(state, byte);
        if !self.dfa.is_special_state(next) {
            Step::On(next)
        } else if self.dfa.is_match_state(next) {
            Step::Matched(next)
        } else {
            Step::Dead
        }
    }

    /// Whether a match ends where the input does.
    pub(super) fn ends(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }

    /// How many groups the expression has, the whole match not counted.
    pub(super) fn group_count(&self) -> usize {
        self.groups.as_ref().map_or(0, |r| r.captures_len() - 1)
    }

    /// Where the secret stands in `around[matched]`: in group `wanted`, or for 0 in the first that is not empty. The
    /// bytes of `around` beside the match are there for look-around.
    pub(super) fn secret(&self, around: &[u8], matched: Range<usize>, wanted: usize) -> Range<usize> {
        let Some(regex) = &self.groups else {
            return matched;
        };
        let mut captures = regex.create_captures();
        let input = Input::new(around).span(matched.clone()).anchored(Anchored::Yes);
        regex.search_captures(&input, &mut captures);
        let group = if wanted > 0 {
            captures.get_group(wanted)
        } else {
            (1..captures.group_len())
                .filter_map(|group| captures.get_group(group))
                .find(|span| !span.is_empty())
        };
        group.map_or(matched, |span| span.range())
    }

    /// The states a match can be in after `depth` bytes, or nothing when a match can be shorter than that.
    fn states_after(&self, depth: usize, allowed: impl Fn(u8) -> bool) -> Option<BTreeSet<StateID>> {
        let mut level = self.starts();
        for _ in 0..depth {
            let mut next = BTreeSet::new();
            for state in level {
                for byte in 0..=u8::MAX {
                    match self.step(state, byte) {
                        Step::Dead => {}
                        Step::On(to) if allowed(byte) => {
                            next.insert(to);
                        }
                        Step::On(_) | Step::Matched(_) => return None,
                    }
                }
            }
            level = next;
        }
        Some(level)
    }

    fn starts(&self) -> BTreeSet<StateID> {
        [None, Some(b'a'), Some(b' '), Some(b'\n'), Some(b'\r')]
            .into_iter()
            .filter_map(|before| self.start(before))
            .collect()
    }

    /// Whether every match begins with a whole run of token bytes, so that it can be looked for in runs only.
    pub(super) fn begins_with_run(&self) -> bool {
        self.states_after(RUN, is_token_byte).is_some()
    }

    /// How every match begins: one of these.
    pub(super) fn beginnings(&self) -> Vec<Beginning> {
        let starts = self.starts().into_iter().collect();
        let mut level: Vec<(Vec<ByteSet>, Vec<StateID>)> = vec![(Vec::new(), starts)];
        let mut ended = Vec::new();
        for _ in 0..FIXED {
            let mut longer = Vec::new();
            let mut ending = Vec::new();
            for (nth, (sets, states)) in level.iter().enumerate() {
                let choices = self.choices(states);
                if choices.is_empty() || choices.len() > CHOICES {
                    ending.push(nth);
                    continue;
                }
                longer.extend(choices.into_iter().map(|(set, next)| {
                    let mut sets = sets.clone();
                    sets.push(set);
                    (sets, next)
                }));
            }
            if longer.len() + ended.len() > BEGINNINGS {
                break;
            }
            ended.extend(ending.into_iter().filter_map(|nth| level.get(nth).cloned()));
            level = longer;
        }
        ended.append(&mut level);
        ended.into_iter().map(|(sets, states)| self.beginning(sets, states)).collect()
    }

    fn beginning(&self, sets: Vec<ByteSet>, states: Vec<StateID>) -> Beginning {
        let fixed = sets.len();
        let mut sets = sets;
        let mut states = states;
        while sets.len() < KNOWN && !states.is_empty() {
            let mut set = ByteSet::default();
            let mut after = Vec::new();
            for (bytes, next) in self.followers(&states) {
                set = set | bytes;
                after.extend(next);
            }
            after.sort_unstable();
            after.dedup();
            sets.push(set);
            states = after;
        }
        Beginning { fixed, sets }
    }

    /// What can come next, and the states after it: a byte, or both cases of a letter where they lead to the same.
    fn choices(&self, states: &[StateID]) -> Vec<(ByteSet, Vec<StateID>)> {
        let mut choices = Vec::new();
        for (bytes, next) in self.followers(states) {
            if bytes.len() > 2 * CHOICES {
                return vec![(bytes, next); CHOICES + 1];
            }
            for byte in bytes.iter() {
                let other = byte ^ 0x20;
                let pair = byte.is_ascii_alphabetic() && bytes.contains(other);
                if pair && byte.is_ascii_lowercase() {
                    continue;
                }
                let set = if pair { ByteSet::from_iter([byte, other]) } else { ByteSet::from_iter([byte]) };
                choices.push((set, next.clone()));
            }
        }
        choices
    }

    /// What can come next, as sets of bytes that lead to the same states.
    fn followers(&self, states: &[StateID]) -> Vec<(ByteSet, Vec<StateID>)> {
        let classes = self.dfa.byte_classes();
        let representatives = classes.representatives(..).filter_map(regex_automata::util::alphabet::Unit::as_u8);
        let mut followers: Vec<(ByteSet, Vec<StateID>)> = Vec::new();
        for byte in representatives {
            let mut next: Vec<_> = states
                .iter()
                .filter_map(|state| match self.step(*state, byte) {
                    Step::On(to) | Step::Matched(to) => Some(to),
                    Step::Dead => None,
                })
                .collect();
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                continue;
            }
            let class = classes.get(byte);
            let bytes = (0..=u8::MAX).filter(|byte| classes.get(*byte) == class).collect();
            match followers.iter_mut().find(|(_, after)| *after == next) {
                Some((set, _)) => *set = *set | bytes,
                None => followers.push((bytes, next)),
            }
        }
        followers
    }
}
