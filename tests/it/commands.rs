//! The commands: their exit codes, and words that tell a person what to do.

use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::egret::{BINARY, Setup, finish};
use crate::support::scene::Scene;
use crate::support::within;

fn words(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", words(output));
}

/// Runs the binary in an empty folder of its own.
async fn egret_in(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(folder.path());
    finish(command).await
}

/// A configuration that is wrong, where the message must point, and words that it must hold: the key, the remedy.
const BAD: &[(&str, &str, &[&str])] = &[
    ("proxy:\n  lisen: 127.0.0.1:1\n", "egret.yaml:2:3", &["lisen", "listen"]),
    (
        "proxy:\n  listen: nowhere\n",
        "egret.yaml:2:11",
        &["proxy.listen", "127.0.0.1:3128"],
    ),
    ("proxy: {}\nproxy: {}\n", "egret.yaml:2:1", &["proxy", "line 1"]),
    (
        "limits: {head_timeout: fast}\n",
        "egret.yaml:1:",
        &["limits.head_timeout", "10s"],
    ),
    ("limits: {head_bytes: -1}\n", "egret.yaml:1:", &["limits.head_bytes"]),
    (
        "limits: {connections: 0}\n",
        "egret.yaml:1:",
        &["limits.connections", "1"],
    ),
    (
        "limits: {conections: 10}\n",
        "egret.yaml:1:",
        &["conections", "connections"],
    ),
    (
        "redaction: {surfaces: {body: maybe}}\n",
        "egret.yaml:1:",
        &["body", "redact"],
    ),
    (
        "redaction: {rules: [missing.toml]}\n",
        "egret.yaml:1:",
        &["missing.toml"],
    ),
    (
        "audit: {on_failure: ignore}\n",
        "egret.yaml:1:",
        &["on_failure", "continue"],
    ),
    (
        "dns: {servers: [not-an-address]}\n",
        "egret.yaml:1:",
        &["not-an-address", "1.1.1.1"],
    ),
    ("upstream: {roots: [missing.pem]}\n", "egret.yaml:1:", &["missing.pem"]),
    (
        "upstream: {proxy: \"http://corp:3128\"}\n",
        "egret.yaml:1:",
        &["upstream.proxy"],
    ),
    (
        "addresses: {permit: [{host: a.test, networks: []}]}\n",
        "egret.yaml:1:",
        &["networks"],
    ),
    (
        "addresses: {permit: [{networks: [10.0.0.0/8]}]}\n",
        "egret.yaml:1:",
        &["host"],
    ),
    ("allowlists: [nowhere]\n", "egret.yaml:1:", &["nowhere"]),
    (
        "workloads:\n  - {name: a, match: {}, allow: []}\n",
        "egret.yaml:2:",
        &["networks"],
    ),
    ("workloads:\n  - {name: a, allow: []}\n", "egret.yaml:2:", &["match"]),
    (
        "workloads:\n  - {match: {networks: [10.0.0.0/8]}, allow: []}\n",
        "egret.yaml:2:",
        &["name"],
    ),
    (
        "workloads:\n  - {name: a, match: {networks: [10.0.0.0/33]}, allow: []}\n",
        "egret.yaml:2:",
        &["10.0.0.0/33"],
    ),
    (
        "workloads:\n  - {name: a, match: {networks: [10.0.0.0/8]}, allow: [gihub]}\n",
        "egret.yaml:2:",
        &["gihub", "github"],
    ),
    (
        "workloads:\n  - {name: a, match: {networks: [10.0.0.0/8]}, allow: [], mode: observer}\n",
        "egret.yaml:2:",
        &["observer", "observe"],
    ),
    (
        "workloads:\n  - {name: a, match: {credential: {sha256: abc}}, allow: []}\n",
        "egret.yaml:2:",
        &["sha256", "64"],
    ),
    ("- a\n- b\n", "egret.yaml:1:", &[]),
    ("proxy: [\n", "egret.yaml", &[]),
    ("admin: {listen: 127.0.0.1:3128}\n", "egret.yaml:1:", &["proxy.listen"]),
];

