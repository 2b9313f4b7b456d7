//! The two patterns of an allowlist: which hosts, and which paths.
//!
//! Both compare canonical forms only. There are no regular expressions, so that a person can tell at a glance what a
//! pattern covers, and no pattern is slow.

use std::fmt;
use std::net::Ipv6Addr;

use super::host::{DnsName, Host, HostError};
use super::path::{self, Asterisk, CanonicalPath, PathError};

/// The longest path pattern.
const MAX_PATTERN_BYTES: usize = 2048;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `*` or `*.`: every host there is.
    #[error("a wildcard needs a name to stand below, such as *.example.com")]
    AnyHost,
    /// A `*` that is not the whole first label.
    #[error("a wildcard stands for whole labels at the front only, as in *.example.com")]
    Wildcard,
    /// `*.` before an address.
    #[error("an address can't have a wildcard; write it in full")]
    AddressWildcard,
    /// A host with scheme, port or path.
    #[error("a host pattern is the host alone, without scheme, port and path")]
    NotOnlyHost,
    /// The host is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A path pattern with `?`: the query is not matched.
    #[error("a path pattern ends before the query; leave out what follows ?")]
    Query,
    /// A path pattern that is too long.
    #[error("the path pattern is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// Three or more `*` in a row.
    #[error("a path pattern knows * (within a segment) and ** (across segments) only")]
    Asterisks,
    /// A path that no request can have.
    #[error("no request can match: {0}")]
    Path(#[from] PathError),
}

/// Which hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(Host),
    /// Every name below this one, at any depth, but not the name itself.
    Below(DnsName),
}

impl HostPattern {
    /// Reads `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]` or `2001:db8::1`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if matches!(text, "*" | "*." | "**") {
            return Err(PatternError::AnyHost);
        }
        if let Some(parent) = text.strip_prefix("*.") {
            return below(parent);
        }
        if text.contains('*') {
            return Err(PatternError::Wildcard);
        }
        exact(text)
    }

    /// Whether the host is covered.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::Below(parent), Host::Name(name)) => name.is_below(parent),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }

    /// Whether every host of `other` is covered.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Below(mine), Self::Below(theirs)) => theirs == mine || theirs.is_below(mine),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

fn below(parent: &str) -> Result<HostPattern, PatternError> {
    if parent.contains('*') {
        return Err(PatternError::Wildcard);
    }
    match exact(parent)? {
        HostPattern::Exact(Host::Name(name)) => Ok(HostPattern::Below(name)),
        HostPattern::Exact(Host::Address(_)) | HostPattern::Below(_) => Err(PatternError::AddressWildcard),
    }
}

fn exact(text: &str) -> Result<HostPattern, PatternError> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(HostPattern::Exact(Host::Address(address.into())));
    }
    if !text.starts_with('[') && text.contains(['/', ':', '@', '?', '#']) {
        return Err(PatternError::NotOnlyHost);
    }
    Ok(HostPattern::Exact(Host::parse(text)?))
}

/// Which paths a rule is about: `*` is any run of characters within a segment, and at least one when it is the whole segment;
/// `**` is any run of characters at all. Letters compare as they stand: paths are case-sensitive.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    canonical: Glob,
    /// The pattern as a lenient origin's reading of a path meets it, where that differs.
    lenient: Option<Glob>,
}

