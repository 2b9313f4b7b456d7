//! Rule packs: gitleaks' TOML, with fields of our own, compiled whole or not at all.

use std::sync::Arc;

use super::automaton::Automaton;
use super::checks::entropy;
use super::error::{NO_ALLOWLISTS, NO_BEGINNING, RULES_MAX, RuleError, refuse_unusable};
use super::pack::{Entry, Pack, Severity};
use super::prefilter::Prefilter;
use super::replacement::is_filled;

/// How far a match is followed, in bytes, unless the rule says otherwise.
const WINDOW: usize = 4 * 1024;
/// The largest window a rule may ask for: the bound of what a stream holds back.
const WINDOW_MAX: usize = 16 * 1024;
/// Where a rule stands among its [`Rules`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(u16);

impl RuleIndex {
    pub(super) fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// A compiled set of rules: immutable, shared by `Arc`.
pub struct Rules {
    rules: Vec<Rule>,
    pub(super) prefilter: Prefilter,
}

/// One kind of secret.
pub struct Rule {
    id: Arc<str>,
    entry: Entry,
    automaton: Automaton,
}

impl Rules {
    /// The pack that comes with Egret.
    pub const BUILTIN_TOML: &str = concat!(
        include_str!("kinds/cloud.toml"),
        include_str!("kinds/database.toml"),
        include_str!("kinds/code.toml"),
        include_str!("kinds/ci.toml"),
        include_str!("kinds/registry.toml"),
        include_str!("kinds/models.toml"),
        include_str!("kinds/search.toml"),
        include_str!("kinds/chat.toml"),
        include_str!("kinds/mail.toml"),
        include_str!("kinds/payment.toml"),
        include_str!("kinds/wallet.toml"),
        include_str!("kinds/monitoring.toml"),
        include_str!("kinds/identity.toml"),
        include_str!("kinds/social.toml"),
        include_str!("kinds/work.toml"),
        include_str!("kinds/places.toml"),
        include_str!("kinds/keys.toml"),
        include_str!("kinds/generic.toml"),
    );

    /// Compiles the pack that comes with Egret.
    pub fn builtin() -> Result<Self, RuleError> {
        Self::compile(&[("builtin", Self::BUILTIN_TOML)])
    }

    /// Compiles packs, each with the name that its errors carry. A rule keeps its place: of two equally long matches
    /// the earlier rule's wins. `keywords` is read and not needed: how a match begins follows from its expression.
    pub fn compile(packs: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut compiled = Self {
            rules: Vec::new(),
            prefilter: Prefilter::new(),
        };
        for (origin, text) in packs {
            compiled.take_pack(origin, text)?;
        }
        if compiled.rules.is_empty() {
            return Err(RuleError::Empty);
        }
        compiled.prefilter.finish().map_err(|error| RuleError::Regex {
            origin: "all packs".to_owned(),
            rule: "*".to_owned(),
            problem: error.to_string(),
        })?;
        Ok(compiled)
    }

    fn take_pack(&mut self, origin: &str, text: &str) -> Result<(), RuleError> {
        let pack: Pack = toml::from_str(text).map_err(|source| RuleError::Parse {
            origin: origin.to_owned(),
            source: Box::new(source),
        })?;
        let keys = [
            (
                "extend",
                pack.extend.is_some(),
                "list each pack under redaction.rules instead",
            ),
            ("allowlist", pack.allowlist.is_some(), NO_ALLOWLISTS),
            ("allowlists", pack.allowlists.is_some(), NO_ALLOWLISTS),
        ];
        refuse_unusable(origin, "*", &keys)?;
        for entry in pack.rules {
            self.take_rule(origin, entry)?;
        }
        Ok(())
    }

    fn take_rule(&mut self, origin: &str, entry: Entry) -> Result<(), RuleError> {
        if self.rules.iter().any(|rule| *rule.id == entry.id) {
            return Err(RuleError::Duplicate {
                origin: origin.to_owned(),
                rule: entry.id,
            });
        }
        let index = u16::try_from(self.rules.len())
            .ok()
            .filter(|_| self.rules.len() < RULES_MAX)
            .map(RuleIndex)
            .ok_or_else(|| RuleError::TooMany {
                origin: origin.to_owned(),
            })?;
        let rule = Rule::compile(origin, entry)?;
        self.prefilter
            .add(index, &rule.automaton)
            .map_err(|_| RuleError::unusable(origin, &rule.id, "regex", NO_BEGINNING))?;
        self.rules.push(rule);
        Ok(())
    }

    /// The rule at `index`.
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(index.position())
    }

    /// The rule of that id.
    pub fn named(&self, id: &str) -> Option<&Rule> {
        self.iter().find(|rule| rule.id() == id)
    }

    /// All rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// How many rules there are; at least 1.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Never: no rules is an error of [`Rules::compile`].
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    fn compile(origin: &str, entry: Entry) -> Result<Self, RuleError> {
        let window = entry.window.unwrap_or(WINDOW);
        let keys = [
            ("id", entry.id.is_empty(), "give the rule a name"),
            (
                "path",
                entry.path.is_some(),
                "traffic has no file paths; leave the key, or the rule, out",
            ),
            ("allowlist", entry.allowlist.is_some(), NO_ALLOWLISTS),
            ("allowlists", entry.allowlists.is_some(), NO_ALLOWLISTS),
            (
                "required",
                entry.required.is_some(),
                "rules that need one another are not supported; leave it out",
            ),
            (
                "regex",
                entry.regex.is_none(),
                "a rule without an expression finds nothing; give one",
            ),
            (
                "window",
                !(64..=WINDOW_MAX).contains(&window),
                "choose 64 to 16384 bytes",
            ),
            ("entropy", !entry.entropy.is_finite(), "choose 0 to 8 bits"),
        ];
        refuse_unusable(origin, &entry.id, &keys)?;
        let automaton =
            Automaton::compile(entry.regex.as_deref().unwrap_or_default()).map_err(|error| RuleError::Regex {
                origin: origin.to_owned(),
                rule: entry.id.clone(),
                problem: error.to_string(),
            })?;
        let no_group = entry.secret_group > automaton.group_count();
        let key = [("secretGroup", no_group, "the expression has no group of that number")];
        refuse_unusable(origin, &entry.id, &key)?;
        Ok(Self {
            id: entry.id.as_str().into(),
            entry,
            automaton,
        })
    }

