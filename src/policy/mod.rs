//! What a workload may reach: hosts, targets, paths, rules, the decision, and the vetting of addresses.
//!
//! The way through: a request's [`Host`], [`Target`] and [`CanonicalPath`] are each brought into one form; a [`Policy`] decides
//! about a [`RequestHead`] and gives a [`Permit`] or a [`Denial`]; with the permit the name is looked up elsewhere, and
//! [`AddressRules::vet`] turns the answer into [`VettedAddrs`], which are the only thing that may be dialled.
//!
//! Deliberately not here: input and output, clocks, a runtime, HTTP types, reading YAML, redaction. What can't be decided is
//! refused, and an empty policy permits nothing.

pub mod address;
pub mod decision;
#[cfg(test)]
mod fixture;
mod hint;
pub mod host;
pub mod lint;
pub mod path;
pub mod pattern;
pub mod reason;
pub mod rule;
pub mod target;

pub use address::{AddressRules, Exception, VettedAddrs, classify, reference};
pub use decision::{Decision, Denial, Mode, Permit, Policy, RequestHead};
pub use host::{DnsName, Host, HostError};
pub use lint::{Lint, LintLevel, lint};
pub use path::{CanonicalPath, PathError};
pub use pattern::{HostPattern, PathPattern, PatternError};
pub use reason::DenyReason;
pub use rule::{Allowlist, Deny, Rule, RuleError, RuleId, RuleKind, RuleParts, Selectors, SourcePosition, Treatment};
pub use target::{Authority, AuthorityError, Scheme, Target};
