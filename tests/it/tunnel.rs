//! Tunnels: the name is checked in the first bytes, and then every byte passes as it is.

use crate::support::client::{Reply, Wire, roots_from_pem, tls_config};
use crate::support::dns::at;
use crate::support::origin::{Raw, RawOrigin};
use crate::support::scene::{Play, Scene};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

const TUNNEL: &str = "- {host: origin.test, ports: [$TLS], treatment: tunnel}";

async fn tunnelled() -> Play {
    Scene::new().await.allow(TUNNEL).start().await
}

/// A play in which the tunnel leads to `raw`, so that bytes need not be real TLS after the first message.
async fn to_raw(raw: &RawOrigin) -> Play {
    let rule = format!("- {{host: origin.test, ports: [{}], treatment: tunnel}}", raw.port());
    Scene::new().await.allow(&rule).start().await
}

async fn raw_tunnel(play: &Play, raw: &RawOrigin) -> Wire<TcpStream> {
    let target = format!("origin.test:{}", raw.port());
    Wire::tunnel(play.proxy(), &target, "").await.unwrap()
}

/// The first bytes of a real client that wants `name`.
fn client_hello(name: &str) -> Vec<u8> {
    let ca = crate::support::ca::TestCa::new();
    let config = tls_config(roots_from_pem(ca.pem().as_bytes()), &["h2", "http/1.1"]);
    hello_of(config, name)
}

