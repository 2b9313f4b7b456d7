//! Rule packs: gitleaks' TOML, with betterleaks' fields and fields of our own, compiled whole or not at all.
//!
//! The format is made for files in a repository. Traffic has no files, no commits, and no end to wait for, so some of it
//! means less here. Whatever is left out makes more count as a secret, never less, and [`Rules::notes`] names it:
//!
//! * `path` beside a `regex` does not narrow the rule; a rule with a `path` alone finds nothing.
//! * `required` rules are not waited for: the rule counts without them. They have to exist all the same.
//! * `skipReport` rules are looked for when another rule requires them: the second half of a pair is a secret as well. Others
//!   are not.
//! * `paths` and `commits` of allowlists never hold; see `allowlist` for the rest of them.
//! * `filter` is understood in part, see `filter`; `prefilter`, `tokenEfficiency`, `validate` and `analyze` not at all.
//! * `keywords` matter only to a rule whose matches begin with no fixed text: one of them has to stand in the match or before
//!   it in the same body or message.
//!
//! A comment such as `gitleaks:allow` in what is sent means nothing: whoever can write a secret can write it.
//!
//! Packs that are listed side by side find what each finds; where two have a rule of one name, both are looked for, and what
//! one says of its audience and its prefix holds for the other as well. To change a rule, extend the pack.

use std::sync::Arc;

use super::allowlist::{Allowlist, AllowlistError};
use super::automaton::{Automaton, ExpressionError};
use super::checks::{Check, entropy};
use super::error::{RuleError, SIZE_MAX, refuse_unusable};
use super::extend::{Merged, Placed, Source};
use super::filter::Filter;
use super::gather::{Gathered, Shared};
use super::numbers::Number;
use super::pack::{AllowlistEntry, Audience, Entry, Severity};
use super::prefilter::Prefilter;
use super::replacement::is_filled;
use super::reshape::{Ending, reshape, without_counts};
use super::translate::translate;

/// How far a match is followed, in bytes, unless the rule says otherwise.
const WINDOW: usize = 4 * 1024;
/// The largest window a rule may ask for: the bound of what a stream holds back.
const WINDOW_MAX: usize = 16 * 1024;
/// Rules of such names take any word for a secret, so what may follow it is left as written.
const GENERIC: &str = "generic";

/// Where a rule stands among its [`Rules`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(u16);

impl RuleIndex {
    /// No rule's: of values that were told never to leave.
    pub(super) const KNOWN: Self = Self(u16::MAX);

    pub(super) fn position(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn nth(nth: u16) -> Self {
        Self(nth)
    }
}

/// A compiled set of rules: immutable, shared by `Arc`.
pub struct Rules {
    all: Vec<Rule>,
    pub(super) prefilter: Prefilter,
    notes: Vec<Note>,
}

/// One kind of secret.
pub struct Rule {
    id: Arc<str>,
    entry: Entry,
    /// A secret needs more than this, in bits a byte.
    entropy: f64,
    allowlists: Vec<Arc<Allowlist>>,
    automaton: Automaton,
}

/// Something in a pack that means less in traffic than in a file, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The pack, and the line where that is known.
    pub origin: String,
    /// The rule; `*` for the pack itself.
    pub rule: String,
    /// What, and what becomes of it.
    pub text: String,
}

