//! Bad input and limits: each refusal has its status and its code, and nothing reaches the origin.

use crate::support::client::Wire;
use crate::support::eventually;
use crate::support::origin::{Raw, RawOrigin};
use crate::support::scene::{Play, Scene};

async fn limited(limits: &str) -> Play {
    Scene::open()
        .await
        .section(&format!("limits: {{{limits}}}"))
        .start()
        .await
}

/// Heads that are malformed, or that two readers could read in two ways. `$` stands for the origin's authority.
const BAD_HEADS: &[(&str, &str)] = &[
    ("no host", "GET http://$/ HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET http://$/ HTTP/1.1\r\nHost: $\r\nHost: $\r\n\r\n"),
    (
        "a list of hosts",
        "GET http://$/ HTTP/1.1\r\nHost: $, evil.test\r\n\r\n",
    ),
    (
        "user info in the host",
        "GET http://$/ HTTP/1.1\r\nHost: user@$\r\n\r\n",
    ),
    (
        "user info in the target",
        "GET http://user:pw@$/ HTTP/1.1\r\nHost: $\r\n\r\n",
    ),
    ("another host", "GET http://$/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
    (
        "length and encoding",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    (
        "a list of lengths",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nContent-Length: 4, 5\r\n\r\nabcde",
    ),
    (
        "a signed length",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nContent-Length: +4\r\n\r\nabcd",
    ),
    (
        "a hexadecimal length",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nContent-Length: 0x4\r\n\r\nabcd",
    ),
    (
        "two encodings",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "identity encoding",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an unknown encoding",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an empty encoding",
        "POST http://$/ HTTP/1.1\r\nHost: $\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "encoding in HTTP/1.0",
        "POST http://$/ HTTP/1.0\r\nHost: $\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("bare line feeds", "GET http://$/ HTTP/1.1\nHost: $\n\n"),
    (
        "a bare carriage return",
        "GET http://$/ HTTP/1.1\r\nHost: $\r\nX: a\rb\r\n\r\n",
    ),
    (
        "a folded line",
        "GET http://$/ HTTP/1.1\r\nHost: $\r\nX: a\r\n b\r\n\r\n",
    ),
    (
        "a space before the colon",
        "GET http://$/ HTTP/1.1\r\nHost: $\r\nX : a\r\n\r\n",
    ),
    (
        "a field without colon",
        "GET http://$/ HTTP/1.1\r\nHost: $\r\nnonsense\r\n\r\n",
    ),
    ("a zero byte", "GET http://$/ HTTP/1.1\r\nHost: $\r\nX: a\0b\r\n\r\n"),
    ("a space in the target", "GET http://$/a b HTTP/1.1\r\nHost: $\r\n\r\n"),
    ("a strange version", "GET http://$/ HTTP/1.2.3\r\nHost: $\r\n\r\n"),
    ("an unknown scheme", "GET ftp://$/ HTTP/1.1\r\nHost: $\r\n\r\n"),
    ("origin-form at the proxy", "GET / HTTP/1.1\r\nHost: $\r\n\r\n"),
    ("a scheme in CONNECT", "CONNECT http://$ HTTP/1.1\r\nHost: $\r\n\r\n"),
    (
        "no port in CONNECT",
        "CONNECT origin.test HTTP/1.1\r\nHost: origin.test\r\n\r\n",
    ),
    (
        "a signed port in CONNECT",
        "CONNECT origin.test:+443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n",
    ),
    (
        "a port beyond the last",
        "CONNECT origin.test:65536 HTTP/1.1\r\nHost: origin.test:65536\r\n\r\n",
    ),
    ("a path in CONNECT", "CONNECT $/x HTTP/1.1\r\nHost: $\r\n\r\n"),
    ("nonsense", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"),
];

#[tokio::test]
async fn bad_heads_are_refused_and_go_no_further() {
    let play = limited("head_timeout: 2s").await;
    let authority = format!("origin.test:{}", play.origin.plain_port());
    for (what, head) in BAD_HEADS {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(head.replace('$', &authority)).await;
        let reply = wire.reply().await;
        let code = reply.reason().unwrap_or_default();
        let known = ["request.malformed", "request.ambiguous", "request.unsupported"];
        let fits = known.contains(&code) || code.starts_with("name.");
        assert!(matches!(reply.status, 400 | 403 | 501 | 505), "{what}: {reply:?}");
        assert!(fits, "{what}: {reply:?}");
        assert!(wire.is_closed().await, "{what}: the connection stays open");
    }
    play.origin.assert_untouched();
    let records = play.egret.await_records(BAD_HEADS.len()).await;
    assert!(
        records.iter().all(|record| record["decision"] == "deny"),
        "{records:#?}"
    );
}

#[tokio::test]
async fn bad_chunks_do_not_make_a_whole_request() {
    let play = limited("head_timeout: 2s").await;
    let authority = format!("origin.test:{}", play.origin.plain_port());
    for body in [
        "x\r\n",
        "1;\n\r\na\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\na\r\n",
        "-1\r\na\r\n",
        "1\r\nab\r\n0\r\n\r\n",
    ] {
        let mut wire = Wire::dial(play.proxy()).await;
        let head = format!(
            "POST http://{authority}/chunks HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        wire.send(head + body).await;
        let reply = wire.reply().await;
        assert_eq!(reply.status, 400, "{body:?}: {reply:?}");
    }
    let whole = play.origin.requests().into_iter().filter(|one| one.complete).count();
    assert_eq!(whole, 0, "a broken body arrived as a whole one");
}

#[tokio::test]
async fn what_follows_a_refused_head_is_not_a_request() {
    let play = limited("").await;
    let authority = format!("origin.test:{}", play.origin.plain_port());
    let mut wire = Wire::dial(play.proxy()).await;
    let smuggled = format!("GET http://{authority}/smuggled HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let first = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    );
    wire.send(first).await;
    assert_eq!(wire.reply().await.status, 400);
    assert!(wire.is_closed().await);
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let play = limited("head_bytes: 4096").await;
    let huge = format!("X-Huge: {}\r\n", "h".repeat(8000));
    play.ask("GET", "origin.test", "/", &huge, b"")
        .await
        .assert_refused(431, "limit.head_size");
    let many = "X-Many: m\r\n".repeat(200);
    let reply = play.ask("GET", "origin.test", "/", &many, b"").await;
    assert_eq!(reply.status, 431, "{reply:?}");
    assert!(reply.reason().unwrap().starts_with("limit.head_"), "{reply:?}");
    // The same inside an intercepted connection.
    let reply = play.secure_ask("GET", "origin.test", "/", &huge, b"").await;
    reply.assert_refused(431, "limit.head_size");
    play.origin.assert_no_request();
}

#[tokio::test]
async fn too_many_fields_are_refused() {
    let play = limited("head_fields: 10").await;
    let many = "X: y\r\n".repeat(20);
    play.ask("GET", "origin.test", "/", &many, b"")
        .await
        .assert_refused(431, "limit.head_fields");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let play = limited("head_timeout: 300ms").await;
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send("GET http://origin.test/ HTTP/1.1\r\nHo").await;
    wire.reply().await.assert_refused(408, "limit.head_timeout");
    assert!(wire.is_closed().await);
    play.egret.refusal("limit.head_timeout").await;
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_slow_hello_is_not_waited_for() {
    let raw = RawOrigin::start(Raw::Echo).await;
    let rule = format!("- {{host: origin.test, ports: [{}], treatment: tunnel}}", raw.port());
    let scene = Scene::new().await.allow(&rule);
    let play = scene.section("limits: {client_hello_timeout: 300ms}").start().await;
    let target = format!("origin.test:{}", raw.port());
    let mut wire = Wire::tunnel(play.proxy(), &target, "").await.unwrap();
    wire.send([0x16, 0x03, 0x01]).await;
    assert!(wire.is_closed().await);
    play.egret.refusal("limit.client_hello_timeout").await;
    assert_eq!(raw.received(), b"");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away() {
    let play = limited("connections: 4").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Wire::dial(play.proxy()).await);
    }
    play.egret
        .await_metric("egret_connections_active", &["kind=\"client\""], 4.0)
        .await;
    let mut beyond = Wire::dial(play.proxy()).await;
    beyond
        .try_send("GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n")
        .await
        .ok();
    let said = String::from_utf8(beyond.rest().await).unwrap();
    // Closed at once, or told so first.
    assert!(said.is_empty() || said.contains("limit.connections"), "{said}");
    play.origin.assert_untouched();
    // With room again, the next one is served.
    held.clear();
    eventually("a free place", || async {
        let mut wire = Wire::dial(play.proxy()).await;
        let fields = format!("Host: origin.test:{}\r\n", play.origin.plain_port());
        let request = format!("GET {}/ HTTP/1.1\r\n{fields}\r\n", play.plain("origin.test"));
        wire.try_send(request).await.ok()?;
        let said = wire.first_bytes().await;
        said.starts_with(b"HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn exchanges_beyond_the_limit_are_refused() {
    let play = limited("exchanges: 1").await;
    let mut held = Wire::dial(play.proxy()).await;
    let fields = format!("Host: origin.test:{}\r\n", play.origin.plain_port());
    let request = format!("GET {}/silent HTTP/1.1\r\n{fields}\r\n", play.plain("origin.test"));
    held.send(request).await;
    play.origin.await_requests(1).await;
    let reply = play.get("/beyond").await;
    reply.assert_refused(503, "limit.exchanges");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert_eq!(play.origin.requests().len(), 1);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_cut_off() {
    let play = limited("body_bytes: 1KiB").await;
    let reply = play.ask("POST", "origin.test", "/body", "", &[b'b'; 4096]).await;
    reply.assert_refused(413, "limit.body_size");
    assert!(!play.origin.requests().iter().any(|one| one.complete));
}

#[tokio::test]
async fn a_silent_origin_is_not_waited_for() {
    let play = limited("response_timeout: 300ms").await;
    play.get("/silent")
        .await
        .assert_refused(504, "upstream.response_timeout");
    play.secure_get("origin.test", "/silent")
        .await
        .assert_refused(504, "upstream.response_timeout");
}

#[tokio::test]
async fn an_origin_that_does_not_shake_hands_is_not_waited_for() {
    let raw = RawOrigin::start(Raw::Silent).await;
    let rule = format!("- {{host: origin.test, ports: [{}]}}", raw.port());
    let scene = Scene::new().await.allow(&rule);
    let play = scene.section("limits: {connect_timeout: 300ms}").start().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let target = format!("https://origin.test:{}/", raw.port());
    let fields = format!("Host: origin.test:{}\r\n", raw.port());
    let reply = wire.ask("GET", &target, &fields, b"").await;
    reply.assert_refused(504, "upstream.connect_timeout");
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_recorded() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, ports: [$TLS], treatment: tunnel}")
        .section("limits: {tunnel_idle_timeout: 1s}")
        .start()
        .await;
    let wire = play.tunnel("origin.test").await.unwrap();
    let roots = crate::support::client::roots_from_pem(play.ca.pem().as_bytes());
    let mut wire = wire.tls("origin.test", roots, &["http/1.1"]).await.unwrap();
    assert!(wire.is_closed().await);
    assert_eq!(play.egret.await_records(1).await.len(), 1);
}
