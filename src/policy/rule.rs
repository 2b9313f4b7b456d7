//! Allow and deny rules, and the lists that hold them.
//!
//! A rule can't be made contradictory: what would never match, or would match less than it seems to, is refused here. Which
//! rule wins is decided in `decision`; reading files is done in `config`.

use std::fmt;
use std::sync::Arc;

use super::decision::RequestHead;
use super::pattern::{HostPattern, PathPattern};
use super::reason::DenyReason;
use super::target::Scheme;

/// Where in a file something was said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourcePosition {
    /// The file, as the person who started Egret would name it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Which of a list's two sequences a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKind {
    /// Under `rules`.
    Allow,
    /// Under `deny`.
    Deny,
}

/// The name of a rule: `github/3`, `github/deny/1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId {
    /// The allowlist's name.
    pub list: Arc<str>,
    /// Allow or deny.
    pub kind: RuleKind,
    /// The place in its sequence, from 1.
    pub number: usize,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RuleKind::Allow => write!(f, "{}/{}", self.list, self.number),
            RuleKind::Deny => write!(f, "{}/deny/{}", self.list, self.number),
        }
    }
}

/// What is done with an allowed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Treatment {
    /// TLS is ended here, and each request inside is decided, redacted and recorded.
    Intercept,
    /// The name is checked, and the bytes pass unread: for pinned and mutual-TLS origins.
    Tunnel,
}

