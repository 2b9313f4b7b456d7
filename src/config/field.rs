//! Reads a document's tree: which keys may stand where, which shape each value has, and the path to each for errors.

use std::collections::HashMap;
use std::sync::Arc;

use super::closest::closest;
use super::document::{Entry, Node, Value};
use super::error::{ConfigError, Errors, Position, Problem, Shape};

/// A value with the path of keys that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    file: &'a Arc<str>,
    key: String,
    node: &'a Node,
}

impl<'a> Field<'a> {
    /// The whole document.
    pub(super) fn root(file: &'a Arc<str>, node: &'a Node) -> Self {
        Self {
            file,
            key: String::new(),
            node,
        }
    }

    pub(super) fn file(&self) -> &'a Arc<str> {
        self.file
    }

    pub(super) fn position(&self) -> Position {
        self.node.position
    }

    /// `file:line`, for a message about another field.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.node.position.line)
    }

    pub(super) fn shape(&self) -> Shape {
        self.node.shape()
    }

    /// Whether it is a table with that key.
    pub(super) fn has(&self, key: &str) -> bool {
        matches!(&self.node.value, Value::Table(entries) if entries.iter().any(|entry| entry.key == key))
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.node.value, Value::Nothing)
    }

    /// An error at this value.
    pub(super) fn error(&self, problem: Problem) -> ConfigError {
        ConfigError {
            file: Arc::clone(self.file),
            position: Some(self.node.position),
            key: self.key.clone(),
            problem: Box::new(problem),
        }
    }

    fn wrong_shape(&self, wanted: &'static str) -> ConfigError {
        self.error(Problem::WrongShape {
            found: self.node.shape(),
            wanted,
        })
    }

    /// Text; `wanted` says what to write when it is something else.
    pub(super) fn text(&self, wanted: &'static str) -> Result<&'a str, ConfigError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::Nothing
            | Value::Boolean
            | Value::Count(_)
            | Value::OtherNumber
            | Value::List(_)
            | Value::Table(_) => Err(self.wrong_shape(wanted)),
        }
    }

    /// A whole number that is not negative, if that is what stands here.
    pub(super) fn count(&self) -> Option<u64> {
        match self.node.value {
            Value::Count(count) => Some(count),
            Value::Nothing
            | Value::Boolean
            | Value::OtherNumber
            | Value::Text(_)
            | Value::List(_)
            | Value::Table(_) => None,
        }
    }

    /// Text that `read` understands, such as `example`.
    pub(super) fn parse<T>(
        &self,
        wanted: &'static str,
        example: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let text = self.text(example)?;
        read(text).ok_or_else(|| {
            self.error(Problem::WrongText {
                found: text.to_owned(),
                wanted,
                example,
            })
        })
    }

    /// One of a closed set of words.
    pub(super) fn one_of<T: Copy>(&self, choices: &'static [&'static str], values: &[T]) -> Result<T, ConfigError> {
        let text = self.text("one of its words as text")?;
        let found = choices.iter().zip(values).find(|(choice, _)| **choice == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let closest = closest(text, choices.iter().copied());
            self.error(Problem::NotOneOf {
                found: text.to_owned(),
                closest,
                choices,
            })
        })
    }

    /// The items of a list, each with its index in the path.
    pub(super) fn list(&self, wanted: &'static str) -> Result<Vec<Field<'a>>, ConfigError> {
        let Value::List(nodes) = &self.node.value else {
            return Err(self.wrong_shape(wanted));
        };
        let item = |(index, node)| Field {
            file: self.file,
            key: format!("{}[{index}]", self.key),
            node,
        };
        Ok(nodes.iter().enumerate().map(item).collect())
    }

    /// A table that may hold the keys of `known`; nothing at all counts as a table without keys. Every other key, every repeated key
    /// and every other shape is noted.
    pub(super) fn table(&self, known: &'static [&'static str], errors: &mut Errors) -> Table<'a> {
        let entries: &[Entry] = match &self.node.value {
            Value::Table(entries) => entries,
            Value::Nothing => &[],
            Value::Boolean | Value::Count(_) | Value::OtherNumber | Value::Text(_) | Value::List(_) => {
                errors.add(self.wrong_shape("a table of `key: value` lines"));
                &[]
            }
        };
        let table = Table {
            field: self.clone(),
            entries,
        };
        table.note_bad_keys(known, errors);
        table
    }

    fn below(&self, entry: &'a Entry) -> Field<'a> {
        let key = entry.key.escape_debug();
        let key = if self.key.is_empty() {
            key.to_string()
        } else {
            format!("{}.{key}", self.key)
        };
        Field {
            file: self.file,
            key,
            node: &entry.node,
        }
    }
}

/// A table whose keys have been checked.
#[derive(Debug)]
pub(super) struct Table<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
}

impl<'a> Table<'a> {
    /// The table itself, for errors about it as a whole.
    pub(super) fn field(&self) -> &Field<'a> {
        &self.field
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| self.field.below(entry))
    }

    /// A key that must be there; its absence is noted, with the remedy.
    pub(super) fn require(&self, key: &'static str, remedy: &'static str, errors: &mut Errors) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            errors.add(self.field.error(Problem::MissingKey { key, remedy }));
        }
        field
    }

    /// The key's value as `read` understands it, or the default when the key is absent. After an error the default is a
    /// placeholder that `Errors::give` never lets out.
    pub(super) fn read_or<T>(
        &self,
        key: &str,
        default: T,
        errors: &mut Errors,
        read: impl FnOnce(&Field<'a>) -> Result<T, ConfigError>,
    ) -> T {
        self.get(key)
            .and_then(|field| errors.keep(read(&field)))
            .unwrap_or(default)
    }

    /// The items of a list, each as `read` understands it; `None` when the key is absent. Items with errors are noted and left out.
    pub(super) fn read_list<T>(
        &self,
        key: &str,
        wanted: &'static str,
        errors: &mut Errors,
        read: impl Fn(&Field<'a>) -> Result<T, ConfigError>,
    ) -> Option<Vec<T>> {
        let list = self.get(key)?.list(wanted);
        let items = errors.keep(list).unwrap_or_default();
        Some(items.iter().filter_map(|item| errors.keep(read(item))).collect())
    }

    fn note_bad_keys(&self, known: &'static [&'static str], errors: &mut Errors) {
        let mut lines: HashMap<&str, u64> = HashMap::new();
        for entry in self.entries {
            let problem = if let Some(first) = lines.get(entry.key.as_str()) {
                Problem::RepeatedKey { first: *first }
            } else if !known.contains(&entry.key.as_str()) {
                let closest = closest(&entry.key, known.iter().copied());
                Problem::UnknownKey { closest, known }
            } else {
                lines.insert(&entry.key, entry.position.line);
                continue;
            };
            let error = self.field.below(entry).error(problem);
            errors.add(ConfigError {
                position: Some(entry.position),
                ..error
            });
        }
    }
}
