//! Where a secret could begin at all, found near the speed of memory.
//!
//! Most kinds, and all that is coded in base64 or base32, begin with a run of at least [`RUN`] token bytes. Text has few such runs, so
//! their first four bytes are looked up only inside runs. The others (the name of a variable, a PEM block, hexadecimal
//! digits) begin with a text that is searched for everywhere: a long one at every fourth byte, a short one with SIMD. And
//! where characters of a token are escaped, what is looked up is the text that the escapes stand for. What
//! begins with no fixed text at all is tried where a word begins, see [`super::words`].

use std::ops::Range;

use aho_corasick::BuildError;

use super::Settings;
use super::automaton::Automaton;
use super::beginning::Beginning;
use super::byte_set::{ByteSet, texts};
use super::dress::{self, Coded, Dress, Escapes};
use super::known::KnownSecrets;
use super::numbers::{self, Number};
use super::rare::{GROUPS, RareTexts};
use super::rules::RuleIndex;
use super::runs::{RUN, Starts};
use super::stems::{self, Stem, Stems};
use super::table::{Gram, Table};
use super::triggers::{Searches, Seen, Triggers};
use super::words::{Heard, Word, Words};

/// How many beginnings of four bytes a rule may have; more would slow clean traffic down.
const GRAMS: usize = 16 * 1024;
/// The same for one beginning in another dress.
const DRESSED: usize = 256;
/// How many forms a rule's beginnings may have for all of them to be looked for.
const FORMS: usize = 1024;
/// How much of a beginning is needed to tell its first digits in every coding.
const CODED: usize = 6;
/// The shortest beginning that is rare enough to be searched for everywhere.
const RARE: usize = 3;
/// The shortest beginning that is looked for in other dresses when nothing rare begins with it.
const DRESSABLE: usize = 2;
/// How many texts may stand for a beginning that is as long only with what follows it.
const LONGER: usize = 96;
/// In how many cases a short beginning may be written.
const CASES: usize = 64;
/// How many grams are looked up before a decision.
const AT_ONCE: usize = 8;

/// One way in which a rule's match can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) rule: RuleIndex,
    pub(super) dress: Dress,
}

impl Entry {
    fn escaped(self) -> Self {
        Self {
            dress: self.dress.escaped(Escapes::Usual),
            ..self
        }
    }
}

/// The searches, in the order in which their candidates at one position are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Runs,
    Stems,
    Rare(usize),
    Numbers,
    Triggers,
    Spelled,
    Words,
    Known,
}

/// How many searches there are.
const SOURCES: usize = 7 + GROUPS;

/// What a search for the next candidate came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A match could begin at `at`, in one of the ways of these numbers.
    Candidate {
        at: usize,
        source: Source,
        numbers: Range<u32>,
    },
    /// No candidate before this position; from there on it depends on bytes still to come.
    NoneBefore(usize),
}

/// Why a rule can't be searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoBeginning;

/// The search for all rules' beginnings.
pub(super) struct Prefilter {
    grams: Table<Entry>,
    stems: Stems<Entry>,
    rare: RareTexts<Entry>,
    /// Sorted by the kind of number.
    numbers: Vec<(Number, Entry)>,
    triggers: Triggers,
    /// Nothing when every rule's matches begin with a fixed text.
    words: Option<Words>,
}

/// Gathers what is searched for.
#[derive(Default)]
pub(super) struct Beginnings {
    grams: Vec<(Gram, Entry)>,
    stems: Vec<(Stem, Entry)>,
    rare: Vec<(Vec<u8>, Entry)>,
    words: Vec<Word>,
    numbers: Vec<(Number, Entry)>,
}

impl Beginnings {
    /// Takes a rule in.
    pub(super) fn add(&mut self, rule: RuleIndex, automaton: &Automaton) -> Result<(), NoBeginning> {
        let beginnings = automaton.beginnings();
        let plain = Entry {
            rule,
            dress: Dress::default(),
        };
        if !(automaton.begins_with_run() && self.add_grams(&beginnings, plain)) {
            if beginnings.iter().any(is_common) {
                return Err(NoBeginning);
            }
            for beginning in &beginnings {
                self.add_text(beginning, plain);
            }
        }
        self.add_dressed(&beginnings, rule);
        Ok(())
    }

