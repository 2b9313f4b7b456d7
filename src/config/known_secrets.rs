//! `redaction.known_secrets`: files whose values must never leave.
//!
//! An entry is a folder, as Kubernetes mounts a Secret (each file a value), a dotenv file (`NAME=value` lines), or any other file, which
//! is one value. A value of several lines, such as a PEM key, counts whole and line by line. What is read is wiped from memory once its
//! tags are made. Values that stand in ordinary traffic are refused with file, name and reason, and never repeated.
//!
//! Not read: JSON and YAML, which count as one value each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{ConfigError, FileProblem, Problem};
use super::field::{Field, Table};
use super::load::Reading;
use super::{source, state};
use crate::redact::{KnownSecrets, VALUE_BYTES_MAX, VALUES_MAX, Weakness};

/// A line of a value of several lines counts by itself from this length on, in bytes.
const LINE_BYTES: usize = 20;
/// What begins the first and the last line of a PEM block, which are no secret.
const PEM_RULE: &[u8] = b"-----";

type Secret = Zeroizing<Vec<u8>>;

/// A value and where it stands: its name in a dotenv file.
struct Named {
    name: Option<String>,
    value: Secret,
}

/// Reads what `known_secrets` names. After an error what comes back is a placeholder that is never let out.
pub(super) fn read(table: &Table<'_>, reading: &mut Reading) -> KnownSecrets {
    let Some(field) = table.get("known_secrets") else {
        return KnownSecrets::default();
    };
    let entries = field.list("a list of files and folders, such as [/run/secrets]");
    let entries = reading.errors.keep(entries).unwrap_or_default();
    let mut values: Vec<Secret> = Vec::new();
    for entry in &entries {
        for path in files(entry, reading) {
            collect(entry, &path, reading, &mut values);
        }
    }
    values.sort_unstable_by(|one, other| one.as_slice().cmp(other));
    values.dedup_by(|one, other| one.as_slice() == other.as_slice());
    let known = tagged(&field, &values);
    reading.errors.keep(known).unwrap_or_default()
}

fn tagged(field: &Field<'_>, values: &[Secret]) -> Result<KnownSecrets, ConfigError> {
    let refused = |problem: String| field.error(Problem::KnownSecrets(problem));
    // A key for this process alone: nobody compares these tags with anything outside.
    let key = Zeroizing::new(state::random_key().map_err(|error| refused(error.to_string()))?);
    KnownSecrets::new(&key, values).map_err(|error| refused(error.to_string()))
}

/// The files that an entry stands for. A folder is a source too, so that a new file in it is seen.
fn files(entry: &Field<'_>, reading: &mut Reading) -> Vec<PathBuf> {
    let Some(name) = reading.errors.keep(entry.text("a file or a folder")) else {
        return Vec::new();
    };
    let path = reading.beside_configuration(name);
    if !path.is_dir() {
        return vec![path];
    }
    reading.add_source(&path);
    let files = files_in(&path).map_err(|problem| file_error(entry, &path, problem));
    reading.errors.keep(files).unwrap_or_default()
}

/// The entries of a mounted Secret: those that begin with two dots are how Kubernetes swaps them.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(error.kind());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"..") {
            files.push(entry.path());
        }
        if files.len() > VALUES_MAX {
            return Err(FileProblem::TooManyFiles { limit: VALUES_MAX });
        }
    }
    if files.is_empty() {
        return Err(FileProblem::NoValues);
    }
    files.sort();
    Ok(files)
}

fn file_error(field: &Field<'_>, path: &Path, problem: FileProblem) -> ConfigError {
    field.error(Problem::File {
        path: path.display().to_string(),
        problem,
    })
}

/// Adds the values of one file, after noting those that can't be taken.
fn collect(entry: &Field<'_>, path: &Path, reading: &mut Reading, values: &mut Vec<Secret>) {
    reading.add_source(path);
    let text = source::read_bytes(path).map_err(|problem| file_error(entry, path, problem));
    let Some(text) = reading.errors.keep(text).map(Zeroizing::new) else {
        return;
    };
    let Some(named) = named(path, &text) else {
        let problem = format!(
            "{}: not every line is NAME=value; correct it, or give it another name",
            path.display()
        );
        reading.errors.add(entry.error(Problem::KnownSecrets(problem)));
        return;
    };
    for Named { name, value } in named {
        if let Some(fault) = fault(&value) {
            let name = name.map(|name| format!(" {name}:")).unwrap_or_default();
            let problem = format!("{}:{name} {fault}", path.display());
            reading.errors.add(entry.error(Problem::KnownSecrets(problem)));
            continue;
        }
        values.extend(lines(&value));
        values.push(value);
    }
}

/// Why a value can't be looked for.
fn fault(value: &[u8]) -> Option<String> {
    if value.len() > VALUE_BYTES_MAX {
        return Some(format!(
            "the value is longer than {VALUE_BYTES_MAX} bytes; give its secret parts alone"
        ));
    }
    let weakness = Weakness::of(value)?;
    Some(format!(
        "the value {weakness}, as ordinary traffic has too; leave it out"
    ))
}

