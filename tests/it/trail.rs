//! The trail: one record for every exchange, refused ones too, written before the reply ends; and what happens when it can't be.

use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::client::Wire;
use crate::support::eventually;
use crate::support::scene::{Play, Scene};

async fn open() -> Play {
    Scene::open().await.start().await
}

#[tokio::test]
async fn a_record_says_who_what_and_how_it_ended() {
    let play = open().await;
    let started = OffsetDateTime::now_utc();
    let reply = play.ask("POST", "origin.test", "/echo?a=1", "", b"four").await;
    reply.assert_passed(200);
    // Written before the reply's last byte, so there is nothing to wait for.
    let records = play.egret.records();
    assert_eq!(records.len(), 1, "{records:#?}");
    let record = &records[0];
    let expected = [
        ("v", Value::from(1)),
        ("event", "exchange".into()),
        ("workload", "tester".into()),
        ("form", "absolute".into()),
        ("method", "POST".into()),
        ("scheme", "http".into()),
        ("host", "origin.test".into()),
        ("port", play.origin.plain_port().into()),
        ("path", "/echo".into()),
        ("query", "a=1".into()),
        ("http", "1.1".into()),
        ("decision", "allow".into()),
        ("rule", "test/1".into()),
        ("mode", "enforce".into()),
        ("treatment", "plain".into()),
        ("address", "127.0.0.1".into()),
        ("status", 200.into()),
        ("bytes_out", 4.into()),
        ("bytes_in", 4.into()),
    ];
    for (field, value) in expected {
        assert_eq!(record[field], value, "{field} in {record}");
    }
    assert!(record["reason"].is_null(), "{record}");
    assert!(record["id"].as_str().is_some_and(|id| id.len() >= 16), "{record}");
    assert!(
        record["client"]["ip"]
            .as_str()
            .unwrap()
            .parse::<IpAddr>()
            .unwrap()
            .is_loopback()
    );
    assert!(record["client"]["port"].is_u64(), "{record}");
    assert!(record["duration_ms"].is_number(), "{record}");
    let time = record["time"].as_str().unwrap();
    assert!(
        time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len(),
        "{time}"
    );
    let time = OffsetDateTime::parse(time, &Rfc3339).unwrap();
    assert!(time >= started - time::Duration::seconds(1) && time <= OffsetDateTime::now_utc());
}

#[tokio::test]
async fn every_fate_has_its_record_in_order() {
    let play = open().await;
    play.get("/one").await.assert_passed(200);
    let refused = play.ask("GET", "unlisted.test", "/two", "", b"").await;
    play.tunnel("unlisted.test").await.err().unwrap();
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send("nonsense\r\n\r\n").await;
    wire.reply().await;

    let records = play.egret.await_records(4).await;
    assert_eq!(records.len(), 4, "{records:#?}");
    let numbers: Vec<u64> = play
        .egret
        .trail()
        .iter()
        .map(|one| one["seq"].as_u64().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(records[1]["reason"], "host.not_listed");
    assert_eq!(records[1]["status"], 403);
    assert_eq!(
        records[1]["id"],
        refused.json()["exchange"],
        "the reply names its record"
    );
    assert_eq!(records[2]["form"], "connect");
    assert_eq!(records[3]["reason"], "request.malformed");
    let mut ids: Vec<String> = records.iter().map(|one| one["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn the_metrics_agree_with_the_trail() {
    let play = open().await;
    for number in 0..3 {
        play.get(&format!("/{number}")).await.assert_passed(200);
    }
    play.ask("GET", "unlisted.test", "/", "", b"").await;
    let workload = "workload=\"tester\"";
    let allowed = [workload, "form=\"absolute\"", "decision=\"allow\""];
    play.egret.await_metric("egret_exchanges_total", &allowed, 3.0).await;
    let denied = [workload, "decision=\"deny\"", "reason=\"host.not_listed\""];
    play.egret.await_metric("egret_exchanges_total", &denied, 1.0).await;
    let written = play.egret.metric("egret_audit_records_total", &[]).await;
    assert!(written >= 4.0, "{written}");
    let errors = play.egret.metric("egret_audit_errors_total", &[]).await;
    assert!(errors.abs() < f64::EPSILON, "{errors}");
}

#[tokio::test]
async fn an_abandoned_exchange_is_recorded_once() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    wire.send(format!("GET http://{host}/silent HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    play.origin.await_requests(1).await;
    drop(wire);
    let record = play.egret.record_of("/silent").await;
    assert_eq!(record["workload"], "tester", "{record}");
}

#[tokio::test]
async fn the_trail_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let play = open().await;
    play.get("/").await.assert_passed(200);
    let mode = std::fs::metadata(play.egret.audit()).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}

#[tokio::test]
async fn without_a_trail_nothing_leaves_until_it_can_be_written_again() {
    let mut scene = Scene::open().await;
    scene.setup.survives_full_disk = true;
    let play = scene.start().await;
    play.get("/before").await.assert_passed(200);

    play.egret.limit_file_size("1").await;
    let refused = eventually("a refusal", || async {
        let reply = play.get("/full").await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    refused.assert_refused(503, "audit.unwritable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let reached = play.origin.requests().len();
    play.get("/while-full").await.assert_refused(503, "audit.unwritable");
    let refused = play.tunnel("origin.test").await.err().unwrap();
    refused.assert_refused(503, "audit.unwritable");
    assert_eq!(play.origin.requests().len(), reached, "went out unrecorded");
    play.egret.await_metric("egret_audit_errors_total", &[], 1.0).await;

    play.egret.limit_file_size("unlimited").await;
    eventually("recovery", || async {
        (play.get("/after").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_can_choose_to_go_on_without_a_trail() {
    let mut scene = Scene::open().await;
    scene.setup.survives_full_disk = true;
    scene.setup.audit_on_failure = "continue".into();
    let play = scene.start().await;
    play.get("/before").await.assert_passed(200);
    play.egret.limit_file_size("1").await;
    for number in 0..3 {
        play.get(&format!("/full-{number}")).await.assert_passed(200);
    }
    play.egret.await_metric("egret_audit_errors_total", &[], 1.0).await;
}

#[tokio::test]
async fn a_restart_carries_the_trail_on() {
    let mut play = open().await;
    play.get("/first").await.assert_passed(200);
    play.egret.terminate().await;
    assert!(play.egret.exit().await.success());
    let before = play.egret.trail();
    let Play {
        egret,
        origin,
        dns: _dns,
        ca: _ca,
    } = play;
    let egret = egret.restart().await;
    let mut wire = Wire::dial(egret.proxy).await;
    let host = format!("origin.test:{}", origin.plain_port());
    wire.ask(
        "GET",
        &format!("http://{host}/second"),
        &format!("Host: {host}\r\n"),
        b"",
    )
    .await
    .assert_passed(200);
    let after = egret.trail();
    assert_eq!(after[..before.len()], before[..], "what was written stays");
    egret.record_of("/second").await;
}