    /// Takes a rule in that has no usable beginning, with its keywords. Without any, its matches have to be long.
    pub(super) fn add_word(
        &mut self,
        rule: RuleIndex,
        automaton: &Automaton,
        keywords: &[String],
    ) -> Result<(), NoBeginning> {
        let (words, mut texts): (Vec<_>, Vec<_>) = automaton.beginnings().into_iter().partition(is_common);
        let sets = joined(&words);
        if sets.is_empty() || keywords.is_empty() && !automaton.begins_with_run() {
            return Err(NoBeginning);
        }
        for beginning in &texts {
            self.add_text(
                beginning,
                Entry {
                    rule,
                    dress: Dress::default(),
                },
            );
        }
        self.words.push(Word {
            rule,
            sets,
            keywords: keywords.to_vec(),
        });
        texts.extend(words.into_iter().filter(|beginning| beginning.fixed >= DRESSABLE));
        self.add_dressed(&texts, rule);
        Ok(())
    }

    /// Takes a rule in whose matches are such numbers.
    pub(super) fn add_number(&mut self, rule: RuleIndex, number: Number) {
        let dress = Dress::default();
        self.numbers.push((number, Entry { rule, dress }));
    }

    /// False when there are too many grams.
    fn add_grams(&mut self, beginnings: &[Beginning], entry: Entry) -> bool {
        let Some(grams) = beginnings
            .iter()
            .map(|beginning| grams(&beginning.sets, GRAMS))
            .collect::<Option<Vec<_>>>()
        else {
            return false;
        };
        if grams.iter().map(Vec::len).sum::<usize>() > GRAMS {
            return false;
        }
        self.grams.extend(grams.into_iter().flatten().map(|gram| (gram, entry)));
        true
    }

    /// Has a beginning searched for everywhere, as it stands and wholly escaped.
    fn add_text(&mut self, beginning: &Beginning, entry: Entry) {
        // The case isn't regarded, so that one byte of a letter's set stands for both.
        let one = |set: &ByteSet| {
            if set.len() == 2 {
                set.iter().last().into_iter().collect()
            } else {
                *set
            }
        };
        let folded: Vec<ByteSet> = beginning.sets.iter().take(stems::LENGTH).map(one).collect();
        match texts(&folded, LONGER) {
            Some(texts) if folded.len() == stems::LENGTH => {
                self.stems
                    .extend(texts.iter().filter_map(|text| Some((stems::stem(text)?, entry))));
            }
            _ => {
                let fixed = beginning.sets.get(..beginning.fixed).unwrap_or_default();
                let cases = dress::in_usual_cases(fixed);
                let texts = cases.iter().filter_map(|fixed| texts(fixed, CASES)).flatten();
                self.rare.extend(texts.map(|text| (text, entry)));
                let escaped = dress::escaped(&beginning.sets, beginning.fixed);
                let stems = escaped.iter().filter_map(|text| stems::stem(text));
                self.stems.extend(stems.map(|stem| (stem, entry.escaped())));
            }
        }
    }

    /// Has the beginnings searched for in every dress. A kind that begins in too many ways is looked for in the common ones only.
    fn add_dressed(&mut self, beginnings: &[Beginning], rule: RuleIndex) {
        let mut first: Vec<_> = beginnings
            .iter()
            .map(|beginning| {
                (
                    beginning.sets.get(..CODED).unwrap_or(&beginning.sets),
                    beginning.fixed.min(CODED),
                )
            })
            .collect();
        first.sort_unstable();
        first.dedup();
        let forms = first.into_iter().flat_map(|(sets, fixed)| dress::coded(sets, fixed));
        let (common, others): (Vec<_>, Vec<_>) = forms.partition(|form| form.is_common);
        self.add_forms(common, rule);
        if others.len() <= FORMS {
            self.add_forms(others, rule);
        }
    }