impl PathPattern {
    /// Reads a pattern such as `/repos/*/issues/**`; literal parts are brought into the form that paths are compared in, and
    /// `%2A` is the asterisk itself.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        if text.contains('?') {
            return Err(PatternError::Query);
        }
        if text.contains("***") {
            return Err(PatternError::Asterisks);
        }
        let canonical = path::canonical(text, Asterisk::Wildcard)?;
        // Escaping makes a pattern longer; its canonical form must be one itself.
        if canonical.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        // What no request may have, no pattern may ask for.
        CanonicalPath::parse(&canonical)?;
        let strict = Glob::new(&canonical, <[u8]>::to_vec);
        let lenient = Glob::new(&canonical, path::lenient_decode);
        Ok(Self {
            text: canonical.into_boxed_str(),
            lenient: (lenient != strict).then_some(lenient),
            canonical: strict,
        })
    }

    /// Whether the path is covered as it stands: what an allow rule asks.
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        self.canonical.matches(path.as_str().as_bytes())
    }

    /// Whether the path is covered in any reading that an origin may have of it: what a deny rule asks.
    pub fn matches_any_reading(&self, path: &CanonicalPath) -> bool {
        let globs = std::iter::once(&self.canonical).chain(&self.lenient);
        path.readings()
            .any(|reading| globs.clone().any(|glob| glob.matches(reading)))
    }

    /// Whether every path of `other` is surely covered; `false` may also mean that it is hard to tell.
    pub fn covers(&self, other: &Self) -> bool {
        self.canonical.covers(&other.canonical)
    }

    /// The pattern in canonical form.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({:?})", self.text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    /// This byte.
    Byte(u8),
    /// One byte that is no `/`.
    Within,
    /// Any number of bytes that are no `/`.
    AnyWithin,
    /// Any number of bytes.
    Any,
}

impl Token {
    /// The byte, when the token is one.
    fn byte(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(byte),
            Self::Within | Self::AnyWithin | Self::Any => None,
        }
    }

    /// Whether the token may be passed over, and stays when it takes something.
    fn repeats(self) -> bool {
        matches!(self, Self::AnyWithin | Self::Any)
    }

    /// Whether the token takes everything that `other` may be.
    fn takes(self, other: Self) -> bool {
        match self {
            Self::Byte(_) => self == other,
            Self::Within => matches!(other, Self::Within) || matches!(other, Self::Byte(byte) if byte != b'/'),
            Self::AnyWithin => other != Self::Any && other != Self::Byte(b'/'),
            Self::Any => true,
        }
    }
}

/// A pattern as its literal beginning and the steps after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Glob {
    prefix: Box<[u8]>,
    tokens: Box<[Token]>,
}

impl Glob {
    /// Reads a canonical pattern; `literal` says how its literal runs are compared.
    fn new(text: &str, literal: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((run, after)) = rest.split_once('*') {
            tokens.extend(literal(run.as_bytes()).into_iter().map(Token::Byte));
            rest = push_wildcard(&mut tokens, after);
        }
        tokens.extend(literal(rest.as_bytes()).into_iter().map(Token::Byte));
        Self::split(&tokens)
    }

    fn split(tokens: &[Token]) -> Self {
        let prefix: Box<[u8]> = tokens.iter().map_while(|token| token.byte()).collect();
        let tokens = tokens.iter().copied().skip(prefix.len()).collect();
        Self { prefix, tokens }
    }

    fn matches(&self, text: &[u8]) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else {
            return false;
        };
        match &*self.tokens {
            [] => rest.is_empty(),
            [Token::Any] => true,
            tokens => walk(tokens, rest.iter().copied().map(Token::Byte)),
        }
    }

    /// Sound but not complete: a repeating step of `other` must be taken by one repeating step of this pattern.
    fn covers(&self, other: &Self) -> bool {
        let tokens: Vec<Token> = self.steps().collect();
        walk(&tokens, other.steps())
    }

    fn steps(&self) -> impl Iterator<Item = Token> {
        self.prefix
            .iter()
            .copied()
            .map(Token::Byte)
            .chain(self.tokens.iter().copied())
    }
}

/// Adds the wildcard whose first `*` stands before `after`, and gives what follows it.
fn push_wildcard<'a>(tokens: &mut Vec<Token>, after: &'a str) -> &'a str {
    if let Some(after) = after.strip_prefix('*') {
        tokens.push(Token::Any);
        return after;
    }
    let opens = tokens.last() == Some(&Token::Byte(b'/'));
    if opens && (after.is_empty() || after.starts_with('/')) {
        tokens.push(Token::Within);
    }
    tokens.push(Token::AnyWithin);
    after
}

