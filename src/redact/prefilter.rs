//! Where a secret could begin at all, found near the speed of memory.
//!
//! Most kinds begin with a run of at least [`RUN`](super::runs::RUN) token bytes. Text has few such runs, so their first four bytes
//! are looked up only inside runs. The others (the name of a variable, a PEM block) begin with a text that is searched for
//! everywhere: a long one at every fourth byte, a short one with SIMD. What is escaped or coded is searched for in the same ways
//! beneath its layers, see [`super::beneath`]. What begins with no fixed text at all is tried where a word begins, see
//! [`super::words`].

use std::ops::Range;

use aho_corasick::BuildError;

use super::automaton::{Automaton, Step};
use super::beginning::Beginning;
use super::byte_set::{ByteSet, texts};
use super::grams::{Grams, Known};
use super::numbers::{self, Number};
use super::plain::Texts;
use super::rare::RareTexts;
use super::rules::RuleIndex;
use super::search::Source;
use super::stems::{self, Stem, Stems};
use super::table::{Gram, gram};
use super::words::{Heard, Word, Words};

/// How many beginnings of four bytes a rule may have; more would slow clean traffic down.
const GRAMS: usize = 16 * 1024;
/// The shortest beginning that is rare enough to be searched for everywhere.
const RARE: usize = 3;
/// How many texts may stand for a beginning that is as long only with what follows it.
const LONGER: usize = 96;
/// In how many cases a short beginning may be written.
const CASES: usize = 64;

/// Why a rule can't be searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoBeginning;

/// The search for all rules' beginnings.
pub(super) struct Prefilter {
    pub(super) texts: Texts,
    /// Sorted by the kind of number.
    numbers: Vec<(Number, RuleIndex)>,
    /// Nothing when every rule's matches begin with a fixed text.
    pub(super) words: Option<Words>,
}

/// Gathers what is searched for.
#[derive(Default)]
pub(super) struct Beginnings {
    grams: Vec<(Known, RuleIndex)>,
    stems: Vec<(Stem, RuleIndex)>,
    rare: Vec<(Vec<u8>, RuleIndex)>,
    words: Vec<Word>,
    numbers: Vec<(Number, RuleIndex)>,
}

impl Beginnings {
    /// Takes a rule in.
    pub(super) fn add(&mut self, rule: RuleIndex, automaton: &Automaton) -> Result<(), NoBeginning> {
        let beginnings = automaton.beginnings();
        let apart = stands_apart(automaton);
        // What has to stand apart is looked up at few places. Otherwise a long text is found in fewer looks.
        let long = !apart && beginnings.iter().all(|beginning| beginning.fixed >= stems::LENGTH);
        if !long && automaton.begins_with_run() && self.add_grams(&beginnings, rule, apart) {
            return Ok(());
        }
        if beginnings.iter().any(is_common) {
            return Err(NoBeginning);
        }
        for beginning in &beginnings {
            self.add_text(beginning, rule);
        }
        Ok(())
    }

    /// Takes a rule in that has no usable beginning, with its keywords. Without any, its matches have to be long.
    pub(super) fn add_word(
        &mut self,
        rule: RuleIndex,
        automaton: &Automaton,
        keywords: &[String],
    ) -> Result<(), NoBeginning> {
        let (words, texts): (Vec<_>, Vec<_>) = automaton.beginnings().into_iter().partition(is_common);
        let sets = joined(&words);
        if sets.is_empty() || keywords.is_empty() && !automaton.begins_with_run() {
            return Err(NoBeginning);
        }
        for beginning in &texts {
            self.add_text(beginning, rule);
        }
        self.words.push(Word {
            rule,
            sets,
            keywords: keywords.to_vec(),
        });
        Ok(())
    }

    /// Takes a rule in whose matches are such numbers.
    pub(super) fn add_number(&mut self, rule: RuleIndex, number: Number) {
        self.numbers.push((number, rule));
    }