    fn add_forms(&mut self, forms: Vec<Coded>, rule: RuleIndex) {
        for form in forms {
            let entry = Entry {
                rule,
                dress: form.dress,
            };
            if form.is_token {
                let grams = grams(&form.sets, DRESSED).unwrap_or_default();
                self.grams.extend(grams.into_iter().map(|gram| (gram, entry)));
            } else {
                let first = form.sets.get(..stems::LENGTH).unwrap_or_default();
                let texts = texts(first, DRESSED).unwrap_or_default();
                self.stems
                    .extend(texts.iter().filter_map(|text| Some((stems::stem(text)?, entry))));
            }
        }
    }

    /// Builds the search, after the last rule.
    pub(super) fn search(mut self) -> Result<Prefilter, BuildError> {
        self.numbers.sort_unstable();
        Ok(Prefilter {
            triggers: Triggers::new(self.grams.iter().map(|(gram, _)| *gram)),
            words: Words::new(&self.words)?,
            grams: Table::new(self.grams),
            stems: Stems::new(self.stems),
            rare: RareTexts::new(self.rare)?,
            numbers: self.numbers,
        })
    }
}

/// Whether too little of it is fixed for a search everywhere.
fn is_common(beginning: &Beginning) -> bool {
    beginning.fixed < RARE
}

/// What can stand first, second and so on in any of the beginnings.
fn joined(beginnings: &[Beginning]) -> Vec<ByteSet> {
    let known = beginnings
        .iter()
        .map(|beginning| beginning.sets.len())
        .min()
        .unwrap_or(0);
    let at = |nth: usize| {
        beginnings
            .iter()
            .filter_map(move |beginning| beginning.sets.get(nth).copied())
    };
    (0..known)
        .map(|nth| at(nth).fold(ByteSet::default(), std::ops::BitOr::bitor))
        .collect()
}

/// The first four bytes of all texts that have one of each set's bytes in its place.
fn grams(sets: &[ByteSet], limit: usize) -> Option<Vec<Gram>> {
    let texts = texts(sets.get(..4)?, limit)?;
    Some(
        texts
            .iter()
            .filter_map(|text| text.first_chunk().map(|gram| Gram::from_le_bytes(*gram)))
            .collect(),
    )
}

impl Prefilter {
    /// One way in which the candidate that `source` found could begin.
    pub(super) fn entry(&self, source: Source, number: u32) -> Option<Entry> {
        match source {
            Source::Runs => self.grams.value(number).copied(),
            Source::Stems => self.stems.value(number).copied(),
            Source::Rare(_) => self.rare.value(number).copied(),
            Source::Numbers => self.numbers.get(usize::try_from(number).ok()?).map(|(_, entry)| *entry),
            Source::Triggers => self.grams.value(number).copied().map(Entry::escaped),
            Source::Spelled => self.stems.value(number).copied().map(Entry::escaped),
            Source::Words => self.words.as_ref()?.entry(number),
            Source::Known => None,
        }
    }

    /// Whether every rule's matches begin with a fixed text.
    #[cfg(test)]
    pub(super) fn is_fixed(&self) -> bool {
        self.words.is_none()
    }

    /// Hears the keywords in `text` up to `end`.
    pub(super) fn hear(&self, heard: &mut Heard, text: &[u8], end: usize) {
        if let Some(words) = &self.words {
            words.hear(heard, text, end);
        }
    }

    /// Whether a match of the rule that ends at `end` of `text` counts as far as keywords go; `beneath` is its text beneath a dress.
    pub(super) fn is_backed(
        &self,
        rule: RuleIndex,
        heard: &mut Heard,
        text: &[u8],
        end: usize,
        beneath: impl Fn() -> Vec<u8>,
    ) -> bool {
        self.words.as_ref().is_none_or(|words| {
            words.hear(heard, text, end);
            words.is_backed(rule, *heard, &beneath())
        })
    }

    /// The next candidate in a run, at or after `from`. `known` is where runs are known to begin, for the next call.
    fn next_in_run(&self, text: &[u8], from: usize, known: &mut Option<Starts>) -> Option<(usize, Range<u32>)> {
        let mut at = from;
        while let Some(block) = known.take().or_else(|| Starts::next(text, at)) {
            let mut starts = block;
            while let Some(stretch) = starts.stretch(at) {
                if let Some(found) = self.in_stretch(text, stretch.start, stretch.end) {
                    *known = Some(block);
                    return Some(found);
                }
            }
            at = at.max(block.end());
        }
        None
    }

