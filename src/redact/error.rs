//! Why rule packs are refused, each with the key and the remedy.

/// How many rules there may be.
pub(super) const RULES_MAX: usize = 4096;

/// How many bytes all rules' automata may take together.
pub(super) const SIZE_MAX: usize = 256 << 20;

/// Why a pack of rules is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Not TOML, or not the shape of a rule pack.
    #[error("{origin}: {source}")]
    Parse {
        /// The pack.
        origin: String,
        /// What and where, with the line.
        source: Box<toml::de::Error>,
    },
    /// Redaction without rules would let everything pass.
    #[error("no rules: a pack needs at least one [[rules]] entry")]
    Empty,
    /// Beyond the limit.
    #[error("{origin}: more than {RULES_MAX} rules")]
    TooMany {
        /// The pack.
        origin: String,
    },
    /// All rules' automata together are too large.
    #[error(
        "{origin}: rule {rule:?}: with it all rules take more than {} MiB of memory; shorten the counts of their \
         expressions, or leave rules out", SIZE_MAX >> 20
    )]
    TooLarge {
        /// The pack.
        origin: String,
        /// The rule that went beyond the limit.
        rule: String,
    },
    /// Two rules of one name.
    #[error("{origin}: rule {rule:?} is there twice; give one of them another id")]
    Duplicate {
        /// The pack with the second of them.
        origin: String,
        /// The id.
        rule: String,
    },
    /// The expression can't be compiled.
    #[error("{origin}: rule {rule:?}: key `regex`: {problem}")]
    Regex {
        /// The pack.
        origin: String,
        /// The rule.
        rule: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An allowlist, or an expression or word of it, that makes no sense.
    #[error("{origin}: rule {rule:?}: key `{key}`: {problem}")]
    Allowlist {
        /// The pack, and the line where that is known.
        origin: String,
        /// The rule; `*` for the pack itself.
        rule: String,
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that no rule has.
    #[error("{origin}: rule {rule:?}: key `{key}`: there is no rule {unknown:?}; check its spelling")]
    Unknown {
        /// The pack, and the line where that is known.
        origin: String,
        /// The rule; `*` for the pack itself.
        rule: String,
        /// The key at fault.
        key: &'static str,
        /// The name.
        unknown: String,
    },
    /// What a pack builds on can't be had.
    #[error("{origin}: key `extend`: {problem}")]
    Extend {
        /// The pack.
        origin: String,
        /// What is wrong, and what to do instead.
        problem: String,
    },
    /// A field or value that can't be honoured.
    #[error("{origin}: rule {rule:?}: key `{key}`: {remedy}")]
    Unusable {
        /// The pack.
        origin: String,
        /// The rule; `*` for the pack itself.
        rule: String,
        /// The key at fault.
        key: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
}

impl RuleError {
    pub(super) fn unusable(origin: &str, rule: &str, key: &'static str, remedy: &'static str) -> Self {
        Self::Unusable {
            origin: origin.to_owned(),
            rule: rule.to_owned(),
            key,
            remedy,
        }
    }
}

pub(super) const NO_BEGINNING: &str = "its matches can't be looked for: let every match begin with a text of at least \
    three bytes that is fixed save for a few choices, such as \"key_\", or give the rule `keywords`, or name it under \
    extend.disabledRules";

/// Refuses the first of `keys` (key, whether it is at fault, remedy) that is at fault.
pub(super) fn refuse_unusable(
    origin: &str,
    rule: &str,
    keys: &[(&'static str, bool, &'static str)],
) -> Result<(), RuleError> {
    match keys.iter().find(|(_, there, _)| *there) {
        None => Ok(()),
        Some((key, _, remedy)) => Err(RuleError::unusable(origin, rule, key, remedy)),
    }
}
