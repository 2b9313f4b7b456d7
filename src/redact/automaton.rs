//! One rule's expression as an automaton that is stepped byte by byte.
//!
//! Most are compiled whole, into a table. A few would be too large for one; their states are made as the text asks for
//! them, see `lazy`.

use std::ops::Range;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::{primitives::StateID, start};
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassBytes, Hir, HirKind};

use super::lazy::{Lazy, LazyState};

/// How large the automaton of one expression may become as a table. Nearly all need a tenth of this; those that don't
/// fit are found out the later, the larger this is.
const TABLE_BYTES: usize = 5 << 19;
/// The same for one with a gap, which is in no table most often.
const GAP_TABLE_BYTES: usize = 5 << 17;
/// A shorter gap is none.
const GAP_COUNT: u32 = 16;
/// How large an expression may become at all.
const EXPRESSION_BYTES: usize = 4 << 20;
/// A repeated class with more bytes than this is a gap: any text, and no part of a secret.
const GAP: usize = 128;

/// What became of a match after a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// No match can come any more.
    Dead,
    /// A match may come; none ended before this byte.
    On,
    /// A match ended just before this byte, and a longer one may come.
    Matched,
}

/// Where an automaton stands.
pub(super) enum State {
    Table(StateID),
    Lazy(LazyState),
}

/// One compiled expression, anchored at its beginning, preferring as Perl and Go do.
pub(super) struct Automaton {
    pub(super) form: Form,
    groups: Option<meta::Regex>,
    gap_first: bool,
}

pub(super) enum Form {
    Table(dense::DFA<Vec<u32>>),
    Lazy(Lazy),
}

