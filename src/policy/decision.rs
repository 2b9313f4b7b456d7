//! The verdict on a request: a permit, which is the only way on, or a denial that says what would have to change.
//!
//! Deny rules come before allow rules, in any list; among allow rules the first that matches wins. No rules, no permit.
//! Nothing is looked up and nothing is read here.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::hint;
use super::host::{DnsName, Host};
use super::path::CanonicalPath;
use super::pattern::HostPattern;
use super::reason::DenyReason;
use super::rule::{Allowlist, Deny, Miss, Rule, RuleId, Treatment};
use super::target::{Authority, Scheme, Target};

/// What becomes of a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The denial is recorded, and the request passes. Address, name and redaction checks hold all the same.
    Observe,
}

impl Mode {
    /// The word for it in the configuration and a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// The part of a request that rules are compared with.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// Its method, as it came.
    pub method: &'a str,
    /// Its path.
    pub path: &'a CanonicalPath,
}

/// The verdict.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It may go on.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// Proof that a policy allowed a request or a tunnel to one host and port. What comes next (looking up, vetting, dialling)
/// takes nothing else.
///
/// Only [`Policy::decide`] and [`Policy::decide_connect`] make one:
///
/// ```
/// use egret::policy::{Authority, Decision, Mode, Permit, Policy};
/// let policy = Policy::new(&[], Mode::Observe);
/// let authority = Authority::parse("example.com:443").unwrap();
/// let Decision::Allow(permit) = policy.decide_connect(&authority) else { unreachable!() };
/// let _: &Permit = &permit;
/// ```
///
/// ```compile_fail,E0451
/// use egret::policy::{Authority, Permit, Treatment};
/// let authority = Authority::parse("example.com:443").unwrap();
/// let forged = Permit { authority, treatment: Treatment::Tunnel, rule: None, observed: None };
/// ```
///
/// ```compile_fail,E0277
/// fn default<T: Default>() {}
/// default::<egret::policy::Permit>();
/// ```
///
/// ```compile_fail,E0277
/// fn clone<T: Clone>() {}
/// clone::<egret::policy::Permit>();
/// ```
#[derive(Debug)]
#[must_use]
pub struct Permit {
    authority: Authority,
    treatment: Treatment,
    /// `None` only when a denial was observed.
    rule: Option<Arc<Rule>>,
    observed: Option<Denial>,
}

impl Permit {
    fn by_rule(authority: &Authority, rule: &Arc<Rule>, treatment: Treatment) -> Decision {
        Decision::Allow(Self {
            authority: authority.clone(),
            treatment,
            rule: Some(Arc::clone(rule)),
            observed: None,
        })
    }

    fn observing(authority: &Authority, denial: Denial) -> Decision {
        let authority = authority.clone();
        Decision::Allow(Self {
            authority,
            treatment: Treatment::Intercept,
            rule: None,
            observed: Some(denial),
        })
    }

    /// The host and port that may be reached.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host that may be looked up.
    pub fn host(&self) -> &Host {
        self.authority.host()
    }

    /// The port that may be dialled.
    pub fn port(&self) -> u16 {
        self.authority.port()
    }

    /// How it is to be treated.
    pub fn treatment(&self) -> Treatment {
        self.treatment
    }

    /// The rule that allowed it; `None` when a denial was only observed.
    pub fn rule(&self) -> Option<&Arc<Rule>> {
        self.rule.as_ref()
    }

    /// Why it would have been refused in enforce mode.
    pub fn observed(&self) -> Option<DenyReason> {
        self.observed.as_ref().map(Denial::reason)
    }

    /// The denial that was observed instead of enforced.
    pub fn observed_denial(&self) -> Option<&Denial> {
        self.observed.as_ref()
    }
}

/// A refusal, with what a person needs in order to change it.
#[derive(Debug, Clone)]
pub struct Denial {
    reason: DenyReason,
    cause: Cause,
    lists: Arc<[Arc<str>]>,
}

/// The rule that a denial is about.
#[derive(Debug, Clone)]
enum Cause {
    Denied(Arc<Deny>),
    Nearest(Arc<Rule>),
    NoRule,
}

impl Denial {
    /// Why.
    pub fn reason(&self) -> DenyReason {
        self.reason
    }