#[tokio::test]
async fn a_wrong_configuration_is_pointed_at_and_never_runs() {
    for (text, place, hints) in BAD {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("egret.yaml"), text).unwrap();
        for command in ["check", "run"] {
            let output = egret_in(&folder, &[command, "--config", "egret.yaml"]).await;
            assert_exit(&output, 2);
            let said = words(&output);
            assert!(said.contains(place), "no {place} for {text:?}: {said}");
            for hint in *hints {
                assert!(said.contains(hint), "no {hint:?} for {text:?}: {said}");
            }
            assert!(!said.contains("listening"), "{text:?} ran: {said}");
        }
    }
}

#[tokio::test]
async fn every_mistake_is_named_at_once() {
    let folder = TempDir::new().unwrap();
    let text = "proxy: {lisen: x}\naudit: {on_failure: ignore}\n";
    std::fs::write(folder.path().join("egret.yaml"), text).unwrap();
    let output = egret_in(&folder, &["check", "--config", "egret.yaml"]).await;
    assert_exit(&output, 2);
    let said = words(&output);
    assert!(
        said.contains("egret.yaml:1:") && said.contains("egret.yaml:2:"),
        "{said}"
    );
}

#[tokio::test]
async fn a_wrong_allowlist_is_pointed_at() {
    let mut setup = Setup::new();
    let text = "name: test\nrules:\n  - host: a.test\n    metods: [GET]\n";
    setup.allowlists.push(("test".into(), text.into()));
    let output = setup.command(&["check"]).await;
    assert_exit(&output, 2);
    let said = words(&output);
    assert!(said.contains("test.yaml:4:5") && said.contains("methods"), "{said}");
}

#[tokio::test]
async fn a_missing_configuration_is_no_default() {
    let folder = TempDir::new().unwrap();
    for command in ["check", "run"] {
        let output = egret_in(&folder, &[command, "--config", "nowhere.yaml"]).await;
        assert_exit(&output, 2);
        assert!(words(&output).contains("nowhere.yaml"), "{}", words(&output));
    }
}

#[tokio::test]
async fn check_passes_what_is_shipped() {
    let folder = TempDir::new().unwrap();
    assert_exit(&egret_in(&folder, &["check"]).await, 0);
}

#[tokio::test]
async fn check_runs_the_examples() {
    let list = "name: test\nrules:\n  - {host: a.test, methods: [GET]}\nexamples:\n";
    for (example, code) in [
        ("  - {allow: \"GET https://a.test/x\"}\n", 0),
        ("  - {deny: \"POST https://a.test/x\"}\n", 0),
        ("  - {allow: \"POST https://a.test/x\"}\n", 1),
        ("  - {deny: \"GET https://a.test/x\"}\n", 1),
    ] {
        let mut setup = Setup::new();
        setup.allowlists.push(("test".into(), format!("{list}{example}")));
        let output = setup.command(&["check"]).await;
        assert_exit(&output, code);
        if code != 0 {
            assert!(words(&output).contains("test.yaml:5"), "{}", words(&output));
        }
    }
}

async fn explained(arguments: &[&str]) -> Output {
    let scene = Scene::new().await;
    let scene = scene.allow("- {host: a.test, methods: [GET], paths: [\"/ok/**\"]}");
    scene.setup.command(arguments).await
}

#[tokio::test]
async fn explain_names_the_rule_that_allows() {
    let output = explained(&["explain", "--workload", "tester", "https://a.test/ok/1"]).await;
    assert_exit(&output, 0);
    let said = words(&output);
    assert!(said.contains("test.yaml:3") && said.contains("test/1"), "{said}");
}

