//! An allowlist file: rules, denies and the examples that say what they are meant to do.

use std::sync::Arc;

use super::closest::closest;
use super::document;
use super::error::{ConfigError, Errors, Problem};
use super::field::{Field, Table};
use super::probe::Probe;
use super::workload::plain_name;
use crate::policy::{
    Allowlist, Deny, HostPattern, PathPattern, Rule, RuleError, RuleId, RuleKind, RuleParts, Scheme, Selectors,
    SourcePosition, Treatment,
};
use crate::redact::Rules;

const LIST: &[&str] = &["name", "description", "rules", "deny", "examples"];
const RULE: &[&str] = &[
    "host",
    "ports",
    "schemes",
    "methods",
    "paths",
    "treatment",
    "credentials",
];
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
    shipped: bool,
}

impl LoadedList {
    /// Whether it is one of those embedded in the binary.
    pub fn is_shipped(&self) -> bool {
        self.shipped
    }

    /// The error of bearing another list's name.
    pub(super) fn repeats(&self, first: &Self) -> ConfigError {
        let SourcePosition { file, line, column } = &self.source;
        ConfigError {
            file: Arc::clone(file),
            position: Some(super::Position {
                line: *line,
                column: *column,
            }),
            key: "name".to_owned(),
            problem: Box::new(Problem::RepeatedName {
                name: self.list.name().to_string(),
                first: format!("{}:{}", first.source.file, first.source.line),
            }),
        }
    }
}

/// An allowlist file's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// How the file is named in messages.
    pub(super) file: &'a Arc<str>,
    pub(super) yaml: &'a str,
    pub(super) shipped: bool,
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

/// Reads one allowlist file. `rules` are the redactor's, whose names `credentials` uses; without them those names aren't
/// checked, since something is wrong with the rules already.
pub(super) fn read(text: &Text<'_>, rules: Option<&Rules>, errors: &mut Errors) -> Option<LoadedList> {
    let Text { file, yaml, shipped } = *text;
    let node = errors.keep(document::parse(file, yaml))?;
    let table = Field::root(file, &node).table(LIST, errors);
    let name = table.require("name", "give the list the name that workloads allow it by", errors)?;
    let source = position(&name);
    let name: Arc<str> = Arc::from(errors.keep(plain_name(&name))?);
    let description = table.read_or("description", "", errors, |field| field.text("a sentence"));
    let items = |key, errors: &mut Errors| {
        let field = table.get(key);
        field
            .and_then(|field| errors.keep(field.list("a list of rules")))
            .unwrap_or_default()
    };
    let mut allowed = Vec::new();
    for (index, item) in items("rules", errors).iter().enumerate() {
        let id = id(&name, RuleKind::Allow, index);
        allowed.extend(rule(item, id, rules, errors));
    }
    let mut denied = Vec::new();
    for (index, item) in items("deny", errors).iter().enumerate() {
        let id = id(&name, RuleKind::Deny, index);
        denied.extend(deny(item, id, errors));
    }
    let examples = items("examples", errors)
        .iter()
        .filter_map(|item| example(item, errors))
        .collect();
    let list = Arc::new(Allowlist::new(name, description, allowed, denied));
    Some(LoadedList {
        list,
        examples,
        source,
        shipped,
    })
}

fn id(list: &Arc<str>, kind: RuleKind, index: usize) -> RuleId {
    RuleId {
        list: Arc::clone(list),
        kind,
        number: index + 1,
    }
}

fn position(field: &Field<'_>) -> SourcePosition {
    let super::Position { line, column } = field.position();
    SourcePosition {
        file: Arc::clone(field.file()),
        line,
        column,
    }
}

fn rule(field: &Field<'_>, id: RuleId, rules: Option<&Rules>, errors: &mut Errors) -> Option<Rule> {
    let before = errors.count();
    let table = field.table(RULE, errors);
    let treatments = &[Treatment::Intercept, Treatment::Tunnel];
    let treatment = table.read_or("treatment", Treatment::Intercept, errors, |field| {
        field.one_of(TREATMENTS, treatments)
    });
    let kind = |field: &Field<'_>| secret_kind(field, rules);
    let credentials = table.read_list("credentials", "a list of kinds of secret, or [] for none", errors, kind);
    let selectors = selectors(&table, errors)?;
    if errors.count() > before {
        // What is left of it may contradict itself where the whole would not.
        return None;
    }
    let rule = Rule::new(RuleParts {
        id,
        source: position(field),
        selectors,
        treatment,
        credentials,
    });
    errors.keep(rule.map_err(|error| rule_error(&table, error)))
}