/// Why an expression is no automaton.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExpressionError {
    #[error("{0}")]
    Syntax(#[from] Box<regex_syntax::Error>),
    #[error("{0}; shorten its counts")]
    Size(#[from] Box<thompson::BuildError>),
    #[error("{0}")]
    Groups(#[from] Box<meta::BuildError>),
    #[error("{0}")]
    Table(#[from] Box<dense::BuildError>),
    #[error("{0}")]
    Lazy(#[from] Box<regex_automata::hybrid::BuildError>),
}

impl Automaton {
    /// Compiles `expression` into a table; bytes, not Unicode, are what it matches.
    pub(super) fn table(expression: &str) -> Result<Self, ExpressionError> {
        let tree = parsed(expression)?;
        let room = if has_gap(&tree) { GAP_TABLE_BYTES } else { TABLE_BYTES };
        let table = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .accelerate(false)
                    .dfa_size_limit(Some(room))
                    .determinize_size_limit(Some(room)),
            )
            .build_from_nfa(&nfa(&tree)?)
            .map_err(Box::new)?;
        Self::new(&tree, Form::Table(table))
    }

    /// The same without a table.
    pub(super) fn lazy(expression: &str) -> Result<Self, ExpressionError> {
        let tree = parsed(expression)?;
        let lazy = Lazy::new(nfa(&tree)?)?;
        Self::new(&tree, Form::Lazy(lazy))
    }

    fn new(tree: &Hir, form: Form) -> Result<Self, ExpressionError> {
        let has_groups = tree.properties().explicit_captures_len() > 0;
        let groups = has_groups.then(|| groups(tree)).transpose()?;
        Ok(Self {
            form,
            groups,
            gap_first: has_groups && has_gap_first(tree),
        })
    }

    /// How many bytes of memory it takes at most.
    pub(super) fn size(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, meta::Regex::memory_usage);
        groups
            + match &self.form {
                Form::Table(table) => table.memory_usage(),
                Form::Lazy(lazy) => lazy.size(),
            }
    }

    /// What one step is charged with.
    pub(super) fn step_cost(&self) -> u32 {
        match self.form {
            Form::Table(_) => 1,
            Form::Lazy(_) => Lazy::STEP,
        }
    }

    /// Whether text of any kind and length can stand in a match before its first group, so that a match which hasn't
    /// ended yet says nothing.
    pub(super) fn has_gap_first(&self) -> bool {
        self.gap_first
    }

    /// The state before the first byte, or nothing when `before`, the byte to the left, rules a match out.
    pub(super) fn start(&self, before: Option<u8>) -> Option<State> {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(before);
        match &self.form {
            Form::Table(table) => {
                let state = table.start_state(&config).ok()?;
                (!table.is_dead_state(state)).then_some(State::Table(state))
            }
            Form::Lazy(lazy) => lazy.start(&config).map(State::Lazy),
        }
    }

    /// One byte on.
    #[inline]
    pub(super) fn step(&self, state: &mut State, byte: u8) -> Step {
        match (&self.form, state) {
            (Form::Table(table), State::Table(state)) => {
                let (next, step) = table_step(table, *state, byte);
                *state = next;
                step
            }
            (Form::Lazy(lazy), State::Lazy(state)) => lazy.step(state, byte),
            // A state of another automaton.
            (Form::Table(_), State::Lazy(_)) | (Form::Lazy(_), State::Table(_)) => Step::Dead,
        }
    }

    /// Whether a match ends where the input does.
    pub(super) fn ends(&self, state: &mut State) -> bool {
        match (&self.form, state) {
            (Form::Table(table), State::Table(state)) => table.is_match_state(table.next_eoi_state(*state)),
            (Form::Lazy(lazy), State::Lazy(state)) => lazy.ends(state),
            (Form::Table(_), State::Lazy(_)) | (Form::Lazy(_), State::Table(_)) => false,
        }
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
}

/// One byte on from `state`.
#[inline]
pub(super) fn table_step(table: &dense::DFA<Vec<u32>>, state: StateID, byte: u8) -> (StateID, Step) {
    let next = table.next_state(state, byte);
    let step = if !table.is_special_state(next) {
        Step::On
    } else if table.is_match_state(next) {
        Step::Matched
    } else {
        Step::Dead
    };
    (next, step)
}

fn parsed(expression: &str) -> Result<Hir, ExpressionError> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    Ok(parser.parse(expression).map_err(Box::new)?)
}

fn nfa(tree: &Hir) -> Result<NFA, ExpressionError> {
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(EXPRESSION_BYTES))
        .which_captures(thompson::WhichCaptures::None);
    Ok(thompson::Compiler::new()
        .configure(config)
        .build_from_hir(tree)
        .map_err(Box::new)?)
}

/// What tells the groups of a match that the automaton found.
fn groups(tree: &Hir) -> Result<meta::Regex, ExpressionError> {
    // Small: it is asked about matches alone, so nothing in it needs to be fast on other text.
    let config = meta::Config::new()
        .utf8_empty(false)
        .auto_prefilter(false)
        .dfa(false)
        .hybrid(false);
    Ok(meta::Builder::new()
        .configure(config)
        .build_from_hir(tree)
        .map_err(Box::new)?)
}

fn has_gap(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Repetition(repetition) => {
            repetition.max.is_none_or(|max| max >= GAP_COUNT) && is_any(&repetition.sub) || has_gap(&repetition.sub)
        }
        HirKind::Capture(capture) => has_gap(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_gap),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

/// Whether a gap without an upper end stands before the first group.
fn has_gap_first(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Repetition(repetition) => {
            repetition.max.is_none() && is_any(&repetition.sub) || has_gap_first(&repetition.sub)
        }
        HirKind::Concat(parts) => {
            let has_group = |part: &Hir| part.properties().explicit_captures_len() > 0;
            let first = parts.iter().position(has_group).unwrap_or(parts.len());
            parts.iter().take(first + 1).any(has_gap_first)
        }
        HirKind::Alternation(branches) => branches.iter().any(has_gap_first),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) | HirKind::Capture(_) => false,
    }
}

fn is_any(part: &Hir) -> bool {
    let HirKind::Class(Class::Bytes(bytes)) = part.kind() else {
        return false;
    };
    size_of(bytes) > GAP
}

fn size_of(bytes: &ClassBytes) -> usize {
    bytes.ranges().iter().map(regex_syntax::hir::ClassBytesRange::len).sum()
}
