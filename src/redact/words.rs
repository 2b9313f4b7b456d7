//! The search for matches that begin with no fixed text: they are tried wherever a word begins and goes on as they do.
//!
//! What is found so is often something else: a number, a hash. So a rule that is searched for here and has keywords counts
//! only where one of them stands in the match, or stood before it in the same stream. The keywords are read as the text
//! passes, whatever the pieces it comes in; none of this is done when there is no such rule.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::{Anchored, BuildError, dfa};

use super::beginning::KNOWN;
use super::byte_set::ByteSet;
use super::dress::Dress;
use super::rules::RuleIndex;
use super::search::{Candidate, Found, Source};

/// How many kinds are told apart; what is more shares their places, and is tried or heard together.
const KINDS: usize = 64;

/// What is known of one rule's matches.
pub(super) struct Word {
    pub(super) rule: RuleIndex,
    /// What can stand first, second and so on.
    pub(super) sets: Vec<ByteSet>,
    /// Compared without regard to ASCII case. Empty when none is needed.
    pub(super) keywords: Vec<String>,
}

/// The search for all such rules.
pub(super) struct Words {
    /// For each place in a match and each byte, a bit for each kind that can have it there.
    places: Box<[[u64; 256]]>,
    rules: Vec<RuleIndex>,
    /// The rules that need a keyword, in order, each with its bit.
    needs: Vec<(RuleIndex, u64)>,
    keywords: Keywords,
}

struct Keywords {
    search: dfa::DFA,
    /// The bits of the rules that have the keyword, for each keyword.
    rules: Vec<u64>,
}

/// What a stream has heard of the keywords so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard {
    state: Option<StateID>,
    /// All before this position is heard.
    to: usize,
    rules: u64,
}

impl Words {
    /// Nothing when there are no such rules.
    pub(super) fn new(words: &[Word]) -> Result<Option<Self>, BuildError> {
        if words.is_empty() {
            return Ok(None);
        }
        let mut places = vec![[0; 256]; KNOWN];
        for (nth, word) in words.iter().enumerate() {
            for (place, kinds) in places.iter_mut().enumerate() {
                let set = word.sets.get(place);
                for (byte, kinds) in (0..=u8::MAX).zip(kinds) {
                    if set.is_none_or(|set| set.contains(byte)) {
                        *kinds |= bit(nth);
                    }
                }
            }
        }
        let needs = words.iter().enumerate().filter(|(_, word)| !word.keywords.is_empty());
        Ok(Some(Self {
            places: places.into(),
            rules: words.iter().map(|word| word.rule).collect(),
            needs: needs.map(|(nth, word)| (word.rule, bit(nth))).collect(),
            keywords: Keywords::new(words)?,
        }))
    }

    pub(super) fn rule(&self, number: u32) -> Option<RuleIndex> {
        self.rules.get(usize::try_from(number).ok()?).copied()
    }

    /// The next candidate at or after `from`; `before` is the byte before `text`, and `whole` says that none follow it.
    pub(super) fn next(&self, text: &[u8], from: usize, before: Option<u8>, whole: bool) -> Found {
        let mut left = from.checked_sub(1).map_or(before, |left| text.get(left).copied());
        for (at, byte) in (from..).zip(text.get(from..).unwrap_or_default()) {
            let inside = left.is_some_and(is_word_byte) && is_word_byte(*byte);
            left = Some(*byte);
            if inside {
                continue;
            }
            let rest = text.get(at..).unwrap_or_default();
            let kinds = self.kinds(rest);
            if kinds == 0 {
                continue;
            }
            if rest.len() < KNOWN && !whole {
                return Found::NoneBefore(at);
            }
            return Found::Candidate(Candidate {
                at,
                dress: Dress::default(),
                source: Source::Words,
                numbers: self.numbers(kinds),
            });
        }
        Found::NoneBefore(text.len())
    }

    /// The kinds that can begin as `text` does. At its end, a match can end as well.
    fn kinds(&self, text: &[u8]) -> u64 {
        let mut kinds = u64::MAX;
        for (place, byte) in self.places.iter().zip(text) {
            kinds &= place.get(usize::from(*byte)).copied().unwrap_or(0);
            if kinds == 0 {
                break;
            }
        }
        kinds
    }

    /// The rules from the first of the kinds to the last.
    fn numbers(&self, kinds: u64) -> std::ops::Range<u32> {
        match u32::try_from(self.rules.len()) {
            Ok(all) if self.rules.len() <= KINDS => {
                kinds.trailing_zeros()..(u64::BITS - kinds.leading_zeros()).min(all)
            }
            all => 0..all.unwrap_or(u32::MAX),
        }
    }

    /// Hears the keywords in `text` up to `end`.
    pub(super) fn hear(&self, heard: &mut Heard, text: &[u8], end: usize) {
        if let Some(new) = text.get(heard.to..end) {
            self.keywords.hear(heard, new);
            heard.to = end;
        }
    }

    /// Whether one of the rule's keywords, if it needs any, was heard or stands in `beneath`.
    pub(super) fn is_backed(&self, rule: RuleIndex, heard: Heard, beneath: &[u8]) -> bool {
        let Ok(nth) = self.needs.binary_search_by_key(&rule, |(rule, _)| *rule) else {
            return true;
        };
        let needed = self.needs.get(nth).map_or(0, |(_, bit)| *bit);
        let mut within = Heard::default();
        self.keywords.hear(&mut within, beneath);
        (heard.rules | within.rules) & needed != 0
    }
}

impl Keywords {
    fn new(words: &[Word]) -> Result<Self, BuildError> {
        let all = words
            .iter()
            .enumerate()
            .flat_map(|(nth, word)| word.keywords.iter().map(move |text| (text, bit(nth))));
        let (texts, rules): (Vec<&String>, Vec<u64>) = all.unzip();
        Ok(Self {
            search: dfa::Builder::new().ascii_case_insensitive(true).build(texts)?,
            rules,
        })
    }

    fn hear(&self, heard: &mut Heard, text: &[u8]) {
        let Some(mut state) = heard.state.or_else(|| self.search.start_state(Anchored::No).ok()) else {
            return;
        };
        for byte in text {
            state = self.search.next_state(Anchored::No, state, *byte);
            if self.search.is_special(state) && self.search.is_match(state) {
                for nth in 0..self.search.match_len(state) {
                    let keyword = self.search.match_pattern(state, nth).as_usize();
                    heard.rules |= self.rules.get(keyword).copied().unwrap_or(0);
                }
            }
        }
        heard.state = Some(state);
    }
}

impl Heard {
    /// Counts positions from the byte at `done` on.
    pub(super) fn rebase(&mut self, done: usize) {
        self.to = self.to.saturating_sub(done);
    }
}

fn bit(nth: usize) -> u64 {
    1 << (nth % KINDS)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
