//! An allowlist file: rules, denies and the examples that say what they are meant to do.

use std::sync::Arc;

use super::closest::closest;
use super::document;
use super::error::{ConfigError, Errors, Problem};
use super::field::{Field, Table};
use super::probe::{Probe, is_token_byte};
use super::workload::plain_name;
use crate::policy::{Allowlist, HostPattern, PathPattern, Scheme, SourcePosition, Treatment};
use crate::redact::Rules;

const LIST: &[&str] = &["name", "description", "rules", "deny", "examples"];
const RULE: &[&str] = &["host", "ports", "schemes", "methods", "paths", "treatment", "credentials"];
const DENY: &[&str] = &["host", "ports", "schemes", "methods", "paths"];
const EXAMPLE: &[&str] = &["allow", "deny"];
const SCHEMES: &[&str] = &["https", "http"];
const TREATMENTS: &[&str] = &["intercept", "tunnel"];

/// An allowlist with its examples and its place.
#[derive(Debug)]
pub struct LoadedList {
    /// The rules.
    pub list: Arc<Allowlist>,
    /// What the rules are meant to do.
    pub examples: Vec<Example>,
    /// Where its name stands.
    pub source: SourcePosition,
}

impl LoadedList {
    /// The error of bearing another list's name.
    pub(super) fn repeats(&self, first: &Self) -> ConfigError {
        let SourcePosition { file, line, column } = &self.source;
        ConfigError {
            file: Arc::clone(file),
            position: Some(super::Position { line: *line, column: *column }),
            key: "name".to_owned(),
            problem: Problem::RepeatedName {
                name: self.list.name.to_string(),
                first: format!("{}:{}", first.source.file, first.source.line),
            },
        }
    }
}

/// A request, and what the list alone must say to it.
#[derive(Debug, Clone)]
pub struct Example {
    /// What the list must say.
    pub verdict: Verdict,
    /// The request.
    pub probe: Probe,
    /// Where the example stands.
    pub source: SourcePosition,
}

/// What an example expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes.
    Allow,
    /// The request is refused.
    Deny,
}
