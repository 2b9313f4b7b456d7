//! The `redaction` key: rules, replacement and surfaces; and where each kind of secret is at home.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::closest::closest;
use super::error::{ConfigError, Errors, Position, Problem};
use super::field::{Field, Table};
use super::load::Reading;
use super::{ExampleKeys, SurfaceMode, Surfaces, known_secrets};
use crate::policy::{self, Host, HostPattern};
use crate::redact::{self, KnownSecrets, Replacement, ReplacementError, RuleError, Rules, Source};

const KEYS: &[&str] = &["rules", "replacement", "surfaces", "known_secrets", "examples"];
const SURFACES: &[&str] = &["body", "header", "url", "websocket"];
const MODES: &[&str] = &["redact", "block", "alert", "off"];
const MODE_VALUES: &[SurfaceMode] = &[
    SurfaceMode::Redact,
    SurfaceMode::Block,
    SurfaceMode::Alert,
    SurfaceMode::Off,
];
const EXAMPLES: &[&str] = &["redact", "pass"];
const BUILTIN: &str = "builtin";
const SAME_LENGTH: &[&str] = &["same_length"];

/// Any host that the policy allows.
const ANY_HOST: &str = "*";

/// The hosts where each kind of secret is at home.
#[derive(Debug, Clone, Default)]
pub struct Audiences(HashMap<Box<str>, Vec<Audience>>);

#[derive(Debug, Clone)]
enum Audience {
    AnyHost,
    Hosts(HostPattern),
}

impl Audiences {
    /// Whether a secret of this kind may go to the host at all; in which header, query key or path is said by the kind itself.
    ///
    /// `rule` is the allow rule that decided: what it says under `credentials` counts alone, and without that the kind's own hosts.
    pub fn admits(&self, kind: &redact::Rule, rule: Option<&policy::Rule>, host: &Host) -> bool {
        if let Some(kinds) = rule.and_then(policy::Rule::credentials) {
            return kinds.iter().any(|named| **named == *kind.id());
        }
        self.0
            .get(kind.id())
            .is_some_and(|audience| audience.iter().any(|part| part.has(host)))
    }

    fn of(rules: &Rules, field: &Field<'_>, errors: &mut Errors) -> Self {
        let mut audiences = HashMap::new();
        for rule in rules.iter() {
            let hosts = rule
                .audience_hosts()
                .iter()
                .map(|text| Audience::parse(rule.id(), text, field));
            audiences.insert(
                Box::from(rule.id()),
                hosts.filter_map(|host| errors.keep(host)).collect(),
            );
        }
        Self(audiences)
    }
}

impl Audience {
    fn parse(rule: &str, text: &str, field: &Field<'_>) -> Result<Self, ConfigError> {
        if text == ANY_HOST {
            return Ok(Self::AnyHost);
        }
        let error = |error| {
            field.error(Problem::Rules(format!(
                "rule {rule:?}: key `audience.hosts`: {text:?}: {error}"
            )))
        };
        HostPattern::parse(text).map(Self::Hosts).map_err(error)
    }

    fn has(&self, host: &Host) -> bool {
        match self {
            Self::AnyHost => true,
            Self::Hosts(pattern) => pattern.matches(host),
        }
    }
}

/// What `redaction` says; the redactor is made of it when nothing else is wrong.
#[derive(Debug)]
pub(super) struct Parts {
    /// `None` after an error.
    pub(super) rules: Option<Arc<Rules>>,
    pub(super) audiences: Audiences,
    pub(super) replacement: Replacement,
    pub(super) surfaces: Surfaces,
    pub(super) known: KnownSecrets,
    pub(super) examples: ExampleKeys,
}

pub(super) fn read(root: &Table<'_>, reading: &mut Reading) -> Parts {
    let Some(field) = root.get("redaction") else {
        let rules = compile(&[builtin()], root.field(), reading);
        return Parts::new(
            rules,
            Replacement::SameLength,
            Surfaces::default(),
            root.field(),
            &mut reading.errors,
        );
    };
    let table = field.table(KEYS, &mut reading.errors);
    let known = known_secrets::read(&table, reading);
    let examples = table.read_or("examples", ExampleKeys::Redact, &mut reading.errors, |examples| {
        examples.one_of(EXAMPLES, &[ExampleKeys::Redact, ExampleKeys::Pass])
    });
    let replacement = table.read_or("replacement", Replacement::SameLength, &mut reading.errors, replacement);
    let surfaces = table
        .get("surfaces")
        .map(|field| surfaces(&field, &mut reading.errors))
        .unwrap_or_default();
    let rules = rules(&table, reading);
    Parts {
        known,
        examples,
        ..Parts::new(rules, replacement, surfaces, &field, &mut reading.errors)
    }
}

