//! A rule pack as it is written: gitleaks' TOML, betterleaks' fields, and the fields of our own.
//!
//! Keys that mean nothing in traffic are read as well, so that a user's file loads as it is: `extend`, `rules` and
//! `allowlist` say what becomes of each. The usual other spellings of a key are taken too, since the original reads keys
//! without regard to case. Any other key is an error.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::checks::Check;

/// Stands between the halves of an example token, so that no scanner takes the pack for a leak. Dropped on reading.
const SEAM: &str = "<>";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pack {
    #[serde(default, rename = "title")]
    _title: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, rename = "minVersion", alias = "minversion")]
    _min_version: String,
    #[serde(default, rename = "betterleaksMinVersion")]
    _betterleaks_min_version: String,
    #[serde(default)]
    pub(super) extend: Extend,
    #[serde(alias = "allowList")]
    pub(super) allowlist: Option<AllowlistEntry>,
    #[serde(default, alias = "allowLists")]
    pub(super) allowlists: Vec<AllowlistEntry>,
    pub(super) prefilter: Option<IgnoredAny>,
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) rules: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Extend {
    #[serde(default)]
    pub(super) path: String,
    #[serde(default, alias = "URL")]
    pub(super) url: String,
    #[serde(default, alias = "usedefault")]
    pub(super) use_default: bool,
    #[serde(default, alias = "disabledrules")]
    pub(super) disabled_rules: Vec<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AllowlistEntry {
    #[serde(default, rename = "description")]
    pub(super) _description: String,
    #[serde(default)]
    pub(super) condition: String,
    #[serde(default)]
    pub(super) commits: Vec<String>,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    /// Where betterleaks found the text; like `paths`, nothing that traffic has.
    #[serde(default)]
    pub(super) resources: Vec<String>,
    #[serde(default, alias = "regextarget")]
    pub(super) regex_target: String,
    #[serde(default)]
    pub(super) regexes: Vec<String>,
    #[serde(default, alias = "stopWords")]
    pub(super) stopwords: Vec<String>,
    /// Only of a pack's own allowlists.
    #[serde(default, alias = "targetrules")]
    pub(super) target_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: Spanned<String>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) regex: String,
    #[serde(default, alias = "secretgroup")]
    pub(super) secret_group: usize,
    #[serde(default)]
    pub(super) entropy: f64,
    #[serde(default)]
    pub(super) keywords: Vec<String>,
    pub(super) severity: Option<Severity>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) path: String,
    #[serde(alias = "allowList")]
    pub(super) allowlist: Option<AllowlistEntry>,
    #[serde(default, alias = "allowLists")]
    pub(super) allowlists: Vec<AllowlistEntry>,
    #[serde(default, alias = "components")]
    pub(super) required: Vec<Required>,
    #[serde(default, alias = "skipreport")]
    pub(super) skip_report: bool,
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) token_efficiency: bool,
    #[serde(rename = "specificity")]
    pub(super) _specificity: Option<IgnoredAny>,
    #[serde(rename = "confidence")]
    pub(super) _confidence: Option<IgnoredAny>,
    #[serde(rename = "validate")]
    pub(super) _validate: Option<IgnoredAny>,
    #[serde(rename = "analyze")]
    pub(super) _analyze: Option<IgnoredAny>,
    #[serde(rename = "revoke")]
    pub(super) _revoke: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) prefix: Vec<String>,
    #[serde(default)]
    pub(super) audience: Option<Audience>,
    pub(super) check: Option<Check>,
    pub(super) window: Option<usize>,
    #[serde(default, deserialize_with = "without_seams")]
    pub(super) examples: Vec<String>,
    #[serde(default, rename = "counter_examples", deserialize_with = "without_seams")]
    pub(super) counter_examples: Vec<String>,
}

/// Another rule that has to find something near.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Required {
    pub(super) id: String,
    #[serde(rename = "withinLines", alias = "withinlines")]
    _within_lines: Option<u32>,
    #[serde(rename = "withinColumns", alias = "withincolumns")]
    _within_columns: Option<u32>,
    #[serde(rename = "optional")]
    _optional: Option<bool>,
    #[serde(rename = "within")]
    _within: Option<String>,
}

/// What somebody who finds a secret can do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Little: it is public by design, or reads what is public.
    Low,
    /// Use a service in its owner's name, or read some of what is kept there. What a rule that says nothing has.
    #[default]
    Medium,
    /// Read or change what is kept at one service.
    High,
    /// Take over an account or a machine, or spend money.
    Critical,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audience {
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    pub(super) headers: Vec<String>,
    #[serde(default)]
    pub(super) queries: Vec<String>,
    #[serde(default)]
    pub(super) path: bool,
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        self.id.get_ref()
    }
}

fn without_seams<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    Ok(texts.into_iter().map(|text| text.replace(SEAM, "")).collect())
}
