//! Go's regular expressions in the spelling of ours.
//!
//! Rule files are written for Go's `regexp`. Most of an expression means the same here; this rewrites what does not:
//! a `{` that opens no quantifier, `\Q…\E`, octal and `\x{…}` escapes, `\s` (which has no vertical tab in Go), and classes, in
//! which Go knows no nesting and no set operations. What has no counterpart is refused with its position.
//!
//! Expressions are matched byte by byte without Unicode: `.` and `[^x]` take one byte of a longer character, and `(?i)`
//! folds ASCII alone.

use regex_syntax::is_meta_character;

/// The spaces of Go's `\s`.
const SPACES: &str = r"\t\n\x0C\r\x20";

/// What keeps an expression from being translated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {problem}")]
pub(super) struct TranslationError {
    /// Where, in bytes from the beginning of the expression.
    position: usize,
    problem: &'static str,
}

/// The expression `go`, in our spelling.
pub(super) fn translate(go: &str) -> Result<String, TranslationError> {
    let mut reader = Reader {
        go,
        at: 0,
        ours: String::with_capacity(go.len()),
    };
    while let Some(read) = reader.next() {
        match read {
            '\\' => reader.escape()?,
            '[' => reader.class()?,
            '{' => reader.brace(),
            '}' => reader.ours.push_str(r"\}"),
            other => reader.ours.push(other),
        }
    }
    Ok(reader.ours)
}