impl Treatment {
    /// The word for it in an allowlist and a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intercept => "intercept",
            Self::Tunnel => "tunnel",
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why parts make no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A list that, being empty, would match nothing; or everything, to a hasty reader.
    #[error("{0} is empty; leave it out for its default")]
    Empty(&'static str),
    /// No connection goes to port 0.
    #[error("0 is no port")]
    Port,
    /// No method has such characters.
    #[error("{0:?} is no method")]
    Method(Box<str>),
    /// Methods are case-sensitive, and the known ones are in capitals.
    #[error("methods are in capitals: write {0}")]
    MethodCase(Box<str>),
    /// CONNECT is decided by host and port alone.
    #[error("CONNECT is decided by host and port; leave it out of the methods")]
    MethodConnect,
    /// A tunnel's requests can't be seen.
    #[error("a tunnel can't see {0}; leave them out, or use treatment: intercept")]
    TunnelSelects(&'static str),
    /// A tunnel is TLS.
    #[error("a tunnel carries TLS only; its schemes can't name http")]
    TunnelHttp,
}

/// What allow and deny rules select by; a part that is `None` is the default, which differs between the two.
#[derive(Debug, Clone)]
pub struct Selectors {
    /// Which hosts.
    pub hosts: HostPattern,
    /// Which ports. Default: for an allow rule those of its schemes, for a deny rule every port.
    pub ports: Option<Vec<u16>>,
    /// Which schemes. Default: for an allow rule `https`, for a deny rule both.
    pub schemes: Option<Vec<Scheme>>,
    /// Which methods. Default: every method.
    pub methods: Option<Vec<Box<str>>>,
    /// Which paths. Default: every path.
    pub paths: Option<Vec<PathPattern>>,
}

impl Selectors {
    /// Selectors for these hosts, with the default for all else.
    pub fn new(hosts: HostPattern) -> Self {
        Self {
            hosts,
            ports: None,
            schemes: None,
            methods: None,
            paths: None,
        }
    }

    fn check(&self) -> Result<(), RuleError> {
        not_empty("ports", self.ports.as_deref())?;
        not_empty("schemes", self.schemes.as_deref())?;
        not_empty("methods", self.methods.as_deref())?;
        not_empty("paths", self.paths.as_deref())?;
        if self.ports.iter().flatten().any(|port| *port == 0) {
            return Err(RuleError::Port);
        }
        self.methods
            .iter()
            .flatten()
            .try_for_each(|method| check_method(method))
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

fn not_empty<T>(name: &'static str, list: Option<&[T]>) -> Result<(), RuleError> {
    match list {
        Some([]) => Err(RuleError::Empty(name)),
        Some(_) | None => Ok(()),
    }
}

fn check_method(method: &str) -> Result<(), RuleError> {
    if method.is_empty() || !method.bytes().all(is_token_byte) {
        return Err(RuleError::Method(method.into()));
    }
    let capitals = method.to_ascii_uppercase();
    if capitals == "CONNECT" {
        return Err(RuleError::MethodConnect);
    }
    if capitals != method {
        return Err(RuleError::MethodCase(capitals.into_boxed_str()));
    }
    Ok(())
}

/// RFC 9110 § 5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The parts of an allow rule.
#[derive(Debug, Clone)]
pub struct RuleParts {
    /// Its name.
    pub id: RuleId,
    /// Where it was written.
    pub source: SourcePosition,
    /// What it allows.
    pub selectors: Selectors,
    /// How it is treated.
    pub treatment: Treatment,
    /// The kinds of secret that may go there. `None`: those whose audience the host is; an empty list: none at all.
    pub credentials: Option<Vec<Box<str>>>,
}

/// An allow rule.
#[derive(Debug, Clone)]
pub struct Rule {
    id: RuleId,
    name: Box<str>,
    source: SourcePosition,
    selectors: Selectors,
    schemes: Box<[Scheme]>,
    treatment: Treatment,
    credentials: Option<Vec<Box<str>>>,
}

impl Rule {
    /// A rule of these parts, if they don't contradict each other.
    pub fn new(parts: RuleParts) -> Result<Self, RuleError> {
        let RuleParts {
            id,
            source,
            selectors,
            treatment,
            credentials,
        } = parts;
        selectors.check()?;
        let schemes: Box<[Scheme]> = selectors.schemes.as_deref().unwrap_or(&[Scheme::Https]).into();
        if treatment == Treatment::Tunnel {
            check_tunnel(&selectors, &schemes)?;
        }
        Ok(Self {
            name: id.to_string().into(),
            id,
            source,
            selectors,
            schemes,
            treatment,
            credentials,
        })
    }

    /// Its name.
    pub fn id(&self) -> &RuleId {
        &self.id
    }

    /// Its name as text, such as `github/3`: what records and metrics call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was written.
    pub fn source(&self) -> &SourcePosition {
        &self.source
    }

    /// Which hosts it allows.
    pub fn hosts(&self) -> &HostPattern {
        &self.selectors.hosts
    }

    /// Which schemes it allows; never empty.
    pub fn schemes(&self) -> &[Scheme] {
        &self.schemes
    }

    /// Which ports it allows; `None` means the default port of the scheme.
    pub fn ports(&self) -> Option<&[u16]> {
        self.selectors.ports.as_deref()
    }

    /// The ports that a CONNECT may name, in order.
    pub(super) fn open_ports(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        let defaults = self
            .ports()
            .is_none()
            .then(|| self.schemes.iter().map(|scheme| scheme.default_port()));
        let named = self.ports().unwrap_or_default().iter().copied();
        named.chain(defaults.into_iter().flatten())
    }

    /// Which methods it allows; `None` means every method.
    pub fn methods(&self) -> Option<&[Box<str>]> {
        self.selectors.methods.as_deref()
    }

    /// Which paths it allows; `None` means every path.
    pub fn paths(&self) -> Option<&[PathPattern]> {
        self.selectors.paths.as_deref()
    }

    /// How what it allows is treated.
    pub fn treatment(&self) -> Treatment {
        self.treatment
    }

    /// The kinds of secret that may go there; `None` means those whose audience the host is, an empty list none at all.
    pub fn credentials(&self) -> Option<&[Box<str>]> {
        self.credentials.as_deref()
    }

    /// What of a request the rule doesn't allow, its host apart; `None` means that all of it is allowed.
    pub(super) fn miss(&self, head: &RequestHead<'_>) -> Option<Miss> {
        let scheme = head.target.scheme();
        if !self.schemes.contains(&scheme) {
            return Some(Miss::Scheme);
        }
        if !self.allows_port(scheme, head.target.port()) {
            return Some(Miss::Port);
        }
        if !self
            .methods()
            .is_none_or(|methods| methods.iter().any(|method| **method == *head.method))
        {
            return Some(Miss::Method);
        }
        if !self
            .paths()
            .is_none_or(|paths| paths.iter().any(|pattern| pattern.matches(head.path)))
        {
            return Some(Miss::Path);
        }
        None
    }

    /// What of a CONNECT the rule doesn't allow, its host apart: the scheme is known only once the client speaks.
    pub(super) fn miss_connect(&self, port: u16) -> Option<Miss> {
        let allowed = self.schemes.iter().any(|scheme| self.allows_port(*scheme, port));
        (!allowed).then_some(Miss::Port)
    }

    fn allows_port(&self, scheme: Scheme, port: u16) -> bool {
        match self.ports() {
            Some(ports) => ports.contains(&port),
            None => port == scheme.default_port(),
        }
    }
}

fn check_tunnel(selectors: &Selectors, schemes: &[Scheme]) -> Result<(), RuleError> {
    if selectors.methods.is_some() {
        return Err(RuleError::TunnelSelects("methods"));
    }
    if selectors.paths.is_some() {
        return Err(RuleError::TunnelSelects("paths"));
    }
    if schemes.contains(&Scheme::Http) {
        return Err(RuleError::TunnelHttp);
    }
    Ok(())
}

/// The first part of a request that a rule for its host doesn't allow; the later, the nearer the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    Scheme,
    Port,
    Method,
    Path,
}

impl Miss {
    pub(super) fn reason(self) -> DenyReason {
        match self {
            Self::Scheme => DenyReason::SchemeNotListed,
            Self::Port => DenyReason::PortNotListed,
            Self::Method => DenyReason::MethodNotListed,
            Self::Path => DenyReason::PathNotListed,
        }
    }
}

/// A deny rule; it selects like an allow rule, but what it leaves out it denies: every scheme, port, method, path.
#[derive(Debug, Clone)]
pub struct Deny {
    id: RuleId,
    source: SourcePosition,
    selectors: Selectors,
}

impl Deny {
    /// A deny rule of these parts.
    pub fn new(id: RuleId, source: SourcePosition, selectors: Selectors) -> Result<Self, RuleError> {
        selectors.check()?;
        Ok(Self { id, source, selectors })
    }

    /// Its name.
    pub fn id(&self) -> &RuleId {
        &self.id
    }

    /// Where it was written.
    pub fn source(&self) -> &SourcePosition {
        &self.source
    }

    /// What it denies.
    pub fn selectors(&self) -> &Selectors {
        &self.selectors
    }

    /// Whether it denies a request, its host apart. Compared more broadly than an allow rule: methods in any case, paths in
    /// any reading that an origin may have.
    pub(super) fn covers(&self, head: &RequestHead<'_>) -> bool {
        let Selectors { methods, paths, .. } = &self.selectors;
        self.has_scheme(head.target.scheme())
            && self.selectors.has_port(head.target.port())
            && methods
                .as_ref()
                .is_none_or(|methods| methods.iter().any(|method| method.eq_ignore_ascii_case(head.method)))
            && paths
                .as_ref()
                .is_none_or(|paths| paths.iter().any(|pattern| pattern.matches_any_reading(head.path)))
    }

    /// Whether it may deny something that goes to this port of its host.
    pub(super) fn touches(&self, port: u16) -> bool {
        self.selectors.has_port(port)
    }

    /// Whether it denies everything that goes to this port of its host.
    pub(super) fn covers_all_of(&self, port: u16) -> bool {
        self.touches(port)
            && self.selectors.methods.is_none()
            && self.selectors.paths.is_none()
            && Scheme::ALL.into_iter().all(|scheme| self.has_scheme(scheme))
    }

    fn has_scheme(&self, scheme: Scheme) -> bool {
        self.selectors
            .schemes
            .as_ref()
            .is_none_or(|schemes| schemes.contains(&scheme))
    }
}

/// A named list of rules.
#[derive(Debug, Clone)]
pub struct Allowlist {
    name: Arc<str>,
    description: Box<str>,
    rules: Vec<Arc<Rule>>,
    denies: Vec<Arc<Deny>>,
}

impl Allowlist {
    /// A list of rules, in the order that they were written.
    pub fn new(name: Arc<str>, description: &str, rules: Vec<Rule>, denies: Vec<Deny>) -> Self {
        Self {
            name,
            description: description.into(),
            rules: rules.into_iter().map(Arc::new).collect(),
            denies: denies.into_iter().map(Arc::new).collect(),
        }
    }

    /// The name that workloads allow it by.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its allow rules.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Its deny rules.
    pub fn denies(&self) -> &[Arc<Deny>] {
        &self.denies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: RuleKind) -> RuleId {
        RuleId {
            list: "github".into(),
            kind,
            number: 3,
        }
    }

    fn source() -> SourcePosition {
        SourcePosition {
            file: "github.yaml".into(),
            line: 12,
            column: 5,
        }
    }

    fn selectors(change: impl FnOnce(&mut Selectors)) -> Selectors {
        let mut selectors = Selectors::new(HostPattern::parse("example.com").unwrap());
        change(&mut selectors);
        selectors
    }

    #[track_caller]
    fn check(treatment: Treatment, change: impl FnOnce(&mut Selectors), expected: &Result<(), RuleError>) {
        let parts = RuleParts {
            id: id(RuleKind::Allow),
            source: source(),
            selectors: selectors(change),
            treatment,
            credentials: None,
        };
        assert_eq!(&Rule::new(parts).map(|_| ()), expected);
    }

    #[test]
    fn rules_do_not_contradict_themselves() {
        use Treatment::{Intercept, Tunnel};
        check(Intercept, |_| {}, &Ok(()));
        check(Intercept, |s| s.ports = Some(vec![]), &Err(RuleError::Empty("ports")));
        check(
            Intercept,
            |s| s.schemes = Some(vec![]),
            &Err(RuleError::Empty("schemes")),
        );
        check(
            Intercept,
            |s| s.methods = Some(vec![]),
            &Err(RuleError::Empty("methods")),
        );
        check(Intercept, |s| s.paths = Some(vec![]), &Err(RuleError::Empty("paths")));
        check(Intercept, |s| s.ports = Some(vec![443, 0]), &Err(RuleError::Port));
        check(
            Intercept,
            |s| s.methods = Some(vec!["GET".into(), "M-SEARCH".into()]),
            &Ok(()),
        );
        check(
            Intercept,
            |s| s.methods = Some(vec!["get".into()]),
            &Err(RuleError::MethodCase("GET".into())),
        );
        check(
            Intercept,
            |s| s.methods = Some(vec!["connect".into()]),
            &Err(RuleError::MethodConnect),
        );
        check(
            Intercept,
            |s| s.methods = Some(vec!["".into()]),
            &Err(RuleError::Method("".into())),
        );
        check(
            Intercept,
            |s| s.methods = Some(vec!["G T".into()]),
            &Err(RuleError::Method("G T".into())),
        );
        check(Tunnel, |s| s.ports = Some(vec![8443]), &Ok(()));
        check(
            Tunnel,
            |s| s.methods = Some(vec!["GET".into()]),
            &Err(RuleError::TunnelSelects("methods")),
        );
        check(
            Tunnel,
            |s| s.paths = Some(vec![PathPattern::parse("/**").unwrap()]),
            &Err(RuleError::TunnelSelects("paths")),
        );
        check(
            Tunnel,
            |s| s.schemes = Some(vec![Scheme::Https, Scheme::Http]),
            &Err(RuleError::TunnelHttp),
        );
        assert_eq!(
            Deny::new(id(RuleKind::Deny), source(), selectors(|s| s.paths = Some(vec![]))).map(|_| ()),
            Err(RuleError::Empty("paths"))
        );
    }

    #[test]
    fn names_and_places_display() {
        assert_eq!(id(RuleKind::Allow).to_string(), "github/3");
        assert_eq!(id(RuleKind::Deny).to_string(), "github/deny/3");
        assert_eq!(source().to_string(), "github.yaml:12:5");
    }
}
