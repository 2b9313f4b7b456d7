//! A rule pack as it is written: gitleaks' TOML, and the fields of our own.
//!
//! Keys that can't be honoured are read as well, so that `rules` can refuse them by name and say what to do instead.

use serde::{Deserialize, Deserializer};

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
    #[serde(default, rename = "minVersion")]
    _min_version: String,
    pub(super) extend: Option<toml::Value>,
    pub(super) allowlist: Option<toml::Value>,
    pub(super) allowlists: Option<toml::Value>,
    #[serde(default)]
    pub(super) rules: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) regex: Option<String>,
    #[serde(default)]
    pub(super) secret_group: usize,
    #[serde(default)]
    pub(super) entropy: f64,
    #[serde(default)]
    pub(super) severity: Severity,
    #[serde(default, rename = "keywords")]
    _keywords: Vec<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    pub(super) path: Option<toml::Value>,
    pub(super) allowlist: Option<toml::Value>,
    pub(super) allowlists: Option<toml::Value>,
    pub(super) required: Option<toml::Value>,
    #[serde(default)]
    pub(super) prefix: Vec<String>,
    #[serde(default)]
    pub(super) audience: Audience,
    pub(super) check: Option<Check>,
    pub(super) window: Option<usize>,
    #[serde(default, deserialize_with = "without_seams")]
    pub(super) examples: Vec<String>,
    #[serde(default, rename = "counter_examples", deserialize_with = "without_seams")]
    pub(super) counter_examples: Vec<String>,
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

#[derive(Default, Deserialize)]
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

fn without_seams<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    Ok(texts.into_iter().map(|text| text.replace(SEAM, "")).collect())
}