fn deny(field: &Field<'_>, id: RuleId, errors: &mut Errors) -> Option<Deny> {
    let before = errors.count();
    let table = field.table(DENY, errors);
    let selectors = selectors(&table, errors)?;
    if errors.count() > before {
        return None;
    }
    let deny = Deny::new(id, position(field), selectors);
    errors.keep(deny.map_err(|error| rule_error(&table, error)))
}

/// The error at the key that it is about.
fn rule_error(table: &Table<'_>, error: RuleError) -> ConfigError {
    let key = match &error {
        RuleError::Empty(key) | RuleError::TunnelSelects(key) => key,
        RuleError::Port => "ports",
        RuleError::Method(_) | RuleError::MethodCase(_) | RuleError::MethodConnect => "methods",
        RuleError::TunnelHttp => "schemes",
    };
    let field = table.get(key);
    field.as_ref().unwrap_or(table.field()).error(Problem::Rule(error))
}

fn selectors(table: &Table<'_>, errors: &mut Errors) -> Option<Selectors> {
    let hosts = table.require(
        "host",
        "name the host, or *.example.com for every name below example.com",
        errors,
    );
    let hosts = hosts.and_then(|field| errors.keep(host(&field)));
    let ports = table.read_list("ports", "a list of ports such as [443]", errors, port);
    let schemes = table.read_list("schemes", "a list such as [https]", errors, |field| {
        field.one_of(SCHEMES, &[Scheme::Https, Scheme::Http])
    });
    let methods = table.read_list("methods", "a list such as [GET, POST]", errors, |field| {
        Ok(Box::from(field.text(
            "a method such as GET, in quotes if YAML takes it for something else",
        )?))
    });
    let paths = table.read_list("paths", "a list such as [\"/repos/**\"]", errors, path);
    Some(Selectors {
        hosts: hosts?,
        ports,
        schemes,
        methods,
        paths,
    })
}

/// A host pattern.
pub(super) fn host(field: &Field<'_>) -> Result<HostPattern, ConfigError> {
    let text = field.text("a host such as api.example.com, in quotes")?;
    HostPattern::parse(text).map_err(|error| {
        field.error(Problem::Pattern {
            found: text.to_owned(),
            error,
        })
    })
}

fn path(field: &Field<'_>) -> Result<PathPattern, ConfigError> {
    let text = field.text("a path such as /repos/**, in quotes")?;
    PathPattern::parse(text).map_err(|error| {
        field.error(Problem::Pattern {
            found: text.to_owned(),
            error,
        })
    })
}

fn port(field: &Field<'_>) -> Result<u16, ConfigError> {
    let wrong = || {
        field.error(Problem::WrongShape {
            found: field.shape(),
            wanted: "a number from 1 to 65535",
        })
    };
    let count = field.count().ok_or_else(wrong)?;
    let port = u16::try_from(count).ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        let [found, least, most] = [count.to_string(), "1".to_owned(), u16::MAX.to_string()];
        field.error(Problem::OutOfRange { found, least, most })
    })
}

fn secret_kind(field: &Field<'_>, rules: Option<&Rules>) -> Result<Box<str>, ConfigError> {
    let name = field.text("a kind of secret, by the name of its redaction rule")?;
    let Some(rules) = rules.filter(|rules| rules.named(name).is_none()) else {
        return Ok(Box::from(name));
    };
    let closest = closest(name, rules.iter().map(crate::redact::Rule::id)).map(str::to_owned);
    let known = "the kinds are the ids of the rules under redaction.rules".to_owned();
    Err(field.error(Problem::UnknownName {
        kind: "kind of secret",
        found: name.to_owned(),
        closest,
        known,
    }))
}

fn example(field: &Field<'_>, errors: &mut Errors) -> Option<Example> {
    let before = errors.count();
    let table = field.table(EXAMPLE, errors);
    let (verdict, request) = match (table.get("allow"), table.get("deny")) {
        (Some(request), None) => (Verdict::Allow, request),
        (None, Some(request)) => (Verdict::Deny, request),
        (Some(_), Some(_)) | (None, None) => {
            if errors.count() == before {
                errors.add(field.error(Problem::ExampleVerdict));
            }
            return None;
        }
    };
    let text = errors.keep(request.text("a request such as \"GET https://host/path\""))?;
    let probe = Probe::parse_line(text).map_err(|error| {
        request.error(Problem::NotARequest {
            found: text.to_owned(),
            error,
        })
    });
    Some(Example {
        verdict,
        probe: errors.keep(probe)?,
        source: position(field),
    })
}
