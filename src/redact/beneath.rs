//! What begins beneath escapes and coats: where one may lie, it is taken off, and the same searches look at what is there.
//!
//! At most two coats are taken off, one after the other, and escapes only as the outermost layer. Nothing is kept but the beginnings
//! found: the text is read through its dress again, byte by byte, by the rule's automaton.

use std::collections::BTreeSet;
use std::ops::Range;

use super::dress::{Dress, Escapes, Unit, is_lead, unit};
use super::gates::{CODINGS, Gates};
use super::plain::{Begun, LEGIBLE, Plain, Texts};
use super::triggers::Triggers;
use super::view::{SLACK, TAIL, View, last_legible};

/// How many digits belong together at most.
const GROUP: usize = 8;
/// How much text before an escape may begin what goes on with it.
const BEFORE: usize = 64;
/// How much text is read behind the last escape: what begins before that is told by then.
const AFTER: usize = 64;
/// How much escaped text is read at once.
const STRETCH: usize = 2048;
/// How far what tells a beginning may reach in escaped text.
const SPAN: usize = 512;
/// How long an escape is at most that doesn't ask to be read.
const ESCAPE: usize = 12;

/// A beginning beneath a dress.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hidden {
    pub(super) at: usize,
    pub(super) dress: Dress,
    pub(super) search: Plain,
    first: u32,
    end: u32,
}

impl Hidden {
    /// The numbers of the rules that may begin there.
    pub(super) fn numbers(&self) -> Range<u32> {
        self.first..self.end
    }
}

/// The search for beginnings beneath dresses, in one text.
#[derive(Default)]
pub(super) struct Beneath {
    coats: Coats,
    triggers: Triggers,
    /// Escapes before it were read.
    unescaped: usize,
    /// Those that were found and not given out.
    found: BTreeSet<Hidden>,
    /// From here on it depends on bytes still to come, once that is known.
    open: Option<usize>,
}

impl Beneath {
    /// The next beginning at or after `from` that isn't `passed`; or up to where there is none, `whole` when nothing follows
    /// `text`.
    pub(super) fn next(
        &mut self,
        texts: &Texts,
        text: &[u8],
        whole: bool,
        from: usize,
        passed: impl Fn(&Hidden) -> bool,
    ) -> Result<Hidden, usize> {
        self.coats.gates.skip_to(from);
        self.unescaped = self.unescaped.max(from);
        loop {
            while self.found.first().is_some_and(&passed) {
                self.found.pop_first();
            }
            let escape = self.triggers.next(text, self.unescaped, whole);
            let gate = self.coats.gates.position();
            let known = gate.saturating_sub(SLACK).min(escape.saturating_sub(BEFORE + ESCAPE));
            let is_done = gate >= text.len() && escape >= text.len();
            let known = if is_done {
                match self.open {
                    Some(open) if open >= from => open,
                    _ if whole => text.len(),
                    _ => *self.open.insert(open(texts, text, from)),
                }
            } else {
                known.min(text.len().saturating_sub(SPAN))
            };
            if let Some(first) = self.found.first().filter(|first| first.at < known) {
                return Ok(first.clone());
            }
            if is_done {
                return Err(known);
            }
            if gate <= escape {
                self.look_beneath_coats(texts, text, from);
            } else {
                self.look_beneath_escapes(texts, text, whole, from, escape);
            }
        }
    }

    fn look_beneath_coats(&mut self, texts: &Texts, text: &[u8], from: usize) {
        if let Some(view) = self.coats.next(text, from) {
            coated(texts, &view, &mut |span, dress, begun| {
                self.found.insert(hidden(span.start, dress, &begun));
            });
        }
    }

    fn look_beneath_escapes(&mut self, texts: &Texts, text: &[u8], whole: bool, from: usize, escape: usize) {
        let start = synced(text, from, escape.saturating_sub(BEFORE).max(from), whole);
        let mut escapes = Vec::new();
        let (mut last, mut ahead) = (escape, escape);
        let view = View::unescaped(text, start, whole, |at| {
            // One of several backslashes before a character is what tells, so that it may stand within what was just read.
            if at >= ahead && ahead < text.len() {
                escapes.push(ahead);
                last = at;
                ahead = self.triggers.next(text, at + 1, whole);
            }
            at < start + STRETCH && at <= last + AFTER
        });
        // What begins without one of them is found as it stands.
        let is_escaped = |span: &Range<usize>| {
            let nth = escapes.partition_point(|escape| *escape < span.start);
            escapes.get(nth).is_some_and(|escape| span.contains(escape))
        };
        let is_cut = view.end() >= start + STRETCH;
        self.unescaped = if is_cut {
            view.end() - SPAN
        } else {
            view.end().max(escape + 1)
        };
        texts.all(&view.bytes, |begun| {
            let span = view.place(begun.at)..view.place(begun.at + begun.length);
            if is_escaped(&span) {
                let dress = Dress::default().escaped(Escapes::Usual);
                self.found.insert(hidden(span.start, dress, &begun));
            }
        });
        let mut coats = Coats::default();
        while let Some(coat) = coats.next(&view.bytes, 0) {
            coated(texts, &coat, &mut |inner, dress, begun| {
                let span = view.place(inner.start)..view.place(inner.end);
                if is_escaped(&span) {
                    self.found
                        .insert(hidden(span.start, dress.escaped(Escapes::Usual), &begun));
                }
            });
        }
    }
}

