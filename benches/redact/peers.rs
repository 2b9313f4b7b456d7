//! What else could look for the same rules in the same bytes.

use std::hint::black_box;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use bytes::Bytes;
use egret::redact::Redactor;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Input, PatternSet};

use super::expressions::{Expression, expressions};
use super::redact;

/// How much gitleaks looks at at a time.
const FRAGMENT: usize = 100_000;

/// One way to go over a body.
pub(crate) enum Peer {
    Egret(Redactor),
    /// Reads every byte: the bound.
    Memory,
    /// Searches for all keywords, in either case, and does nothing with them.
    Keywords(AhoCorasick),
    /// All expressions at once; says which matched, not where.
    RegexSet(Box<Regex>),
    /// As gitleaks does it: of each fragment, the keywords; then each rule's expression whose keyword was there.
    KeywordThenRegex {
        keywords: AhoCorasick,
        rule_of: Vec<usize>,
        rules: Vec<Regex>,
    },
}

impl Peer {
    pub(crate) fn all() -> Vec<Self> {
        let expressions = expressions();
        let (keywords, rule_of) = keywords(&expressions);
        let patterns: Vec<&str> = expressions.iter().map(|one| one.regex.as_str()).collect();
        vec![
            Self::Egret(super::redactor()),
            Self::Memory,
            Self::Keywords(keywords.clone()),
            Self::RegexSet(Box::new(regex(&patterns))),
            Self::KeywordThenRegex {
                keywords,
                rule_of,
                rules: patterns.iter().map(|pattern| regex(&[pattern])).collect(),
            },
        ]
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Egret(_) => "egret",
            Self::Memory => "memory read",
            Self::Keywords(_) => "aho-corasick, keywords",
            Self::RegexSet(_) => "RegexSet",
            Self::KeywordThenRegex { .. } => "keyword, then regex",
        }
    }

    /// How much of an input it is given, so that slow ones end.
    pub(crate) fn share(&self) -> usize {
        match self {
            Self::Egret(_) | Self::Memory => usize::MAX,
            Self::Keywords(_) => 32 << 20,
            Self::RegexSet(_) | Self::KeywordThenRegex { .. } => 4 << 20,
        }
    }

    pub(crate) fn run(&self, body: &Bytes) {
        match self {
            Self::Egret(redactor) => redact(redactor, body),
            Self::Memory => {
                let words = body
                    .chunks_exact(8)
                    .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
                black_box(words.fold(0_u64, u64::wrapping_add));
            }
            Self::Keywords(keywords) => {
                black_box(keywords.find_overlapping_iter(body).count());
            }
            Self::RegexSet(set) => {
                for fragment in body.chunks(super::CHUNK) {
                    let mut matched = PatternSet::new(set.pattern_len());
                    set.which_overlapping_matches(&Input::new(fragment), &mut matched);
                    black_box(matched.len());
                }
            }
            Self::KeywordThenRegex {
                keywords,
                rule_of,
                rules,
            } => {
                for fragment in body.chunks(FRAGMENT) {
                    let mut wanted = vec![false; rules.len()];
                    for found in keywords.find_overlapping_iter(fragment) {
                        wanted[rule_of[found.pattern().as_usize()]] = true;
                    }
                    let wanted = rules.iter().zip(wanted).filter(|(_, wanted)| *wanted);
                    black_box(wanted.map(|(rule, _)| rule.find_iter(fragment).count()).sum::<usize>());
                }
            }
        }
    }
}

/// All keywords, and of each the rule.
fn keywords(expressions: &[Expression]) -> (AhoCorasick, Vec<usize>) {
    let numbered = expressions.iter().enumerate();
    let (rule_of, texts): (Vec<usize>, Vec<&String>) = numbered
        .flat_map(|(rule, one)| one.keywords.iter().map(move |keyword| (rule, keyword)))
        .unzip();
    let search = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(texts);
    (search.expect("keywords are few"), rule_of)
}

/// Expressions as Egret compiles them: bytes, Unicode off.
fn regex(patterns: &[&str]) -> Regex {
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(None)
        .hybrid_cache_capacity(32 << 20);
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder()
        .configure(config)
        .syntax(syntax)
        .build_many(patterns)
        .expect("the shipped expressions compile")
}
