//! What a denial says about the line of YAML that would lift it.

use std::sync::Arc;

use super::decision::{Denial, RequestHead};
use super::host::Host;
use super::target::{Authority, Scheme};

/// A path is shown up to this length; a longer one is cut to a prefix with `**`.
const MAX_SHOWN_PATH: usize = 200;

/// The smallest rule that allows a request.
pub(super) fn rule_for(head: &RequestHead<'_>) -> String {
    let target = head.target;
    let mut parts = vec![format!("host: {}", yaml_host(target.host()))];
    if target.scheme() != Scheme::Https {
        parts.push(format!("schemes: [{}]", target.scheme()));
    }
    if target.port() != target.scheme().default_port() {
        parts.push(format!("ports: [{}]", target.port()));
    }
    parts.push(format!("methods: [{}]", yaml_method(head.method)));
    parts.push(format!("paths: [\"{}\"]", shown(head.path.as_str())));
    format!("- {{{}}}", parts.join(", "))
}

/// The smallest rule that allows a CONNECT.
pub(super) fn rule_for_connect(authority: &Authority) -> String {
    let host = yaml_host(authority.host());
    match authority.port() {
        443 => format!("- {{host: {host}}}"),
        80 => format!("- {{host: {host}, schemes: [http]}}"),
        port => format!("- {{host: {host}, ports: [{port}]}}"),
    }
}

/// Where to put it, or which rule stands in the way.
pub(super) fn render(denial: &Denial, lists: &[Arc<str>], rule: &str) -> String {
    if let Some(deny) = denial.denied_by() {
        return format!(
            "deny rule {} at {} forbids this; remove or narrow it",
            deny.id(),
            deny.source()
        );
    }
    if let Some(nearest) = denial.nearest() {
        let id = nearest.id();
        return format!(
            "add under rules: of allowlist {} (its nearest rule is {id} at {}): {rule}",
            id.list,
            nearest.source()
        );
    }
    if lists.is_empty() {
        return format!("this workload allows no allowlist; name one under its allow:, with this under rules: {rule}");
    }
    format!(
        "add under rules: of an allowlist of this workload ({}): {rule}",
        lists.join(", ")
    )
}

/// In YAML the brackets of an IPv6 address would begin a sequence, and a single label may be a number or `true`.
fn yaml_host(host: &Host) -> String {
    let text = host.to_string();
    if text.contains('.') && !text.starts_with('[') {
        text
    } else {
        format!("\"{text}\"")
    }
}

/// Other methods than the usual ones may mean something in YAML, as `NO` does.
fn yaml_method(method: &str) -> String {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method.to_owned(),
        _ => format!("{method:?}"),
    }
}

/// A canonical path has no quote and no backslash, so it stands in quotes as it is.
fn shown(path: &str) -> String {
    if path.len() <= MAX_SHOWN_PATH {
        return path.to_owned();
    }
    let cut: String = path.chars().take(MAX_SHOWN_PATH).collect();
    // A half escape would not parse; a cut at the last slash always does.
    match cut.rsplit_once('/') {
        Some((head, _)) => format!("{head}/**"),
        None => "/**".to_owned(),
    }
}