    fn next_number(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        if self.numbers.is_empty() {
            return None;
        }
        let (at, number) = numbers::find(text, from)?;
        let first = self.numbers.partition_point(|(other, _)| *other < number);
        let end = self.numbers.partition_point(|(other, _)| *other <= number);
        Some((at, u32::try_from(first).ok()?..u32::try_from(end).ok()?))
    }

    /// The first candidate in the stretch of beginnings.
    // Apart from its caller, so that what it looks up stays in registers.
    #[inline(never)]
    fn in_stretch(&self, text: &[u8], start: usize, end: usize) -> Option<(usize, Range<u32>)> {
        // Every position before `end` has a whole run after it, so also the bytes looked at here.
        let mut rest = text.get(start..end + RUN - 1)?;
        let mut at = start;
        while at < end
            && let Some(bytes) = rest.first_chunk::<{ AT_ONCE + 3 }>()
        {
            let any = four(bytes).into_iter().fold(0, |any, gram| any | self.grams.hint(gram));
            if any & 1 != 0
                && let Some(found) = self.among(bytes, at, end)
            {
                return Some(found);
            }
            at += AT_ONCE;
            rest = rest.get(AT_ONCE..).unwrap_or_default();
        }
        None
    }

    /// The first candidate among the first of `bytes`, which stand at `at`, and before `end`.
    #[inline(never)]
    fn among(&self, bytes: &[u8; AT_ONCE + 3], at: usize, end: usize) -> Option<(usize, Range<u32>)> {
        (at..end).zip(four(bytes)).find_map(|(at, gram)| {
            let numbers = self.grams.numbers(gram);
            (!numbers.is_empty()).then_some((at, numbers))
        })
    }
}

/// Each four bytes in a row.
#[inline]
fn four(bytes: &[u8; AT_ONCE + 3]) -> [Gram; AT_ONCE] {
    std::array::from_fn(|at| {
        let gram = bytes.get(at..).and_then(<[u8]>::first_chunk);
        gram.map_or(0, |gram| Gram::from_le_bytes(*gram))
    })
}

/// Where the search for candidates stands between two texts: those before this position, and at it those of the first
/// sources, have been decided.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) at: usize,
    sources: usize,
}

impl Passed {
    /// All before `at`.
    pub(super) fn to(at: usize) -> Self {
        Self { at, sources: 0 }
    }

    /// All up to the candidate of `source` at `at`.
    pub(super) fn candidate(at: usize, source: Source) -> Self {
        Self {
            at,
            sources: source.nth() + 1,
        }
    }

    /// Counts positions from the byte at `done` on.
    pub(super) fn rebase(&mut self, done: usize) {
        *self = match self.at.checked_sub(done) {
            Some(at) => Self { at, ..*self },
            None => Self::default(),
        };
    }

    /// The first position that `source` hasn't passed.
    fn first(self, source: usize) -> usize {
        self.at + usize::from(source < self.sources)
    }
}

impl Source {
    const ALL: [Self; SOURCES] = [
        Self::Runs,
        Self::Stems,
        Self::Rare(0),
        Self::Rare(1),
        Self::Rare(2),
        Self::Rare(3),
        Self::Numbers,
        Self::Triggers,
        Self::Spelled,
        Self::Words,
        Self::Known,
    ];

    fn nth(self) -> usize {
        match self {
            Self::Runs => 0,
            Self::Stems => 1,
            Self::Rare(group) => 2 + group,
            Self::Numbers => SOURCES - 5,
            Self::Triggers => SOURCES - 4,
            Self::Spelled => SOURCES - 3,
            Self::Words => SOURCES - 2,
            Self::Known => SOURCES - 1,
        }
    }
}

/// The searches for candidates in one text, each of which keeps what it found until the scan has passed it.
#[derive(Default)]
pub(super) struct Search {
    runs: Option<Starts>,
    seen: Seen,
    found: [Option<Found>; SOURCES],
    /// The byte before the text.
    before: Option<u8>,
}

