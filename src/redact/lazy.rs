//! An automaton whose states are made as a text asks for them: for expressions whose table would be too large, such as a
//! word and another within a hundred bytes of it.
//!
//! The states are kept in a cache of bounded size, which is emptied when it is full; only the state in use is kept then. So
//! what it finds doesn't depend on the cache. Making a state takes far longer than a look into a table, and hostile text
//! can ask for a new one with each byte: that is why a step is charged with more than one.

use std::sync::{Arc, Mutex, PoisonError};

use regex_automata::MatchKind;
use regex_automata::hybrid::BuildError;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::NFA;
use regex_automata::util::start;

use super::automaton::Step;

/// How large a cache becomes, unless the expression needs more for its least.
const CACHE: usize = 256 << 10;
/// How many caches are kept for the next candidates.
const SPARE: usize = 4;

/// The automaton, and the caches that no candidate uses at the time.
pub(super) struct Lazy {
    dfa: DFA,
    spare: Arc<Spare>,
}

type Spare = Mutex<Vec<Box<Cache>>>;

/// Where the automaton stands, with the cache of its states.
pub(super) struct LazyState {
    id: LazyStateID,
    /// There until it is dropped.
    cache: Option<Box<Cache>>,
    spare: Arc<Spare>,
}

impl Drop for LazyState {
    fn drop(&mut self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.extend(self.cache.take());
        }
    }
}

impl Lazy {
    /// What a step is charged with.
    pub(super) const STEP: u32 = 2;

    pub(super) fn new(nfa: NFA) -> Result<Self, Box<BuildError>> {
        Ok(Self {
            dfa: dfa(nfa, CACHE)?,
            spare: Arc::default(),
        })
    }

    /// The same with room for so many bytes of states, to learn about them.
    pub(super) fn with_room(&self, bytes: usize) -> Result<DFA, Box<BuildError>> {
        dfa(self.dfa.get_nfa().clone(), bytes)
    }

    /// How many bytes of memory it takes, with its spare caches.
    pub(super) fn size(&self) -> usize {
        let config = self.dfa.get_config();
        let least = config.get_minimum_cache_capacity(self.dfa.get_nfa()).unwrap_or(CACHE);
        self.dfa.memory_usage() + SPARE * least.max(CACHE)
    }

    pub(super) fn start(&self, config: &start::Config) -> Option<LazyState> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut cache = spare.unwrap_or_else(|| Box::new(self.dfa.create_cache()));
        let id = self.dfa.start_state(&mut cache, config).ok()?;
        let state = LazyState {
            id,
            cache: Some(cache),
            spare: Arc::clone(&self.spare),
        };
        (!id.is_dead()).then_some(state)
    }

    #[inline]
    pub(super) fn step(&self, state: &mut LazyState, byte: u8) -> Step {
        let next = state
            .cache
            .as_mut()
            .and_then(|cache| self.dfa.next_state(cache, state.id, byte).ok());
        match next {
            Some(next) => {
                state.id = next;
                step_to(next)
            }
            // It is made never to give up. If it did, the match would outgrow its window here, and be replaced.
            None => Step::On,
        }
    }

    pub(super) fn ends(&self, state: &mut LazyState) -> bool {
        let next = state
            .cache
            .as_mut()
            .and_then(|cache| self.dfa.next_eoi_state(cache, state.id).ok());
        next.is_none_or(|next| next.is_match())
    }
}

/// What a step to `next` means.
#[inline]
pub(super) fn step_to(next: LazyStateID) -> Step {
    if next.is_match() {
        Step::Matched
    } else if next.is_dead() || next.is_quit() {
        Step::Dead
    } else {
        Step::On
    }
}

fn dfa(nfa: NFA, cache: usize) -> Result<DFA, Box<BuildError>> {
    let config = Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .cache_capacity(cache)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(None);
    DFA::builder().configure(config).build_from_nfa(nfa).map_err(Box::new)
}
