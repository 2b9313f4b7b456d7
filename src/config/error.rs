//! What can be wrong with a configuration, said so that it can be put right: file, line, column, key, what is wrong and what
//! would be right.
//!
//! A value that may be a secret (a credential's hash, a key's text) is never repeated in a message.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use super::probe::ProbeError;
use crate::policy::{PatternError, RuleError};

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

/// One thing wrong with the configuration.
///
/// Shown as `egret.yaml:12:7: workloads[0].match.networks[1]: what is wrong; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file as the user named it, or `egret.default.yaml` and `allowlists/…` for what is embedded.
    pub file: Arc<str>,
    /// Where in the file; absent when the file as a whole is meant.
    pub position: Option<Position>,
    /// The key's path, such as `workloads[0].match.networks[1]`; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: Box<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names and values are somebody's text: none of it may steer the terminal.
        let mut f = WithoutControls(f);
        write!(f, "{}", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Writes control characters as escapes.
struct WithoutControls<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for WithoutControls<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: one error at least, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors in the order in which a person would meet them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The errors met so far. Reading goes on after an error, so that one run names them all; what was read is given out only
/// by [`Errors::give`], when there are none.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<ConfigError>);

impl Errors {
    pub(super) fn add(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// The value, or `None` after noting the error.
    pub(super) fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// How many errors were met.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value when nothing was wrong, else every error: files in the order in which they were met, then by line. A value is
    /// `None` only after an error.
    pub(super) fn give<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        if let (Some(value), true) = (value, self.0.is_empty()) {
            return Ok(value);
        }
        let mut files: Vec<Arc<str>> = Vec::new();
        for error in &self.0 {
            if !files.contains(&error.file) {
                files.push(Arc::clone(&error.file));
            }
        }
        self.0
            .sort_by_key(|error| (files.iter().position(|file| *file == error.file), error.position));
        Err(ConfigErrors(self.0))
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// What a YAML value is, in a person's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `key:` with nothing behind it, or `null`.
    Nothing,
    /// `true` or `false`.
    Boolean,
    /// An unquoted number.
    Number,
    /// Text, quoted or not.
    Text,
    /// `[…]` or lines that begin with `-`.
    List,
    /// `{…}` or indented `key: value` lines.
    Table,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Table => "a table",
        })
    }
}