impl Note {
    pub(super) fn of_file(origin: &str, text: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            rule: "*".to_owned(),
            text: text.to_owned(),
        }
    }

    pub(super) fn of_rule(rule: &Placed, text: &str) -> Self {
        Self {
            origin: rule.place.clone(),
            rule: rule.entry.id().to_owned(),
            text: text.to_owned(),
        }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rule.as_str() {
            "*" => write!(f, "{}: {}", self.origin, self.text),
            rule => write!(f, "{}: rule {rule:?}: {}", self.origin, self.text),
        }
    }
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

    /// Compiles packs that extend no files, each with the name that its errors carry.
    pub fn compile(packs: &[(&str, &str)]) -> Result<Self, RuleError> {
        let sources: Vec<Source> = packs
            .iter()
            .map(|(origin, text)| Source {
                origin: (*origin).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Self::compile_with(&sources, &mut |_, _| None)
    }

    /// Compiles packs. `load` reads the file that a pack extends: it is given the pack's origin and the path as the pack
    /// writes it. A rule keeps its place: of two equally long matches the earlier rule's wins.
    pub fn compile_with(
        packs: &[Source],
        load: &mut dyn FnMut(&str, &str) -> Option<Source>,
    ) -> Result<Self, RuleError> {
        Self::compile_within(SIZE_MAX, packs, load)
    }

    /// The same with so many bytes for all automata.
    fn compile_within(
        room: usize,
        packs: &[Source],
        load: &mut dyn FnMut(&str, &str) -> Option<Source>,
    ) -> Result<Self, RuleError> {
        let mut notes = Vec::new();
        let merged = packs.iter().map(|pack| Merged::read(pack, load, &mut notes));
        let merged = merged.collect::<Result<Vec<Merged>, RuleError>>()?;
        let mut gathered = Gathered::within(room, notes);
        gathered.take_packs(merged, packs)?;
        let (all, prefilter, notes) = gathered.searched_for()?;
        Ok(Self { all, prefilter, notes })
    }

    /// What of the packs means less in traffic than in a file, or nothing.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The rule at `index`.
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.all.get(index.position())
    }

    /// The rule of that id.
    pub fn named(&self, id: &str) -> Option<&Rule> {
        self.iter().find(|rule| rule.id() == id)
    }

    /// All rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    /// How many rules there are; at least 1.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Never: no rules is an error of [`Rules::compile`].
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Compiles an expression into a table: as it is, or else without its large counts. What has no table of a sensible size
/// either way gets none.
fn automaton(expression: &str) -> Result<Automaton, ExpressionError> {
    Automaton::table(expression)
        .or_else(|error| match without_counts(expression) {
            Ok(wider) if wider != expression => Automaton::table(&wider),
            _ => Err(error),
        })
        .or_else(|_| Automaton::lazy(expression))
}

pub(super) fn allowlists(
    place: &str,
    rule: &str,
    entries: &[AllowlistEntry],
) -> Result<Vec<Arc<Allowlist>>, RuleError> {
    let error = |AllowlistError { key, problem }| RuleError::Allowlist {
        origin: place.to_owned(),
        rule: rule.to_owned(),
        key,
        problem,
    };
    let compiled = entries
        .iter()
        .map(|entry| Allowlist::compile(entry).map(Arc::new).map_err(error));
    compiled.collect()
}

impl Rule {
    /// Compiles a rule; `None` for one that is not looked for.
    pub(super) fn compile(rule: Placed, shared: &Shared) -> Result<Option<Self>, RuleError> {
        let Placed { place, mut entry } = rule;
        let id: Arc<str> = entry.id().into();
        let window = entry.window.unwrap_or(WINDOW);
        let keys = [
            ("id", id.trim().is_empty(), "give the rule a name"),
            (
                "regex",
                entry.regex.is_empty() && entry.path.is_empty(),
                "a rule without an expression finds nothing; give one",
            ),
            (
                "window",
                !(64..=WINDOW_MAX).contains(&window),
                "choose 64 to 16384 bytes",
            ),
            ("entropy", !entry.entropy.is_finite(), "choose 0 to 8 bits"),
        ];
        refuse_unusable(&place, &id, &keys)?;
        let regex = |problem: String| RuleError::Regex {
            origin: place.clone(),
            rule: id.to_string(),
            problem,
        };
        let ending = if id.starts_with(GENERIC) {
            Ending::AsWritten
        } else {
            Ending::Relaxed
        };
        let ours = translate(&entry.regex).map_err(|error| regex(error.to_string()))?;
        let reshaped = reshape(&ours, ending).map_err(|error| regex(error.to_string()))?;
        let no_group = entry.secret_group > reshaped.groups;
        let key = [("secretGroup", no_group, "the expression has no group of that number")];
        refuse_unusable(&place, &id, &key)?;
        let mut exceptions = allowlists(&place, &id, &entry.allowlists)?;
        let mut bound = entry.entropy.max(shared.entropy);
        if let Some(filter) = entry.filter.take() {
            let filter = Filter::parse(&filter);
            exceptions.extend(allowlists(&place, &id, &filter.allowlists)?);
            bound = bound.max(filter.entropy);
        }
        if entry.regex.is_empty() || entry.skip_report {
            return Ok(None);
        }
        exceptions.extend(shared.allowlists.iter().map(Arc::clone));
        exceptions.retain(|allowlist| allowlist.applies());
        let automaton = automaton(&reshaped.expression).map_err(|error| regex(error.to_string()))?;
        Ok(Some(Self {
            id,
            entry,
            entropy: bound,
            allowlists: exceptions,
            automaton,
        }))
    }

    /// Its name.
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
        self.audience().map_or(&[], |audience| &audience.hosts)
    }

    /// Names of the headers, in lower case, in which it is at home there.
    pub fn audience_headers(&self) -> &[String] {
        self.audience().map_or(&[], |audience| &audience.headers)
    }

    /// Names of the query keys in whose values it is at home there.
    pub fn audience_queries(&self) -> &[String] {
        self.audience().map_or(&[], |audience| &audience.queries)
    }

    /// Whether it is at home in the path of requests there, as a webhook's secret is.
    pub fn audience_path(&self) -> bool {
        self.audience().is_some_and(|audience| audience.path)
    }

    fn audience(&self) -> Option<&Audience> {
        self.entry.audience.as_ref()
    }

    /// What somebody who finds such a secret can do with it.
    pub fn severity(&self) -> Severity {
        self.entry.severity.unwrap_or_default()
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

    /// What numbers its secrets are, if they are numbers.
    pub(super) fn number(&self) -> Option<Number> {
        self.entry.check.and_then(Check::number)
    }

    pub(super) fn keywords(&self) -> &[String] {
        &self.entry.keywords
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

    /// Whether it goes by a name that says little, so that another rule that finds the same knows better.
    pub(super) fn is_generic(&self) -> bool {
        self.entry.tags.iter().any(|tag| tag == GENERIC)
    }

    /// Whether what it finds is packed text, in which there may be secrets.
    pub(super) fn is_packed(&self) -> bool {
        self.entry.check == Some(Check::Gzip)
    }

    /// Whether `secret` satisfies what the rule asks besides its expression, and isn't a replacement already. Where the match around
    /// it is not known, allowlists that look at that don't hold.
    pub(super) fn passes(&self, secret: &[u8], matched: Option<&[u8]>) -> bool {
        let (_, hidden) = secret
            .split_at_checked(self.public_prefix(secret))
            .unwrap_or((b"", secret));
        !is_filled(hidden)
            && (self.entropy <= 0.0 || entropy(hidden) > self.entropy)
            && self.entry.check.is_none_or(|check| check.holds(secret))
            && !self.allowlists.iter().any(|allowlist| allowlist.holds(secret, matched))
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
    use crate::redact::{FingerprintKey, Redactor, Replacement};

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
        check_refused(
            "[[rules]]\nid = 'x'\nregex = '('",
            "own.toml:2: rule \"x\": key `regex`: near byte 0",
        );
        check_refused(
            "[[rules]]\nid = 'x'\nregex = 'acme(?=x)'",
            "key `regex`: near byte 4: look-around",
        );
        check_refused(
            "\n[[rules]]\nid = 'x'\nregex = 'acme\\C'",
            "own.toml:3: rule \"x\": key `regex`: at byte 4",
        );
        check_refused("[[rules]]\nid = 'x'\nregex = '[a-z]{15}'", "at least three bytes");
        check_refused("[[rules]]\nid = 'x'\nregex = 'ab'", "at least three bytes");
        check_refused(
            "[[rules]]\nid = 'x'\nregex = 'a?'\nkeywords = ['b']",
            "at least three bytes",
        );
        check_refused("[[rules]]\nid = 'x'", "key `regex`");
        check_refused("[[rules]]\nid = ' '\nregex = 'abcd'", "key `id`");
        check_refused(
            "[[rules]]\nid = 'x'\nregex = 'abcd'\nsecretGroup = 1",
            "key `secretGroup`",
        );
        check_refused("[[rules]]\nid = 'x'\nregex = 'abcd'\nwindow = 100000", "key `window`");
        check_refused("[[rules]]\nid = 'x'\nregex = 'abcd'\nentropy = nan", "key `entropy`");
        let rule = "[[rules]]\nid = 'x'\nregex = 'abcd'\n";
        check_refused(&format!("{rule}{rule}"), "own.toml:5: rule \"x\" is there twice");
        check_refused(&format!("{rule}[[rules.required]]\nid = 'y'"), "there is no rule \"y\"");
        check_refused(
            &format!("{rule}[[rules.allowlists]]\ndescription = 'none'"),
            "own.toml:2: rule \"x\": key `allowlists`: an allowlist needs",
        );
        check_refused(
            &format!("{rule}[[rules.allowlists]]\nregexes = ['(']"),
            "rule \"x\": key `regexes`",
        );
        check_refused(
            &format!("{rule}[rules.allowlist]\nstopwords = ['a']\n[[rules.allowlists]]\nstopwords = ['a']"),
            "exclude each other",
        );
        check_refused(
            &format!("{rule}[[allowlists]]\nregexTarget = 'all'\nregexes = ['a']"),
            "key `regexTarget`",
        );
        check_refused(
            &format!("{rule}[[allowlists]]\ntargetRules = ['y']\nstopwords = ['a']"),
            "key `targetRules`: there is no rule \"y\"",
        );
    }

    fn rules(pack: &str) -> Rules {
        Rules::compile(&[("own.toml", pack)]).unwrap()
    }

    /// What is left of `text`, with `#` for each secret.
    fn left(rules: Rules, text: &str) -> String {
        let template: Replacement = "#".parse().unwrap();
        let redactor = Redactor::new(Arc::new(rules), template, FingerprintKey::new(&[7; 32]));
        let redacted = redactor.value(text.as_bytes(), &|_| false);
        redacted.map_or(text.to_owned(), |(left, _)| String::from_utf8(left).unwrap())
    }

    #[track_caller]
    fn check_left(pack: &str, text: &str, expected: &str) {
        assert_eq!(left(rules(pack), text), expected, "{pack}");
    }

    /// Every field, and the shapes of expressions that the format's users write.
    const EVERYTHING: &str = r#"
title = "Acme"
description = "All of it"
minVersion = "v8.25.0"
betterleaksMinVersion = "v1.6.0"
prefilter = 'matchesAny(get(attributes, "path", ""), [`\.png$`])'
filter = 'matchesAny(finding["secret"], [`^x+$`]) || containsAny(finding["secret"], ["placeholder"])'

[extend]
disabledRules = ["none"]

[[allowlists]]
description = "global"
paths = ['(?i)\.(?:bmp|gif)$']
regexes = ['^\$(?:\d+|{\d+})$']
stopWords = ["0123456789abcdef"]
commits = ["abc"]

[[allowlists]]
targetRules = ["acme-token"]
condition = "AND"
regexTarget = "secret"
regexes = ['^acme_f']
stopwords = ["FAKE"]

[[rules]]
id = "acme-token"
description = "An Acme token"
regex = '''(?i)[\w.-]{0,50}?(?:acme)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}(acme_[a-z0-9]{16})(?:[\x60'"\s;]|\\[nr]|$)'''
secretGroup = 1
entropy = 2
keywords = ["acme"]
tags = ["acme", "token"]
path = '(?i)\.env$'
specificity = 10
confidence = "high"
tokenEfficiency = true
validate = '{"result": "unknown"}'
filter = 'entropy(finding["secret"]) <= 2.5 || failsTokenEfficiency(finding["secret"])'
[[rules.required]]
id = "acme-id"
withinLines = 5
withinColumns = 10
[[rules.allowlists]]
regexTarget = "line"
regexes = ['(?i)example']

[[rules]]
id = "acme-id"
regex = 'acme-id-[0-9]{8}'
skipReport = true

[[rules]]
id = "acme-file"
path = '\.acme$'

[[rules]]
id = "acme-old"
regex = 'acme-old-[0-9]{8}'
components = [{ id = "acme-id", optional = true, within = "-5L,+2L" }]
[rules.allowlist]
paths = ['\.md$']
"#;

    #[test]
    fn a_file_with_every_field_loads() {
        let rules = rules(EVERYTHING);
        let rule = rules.named("acme-token").unwrap();
        assert_eq!(
            (rule.description(), rule.tags()),
            ("An Acme token", &["acme".to_owned(), "token".to_owned()][..])
        );
        let ids: Vec<&str> = rules.iter().map(Rule::id).collect();
        assert_eq!(ids, ["acme-token", "acme-id", "acme-old"]);
    }

    #[test]
    fn what_means_less_in_traffic_is_noted() {
        let notes: Vec<String> = rules(EVERYTHING).notes().iter().map(Note::to_string).collect();
        let expected = [
            "own.toml: `prefilter` picks files",
            "own.toml: `disabledRules` does nothing",
            "own.toml:27: rule \"acme-token\": `path` does not narrow it",
            "own.toml:27: rule \"acme-token\": `required` rules are not waited for",
            "own.toml:27: rule \"acme-token\": `tokenEfficiency` is not evaluated",
            "own.toml:27: rule \"acme-token\": this part of its `filter` is not evaluated: failsTokenEfficiency",
            "own.toml:54: rule \"acme-file\": only looks at file names",
            "own.toml:58: rule \"acme-old\": `required` rules are not waited for",
            "own.toml:58: rule \"acme-old\": an allowlist of it depends on paths",
        ];
        for (note, expected) in notes.iter().zip(expected) {
            assert!(note.starts_with(expected), "{note} is not {expected}");
        }
        assert_eq!(notes.len(), expected.len(), "{notes:#?}");
    }

    #[test]
    fn all_criteria_decide_together() {
        for (text, expected) in [
            ("ACME_KEY = 'acme_0d9f8a7b6c5e4f32'", "ACME_KEY = '#'"),
            // What follows the token is in no list of files' endings.
            ("acme=acme_0d9f8a7b6c5e4f32&next=1", "acme=#&next=1"),
            ("acme: acme_0d9f8a7b6c5e4f32</key>", "acme: #</key>"),
            ("acme: acme_0d9f8a7b6c5e4f321", "acme: acme_0d9f8a7b6c5e4f321"),
            // Too little entropy for the rule's filter, though enough for its bound.
            ("acme=acme_aaaaaaaaaaaabbbb", "acme=acme_aaaaaaaaaaaabbbb"),
            // A stop word of all rules; and of this one, with and without the other criterion.
            ("acme=acme_0123456789abcdef", "acme=acme_0123456789abcdef"),
            ("acme=acme_f0fake7b6c5e4f32", "acme=acme_f0fake7b6c5e4f32"),
            ("acme=acme_00fake7b6c5e4f32", "acme=#"),
            // Nobody waits for a rule's partner, which is looked for by itself.
            ("acme-id-12345678", "#"),
            ("acme-old-12345678", "#"),
            // A comment in what is sent means nothing.
            ("acme-old-12345678 gitleaks:allow", "# gitleaks:allow"),
        ] {
            check_left(EVERYTHING, text, expected);
        }
    }

    #[test]
    fn rules_that_report_nothing_are_looked_for_when_another_requires_them() {
        let half = "[[rules]]\nid = 'half'\nregex = 'half-[0-9]{8}'\nskipReport = true\n";
        let whole = "[[rules]]\nid = 'whole'\nregex = 'whole-[0-9]{8}'\n";
        let requires = "required = [{ id = 'half' }]\n";
        let text = "half-12345678 whole-12345678";
        check_left(&format!("{half}{whole}"), text, "half-12345678 #");
        check_left(&format!("{half}{whole}{requires}"), text, "# #");
        let notes = |pack: &str| rules(pack).notes().iter().map(Note::to_string).collect::<String>();
        assert!(notes(&format!("{half}{whole}")).contains("\"half\": has `skipReport`"));
        assert!(!notes(&format!("{half}{whole}{requires}")).contains("`skipReport`"));
    }

    #[test]
    fn all_rules_together_have_a_limit() {
        let source = Source {
            origin: "own.toml".to_owned(),
            text: "[[rules]]\nid = 'x'\nregex = 'abcd'\n[[rules]]\nid = 'y'\nregex = 'abcd[a-f0-9]{2000}'".to_owned(),
        };
        let compile = |room| Rules::compile_within(room, std::slice::from_ref(&source), &mut |_, _| None);
        assert_eq!(compile(SIZE_MAX).unwrap().len(), 2);
        let error = compile(16 << 10).unwrap_err().to_string();
        assert!(
            error.starts_with("own.toml:5: rule \"y\": with it all rules take more than 256 MiB"),
            "{error}"
        );
    }

    #[test]
    fn entropy_has_to_be_greater() {
        let rule = |bound: &str| format!("[[rules]]\nid = 'x'\nregex = 'secret=([a-z]{{4}})'\nentropy = {bound}");
        check_left(&rule("1"), "secret=abab", "secret=abab");
        check_left(&rule("0.99"), "secret=abab", "secret=#");
        check_left(&rule("2"), "secret=abcd", "secret=abcd");
    }

    #[test]
    fn the_secret_is_the_named_group_or_the_first_that_is_not_empty() {
        let rule = |group: usize| format!("[[rules]]\nid = 'x'\nregex = 'secret=(a*)(b+)(c+)'\nsecretGroup = {group}");
        check_left(&rule(0), "secret=abc", "secret=#bc");
        check_left(&rule(0), "secret=bc", "secret=#c");
        check_left(&rule(3), "secret=abc", "secret=ab#");
        check_left("[[rules]]\nid = 'x'\nregex = 'secret=[a-z]+'", "secret=abc", "#");
    }

    #[test]
    fn generic_rules_keep_their_ending() {
        let ending = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;
        let rule = |id: &str| format!("[[rules]]\nid = '{id}'\nregex = '''secret=([a-z]{{4}}){ending}'''");
        check_left(&rule("acme"), "secret=abcd&x", "secret=#&x");
        check_left(&rule("generic-secret"), "secret=abcd&x", "secret=abcd&x");
        check_left(&rule("generic-secret"), "secret=abcd;x", "secret=#;x");
    }

    #[test]
    fn allowlists_look_at_the_match_where_it_is_known() {
        let rules = rules(
            "[[rules]]\nid = 'x'\nregex = 'secret=([a-z]+)'\n[[rules.allowlists]]\nregexTarget = 'match'\nregexes = ['^secret=a']",
        );
        let rule = rules.named("x").unwrap();
        assert!(!rule.passes(b"abc", Some(b"secret=abc")));
        assert!(rule.passes(b"bc", Some(b"secret=bc")));
        assert!(rule.passes(b"abc", None));
    }

    #[test]
    fn other_spellings_of_keys_are_taken() {
        let pack = "[[rules]]\nid = 'x'\nregex = 'secret=(a*)(b+)'\nsecretgroup = 2\n[rules.allowList]\nregextarget = \
                    'match'\nstopWords = ['bbb']";
        check_left(pack, "secret=abb", "secret=a#");
        check_left(pack, "secret=abbb", "secret=abbb");
    }

    #[test]
    fn packs_side_by_side_find_what_each_finds() {
        let ours =
            "[[rules]]\nid = 'acme'\nregex = 'acme_[a-z]{8}'\naudience = {hosts = ['acme.test'], headers = ['token']}";
        let theirs = "[[rules]]\nid = 'acme'\nregex = '(?i)acme:([a-z]{8})'";
        for packs in [[("a", ours), ("b", theirs)], [("b", theirs), ("a", ours)]] {
            let rules = Rules::compile(&packs).unwrap();
            assert!(rules.iter().all(|rule| rule.audience_hosts() == ["acme.test"]));
            assert_eq!(left(rules, "acme_abcdefgh acme:abcdefgh"), "# acme:#");
        }
    }
}
