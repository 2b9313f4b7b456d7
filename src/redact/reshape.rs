//! Takes from an expression what only narrows it in files: an optional beginning, and a list of what may follow a token.
//!
//! A rule's matches are looked for at every position, so a part that may be empty at its beginning finds nothing more:
//! whatever it would have taken, a match begins after it as well, with the same groups. Nor does a byte that has to stand before a
//! group. Without both, an expression begins with the text by which it can be searched for.
//!
//! Rules of this format end in a list of what may follow a token in source code: a quote, a space, a semicolon. In forms,
//! CSV, XML, Markdown, nested JSON and code, tokens are followed by more than that, so the list is relaxed to any byte that no
//! token goes on with.
//!
//! An expression whose counts make its automaton too large can be widened as well: see [`without_counts`].
//!
//! What the expression found, it still finds: all of this only widens it.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::print::Printer;
use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look};

/// A class with more bytes than this is no beginning to search for.
const CHOICES: usize = 4;

/// Counts from here on make an automaton large.
const COUNT: u32 = 16;
/// A class with more bytes than this is a gap, which needs its bound: without one, a match would never end.
const GAP: usize = 128;

/// What may follow a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Just what the expression lists.
    AsWritten,
    /// Any byte that no token goes on with.
    Relaxed,
}

/// An expression without what narrows it.
#[derive(Debug)]
pub(super) struct Reshaped {
    pub(super) expression: String,
    /// How many groups the expression had; one may have been added around a token when it had none.
    pub(super) groups: usize,
}

/// Why an expression is none.
#[derive(Debug, thiserror::Error)]
#[error("near byte {position}: {problem}")]
pub(super) struct SyntaxError {
    position: usize,
    problem: String,
}

impl From<regex_syntax::Error> for SyntaxError {
    fn from(error: regex_syntax::Error) -> Self {
        let (position, problem) = match &error {
            regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
            // Whatever else there may be one day.
            _ => (0, error.to_string()),
        };
        Self { position, problem }
    }
}

/// Reshapes an expression in our spelling, which means bytes.
pub(super) fn reshape(expression: &str, ending: Ending) -> Result<Reshaped, SyntaxError> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let tree = parser.parse(expression).map_err(SyntaxError::from)?;
    let groups = tree.properties().explicit_captures_len();
    let mut tree = without_optional_beginning(&tree);
    if ending == Ending::Relaxed {
        tree = with_relaxed_ending(&tree);
    }
    Ok(Reshaped {
        expression: printed(&tree).unwrap_or_else(|| expression.to_owned()),
        groups,
    })
}

/// The expression with large counts given up, for an automaton that would be too large with them: a range of counts has no
/// upper end, and what has no upper end no lower one. Exact counts stay, and so do the bounds of gaps.
pub(super) fn without_counts(expression: &str) -> Result<String, SyntaxError> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let tree = parser.parse(expression).map_err(SyntaxError::from)?;
    Ok(printed(&uncounted(&tree)).unwrap_or_else(|| expression.to_owned()))
}

fn uncounted(tree: &Hir) -> Hir {
    match tree.kind() {
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(uncounted).collect()),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(uncounted).collect()),
        HirKind::Capture(capture) => Hir::capture(Capture {
            sub: Box::new(uncounted(&capture.sub)),
            ..capture.clone()
        }),
        HirKind::Repetition(repetition) => {
            let mut wider = repetition.with(uncounted(&repetition.sub));
            match repetition.max {
                None if repetition.min >= COUNT => wider.min = 1,
                Some(max) if max >= COUNT && repetition.min < max && !is_gap(&repetition.sub) => wider.max = None,
                _ => {}
            }
            Hir::repetition(wider)
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => tree.clone(),
    }
}

fn is_gap(part: &Hir) -> bool {
    // What a longer part holds is not looked into.
    let HirKind::Class(class) = part.kind() else {
        return true;
    };
    matches!(class, Class::Bytes(bytes) if size(bytes) > GAP)
}

