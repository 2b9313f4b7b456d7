//! YAML text as a tree in which each key and each value knows its place.
//!
//! The tree knows nothing of what keys mean: `field` reads it, and says which key is unknown and which value has the wrong shape.
//! That is why no document type derives `Deserialize`: serde stops at the first error and can't say the path to it, and a person
//! who fixes a configuration wants all of them, each with its path.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::error::{ConfigError, Position, Problem, Shape};

/// Nesting that no configuration needs.
const MAX_DEPTH: usize = 16;
/// Keys, values, lists and tables of one file, repetitions through anchors included.
const MAX_NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Nothing,
    Boolean,
    /// A whole number that is not negative.
    Count(u64),
    /// Any other number: nothing in Egret's documents wants one.
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn shape(&self) -> Shape {
        match self.value {
            Value::Nothing => Shape::Nothing,
            Value::Boolean => Shape::Boolean,
            Value::Count(_) | Value::OtherNumber => Shape::Number,
            Value::Text(_) => Shape::Text,
            Value::List(_) => Shape::List,
            Value::Table(_) => Shape::Table,
        }
    }
}

/// Reads one YAML document.
///
/// # Errors
///
/// Not YAML, more than one document, or more than the bounds on nesting, nodes and anchors allow.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Node, ConfigError> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        ConfigError {
            file: Arc::clone(file),
            position: error.location().map(position),
            key: String::new(),
            problem: Box::new(problem(error)),
        }
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_recorded_anchor_events: MAX_NODES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 1,
        },
        // The reader of tables reports a repeated key with its path, and `<<` as an unknown key.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        // YAML 1.2: `off`, `yes` and `no` are text.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // Digits that look like a number beyond all bounds, a hash for one: its field asks for quotes.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn problem(error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    if let Error::AliasError { error, .. } = error {
        return problem(error);
    }
    let several = matches!(
        error,
        Error::MultipleDocuments { .. }
            | Error::Budget {
                breach: BudgetBreach::Documents { .. },
                ..
            }
    );
    let bound = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    match (several, bound) {
        (true, _) => Problem::SeveralDocuments,
        (false, true) => Problem::TooComplex,
        (false, false) => Problem::NotYaml(reason(error)),
    }
}

/// The library's own sentence without the place, which `ConfigError` shows in its own form.
fn reason(error: &serde_saphyr::Error) -> String {
    let text = error.render();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.split_once(" at line ")
        .map_or(line, |(reason, _)| reason)
        .to_owned()
}

fn position(at: Location) -> Position {
    Position {
        line: at.line(),
        column: at.column(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            position: position(spanned.referenced),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Boolean)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::OtherNumber, Value::Count))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = table.next_key::<Spanned<String>>()? {
            entries.push(Entry {
                key: key.value,
                position: position(key.referenced),
                node: table.next_value()?,
            });
        }
        Ok(Value::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = parse(&Arc::from("f.yaml"), text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_not_one_yaml_document_is_refused_at_its_place() {
        check("a: [", "f.yaml:1:4: not YAML: unclosed bracket '['");
        check(
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: more than one YAML document; write one document a file",
        );
        check("a: *b", "f.yaml:1:4: not YAML: alias references unknown anchor");
        check("a: !secret b", "f.yaml:1:12: not YAML: unsupported tag `!secret`");
        check(
            "a:\tb\n\tc: d",
            "f.yaml:1:4: not YAML: while scanning a plain scalar, found a tab",
        );
        check("? [a]\n: b\n", "f.yaml:1:3: not YAML: expected string scalar");
    }

    #[test]
    fn what_is_out_of_all_proportion_is_refused() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(parse(&Arc::from("f.yaml"), &deep).is_err());
        let long = "- x\n".repeat(MAX_NODES + 1);
        assert_eq!(
            parse(&Arc::from("f.yaml"), &long).unwrap_err().problem.as_ref(),
            &Problem::TooComplex
        );
        let laughs = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            text + &format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{}", level - 1); 9].join(", ")
            )
        });
        assert_eq!(
            parse(&Arc::from("f.yaml"), &laughs).unwrap_err().problem.as_ref(),
            &Problem::TooComplex
        );
    }

    #[test]
    fn words_that_older_yaml_took_for_booleans_and_octal_numbers_are_text() {
        for word in ["off", "on", "yes", "no", "0777", "1_000"] {
            let node = parse(&Arc::from("f.yaml"), word).unwrap();
            assert!(
                matches!(&node.value, Value::Text(text) if text == word),
                "{word}: {node:?}"
            );
        }
    }

    #[test]
    fn each_key_and_value_knows_its_place() {
        let node = parse(&Arc::from("f.yaml"), "a: 1\nb:\n  - {c: d}\n").unwrap();
        let Value::Table(entries) = node.value else {
            panic!("a table")
        };
        assert_eq!(entries[1].position, Position { line: 2, column: 1 });
        let Value::List(items) = &entries[1].node.value else {
            panic!("a list")
        };
        assert_eq!(items[0].position, Position { line: 3, column: 5 });
    }
}
