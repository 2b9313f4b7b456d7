//! `egret explain`: the verdict on one request, the rule and line that decided, the redaction that would apply, and for a
//! denial the line to add. It makes nothing and opens no socket, so what a name resolves to is not part of the answer.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use crate::config::{self, Config, Probe, SurfaceMode};
use crate::identity::Workload;
use crate::policy::{Authority, CanonicalPath, Decision, Denial, Host, Permit, RequestHead, Rule, Scheme, Treatment};
use crate::redact;

const ALLOWED: u8 = 0;
const UNREADABLE: u8 = 2;
const DENIED: u8 = 3;

/// The arguments of `egret explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The workload that asks; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// The request's method: GET for a URL, CONNECT for host:port.
    #[arg(long, value_name = "M")]
    pub method: Option<String>,
    /// What is asked for: a URL, or host:port for CONNECT.
    #[arg(value_name = "URL")]
    pub url: String,
}

/// Explains the verdict on `out`; errors of the configuration go to `err`. Gives the exit code.
///
/// # Errors
///
/// The URL is none, the workload doesn't exist, or a writer fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let probe = Probe::parse(args.method.as_deref(), &args.url).context("not a request")?;
    let config = match config::inspect(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(UNREADABLE);
        }
    };
    let workload = asking(&config, args.workload.as_deref())?;
    let mut explanation = Explanation { config: &config, out };
    explanation.line(
        "workload",
        &format!("{}, mode {}", workload.name, workload.policy.mode().as_str()),
    )?;
    match &probe {
        Probe::Connect(authority) => explanation.connect(workload, authority),
        Probe::Request {
            method,
            target,
            path,
            query,
        } => {
            let canonical = match CanonicalPath::parse(path) {
                Ok(canonical) => canonical,
                Err(error) => return explanation.ambiguous(&error.to_string()),
            };
            let head = RequestHead {
                target,
                method,
                path: &canonical,
            };
            explanation.request(workload, &head, path, query.as_deref())
        }
    }
}