/// What is wrong and, behind the semicolon, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The configuration file itself can't be used.
    #[error("{0}")]
    Unusable(FileProblem),
    /// A file that a key names can't be used.
    #[error("{path}: {problem}")]
    File {
        /// The file as it was opened.
        path: String,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The YAML parser refused the file.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// `---` began a second document.
    #[error("more than one YAML document; write one document a file")]
    SeveralDocuments,
    /// The bounds on nesting, nodes and anchors.
    #[error("nested too deeply, or too many values; no configuration needs that much")]
    TooComplex,
    /// A key that Egret doesn't know.
    #[error("unknown key; {}", one_of_known(*.closest, .known, "key"))]
    UnknownKey {
        /// The key nearest in spelling.
        closest: Option<&'static str>,
        /// Every key that may stand here.
        known: &'static [&'static str],
    },
    /// A key stands twice in one table.
    #[error("this key stands on line {first} already; keep one of them")]
    RepeatedKey {
        /// The line of the first one.
        first: u64,
    },
    /// A key that must be there isn't.
    #[error("`{key}` is missing; {remedy}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What to write.
        remedy: &'static str,
    },
    /// A value of another shape than the key's.
    #[error("found {found}; write {wanted}")]
    WrongShape {
        /// The shape found.
        found: Shape,
        /// What the key wants, with an example.
        wanted: &'static str,
    },
    /// A text that the key can't take.
    #[error("{found:?} is not {wanted}; write {example}")]
    WrongText {
        /// The text found.
        found: String,
        /// What the key wants.
        wanted: &'static str,
        /// An example of it.
        example: &'static str,
    },
    /// A text outside a closed set.
    #[error("{found:?} is not one of its values; {}", one_of_known(*.closest, .choices, "value"))]
    NotOneOf {
        /// The text found.
        found: String,
        /// The value nearest in spelling.
        closest: Option<&'static str>,
        /// Every value that may stand here.
        choices: &'static [&'static str],
    },
    /// A list that must not be empty.
    #[error("the list is empty, which would match nothing; {remedy}")]
    EmptyList {
        /// What to write instead.
        remedy: &'static str,
    },
    /// A limit outside its range.
    #[error("{found} is outside its range; write {least} to {most}")]
    OutOfRange {
        /// The value found.
        found: String,
        /// The least value.
        least: String,
        /// The greatest value.
        most: String,
    },
    /// A feature that this release doesn't have.
    #[error("{feature} is not in this release; remove it, so that nothing relies on it")]
    NotInThisRelease {
        /// What the setting asks for.
        feature: &'static str,
    },
    /// A workload whose `match` names nothing.
    #[error(
        "nothing to match by; give networks, a credential or a certificate, and networks: [0.0.0.0/0, \"::/0\"] if anyone may"
    )]
    EmptyMatch,
    /// A network with bits set behind its prefix.
    #[error("an address with bits behind its prefix; write the network, {network}, or the address alone")]
    HostBits {
        /// The network without those bits.
        network: String,
    },
    /// Two listeners on one address.
    #[error("{one} and {other} have the same address; each listener needs one of its own")]
    SameListener {
        /// The key of the one.
        one: &'static str,
        /// The key of the other.
        other: &'static str,
    },
    /// A workload of clients with certificates, where nobody is asked for one.
    #[error("no client is asked for a certificate; set proxy.tls.client_ca")]
    NoClientCa,
    /// The DNS listener among the servers that Egret asks.
    #[error("the same address as one of dns.servers: Egret would ask itself; name another server, or listen elsewhere")]
    AsksItself,
    /// A name used twice.
    #[error("the name {name:?} is taken by {first}; give it another")]
    RepeatedName {
        /// The name.
        name: String,
        /// Where the first one stands: `file:line`.
        first: String,
    },
    /// A name of an allowlist or of a kind of secret that doesn't exist.
    #[error("no {kind} has the name {found:?}; {}", suggestion(.closest.as_deref(), .known))]
    UnknownName {
        /// `allowlist` or `kind of secret`.
        kind: &'static str,
        /// The name found.
        found: String,
        /// The name nearest in spelling.
        closest: Option<String>,
        /// What there is instead, as a sentence part.
        known: String,
    },
    /// A credential's hash that isn't one. What was found may be the secret itself and is not repeated.
    #[error(
        "not the SHA-256 of a secret; write 64 hexadecimal digits, as `printf %s \"$SECRET\" | sha256sum` prints them"
    )]
    NotSha256,
    /// A host or a path that is no pattern.
    #[error("{found:?}: {error}")]
    Pattern {
        /// The text found.
        found: String,
        /// What is wrong with it.
        error: PatternError,
    },
    /// A rule that contradicts itself.
    #[error(transparent)]
    Rule(RuleError),
    /// An example that says nothing, or two things.
    #[error("an example has one key; write {{allow: \"GET https://host/path\"}} or {{deny: …}}")]
    ExampleVerdict,
    /// An example that isn't a request.
    #[error("{found:?}: {error}; write \"GET https://host/path\" or \"CONNECT host:port\"")]
    NotARequest {
        /// The text found.
        found: String,
        /// What is wrong with it.
        error: ProbeError,
    },
    /// A rules file, or a replacement, that the redactor refuses.
    #[error("{0}")]
    Rules(String),
    /// A known secret that can't be taken. Its value is never repeated.
    #[error("{0}")]
    KnownSecrets(String),
    /// The state folder can't be made or used.
    #[error("the state folder {path} can't be used: {kind}; make it writable for Egret alone, or set state_dir")]
    State {
        /// The folder or the file in it.
        path: String,
        /// Why.
        kind: io::ErrorKind,
    },
}

/// What is wrong with a file or a folder as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// It could not be read.
    #[error("can't be read: {0}; check its path and permissions")]
    Unreadable(io::ErrorKind),
    /// A folder, a pipe or a device where a file should be.
    #[error("not a regular file; name a file")]
    NotAFile,
    /// A folder without any `*.yaml` or `*.yml`.
    #[error("no *.yaml or *.yml file in this folder; add one, or write allowlists: [] to have none")]
    EmptyFolder,
    /// A folder of known secrets without a file.
    #[error("no file in this folder; mount the secret there, or leave the folder out")]
    NoValues,
    /// A folder with more files than any configuration needs.
    #[error("more than {limit} files; split the folder")]
    TooManyFiles {
        /// The bound on one folder's files.
        limit: usize,
    },
    /// Longer than any file of a configuration.
    #[error("longer than {limit} bytes; split it")]
    TooLarge {
        /// The bound on one file, in bytes.
        limit: u64,
    },
    /// It holds NUL or isn't UTF-8.
    #[error("not text; save it as UTF-8 without NUL")]
    NotText,
    /// A PEM file without a certificate, or with one that can't be read.
    #[error("no certificate in it; it must hold PEM blocks that begin with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A PEM file without a private key that can be used.
    #[error("no private key in it; it must hold a PEM block that begins with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// A key that is another certificate's.
    #[error("not the key of the certificate; name the two that belong together")]
    OtherKey,
}

/// "did you mean `x`?" or the whole set.
fn one_of_known(closest: Option<&'static str>, all: &[&'static str], what: &str) -> String {
    match (closest, all) {
        (Some(closest), _) => format!("did you mean `{closest}`?"),
        (None, [only]) => format!("the only {what} here is `{only}`"),
        (None, all) => format!("the {what}s here are {}", all.join(", ")),
    }
}

fn suggestion(closest: Option<&str>, known: &str) -> String {
    closest.map_or_else(|| known.to_owned(), |closest| format!("did you mean `{closest}`?"))
}
