//! What is valid in an allowlist and still likely wrong: rules that never decide, and rules that let out more than they seem to.
//!
//! The tables here are for warning people; no decision rests on them.

use std::fmt;

use super::host::Host;
use super::path::CanonicalPath;
use super::pattern::{HostPattern, PathPattern};
use super::rule::{Allowlist, Deny, Rule, RuleId, SourcePosition, Treatment};
use super::target::Scheme;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LintLevel {
    /// Worth a look.
    Warning,
    /// Surely not what was meant.
    Error,
}

impl fmt::Display for LintLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A finding about one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// How bad it is.
    pub level: LintLevel,
    /// The rule.
    pub rule: RuleId,
    /// Where the rule was written.
    pub source: SourcePosition,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Suffixes of several labels below which names are sold to anyone.
const REGISTRY_SUFFIXES: &[&str] = &[
    "co.uk", "org.uk", "ac.uk", "gov.uk", "me.uk", "com.au", "net.au", "org.au", "co.nz", "co.jp", "ne.jp", "or.jp",
    "co.kr", "com.br", "com.cn", "net.cn", "org.cn", "com.tw", "com.hk", "com.sg", "com.my", "co.id", "co.in", "co.za",
    "com.mx", "com.ar", "com.tr", "com.ua", "co.il", "com.pl", "co.th", "com.vn", "com.ph", "uk.com", "us.com",
    "eu.com",
];

/// Suffixes below which a hosting service gives names to anyone.
const HOSTING_SUFFIXES: &[&str] = &[
    "amazonaws.com",
    "s3.amazonaws.com",
    "elb.amazonaws.com",
    "cloudfront.net",
    "elasticbeanstalk.com",
    "awsapprunner.com",
    "on.aws",
    "azurewebsites.net",
    "azureedge.net",
    "azurefd.net",
    "cloudapp.azure.com",
    "blob.core.windows.net",
    "web.core.windows.net",
    "trafficmanager.net",
    "appspot.com",
    "web.app",
    "firebaseapp.com",
    "firebaseio.com",
    "run.app",
    "cloudfunctions.net",
    "storage.googleapis.com",
    "github.io",
    "githubusercontent.com",
    "githubpreview.dev",
    "app.github.dev",
    "gitlab.io",
    "herokuapp.com",
    "vercel.app",
    "now.sh",
    "netlify.app",
    "pages.dev",
    "workers.dev",
    "r2.dev",
    "r2.cloudflarestorage.com",
    "trycloudflare.com",
    "fly.dev",
    "onrender.com",
    "railway.app",
    "deno.dev",
    "replit.app",
    "repl.co",
    "glitch.me",
    "surge.sh",
    "ngrok.io",
    "ngrok.app",
    "ngrok-free.app",
    "loca.lt",
    "digitaloceanspaces.com",
    "ondigitalocean.app",
    "backblazeb2.com",
    "blogspot.com",
    "wordpress.com",
    "readthedocs.io",
    "hf.space",
    "streamlit.app",
    "supabase.co",
    "pipedream.net",
    "beeceptor.com",
    "requestcatcher.com",
    "oastify.com",
    "oast.pro",
    "oast.fun",
    "interact.sh",
    "duckdns.org",
    "nip.io",
    "sslip.io",
];

/// Hosts where anyone can leave or fetch content, with a path that does it where the rest of the host is harmless.
const USER_CONTENT_HOSTS: &[(&str, Option<&str>)] = &[
    ("gist.github.com", None),
    ("gist.githubusercontent.com", None),
    ("raw.githubusercontent.com", None),
    ("objects.githubusercontent.com", None),
    ("api.github.com", Some("/gists")),
    ("pastebin.com", None),
    ("paste.ee", None),
    ("dpaste.com", None),
    ("hastebin.com", None),
    ("ix.io", None),
    ("0x0.st", None),
    ("file.io", None),
    ("transfer.sh", None),
    ("catbox.moe", None),
    ("webhook.site", None),
    ("docs.google.com", None),
    ("drive.google.com", None),
    ("script.google.com", None),
    ("forms.gle", None),
    ("storage.googleapis.com", None),
    ("firebasestorage.googleapis.com", None),
    ("s3.amazonaws.com", None),
    ("hooks.slack.com", None),
    ("hooks.zapier.com", None),
    ("discord.com", Some("/api/webhooks/1/token")),
    ("discordapp.com", Some("/api/webhooks/1/token")),
    ("cdn.discordapp.com", None),
    ("api.telegram.org", None),
    ("dropbox.com", None),
    ("content.dropboxapi.com", None),
];

/// Top-level labels that nobody sells, for names inside of a network.
const PRIVATE_LABELS: &[&str] = &[
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localhost",
    "private",
    "test",
];

