//! betterleaks' `filter` expressions, as far as they say what an allowlist and an entropy bound can say.
//!
//! A filter discards a match when it is true. What is understood of it are alternatives joined by `||`: a bound on the
//! secret's entropy, and lists of expressions or words that it may match or contain. Any other alternative is left out, so
//! that more counts as a secret, never less; [`Filter::ignored`] has them for a note.

use super::pack::AllowlistEntry;

/// The alternatives of a filter.
#[derive(Default)]
pub(super) struct Filter {
    /// A secret needs more entropy than this, in bits a byte.
    pub(super) entropy: f64,
    pub(super) allowlists: Vec<AllowlistEntry>,
    /// Alternatives that are not understood.
    pub(super) ignored: Vec<String>,
}

impl Filter {
    pub(super) fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        filter.take(text);
        filter
    }

    fn take(&mut self, text: &str) {
        let Some(alternatives) = alternatives(text) else {
            return self.ignored.push(shown(text));
        };
        match alternatives.as_slice() {
            [one] => self.take_alternative(one.trim()),
            several => several.iter().for_each(|text| self.take(text)),
        }
    }

    fn take_alternative(&mut self, text: &str) {
        if let Some(inside) = in_parentheses(text) {
            return self.take(inside);
        }
        let call = text.strip_prefix("filter.").unwrap_or(text);
        if let Some(bound) = entropy_bound(call) {
            self.entropy = self.entropy.max(bound);
        } else if let Some(allowlist) = matches_any(call).or_else(|| contains_any(call)) {
            self.allowlists.push(allowlist);
        } else if !text.is_empty() {
            self.ignored.push(shown(text));
        }
    }
}

/// The beginning of an alternative, on one line.
fn shown(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(60)
        .collect()
}