    /// The deny rule that forbade it, if one did.
    pub fn denied_by(&self) -> Option<&Arc<Deny>> {
        match &self.cause {
            Cause::Denied(deny) => Some(deny),
            Cause::Nearest(_) | Cause::NoRule => None,
        }
    }

    /// The allow rule for the host that missed by least, if there is any.
    pub fn nearest(&self) -> Option<&Arc<Rule>> {
        match &self.cause {
            Cause::Nearest(rule) => Some(rule),
            Cause::Denied(_) | Cause::NoRule => None,
        }
    }

    /// The name of the deny rule that forbade it: what a record names as the rule that decided.
    pub fn rule_id(&self) -> Option<&RuleId> {
        self.denied_by().map(|deny| deny.id())
    }

    /// The change that would allow this request, down to the line of YAML and where to put it. It repeats the path as it was
    /// asked for, so it goes to whoever asked, but into a log or record only after redaction.
    pub fn hint(&self, head: &RequestHead<'_>) -> String {
        hint::render(self, &self.lists, &hint::rule_for(head))
    }

    /// The change that would allow this CONNECT.
    pub fn hint_connect(&self, authority: &Authority) -> String {
        hint::render(self, &self.lists, &hint::rule_for_connect(authority))
    }
}

/// What one workload may reach.
#[derive(Debug, Clone)]
pub struct Policy {
    mode: Mode,
    rules: Index<Rule>,
    denies: Index<Deny>,
    lists: Arc<[Arc<str>]>,
}

impl Policy {
    /// A policy of these lists, in this order.
    pub fn new(lists: &[Arc<Allowlist>], mode: Mode) -> Self {
        Self {
            mode,
            rules: lists
                .iter()
                .flat_map(|list| list.rules())
                .map(|rule| (rule.hosts(), rule))
                .collect(),
            denies: lists
                .iter()
                .flat_map(|list| list.denies())
                .map(|deny| (&deny.selectors().hosts, deny))
                .collect(),
            lists: lists.iter().map(|list| Arc::clone(list.name())).collect(),
        }
    }

    /// What becomes of a denial.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Its rules, in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.entries()
    }

    /// The names of its lists, in order.
    pub fn lists(&self) -> &[Arc<str>] {
        &self.lists
    }

    /// The verdict on a whole request.
    pub fn decide(&self, head: &RequestHead<'_>) -> Decision {
        let authority = head.target.authority();
        if let Some(deny) = self.denies.first(authority.host(), |deny| deny.covers(head)) {
            return self.refuse(authority, DenyReason::HostDenied, Cause::Denied(Arc::clone(deny)));
        }
        match self.search(authority.host(), |rule| rule.miss(head)) {
            Search::Found(rule) => Permit::by_rule(authority, rule, rule.treatment()),
            Search::Missed(miss, rule) => self.refuse(authority, miss.reason(), Cause::Nearest(Arc::clone(rule))),
            Search::Nothing => self.refuse(authority, DenyReason::HostNotListed, Cause::NoRule),
        }
    }

    /// The verdict on a CONNECT, whose requests are not known yet: with treatment `intercept` each of them is decided on its own.
    ///
    /// A deny rule that covers only some of what may come (by method, path or scheme) doesn't refuse the CONNECT, but turns a
    /// tunnel, whose requests nobody would see, into an interception.
    pub fn decide_connect(&self, authority: &Authority) -> Decision {
        let (host, port) = (authority.host(), authority.port());
        if let Some(deny) = self.denies.first(host, |deny| deny.covers_all_of(port)) {
            return self.refuse(authority, DenyReason::HostDenied, Cause::Denied(Arc::clone(deny)));
        }
        match self.search(host, |rule| rule.miss_connect(port)) {
            Search::Found(rule) => Permit::by_rule(authority, rule, self.connect_treatment(authority, rule)),
            Search::Missed(miss, rule) => self.refuse(authority, miss.reason(), Cause::Nearest(Arc::clone(rule))),
            Search::Nothing => self.refuse(authority, DenyReason::HostNotListed, Cause::NoRule),
        }
    }

    /// The verdict on looking a name up without saying for what: allowed if a CONNECT to any of its ports would be. The permit is for the
    /// first such port.
    pub fn decide_lookup(&self, name: &DnsName) -> Decision {
        let host = Host::Name(name.clone());
        let mut rules: Vec<_> = self.rules.of(&host).collect();
        rules.sort_by_key(|ranked| ranked.rank);
        let mut ports = rules.iter().flat_map(|ranked| ranked.entry.open_ports());
        let is_open = |port: &u16| self.denies.first(&host, |deny| deny.covers_all_of(*port)).is_none();
        let port = ports.clone().find(is_open).or_else(|| ports.next());
        self.decide_connect(&Authority::new(host, port.unwrap_or(Scheme::Https.default_port())))
    }

    fn connect_treatment(&self, authority: &Authority, rule: &Rule) -> Treatment {
        match self
            .denies
            .first(authority.host(), |deny| deny.touches(authority.port()))
        {
            Some(_) => Treatment::Intercept,
            None => rule.treatment(),
        }
    }

    fn search<'a>(&'a self, host: &Host, miss: impl Fn(&Rule) -> Option<Miss>) -> Search<'a> {
        if let Some(rule) = self.rules.first(host, |rule| miss(rule).is_none()) {
            return Search::Found(rule);
        }
        // Only a denial comes here, so that the second look costs nothing on the way of what is allowed.
        let missed = self
            .rules
            .of(host)
            .filter_map(|ranked| Some((miss(&ranked.entry)?, ranked)));
        match missed.max_by_key(|(miss, ranked)| (*miss, Reverse(ranked.rank))) {
            Some((miss, ranked)) => Search::Missed(miss, &ranked.entry),
            None => Search::Nothing,
        }
    }

    fn refuse(&self, authority: &Authority, reason: DenyReason, cause: Cause) -> Decision {
        let denial = Denial {
            reason,
            cause,
            lists: Arc::clone(&self.lists),
        };
        match self.mode {
            Mode::Enforce => Decision::Deny(denial),
            Mode::Observe => Permit::observing(authority, denial),
        }
    }
}