fn asking<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a Arc<Workload>> {
    let names = || {
        config
            .workloads
            .iter()
            .map(|workload| &*workload.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(name) = name {
        let found = config.workloads.iter().find(|workload| *workload.name == *name);
        return found.ok_or_else(|| anyhow!("no workload has the name {name:?}; there are {}", names()));
    }
    let mut workloads = config.workloads.iter();
    match (workloads.next(), workloads.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => bail!("there are several workloads; name one of {} with --workload", names()),
        (None, _) => bail!("the configuration has no workloads, so every client is refused with workload.unknown"),
    }
}

struct Explanation<'a> {
    config: &'a Config,
    out: &'a mut dyn Write,
}

impl Explanation<'_> {
    fn line(&mut self, label: &str, text: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.out, "{label:<10} {text}")?)
    }

    fn ambiguous(&mut self, problem: &str) -> anyhow::Result<u8> {
        let reason = crate::policy::DenyReason::RequestAmbiguous;
        self.line("verdict", &format!("denied: {} ({})", reason.code(), reason.status()))?;
        self.line("why", problem)?;
        Ok(DENIED)
    }

    fn connect(&mut self, workload: &Workload, authority: &Authority) -> anyhow::Result<u8> {
        match workload.policy.decide_connect(authority) {
            Decision::Deny(denial) => self.denied(&denial, &denial.hint_connect(authority)),
            Decision::Allow(permit) => {
                let hint = permit.observed_denial().map(|denial| denial.hint_connect(authority));
                self.allowed(&permit, hint.as_deref())?;
                self.treatment(permit.treatment(), "each request inside is decided on its own")?;
                self.audience(permit.rule().map(|rule| &**rule), authority.host())?;
                Ok(ALLOWED)
            }
        }
    }

    fn request(
        &mut self,
        workload: &Workload,
        head: &RequestHead<'_>,
        path: &str,
        query: Option<&str>,
    ) -> anyhow::Result<u8> {
        let permit = match workload.policy.decide(head) {
            Decision::Deny(denial) => return self.denied(&denial, &denial.hint(head)),
            Decision::Allow(permit) => permit,
        };
        self.allowed(
            &permit,
            permit.observed_denial().map(|denial| denial.hint(head)).as_deref(),
        )?;
        let treatment = effective_treatment(workload, head, &permit);
        if head.target.scheme() == Scheme::Https {
            self.treatment(treatment, "decided, redacted and recorded request by request")?;
        }
        if treatment == Treatment::Intercept {
            let rule = permit.rule().map(|rule| &**rule);
            self.redaction(rule, head.target.host(), path, query)?;
            self.audience(rule, head.target.host())?;
        }
        Ok(ALLOWED)
    }

    fn denied(&mut self, denial: &Denial, hint: &str) -> anyhow::Result<u8> {
        let reason = denial.reason();
        self.line("verdict", &format!("denied: {} ({})", reason.code(), reason.status()))?;
        if let Some(deny) = denial.denied_by() {
            self.line("rule", &format!("{} at {}", deny.id(), deny.source()))?;
        }
        self.line("why", reason.explanation())?;
        self.line("remedy", hint)?;
        Ok(DENIED)
    }

    fn allowed(&mut self, permit: &Permit, hint: Option<&str>) -> anyhow::Result<()> {
        match permit.observed() {
            None => self.line("verdict", "allowed")?,
            Some(reason) => {
                self.line(
                    "verdict",
                    &format!(
                        "allowed, because the workload observes; enforced it would be {}",
                        reason.code()
                    ),
                )?;
            }
        }
        if let Some(rule) = permit.rule() {
            self.line("rule", &format!("{} at {}", rule.id(), rule.source()))?;
        }
        hint.map_or(Ok(()), |hint| self.line("remedy", hint))
    }

    fn treatment(&mut self, treatment: Treatment, inside: &str) -> anyhow::Result<()> {
        let what = match treatment {
            Treatment::Intercept => inside,
            Treatment::Tunnel => "the name is checked, then bytes pass unread: no path, no redaction",
        };
        self.line("treatment", &format!("{treatment}: {what}"))
    }

    /// What would be found in the URL itself.
    fn redaction(&mut self, rule: Option<&Rule>, host: &Host, path: &str, query: Option<&str>) -> anyhow::Result<()> {
        let mode = self.config.redaction.surfaces.url;
        if mode == SurfaceMode::Off {
            return self.line("redaction", "redaction.surfaces.url is off: secrets in the URL go out");
        }
        let admits = |kind: &redact::Rule| self.config.redaction.audiences.admits(kind, rule, host);
        let mut found = self.found(path, &|kind| admits(kind) && kind.audience_path(), "the path");
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (key, _) = pair.split_once('=').unwrap_or((pair, ""));
            let at_home =
                |kind: &redact::Rule| admits(kind) && kind.audience_queries().iter().any(|query| query == key);
            found.extend(self.found(pair, &at_home, "the query"));
        }
        if found.is_empty() {
            return self.line("redaction", "nothing to rewrite in path and query");
        }
        for (kind, place) in found {
            self.line("redaction", &format!("{kind} in {place}: {}", consequence(mode)))?;
        }
        Ok(())
    }

    fn found(
        &self,
        text: &str,
        at_home: &dyn Fn(&redact::Rule) -> bool,
        place: &'static str,
    ) -> Vec<(Arc<str>, &'static str)> {
        let redacted = self.config.redaction.redactor.value(text.as_bytes(), at_home);
        let findings = redacted.map(|(_, findings)| findings).unwrap_or_default();
        findings.into_iter().map(|finding| (finding.rule, place)).collect()
    }

    /// Which secrets may go to the host, and where.
    fn audience(&mut self, rule: Option<&Rule>, host: &Host) -> anyhow::Result<()> {
        let redaction = &self.config.redaction;
        let kinds = redaction
            .redactor
            .rules()
            .iter()
            .filter(|kind| redaction.audiences.admits(kind, rule, host));
        let named: Vec<String> = kinds.map(|kind| format!("{} in {}", kind.id(), places(kind))).collect();
        if named.is_empty() {
            return self.line(
                "at home",
                "no kind of secret: each one found in a request is treated as said under redaction",
            );
        }
        self.line("at home", &named.join("; "))
    }
}

/// A CONNECT shows no path, so that a rule of treatment tunnel decides for all requests, unless a deny rule looks inside.
fn effective_treatment(workload: &Workload, head: &RequestHead<'_>, permit: &Permit) -> Treatment {
    if head.target.scheme() == Scheme::Http {
        return Treatment::Intercept;
    }
    match workload.policy.decide_connect(head.target.authority()) {
        Decision::Allow(connect) => connect.treatment(),
        Decision::Deny(_) => permit.treatment(),
    }
}

fn consequence(mode: SurfaceMode) -> &'static str {
    match mode {
        SurfaceMode::Redact => "rewritten",
        SurfaceMode::Block => "the request is refused with secret.blocked",
        SurfaceMode::Alert => "goes out, and is recorded",
        SurfaceMode::Off => "goes out",
    }
}

