//! How every match of an expression begins, learnt from the states of its automaton.

use std::collections::BTreeSet;

use regex_automata::Anchored;
use regex_automata::dfa::Automaton as _;
use regex_automata::hybrid::{self, LazyStateID};
use regex_automata::util::alphabet::{ByteClasses, Unit};
use regex_automata::util::{primitives::StateID, start};

use super::automaton::{Automaton, Form, Step, table_step};
use super::byte_set::ByteSet;
use super::lazy::step_to;
use super::runs::{RUN, is_token_byte};

/// Fixed beginnings longer than this say nothing more that would make a search faster.
const FIXED: usize = 8;
/// A fixed beginning ends where there are more choices than this.
const CHOICES: usize = 12;
/// It ends as well when there are more beginnings than this.
const BEGINNINGS: usize = 256;
/// How many bytes of a beginning are known, fixed or as sets.
pub(super) const KNOWN: usize = 12;
/// How many states are looked at for one byte of a match.
const STATES: usize = 4096;
/// How many bytes of states are made to learn about an automaton that has no table.
const ROOM: usize = 32 << 20;

/// How a match begins.
pub(super) struct Beginning {
    /// How many bytes are fixed, save for their case.
    pub(super) fixed: usize,
    /// What can stand first, second and so on, up to where a match can have ended. At the end of the input it can end
    /// before.
    pub(super) sets: Vec<ByteSet>,
}

/// A state that is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Table(StateID),
    Lazy(LazyStateID),
}

/// Goes from state to state.
struct Explorer<'a> {
    automaton: &'a Automaton,
    lazy: Option<(hybrid::dfa::DFA, hybrid::dfa::Cache)>,
    classes: ByteClasses,
}

/// What can come next.
struct Followers {
    /// Sets of bytes that lead to the same states.
    choices: Vec<(ByteSet, Vec<Node>)>,
    /// Whether a match can have ended before.
    ended: bool,
}

impl Automaton {
    /// Whether every match begins with a whole run of token bytes, so that it can be looked for in runs only.
    pub(super) fn begins_with_run(&self) -> bool {
        Explorer::new(self).is_some_and(|mut explorer| explorer.begins_with_run())
    }

    /// How every match begins: one of these.
    pub(super) fn beginnings(&self) -> Vec<Beginning> {
        let explored = Explorer::new(self).and_then(|mut explorer| {
            let beginnings = explorer.beginnings();
            explorer.is_sound().then_some(beginnings)
        });
        explored.unwrap_or_else(|| {
            vec![Beginning {
                fixed: 0,
                sets: Vec::new(),
            }]
        })
    }
}

impl<'a> Explorer<'a> {
    fn new(automaton: &'a Automaton) -> Option<Self> {
        let (lazy, classes) = match &automaton.form {
            Form::Table(table) => (None, *table.byte_classes()),
            Form::Lazy(lazy) => {
                let dfa = lazy.with_room(ROOM).ok()?;
                let cache = dfa.create_cache();
                let classes = *dfa.byte_classes();
                (Some((dfa, cache)), classes)
            }
        };
        Some(Self {
            automaton,
            lazy,
            classes,
        })
    }

    /// Whether the states that it met are still those that it knows by their number.
    fn is_sound(&self) -> bool {
        self.lazy.as_ref().is_none_or(|(_, cache)| cache.clear_count() == 0)
    }