fn hidden(at: usize, dress: Dress, begun: &Begun) -> Hidden {
    Hidden {
        at,
        dress,
        search: begun.search,
        first: begun.numbers.start,
        end: begun.numbers.end,
    }
}

/// The search for coats in one text.
#[derive(Default)]
struct Coats {
    gates: Gates,
    /// For each coding and each phase of its digits, how far they were read.
    read: [[usize; GROUP]; CODINGS],
}

impl Coats {
    /// The next stretch beneath a coat, which begins at or after `floor`.
    fn next(&mut self, text: &[u8], floor: usize) -> Option<View> {
        loop {
            let (gate, coding) = self.gates.next(text)?;
            let read = self.read.get_mut(coding.nth())?.get_mut(gate % coding.group())?;
            if gate < *read {
                continue;
            }
            let view = View::beneath(text, coding, gate, floor);
            *read = view.read.max(gate + 1);
            if view.bytes.len() >= LEGIBLE {
                return Some(view);
            }
        }
    }
}

/// What begins beneath the coat that `view` takes off, and beneath a second one: `emit` is told from where to where it is told in the
/// text, under which coats, and how.
fn coated(texts: &Texts, view: &View, emit: &mut impl FnMut(Range<usize>, Dress, Begun)) {
    legible(texts, view, |at, begun| {
        if let Some(coat) = view.coat(at.start) {
            emit(view.place(at.start)..view.place(at.end), Dress::coat(coat), begun);
        }
    });
    let mut inner = Coats::default();
    while let Some(second) = inner.next(&view.bytes, 0) {
        legible(texts, &second, |at, begun| {
            let outer = second.place(at.start)..second.place(at.end);
            let dress = || Dress::coat(second.coat(at.start)?).under(view.coat(outer.start)?);
            if let Some(dress) = dress() {
                emit(view.place(outer.start)..view.place(outer.end), dress, begun);
            }
        });
    }
}

/// What begins beneath a coat and is legible for long enough: where in the view, from its first byte to the last that tells.
fn legible(texts: &Texts, view: &View, mut emit: impl FnMut(Range<usize>, Begun)) {
    texts.all(&view.bytes, |begun| {
        let end = begun.at + begun.length.max(LEGIBLE);
        let there = view.bytes.get(begun.at..end.min(view.bytes.len())).unwrap_or_default();
        let is_legible = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if there.len() >= LEGIBLE && there.iter().take(LEGIBLE).all(is_legible) {
            emit(begun.at..end, begun);
        }
    });
}

/// The first position at or after `at` at which no escape is under way that began after `floor`.
fn synced(text: &[u8], floor: usize, at: usize, whole: bool) -> usize {
    let first = at.saturating_sub(ESCAPE).max(floor);
    let over = (first..at).find_map(|before| {
        let is_lead = text.get(before).is_some_and(|byte| is_lead(*byte));
        match is_lead.then(|| unit(text, before, whole, Escapes::All))? {
            Unit::Byte { next, .. } | Unit::Skipped { next } => (next > at).then_some(next),
            Unit::Pause | Unit::End => None,
        }
    });
    over.unwrap_or(at)
}

/// The first position at the end of `text`, from `floor` on, from which something could begin, depending on the bytes to come.
fn open(texts: &Texts, text: &[u8], floor: usize) -> usize {
    let tail = |length: usize| text.len().saturating_sub(length).max(floor);
    let unfinished = |text: &[u8]| texts.unfinished(text).min(last_legible(text));
    let short = tail(TAIL);
    let as_it_stands = short + unfinished(text.get(short..).unwrap_or_default());
    let long = text.get(tail(SPAN)..).unwrap_or_default();
    if !long.iter().any(|byte| is_lead(*byte)) {
        return as_it_stands;
    }
    let start = synced(text, floor, tail(SPAN), false);
    let view = View::unescaped(text, start, false, |_| true);
    as_it_stands.min(view.place(unfinished(&view.bytes)))
}