    /// False when there are too many grams.
    fn add_grams(&mut self, beginnings: &[Beginning], rule: RuleIndex, apart: bool) -> bool {
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
        let known = grams.into_iter().flatten().map(|gram| Known { gram, apart });
        self.grams.extend(known.map(|known| (known, rule)));
        true
    }

    /// Has a beginning searched for everywhere.
    fn add_text(&mut self, beginning: &Beginning, rule: RuleIndex) {
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
                    .extend(texts.iter().filter_map(|text| Some((stems::stem(text)?, rule))));
            }
            _ => {
                let fixed = beginning.sets.get(..beginning.fixed).unwrap_or_default();
                let cases = in_usual_cases(fixed);
                let texts = cases.iter().filter_map(|fixed| texts(fixed, CASES)).flatten();
                self.rare.extend(texts.map(|text| (text, rule)));
            }
        }
    }

    /// Builds the search, after the last rule.
    pub(super) fn search(mut self) -> Result<Prefilter, BuildError> {
        self.numbers.sort_unstable();
        Ok(Prefilter {
            texts: Texts {
                grams: Grams::new(self.grams),
                stems: Stems::new(self.stems),
                rare: RareTexts::new(self.rare)?,
            },
            words: Words::new(&self.words)?,
            numbers: self.numbers,
        })
    }
}

/// Whether too little of it is fixed for a search everywhere.
fn is_common(beginning: &Beginning) -> bool {
    beginning.fixed < RARE
}

/// Whether no match begins right of a letter, a digit or an underscore.
fn stands_apart(automaton: &Automaton) -> bool {
    [b'a', b'A', b'0', b'_'].into_iter().all(|left| {
        (0..=u8::MAX).all(|first| {
            let start = automaton.start(Some(left));
            start.is_none_or(|mut state| automaton.step(&mut state, first) == Step::Dead)
        })
    })
}

/// The sets with their letters all small, all in capitals, and as a word with one, where either case may stand.
fn in_usual_cases(sets: &[ByteSet]) -> Vec<Vec<ByteSet>> {
    let in_case = |keep: fn(&u8) -> bool| -> Vec<ByteSet> {
        let either = |set: &ByteSet| set.len() == 2 && set.iter().all(|byte| byte.is_ascii_alphabetic());
        let chosen = |set: &ByteSet| {
            if either(set) {
                set.iter().filter(keep).collect()
            } else {
                *set
            }
        };
        sets.iter().map(chosen).collect()
    };
    let (small, capitals) = (in_case(u8::is_ascii_lowercase), in_case(u8::is_ascii_uppercase));
    if small == capitals {
        return vec![small];
    }
    let word = capitals.iter().take(1).chain(small.iter().skip(1)).copied().collect();
    vec![small, capitals, word]
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
    Some(texts.iter().filter_map(|text| gram(text)).collect())
}

impl Prefilter {
    /// The rule of that number of a search.
    pub(super) fn rule(&self, source: Source, number: u32) -> Option<RuleIndex> {
        match source {
            Source::Plain(search) => self.texts.rule(search, number),
            Source::Numbers => self.numbers.get(usize::try_from(number).ok()?).map(|(_, rule)| *rule),
            Source::Words => self.words.as_ref()?.rule(number),
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

    /// The next number at or after `from`, and the rules' numbers.
    pub(super) fn next_number(&self, text: &[u8], from: usize) -> Option<(usize, Range<u32>)> {
        if self.numbers.is_empty() {
            return None;
        }
        let (at, number) = numbers::find(text, from)?;
        let first = self.numbers.partition_point(|(other, _)| *other < number);
        let end = self.numbers.partition_point(|(other, _)| *other <= number);
        Some((at, u32::try_from(first).ok()?..u32::try_from(end).ok()?))
    }

    /// Where at the end of `text` a number could begin, else the end.
    pub(super) fn unfinished_number(&self, text: &[u8], from: usize) -> usize {
        if self.numbers.is_empty() {
            text.len()
        } else {
            numbers::unfinished(text, from)
        }
    }
}