    fn starts(&mut self) -> Vec<Node> {
        let mut starts = Vec::new();
        for before in [None, Some(b'a'), Some(b' '), Some(b'\n'), Some(b'\r')] {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(before);
            starts.extend(match (&self.automaton.form, &mut self.lazy) {
                (Form::Table(table), _) => {
                    let state = table
                        .start_state(&config)
                        .ok()
                        .filter(|state| !table.is_dead_state(*state));
                    state.map(Node::Table)
                }
                (Form::Lazy(_), Some((dfa, cache))) => {
                    let state = dfa.start_state(cache, &config).ok().filter(|state| !state.is_dead());
                    state.map(Node::Lazy)
                }
                (Form::Lazy(_), None) => None,
            });
        }
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    fn step(&mut self, node: Node, byte: u8) -> (Node, Step) {
        match (node, &self.automaton.form, &mut self.lazy) {
            (Node::Table(state), Form::Table(table), _) => {
                let (next, step) = table_step(table, state, byte);
                (Node::Table(next), step)
            }
            (Node::Lazy(state), _, Some((dfa, cache))) => match dfa.next_state(cache, state, byte) {
                Ok(next) => (Node::Lazy(next), step_to(next)),
                Err(_) => (node, Step::Matched),
            },
            _ => (node, Step::Dead),
        }
    }

    fn begins_with_run(&mut self) -> bool {
        let mut level: BTreeSet<Node> = self.starts().into_iter().collect();
        for _ in 0..RUN {
            let mut next = BTreeSet::new();
            for node in level {
                let Some(after) = self.in_run(node) else { return false };
                next.extend(after);
            }
            if next.len() > STATES || !self.is_sound() {
                return false;
            }
            level = next;
        }
        true
    }

    /// The states after one more token byte; nothing when another byte can follow, or a match can have ended.
    fn in_run(&mut self, node: Node) -> Option<Vec<Node>> {
        let mut after = Vec::new();
        for byte in 0..=u8::MAX {
            match self.step(node, byte) {
                (_, Step::Dead) => {}
                (next, Step::On) if is_token_byte(byte) => after.push(next),
                (_, Step::On | Step::Matched) => return None,
            }
        }
        Some(after)
    }

    fn beginnings(&mut self) -> Vec<Beginning> {
        let mut level: Vec<(Vec<ByteSet>, Vec<Node>)> = vec![(Vec::new(), self.starts())];
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
        ended
            .into_iter()
            .map(|(sets, states)| self.beginning(sets, states))
            .collect()
    }

    fn beginning(&mut self, sets: Vec<ByteSet>, states: Vec<Node>) -> Beginning {
        let fixed = sets.len();
        let mut sets = sets;
        let mut states = states;
        while sets.len() < KNOWN && !states.is_empty() && states.len() <= STATES {
            let followers = self.followers(&states);
            if followers.ended {
                break;
            }
            let mut set = ByteSet::default();
            let mut after = Vec::new();
            for (bytes, next) in followers.choices {
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
    fn choices(&mut self, states: &[Node]) -> Vec<(ByteSet, Vec<Node>)> {
        let mut choices = Vec::new();
        let followers = self.followers(states);
        if followers.ended {
            return choices;
        }
        for (bytes, next) in followers.choices {
            if bytes.len() > 2 * CHOICES {
                return vec![(bytes, next); CHOICES + 1];
            }
            for byte in bytes.iter() {
                let other = byte ^ 0x20;
                let pair = byte.is_ascii_alphabetic() && bytes.contains(other);
                if pair && byte.is_ascii_lowercase() {
                    continue;
                }
                let set = if pair {
                    ByteSet::from_iter([byte, other])
                } else {
                    ByteSet::from_iter([byte])
                };
                choices.push((set, next.clone()));
            }
        }
        choices
    }

    fn followers(&mut self, states: &[Node]) -> Followers {
        let classes = self.classes;
        let mut choices: Vec<(ByteSet, Vec<Node>)> = Vec::new();
        let mut ended = false;
        for byte in classes.representatives(..).filter_map(Unit::as_u8) {
            let mut next = Vec::new();
            for state in states {
                match self.step(*state, byte) {
                    (_, Step::Dead) => {}
                    (to, Step::On) => next.push(to),
                    (to, Step::Matched) => {
                        ended = true;
                        next.push(to);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                continue;
            }
            let class = classes.get(byte);
            let bytes = (0..=u8::MAX).filter(|byte| classes.get(*byte) == class).collect();
            match choices.iter_mut().find(|(_, after)| *after == next) {
                Some((set, _)) => *set = *set | bytes,
                None => choices.push((bytes, next)),
            }
        }
        Followers { choices, ended }
    }
}