/// The tree as an expression. Not by the library's printer alone: it writes `(?:a{3})?` as `a{3}?`, which is something else.
/// Nothing when a leaf can't be written, which doesn't happen in a String.
fn printed(tree: &Hir) -> Option<String> {
    Some(match tree.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {
            let mut leaf = String::new();
            Printer::new().print(tree, &mut leaf).ok()?;
            leaf
        }
        HirKind::Repetition(repetition) => {
            let count = match (repetition.min, repetition.max) {
                (min, None) => format!("{{{min},}}"),
                (min, Some(max)) => format!("{{{min},{max}}}"),
            };
            let lazy = if repetition.greedy { "" } else { "?" };
            format!("(?:{}){count}{lazy}", printed(&repetition.sub)?)
        }
        HirKind::Capture(capture) => match &capture.name {
            Some(name) => format!("(?P<{name}>{})", printed(&capture.sub)?),
            None => format!("({})", printed(&capture.sub)?),
        },
        HirKind::Concat(parts) => parts.iter().map(printed).collect::<Option<String>>()?,
        HirKind::Alternation(branches) => {
            let branches = branches.iter().map(printed).collect::<Option<Vec<_>>>()?;
            format!("(?:{})", branches.join("|"))
        }
    })
}

fn without_optional_beginning(tree: &Hir) -> Hir {
    match tree.kind() {
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(without_optional_beginning).collect()),
        HirKind::Concat(parts) => {
            let Some((first, rest)) = without_leading(parts).split_first() else {
                return tree.clone();
            };
            let mut kept = vec![if has_groups(first) {
                first.clone()
            } else {
                without_optional_beginning(first)
            }];
            kept.extend_from_slice(rest);
            Hir::concat(kept)
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_) => tree.clone(),
    }
}

/// The parts without the leading ones that add nothing; the last is always kept.
fn without_leading(parts: &[Hir]) -> &[Hir] {
    let mut kept = parts;
    while let [first, rest @ ..] = kept
        && !rest.is_empty()
        && (is_optional(first) || is_context(first) && rest.iter().any(has_groups))
    {
        kept = rest;
    }
    kept
}

fn has_groups(part: &Hir) -> bool {
    part.properties().explicit_captures_len() > 0
}

/// Whether it may be empty wherever it stands.
fn is_optional(part: &Hir) -> bool {
    let properties = part.properties();
    let repeated = matches!(part.kind(), HirKind::Repetition(repetition) if repetition.min == 0);
    let empty = properties.look_set().is_empty() && properties.minimum_len() == Some(0);
    !has_groups(part) && (repeated || empty)
}

/// Whether it asks for one of many bytes, or for an edge: a look at what stands before.
fn is_context(part: &Hir) -> bool {
    match part.kind() {
        HirKind::Class(class) => matches!(class, Class::Bytes(bytes) if size(bytes) > CHOICES),
        HirKind::Alternation(branches) => {
            !has_groups(part)
                && part.properties().maximum_len() == Some(1)
                && branches.iter().any(|branch| matches!(branch.kind(), HirKind::Look(_)))
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_) => false,
    }
}

fn size(bytes: &ClassBytes) -> usize {
    bytes.ranges().iter().map(ClassBytesRange::len).sum()
}

fn with_relaxed_ending(tree: &Hir) -> Hir {
    match tree.kind() {
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(with_relaxed_ending).collect()),
        HirKind::Concat(parts) => {
            let Some((last, token)) = parts.split_last() else {
                return tree.clone();
            };
            let Some(follower) = follower(last) else {
                return tree.clone();
            };
            let token = Hir::concat(token.to_vec());
            // What follows the token is no part of the secret.
            let token = if has_groups(&token) {
                token
            } else {
                Hir::capture(Capture {
                    index: 1,
                    name: None,
                    sub: Box::new(token),
                })
            };
            Hir::concat(vec![token, follower])
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_) => tree.clone(),
    }
}

/// What may follow a token, when `last` is a list of that: the end, and texts that begin as no token goes on.
fn follower(last: &Hir) -> Option<Hir> {
    let HirKind::Alternation(branches) = last.kind() else {
        return None;
    };
    let mut bytes = ClassBytes::new(token_bytes());
    bytes.negate();
    let mut ends = false;
    for branch in branches {
        if matches!(branch.kind(), HirKind::Look(Look::End)) {
            ends = true;
        } else if let HirKind::Class(Class::Bytes(class)) = branch.kind()
            && !continues_words(class)
        {
            bytes.union(class);
        } else if has_groups(branch) || !begins_outside_tokens(branch) {
            return None;
        }
    }
    ends.then(|| Hir::alternation(vec![Hir::class(Class::Bytes(bytes)), Hir::look(Look::End)]))
}