/// Looks at every allow rule of a list; findings come in the order of the rules.
pub fn lint(list: &Allowlist) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut earlier: &[_] = &[];
    for (number, rule) in list.rules().iter().enumerate() {
        let findings = [
            shadowed(rule, earlier),
            denied(rule, list),
            too_broad(rule).or_else(|| user_content(rule)),
            dead_credentials(rule),
        ];
        lints.extend(findings.into_iter().flatten().map(|(level, message)| Lint {
            level,
            rule: rule.id().clone(),
            source: rule.source().clone(),
            message,
        }));
        earlier = list.rules().get(..=number).unwrap_or_default();
    }
    lints
}

type Finding = Option<(LintLevel, String)>;

fn shadowed(rule: &Rule, earlier: &[std::sync::Arc<Rule>]) -> Finding {
    let by = earlier.iter().find(|other| covers(other, rule))?;
    let (id, source) = (by.id(), by.source());
    if by.treatment() != rule.treatment() || by.credentials() != rule.credentials() {
        return error(format!(
            "never decides: {id} at {source} covers it with another treatment or other credentials; move this rule before it"
        ));
    }
    warning(format!(
        "never decides: {id} at {source} covers it; remove one of the two"
    ))
}

fn denied(rule: &Rule, list: &Allowlist) -> Finding {
    let by = list.denies().iter().find(|deny| denies_all(deny, rule))?;
    warning(format!(
        "never decides: {} at {} denies all of it; remove one of the two",
        by.id(),
        by.source()
    ))
}

fn too_broad(rule: &Rule) -> Finding {
    let HostPattern::Below(parent) = rule.hosts() else {
        return None;
    };
    let parent = parent.as_str();
    let registry = !parent.contains('.') && !PRIVATE_LABELS.contains(&parent);
    if registry || REGISTRY_SUFFIXES.contains(&parent) {
        return error(format!(
            "*.{parent} covers names that anyone can register; name the hosts that are needed"
        ));
    }
    let suffix = HOSTING_SUFFIXES.iter().find(|suffix| is_within(suffix, parent))?;
    warning(format!(
        "*.{parent} covers names below {suffix} that anyone can get, so it is a way out for anything; name the hosts that are needed"
    ))
}

fn user_content(rule: &Rule) -> Finding {
    let (host, path) = USER_CONTENT_HOSTS
        .iter()
        .find(|(host, path)| opens(rule, host, *path))?;
    let place = path.map_or_else(|| (*host).to_owned(), |path| format!("{host}{path}"));
    warning(format!(
        "{place} takes or serves anyone's content, so it is a way out for anything; narrow methods and paths, or deny it"
    ))
}

fn dead_credentials(rule: &Rule) -> Finding {
    if rule.treatment() != Treatment::Tunnel || rule.credentials().is_none() {
        return None;
    }
    warning("credentials has no effect: nothing is redacted in a tunnel".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "reads as the finding that it makes")]
fn warning(message: String) -> Finding {
    Some((LintLevel::Warning, message))
}

#[expect(clippy::unnecessary_wraps, reason = "reads as the finding that it makes")]
fn error(message: String) -> Finding {
    Some((LintLevel::Error, message))
}

/// Whether `name` is `parent` or stands below it.
fn is_within(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// Whether the rule allows the host, at that path if one is given.
fn opens(rule: &Rule, host: &str, path: Option<&str>) -> bool {
    let Ok(host) = Host::parse(host) else {
        return false;
    };
    if !rule.hosts().matches(&host) {
        return false;
    }
    let (Some(path), Some(patterns)) = (path, rule.paths()) else {
        return true;
    };
    CanonicalPath::parse(path).is_ok_and(|path| patterns.iter().any(|pattern| pattern.matches(&path)))
}

/// Whether whatever `rule` allows, `other` allows too.
fn covers(other: &Rule, rule: &Rule) -> bool {
    other.hosts().covers(rule.hosts())
        && origins(rule).all(|origin| origins(other).any(|covered| covered == origin))
        && covers_methods(other.methods(), rule.methods())
        && covers_paths(other.paths(), rule.paths())
}

/// Whether whatever `rule` allows, `deny` denies.
fn denies_all(deny: &Deny, rule: &Rule) -> bool {
    let selectors = deny.selectors();
    let denied = |(scheme, port): (Scheme, u16)| {
        selectors
            .schemes
            .as_ref()
            .is_none_or(|schemes| schemes.contains(&scheme))
            && selectors.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    };
    selectors.hosts.covers(rule.hosts())
        && origins(rule).all(denied)
        && covers_methods(selectors.methods.as_deref(), rule.methods())
        && covers_paths(selectors.paths.as_deref(), rule.paths())
}

/// Every pair of scheme and port that a rule allows.
fn origins(rule: &Rule) -> impl Iterator<Item = (Scheme, u16)> {
    rule.schemes().iter().flat_map(|scheme| {
        let default = rule.ports().is_none().then_some(scheme.default_port());
        let listed = rule.ports().into_iter().flatten().copied();
        default.into_iter().chain(listed).map(|port| (*scheme, port))
    })
}

fn covers_methods(mine: Option<&[Box<str>]>, theirs: Option<&[Box<str>]>) -> bool {
    match (mine, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(mine), Some(theirs)) => theirs.iter().all(|method| mine.contains(method)),
    }
}