    /// Its name, unique among its rules.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// What kind of secret it finds, for people.
    pub fn description(&self) -> &str {
        &self.entry.description
    }

    /// Host patterns where a secret of this kind is at home, as allowlists write them; a lone `*` means any host that
    /// the policy allows.
    pub fn audience_hosts(&self) -> &[String] {
        &self.entry.audience.hosts
    }

    /// Names of the headers, in lower case, in which it is at home there.
    pub fn audience_headers(&self) -> &[String] {
        &self.entry.audience.headers
    }

    /// Names of the query keys in whose values it is at home there.
    pub fn audience_queries(&self) -> &[String] {
        &self.entry.audience.queries
    }

    /// Whether it is at home in the path of requests there, as a webhook's secret is.
    pub fn audience_path(&self) -> bool {
        self.entry.audience.path
    }

    /// What somebody who finds such a secret can do with it.
    pub fn severity(&self) -> Severity {
        self.entry.severity
    }

    /// Its tags.
    pub fn tags(&self) -> &[String] {
        &self.entry.tags
    }

    /// Texts in which it finds a secret.
    pub fn examples(&self) -> &[String] {
        &self.entry.examples
    }

    /// Texts in which no rule finds a secret.
    pub fn counter_examples(&self) -> &[String] {
        &self.entry.counter_examples
    }

    pub(super) fn automaton(&self) -> &Automaton {
        &self.automaton
    }

    pub(super) fn window(&self) -> usize {
        self.entry.window.unwrap_or(WINDOW)
    }

    pub(super) fn secret_group(&self) -> usize {
        self.entry.secret_group
    }

    /// How many bytes at the beginning of a secret every secret of the kind shares.
    pub(super) fn public_prefix(&self, secret: &[u8]) -> usize {
        let shared = |prefix: &&String| secret.starts_with(prefix.as_bytes());
        self.entry
            .prefix
            .iter()
            .filter(shared)
            .map(String::len)
            .max()
            .unwrap_or(0)
    }

    /// Whether `secret` satisfies what the rule asks besides its expression, and isn't a replacement already.
    pub(super) fn passes(&self, secret: &[u8]) -> bool {
        let (_, hidden) = secret
            .split_at_checked(self.public_prefix(secret))
            .unwrap_or((b"", secret));
        !is_filled(hidden)
            && (self.entry.entropy <= 0.0 || entropy(hidden) > self.entry.entropy)
            && self.entry.check.is_none_or(|check| check.holds(secret))
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(pack: &str, says: &str) {
        let error = Rules::compile(&[("own.toml", pack)]).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        check_refused("", "no rules");
        check_refused("[[rules]]\nid = 1", "own.toml");
        check_refused("[[rules]]\nid = 'x'\nregexp = 'a'", "unknown field `regexp`");
        check_refused("[[rules]]\nid = 'x'\nregex = '('", "own.toml: rule \"x\": key `regex`");
        check_refused("[[rules]]\nid = 'x'\nregex = '[a-z]{32}'", "at least three bytes");
        check_refused("[[rules]]\nid = 'x'\nregex = 'ab'", "at least three bytes");
        check_refused("[[rules]]\nid = 'x'\npath = 'a'\nregex = 'abcd'", "key `path`");
        check_refused("[[rules]]\nid = 'x'", "key `regex`");
        check_refused(
            "[[rules]]\nid = 'x'\nregex = 'abcd'\nsecretGroup = 1",
            "key `secretGroup`",
        );
        check_refused("[[rules]]\nid = 'x'\nregex = 'abcd'\nwindow = 100000", "key `window`");
        check_refused("[extend]\nuseDefault = true", "rule \"*\": key `extend`");
        check_refused("[[allowlists]]\nregexes = ['a']", "key `allowlists`");
        let rule = "[[rules]]\nid = 'x'\nregex = 'abcd'\n";
        check_refused(&format!("{rule}{rule}"), "is there twice");
        check_refused(
            &format!("{rule}[[rules.allowlists]]\nstopwords = ['a']"),
            "key `allowlists`",
        );
    }

    #[test]
    fn gitleaks_fields_are_read() {
        let pack = r"
            title = 'own'
            [[rules]]
            id = 'corp-token'
            description = 'A token'
            regex = '(?i)corp_([a-z0-9]{20})'
            secretGroup = 1
            entropy = 2.5
            keywords = ['corp_']
            tags = ['corp']";
        let rules = Rules::compile(&[("own.toml", pack), ("builtin", Rules::BUILTIN_TOML)]).unwrap();
        let rule = rules.named("corp-token").unwrap();
        assert_eq!((rule.description(), rule.tags()), ("A token", &["corp".to_owned()][..]));
        assert!(rules.named("github-pat").is_some());
    }
}
