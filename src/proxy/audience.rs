//! Where a credential is at home: the hosts that issued it, in the slots where they read it. There it passes; anywhere else it is a secret
//! on its way out.
//!
//! The rules name their audience as text, since [`crate::redact`] knows no hosts; here it meets the one host match of [`crate::policy`].

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;

use crate::policy::{Host, HostPattern, PatternError, Permit};
use crate::redact::{Rule, Rules};

/// Any host that a request is allowed to: for tokens that name no issuer.
const ANYWHERE: &str = "*";
/// The slot of credentials that a service takes in its URLs.
const URL: &str = ":url";

/// A rule whose audience is not one.
#[derive(Debug, thiserror::Error)]
#[error("redaction rule {rule}: audience host {host}: {source}")]
pub(crate) struct AudienceError {
    rule: String,
    host: String,
    source: PatternError,
}

/// The audiences of all rules.
#[derive(Debug)]
pub(crate) struct Audiences {
    homes: HashMap<Arc<str>, Home>,
}

#[derive(Debug)]
struct Home {
    anywhere: bool,
    hosts: Vec<HostPattern>,
    slots: Vec<Box<str>>,
}

impl Home {
    fn receives(&self, host: &Host) -> bool {
        self.anywhere || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    fn has_slot(&self, slot: &str) -> bool {
        self.slots.iter().any(|own| own.eq_ignore_ascii_case(slot))
    }
}

impl Audiences {
    pub(crate) fn compile(rules: &Rules) -> Result<Self, AudienceError> {
        let homes = rules.iter().map(|rule| Ok((Arc::from(rule.id()), home(rule)?))).collect::<Result<_, _>>()?;
        Ok(Self { homes })
    }

    /// Whether a secret of this rule may stand in this field of the permitted request. A policy rule that lists credentials replaces the
    /// question of the host by its list.
    pub(crate) fn in_header(&self, rule: &Rule, permit: &Permit, field: &HeaderName) -> bool {
        let Some(home) = self.homes.get(rule.id()) else { return false };
        home.has_slot(field.as_str()) && listed(permit, rule).unwrap_or_else(|| home.receives(permit.host()))
    }

    /// Whether a secret of this rule may stand in the URL of the permitted request.
    pub(crate) fn in_url(&self, rule: &Rule, permit: &Permit) -> bool {
        let Some(home) = self.homes.get(rule.id()) else { return false };
        home.has_slot(URL) && listed(permit, rule).unwrap_or_else(|| home.receives(permit.host()))
    }
}

/// What the policy rule's `credentials` say of a kind of secret, if it has any.
fn listed(permit: &Permit, rule: &Rule) -> Option<bool> {
    let kinds = permit.rule()?.credentials()?;
    Some(kinds.iter().any(|kind| **kind == *rule.id()))
}

fn home(rule: &Rule) -> Result<Home, AudienceError> {
    let parse = |host: &String| {
        HostPattern::parse(host).map_err(|source| AudienceError {
            rule: rule.id().to_owned(),
            host: host.clone(),
            source,
        })
    };
    Ok(Home {
        anywhere: rule.audience_hosts().iter().any(|host| host == ANYWHERE),
        hosts: rule.audience_hosts().iter().filter(|host| *host != ANYWHERE).map(parse).collect::<Result<_, _>>()?,
        slots: rule.audience_headers().iter().map(|slot| slot.as_str().into()).collect(),
    })
}