fn places(kind: &redact::Rule) -> String {
    let headers = kind.audience_headers().iter().map(|header| format!("header {header}"));
    let queries = kind.audience_queries().iter().map(|key| format!("query key {key}"));
    let path = kind.audience_path().then(|| "path".to_owned());
    let places: Vec<String> = headers.chain(queries).chain(path).collect();
    if places.is_empty() {
        "no place".to_owned()
    } else {
        places.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONFIG: &str = "\
allowlists: [lists.yaml]
workloads:
  - {name: strict, match: {networks: [10.0.0.0/8]}, allow: [lists]}
  - {name: watched, match: {networks: [192.0.2.0/24]}, allow: [lists], mode: observe}
";
    const LIST: &str = "\
name: lists
rules:
  - host: api.github.com
    methods: [GET]
    paths: [/repos/**]
  - host: pinned.example.com
    treatment: tunnel
deny:
  - host: gist.github.com
";
    /// No token of anybody's, but of a token's form.
    const TOKEN: &str = concat!("ghp_", "x7Qm2LkV9tRz4WbN8sYc1PjH6fDg3aKe5uT0");

    fn explained(arguments: &[&str]) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.yaml");
        fs::write(&file, CONFIG).unwrap();
        fs::write(folder.path().join("lists.yaml"), LIST).unwrap();
        let args = arguments_of(arguments, file);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, &mut out, &mut err).unwrap();
        assert_eq!(String::from_utf8(err).unwrap(), "");
        (
            code,
            String::from_utf8(out)
                .unwrap()
                .replace(&format!("{}/", folder.path().display()), ""),
        )
    }

    fn arguments_of(arguments: &[&str], config: PathBuf) -> Args {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: Args,
        }
        let command: Command = clap::Parser::parse_from(std::iter::once(&"explain").chain(arguments));
        Args {
            config: Some(config),
            ..command.args
        }
    }

    #[track_caller]
    fn check(arguments: &[&str], code: u8, lines: &[&str]) {
        let (given, text) = explained(arguments);
        assert_eq!(given, code, "{text}");
        for line in lines {
            assert!(text.lines().any(|given| given == *line), "no line {line:?} in\n{text}");
        }
    }

    #[test]
    fn what_is_allowed() {
        check(
            &["--workload", "strict", "https://api.github.com/repos/a/b"],
            ALLOWED,
            &[
                "workload   strict, mode enforce",
                "verdict    allowed",
                "rule       lists/1 at lists.yaml:3:5",
                "treatment  intercept: decided, redacted and recorded request by request",
                "redaction  nothing to rewrite in path and query",
            ],
        );
        check(
            &["--workload", "strict", "pinned.example.com:443"],
            ALLOWED,
            &["treatment  tunnel: the name is checked, then bytes pass unread: no path, no redaction"],
        );
    }

    #[test]
    fn what_is_denied_and_the_line_to_add() {
        check(
            &[
                "--workload",
                "strict",
                "--method",
                "POST",
                "https://api.github.com/repos/a/b",
            ],
            DENIED,
            &[
                "verdict    denied: method.not_listed (403)",
                "remedy     add under rules: of allowlist lists (its nearest rule is lists/1 at lists.yaml:3:5): - {host: \
                 api.github.com, methods: [POST], paths: [\"/repos/a/b\"]}",
            ],
        );
        check(
            &["--workload", "strict", "https://gist.github.com/x"],
            DENIED,
            &[
                "verdict    denied: host.denied (403)",
                "rule       lists/deny/1 at lists.yaml:9:5",
            ],
        );
        check(
            &["--workload", "strict", "example.com:443"],
            DENIED,
            &["verdict    denied: host.not_listed (403)"],
        );
        check(
            &["--workload", "strict", "https://api.github.com/repos/../user"],
            DENIED,
            &[
                "verdict    denied: request.ambiguous (400)",
                "why        the path has a dot segment",
            ],
        );
    }

    #[test]
    fn what_is_only_observed() {
        check(
            &["--workload", "watched", "https://example.com/"],
            ALLOWED,
            &["verdict    allowed, because the workload observes; enforced it would be host.not_listed"],
        );
    }

    #[test]
    fn a_secret_in_the_url_is_named_and_not_shown() {
        let url = format!("https://api.github.com/repos/{TOKEN}?a=b&token={TOKEN}");
        check(
            &["--workload", "strict", &url],
            ALLOWED,
            &[
                "redaction  github-pat in the path: rewritten",
                "redaction  github-pat in the query: rewritten",
            ],
        );
        assert!(!explained(&["--workload", "strict", &url]).1.contains(TOKEN));
    }

    #[test]
    fn a_workload_must_be_named_when_there_are_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.yaml");
        fs::write(&file, CONFIG).unwrap();
        fs::write(folder.path().join("lists.yaml"), LIST).unwrap();
        let fails = |arguments: &[&str]| {
            let args = arguments_of(arguments, file.clone());
            run(&args, &mut Vec::new(), &mut Vec::new()).unwrap_err().to_string()
        };
        assert!(fails(&["https://a.test/"]).contains("name one of strict, watched"));
        assert!(fails(&["--workload", "x", "https://a.test/"]).contains("there are strict, watched"));
        assert!(fails(&["a.test"]).contains("not a request"));
    }
}
