//! Replaces a secret that outgrew its window, for as long as it goes on.

use super::automaton::{State, Step};
use super::dress::{Dress, Read};
use super::replacement::Filler;
use super::rules::{Rule, RuleIndex};
use super::scanner::{Pass, Piece};

/// A secret that outgrew its window and is replaced for as long as its automaton lives.
pub(super) struct Endless {
    rule: RuleIndex,
    state: State,
    dress: Dress,
    at: usize,
    /// The secret reaches at least to here.
    end: usize,
    filler: Filler,
}

impl Endless {
    /// Goes on from `end`, where the automaton is in `state` beneath `dress`, and all is replaced so far.
    pub(super) fn new(rule: RuleIndex, (state, dress): (State, Dress), end: usize, filler: Filler) -> Self {
        Self {
            rule,
            state,
            dress,
            at: end,
            end,
            filler,
        }
    }

    /// Counts positions from the byte at `done` on.
    pub(super) fn rebase(&mut self, done: usize) {
        self.at -= done;
        self.end -= done;
    }

    /// Replaces what is known to belong to the secret, from `done` on. Gives the position decided to, and whether the
    /// secret ends there.
    pub(super) fn go_on(&mut self, pass: &Pass<'_>, done: usize, emit: &mut dyn FnMut(Piece)) -> (usize, bool) {
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
        loop {
            let (byte, next) = match self.dress.read(pass.text, self.at, pass.whole) {
                Read::Byte { byte, next } => (byte, next),
                Read::Pause => return false,
                Read::End => break,
            };
            match rule.automaton().step(&mut self.state, byte) {
                Step::Dead => return true,
                Step::On => {}
                Step::Matched => self.end = self.at.max(self.end),
            }
            self.at = next;
            if self.at - self.end >= rule.window() {
                self.end = self.at;
            }
        }
        if rule.automaton().ends(&mut self.state) {
            self.end = self.at;
        }
        true
    }
}