struct Reader<'a> {
    go: &'a str,
    at: usize,
    ours: String,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.go.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let read = self.rest().chars().next()?;
        self.at += read.len_utf8();
        Some(read)
    }

    fn skip(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.at += text.len();
        }
        there
    }

    fn error(&self, back: usize, problem: &'static str) -> TranslationError {
        TranslationError {
            position: self.at.saturating_sub(back),
            problem,
        }
    }

    /// After a `{`: the rest of a quantifier, or the brace alone.
    fn brace(&mut self) {
        let Some(inside) = self.rest().split_once('}').map(|(inside, _)| inside.to_owned()) else {
            return self.ours.push_str(r"\{");
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
        if !digits(least) || !(most.is_empty() || digits(most)) {
            return self.ours.push_str(r"\{");
        }
        self.at += inside.len() + 1;
        self.ours.push('{');
        self.ours.push_str(&inside);
        self.ours.push('}');
    }

    /// After a backslash outside a class.
    fn escape(&mut self) -> Result<(), TranslationError> {
        let Some(read) = self.rest().chars().next() else {
            return Err(self.error(1, "a backslash at the end escapes nothing"));
        };
        match read {
            'Q' => {
                self.at += 1;
                self.quoted();
            }
            'A' | 'z' | 'b' | 'B' => {
                self.at += 1;
                self.ours.push('\\');
                self.ours.push(read);
            }
            _ => {
                if let Some(class) = self.perl_class()? {
                    self.ours.push_str(&class.alone());
                } else {
                    let literal = self.escaped()?;
                    self.literal(literal);
                }
            }
        }
        Ok(())
    }

    /// After `\Q`: what follows stands for itself, up to `\E`.
    fn quoted(&mut self) {
        let rest = self.rest();
        let (text, length) = match rest.split_once(r"\E") {
            Some((text, _)) => (text.to_owned(), text.len() + 2),
            None => (rest.to_owned(), rest.len()),
        };
        self.at += length;
        for read in text.chars() {
            self.literal(read);
        }
    }

    fn literal(&mut self, read: char) {
        push_literal(&mut self.ours, read);
    }

    /// After a backslash: `\d` and its kin, if it is one of them.
    fn perl_class(&mut self) -> Result<Option<PerlClass>, TranslationError> {
        let class = match self.rest().chars().next() {
            Some(read @ ('d' | 'D' | 'w' | 'W')) => PerlClass::Named(read),
            Some('s') => PerlClass::Spaces,
            Some('S') => PerlClass::NoSpaces,
            Some('p' | 'P') => {
                return Err(self.error(
                    1,
                    r"Unicode classes are not supported; list the ASCII characters, or take \S",
                ));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(class))
    }

    /// After a backslash: the character that the escape stands for.
    fn escaped(&mut self) -> Result<char, TranslationError> {
        let Some(read) = self.next() else {
            return Err(self.error(1, "a backslash at the end escapes nothing"));
        };
        match read {
            'a' => Ok('\x07'),
            'f' => Ok('\x0C'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0B'),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(read),
            'C' => Err(self.error(2, r"\C, a single byte, is not supported; take (?s:.)")),
            _ if read.is_ascii_punctuation() || read == ' ' => Ok(read),
            _ => Err(self.error(
                1 + read.len_utf8(),
                "there is no such escape; leave the backslash out, or double it",
            )),
        }
    }

    fn hexadecimal(&mut self) -> Result<char, TranslationError> {
        const PROBLEM: &str = r"\x is followed by two hexadecimal digits, or by some in braces";
        let digits = if self.skip("{") {
            let digits = self.rest().split_once('}').map(|(digits, _)| digits.to_owned());
            let digits = digits.ok_or_else(|| self.error(3, PROBLEM))?;
            self.at += digits.len() + 1;
            digits
        } else {
            let digits: String = self.next().into_iter().chain(self.next()).collect();
            if digits.len() < 2 {
                return Err(self.error(digits.len(), PROBLEM));
            }
            digits
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = if plain {
            u32::from_str_radix(&digits, 16).ok()
        } else {
            None
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| self.error(digits.len(), PROBLEM))
    }

    /// Up to three octal digits. A single one that is not zero would be a backreference.
    fn octal(&mut self, first: char) -> Result<char, TranslationError> {
        let more = self.rest().chars().take(2).take_while(|read| read.is_digit(8));
        let digits: Vec<u32> = std::iter::once(first)
            .chain(more)
            .filter_map(|read| read.to_digit(8))
            .collect();
        if digits.len() == 1 && first != '0' {
            return Err(self.error(2, "backreferences are not supported; repeat the expression"));
        }
        self.at += digits.len() - 1;
        let code = digits.iter().fold(0, |code, digit| code * 8 + digit);
        char::from_u32(code).ok_or_else(|| self.error(digits.len(), "there is no such character"))
    }

    /// After a `[`.
    fn class(&mut self) -> Result<(), TranslationError> {
        let opened = self.at;
        let negated = self.skip("^");
        let mut class = Class::default();
        let mut first = true;
        while first || !self.skip("]") {
            first = false;
            if self.rest().is_empty() {
                self.at = opened;
                return Err(self.error(1, "the class has no end; add a ]"));
            }
            self.class_item(&mut class)?;
        }
        if negated && !class.others.is_empty() {
            return Err(self.error(
                0,
                "a class of what is not some character beyond ASCII is not supported; list what it may be",
            ));
        }
        class.write(negated, &mut self.ours);
        Ok(())
    }

    fn class_item(&mut self, class: &mut Class) -> Result<(), TranslationError> {
        if let Some(name) = self.posix_name() {
            class.ascii.push_str(&name);
            return Ok(());
        }
        if self.rest().starts_with('\\') {
            self.at += 1;
            if let Some(perl) = self.perl_class()? {
                class.ascii.push_str(&perl.inside());
                return Ok(());
            }
            self.at -= 1;
        }
        let low = self.class_character()?;
        let range = self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest().len() > 1;
        let high = if range {
            self.at += 1;
            self.class_character()?
        } else {
            low
        };
        if low > high {
            return Err(self.error(0, "the range ends before it begins"));
        }
        match (low.is_ascii(), high.is_ascii()) {
            (true, true) => class.push_range(low, high),
            _ if low == high => class.others.push(low),
            _ => {
                return Err(self.error(
                    0,
                    "ranges of characters beyond ASCII are not supported; list the characters",
                ));
            }
        }
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, TranslationError> {
        match self.next() {
            Some('\\') => self.escaped(),
            Some(read) => Ok(read),
            None => Err(self.error(0, "the class has no end; add a ]")),
        }
    }

    /// A name such as `[:alnum:]`, if one is next.
    fn posix_name(&mut self) -> Option<String> {
        let inside = self.rest().strip_prefix("[:")?;
        let (name, _) = inside.split_once(":]")?;
        let letters = name.strip_prefix('^').unwrap_or(name);
        if letters.is_empty() || !letters.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let whole = format!("[:{name}:]");
        self.at += whole.len();
        Some(whole)
    }
}

/// One of Go's classes with a name of one letter.
enum PerlClass {
    Named(char),
    Spaces,
    NoSpaces,
}

impl PerlClass {
    fn alone(&self) -> String {
        match self {
            Self::Spaces => format!("[{SPACES}]"),
            Self::Named(_) | Self::NoSpaces => self.inside(),
        }
    }

    fn inside(&self) -> String {
        match self {
            Self::Named(name) => format!("\\{name}"),
            Self::Spaces => SPACES.to_owned(),
            Self::NoSpaces => format!("[^{SPACES}]"),
        }
    }
}

/// What stands in a class.
#[derive(Default)]
struct Class {
    /// In our spelling, without the brackets.
    ascii: String,
    others: Vec<char>,
}

impl Class {
    fn push_range(&mut self, low: char, high: char) {
        push_literal(&mut self.ascii, low);
        if low != high {
            self.ascii.push('-');
            push_literal(&mut self.ascii, high);
        }
    }

    /// A byte class can't hold longer characters, so these become alternatives.
    fn write(self, negated: bool, ours: &mut String) {
        if self.others.is_empty() {
            ours.push_str(if negated { "[^" } else { "[" });
            ours.push_str(&self.ascii);
            return ours.push(']');
        }
        ours.push_str("(?:");
        if !self.ascii.is_empty() {
            ours.push('[');
            ours.push_str(&self.ascii);
            ours.push_str("]|");
        }
        let others: Vec<String> = self.others.iter().map(char::to_string).collect();
        ours.push_str(&others.join("|"));
        ours.push(')');
    }
}

fn push_literal(ours: &mut String, read: char) {
    if is_meta_character(read) {
        ours.push('\\');
    }
    ours.push(read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(go: &str, ours: &str) {
        assert_eq!(translate(go).as_deref(), Ok(ours), "{go}");
        regex_automata::meta::Regex::builder()
            .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
            .build(ours)
            .unwrap();
    }

    #[track_caller]
    fn check_refused(go: &str, position: usize, says: &str) {
        let error = translate(go).unwrap_err();
        assert_eq!(error.position, position, "{go}");
        assert!(error.problem.contains(says), "{error}");
    }

    #[test]
    fn what_means_the_same_stays() {
        for same in [
            r"abc",
            r"(?i)a(?P<x>b)|c*?",
            r"\bx\B\A\z",
            r"a{3}b{3,}c{3,4}?",
            r"\d\D\w\W",
            "é",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn braces_that_quantify_nothing_stand_for_themselves() {
        check(r"^\$(?:\d+|{\d+})$", r"^\$(?:\d+|\{\d+\})$");
        check("{", r"\{");
        check("a{,3}", r"a\{,3\}");
        check("a{x}", r"a\{x\}");
        check("a{1,2,3}", r"a\{1,2,3\}");
        check("a{1}}", r"a{1}\}");
    }

    #[test]
    fn escapes_are_rewritten() {
        check(r"\s\S", r"[\t\n\x0C\r\x20][^\t\n\x0C\r\x20]");
        check(r"\Qa.b\E.", r"a\.b.");
        check(r"\Qa.b", r"a\.b");
        check(r"\x60\x{7a}\101\0", "`zA\0");
        check(r"\x{e9}", "é");
        check(r#"\<\>\"\'\/\_\-\@"#, r#"<>"'/_\-@"#);
        check(r"\a\f\n\r\t\v", "\x07\x0C\n\r\t\x0B");
    }

    #[test]
    fn classes_have_gos_meaning() {
        check(r"[\w.-]", r"[\w\.\-]");
        check(r"[a-z0-9=_\-]", r"[a-z0-9=_\-]");
        check(r"[]a]", r"[\]a]");
        check(r"[^]a]", r"[^\]a]");
        check(r"[[a]", r"[\[a]");
        check(r"[a&&b]", r"[a\&\&b]");
        check(r"[a-]", r"[a\-]");
        check(r"[+--]", r"[\+-\-]");
        check(r"[[:alnum:]_]", r"[[:alnum:]_]");
        check(r"[\s\S-]", r"[\t\n\x0C\r\x20[^\t\n\x0C\r\x20]\-]");
        check(r"[^\S\n]", "[^[^\\t\\n\\x0C\\r\\x20]\n]");
        check(r"[{}\x60]", r"[\{\}`]");
        check("[aäö]", "(?:[a]|ä|ö)");
        check("[ä]", "(?:ä)");
    }

    #[test]
    fn what_has_no_counterpart_is_refused() {
        check_refused(r"ab\C", 2, r"\C");
        check_refused(r"a\pL", 1, "Unicode classes");
        check_refused(r"[\p{Greek}]", 1, "Unicode classes");
        check_refused(r"(a)\1", 3, "backreferences");
        check_refused(r"a\", 1, "backslash at the end");
        check_refused(r"a\Z", 1, "no such escape");
        check_refused(r"a\E", 1, "no such escape");
        check_refused(r"\x4", 2, "hexadecimal");
        check_refused(r"\x{110000}", 4, "hexadecimal");
        check_refused("a[bc", 1, "no end");
        check_refused("[z-a]", 4, "ends before");
        check_refused("[a--]", 4, "ends before");
        check_refused("[^ä]", 5, "beyond ASCII");
        check_refused("[ä-ü]", 6, "ranges of characters beyond ASCII");
    }
}
