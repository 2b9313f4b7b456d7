//! `egret check`: reads everything that the daemon would read, runs every allowlist's examples, and looks for what is valid
//! and still likely wrong. It makes nothing and opens no socket.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Example, LoadedList, OnFailure, SurfaceMode, Verdict};
use crate::policy::{Decision, DenyReason, HostPattern, LintLevel, Mode, Policy, lint};

/// Everything is as it should be, warnings apart.
const GOOD: u8 = 0;
/// An example fails, or a lint is at error level.
const WRONG: u8 = 1;
/// The configuration can't be taken.
const UNREADABLE: u8 = 2;

/// The arguments of `egret check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Checks a configuration: the summary goes to `out`, what is wrong to `err`. Gives the exit code.
///
/// # Errors
///
/// A writer fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let config = match config::inspect(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(UNREADABLE);
        }
    };
    let mut tally = Tally {
        out,
        err,
        failures: 0,
        warnings: 0,
    };
    for list in &config.allowlists {
        tally.list(list)?;
    }
    tally.rules(&config)?;
    tally.settings(&config, args.config.is_some())?;
    tally.conclude(&config)
}

/// Where the findings go, and how many there were.
struct Tally<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    failures: usize,
    warnings: usize,
}

impl Tally<'_> {
    fn failure(&mut self, text: &str) -> anyhow::Result<()> {
        self.failures += 1;
        Ok(writeln!(self.err, "{text}")?)
    }

    fn warning(&mut self, text: &str) -> anyhow::Result<()> {
        self.warnings += 1;
        Ok(writeln!(self.err, "warning: {text}")?)
    }

    fn list(&mut self, loaded: &LoadedList) -> anyhow::Result<()> {
        for finding in lint(&loaded.list) {
            let text = format!("{}: {}: {}", finding.source, finding.rule, finding.message);
            match finding.level {
                LintLevel::Warning => self.warning(&text)?,
                LintLevel::Error => self.failure(&text)?,
            }
        }
        let alone = Policy::new(&[Arc::clone(&loaded.list)], Mode::Enforce);
        let failed: Vec<String> = loaded
            .examples
            .iter()
            .filter_map(|example| failure(example, &alone))
            .collect();
        for text in &failed {
            self.failure(text)?;
        }
        let list = &loaded.list;
        let examples = match (loaded.examples.len(), failed.len()) {
            (0, _) => "no examples".to_owned(),
            (all, 0) => format!("{} ok", counted(all, "example")),
            (all, failed) => format!("{failed} of {} failed", counted(all, "example")),
        };
        let (rules, denies) = (
            counted(list.rules().len(), "rule"),
            counted(list.denies().len(), "deny rule"),
        );
        Ok(writeln!(self.out, "{}: {rules}, {denies}, {examples}", list.name())?)
    }

    /// The redaction rules: what of them means nothing in traffic, and their examples, which a file of one's own may have as well.
    fn rules(&mut self, config: &Config) -> anyhow::Result<()> {
        let redactor = &config.redaction.redactor;
        for note in redactor.rules().notes() {
            self.warning(&note.to_string())?;
        }
        for failure in redactor.check_examples() {
            let (kind, verdict) = if failure.expected {
                ("example", "not found")
            } else {
                ("counter-example", "taken for a secret")
            };
            self.failure(&format!(
                "redaction rule {}: {kind} {} is {verdict}",
                failure.rule, failure.number
            ))?;
        }
        Ok(writeln!(
            self.out,
            "redaction: {}",
            counted(redactor.rules().len(), "rule")
        )?)
    }

    /// Settings that do nothing, or take protection away. What is embedded is left alone: nobody has to use every shipped list.
    fn settings(&mut self, config: &Config, given: bool) -> anyhow::Result<()> {
        if given {
            for list in unused_lists(config) {
                self.warning(&format!(
                    "{}: no workload allows the list {}",
                    list.source,
                    list.list.name()
                ))?;
            }
        }
        for text in hidden_workloads(config)
            .into_iter()
            .chain(dead_exceptions(config))
            .chain(weakened(config))
        {
            self.warning(&text)?;
        }
        Ok(())
    }

    fn conclude(self, config: &Config) -> anyhow::Result<u8> {
        let lists = counted(config.allowlists.len(), "allowlist");
        let workloads = counted(config.workloads.iter().count(), "workload");
        let warnings = counted(self.warnings, "warning");
        if self.failures == 0 {
            writeln!(self.out, "good: {lists}, {workloads}, {warnings}")?;
            return Ok(GOOD);
        }
        writeln!(
            self.out,
            "wrong: {}, {warnings} in {lists}, {workloads}",
            counted(self.failures, "error")
        )?;
        Ok(WRONG)
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Why an example fails, or nothing.
fn failure(example: &Example, alone: &Policy) -> Option<String> {
    let (source, probe) = (&example.source, &example.probe);
    match (example.verdict, probe.decide(alone)) {
        (Verdict::Allow, Ok(Decision::Allow(_))) | (Verdict::Deny, Ok(Decision::Deny(_)) | Err(_)) => None,
        (Verdict::Allow, Err(reason)) => Some(format!(
            "{source}: example: {probe} should pass, but {}",
            refused(reason)
        )),
        (Verdict::Allow, Ok(Decision::Deny(denial))) => Some(format!(
            "{source}: example: {probe} should pass, but {}",
            refused(denial.reason())
        )),
        (Verdict::Deny, Ok(Decision::Allow(permit))) => {
            let by = permit
                .rule()
                .map(|rule| format!(" by {} at {}", rule.id(), rule.source()))
                .unwrap_or_default();
            Some(format!(
                "{source}: example: {probe} should be refused, but is allowed{by}"
            ))
        }
    }
}

fn refused(reason: DenyReason) -> String {
    format!("is refused: {}; {}", reason.code(), reason.explanation())
}

fn unused_lists(config: &Config) -> impl Iterator<Item = &Arc<LoadedList>> {
    let is_used = |list: &LoadedList| {
        config
            .workloads
            .iter()
            .any(|workload| workload.policy.lists().contains(list.list.name()))
    };
    config
        .allowlists
        .iter()
        .filter(move |list| !list.is_shipped() && !is_used(list))
}

fn hidden_workloads(config: &Config) -> Vec<String> {
    let workloads: Vec<_> = config.workloads.iter().collect();
    let hidden = |(index, workload): (usize, &&Arc<crate::identity::Workload>)| {
        let by = workloads
            .iter()
            .take(index)
            .find(|earlier| earlier.clients().covers(workload.clients()))?;
        Some(format!(
            "workload {} is never asked: {} stands before it and matches all of its clients",
            workload.name, by.name
        ))
    };
    workloads.iter().enumerate().filter_map(hidden).collect()
}

fn dead_exceptions(config: &Config) -> Vec<String> {
    let allowed: Vec<&HostPattern> = config
        .allowlists
        .iter()
        .flat_map(|list| list.list.rules())
        .map(|rule| rule.hosts())
        .collect();
    let dead = config.address_exceptions.iter().filter(|exception| {
        !allowed
            .iter()
            .any(|hosts| hosts.covers(&exception.hosts) || exception.hosts.covers(hosts))
    });
    dead.map(|exception| {
        format!(
            "addresses.permit: no allowlist has a rule for the host {}",
            exception.hosts
        )
    })
    .collect()
}

fn weakened(config: &Config) -> Vec<String> {
    let surfaces = &config.redaction.surfaces;
    let places = [
        ("body", surfaces.body),
        ("header", surfaces.header),
        ("url", surfaces.url),
        ("websocket", surfaces.websocket),
    ];
    let mut texts: Vec<String> = places
        .into_iter()
        .filter(|(_, mode)| matches!(mode, SurfaceMode::Alert | SurfaceMode::Off))
        .map(|(place, mode)| format!("redaction.surfaces.{place}: {}: secrets go out there", mode.as_str()))
        .collect();
    if config.audit.on_failure == OnFailure::Continue {
        texts.push("audit.on_failure: continue: exchanges pass unrecorded while the trail can't be written".to_owned());
    }
    let observing = config
        .workloads
        .iter()
        .filter(|workload| workload.policy.mode() == Mode::Observe);
    texts.extend(observing.map(|workload| {
        format!(
            "workload {} observes: what its policy denies is let pass",
            workload.name
        )
    }));
    texts
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checked(config: Option<&str>, list: &str) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.yaml");
        fs::write(&file, config.unwrap_or_default()).unwrap();
        fs::write(folder.path().join("list.yaml"), list).unwrap();
        let args = Args {
            config: config.map(|_| file),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, &mut out, &mut err).unwrap();
        let text = |bytes| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        (code, text(out), text(err))
    }

    const CONFIG: &str = "\
allowlists: [list.yaml]
workloads:
  - {name: w, match: {networks: [10.0.0.0/8]}, allow: [list]}
";

    #[test]
    fn the_embedded_configuration_is_good() {
        let (code, out, err) = checked(None, "");
        assert_eq!(code, GOOD, "{err}");
        assert!(out.contains("\ngithub: "), "{out}");
        assert!(out.lines().last().unwrap().starts_with("good: "), "{out}");
    }

    #[test]
    fn an_example_that_fails_says_where_and_why() {
        let list = "\
name: list
rules: [{host: example.com, paths: [/a]}]
examples:
  - {allow: \"GET https://example.com/a\"}
  - {allow: \"GET https://example.com/b\"}
  - {deny: \"GET https://example.com/a\"}
";
        let (code, out, err) = checked(Some(CONFIG), list);
        assert_eq!(code, WRONG);
        assert!(
            out.contains("list: 1 rule, 0 deny rules, 2 of 3 examples failed\n"),
            "{out}"
        );
        assert!(
            err.contains(
                "list.yaml:5:5: example: GET https://example.com/b should pass, but is refused: path.not_listed; "
            ),
            "{err}"
        );
        let expected = "list.yaml:6:5: example: GET https://example.com/a should be refused, but is allowed by list/1 at list.yaml:2:9\n";
        assert!(err.contains(expected), "{err}");
    }

    #[test]
    fn a_configuration_that_cannot_be_taken() {
        let (code, out, err) = checked(Some("proxy: {listn: x}\n"), "");
        assert_eq!((code, out.as_str()), (UNREADABLE, ""));
        assert_eq!(
            err,
            "egret.yaml:1:9: proxy.listn: unknown key; did you mean `listen`?\n"
        );
    }

    #[test]
    fn settings_that_do_nothing_or_take_protection_away() {
        let config = "\
allowlists: [list.yaml]
workloads:
  - {name: first, match: {networks: [10.0.0.0/8]}, allow: []}
  - {name: second, match: {networks: [10.1.0.0/16]}, allow: [], mode: observe}
addresses: {permit: [{host: wiki.corp.test, networks: [10.0.0.0/8]}]}
redaction: {surfaces: {body: off, url: alert}}
audit: {on_failure: continue}
";
        let (code, out, err) = checked(Some(config), "name: list\nrules: [{host: example.com}]\n");
        assert_eq!(code, GOOD);
        let expected = [
            "list.yaml:1:7: no workload allows the list list",
            "workload second is never asked: first stands before it and matches all of its clients",
            "addresses.permit: no allowlist has a rule for the host wiki.corp.test",
            "redaction.surfaces.body: off: secrets go out there",
            "redaction.surfaces.url: alert: secrets go out there",
            "audit.on_failure: continue: exchanges pass unrecorded while the trail can't be written",
            "workload second observes: what its policy denies is let pass",
        ];
        assert_eq!(
            err.lines().collect::<Vec<_>>(),
            expected.map(|text| format!("warning: {text}"))
        );
        assert!(out.ends_with("good: 1 allowlist, 2 workloads, 7 warnings\n"), "{out}");
    }
}