impl Search {
    /// In a text that comes after the byte `before`.
    pub(super) fn after(before: Option<u8>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// The next candidate that has not been passed; `whole` when no bytes follow `text`.
    pub(super) fn next(&mut self, settings: &Settings, text: &[u8], passed: Passed, whole: bool) -> Found {
        let mut next = Found::NoneBefore(text.len());
        for (nth, source) in Source::ALL.into_iter().enumerate() {
            let from = passed.first(nth);
            let fresh = self
                .found
                .get(nth)
                .and_then(Option::as_ref)
                .is_some_and(|found| found.position() >= from);
            if !fresh {
                let found = self.search(settings, source, text, from, whole);
                if let Some(slot) = self.found.get_mut(nth) {
                    *slot = Some(found);
                }
            }
            if let Some(Some(found)) = self.found.get(nth)
                && found.is_before(&next)
            {
                next = found.clone();
            }
        }
        next
    }

    fn search(&mut self, settings: &Settings, source: Source, text: &[u8], from: usize, whole: bool) -> Found {
        let prefilter = &settings.rules.prefilter;
        let found = match source {
            Source::Known => {
                let at = settings.known.next(text, from);
                if at.is_none() && !whole {
                    return Found::NoneBefore(unfinished_known(&settings.known, text, from));
                }
                at.map(|at| (at, 0..0))
            }
            Source::Runs => prefilter.next_in_run(text, from, &mut self.runs),
            Source::Stems => prefilter.stems.find(text, from),
            Source::Rare(group) => prefilter
                .rare
                .groups()
                .get(group)
                .and_then(|group| group.find(text, from)),
            Source::Numbers => prefilter.next_number(text, from),
            Source::Triggers => {
                let searches = Searches::Grams(&prefilter.grams);
                return prefilter.triggers.next(searches, text, from, whole, &mut self.seen);
            }
            Source::Spelled => {
                let searches = Searches::Stems(&prefilter.stems);
                return prefilter.triggers.next(searches, text, from, whole, &mut self.seen);
            }
            Source::Words => {
                let words = prefilter.words.as_ref();
                return words.map_or(Found::NoneBefore(text.len()), |words| {
                    words.next(text, from, self.before, whole)
                });
            }
        };
        match found {
            Some((at, numbers)) => Found::Candidate { at, source, numbers },
            None if whole => Found::NoneBefore(text.len()),
            None => Found::NoneBefore(prefilter.unfinished(source, text, from)),
        }
    }
}

/// The first position at the end of `text` with which a known secret could begin, else the end.
fn unfinished_known(known: &KnownSecrets, text: &[u8], from: usize) -> usize {
    if known.is_empty() {
        return text.len();
    }
    let first = text.len().saturating_sub(KnownSecrets::SEED - 1).max(from);
    let begun = |at: &usize| text.get(*at..).is_some_and(|rest| known.may_grow(rest));
    (first..text.len()).find(begun).unwrap_or(text.len())
}

impl Prefilter {
    fn unfinished(&self, source: Source, text: &[u8], from: usize) -> usize {
        match source {
            Source::Stems => self.stems.unfinished(text, from),
            Source::Rare(group) => self
                .rare
                .groups()
                .get(group)
                .map_or(text.len(), |group| group.unfinished(text, from)),
            Source::Numbers if self.numbers.is_empty() => text.len(),
            Source::Numbers => numbers::unfinished(text, from),
            // A run that is not long enough yet is held back by the triggers, since an escape may follow it.
            Source::Runs | Source::Triggers | Source::Spelled | Source::Words | Source::Known => text.len(),
        }
    }
}

impl Found {
    pub(super) fn position(&self) -> usize {
        match self {
            Self::Candidate { at, .. } | Self::NoneBefore(at) => *at,
        }
    }

    /// Whether it comes first; what is undecided at a position comes before what is found there.
    fn is_before(&self, other: &Self) -> bool {
        let order = |found: &Self| (found.position(), matches!(found, Self::Candidate { .. }));
        order(self) < order(other)
    }
}