#[tokio::test]
async fn explain_gives_the_line_that_would_allow() {
    let denied: [(&[&str], &str, &str); 3] = [
        (&["https://b.test/"], "host.not_listed", "b.test"),
        (
            &["--method", "POST", "https://a.test/ok/1"],
            "method.not_listed",
            "POST",
        ),
        (&["https://a.test/no"], "path.not_listed", "/no"),
    ];
    for (arguments, code, line) in denied {
        let mut all = vec!["explain", "--workload", "tester"];
        all.extend(arguments);
        let output = explained(&all).await;
        assert_exit(&output, 3);
        let said = words(&output);
        assert!(said.contains(code) && said.contains(line), "{arguments:?}: {said}");
        assert!(said.contains("host:"), "no line to add: {said}");
    }
}

#[tokio::test]
async fn the_ca_is_made_shown_and_bundled() {
    let mut setup = Setup::new();
    setup.allowlists.push(("test".into(), "name: test\nrules: []\n".into()));
    assert_exit(&setup.command(&["ca", "init"]).await, 0);
    let file = std::fs::read_to_string(setup.folder().join("state/ca.crt")).unwrap();
    let shown = setup.command(&["ca", "show"]).await;
    assert_exit(&shown, 0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.trim(), file.trim());
    let bundle = setup.command(&["ca", "bundle"]).await;
    assert_exit(&bundle, 0);
    let bundle = String::from_utf8(bundle.stdout).unwrap();
    assert!(bundle.contains(file.trim()), "the CA is part of the bundle");
    assert!(
        bundle.matches("BEGIN CERTIFICATE").count() > 1,
        "and so are the system's roots"
    );
    let key = std::fs::read_to_string(setup.folder().join("state/ca.key")).unwrap();
    assert!(!bundle.contains("PRIVATE KEY") && key.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn env_names_every_variable_in_both_cases() {
    let folder = TempDir::new().unwrap();
    for format in ["shell", "docker", "kubernetes"] {
        let output = egret_in(&folder, &["env", "--format", format]).await;
        assert_exit(&output, 0);
        let said = words(&output);
        for name in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "http_proxy",
            "https_proxy",
            "NO_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "NODE_USE_ENV_PROXY",
            "GIT_SSL_CAINFO",
        ] {
            assert!(said.contains(name), "no {name} in {format}: {said}");
        }
    }
    let output = egret_in(&folder, &["env", "--format", "tea-leaves"]).await;
    assert_exit(&output, 2);
}

/// Runs `egret redact` over a text.
async fn redact(text: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("redact").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // A program that reads nothing is judged by what it says.
    input.write_all(text.as_bytes()).await.ok();
    drop(input);
    within("egret redact", child.wait_with_output()).await.unwrap()
}

#[tokio::test]
async fn redact_rewrites_and_tells() {
    let secret = ["u8jzPde0IgxLd6Gn", "cfBAepfJBd0Kh8oOOL8d"].concat();
    let text = format!("before ghp_{secret} after\n");
    let output = redact(&text).await;
    assert_exit(&output, 4);
    let rewritten = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        rewritten.starts_with("before ") && rewritten.ends_with(" after\n"),
        "{rewritten}"
    );
    assert_eq!(rewritten.len(), text.len());
    assert!(!words(&output).contains(&secret), "{}", words(&output));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("github-pat"), "{told}");

    let clean = redact("nothing to see\n").await;
    assert_exit(&clean, 0);
    assert_eq!(clean.stdout, b"nothing to see\n");
}

#[tokio::test]
async fn the_demo_shows_each_fate() {
    let folder = TempDir::new().unwrap();
    let output = egret_in(&folder, &["demo"]).await;
    assert_exit(&output, 0);
    let said = String::from_utf8(output.stdout).unwrap();
    for word in ["host.not_listed", "403", "200", "redact", "decision"] {
        assert!(said.contains(word), "no {word:?} in the demo: {said}");
    }
}

#[tokio::test]
async fn an_unknown_command_is_told_apart() {
    let folder = TempDir::new().unwrap();
    let output = egret_in(&folder, &["chekc"]).await;
    assert_exit(&output, 2);
    assert!(words(&output).contains("check"), "{}", words(&output));
    assert_exit(&egret_in(&folder, &["--help"]).await, 0);
    assert_exit(&egret_in(&folder, &["--version"]).await, 0);
}
