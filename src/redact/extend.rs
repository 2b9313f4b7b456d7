//! Rule files that build on others: `[extend]`.
//!
//! What the extending file says wins. Its rules come first; a rule that the extended file has as well is merged: what the
//! extending file gives replaces (description, entropy, secret group, expression, path), and tags, keywords and allowlists are
//! added. Rules named in `disabledRules` are left out of the extended file. A file may extend one that extends another,
//! and no further.
//!
//! `useDefault` means the pack that comes with Egret. Rules of another default pack that it doesn't have can't be changed
//! or switched off; that is noted, since nothing is looked for less.

use std::collections::HashSet;

use super::error::RuleError;
use super::pack::{AllowlistEntry, Entry, Extend, Pack};
use super::rules::{Note, Rules};

/// How often a chain of files may extend.
const DEPTH: usize = 2;

/// A rule file: the name that its errors carry, and its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The name, such as its path.
    pub origin: String,
    /// The TOML.
    pub text: String,
}

impl std::fmt::Debug for Source {
    // A user's file may hold examples of real secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Reads the file that the first text (an origin) extends and the second (its `path`) names; `None` when it can't.
pub(super) type Load<'a> = &'a mut dyn FnMut(&str, &str) -> Option<Source>;

/// A rule and where it stands.
pub(super) struct Placed {
    /// File and line.
    pub(super) place: String,
    pub(super) entry: Entry,
}

/// A file with all that it extends.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) rules: Vec<Placed>,
    pub(super) allowlists: Vec<AllowlistEntry>,
    pub(super) filters: Vec<String>,
    /// Whether the pack that comes with Egret is among what it extends.
    pub(super) has_default: bool,
}

impl Merged {
    /// Reads `text` and all that it extends.
    pub(super) fn read(source: &Source, load: Load<'_>, notes: &mut Vec<Note>) -> Result<Self, RuleError> {
        Self::read_at(0, source, load, notes)
    }

    fn read_at(depth: usize, source: &Source, load: Load<'_>, notes: &mut Vec<Note>) -> Result<Self, RuleError> {
        let origin = source.origin.as_str();
        let mut pack: Pack = toml::from_str(&source.text).map_err(|error| RuleError::Parse {
            origin: origin.to_owned(),
            source: Box::new(error),
        })?;
        let extend = std::mem::take(&mut pack.extend);
        let own = Self::own(source, pack, notes)?;
        let extended = Self::extended(depth, origin, &extend, load, notes)?;
        own.check_required(extended.as_ref())?;
        let Some(extended) = extended else {
            return Ok(own);
        };
        Ok(own.over(extended, origin, &extend.disabled_rules, notes))
    }

    /// What the file itself says.
    fn own(source: &Source, pack: Pack, notes: &mut Vec<Note>) -> Result<Self, RuleError> {
        let origin = source.origin.as_str();
        if pack.prefilter.is_some() {
            notes.push(Note::of_file(
                origin,
                "`prefilter` picks files and commits, which traffic does not have; it is not evaluated",
            ));
        }
        let allowlists = one_spelling(origin, "*", pack.allowlist, pack.allowlists)?;
        let mut ids = HashSet::new();
        let mut rules = Vec::with_capacity(pack.rules.len());
        for mut entry in pack.rules {
            let place = place(source, &entry);
            if !ids.insert(entry.id().to_owned()) {
                return Err(RuleError::Duplicate {
                    origin: place,
                    rule: entry.id().to_owned(),
                });
            }
            let (old, new) = (entry.allowlist.take(), std::mem::take(&mut entry.allowlists));
            entry.allowlists = one_spelling(&place, entry.id(), old, new)?;
            rules.push(Placed { place, entry });
        }
        Ok(Self {
            rules,
            allowlists,
            filters: pack.filter.into_iter().collect(),
            has_default: false,
        })
    }

