//! Allowlists: which matches of a rule are no secrets after all.
//!
//! An allowlist holds when one of its criteria does, or with `condition = "AND"` when all of them do: one of `regexes` finds
//! something in the secret (or in what `regexTarget` names), or one of `stopwords` is in the secret, in any case.
//!
//! Traffic has no files and no commits, so `paths`, `commits` and `resources` never hold: with `AND` the whole allowlist never
//! applies, otherwise the rest decides. Of the line that `regexTarget = "line"` names, only the match is known; what holds for
//! the match holds for the line around it, anchors apart. Whatever is in doubt counts as a secret.

use aho_corasick::AhoCorasick;
use regex_automata::meta;
use regex_automata::util::syntax;

use super::pack::AllowlistEntry;
use super::translate::translate;

/// How large the expressions of one allowlist may become when compiled.
const REGEX_BYTES: usize = 4 << 20;

/// What an allowlist's `regexes` are tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Secret,
    Match,
}

/// A compiled allowlist.
#[derive(Debug)]
pub(super) struct Allowlist {
    all: bool,
    target: Target,
    /// Whether it names files or commits.
    elsewhere: bool,
    regexes: Option<meta::Regex>,
    stopwords: Option<AhoCorasick>,
}

/// What is wrong with an allowlist, and with which of its keys.
#[derive(Debug)]
pub(super) struct AllowlistError {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

impl Allowlist {
    pub(super) fn compile(entry: &AllowlistEntry) -> Result<Self, AllowlistError> {
        let error = |key, problem: &str| AllowlistError {
            key,
            problem: problem.to_owned(),
        };
        let all = match entry.condition.to_ascii_uppercase().as_str() {
            "AND" | "&&" => true,
            "" | "OR" | "||" => false,
            _ => return Err(error("condition", "write AND or OR")),
        };
        let target = match entry.regex_target.as_str() {
            "" | "secret" => Target::Secret,
            "match" | "line" => Target::Match,
            _ => return Err(error("regexTarget", "write secret, match or line")),
        };
        let elsewhere = !(entry.paths.is_empty() && entry.commits.is_empty() && entry.resources.is_empty());
        if !elsewhere && entry.regexes.is_empty() && entry.stopwords.is_empty() {
            let problem = "an allowlist needs at least one of regexes, stopwords, paths and commits";
            return Err(error("allowlists", problem));
        }
        Ok(Self {
            all,
            target,
            elsewhere,
            regexes: compiled_regexes(&entry.regexes)?,
            stopwords: compiled_stopwords(&entry.stopwords)?,
        })
    }

    /// Whether it can ever hold.
    pub(super) fn applies(&self) -> bool {
        !(self.all && self.elsewhere) && (self.regexes.is_some() || self.stopwords.is_some())
    }

    /// Whether `secret` is none. `matched` is the match around it, where that is known.
    pub(super) fn holds(&self, secret: &[u8], matched: Option<&[u8]>) -> bool {
        if !self.applies() {
            return false;
        }
        let looked_at = match self.target {
            Target::Secret => Some(secret),
            Target::Match => matched,
        };
        let regex = self
            .regexes
            .as_ref()
            .map(|regexes| looked_at.is_some_and(|text| regexes.is_match(text)));
        let stopword = self.stopwords.as_ref().map(|words| words.is_match(secret));
        let mut criteria = regex.into_iter().chain(stopword);
        if self.all {
            criteria.all(|holds| holds)
        } else {
            criteria.any(|holds| holds)
        }
    }
}

/// One expression for all, compiled as bytes.
fn compiled_regexes(regexes: &[String]) -> Result<Option<meta::Regex>, AllowlistError> {
    if regexes.is_empty() {
        return Ok(None);
    }
    let error = |problem: String| AllowlistError {
        key: "regexes",
        problem,
    };
    let translated: Result<Vec<String>, _> = regexes
        .iter()
        .map(|regex| translate(regex).map_err(|problem| error(format!("{regex:?}: {problem}"))))
        .collect();
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(REGEX_BYTES))
        .dfa(false)
        .onepass(false);
    let built = meta::Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(config)
        .build_many(&translated?);
    built.map(Some).map_err(|problem| error(problem.to_string()))
}

/// A search for words in any case.
fn compiled_stopwords(words: &[String]) -> Result<Option<AhoCorasick>, AllowlistError> {
    if words.is_empty() {
        return Ok(None);
    }
    if words.iter().any(String::is_empty) {
        return Err(AllowlistError {
            key: "stopwords",
            problem: "an empty word is in every secret; leave it out".to_owned(),
        });
    }
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
    built.map(Some).map_err(|problem| AllowlistError {
        key: "stopwords",
        problem: problem.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(toml: &str) -> Result<Allowlist, AllowlistError> {
        Allowlist::compile(&toml::from_str(toml).unwrap())
    }

    #[track_caller]
    fn check(toml: &str, matched: &str, secret: &str, holds: bool) {
        let allowlist = compile(toml).unwrap();
        assert_eq!(
            allowlist.holds(secret.as_bytes(), Some(matched.as_bytes())),
            holds,
            "{toml}: {secret}"
        );
    }

    #[track_caller]
    fn check_refused(toml: &str, key: &str) {
        assert_eq!(compile(toml).unwrap_err().key, key, "{toml}");
    }

    #[test]
    fn one_criterion_is_enough() {
        let toml = "regexes = ['^x+$', 'EXAMPLE$']\nstopwords = ['DuMmy']";
        check(toml, "k=xxx", "xxx", true);
        check(toml, "k=aEXAMPLE", "aEXAMPLE", true);
        check(toml, "k=adummyb", "adummyb", true);
        check(toml, "k=xxa", "xxa", false);
        check(toml, "dummy=abc", "abc", false);
    }

    #[test]
    fn with_and_all_criteria_are_needed() {
        let toml = "condition = 'and'\nregexes = ['^x']\nstopwords = ['dummy']";
        check(toml, "xdummy", "xdummy", true);
        check(toml, "dummy", "dummy", false);
        check(toml, "xabc", "xabc", false);
    }

    #[test]
    fn files_and_commits_never_hold() {
        check("paths = ['.*']", "a", "a", false);
        check("commits = ['abc']\nstopwords = ['a']", "a", "a", true);
        check("resources = ['path:.*']\nstopwords = ['a']", "a", "a", true);
        check("condition = '&&'\npaths = ['.*']\nstopwords = ['a']", "a", "a", false);
    }

    #[test]
    fn the_target_says_where_regexes_look() {
        for target in ["match", "line"] {
            let toml = format!("regexTarget = '{target}'\nregexes = ['^public_key']");
            check(&toml, "public_key=abc", "abc", true);
            check(&toml, "secret_key=public_key", "public_key", false);
            // Where the match is not known, nothing is let pass.
            assert!(!compile(&toml).unwrap().holds(b"public_key", None));
        }
        check("regexTarget = 'secret'\nregexes = ['^abc']", "key=abc", "abc", true);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        check_refused("", "allowlists");
        check_refused("condition = 'XOR'\nstopwords = ['a']", "condition");
        check_refused("regexTarget = 'mtach'\nregexes = ['a']", "regexTarget");
        check_refused("stopwords = ['a', '']", "stopwords");
        check_refused("regexes = ['(']", "regexes");
        check_refused(r"regexes = ['\pL']", "regexes");
    }
}