fn covers_paths(mine: Option<&[PathPattern]>, theirs: Option<&[PathPattern]>) -> bool {
    match (mine, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(mine), Some(theirs)) => theirs.iter().all(|path| mine.iter().any(|other| other.covers(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::list;

    /// The findings about the rules of these lines, as `level number` and a part of the message.
    #[track_caller]
    fn check(lines: &[&str], expected: &[(&str, &str)]) {
        let found = lint(&list("a", lines));
        let shown: Vec<_> = found
            .iter()
            .map(|lint| (format!("{} {}", lint.level, lint.rule.number), lint.message.as_str()))
            .collect();
        assert_eq!(found.len(), expected.len(), "{lines:?}: {shown:?}");
        for ((found, message), (level, part)) in shown.iter().zip(expected) {
            assert_eq!(found, level, "{lines:?}: {message}");
            assert!(message.contains(part), "{lines:?}: {message}");
        }
    }

    #[test]
    fn rules_that_never_decide() {
        check(&["x.test", "y.test", "*.z.test", "z.test"], &[]);
        check(
            &["x.test", "x.test"],
            &[("warning 2", "a/1 at a.yaml:1:5 covers it; remove")],
        );
        check(&["*.test", "x.test GET /a"], &[("warning 2", "a/1")]);
        check(&["*.test", "x.test tunnel"], &[("error 2", "another treatment")]);
        check(&["x.test", "x.test credentials=a"], &[("error 2", "other credentials")]);
        check(
            &[
                "x.test GET /a/**",
                "x.test GET /a/b",
                "x.test POST /a/b",
                "x.test GET /b",
            ],
            &[("warning 2", "a/1")],
        );
        check(&["x.test:443", "http+https x.test"], &[]);
        check(&["http+https x.test:80,443", "http x.test"], &[("warning 2", "a/1")]);
        check(&["x.test GET", "x.test"], &[]);
        check(&["x.test /a", "x.test"], &[]);
        check(
            &["x.test", "deny *.test"],
            &[("warning 1", "a/deny/1 at a.yaml:2:5 denies all of it")],
        );
        check(&["x.test", "deny x.test DELETE", "deny http x.test"], &[]);
    }

    #[test]
    fn patterns_that_are_too_broad() {
        for pattern in ["*.com", "*.co.uk", "*.io", "*.xn--p1ai"] {
            check(&[pattern], &[("error 1", "anyone can register")]);
        }
        check(&["*.internal"], &[]);
        check(&["*.example.co.uk"], &[]);
        for pattern in [
            "*.github.io",
            "*.herokuapp.com",
            "*.blob.core.windows.net",
            "*.windows.net",
            "*.cloudfront.net",
            "*.ngrok.io",
        ] {
            check(&[pattern], &[("warning 1", "anyone can get")]);
        }
        check(&["*.mine.github.io"], &[]);
        check(&["mine.github.io"], &[]);
        check(&["*.notgithub.io"], &[]);
    }

    #[test]
    fn hosts_of_user_content() {
        for host in [
            "gist.github.com",
            "raw.githubusercontent.com",
            "pastebin.com",
            "docs.google.com",
            "storage.googleapis.com",
            "hooks.slack.com",
        ] {
            check(&[host], &[("warning 1", host)]);
        }
        check(&["*.github.com"], &[("warning 1", "gist.github.com")]);
        check(&["discord.com"], &[("warning 1", "discord.com/api/webhooks")]);
        check(&["discord.com /api/**"], &[("warning 1", "discord.com/api/webhooks")]);
        check(&["discord.com /api/v10/users/**"], &[]);
        check(&["api.github.com /repos/**"], &[]);
    }

    #[test]
    fn dead_settings() {
        check(&["x.test tunnel credentials=a"], &[("warning 1", "no effect")]);
        check(&["x.test credentials=a"], &[]);
    }

    #[test]
    fn tables_hold_names() {
        for (host, path) in USER_CONTENT_HOSTS {
            assert!(Host::parse(host).unwrap().name().is_some(), "{host}");
            assert!(path.is_none_or(|path| CanonicalPath::parse(path).is_ok()), "{host}");
        }
        for suffix in REGISTRY_SUFFIXES.iter().chain(HOSTING_SUFFIXES) {
            assert_eq!(
                HostPattern::parse(&format!("*.{suffix}")).unwrap().to_string(),
                format!("*.{suffix}")
            );
        }
    }
}
