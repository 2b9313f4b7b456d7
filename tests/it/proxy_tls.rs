//! The listener with TLS: `https://` proxies, and workloads told by client certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::ca::{Pem, TestCa, provider};
use crate::support::client::{H2, Wire, roots_from_pem};
use crate::support::egret::finish;
use crate::support::eventually;
use crate::support::scene::{Play, Scene};
use crate::support::within;

/// The proxy's name in its certificate.
const PROXY: &str = "localhost";
const SPIFFE_ID: &str = "spiffe://egret.test/ns/mcp/sa/github";

/// A scene whose proxy shows a certificate of `ca` in its folder; `more` goes into `proxy.tls`.
async fn scene(ca: &TestCa, more: &str) -> Scene {
    let mut scene = Scene::open().await;
    let folder = scene.setup.folder().to_owned();
    let pem = ca.server_pem(&[PROXY]);
    std::fs::write(folder.join("proxy.crt"), pem.certificate).unwrap();
    std::fs::write(folder.join("proxy.key"), pem.key).unwrap();
    std::fs::write(folder.join("clients.pem"), ca.pem()).unwrap();
    scene.setup.proxy_keys =
        format!(", tls: {{listen: \"127.0.0.1:0\", certificate: proxy.crt, key: proxy.key{more}}}");
    scene
}

fn address(play: &Play) -> SocketAddr {
    play.egret.tls.expect("the configuration has a listener with TLS")
}

/// A client of the proxy that speaks one version and trusts `ca`.
fn client(ca: &TestCa, version: &'static SupportedProtocolVersion, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots_from_pem(ca.pem().as_bytes()))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn connect(play: &Play, client: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let stream = Wire::dial(address(play)).await.into_stream();
    let name = ServerName::try_from(PROXY).unwrap();
    let handshake = TlsConnector::from(client).connect(name, stream);
    within("the handshake with the proxy", handshake).await.unwrap()
}

async fn connected(
    play: &Play,
    ca: &TestCa,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> Wire<TlsStream<TcpStream>> {
    Wire::over(connect(play, client(ca, version, alpn)).await)
}

#[tokio::test]
async fn requests_come_in_both_versions_and_protocols() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    for (number, (version, alpn)) in [
        (&TLS12, "http/1.1"),
        (&TLS13, "http/1.1"),
        (&TLS12, "h2"),
        (&TLS13, "h2"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = connected(&play, &ca, version, &[alpn]).await;
        assert_eq!(wire.alpn(), Some(alpn.as_bytes()));
        let path = format!("/{number}");
        let url = format!("{}{path}", play.plain("origin.test"));
        let reply = if alpn == "h2" {
            H2::over(wire).await.get(&url).await
        } else {
            let host = format!("Host: origin.test:{}\r\n", play.origin.plain_port());
            wire.ask("GET", &url, &host, b"").await
        };
        reply.assert_passed(200);
        let record = play.egret.record_of(&path).await;
        let shown = if version.version == rustls::ProtocolVersion::TLSv1_3 {
            "1.3"
        } else {
            "1.2"
        };
        assert_eq!(record["form"], "absolute", "{record}");
        let tls = &record["tls"];
        let said = (tls["sni"].as_str(), tls["version"].as_str(), tls["alpn"].as_str());
        assert_eq!(said, (Some(PROXY), Some(shown), Some(alpn)), "{record}");
    }
}

#[tokio::test]
async fn a_tunnel_inside_is_judged_and_looked_into() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    let mut wire = connected(&play, &ca, &TLS13, &[]).await;
    assert_eq!(wire.alpn(), None, "HTTP/1.1 for who knows no ALPN");
    let target = play.secure("origin.test");
    wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"))
        .await;
    assert_eq!(wire.reply_to("CONNECT").await.status, 200);
    let mut inner = wire
        .tls("origin.test", play.egret.roots(), &["http/1.1"])
        .await
        .unwrap();
    let host = format!("Host: {target}\r\n");
    inner.ask("GET", "/inside", &host, b"").await.assert_passed(200);
    let record = play.egret.record_of("/inside").await;
    assert_eq!(
        (&record["form"], &record["tls"]["sni"]),
        (&"intercepted".into(), &"origin.test".into()),
        "{record}"
    );

    let mut wire = connected(&play, &ca, &TLS13, &[]).await;
    wire.send("CONNECT unlisted.test:443 HTTP/1.1\r\nHost: unlisted.test:443\r\n\r\n")
        .await;
    wire.reply_to("CONNECT").await.assert_refused(403, "host.not_listed");
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_tunnel_as_a_stream_of_http_2_is_judged_and_looked_into() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    let mut h2 = H2::over(connected(&play, &ca, &TLS13, &["h2"]).await).await;
    let wire = h2.tunnel(&play.secure("origin.test")).await.unwrap();
    let mut inner = wire
        .tls("origin.test", play.egret.roots(), &["http/1.1"])
        .await
        .unwrap();
    let host = format!("Host: {}\r\n", play.secure("origin.test"));
    inner.ask("GET", "/stream", &host, b"").await.assert_passed(200);
    let refused = h2.tunnel("unlisted.test:443").await.err().unwrap();
    refused.assert_refused(403, "host.not_listed");
}