/// What `||` joins, outside brackets and texts; nothing when brackets or quotes don't pair.
fn alternatives(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    let mut places = text.char_indices();
    while let Some((at, read)) = places.next() {
        match read {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            '`' => _ = places.find(|(_, end)| *end == '`')?,
            '"' => loop {
                match places.next()?.1 {
                    '\\' => _ = places.next()?,
                    '"' => break,
                    _ => {}
                }
            },
            '\'' => return None,
            '|' if depth == 0 && text.get(at..).is_some_and(|rest| rest.starts_with("||")) => {
                places.next();
                parts.push(text.get(from..at)?);
                from = at + 2;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?);
    (depth == 0).then_some(parts)
}

fn in_parentheses(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    // "(a) && (b)" is no pair of parentheses around a whole.
    alternatives(inside).map(|_| inside)
}

fn entropy_bound(call: &str) -> Option<f64> {
    let (argument, comparison) = call.strip_prefix("entropy(")?.split_once(')')?;
    (field(argument)? == "secret").then_some(())?;
    let comparison = comparison.trim();
    let bound = |text: &str| text.trim().parse::<f64>().ok().filter(|bound| bound.is_finite());
    match comparison.strip_prefix("<=") {
        Some(most) => bound(most),
        None => comparison.strip_prefix('<').and_then(bound).map(f64::next_down),
    }
}

fn matches_any(call: &str) -> Option<AllowlistEntry> {
    let (field, regexes) = list_call(call, "matchesAny(")?;
    Some(AllowlistEntry {
        regex_target: field.to_owned(),
        regexes,
        ..AllowlistEntry::default()
    })
}

fn contains_any(call: &str) -> Option<AllowlistEntry> {
    let (field, stopwords) = list_call(call, "containsAny(")?;
    (field == "secret").then(|| AllowlistEntry {
        stopwords,
        ..AllowlistEntry::default()
    })
}

fn list_call<'a>(call: &'a str, name: &str) -> Option<(&'a str, Vec<String>)> {
    let (argument, list) = call.strip_prefix(name)?.strip_suffix(')')?.split_once(',')?;
    let list = list.trim().strip_prefix('[')?.strip_suffix(']')?;
    let texts = texts(list).filter(|texts| !texts.is_empty())?;
    Some((field(argument)?, texts))
}

/// The field of the finding that an argument names.
fn field(argument: &str) -> Option<&str> {
    let name = argument.trim().strip_prefix("finding")?;
    let name = match name.strip_prefix('.') {
        Some(name) => name,
        None => name.strip_prefix("[\"")?.strip_suffix("\"]")?,
    };
    ["secret", "match", "line"].contains(&name).then_some(name)
}

/// A list of texts in quotes or backticks, parted by commas.
fn texts(list: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (text, after) = match rest.strip_prefix('`') {
            Some(raw) => raw.split_once('`').map(|(text, after)| (text.to_owned(), after))?,
            None => quoted(rest.strip_prefix('"')?)?,
        };
        texts.push(text);
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(texts)
}

/// The text up to its closing quote, and what comes after that.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut places = rest.char_indices();
    loop {
        match places.next()? {
            (at, '"') => return Some((text, rest.get(at + 1..)?)),
            (_, '\\') => text.push(match places.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same @ ('\\' | '"' | '\'' | '`') => same,
                _ => return None,
            }),
            (_, read) => text.push(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, entropy: f64, allowlists: usize, ignored: &[&str]) {
        let filter = Filter::parse(text);
        assert_eq!(
            (filter.entropy, filter.allowlists.len(), filter.ignored),
            (
                entropy,
                allowlists,
                ignored.iter().map(|text| (*text).to_owned()).collect()
            ),
            "{text}"
        );
    }

    #[test]
    fn bounds_on_entropy_are_strict_as_written() {
        check("\nentropy(finding[\"secret\"]) <= 3.5\n", 3.5, 0, &[]);
        check("filter.entropy(finding.secret) < 3.0", 3.0_f64.next_down(), 0, &[]);
        check(
            "entropy(finding.secret) <= 3 || (entropy(finding.secret) <= 4)",
            4.0,
            0,
            &[],
        );
    }

    #[test]
    fn lists_become_allowlists() {
        let filter = Filter::parse(
            "(matchesAny(finding[\"match\"], [\n  `a||b`,\n  \"c\\\\d\",\n]) || containsAny(finding.secret, [\"x\", `y`]))",
        );
        let [regexes, words] = filter.allowlists.as_slice() else {
            panic!("{} allowlists", filter.allowlists.len());
        };
        assert_eq!(
            (regexes.regex_target.as_str(), regexes.regexes.as_slice()),
            ("match", &["a||b".to_owned(), "c\\d".to_owned()][..])
        );
        assert_eq!(words.stopwords, ["x", "y"]);
    }

    #[test]
    fn what_is_not_understood_discards_nothing() {
        let tokens = "failsTokenEfficiency(finding[\"secret\"])";
        check(
            &format!("entropy(finding[\"secret\"]) <= 4.0 || {tokens}"),
            4.0,
            0,
            &[tokens],
        );
        check(
            "!matchesAny(finding.secret, [`a`])",
            0.0,
            0,
            &["!matchesAny(finding.secret, [`a`])"],
        );
        check(
            "entropy(finding.secret) <= 4.0 && true",
            0.0,
            0,
            &["entropy(finding.secret) <= 4.0 && true"],
        );
        check(
            "(entropy(finding.secret) <= 4.0) && (true)",
            0.0,
            0,
            &["(entropy(finding.secret) <= 4.0) && (true)"],
        );
        check(
            "entropy(finding.match) <= 4.0",
            0.0,
            0,
            &["entropy(finding.match) <= 4.0"],
        );
        check(
            "containsAny(finding.line, ['x'])",
            0.0,
            0,
            &["containsAny(finding.line, ['x'])"],
        );
        check(
            "containsAny(finding.line, [\"x\"])",
            0.0,
            0,
            &["containsAny(finding.line, [\"x\"])"],
        );
        check(
            "matchesAny(finding.secret, [",
            0.0,
            0,
            &["matchesAny(finding.secret, ["],
        );
        check("", 0.0, 0, &[]);
    }
}
