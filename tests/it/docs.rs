//! What the documents say is what the code does: tables are compared with the code's own, and each test that is named exists.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use egret::config;
use egret::metrics::{Metrics, Surface};
use egret::policy::DenyReason;

use crate::support::egret::BINARY;

const DOCUMENTS: [&str; 7] = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "allowlists/README.md",
    "benches/README.md",
    "deploy/README.md",
];

/// How the documents explain the names of tests.
const NOTATION: &str = "it::file::name";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of the README between the marks of that name.
#[track_caller]
fn section(name: &str) -> String {
    let readme = read("README.md");
    let begin = format!("<!-- {name}:begin -->\n");
    let end = format!("<!-- {name}:end -->");
    let after = readme
        .split_once(&begin)
        .unwrap_or_else(|| panic!("README.md has no {begin}"))
        .1;
    after
        .split_once(&end)
        .unwrap_or_else(|| panic!("README.md has no {end}"))
        .0
        .to_owned()
}

#[track_caller]
fn check_section(name: &str, expected: &str) {
    let found = section(name);
    assert!(
        found == expected,
        "README.md, between the marks {name}, must read:\n{expected}"
    );
}

#[test]
fn the_limits_are_those_of_the_code() {
    check_section("limits", &config::reference());
}

#[test]
fn the_reasons_are_those_of_the_code() {
    let mut table = String::from("| code | status | what to look at |\n|---|---|---|\n");
    for reason in DenyReason::ALL {
        writeln!(
            table,
            "| `{}` | {} | {} |",
            reason.code(),
            reason.status(),
            reason.explanation()
        )
        .unwrap();
    }
    check_section("reasons", &table);
}

#[test]
fn the_metrics_are_those_of_the_code() {
    let metrics = Metrics::new(DenyReason::ALL.iter().map(|reason| reason.code()));
    // A series of each family that begins with an event.
    let workload = metrics.workload("w", ["list/1"]);
    workload.redacted("rule", Surface::Body, 1);
    metrics.client_connections_limit(1);
    metrics.config_loaded(SystemTime::UNIX_EPOCH);
    let text = metrics.encode();
    let mut table = String::from("| metric | type | labels | what it counts |\n|---|---|---|---|\n");
    for line in text.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .unwrap();
        writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels(&text, name)).unwrap();
    }
    check_section("metrics", &table);
}

/// The label names of a metric's first sample, without the buckets' own.
fn labels(text: &str, name: &str) -> String {
    let sample = text.lines().find(|line| line.starts_with(name)).unwrap();
    let inside = sample
        .split_once('{')
        .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
    let names = inside
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, _)| label);
    names
        .filter(|label| *label != "le")
        .map(|label| format!("`{label}`"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let table = section("configuration");
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut checked = 0;
    for line in config::DEFAULT
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let depth = key.len() - key.trim_start().len();
        parents.retain(|(parent, _)| *parent < depth);
        let path = parents
            .iter()
            .map(|(_, name)| *name)
            .chain([key.trim()])
            .collect::<Vec<_>>()
            .join(".");
        parents.push((depth, key.trim()));
        let is_leaf = !value.split(" #").next().unwrap().trim().is_empty();
        if is_leaf {
            assert!(
                table.contains(&format!("| `{path}` |")),
                "README.md does not explain {path}"
            );
            checked += 1;
        }
    }
    assert!(checked > 10, "the keys of the embedded default were not found");
    for key in [
        "allowlists",
        "workloads",
        "workloads[].match.networks",
        "workloads[].match.credential",
        "workloads[].match.certificate",
        "proxy.tls",
        "proxy.tls.listen",
        "proxy.tls.certificate",
        "proxy.tls.key",
        "proxy.tls.client_ca",
        "limits",
    ] {
        assert!(
            table.contains(&format!("| `{key}` |")),
            "README.md does not explain {key}"
        );
    }
}

#[test]
fn the_numbers_are_those_of_the_code() {
    let config = config::inspect(None).unwrap();
    let counts = [
        format!("{} kinds of secret", config.redaction.rules.len()),
        format!("{} lists are in the binary", config::ALLOWLISTS.len()),
    ];
    for count in counts {
        assert!(read("README.md").contains(&count), "README.md does not say: {count}");
    }
}

#[test]
fn every_command_is_explained() {
    let output = Command::new(BINARY).arg("--help").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let listed = said
        .split_once("Commands:\n")
        .unwrap()
        .1
        .lines()
        .take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(commands.contains(&"run"), "{said}");
    let readme = read("README.md");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(
            readme.contains(&format!("`egret {command}")),
            "README.md does not explain egret {command}"
        );
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let mut named = 0;
    let mut missing = Vec::new();
    for document in ["README.md", "SECURITY.md", "src/lib.rs"] {
        for name in quoted(&read(document)).filter(|text| is_test_name(text) && text != NOTATION) {
            named += 1;
            if !test_exists(&name) {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(named > 80, "the names of the tests were not found: {named}");
    assert!(missing.is_empty(), "tests that do not exist:\n{}", missing.join("\n"));
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .map(str::to_owned)
}

/// `it::file::test` for a story, `room::file::test` for a test beside the code.
fn is_test_name(text: &str) -> bool {
    let words: Vec<&str> = text.split("::").collect();
    let is_word = |word: &&str| {
        word.chars()
            .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
    };
    let rooms = [
        "it", "policy", "redact", "config", "identity", "proxy", "audit", "admin", "cli", "metrics", "log", "reload",
    ];
    words.len() >= 2 && rooms.contains(&words[0]) && words.iter().all(is_word)
}

fn test_exists(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap();
    let path = module.replace("::", "/");
    let candidates = match path.strip_prefix("it/") {
        Some(file) => vec![format!("tests/it/{file}.rs")],
        None => vec![
            format!("src/{path}.rs"),
            format!("src/{path}/mod.rs"),
            format!("src/{path}/tests.rs"),
        ],
    };
    let declares = |text: &str| {
        let mut before = "";
        text.lines().any(|line| {
            let is_test = before.contains("#[test]") || before.contains("#[tokio::test");
            before = line;
            is_test && line.contains(&format!("fn {test}("))
        })
    };
    candidates
        .iter()
        .any(|path| fs::read_to_string(root().join(path)).is_ok_and(|text| declares(&text)))
}

#[test]
fn every_link_leads_somewhere() {
    for document in DOCUMENTS {
        let folder = Path::new(document).parent().unwrap();
        for link in read(document)
            .split("](")
            .skip(1)
            .map(|rest| rest.split([')', '#']).next().unwrap())
        {
            let is_local = !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:");
            assert!(
                !is_local || root().join(folder).join(link).exists(),
                "{document}: {link} does not exist"
            );
        }
    }
}