/// Whether the tokens take the whole input: all ways are followed at once, so the work is at most input times tokens.
fn walk(tokens: &[Token], input: impl Iterator<Item = Token>) -> bool {
    let mut states = Vec::with_capacity(tokens.len());
    let mut next = Vec::with_capacity(tokens.len());
    reach(&mut states, tokens, 0);
    for step in input {
        next.clear();
        for state in &states {
            match tokens.get(*state) {
                Some(token) if token.takes(step) => {
                    reach(&mut next, tokens, *state + usize::from(!token.repeats()));
                }
                Some(_) | None => {}
            }
        }
        std::mem::swap(&mut states, &mut next);
        if states.is_empty() {
            return false;
        }
    }
    states.last() == Some(&tokens.len())
}

/// Adds a state and those that passing over repeating tokens leads to. States are reached in rising order, and what is
/// reached by passing over is without gaps, so a state that isn't beyond the last one is there already.
fn reach(states: &mut Vec<usize>, tokens: &[Token], mut state: usize) {
    loop {
        if states.last().is_none_or(|last| *last < state) {
            states.push(state);
        }
        if !tokens.get(state).is_some_and(|token| token.repeats()) {
            return;
        }
        state += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[track_caller]
    fn check_host(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = HostPattern::parse(pattern).unwrap();
        for text in matching {
            assert!(pattern.matches(&host(text)), "{pattern} should match {text}");
        }
        for text in others {
            assert!(!pattern.matches(&host(text)), "{pattern} should not match {text}");
        }
        assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
    }

    #[test]
    fn host_patterns() {
        check_host(
            "API.example.com.",
            &["api.example.com", "API.EXAMPLE.COM."],
            &["example.com", "a.api.example.com", "api.example.com.evil.test"],
        );
        check_host(
            "*.example.com",
            &["a.example.com", "a.b.example.com"],
            &[
                "example.com",
                "badexample.com",
                "example.com.evil.test",
                "a.example.org",
            ],
        );
        check_host(
            "*.bücher.example",
            &["a.xn--bcher-kva.example"],
            &["xn--bcher-kva.example"],
        );
        check_host(
            "127.1",
            &["127.0.0.1", "2130706433"],
            &["[::ffff:127.0.0.1]", "127.0.0.2"],
        );
        check_host("[2001:db8::1]", &["[2001:DB8:0::1]"], &["[2001:db8::2]"]);
        check_host("2001:db8::1", &["[2001:db8::1]"], &["[2001:db8::2]"]);
        check_host("*.com", &["a.com"], &["com", "com.de", "1.2.3.4"]);
    }

    #[test]
    fn host_patterns_that_are_none() {
        let check = |text: &str, error| assert_eq!(HostPattern::parse(text), Err(error), "{text:?}");
        for text in ["*", "*.", "**"] {
            check(text, PatternError::AnyHost);
        }
        for text in [
            "a*.example.com",
            "*a.example.com",
            "a.*.com",
            "*.*.com",
            "**.example.com",
            "example.*",
            "*example.com",
        ] {
            check(text, PatternError::Wildcard);
        }
        for text in ["*.127.0.0.1", "*.1", "*.[::1]", "*.::1"] {
            assert!(
                matches!(HostPattern::parse(text), Err(PatternError::AddressWildcard)),
                "{text:?}"
            );
        }
        for text in [
            "https://example.com",
            "example.com:443",
            "example.com/x",
            "user@example.com",
        ] {
            check(text, PatternError::NotOnlyHost);
        }
        check("", PatternError::Host(HostError::Empty));
        check("*..com", PatternError::Host(HostError::Name));
        check("\u{ff0a}.com", PatternError::Host(HostError::Name));
    }

    #[test]
    fn host_patterns_cover() {
        let covers = |mine: &str, theirs: &str| {
            HostPattern::parse(mine)
                .unwrap()
                .covers(&HostPattern::parse(theirs).unwrap())
        };
        assert!(
            covers("a.com", "a.com")
                && covers("*.com", "a.com")
                && covers("*.com", "*.com")
                && covers("*.com", "*.a.com")
        );
        assert!(
            !covers("a.com", "*.a.com")
                && !covers("*.a.com", "a.com")
                && !covers("*.a.com", "*.com")
                && !covers("*.a.com", "*.ba.com")
        );
    }

    #[track_caller]
    fn check_path(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = PathPattern::parse(pattern).unwrap();
        for text in matching {
            assert!(
                pattern.matches(&CanonicalPath::parse(text).unwrap()),
                "{pattern} should match {text}"
            );
        }
        for text in others {
            assert!(
                !pattern.matches(&CanonicalPath::parse(text).unwrap()),
                "{pattern} should not match {text}"
            );
        }
        assert_eq!(PathPattern::parse(pattern.as_str()), Ok(pattern));
    }

    #[test]
    fn path_patterns() {
        check_path(
            "/graphql",
            &["/graphql", "/gr%61phql"],
            &["/graphql/", "/Graphql", "/graphqlx", "/", "//graphql"],
        );
        check_path(
            "/repos/**",
            &["/repos/", "/repos/a", "/repos/a/b", "/repos//x"],
            &["/repos", "/reposx/a", "/x/repos/a"],
        );
        check_path(
            "/repos/*",
            &["/repos/a", "/repos/a%2Fb"],
            &["/repos/", "/repos/a/", "/repos/a/b", "/repos"],
        );
        check_path(
            "/repos/*/issues",
            &["/repos/a/issues"],
            &["/repos//issues", "/repos/issues", "/repos/a/b/issues"],
        );
        check_path("/*/*", &["/a/b"], &["/a", "/a/b/c", "//b", "/a/"]);
        check_path("/**", &["/", "/a", "/a/b/"], &[]);
        check_path("/**/x", &["/a/x", "//x", "/a/b/x", "/x/x"], &["/x", "/a/xy", "/ax"]);
        check_path("/v*/x", &["/v/x", "/v1/x", "/v1.2/x"], &["/v1/y/x", "/w/x"]);
        check_path(
            "/a*b*c",
            &["/abc", "/aXbYc", "/abbc", "/abcbc"],
            &["/ab/c", "/a/bc", "/abcd"],
        );
        check_path("/**.json", &["/a/b.json", "/.json"], &["/a.json/b"]);
        check_path("/a**/b", &["/a/b", "/ax/y/b"], &["/b"]);
        check_path("/caf%C3%A9", &["/caf%c3%a9"], &["/cafe"]);
        check_path("/a%2Ab", &["/a*b", "/a%2ab"], &["/axb"]);
        check_path("/{id}", &["/{id}", "/%7bid%7D"], &["/x"]);
        check_path(
            "/**/b/*/d",
            &["/a/b/c/d", "/b/b/c/d", "/a/b/b/b/b/d"],
            &["/b/c/d", "/a/b/c/e/d"],
        );
    }

    #[test]
    fn path_patterns_that_are_none() {
        let check = |text: &str, error| assert_eq!(PathPattern::parse(text), Err(error), "{text:?}");
        check("", PatternError::Path(PathError::Relative));
        check("repos/**", PatternError::Path(PathError::Relative));
        check("*", PatternError::Path(PathError::Relative));
        check("/a?b=c", PatternError::Query);
        check("/***", PatternError::Asterisks);
        check("/a/../b", PatternError::Path(PathError::DotSegment));
        check("/a/%2e%2e/*", PatternError::Path(PathError::DotSegment));
        check("/é", PatternError::Path(PathError::Character));
        check("/%zz", PatternError::Path(PathError::Escape));
        for character in ["a", "{"] {
            check(
                &format!("/{}", character.repeat(MAX_PATTERN_BYTES)),
                PatternError::TooLong,
            );
        }
        check(
            &format!("/{}", "{".repeat(MAX_PATTERN_BYTES / 2)),
            PatternError::TooLong,
        );
    }

    #[test]
    fn denied_paths_are_denied_in_every_reading() {
        let denied = |pattern: &str, path: &str| {
            PathPattern::parse(pattern)
                .unwrap()
                .matches_any_reading(&CanonicalPath::parse(path).unwrap())
        };
        for path in [
            "/admin/x",
            "//admin/x",
            "/admin%2Fx",
            "/admin%5Cx",
            "/%61dmin/x",
            "/admin%252fx",
            "/admin;v=1/x",
            "/admin//x",
            "/%5cadmin/x",
        ] {
            assert!(denied("/admin/*", path), "{path}");
        }
        assert!(denied("/admin", "/admin/") && denied("/admin", "/admin;x") && denied("/admin", "/admin%2F"));
        assert!(denied("/caf%C3%A9/x", "//caf%C3%A9/x"));
        assert!(denied("/a%2Fb", "/a/b") && denied("/a%2Ab", "/a*b"));
        assert!(!denied("/admin/*", "/public/admin/x"));
        assert!(!denied("/admin", "/administrators"));
    }

    #[test]
    fn matching_does_not_blow_up() {
        let pattern = PathPattern::parse(&format!("/{}b", "**a*a".repeat(100))).unwrap();
        let path = CanonicalPath::parse(&format!("/{}", "a".repeat(20_000))).unwrap();
        assert!(!pattern.matches(&path));
    }

    #[test]
    fn path_patterns_cover() {
        let covers = |mine: &str, theirs: &str| {
            PathPattern::parse(mine)
                .unwrap()
                .covers(&PathPattern::parse(theirs).unwrap())
        };
        for (mine, theirs) in [
            ("/**", "/**"),
            ("/**", "/a/*"),
            ("/a/**", "/a/b/**"),
            ("/a/*", "/a/b"),
            ("/a/*", "/a/b*"),
            ("/a/*", "/a/*"),
            ("/a/**", "/a/"),
            ("/*/b", "/a/b"),
        ] {
            assert!(covers(mine, theirs), "{mine} {theirs}");
        }
        for (mine, theirs) in [
            ("/a/*", "/a/**"),
            ("/a/b", "/a/*"),
            ("/a/**", "/a"),
            ("/a/*", "/a/"),
            ("/a/**", "/**"),
            ("/a/*/c", "/a/**"),
        ] {
            assert!(!covers(mine, theirs), "{mine} {theirs}");
        }
    }

    /// A backtracking matcher that says what the wildcards mean; `opens` when the byte before is a `/`.
    fn naive(pattern: &[u8], text: &[u8], opens: bool) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..], false)),
            [b'*', rest @ ..] => {
                let whole = opens && matches!(rest, [] | [b'/', ..]);
                let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (usize::from(whole)..=end).any(|taken| naive(rest, &text[taken..], false))
            }
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..], *byte == b'/'),
        }
    }

    proptest! {
        #[test]
        fn patterns_mean_what_the_naive_matcher_says(pattern in "/([ab/]|\\*[ab/]|\\*\\*[ab/]){0,6}\\*{0,2}", text in "/[ab/]{0,8}") {
            let parsed = PathPattern::parse(&pattern).unwrap();
            let path = CanonicalPath::parse(&text).unwrap();
            prop_assert_eq!(parsed.matches(&path), naive(pattern.as_bytes(), text.as_bytes(), false), "{} {}", pattern, text);
        }

        #[test]
        fn covering_is_sound(mine in "/([ab/]|\\*[ab/]|\\*\\*[ab/]){0,4}\\*{0,2}", theirs in "/([ab/]|\\*[ab/]){0,4}\\*{0,2}", text in "/[ab/]{0,6}") {
            let (mine, theirs) = (PathPattern::parse(&mine).unwrap(), PathPattern::parse(&theirs).unwrap());
            let path = CanonicalPath::parse(&text).unwrap();
            if mine.covers(&theirs) && theirs.matches(&path) {
                prop_assert!(mine.matches(&path), "{} {} {}", mine, theirs, text);
            }
        }

        #[test]
        fn any_reading_takes_in_the_canonical_one(pattern in "/[ab/*%2F]{0,8}", text in "/([ab/;]|%2F|%5C|%61){0,8}") {
            if let (Ok(pattern), Ok(path)) = (PathPattern::parse(&pattern), CanonicalPath::parse(&text)) {
                prop_assert!(!pattern.matches(&path) || pattern.matches_any_reading(&path));
            }
        }
    }
}