/// What the allow rules for a host came to.
enum Search<'a> {
    Found(&'a Arc<Rule>),
    Missed(Miss, &'a Arc<Rule>),
    Nothing,
}

/// Rules by the host that they are for, so that a request meets only those that may concern it.
#[derive(Debug, Clone)]
struct Index<T> {
    names: HashMap<DnsName, Vec<Ranked<T>>>,
    addresses: HashMap<IpAddr, Vec<Ranked<T>>>,
    below: HashMap<DnsName, Vec<Ranked<T>>>,
}

/// A rule and its place in the order of all.
#[derive(Debug)]
struct Ranked<T> {
    rank: usize,
    entry: Arc<T>,
}

// Derived, it would want `T: Clone`.
impl<T> Clone for Ranked<T> {
    fn clone(&self) -> Self {
        Self {
            rank: self.rank,
            entry: Arc::clone(&self.entry),
        }
    }
}

impl<'a, T> FromIterator<(&'a HostPattern, &'a Arc<T>)> for Index<T>
where
    T: 'a,
{
    fn from_iter<I: IntoIterator<Item = (&'a HostPattern, &'a Arc<T>)>>(entries: I) -> Self {
        let mut index = Self {
            names: HashMap::new(),
            addresses: HashMap::new(),
            below: HashMap::new(),
        };
        for (rank, (hosts, entry)) in entries.into_iter().enumerate() {
            index.slot(hosts).push(Ranked {
                rank,
                entry: Arc::clone(entry),
            });
        }
        index
    }
}

impl<T> Index<T> {
    fn slot(&mut self, hosts: &HostPattern) -> &mut Vec<Ranked<T>> {
        match hosts {
            HostPattern::Exact(Host::Name(name)) => self.names.entry(name.clone()).or_default(),
            HostPattern::Exact(Host::Address(address)) => self.addresses.entry(*address).or_default(),
            HostPattern::Below(parent) => self.below.entry(parent.clone()).or_default(),
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<T>> {
        let names = self.names.values().chain(self.below.values());
        names
            .chain(self.addresses.values())
            .flatten()
            .map(|ranked| &ranked.entry)
    }

    /// The rules for a host, each group of them in order.
    fn groups<'a>(&'a self, host: &Host) -> impl Iterator<Item = &'a Vec<Ranked<T>>> {
        let exact = match host {
            Host::Name(name) => self.names.get(name),
            Host::Address(address) => self.addresses.get(address),
        };
        let parents = host.name().into_iter().flat_map(DnsName::parents);
        exact
            .into_iter()
            .chain(parents.filter_map(|parent| self.below.get(parent)))
    }

    fn of<'a>(&'a self, host: &Host) -> impl Iterator<Item = &'a Ranked<T>> {
        self.groups(host).flatten()
    }

    /// The first rule for a host that passes the test.
    fn first<'a>(&'a self, host: &Host, test: impl Fn(&T) -> bool) -> Option<&'a Arc<T>> {
        let firsts = self
            .groups(host)
            .filter_map(|group| group.iter().find(|ranked| test(&ranked.entry)));
        firsts.min_by_key(|ranked| ranked.rank).map(|ranked| &ranked.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Scheme;
    use crate::policy::fixture::list;
    use proptest::prelude::*;

    fn policy(lines: &[&str]) -> Policy {
        Policy::new(&[list("a", lines)], Mode::Enforce)
    }

    /// Reads `METHOD URL` and gives it to `f` as a request head.
    fn with_head<T>(request: &str, f: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let (method, url) = request.split_once(' ').unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let scheme = Scheme::parse(scheme).unwrap();
        let target = Target::at(scheme, Authority::parse_for(scheme, authority).unwrap());
        let path = CanonicalPath::parse(path).unwrap();
        f(&RequestHead {
            target: &target,
            method,
            path: &path,
        })
    }

    fn ask(policy: &Policy, request: &str) -> Decision {
        match request.strip_prefix("CONNECT ") {
            Some(authority) => policy.decide_connect(&Authority::parse(authority).unwrap()),
            None => with_head(request, |head| policy.decide(head)),
        }
    }

    #[track_caller]
    fn allowed(policy: &Policy, request: &str, rule: &str, treatment: Treatment) {
        match ask(policy, request) {
            Decision::Allow(permit) => {
                assert_eq!(
                    permit.rule().map(|rule| rule.id().to_string()).as_deref(),
                    Some(rule),
                    "{request}"
                );
                assert_eq!(permit.treatment(), treatment, "{request}");
                assert_eq!(permit.observed(), None, "{request}");
            }
            Decision::Deny(denial) => panic!("{request}: {denial:?}"),
        }
    }

    /// Refused for a reason, with the nearest allow rule or the deny rule that forbade it.
    #[track_caller]
    fn refused(policy: &Policy, request: &str, reason: DenyReason, rule: &str) {
        match ask(policy, request) {
            Decision::Allow(permit) => panic!("{request}: {permit:?}"),
            Decision::Deny(denial) => {
                assert_eq!(denial.reason(), reason, "{request}");
                let nearest = denial.nearest().map(|rule| rule.id().to_string());
                let named = denial.rule_id().map(ToString::to_string).or(nearest);
                assert_eq!(named.unwrap_or_default(), rule, "{request}");
            }
        }
    }

    #[test]
    fn nothing_listed_is_nothing_allowed() {
        for policy in [
            Policy::new(&[], Mode::Enforce),
            policy(&[]),
            policy(&["deny example.com"]),
        ] {
            refused(&policy, "GET https://other.com/", DenyReason::HostNotListed, "");
            refused(&policy, "CONNECT other.com:443", DenyReason::HostNotListed, "");
        }
    }

    #[test]
    fn defaults_are_https_on_443_with_any_method_and_path() {
        let policy = policy(&["example.com", "http+https both.com", "http+https ports.com:8080"]);
        let intercept = Treatment::Intercept;
        allowed(&policy, "BREW https://EXAMPLE.com./any", "a/1", intercept);
        allowed(&policy, "CONNECT example.com:443", "a/1", intercept);
        refused(&policy, "GET http://example.com/", DenyReason::SchemeNotListed, "a/1");
        refused(
            &policy,
            "GET http://example.com:443/",
            DenyReason::SchemeNotListed,
            "a/1",
        );
        refused(&policy, "GET https://example.com:80/", DenyReason::PortNotListed, "a/1");
        refused(&policy, "CONNECT example.com:80", DenyReason::PortNotListed, "a/1");
        refused(&policy, "GET https://a.example.com/", DenyReason::HostNotListed, "");
        allowed(&policy, "GET http://both.com/", "a/2", intercept);
        allowed(&policy, "CONNECT both.com:80", "a/2", intercept);
        refused(&policy, "GET http://both.com:443/", DenyReason::PortNotListed, "a/2");
        allowed(&policy, "GET http://ports.com:8080/", "a/3", intercept);
        refused(&policy, "CONNECT ports.com:443", DenyReason::PortNotListed, "a/3");
    }

    #[test]
    fn the_reason_is_the_nearest_miss() {
        let policy = policy(&["api.test GET /v1/**", "*.test:8443 POST", "api.test GET,PUT /v2"]);
        refused(&policy, "GET https://api.test/v3", DenyReason::PathNotListed, "a/1");
        refused(&policy, "PUT https://api.test/v1/x", DenyReason::PathNotListed, "a/3");
        refused(
            &policy,
            "DELETE https://api.test/v1/x",
            DenyReason::MethodNotListed,
            "a/1",
        );
        refused(&policy, "get https://api.test/v1/x", DenyReason::MethodNotListed, "a/1");
        refused(
            &policy,
            "GET https://api.test:8443/v1/x",
            DenyReason::MethodNotListed,
            "a/2",
        );
        refused(&policy, "GET https://b.test/", DenyReason::PortNotListed, "a/2");
        refused(&policy, "GET https://test/", DenyReason::HostNotListed, "");
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let lists = [
            list("a", &["*.example.com", "api.example.com tunnel"]),
            list("b", &["api.example.com", "*.b.example.com tunnel", "x.b.example.com"]),
        ];
        let policy = Policy::new(&lists, Mode::Enforce);
        allowed(&policy, "CONNECT api.example.com:443", "a/1", Treatment::Intercept);
        let policy = Policy::new(&[Arc::clone(&lists[1]), Arc::clone(&lists[0])], Mode::Enforce);
        allowed(&policy, "CONNECT api.example.com:443", "b/1", Treatment::Intercept);
        allowed(&policy, "CONNECT x.b.example.com:443", "b/2", Treatment::Tunnel);
        allowed(&policy, "CONNECT x.a.example.com:443", "a/1", Treatment::Intercept);
    }

    #[test]
    fn addresses_match_only_as_such() {
        let policy = policy(&["127.0.0.1", "*.com"]);
        allowed(&policy, "GET https://2130706433/", "a/1", Treatment::Intercept);
        refused(
            &policy,
            "GET https://[::ffff:127.0.0.1]/",
            DenyReason::HostNotListed,
            "",
        );
        refused(&policy, "GET https://127.0.0.2/", DenyReason::HostNotListed, "");
    }

    #[test]
    fn deny_wins_over_every_allow() {
        let lists = [
            list("a", &["*.github.com", "http+https gist.github.com:80,443,8443"]),
            list("b", &["deny gist.github.com"]),
        ];
        for lists in [lists.to_vec(), lists.iter().rev().cloned().collect()] {
            let policy = Policy::new(&lists, Mode::Enforce);
            for request in [
                "GET https://gist.github.com/x",
                "GET http://gist.github.com/",
                "PUT https://gist.github.com:8443/",
                "CONNECT gist.github.com:443",
            ] {
                refused(&policy, request, DenyReason::HostDenied, "b/deny/1");
            }
            allowed(&policy, "GET https://api.github.com/", "a/1", Treatment::Intercept);
        }
    }

    #[test]
    fn deny_rules_select() {
        let policy = policy(&[
            "http+https example.com:80,443",
            "deny example.com DELETE",
            "deny example.com /admin/**",
            "deny http example.com",
            "deny example.com:8443",
        ]);
        allowed(&policy, "GET https://example.com/", "a/1", Treatment::Intercept);
        allowed(&policy, "CONNECT example.com:443", "a/1", Treatment::Intercept);
        allowed(&policy, "CONNECT example.com:80", "a/1", Treatment::Intercept);
        for method in ["DELETE", "delete", "Delete"] {
            refused(
                &policy,
                &format!("{method} https://example.com/"),
                DenyReason::HostDenied,
                "a/deny/1",
            );
        }
        for path in [
            "/admin/x",
            "//admin/x",
            "/admin%2Fx",
            "/%61dmin/",
            "/admin;x/y",
            "/admin%5cx",
            "/admin%252Fx",
        ] {
            refused(
                &policy,
                &format!("GET https://example.com{path}"),
                DenyReason::HostDenied,
                "a/deny/2",
            );
        }
        refused(&policy, "GET http://example.com/", DenyReason::HostDenied, "a/deny/3");
        refused(&policy, "CONNECT example.com:8443", DenyReason::HostDenied, "a/deny/4");
    }

    #[test]
    fn a_tunnel_that_could_hide_what_is_denied_is_intercepted() {
        let tunnel = |deny: &str| policy(&["example.com:443,8443 tunnel", deny]);
        allowed(
            &tunnel("deny other.com"),
            "CONNECT example.com:443",
            "a/1",
            Treatment::Tunnel,
        );
        for deny in [
            "deny example.com DELETE",
            "deny *.com /admin/**",
            "deny http example.com",
            "deny https example.com",
        ] {
            allowed(&tunnel(deny), "CONNECT example.com:443", "a/1", Treatment::Intercept);
        }
        let policy = tunnel("deny example.com:8443 /x");
        allowed(&policy, "CONNECT example.com:443", "a/1", Treatment::Tunnel);
        allowed(&policy, "CONNECT example.com:8443", "a/1", Treatment::Intercept);
    }

    #[test]
    fn a_name_may_be_looked_up_if_any_of_its_ports_is_open() {
        let policy = policy(&[
            "api.test GET /v1",
            "http web.test",
            "*.wild.test:8443 tunnel",
            "half.test:443,8443",
            "deny half.test:443",
            "shut.test",
            "deny shut.test:443",
            "deny gone.test",
            "part.test",
            "deny part.test DELETE",
        ]);
        let ask = |name: &str| match policy.decide_lookup(&DnsName::parse(name).unwrap()) {
            Decision::Allow(permit) => Ok((permit.host().to_string(), permit.port())),
            Decision::Deny(denial) => Err(denial.reason()),
        };
        for (name, port) in [
            ("api.test", 443),
            ("web.test", 80),
            ("a.wild.test", 8443),
            ("half.test", 8443),
            ("part.test", 443),
        ] {
            assert_eq!(ask(name), Ok((name.to_owned(), port)));
        }
        for (name, reason) in [
            ("other.test", DenyReason::HostNotListed),
            ("wild.test", DenyReason::HostNotListed),
            ("shut.test", DenyReason::HostDenied),
            ("gone.test", DenyReason::HostDenied),
        ] {
            assert_eq!(ask(name), Err(reason), "{name}");
        }
    }

    #[test]
    fn observing_lets_denials_pass_and_says_so() {
        let policy = Policy::new(
            &[list("a", &["example.com tunnel", "deny example.com:8443", "b.com GET"])],
            Mode::Observe,
        );
        allowed(&policy, "CONNECT example.com:443", "a/1", Treatment::Tunnel);
        for (request, reason) in [
            ("CONNECT other.com:443", DenyReason::HostNotListed),
            ("CONNECT example.com:8443", DenyReason::HostDenied),
            ("PUT https://b.com/", DenyReason::MethodNotListed),
        ] {
            let Decision::Allow(permit) = ask(&policy, request) else {
                panic!("{request}")
            };
            assert_eq!(permit.observed(), Some(reason));
            assert_eq!(permit.treatment(), Treatment::Intercept);
            assert!(permit.rule().is_none());
            assert_eq!(permit.observed_denial().map(Denial::reason), Some(reason));
        }
    }

    #[test]
    fn a_permit_names_what_was_asked_for() {
        let Decision::Allow(permit) = ask(&policy(&["*.example.com:8443"]), "GET https://A.example.com:8443/") else {
            panic!()
        };
        assert_eq!(
            (permit.host().to_string().as_str(), permit.port()),
            ("a.example.com", 8443)
        );
    }

    #[track_caller]
    fn hints(policy: &Policy, request: &str, expected: &str) {
        let Decision::Deny(denial) = ask(policy, request) else {
            panic!("{request}")
        };
        let hint = match request.strip_prefix("CONNECT ") {
            Some(authority) => denial.hint_connect(&Authority::parse(authority).unwrap()),
            None => with_head(request, |head| denial.hint(head)),
        };
        assert_eq!(hint, expected, "{request}");
    }

    #[test]
    fn hints_say_what_to_add_and_where() {
        let policy = Policy::new(
            &[list("a", &["api.test GET /v1/**", "deny no.test"]), list("b", &[])],
            Mode::Enforce,
        );
        let anywhere = "add under rules: of an allowlist of this workload (a, b): ";
        hints(
            &policy,
            "POST https://x.test/v1/x",
            &format!("{anywhere}- {{host: x.test, methods: [POST], paths: [\"/v1/x\"]}}"),
        );
        hints(
            &policy,
            "GET http://x.test:8080/a*b",
            &format!(
                "{anywhere}- {{host: x.test, schemes: [http], ports: [8080], methods: [GET], paths: [\"/a%2Ab\"]}}"
            ),
        );
        hints(
            &policy,
            "NO https://[::1]/",
            &format!("{anywhere}- {{host: \"[::1]\", methods: [\"NO\"], paths: [\"/\"]}}"),
        );
        hints(&policy, "CONNECT true:443", &format!("{anywhere}- {{host: \"true\"}}"));
        hints(
            &policy,
            "CONNECT x.test:80",
            &format!("{anywhere}- {{host: x.test, schemes: [http]}}"),
        );
        hints(
            &policy,
            "CONNECT x.test:22",
            &format!("{anywhere}- {{host: x.test, ports: [22]}}"),
        );
        hints(
            &policy,
            "POST https://api.test/v1/x",
            "add under rules: of allowlist a (its nearest rule is a/1 at a.yaml:1:5): - {host: api.test, methods: [POST], paths: [\"/v1/x\"]}",
        );
        hints(
            &policy,
            "GET https://no.test/",
            "deny rule a/deny/1 at a.yaml:2:5 forbids this; remove or narrow it",
        );
        hints(
            &policy,
            &format!("GET https://x.test/a/{}", "%C3".repeat(100).replace("%C3%C3", "%C3%A9")),
            &format!("{anywhere}- {{host: x.test, methods: [GET], paths: [\"/a/**\"]}}"),
        );
        let empty = Policy::new(&[], Mode::Enforce);
        hints(
            &empty,
            "CONNECT x.test:443",
            "this workload allows no allowlist; name one under its allow:, with this under rules: - {host: x.test}",
        );
    }

    proptest! {
        #[test]
        fn no_rules_no_permit(host in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}", port in 1_u16.., https in any::<bool>(), method in "[A-Z]{1,7}", path in "/[a-z/]{0,12}") {
            let policy = Policy::new(&[list("a", &[])], Mode::Enforce);
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            let target = Target::new(scheme, Host::parse(&host).unwrap(), port);
            let path = CanonicalPath::parse(&path).unwrap();
            let decision = policy.decide(&RequestHead { target: &target, method: &method, path: &path });
            prop_assert!(matches!(decision, Decision::Deny(_)));
            prop_assert!(matches!(policy.decide_connect(target.authority()), Decision::Deny(_)));
        }

        /// The index finds what a scan over all rules finds.
        #[test]
        fn the_index_is_a_scan(hosts in proptest::collection::vec("(\\*\\.)?([ab]\\.){0,2}[cd]", 0..8), host in "([ab]\\.){0,3}[cd]") {
            let lines: Vec<String> = hosts.iter().map(|host| format!("{host}:443")).collect();
            let policy = policy(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let asked = Host::parse(&host).unwrap();
            let first = hosts.iter().position(|pattern| HostPattern::parse(pattern).unwrap().matches(&asked));
            let found = match policy.decide_connect(&Authority::new(asked, 443)) {
                Decision::Allow(permit) => permit.rule().map(|rule| rule.id().number - 1),
                Decision::Deny(_) => None,
            };
            prop_assert_eq!(found, first);
        }
    }
}