#[tokio::test]
async fn what_is_not_tls_is_refused_and_recorded() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    for bytes in [
        &b"GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n"[..],
        b"\x05\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut wire = Wire::dial(address(&play)).await;
        wire.send(bytes).await;
        let told = wire.rest().await;
        assert!(told.is_empty() || told[0] == 21, "an alert or nothing: {told:?}");
    }
    let records = play.egret.await_records(3).await;
    for record in records {
        assert_eq!(record["reason"], "tls.handshake_failed", "{record}");
        assert_eq!(record["decision"], "deny", "{record}");
    }
    // SOCKS5 has no place in there.
    let mut wire = connected(&play, &ca, &TLS13, &[]).await;
    wire.send(b"\x05\x01\x00\r\n\r\n").await;
    wire.reply().await.assert_refused(400, "request.malformed");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_handshake_without_end_is_not_waited_for() {
    let ca = TestCa::new();
    let play = scene(&ca, "")
        .await
        .section("limits: {client_hello_timeout: 300ms}")
        .start()
        .await;
    let mut wire = Wire::dial(address(&play)).await;
    wire.send([22, 3, 1]).await;
    wire.rest().await;
    play.egret.refusal("limit.client_hello_timeout").await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_a_reload_and_a_wrong_pair_is_not() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    let shown = || async { connected(&play, &ca, &TLS13, &[]).await.peer_certificates() };
    let first = shown().await;
    let renewed = ca.server_pem(&[PROXY]);
    let folder = play.egret.folder();
    let warned = ["result=\"refused\""];

    std::fs::write(folder.join("proxy.crt"), &renewed.certificate).unwrap();
    play.egret.reload().await;
    play.egret
        .await_metric("egret_config_reloads_total", &warned, 1.0)
        .await;
    assert_eq!(shown().await, first, "half a pair is none");

    std::fs::write(folder.join("proxy.key"), &renewed.key).unwrap();
    play.egret.reload().await;
    eventually("the renewed certificate", || async {
        (shown().await != first).then_some(())
    })
    .await;
}

