//! Reload and drain: a configuration is taken whole or not at all, and what is live is left alone.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::client::{Wire, roots_from_pem};
use crate::support::scene::{Play, Scene};
use crate::support::{eventually, within};

const RELOADS: &str = "egret_config_reloads_total";
const TAKEN: &[&str] = &["result=\"taken\""];
const REFUSED: &[&str] = &["result=\"refused\""];

/// The list `test` with one rule for the plain port of `host`.
fn list_of(host: &str, port: u16) -> String {
    format!("name: test\nrules:\n  - {{host: {host}, schemes: [http], ports: [{port}]}}\n")
}

async fn status(play: &Play, host: &str) -> u16 {
    play.ask("GET", host, "/", "", b"").await.status
}

async fn only_origin() -> Play {
    Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}")
        .start()
        .await
}

#[tokio::test]
async fn a_hangup_takes_the_new_configuration() {
    let play = only_origin().await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (200, 403)
    );
    play.egret
        .replace_allowlist("test", &list_of("other.test", play.origin.plain_port()));
    play.egret.reload().await;
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (403, 200)
    );
}

#[tokio::test]
async fn a_changed_file_is_noticed_by_itself() {
    let play = only_origin().await;
    play.egret
        .replace_allowlist("test", &list_of("other.test", play.origin.plain_port()));
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (403, 200)
    );
}

/// Lays out `folder` as kubelet does: each file is a link into `..data`, which is a link to the current version.
fn mount(folder: &Path) {
    std::fs::create_dir_all(folder.join("..v1")).unwrap();
    symlink("..v1", folder.join("..data")).unwrap();
    symlink("..data/test.yaml", folder.join("test.yaml")).unwrap();
}

fn remount(folder: &Path, text: &str) {
    std::fs::create_dir(folder.join("..v2")).unwrap();
    std::fs::write(folder.join("..v2/test.yaml"), text).unwrap();
    symlink("..v2", folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    std::fs::remove_dir_all(folder.join("..v1")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_is_swapped_by_symlink_is_noticed() {
    let scene = Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}");
    let lists = scene.setup.folder().join("allowlists");
    mount(&lists);
    let play = scene.start().await;
    assert_eq!(status(&play, "origin.test").await, 200);
    remount(&lists, &list_of("other.test", play.origin.plain_port()));
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (403, 200)
    );
}

#[tokio::test]
async fn a_refused_reload_keeps_the_old_configuration() {
    let play = only_origin().await;
    let loaded = play.egret.metric("egret_config_loaded_timestamp_seconds", &[]).await;
    // One good rule before the bad one: taken whole or not at all.
    let mut text = list_of("other.test", play.origin.plain_port());
    text.push_str("  - {hots: third.test}\n");
    play.egret.replace_allowlist("test", &text);
    play.egret.reload().await;
    play.egret.await_metric(RELOADS, REFUSED, 1.0).await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (200, 403)
    );
    let still = play.egret.metric("egret_config_loaded_timestamp_seconds", &[]).await;
    assert!((loaded - still).abs() < f64::EPSILON);
    assert!(
        play.egret.log().text().contains("test.yaml:4"),
        "{}",
        play.egret.log().text()
    );

    play.egret
        .replace_allowlist("test", &list_of("other.test", play.origin.plain_port()));
    play.egret.reload().await;
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    assert_eq!(
        (status(&play, "origin.test").await, status(&play, "other.test").await),
        (403, 200)
    );
}

#[tokio::test]
async fn a_live_tunnel_survives_a_reload_that_forbids_it() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, ports: [$TLS], treatment: tunnel}")
        .start()
        .await;
    let wire = play.tunnel("origin.test").await.unwrap();
    let roots = roots_from_pem(play.ca.pem().as_bytes());
    let mut wire = wire.tls("origin.test", roots, &["http/1.1"]).await.unwrap();
    let fields = "Host: origin.test\r\n";
    assert_eq!(wire.ask("GET", "/before", fields, b"").await.status, 200);

    play.egret.replace_allowlist("test", "name: test\nrules: []\n");
    play.egret.reload().await;
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    assert_eq!(wire.ask("GET", "/after", fields, b"").await.status, 200);
    let refused = play.tunnel("origin.test").await.err().unwrap();
    refused.assert_refused(403, "host.not_listed");
}

#[tokio::test]
async fn a_live_intercepted_connection_is_judged_by_the_new_rules() {
    let play = Scene::open().await.start().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let fields = format!("Host: {}\r\n", play.secure("origin.test"));
    wire.ask("GET", "/before", &fields, b"").await.assert_passed(200);
    play.egret.replace_allowlist("test", "name: test\nrules: []\n");
    play.egret.reload().await;
    play.egret.await_metric(RELOADS, TAKEN, 1.0).await;
    wire.ask("GET", "/after", &fields, b"")
        .await
        .assert_refused(403, "host.not_listed");
}

#[tokio::test]
async fn a_drain_finishes_what_is_live_and_ends_well() {
    let mut play = Scene::open().await.start().await;
    assert_eq!(play.egret.ask_admin("/readyz").await.status, 200);
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    wire.send(format!(
        "GET http://{host}/slow?ms=1500 HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ))
    .await;
    play.origin.await_requests(1).await;

    play.egret.terminate().await;
    eventually("not ready", || async {
        (play.egret.ask_admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(play.egret.ask_admin("/livez").await.status, 200);
    let reply = wire.reply().await;
    reply.assert_passed(200);
    assert_eq!(reply.text(), "slow");
    assert_eq!(play.egret.exit().await.code(), Some(0));
    assert_eq!(play.egret.record_of("/slow").await["status"], 200);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let mut play = Scene::open()
        .await
        .section("limits: {drain_timeout: 500ms}")
        .start()
        .await;
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    wire.send(format!("GET http://{host}/silent HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    play.origin.await_requests(1).await;
    play.egret.terminate().await;
    assert_eq!(play.egret.exit().await.code(), Some(0));
    assert_eq!(play.egret.await_records(1).await.len(), 1);
    within("the cut connection", wire.rest()).await;
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once() {
    let mut play = only_origin().await;
    let _idle = Wire::dial(play.proxy()).await;
    play.egret.terminate().await;
    assert_eq!(play.egret.exit().await.code(), Some(0));
}

#[tokio::test]
async fn the_ca_is_made_once() {
    let mut play = only_origin().await;
    let first = std::fs::read(play.egret.ca_file()).unwrap();
    play.egret.terminate().await;
    play.egret.exit().await;
    let again = play.egret.restart().await;
    assert_eq!(std::fs::read(again.ca_file()).unwrap(), first);
}