fn token_bytes() -> [ClassBytesRange; 5] {
    [(b'0', b'9'), (b'A', b'Z'), (b'a', b'z'), (b'_', b'_'), (b'-', b'-')]
        .map(|(first, last)| ClassBytesRange::new(first, last))
}

/// Whether letters or digits are in the class.
fn continues_words(class: &ClassBytes) -> bool {
    let mut words = ClassBytes::new(token_bytes().into_iter().take(3));
    words.intersect(class);
    size(&words) > 0
}

fn begins_outside_tokens(part: &Hir) -> bool {
    let outside = |bytes: &ClassBytes| {
        let mut tokens = ClassBytes::new(token_bytes());
        tokens.intersect(bytes);
        size(&tokens) == 0
    };
    match part.kind() {
        HirKind::Literal(literal) => literal
            .0
            .first()
            .is_some_and(|first| outside(&ClassBytes::new([ClassBytesRange::new(*first, *first)]))),
        HirKind::Class(class) => matches!(class, Class::Bytes(bytes) if outside(bytes)),
        HirKind::Repetition(repetition) => begins_outside_tokens(&repetition.sub),
        HirKind::Concat(parts) => {
            let optional = parts.iter().take_while(|part| is_optional(part)).count();
            parts.iter().take(optional + 1).all(begins_outside_tokens) && optional < parts.len()
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Capture(_) | HirKind::Alternation(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::meta::Regex;

    use super::super::translate::translate;
    use super::*;

    fn compiled(expression: &str) -> Regex {
        Regex::builder()
            .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
            .build(expression)
            .unwrap()
    }

    /// All that it finds in `text`: the first group that is not empty, else the match.
    fn secrets(regex: &Regex, text: &str) -> Vec<std::ops::Range<usize>> {
        let found = |captures: regex_automata::util::captures::Captures| {
            let group = (1..captures.group_len()).filter_map(|group| captures.get_group(group));
            let group = group.into_iter().find(|span| !span.is_empty());
            group.or_else(|| captures.get_group(0)).unwrap().range()
        };
        regex.captures_iter(text).map(found).collect()
    }

    #[track_caller]
    fn check(go: &str, like: &str) {
        let reshaped = reshape(&translate(go).unwrap(), Ending::Relaxed).unwrap();
        assert_eq!(reshaped.expression, printed(like), "{go}");
    }

    fn printed(expression: &str) -> String {
        let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
        super::printed(&parser.parse(expression).unwrap()).unwrap()
    }

    #[test]
    fn optional_beginnings_are_dropped() {
        check(r"(?i)[\w.-]{0,50}?(?:acme)=(\d+)", r"(?i)(?:acme)=(\d+)");
        check(r"[\w.-]{0,50}?(?i:[\w.-]{0,50}?(?:acme))=(\d+)", r"(?i:acme)=(\d+)");
        check(r"(?:https?://)?hooks\.acme/\w", r"hooks\.acme/\w");
        check(r"(?:x*acme|[a-z]?corp)=(\d+)", r"(?:acme|corp)=(\d+)");
        check(r"x*acme=(\d)|y?corp=(\d)", r"acme=(\d)|corp=(\d)");
        check(r"a?b?", "b?");
    }

    #[test]
    fn what_stands_before_a_group_is_dropped() {
        check(r#"(?:^|[\\'"\s>=])(acme_\d+)"#, r"(acme_\d+)");
        check(r"[^a-z](acme_\d+)", r"(acme_\d+)");
        check(r#"["']acme["'](\d+)"#, r#"["']acme["'](\d+)"#);
        check(r"[^a-z]acme_\d+", r"[^a-z]acme_\d+");
        check(r"\b(acme_\d+)", r"\b(acme_\d+)");
        check(r"(x*)acme", r"(x*)acme");
        check(r"(?:^|(x))acme(y)", r"(?:^|(x))acme(y)");
    }

    #[test]
    fn what_may_follow_a_token_is_relaxed() {
        let relaxed = r"(acme_\d+)(?:[^0-9A-Za-z_-]|$)";
        check(r#"(acme_\d+)(?:[\x60'"\s;]|\\[nr]|$)"#, relaxed);
        check(r#"(acme_\d+)(?:\\?['"\x60]|[\s;]|\\[nr]|$)"#, relaxed);
        check(r#"(acme_\d+)(?:$|[\\'"\x60\s<),])"#, relaxed);
        check(r"acme_\d+(?:[;]|$)", relaxed);
        check(r"(acme_\d+)(?:$|[^a-z0-9A-Z-])", r"(acme_\d+)(?:[^0-9A-Za-z-]|$)");
        check(r"(acme_\d+)(?:[a-z]|$)", r"(acme_\d+)(?:[a-z]|$)");
        check(r"(acme_\d+)(?:;|,)", r"(acme_\d+)(?:;|,)");
        check(r"acme_\d+\b", r"acme_\d+\b");
    }

    #[test]
    fn the_ending_stays_when_asked() {
        let written = r"(acme_\d+)(?:;|$)";
        assert_eq!(
            reshape(written, Ending::AsWritten).unwrap().expression,
            printed(written)
        );
    }

    #[test]
    fn large_counts_are_given_up() {
        #[track_caller]
        fn check(expression: &str, wider: &str) {
            assert_eq!(without_counts(expression).unwrap(), printed(wider));
        }
        check("acme_([a-z]{10,200})x", "acme_([a-z]{10,})x");
        check("(?s)BEGIN[ A-Z]{0,100}KEY.{64,}?END", "(?s)BEGIN[ A-Z]*KEY.+?END");
        check("(?s)acme.{0,100}?key[a-f0-9]{32}", "(?s)acme.{0,100}?key[a-f0-9]{32}");
        check("acme(?:ab|c){1,40}[a-z]{2,8}", "acme(?:ab|c){1,40}[a-z]{2,8}");
    }

    const SHAPES: &[&str] = &[
        r#"(?i)[\w.-]{0,50}?(?:acme|corp)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}([a-z0-9]{4})(?:[\x60'"\s;]|\\[nr]|$)"#,
        r#"(?:^|[\\'"\x60\s>=:(,)])(ac[a-z0-9]{4,6})(?:$|[\\'"\x60\s<),])"#,
        r"(?:https?://)?hooks\.acme/[a-z]{3}",
        r"\b(acme_[a-z]{2,})(?:[;]|$)",
        r"acme[a-z0-9_]{1,20}=([a-z]{1,16})",
        r#"(?i)["']?acme["']?=([a-z]+)(?:["';]|$)|corp-([0-9]{3})"#,
    ];

    proptest! {
        #[test]
        fn what_was_found_is_found(text in r#"((acme|corp|ACME_|https?://|hooks\.acme/|key|[a-z0-9]{1,6}|[=:>,"' ;.&<\\_-]|\\n)){0,14}"#) {
            for go in SHAPES {
                let ours = translate(go).unwrap();
                let before = secrets(&compiled(&ours), &text);
                let relaxed = reshape(&ours, Ending::Relaxed).unwrap().expression;
                for wider in [
                    reshape(&ours, Ending::AsWritten).unwrap().expression,
                    without_counts(&relaxed).unwrap(),
                    relaxed,
                ] {
                    let after = secrets(&compiled(&wider), &text);
                    for secret in &before {
                        // The expression as written takes a byte on either side into the match when it has no group.
                        let inner = text.get(secret.clone()).unwrap().trim_start_matches("http://").trim_start_matches("https://");
                        let start = secret.end - inner.len();
                        let covered = |found: &std::ops::Range<usize>| found.start <= start && secret.end <= found.end;
                        prop_assert!(after.iter().any(covered), "{go}: {secret:?} not in {after:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_repetition_of_a_repetition_stays_one() {
        let expression = reshape("ab(?:[0-9]{3})?!", Ending::AsWritten).unwrap().expression;
        let regex = compiled(&expression);
        assert!(
            regex.is_match(b"ab!") && regex.is_match(b"ab123!") && !regex.is_match(b"ab12!"),
            "{expression}"
        );
    }
}