fn hello_of(config: std::sync::Arc<rustls::ClientConfig>, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A client hello in which an extension that any server can do without is renumbered to `encrypted_client_hello`.
fn client_hello_with_ech(name: &str) -> Vec<u8> {
    const ENCRYPTED_CLIENT_HELLO: [u8; 2] = [0xfe, 0x0d];
    const PSK_KEY_EXCHANGE_MODES: [u8; 6] = [0x00, 0x2d, 0x00, 0x02, 0x01, 0x01];
    let mut bytes = client_hello(name);
    let at = bytes
        .windows(PSK_KEY_EXCHANGE_MODES.len())
        .position(|part| part == PSK_KEY_EXCHANGE_MODES)
        .unwrap();
    bytes[at..at + 2].copy_from_slice(&ENCRYPTED_CLIENT_HELLO);
    bytes
}

#[tokio::test]
async fn the_origins_own_certificate_reaches_the_client() {
    let play = tunnelled().await;
    let wire = play.tunnel("origin.test").await.unwrap();
    let roots = roots_from_pem(play.ca.pem().as_bytes());
    let mut wire = wire.tls("origin.test", roots, &["http/1.1"]).await.unwrap();
    let reply = wire
        .ask("GET", "/through", "Host: origin.test\r\nConnection: close\r\n", b"")
        .await;
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    drop(wire);

    let record = play
        .egret
        .await_record("the tunnel", |record| record["event"] == "tunnel")
        .await;
    assert_eq!(record["treatment"], "tunnel", "{record}");
    assert_eq!(record["decision"], "allow", "{record}");
    assert_eq!(record["form"], "connect", "{record}");
    assert_eq!(record["host"], "origin.test", "{record}");
    assert_eq!(record["tls"]["sni"], "origin.test", "{record}");
    assert_eq!(record["address"], "127.0.0.1", "{record}");
    assert!(record["path"].is_null(), "a tunnel shows no path: {record}");
    assert_eq!(play.egret.records().len(), 1);
}

/// What comes out of a tunnel whose first bytes are refused: nothing for the origin, the reason in the record.
async fn check_refused(first: &[u8], code: &str) {
    let raw = RawOrigin::start(Raw::Echo).await;
    let play = to_raw(&raw).await;
    let mut wire = raw_tunnel(&play, &raw).await;
    wire.send(first).await;
    wire.end().await;
    wire.rest().await;
    let record = play.egret.refusal(code).await;
    assert_eq!(record["decision"], "deny", "{record}");
    assert_eq!(record["host"], "origin.test", "{record}");
    assert_eq!(raw.received(), b"", "reached the origin");
    assert_eq!(play.egret.records().len(), 1, "one record a tunnel");
    let label = format!("reason=\"{code}\"");
    play.egret.await_metric("egret_exchanges_total", &[&label], 1.0).await;
}

#[tokio::test]
async fn another_server_name_is_refused() {
    check_refused(&client_hello("evil.test"), "name.sni_mismatch").await;
}

#[tokio::test]
async fn a_name_that_only_looks_alike_is_refused() {
    check_refused(&client_hello("origin.test.evil.test"), "name.sni_mismatch").await;
}

#[tokio::test]
async fn a_missing_server_name_is_refused() {
    // An address as server name is sent without the extension (RFC 6066, section 3).
    check_refused(&client_hello("192.0.2.1"), "name.sni_mismatch").await;
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    check_refused(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n", "tls.not_tls").await;
    check_refused(b"SSH-2.0-OpenSSH_9.9\r\n", "tls.not_tls").await;
    check_refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "tls.not_tls").await;
}

#[tokio::test]
async fn an_encrypted_client_hello_is_refused() {
    check_refused(&client_hello_with_ech("origin.test"), "tls.ech").await;
}

#[tokio::test]
async fn a_hello_without_end_is_refused() {
    // A handshake record that promises 16 MiB of client hello and goes on and on.
    let mut endless = Vec::new();
    for _ in 0..8 {
        endless.extend([0x16, 0x03, 0x01, 0x40, 0x00]);
        endless.extend([0x01, 0xff, 0xff, 0xff]);
        endless.resize(endless.len() + 0x4000 - 4, 0);
    }
    let raw = RawOrigin::start(Raw::Echo).await;
    let play = to_raw(&raw).await;
    let mut wire = raw_tunnel(&play, &raw).await;
    wire.try_send(&endless).await.ok();
    wire.rest().await;
    let record = play.egret.await_records(1).await.remove(0);
    assert_eq!(record["decision"], "deny", "{record}");
    assert_eq!(raw.received(), b"");
}

#[tokio::test]
async fn a_hello_in_single_bytes_passes_whole() {
    let raw = RawOrigin::start(Raw::Echo).await;
    let play = to_raw(&raw).await;
    let mut wire = raw_tunnel(&play, &raw).await;
    let hello = client_hello("origin.test");
    for byte in &hello {
        wire.send([*byte]).await;
    }
    assert_eq!(wire.exactly(hello.len()).await, hello);
    assert_eq!(raw.received(), hello);
}

#[tokio::test]
async fn a_hello_that_comes_with_the_connect_belongs_to_the_tunnel() {
    let raw = RawOrigin::start(Raw::Echo).await;
    let play = to_raw(&raw).await;
    let target = format!("origin.test:{}", raw.port());
    let mut bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes();
    let hello = client_hello("origin.test");
    bytes.extend(&hello);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(&bytes).await;
    assert_eq!(wire.reply_to("CONNECT").await.status, 200);
    assert_eq!(wire.exactly(hello.len()).await, hello);
}

#[tokio::test]
async fn a_half_closed_direction_leaves_the_other_open() {
    let raw = RawOrigin::start(Raw::SaysAtEnd(b"after your end")).await;
    let play = to_raw(&raw).await;
    let mut wire = raw_tunnel(&play, &raw).await;
    let hello = client_hello("origin.test");
    wire.send(&hello).await;
    wire.send(b"and more").await;
    wire.end().await;
    assert_eq!(wire.rest().await, b"after your end");

    let record = play.egret.await_records(1).await.remove(0);
    assert_eq!(record["bytes_out"], hello.len() + 8, "{record}");
    assert_eq!(record["bytes_in"], 14, "{record}");
    let out = play.egret.metric("egret_bytes_total", &["direction=\"out\""]).await;
    assert!(out >= 8.0, "{out}");
}

#[tokio::test]
async fn the_name_may_differ_in_case() {
    let raw = RawOrigin::start(Raw::Echo).await;
    let play = to_raw(&raw).await;
    let target = format!("ORIGIN.Test:{}", raw.port());
    let mut wire = Wire::tunnel(play.proxy(), &target, "").await.unwrap();
    let hello = client_hello("origin.test");
    wire.send(&hello).await;
    assert_eq!(wire.exactly(hello.len()).await, hello);
}

#[tokio::test]
async fn the_origin_is_dialled_before_the_tunnel_is_promised() {
    let play = Scene::new()
        .await
        .allow("- {host: closed.test, ports: [1], treatment: tunnel}")
        .name("closed.test", at(&["127.0.0.1"]))
        .permit("closed.test")
        .start()
        .await;
    let refused: Option<Reply> = Wire::tunnel(play.proxy(), "closed.test:1", "").await.err();
    let refused = refused.expect("nothing listens there");
    refused.assert_refused(502, "upstream.connect_failed");
}
