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
use super::target::{Authority, Target};

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
        if let Some(deny) = self
            .denies
            .first(authority.host(), |deny| deny.covers(head))
        {
            return self.refuse(
                authority,
                DenyReason::HostDenied,
                Cause::Denied(Arc::clone(deny)),
            );
        }
        match self.search(authority.host(), |rule| rule.miss(head)) {
            Search::Found(rule) => Permit::by_rule(authority, rule, rule.treatment()),
            Search::Missed(miss, rule) => {
                self.refuse(authority, miss.reason(), Cause::Nearest(Arc::clone(rule)))
            }
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
            return self.refuse(
                authority,
                DenyReason::HostDenied,
                Cause::Denied(Arc::clone(deny)),
            );
        }
        match self.search(host, |rule| rule.miss_connect(port)) {
            Search::Found(rule) => {
                Permit::by_rule(authority, rule, self.connect_treatment(authority, rule))
            }
            Search::Missed(miss, rule) => {
                self.refuse(authority, miss.reason(), Cause::Nearest(Arc::clone(rule)))
            }
            Search::Nothing => self.refuse(authority, DenyReason::HostNotListed, Cause::NoRule),
        }
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
            HostPattern::Exact(Host::Address(address)) => {
                self.addresses.entry(*address).or_default()
            }
            HostPattern::Below(parent) => self.below.entry(parent.clone()).or_default(),
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<T>> {
        let names = self.names.values().chain(self.below.values());
        names.chain(self.addresses.values()).flatten().map(|ranked| &ranked.entry)
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
        firsts
            .min_by_key(|ranked| ranked.rank)
            .map(|ranked| &ranked.entry)
    }
}