impl Parts {
    fn new(
        rules: Option<Arc<Rules>>,
        replacement: Replacement,
        surfaces: Surfaces,
        field: &Field<'_>,
        errors: &mut Errors,
    ) -> Self {
        let audiences = rules
            .as_deref()
            .map(|rules| Audiences::of(rules, field, errors))
            .unwrap_or_default();
        Self {
            rules,
            audiences,
            replacement,
            surfaces,
            known: KnownSecrets::default(),
            examples: ExampleKeys::Redact,
        }
    }
}

fn rules(table: &Table<'_>, reading: &mut Reading) -> Option<Arc<Rules>> {
    let Some(field) = table.get("rules") else {
        return compile(&[builtin()], table.field(), reading);
    };
    let items = reading.errors.keep(field.list("a list such as [builtin]"))?;
    if items.is_empty() {
        let remedy = "write [builtin]; to switch redaction off, say so under surfaces";
        reading.errors.add(field.error(Problem::EmptyList { remedy }));
    }
    let packs: Option<Vec<Source>> = items.iter().map(|item| pack(item, reading)).collect();
    compile(&packs?, &field, reading)
}

fn builtin() -> Source {
    Source {
        origin: BUILTIN.to_owned(),
        text: Rules::BUILTIN_TOML.to_owned(),
    }
}

fn pack(field: &Field<'_>, reading: &mut Reading) -> Option<Source> {
    let name = reading
        .errors
        .keep(field.text("builtin, or a file in the gitleaks rule format"))?;
    if name == BUILTIN {
        return Some(builtin());
    }
    let path: PathBuf = reading.beside_configuration(name);
    file(&path, field, reading)
}

fn file(path: &Path, field: &Field<'_>, reading: &mut Reading) -> Option<Source> {
    let text = reading.text(path, field)?;
    Some(Source {
        origin: path.display().to_string(),
        text,
    })
}

/// Compiles packs and what they extend; a path that a pack extends is beside the pack.
fn compile(packs: &[Source], field: &Field<'_>, reading: &mut Reading) -> Option<Arc<Rules>> {
    if packs.is_empty() {
        return None;
    }
    let mut sources = packs.to_vec();
    let mut unread = false;
    let compiled = Rules::compile_with(packs, &mut |origin, path| {
        let folder = Path::new(origin).parent().unwrap_or(Path::new(""));
        let source = file(&folder.join(path), field, reading);
        unread |= source.is_none();
        sources.extend(source.clone());
        source
    });
    match compiled {
        Ok(rules) => Some(Arc::new(rules)),
        Err(error) => {
            // Why a file can't be read was noted with the reading.
            if !unread {
                reading.errors.add(rules_error(&error, &sources, field));
            }
            None
        }
    }
}

/// Not TOML: at its place in the rules file. Anything else: at the key that lists the files.
fn rules_error(error: &RuleError, sources: &[Source], field: &Field<'_>) -> ConfigError {
    let RuleError::Parse { origin, source } = error else {
        return field.error(Problem::Rules(error.to_string()));
    };
    let read = sources.iter().find(|read| read.origin == *origin);
    let before = read
        .zip(source.span())
        .and_then(|(read, span)| read.text.get(..span.start));
    ConfigError {
        file: Arc::from(origin.as_str()),
        position: before.map(end_of),
        key: String::new(),
        problem: Box::new(Problem::Rules(source.message().to_owned())),
    }
}

fn end_of(text: &str) -> Position {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1);
    let line = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: count(text.matches('\n').count()),
        column: count(line.chars().count()),
    }
}

fn replacement(field: &Field<'_>) -> Result<Replacement, ConfigError> {
    let text = field.text("same_length, or a template such as \"[redacted:{rule}]\"")?;
    // A slip in the one fixed word would be taken for a template.
    let near = closest(text, SAME_LENGTH.iter().copied());
    if near.is_some_and(|word| word != text) {
        return Err(field.error(Problem::NotOneOf {
            found: text.to_owned(),
            closest: near,
            choices: SAME_LENGTH,
        }));
    }
    text.parse()
        .map_err(|error: ReplacementError| field.error(Problem::Rules(error.to_string())))
}

fn surfaces(field: &Field<'_>, errors: &mut Errors) -> Surfaces {
    let table = field.table(SURFACES, errors);
    let mut mode = |key| table.read_or(key, SurfaceMode::Redact, errors, |mode| mode.one_of(MODES, MODE_VALUES));
    Surfaces {
        body: mode("body"),
        header: mode("header"),
        url: mode("url"),
        websocket: mode("websocket"),
    }
}
