//! Gathers the rules of packs: what they share, what of them is searched for, and how much all of them may take.
//!
//! Deliberately not here: what one rule is, see [`super::rules`].

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use super::allowlist::Allowlist;
use super::error::{NO_BEGINNING, RULES_MAX, RuleError};
use super::extend::{Merged, Placed, Source};
use super::filter::Filter;
use super::pack::{AllowlistEntry, Audience};
use super::prefilter::{Beginnings, Prefilter};
use super::rules::{Note, Rule, RuleIndex, allowlists};

/// How many rules are compiled before they are counted.
const BATCH: usize = 1024;
/// More threads than this are no faster.
const THREADS: usize = 4;

/// What all rules of a pack share.
pub(super) struct Shared {
    pub(super) allowlists: Vec<Arc<Allowlist>>,
    pub(super) entropy: f64,
}

/// Rules on their way to becoming [`Rules`].
#[derive(Default)]
pub(super) struct Gathered {
    all: Vec<Rule>,
    beginnings: Beginnings,
    /// How many bytes more the automata may take.
    room: usize,
    notes: Vec<Note>,
}

impl Gathered {
    /// Nothing yet, with so many bytes for all automata.
    pub(super) fn within(room: usize, notes: Vec<Note>) -> Self {
        Self {
            room,
            notes,
            ..Self::default()
        }
    }

    /// Takes in what was merged of each pack, in order.
    pub(super) fn take_packs(&mut self, merged: Vec<Merged>, packs: &[Source]) -> Result<(), RuleError> {
        let mut merged = merged;
        share_audiences(&mut merged);
        for (pack, source) in merged.into_iter().zip(packs) {
            self.take_pack(&source.origin, pack)?;
        }
        Ok(())
    }

    /// All rules, the search for them, and what was noted.
    pub(super) fn searched_for(self) -> Result<(Vec<Rule>, Prefilter, Vec<Note>), RuleError> {
        if self.all.is_empty() {
            return Err(RuleError::Empty);
        }
        let prefilter = self.beginnings.search().map_err(|error| RuleError::Regex {
            origin: "all packs".to_owned(),
            rule: "*".to_owned(),
            problem: error.to_string(),
        })?;
        Ok((self.all, prefilter, self.notes))
    }

    fn take_pack(&mut self, origin: &str, mut pack: Merged) -> Result<(), RuleError> {
        let (targeted, global): (Vec<_>, Vec<_>) = pack
            .allowlists
            .drain(..)
            .partition(|allowlist| !allowlist.target_rules.is_empty());
        let mut shared = Shared {
            allowlists: allowlists(origin, "*", &global)?,
            entropy: 0.0,
        };
        for text in &pack.filters {
            let filter = Filter::parse(text);
            self.note_ignored(&filter, |text| Note::of_file(origin, text));
            shared.allowlists.extend(allowlists(origin, "*", &filter.allowlists)?);
            shared.entropy = shared.entropy.max(filter.entropy);
        }
        for allowlist in targeted {
            self.target(origin, &allowlist, &mut pack)?;
        }
        share_required(&mut pack.rules);
        let (unknown, rules): (Vec<_>, Vec<_>) = pack
            .rules
            .into_iter()
            .partition(|rule| pack.has_default && rule.entry.regex.is_empty() && rule.entry.path.is_empty());
        let without_effect = "changes a rule that the pack that comes with Egret does not have; it has no effect";
        self.notes
            .extend(unknown.iter().map(|rule| Note::of_rule(rule, without_effect)));
        for rule in &rules {
            self.note(rule);
        }
        let mut rules = rules.into_iter().peekable();
        while rules.peek().is_some() {
            for (place, rule) in compile_all(rules.by_ref().take(BATCH), &shared) {
                if let Some(rule) = rule? {
                    self.take_rule(&place, rule)?;
                }
            }
        }
        Ok(())
    }