/// The values of a file; none for a dotenv file that isn't one.
fn named(path: &Path, text: &[u8]) -> Option<Vec<Named>> {
    let variables = std::str::from_utf8(text).ok().and_then(variables);
    if is_called_dotenv(path) {
        return variables;
    }
    // base64 that ends in `=` reads like a name without a value.
    let says_something = |named: &Named| named.value.iter().any(|byte| *byte != b'=');
    match variables {
        Some(named) if named.iter().any(says_something) => Some(named),
        _ => {
            let value = text.trim_ascii_end().to_vec();
            Some(vec![Named {
                name: None,
                value: Zeroizing::new(value),
            }])
        }
    }
}

/// `.env`, `app.env` and `.env.production`.
fn is_called_dotenv(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.ends_with(".env") || name.starts_with(".env.")
}

/// The variables that have a value; none when a line is something else.
fn variables(text: &str) -> Option<Vec<Named>> {
    let mut named = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(named);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if !is_variable(name) {
            return None;
        }
        let (value, after) = value(after)?;
        rest = after;
        if !value.is_empty() {
            let name = Some(name.to_owned());
            named.push(Named { name, value });
        }
    }
}

fn is_variable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// A value and what follows its line; none for a quotation that doesn't end.
fn value(text: &str) -> Option<(Secret, &str)> {
    let blank = text.trim_start_matches([' ', '\t']);
    if let Some(quote @ ('\'' | '"')) = blank.chars().next() {
        return quoted(blank.get(1..)?, quote);
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.split_once(" #").map_or(line, |(value, _comment)| value);
    Some((Zeroizing::new(line.trim().as_bytes().to_vec()), rest))
}

/// Between double quotes a backslash escapes; between single ones it stands for itself. Both may go over several lines.
fn quoted(text: &str, quote: char) -> Option<(Secret, &str)> {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        let kept = match one {
            _ if one == quote => {
                let rest = text.get(at + 1..)?;
                let (behind, rest) = rest.split_once('\n').unwrap_or((rest, ""));
                let behind = behind.trim();
                return (behind.is_empty() || behind.starts_with('#')).then_some((value, rest));
            }
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            },
            other => other,
        };
        value.extend_from_slice(kept.encode_utf8(&mut [0; 4]).as_bytes());
    }
    None
}

/// The lines of a value that count by themselves: long, without blanks, no rule of a PEM block, and not weak.
fn lines(value: &[u8]) -> impl Iterator<Item = Secret> {
    let several = value.contains(&b'\n');
    value
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .filter(move |line| several && line.len() >= LINE_BYTES && !line.starts_with(PEM_RULE))
        .filter(|line| !line.iter().any(u8::is_ascii_whitespace) && Weakness::of(line).is_none())
        .map(|line| Zeroizing::new(line.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_named(file: &str, text: &str, expected: Option<&[(&str, &str)]>) {
        let found = named(Path::new(file), text.as_bytes()).map(|named| {
            let pair = |one: Named| {
                (
                    one.name.unwrap_or_default(),
                    String::from_utf8(one.value.to_vec()).unwrap(),
                )
            };
            named.into_iter().map(pair).collect::<Vec<_>>()
        });
        let expected = expected.map(|pairs| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(pair).collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn dotenv_lines_are_read() {
        let text = "# settings\n\nexport A_KEY=one # of many\nB='it#s' # quoted\nC=\"two\\nlines\"\n  D = four \nEMPTY=\nE=\"a\nb\"\nF=x=y==\n";
        let expected: &[_] = &[
            ("A_KEY", "one"),
            ("B", "it#s"),
            ("C", "two\nlines"),
            ("D", "four"),
            ("E", "a\nb"),
            ("F", "x=y=="),
        ];
        check_named("app.env", text, Some(expected));
        check_named(".env.production", text, Some(expected));
        check_named("settings", text, Some(expected));
        check_named("app.env", "A=\"open\n", None);
        check_named("app.env", "A='shut' more\n", None);
        check_named("app.env", "no variable\n", None);
        check_named(".env", "", Some(&[]));
    }

    #[test]
    fn any_other_file_is_one_value() {
        check_named("token", "abc\r\n\n", Some(&[("", "abc")]));
        check_named(
            "token",
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n",
            Some(&[("", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]),
        );
        check_named(
            "key.pem",
            "-----BEGIN X-----\nabcd=\n-----END X-----\n",
            Some(&[("", "-----BEGIN X-----\nabcd=\n-----END X-----")]),
        );
        check_named("a.json", "{\"key\": \"a=b\"}", Some(&[("", "{\"key\": \"a=b\"}")]));
    }

    #[test]
    fn long_lines_of_a_value_count_by_themselves() {
        let lines = |text: &str| -> Vec<String> {
            lines(text.as_bytes())
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect()
        };
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\r\nshort==\n-----END PRIVATE KEY-----");
        assert_eq!(lines(&pem), [body]);
        assert!(lines(body).is_empty(), "one line is the value itself");
        assert!(lines("{\n  \"auth_uri\": \"https://accounts.example/o/oauth2\"\n}").is_empty());
    }

    #[test]
    fn a_mounted_secret_is_read_by_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("..2026_01_01");
        fs::create_dir(&version).unwrap();
        fs::write(version.join("token"), "x").unwrap();
        std::os::unix::fs::symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        assert_eq!(files_in(folder.path()), Err(FileProblem::NoValues));
        std::os::unix::fs::symlink("..data/token", folder.path().join("token")).unwrap();
        assert_eq!(files_in(folder.path()).unwrap(), [folder.path().join("token")]);
    }
}
