//! Allowlists for tests, in a line per rule.

use std::sync::Arc;

use super::{
    Allowlist, Deny, HostPattern, PathPattern, Rule, RuleId, RuleKind, RuleParts, Scheme, Selectors, SourcePosition,
    Treatment,
};

/// A list named `list` of lines such as `deny http+https example.com:80,443 GET,POST /a,/b/** tunnel credentials=a,b`, where
/// all but the host may be left out. Line n stands at `list.yaml:n`.
pub(super) fn list(name: &str, lines: &[&str]) -> Arc<Allowlist> {
    let (mut rules, mut denies) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(lines) {
        let source = SourcePosition {
            file: format!("{name}.yaml").into(),
            line,
            column: 5,
        };
        let (kind, text) = match text.strip_prefix("deny ") {
            Some(text) => (RuleKind::Deny, text),
            None => (RuleKind::Allow, *text),
        };
        let number = 1 + if kind == RuleKind::Allow {
            rules.len()
        } else {
            denies.len()
        };
        let id = RuleId {
            list: name.into(),
            kind,
            number,
        };
        match kind {
            RuleKind::Allow => rules.push(rule(id, source, text)),
            RuleKind::Deny => denies.push(Deny::new(id, source, selectors(text)).unwrap()),
        }
    }
    Arc::new(Allowlist::new(name.into(), "", rules, denies))
}

fn rule(id: RuleId, source: SourcePosition, text: &str) -> Rule {
    let treatment = if text.split(' ').any(|word| word == "tunnel") {
        Treatment::Tunnel
    } else {
        Treatment::Intercept
    };
    let credentials = text
        .split(' ')
        .find_map(|word| word.strip_prefix("credentials="))
        .map(|list| list.split(',').map(Into::into).collect());
    Rule::new(RuleParts {
        id,
        source,
        selectors: selectors(text),
        treatment,
        credentials,
    })
    .unwrap()
}

fn selectors(text: &str) -> Selectors {
    let mut words = text
        .split(' ')
        .filter(|word| *word != "tunnel" && !word.starts_with("credentials="))
        .peekable();
    let schemes = words.next_if(|word| matches!(*word, "http" | "https" | "http+https"));
    let host = words.next().unwrap();
    let (host, ports) = host
        .split_once(':')
        .map_or((host, None), |(host, ports)| (host, Some(ports)));
    let methods = words.next_if(|word| !word.starts_with('/'));
    let paths = words.next();
    Selectors {
        hosts: HostPattern::parse(host).unwrap(),
        ports: ports.map(|list| list.split(',').map(|port| port.parse().unwrap()).collect()),
        schemes: schemes.map(|list| list.split('+').map(|word| Scheme::parse(word).unwrap()).collect()),
        methods: methods.map(|list| list.split(',').map(Into::into).collect()),
        paths: paths.map(|list| list.split(',').map(|path| PathPattern::parse(path).unwrap()).collect()),
    }
}