const CERTIFIED: &str = "\
- {name: by-name, match: {certificate: [client.test, other.test]}, allow: [test]}
- {name: by-id, match: {networks: [127.0.0.0/8], certificate: [\"spiffe://egret.test/ns/mcp/sa/github\"]}, allow: [test]}";

/// curl by way of the `https://` proxy, with a client certificate if there is one: the body, and what it tells of its journey.
async fn curl(play: &Play, ca: &TestCa, client: Option<Pem>, url: &str) -> (String, String) {
    let folder = play.egret.folder();
    let write = |name: &str, text: &str| -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--verbose", "--max-time", "20"])
        .arg("--cacert")
        .arg(play.egret.ca_file())
        .arg("--proxy-cacert")
        .arg(write("curl-proxy-ca.pem", ca.pem()))
        .args(["--proxy", &format!("https://{PROXY}:{}", address(play).port())]);
    if let Some(client) = client {
        command.arg("--proxy-cert").arg(write("curl.crt", &client.certificate));
        command.arg("--proxy-key").arg(write("curl.key", &client.key));
    }
    command
        .arg(url)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = finish(command).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn curl_speaks_to_an_https_proxy() {
    let ca = TestCa::new();
    let play = scene(&ca, "").await.start().await;
    for (url, path) in [
        (format!("{}/curl-plain", play.plain("origin.test")), "/curl-plain"),
        (format!("https://{}/curl-tls", play.secure("origin.test")), "/curl-tls"),
    ] {
        let (body, journey) = curl(&play, &ca, None, &url).await;
        assert_eq!(body, "hello", "{journey}");
        assert_eq!(play.egret.record_of(path).await["decision"], "allow");
    }
    let (_, journey) = curl(&play, &ca, None, "https://unlisted.test/").await;
    assert!(journey.contains("host.not_listed"), "{journey}");
}

#[tokio::test]
async fn curl_is_known_by_its_certificate() {
    let ca = TestCa::new();
    let play = scene(&ca, ", client_ca: [clients.pem]")
        .await
        .workloads(CERTIFIED)
        .start()
        .await;
    let url = |path: &str| format!("https://{}{path}", play.secure("origin.test"));
    for (names, path, workload) in [
        (&["client.test"][..], "/name", "by-name"),
        (&["unknown.test", "other.test", SPIFFE_ID], "/first", "by-name"),
        (&[SPIFFE_ID], "/id", "by-id"),
    ] {
        let (body, journey) = curl(&play, &ca, Some(ca.client_pem(names)), &url(path)).await;
        assert_eq!(body, "hello", "{journey}");
        let record = play.egret.record_of(path).await;
        assert_eq!(record["workload"], workload, "{record}");
    }

    let reached = play.origin.requests().len();
    let strangers = [
        None,
        Some(ca.client_pem(&["unknown.test"])),
        Some(ca.client_pem(&["*.test"])),
        Some(ca.client_pem(&["sub.client.test"])),
        Some(ca.client_pem(&["spiffe://egret.test/ns/mcp/sa/github/more"])),
        Some(ca.client_pem(&[SPIFFE_ID, "spiffe://egret.test/other"])),
    ];
    let before = play.egret.records().len();
    for (number, stranger) in strangers.into_iter().enumerate() {
        let (_, journey) = curl(&play, &ca, stranger, &url("/refused")).await;
        assert!(journey.contains("workload.unknown"), "stranger {number}: {journey}");
    }
    let records = play.egret.await_records(before + 6).await;
    assert!(
        records[before..].iter().all(|record| record["workload"].is_null()),
        "{records:?}"
    );

    // A certificate that doesn't verify ends the handshake, however good its name.
    for bad in [
        TestCa::new().client_pem(&["client.test"]),
        ca.expired_client_pem(&["client.test"]),
        ca.server_pem(&["client.test"]),
    ] {
        let before = play.egret.records().len();
        let (body, journey) = curl(&play, &ca, Some(bad), &url("/invalid")).await;
        assert_eq!(body, "", "{journey}");
        let records = play.egret.await_records(before + 1).await;
        assert_eq!(records[before]["reason"], "workload.certificate_invalid", "{records:?}");
    }
    assert_eq!(play.origin.requests().len(), reached);
}

#[tokio::test]
async fn a_certificate_counts_on_the_listener_that_asked_for_it_only() {
    let ca = TestCa::new();
    let play = scene(&ca, ", client_ca: [clients.pem]")
        .await
        .workloads(CERTIFIED)
        .start()
        .await;
    play.get("/plain").await.assert_refused(403, "workload.unknown");
    play.origin.assert_untouched();
}

/// Whether a client that comes again resumes its session.
async fn resumes(play: &Play, client: Arc<ClientConfig>) -> bool {
    let mut kind = None;
    for _ in 0..2 {
        let stream = connect(play, Arc::clone(&client)).await;
        kind = stream.get_ref().1.handshake_kind();
        // Tickets of TLS 1.3 come with the first bytes.
        let mut wire = Wire::over(stream);
        wire.ask("GET", "http://unlisted.test/", "Host: unlisted.test\r\n", b"")
            .await;
    }
    kind == Some(HandshakeKind::Resumed)
}

#[tokio::test]
async fn where_certificates_are_asked_for_no_session_is_resumed() {
    let ca = TestCa::new();
    let without = scene(&ca, "").await.start().await;
    let with = scene(&ca, ", client_ca: [clients.pem]").await.start().await;
    for version in [&TLS12, &TLS13] {
        assert!(resumes(&without, client(&ca, version, &[])).await, "{version:?}");
        assert!(!resumes(&with, client(&ca, version, &[])).await, "{version:?}");
    }
}