    /// Adds an allowlist to the rules that it names.
    fn target(&mut self, origin: &str, allowlist: &AllowlistEntry, pack: &mut Merged) -> Result<(), RuleError> {
        for id in &allowlist.target_rules {
            let rule = pack.rules.iter_mut().find(|rule| rule.entry.id() == id);
            match rule {
                Some(rule) => rule.entry.allowlists.push(allowlist.clone()),
                None if pack.has_default => {
                    let text =
                        format!("`targetRules` names {id:?}, which the pack that comes with Egret does not have");
                    self.notes.push(Note::of_file(origin, &text));
                }
                None => {
                    return Err(RuleError::Unknown {
                        origin: origin.to_owned(),
                        rule: "*".to_owned(),
                        key: "targetRules",
                        unknown: id.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn take_rule(&mut self, place: &str, rule: Rule) -> Result<(), RuleError> {
        let index = u16::try_from(self.all.len())
            .ok()
            .filter(|_| self.all.len() < RULES_MAX)
            .map(RuleIndex::nth)
            .ok_or_else(|| RuleError::TooMany {
                origin: place.to_owned(),
            })?;
        self.search_for(index, place, &rule)?;
        self.all.push(rule);
        Ok(())
    }

    /// Has the rule's matches looked for by how they begin.
    fn search_for(&mut self, index: RuleIndex, place: &str, rule: &Rule) -> Result<(), RuleError> {
        let room = self.room.checked_sub(rule.automaton().size());
        self.room = room.ok_or_else(|| RuleError::TooLarge {
            origin: place.to_owned(),
            rule: rule.id().to_owned(),
        })?;
        self.beginnings
            .add(index, rule.automaton())
            .or_else(|_| match rule.number() {
                Some(number) => {
                    self.beginnings.add_number(index, number);
                    Ok(())
                }
                None => self.beginnings.add_word(index, rule.automaton(), rule.keywords()),
            })
            .map_err(|_| RuleError::unusable(place, rule.id(), "regex", NO_BEGINNING))
    }

    /// Notes what of a rule means less in traffic.
    fn note(&mut self, rule: &Placed) {
        let entry = &rule.entry;
        let never =
            |allowlist: &AllowlistEntry| Allowlist::compile(allowlist).is_ok_and(|compiled| !compiled.applies());
        let notes = [
            (
                entry.regex.is_empty() && !entry.path.is_empty(),
                "only looks at file names, which traffic does not have; it finds nothing",
            ),
            (
                !entry.regex.is_empty() && !entry.path.is_empty(),
                "`path` does not narrow it: traffic has no files",
            ),
            (
                !entry.required.is_empty(),
                "`required` rules are not waited for: it counts without them",
            ),
            (
                entry.skip_report,
                "has `skipReport` and no rule requires it, so it is not looked for",
            ),
            (entry.token_efficiency, "`tokenEfficiency` is not evaluated"),
            (
                entry.allowlists.iter().any(never),
                "an allowlist of it depends on paths or commits, which traffic does not have; it never applies",
            ),
        ];
        let notes = notes.into_iter().filter(|(there, _)| *there);
        self.notes.extend(notes.map(|(_, text)| Note::of_rule(rule, text)));
        if let Some(filter) = &entry.filter {
            self.note_ignored(&Filter::parse(filter), |text| Note::of_rule(rule, text));
        }
    }

    fn note_ignored(&mut self, filter: &Filter, note: impl Fn(&str) -> Note) {
        let text = |ignored: &String| format!("this part of its `filter` is not evaluated: {ignored}");
        self.notes
            .extend(filter.ignored.iter().map(|ignored| note(&text(ignored))));
    }
}

/// Compiles rules, some at the same time: it is most of what a start takes. Each with its place, in order.
fn compile_all(rules: impl Iterator<Item = Placed>, shared: &Shared) -> Vec<(String, Result<Option<Rule>, RuleError>)> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS));
    let mut dealt: Vec<Vec<Placed>> = (0..threads).map(|_| Vec::new()).collect();
    for (nth, rule) in rules.enumerate() {
        if let Some(hand) = dealt.get_mut(nth % threads) {
            hand.push(rule);
        }
    }
    let compile = |hand: Vec<Placed>| {
        let compiled = hand
            .into_iter()
            .map(|rule| (rule.place.clone(), Rule::compile(rule, shared)));
        compiled.collect::<Vec<_>>()
    };
    let mut hands: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = dealt.into_iter().map(|hand| scope.spawn(|| compile(hand))).collect();
        let joined = running
            .into_iter()
            .map(|running| running.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.map(Vec::into_iter).collect()
    });
    let mut all = Vec::new();
    while let Some(compiled) = hands.get_mut(all.len() % threads).and_then(Iterator::next) {
        all.push(compiled);
    }
    all
}

/// Has rules looked for that others require.
fn share_required(rules: &mut [Placed]) {
    let required = rules.iter().flat_map(|rule| &rule.entry.required);
    let required: HashSet<String> = required.map(|required| required.id.clone()).collect();
    for rule in rules {
        rule.entry.skip_report &= !required.contains(rule.entry.id());
    }
}

/// Gives rules of one name, in packs listed side by side, the audience and prefix that any of them has.
fn share_audiences(packs: &mut [Merged]) {
    let mut known: HashMap<String, (Option<Audience>, Vec<String>)> = HashMap::new();
    for rule in packs.iter().flat_map(|pack| &pack.rules) {
        let (audience, prefix) = known.entry(rule.entry.id().to_owned()).or_default();
        if audience.is_none() {
            audience.clone_from(&rule.entry.audience);
        }
        if prefix.is_empty() {
            prefix.clone_from(&rule.entry.prefix);
        }
    }
    for rule in packs.iter_mut().flat_map(|pack| &mut pack.rules) {
        let Some((audience, prefix)) = known.get(rule.entry.id()) else {
            continue;
        };
        if rule.entry.audience.is_none() {
            rule.entry.audience.clone_from(audience);
        }
        if rule.entry.prefix.is_empty() {
            rule.entry.prefix.clone_from(prefix);
        }
    }
}
