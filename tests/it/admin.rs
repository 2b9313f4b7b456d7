//! The admin listener: metrics that Prometheus takes, health that Kubernetes asks for, and nothing else.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::client::Wire;
use crate::support::scene::{Play, Scene};
use crate::support::within;

/// Every metric of the contract, with its type and labels.
const METRICS: &[(&str, &str, &[&str])] = &[
    (
        "egret_exchanges_total",
        "counter",
        &["workload", "form", "decision", "reason"],
    ),
    ("egret_exchange_duration_seconds", "histogram", &["workload", "form"]),
    ("egret_bytes_total", "counter", &["workload", "rule", "direction"]),
    ("egret_redactions_total", "counter", &["workload", "rule", "where"]),
    ("egret_connections_active", "gauge", &["kind"]),
    ("egret_dns_lookups_total", "counter", &["result"]),
    ("egret_upstream_connect_seconds", "histogram", &[]),
    ("egret_upstream_errors_total", "counter", &["reason"]),
    ("egret_certificates_minted_total", "counter", &[]),
    ("egret_audit_records_total", "counter", &[]),
    ("egret_audit_errors_total", "counter", &[]),
    ("egret_config_reloads_total", "counter", &["result"]),
    ("egret_config_loaded_timestamp_seconds", "gauge", &[]),
    ("egret_build_info", "gauge", &["version", "revision"]),
    ("process_resident_memory_bytes", "gauge", &[]),
];

/// A play in which each kind of thing has happened once.
async fn lively() -> Play {
    let play = Scene::open().await.start().await;
    let secret = ["ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d"].concat();
    play.secure_ask("POST", "origin.test", "/", "", secret.as_bytes())
        .await
        .assert_passed(200);
    play.ask("GET", "unlisted.test", "/", "", b"")
        .await
        .assert_refused(403, "host.not_listed");
    play
}

#[tokio::test]
async fn every_metric_is_there_with_its_help() {
    let play = lively().await;
    let text = play.egret.metrics().await;
    for (name, kind, labels) in METRICS {
        assert!(text.contains(&format!("# HELP {name} ")), "no help for {name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
        let suffix = if *kind == "histogram" { "_count" } else { "" };
        let start = format!("{name}{suffix}");
        let sample = text.lines().find(|line| line.starts_with(&start));
        let sample = sample.unwrap_or_else(|| panic!("no sample of {name}"));
        for label in *labels {
            assert!(sample.contains(&format!("{label}=\"")), "no label {label} in {sample}");
        }
    }
}

#[tokio::test]
async fn promtool_takes_a_scrape() {
    let play = lively().await;
    let text = play.egret.metrics().await;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let output = within("promtool", child.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn no_label_value_comes_from_traffic() {
    let play = lively().await;
    for host in ["one.traffic.test", "two.traffic.test"] {
        play.ask("TRAFFIC", host, "/traffic", "X-Traffic: traffic\r\n", b"")
            .await;
    }
    let text = play.egret.metrics().await.to_lowercase();
    assert!(!text.contains("traffic"), "{text}");
}

#[tokio::test]
async fn every_denial_of_a_closed_set_starts_at_zero() {
    let play = Scene::open().await.start().await;
    let text = play.egret.metrics().await;
    for code in [
        "host.not_listed",
        "address.private",
        "tls.ech",
        "audit.unwritable",
        "internal.panic",
    ] {
        let label = format!("reason=\"{code}\"");
        let sample = text
            .lines()
            .find(|line| line.starts_with("egret_exchanges_total") && line.contains(&label));
        let sample = sample.unwrap_or_else(|| panic!("no series for {code}"));
        assert!(sample.ends_with(" 0"), "{sample}");
    }
}

#[tokio::test]
async fn health_is_told() {
    let play = Scene::open().await.start().await;
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        assert_eq!(play.egret.ask_admin(path).await.status, 200, "{path}");
    }
    assert_eq!(play.egret.ask_admin("/nowhere").await.status, 404);
    let metrics = play.egret.ask_admin("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn the_admin_listener_is_no_proxy() {
    let play = Scene::open().await.start().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let mut wire = Wire::dial(play.egret.admin).await;
    let reply = wire
        .ask("GET", &format!("http://{host}/x"), &format!("Host: {host}\r\n"), b"")
        .await;
    assert_ne!(reply.status, 200);
    let refused = Wire::tunnel(play.egret.admin, &host, "").await;
    assert!(refused.is_err());
    play.origin.assert_untouched();
}

#[tokio::test]
async fn the_proxy_listener_is_no_admin() {
    let play = Scene::open().await.start().await;
    for path in ["/metrics", "/livez", "/"] {
        let mut wire = Wire::dial(play.proxy()).await;
        let fields = format!("Host: {}\r\n", play.proxy());
        let reply = wire.ask("GET", path, &fields, b"").await;
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        assert!(!reply.text().contains("egret_exchanges_total"));
    }
}