    fn extended(
        depth: usize,
        origin: &str,
        extend: &Extend,
        load: Load<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<Option<Self>, RuleError> {
        let error = |problem: String| RuleError::Extend {
            origin: origin.to_owned(),
            problem,
        };
        if !extend.url.is_empty() {
            return Err(error(
                "`url` is not supported; save the file, and name it as `path`".to_owned(),
            ));
        }
        if extend.path.is_empty() && !extend.use_default {
            if !extend.disabled_rules.is_empty() {
                notes.push(Note::of_file(
                    origin,
                    "`disabledRules` does nothing without `path` or `useDefault`",
                ));
            }
            return Ok(None);
        }
        if !extend.path.is_empty() && extend.use_default {
            return Err(error(
                "`path` and `useDefault` exclude each other; leave one out".to_owned(),
            ));
        }
        if depth == DEPTH {
            return Err(error(format!(
                "a chain of files may extend {DEPTH} times; merge some of them"
            )));
        }
        if extend.use_default {
            return Self::default_pack(load, notes).map(Some);
        }
        let source =
            load(origin, &extend.path).ok_or_else(|| error(format!("`path` {:?} can't be read", extend.path)))?;
        Self::read_at(depth + 1, &source, load, notes).map(Some)
    }

    /// The pack that comes with Egret.
    fn default_pack(load: Load<'_>, notes: &mut Vec<Note>) -> Result<Self, RuleError> {
        let source = Source {
            origin: "builtin".to_owned(),
            text: Rules::BUILTIN_TOML.to_owned(),
        };
        Ok(Self {
            has_default: true,
            ..Self::read(&source, load, notes)?
        })
    }

    /// Every rule that another requires has to be there, disabled or not.
    fn check_required(&self, extended: Option<&Self>) -> Result<(), RuleError> {
        let known: HashSet<&str> = self
            .rules
            .iter()
            .chain(extended.into_iter().flat_map(|extended| &extended.rules))
            .map(|rule| rule.entry.id())
            .collect();
        for rule in &self.rules {
            let unknown = |required: &&super::pack::Required| !known.contains(required.id.as_str());
            if let Some(required) = rule.entry.required.iter().find(unknown) {
                return Err(RuleError::Unknown {
                    origin: rule.place.clone(),
                    rule: rule.entry.id().to_owned(),
                    key: "required",
                    unknown: required.id.clone(),
                });
            }
        }
        Ok(())
    }

    /// This file over the one that it extends.
    fn over(self, extended: Self, origin: &str, disabled: &[String], notes: &mut Vec<Note>) -> Self {
        for id in disabled {
            if !extended.rules.iter().any(|rule| rule.entry.id() == id) {
                let text = format!("`disabledRules` names {id:?}, which is no rule of what it extends");
                notes.push(Note::of_file(origin, &text));
            }
        }
        let mut bases: Vec<Placed> = extended.rules;
        bases.retain(|rule| !disabled.iter().any(|id| id == rule.entry.id()));
        let mut rules = Vec::with_capacity(self.rules.len() + bases.len());
        for rule in self.rules {
            let base = bases.iter().position(|base| base.entry.id() == rule.entry.id());
            rules.push(match base {
                Some(at) => rule.over(bases.remove(at)),
                None => rule,
            });
        }
        rules.append(&mut bases);
        Self {
            rules,
            allowlists: joined(self.allowlists, extended.allowlists),
            filters: joined(self.filters, extended.filters),
            has_default: extended.has_default,
        }
    }
}

impl Placed {
    /// This rule over the one of the same name in what its file extends.
    fn over(self, base: Self) -> Self {
        let (own, base) = (self.entry, base.entry);
        // Examples are of an expression.
        let (examples, counter_examples) = if own.regex.is_empty() {
            (base.examples, base.counter_examples)
        } else {
            (Vec::new(), Vec::new())
        };
        Self {
            place: self.place,
            entry: Entry {
                id: own.id,
                description: given(own.description, base.description),
                regex: given(own.regex, base.regex),
                secret_group: if own.secret_group == 0 {
                    base.secret_group
                } else {
                    own.secret_group
                },
                entropy: if own.entropy == 0.0 { base.entropy } else { own.entropy },
                keywords: joined(base.keywords, own.keywords),
                tags: joined(base.tags, own.tags),
                path: given(own.path, base.path),
                allowlists: joined(base.allowlists, own.allowlists),
                filter: own.filter.or(base.filter),
                token_efficiency: own.token_efficiency || base.token_efficiency,
                severity: own.severity.or(base.severity),
                prefix: if own.prefix.is_empty() { base.prefix } else { own.prefix },
                audience: own.audience.or(base.audience),
                check: own.check.or(base.check),
                window: own.window.or(base.window),
                examples: joined(examples, own.examples),
                counter_examples: joined(counter_examples, own.counter_examples),
                ..base
            },
        }
    }
}

fn given(own: String, base: String) -> String {
    if own.is_empty() { base } else { own }
}

fn joined<T>(mut first: Vec<T>, mut second: Vec<T>) -> Vec<T> {
    first.append(&mut second);
    first
}

/// The old spelling of allowlists, which holds one, or the new one.
fn one_spelling(
    origin: &str,
    rule: &str,
    old: Option<AllowlistEntry>,
    new: Vec<AllowlistEntry>,
) -> Result<Vec<AllowlistEntry>, RuleError> {
    if old.is_some() && !new.is_empty() {
        let remedy = "the old `allowlist` and the new `allowlists` exclude each other; write it as one of `allowlists`";
        return Err(RuleError::unusable(origin, rule, "allowlist", remedy));
    }
    Ok(old.into_iter().chain(new).collect())
}

/// File and line of a rule.
fn place(source: &Source, entry: &Entry) -> String {
    let before = source.text.get(..entry.id.span().start).unwrap_or_default();
    format!("{}:{}", source.origin, before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rule;
    use super::*;

    /// Compiles the first of some files; the others can be extended.
    fn compile(files: &[(&str, &str)]) -> Result<Rules, RuleError> {
        let source = |(origin, text): &(&str, &str)| Source {
            origin: (*origin).to_owned(),
            text: (*text).to_owned(),
        };
        Rules::compile_with(&[source(&files[0])], &mut |_, path| {
            files.iter().find(|(origin, _)| *origin == path).map(source)
        })
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], ids: &[&str], notes: &[&str]) -> Rules {
        let rules = compile(files).unwrap();
        let found: Vec<&str> = rules.iter().map(Rule::id).collect();
        assert_eq!(found, ids);
        let found: Vec<String> = rules.notes().iter().map(Note::to_string).collect();
        assert_eq!(found, notes);
        rules
    }

    #[track_caller]
    fn check_refused(files: &[(&str, &str)], says: &str) {
        let error = compile(files).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }

    const BASE: &str = "
        [[allowlists]]
        stopwords = ['everywhere']
        [[rules]]
        id = 'one'
        description = 'first'
        regex = 'one_([a-z])([a-z]{7})'
        entropy = 1
        tags = ['base']
        examples = ['one_abcdefgh']
        [[rules.allowlists]]
        stopwords = ['base']
        [[rules]]
        id = 'two'
        regex = 'two_[a-z]{8}'";

    #[test]
    fn the_extending_file_wins() {
        let own = "
            [extend]
            path = 'base'
            [[rules]]
            id = 'three'
            regex = 'three_[a-z]{8}'
            [[rules]]
            id = 'one'
            secretGroup = 2
            tags = ['own']
            [[rules.allowlists]]
            stopwords = ['own']";
        let rules = check(&[("own", own), ("base", BASE)], &["three", "one", "two"], &[]);
        let one = rules.named("one").unwrap();
        assert_eq!((one.description(), one.secret_group()), ("first", 2));
        assert_eq!(one.tags(), ["base", "own"]);
        assert_eq!(one.examples(), ["one_abcdefgh"]);
        for (secret, passes) in [
            ("abcdefg", true),
            ("aaaaaaa", false),
            ("xbasexy", false),
            ("xownxyz", false),
            ("everywherex", false),
        ] {
            assert_eq!(one.passes(secret.as_bytes(), None), passes, "{secret}");
        }
        assert!(!rules.named("three").unwrap().passes(b"three_everywhere", None));
    }

    #[test]
    fn a_new_expression_drops_the_examples_of_the_old() {
        let own = "[extend]\npath = 'base'\n[[rules]]\nid = 'one'\nregex = 'uno_[a-z]{8}'\nexamples = ['uno_abcdefgh']";
        let rules = check(&[("own", own), ("base", BASE)], &["one", "two"], &[]);
        assert_eq!(rules.named("one").unwrap().examples(), ["uno_abcdefgh"]);
    }

    #[test]
    fn disabled_rules_are_left_out() {
        let own = "[extend]\npath = 'base'\ndisabledRules = ['one', 'ten']";
        check(
            &[("own", own), ("base", BASE)],
            &["two"],
            &["own: `disabledRules` names \"ten\", which is no rule of what it extends"],
        );
        // The extending file's own rule of that name stays, without what it would have been merged with.
        let own = format!("{own}\n[[rules]]\nid = 'one'\nregex = 'uno_[a-z]{{8}}'");
        let rules = compile(&[("own", &own), ("base", BASE)]).unwrap();
        assert!(rules.named("one").unwrap().tags().is_empty());
    }

    #[test]
    fn chains_have_two_links() {
        let link =
            |path: &str, id: &str| format!("[extend]\npath = '{path}'\n[[rules]]\nid = '{id}'\nregex = '{id}_[a-z]+'");
        let (first, second, third) = (link("b", "aaa"), link("c", "bbb"), link("d", "ccc"));
        let last = "[[rules]]\nid = 'ccc'\nregex = 'ccc_[a-z]+'";
        check(
            &[("a", &first), ("b", &second), ("c", last)],
            &["aaa", "bbb", "ccc"],
            &[],
        );
        check_refused(
            &[("a", &first), ("b", &second), ("c", &third), ("d", last)],
            "c: key `extend`: a chain of files may extend 2 times",
        );
        check_refused(&[("a", &link("a", "aaa"))], "a chain of files may extend 2 times");
    }

    #[test]
    fn the_default_is_the_pack_that_comes_with_egret() {
        let own = "
            [extend]
            useDefault = true
            disabledRules = ['npm-token', 'acme-thing']
            [[rules]]
            id = 'github-pat'
            [[rules.allowlists]]
            stopwords = ['dummy']
            [[rules]]
            id = 'acme-other'
            tags = ['a']
            [[allowlists]]
            targetRules = ['github-oauth', 'acme-thing']
            stopwords = ['dummy']";
        let rules = compile(&[("own", own)]).unwrap();
        let builtin = Rules::builtin().unwrap();
        assert!(builtin.named("npm-token").is_some() && rules.named("npm-token").is_none());
        let notes: Vec<&str> = rules.notes().iter().map(|note| note.text.as_str()).collect();
        for note in [
            "`disabledRules` names \"acme-thing\"",
            "`targetRules` names \"acme-thing\"",
            "changes a rule that",
        ] {
            assert!(notes.iter().any(|found| found.starts_with(note)), "{note}");
        }
        let hosts = rules.named("github-pat").unwrap().audience_hosts();
        assert_eq!(hosts, builtin.named("github-pat").unwrap().audience_hosts());
        assert!(!hosts.is_empty());
        for id in ["github-pat", "github-oauth"] {
            let secret = concat!("ghp", "_0123DummyAbcDEFghiJKLmno456");
            assert!(!rules.named(id).unwrap().passes(secret.as_bytes(), None), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_extended_is_refused() {
        check_refused(
            &[("own", "[extend]\nurl = 'https://acme.test'")],
            "key `extend`: `url` is not supported",
        );
        check_refused(
            &[("own", "[extend]\npath = 'a'\nuseDefault = true")],
            "`path` and `useDefault` exclude each other",
        );
        check_refused(&[("own", "[extend]\npath = 'none'")], "`path` \"none\" can't be read");
        check_refused(&[("own", "[extend]\npath = 'bad'"), ("bad", "x = 1")], "bad: ");
        check_refused(
            &[("own", "[extend]\nuseDefaults = true")],
            "unknown field `useDefaults`",
        );
        // A rule that only changes another needs one to change.
        let own = "[extend]\npath = 'base'\n[[rules]]\nid = 'ten'\ntags = ['a']";
        check_refused(&[("own", own), ("base", BASE)], "own:4: rule \"ten\": key `regex`");
        let own =
            "[extend]\npath = 'base'\n[[rules]]\nid = 'ten'\nregex = 'ten_[a-z]+'\n[[rules.required]]\nid = 'none'";
        check_refused(
            &[("own", own), ("base", BASE)],
            "key `required`: there is no rule \"none\"",
        );
    }

    #[test]
    fn a_rule_may_require_one_that_is_disabled() {
        let own = "[extend]\npath = 'base'\ndisabledRules = ['one']\n[[rules]]\nid = 'ten'\nregex = \
                   'ten_[a-z]+'\n[[rules.required]]\nid = 'one'";
        assert!(compile(&[("own", own), ("base", BASE)]).is_ok());
    }
}
