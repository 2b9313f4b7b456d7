//! A hostile workload that knows how Egret works: ways around the policy and the redactor, and ways to stop Egret for others.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use http_body_util::Full;

use crate::support::client::{H2, Wire};
use crate::support::dns::at;
use crate::support::eventually;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, block, fate, frame,
    greeting,
};
use crate::support::origin::{Raw, RawOrigin};
use crate::support::scene::{Play, Scene};

/// By how much an attack may make Egret's peak memory grow.
const BOUNDED_KIB: u64 = 48 << 10;

/// A GitHub token, made up; in two parts, so that no scanner of source code takes it for a leak.
fn token() -> String {
    ["ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d"].concat()
}

async fn open() -> Play {
    Scene::open().await.start().await
}

/// Egret before an HTTP/1.1 origin that says `reply` to anything and keeps what it got.
async fn before_raw(reply: &'static [u8]) -> (RawOrigin, Play) {
    let raw = RawOrigin::start(Raw::Says(reply)).await;
    let rule = format!("- {{host: origin.test, schemes: [http], ports: [{}]}}", raw.port());
    let play = Scene::new().await.allow(&rule).start().await;
    (raw, play)
}

/// A response without content.
const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Another client, which must be served whatever one of them does.
async fn assert_served(play: &Play) {
    play.get("/other").await.assert_passed(200);
}

#[tokio::test]
async fn a_secret_in_a_host_is_refused_before_any_look_up() {
    let play = Scene::new()
        .await
        .allow("- {host: \"*.origin.test\", schemes: [http, https], ports: [$PLAIN, $TLS]}")
        .start()
        .await;
    let secret = token().to_lowercase();
    for host in [format!("{secret}.origin.test"), format!("a.{}.b.origin.test", token())] {
        let reply = play.ask("GET", &host, "/", "", b"").await;
        reply.assert_refused(403, "secret.unrewritable");
        assert!(!reply.text().to_lowercase().contains(&secret), "{reply:?}");
        let reply = play.tunnel(&host).await.err().unwrap();
        reply.assert_refused(403, "secret.unrewritable");
        assert!(!reply.text().to_lowercase().contains(&secret), "{reply:?}");
    }
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
    play.origin.assert_untouched();
    play.egret.await_records(4).await;
    let written = std::fs::read_to_string(play.egret.audit()).unwrap() + &play.egret.log().text();
    assert!(
        !written.to_lowercase().contains(secret.trim_start_matches("ghp_")),
        "{written}"
    );
}

#[tokio::test]
async fn a_name_is_looked_up_as_it_stands_and_with_nothing_appended() {
    let play = Scene::new()
        .await
        .allow("- {host: single, schemes: [http], ports: [$PLAIN]}\n- {host: two.labels, schemes: [http], ports: [$PLAIN]}")
        .start()
        .await;
    for host in ["single", "two.labels", "single.", "two.labels."] {
        play.ask("GET", host, "/", "", b"")
            .await
            .assert_refused(502, "upstream.name_not_found");
    }
    let asked = play.dns.questions();
    assert!(!asked.is_empty());
    for (name, _) in asked {
        assert!(matches!(name.as_str(), "single" | "two.labels"), "asked for {name}");
    }
}

#[tokio::test]
async fn a_redirect_leads_only_where_a_request_may_go() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}")
        .start()
        .await;
    let to = format!("{}/loot", play.plain("other.test"));
    let away = play.get(&format!("/redirect?to={to}")).await;
    assert_eq!((away.status, away.header("location")), (302, Some(to.as_str())));
    let followed = play.ask("GET", "other.test", "/loot", "", b"").await;
    followed.assert_refused(403, "host.not_listed");
    assert_eq!(play.origin.requests().len(), 1);
}

#[tokio::test]
async fn no_name_leads_to_the_listeners() {
    let hosts = ["origin.test", "localhost", "127.0.0.1"];
    let mut scene = Scene::new()
        .await
        .name("localhost", at(&["127.0.0.1", "::1"]))
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}");
    for host in ["localhost", "127.0.0.1"] {
        for network in ["127.0.0.0/8", "::1/128"] {
            scene.setup.permits.push((host.to_owned(), network.to_owned()));
        }
    }
    let play = scene.start().await;
    for listener in [play.egret.admin, play.egret.proxy] {
        // The system chose the ports, so the rule for them comes with a reload.
        let rules: Vec<String> = hosts
            .iter()
            .map(|host| {
                format!(
                    "  - {{host: \"{host}\", schemes: [http, https], ports: [{}]}}\n",
                    listener.port()
                )
            })
            .collect();
        play.egret
            .replace_allowlist("test", &format!("name: test\nrules:\n{}", rules.concat()));
        play.egret.reload().await;
        eventually("the new list", || async {
            let target = format!("origin.test:{}", listener.port());
            let refused = Wire::tunnel(play.proxy(), &target, "").await.err()?;
            (refused.reason() != Some("port.not_listed")).then_some(())
        })
        .await;
        for host in hosts {
            let target = format!("{host}:{}", listener.port());
            let refused = Wire::tunnel(play.proxy(), &target, "").await.err();
            let refused = refused.unwrap_or_else(|| panic!("a tunnel to {target}"));
            refused.assert_refused(403, "address.own");
            let mut wire = Wire::dial(play.proxy()).await;
            let (url, fields) = (format!("http://{target}/metrics"), format!("Host: {target}\r\n"));
            let refused = wire.ask("GET", &url, &fields, b"").await;
            refused.assert_refused(403, "address.own");
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_denied_path_gets_through() {
    let play = Scene::new()
        .await
        .list(
            "test",
            "rules:\n  - {host: origin.test, schemes: [http, https], ports: [$PLAIN, $TLS]}\n\
             deny:\n  - {host: origin.test, paths: [\"/admin/**\", \"/secret\"]}\n",
        )
        .start()
        .await;
    let spellings = [
        "/admin/x",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/admin%2Fx",
        "/admin%2fx",
        "/admin%252Fx",
        "//admin/x",
        "/.//admin/x",
        "/./admin/x",
        "/%2e/admin/x",
        "/open/../admin/x",
        "/open/%2e%2e/admin/x",
        "/open/%2E./admin/x",
        "/open/%252e%252e/admin/x",
        "/open%2f..%2fadmin/x",
        "/open/..;/admin/x",
        "/open/..;a=b/admin/x",
        "/admin;a=b/x",
        "/open\\..\\admin\\x",
        "/open%5c..%5cadmin/x",
        "/admin/",
        "/secret",
        "/secret/",
        "/secret;v=1",
        "/%73ecret",
        "/secret%2f",
        "/secret%00",
    ];
    for path in spellings {
        let clear = play.ask("GET", "origin.test", path, "", b"").await;
        let inside = play.secure_ask("GET", "origin.test", path, "", b"").await;
        for reply in [clear, inside] {
            assert!(matches!(reply.status, 400 | 403), "{path}: {reply:?}");
            assert!(reply.reason().is_some(), "{path}: {reply:?}");
        }
    }
    play.origin.assert_no_request();
    play.get("/open").await.assert_passed(200);
}

#[tokio::test]
async fn another_method_in_a_field_is_refused() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http, https], ports: [$PLAIN, $TLS], methods: [GET, POST]}")
        .start()
        .await;
    for name in ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"] {
        for fields in [
            format!("{name}: DELETE\r\n"),
            format!("{name}: POST\r\n{name}: DELETE\r\n"),
            format!("{name}: POST, DELETE\r\n"),
        ] {
            let reply = play.ask("POST", "origin.test", "/", &fields, b"x").await;
            reply.assert_refused(400, "request.ambiguous");
            let reply = play.secure_ask("POST", "origin.test", "/", &fields, b"x").await;
            reply.assert_refused(400, "request.ambiguous");
        }
    }
    play.origin.assert_no_request();
    let same = "X-HTTP-Method-Override: POST\r\n";
    play.ask("POST", "origin.test", "/", same, b"x")
        .await
        .assert_passed(200);
}

#[tokio::test]
async fn connect_inside_a_tunnel_is_refused() {
    let play = open().await;
    let target = play.secure("other.test");
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let ahead = format!("GET /ahead HTTP/1.1\r\nHost: {}\r\n\r\n", play.secure("origin.test"));
    wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{ahead}"))
        .await;
    wire.reply_to("CONNECT")
        .await
        .assert_refused(400, "request.unsupported");
    assert!(wire.is_closed().await);

    let mut inner = H2::over(play.intercepted("origin.test", &["h2"]).await).await;
    for target in [target, play.secure("origin.test")] {
        let refused = inner.tunnel(&target).await.err().unwrap();
        refused.assert_refused(400, "request.unsupported");
    }
    play.origin.assert_no_request();
}

#[tokio::test]
async fn connect_as_an_http_2_stream_is_judged_and_looked_into() {
    let play = open().await;
    let mut outer = H2::over(Wire::dial(play.proxy()).await).await;
    let refused = outer.tunnel("unlisted.test:443").await.err().unwrap();
    refused.assert_refused(403, "host.not_listed");

    let target = play.secure("origin.test");
    for alpn in ["http/1.1", "h2"] {
        let stream = outer.tunnel(&target).await.unwrap();
        let wire = stream.tls("origin.test", play.egret.roots(), &[alpn]).await.unwrap();
        let url = format!("https://{target}/inside-{}", alpn.replace('/', ""));
        let request = Request::post(&url).body(Full::new(Bytes::from(token()))).unwrap();
        let other = format!("https://{}/smuggled", play.secure("other.test"));
        if alpn == "h2" {
            let mut inner = H2::over(wire).await;
            inner.send(request).await.unwrap().assert_passed(200);
            inner.get(&other).await.assert_refused(403, "name.host_mismatch");
        } else {
            let mut wire = wire;
            let fields = format!("Host: {target}\r\n");
            let path = request.uri().path().to_owned();
            let reply = wire.ask("POST", &path, &fields, token().as_bytes()).await;
            reply.assert_passed(200);
            let fields = format!("Host: {}\r\n", play.secure("other.test"));
            let reply = wire.ask("GET", "/smuggled", &fields, b"").await;
            reply.assert_refused(403, "name.host_mismatch");
        }
    }
    let seen = play.origin.await_requests(2).await;
    assert_eq!(seen.len(), 2, "{seen:#?}");
    for one in seen {
        assert_eq!(one.length, 40, "{one:?}");
        assert!(!one.text().contains(token().trim_start_matches("ghp_")), "{one:?}");
    }
    // A name that differs is refused in such a tunnel too.
    let stream = outer.tunnel(&target).await.unwrap();
    assert!(stream.tls("other.test", play.egret.roots(), &[]).await.is_err());
    play.egret.refusal("name.sni_mismatch").await;
}

#[tokio::test]
async fn what_follows_a_refused_connect_is_never_served() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let ahead = format!("GET http://{host}/ahead HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for target in ["unlisted.test:443", "origin.test:1", "origin.test", "[::1]:443"] {
        let mut wire = Wire::dial(play.proxy()).await;
        let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        wire.send(format!("{connect}{ahead}{ahead}")).await;
        let reply = wire.reply_to("CONNECT").await;
        assert!(reply.reason().is_some(), "{target}: {reply:?}");
        assert!(wire.is_closed().await, "{target}");
    }
    play.origin.assert_untouched();
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_not_a_request() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let hidden = format!("GET http://{host}/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let length = hidden.len();
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    for rest in [format!("Content-Length: {length}\r\n\r\n{hidden}"), chunked] {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(format!(
            "POST http://unlisted.test/ HTTP/1.1\r\nHost: unlisted.test\r\n{rest}"
        ))
        .await;
        wire.reply().await.assert_refused(403, "host.not_listed");
        wire.end().await;
        let more = String::from_utf8(wire.rest().await).unwrap();
        assert!(more.is_empty(), "{more}");
    }
    play.origin.assert_untouched();
}

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

#[tokio::test]
async fn compression_of_messages_is_not_offered() {
    let play = open().await;
    play.secure_ask("GET", "origin.test", "/no-socket", HANDSHAKE, b"")
        .await
        .assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-extensions"), None, "{seen:?}");
}

#[tokio::test]
async fn an_origin_that_switches_to_compression_is_refused() {
    let (raw, play) = before_raw(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    )
    .await;
    let mut wire = Wire::dial(play.proxy()).await;
    let target = format!("origin.test:{}", raw.port());
    let fields = format!("Host: {target}\r\n{HANDSHAKE}");
    let reply = wire.ask("GET", &format!("http://{target}/ws"), &fields, b"").await;
    reply.assert_refused(502, "upstream.upgrade_invalid");
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_decompression_bomb_is_refused_in_bounded_memory() {
    const MIB: usize = 1 << 20;
    let play = open().await;
    play.secure_get("origin.test", "/warm").await.assert_passed(200);
    let before = play.egret.memory_kib("VmHWM");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..128 {
        encoder.write_all(&vec![0; MIB]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200 << 10, "{}", bomb.len());
    let fields = "Content-Encoding: gzip\r\n";
    play.ask("POST", "origin.test", "/bomb", fields, &bomb)
        .await
        .assert_refused(413, "limit.decompression");
    play.secure_ask("POST", "origin.test", "/bomb", fields, &bomb)
        .await
        .assert_refused(413, "limit.decompression");
    let bombs = play.origin.requests();
    assert!(!bombs.iter().any(|one| one.complete && one.target == "/bomb"));
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB, "grew by {grown} KiB");
}

#[tokio::test]
async fn a_secret_in_two_data_frames_leaves_unreadable() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let token = token();
    let (first, second) = token.split_at(17);
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/frames"),
    ]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
    wire.send(frame(DATA, 0, 1, first.as_bytes())).await;
    wire.send(frame(DATA, 0, 1, b"")).await;
    wire.send(frame(DATA, END_STREAM, 1, second.as_bytes())).await;
    assert_eq!(fate(&mut wire, 1).await, Some(HEADERS));
    let seen = play.origin.only_request().await;
    assert_eq!(seen.length, 40);
    assert!(
        !seen.text().contains(token.trim_start_matches("ghp_")),
        "{}",
        seen.text()
    );
    assert!(!seen.text().ends_with(second), "{}", seen.text());
}

#[tokio::test]
async fn a_slow_upload_takes_as_long_as_it_takes() {
    let play = Scene::open()
        .await
        .section("limits: {head_timeout: 300ms}")
        .start()
        .await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(format!(
        "POST http://{host}/echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 8\r\n\r\n"
    ))
    .await;
    for byte in b"dripping" {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        wire.send([*byte]).await;
    }
    let reply = wire.reply().await;
    reply.assert_passed(200);
    assert_eq!(reply.text(), "dripping");
}

#[tokio::test]
async fn half_an_upload_is_never_a_whole_one() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let halves = [
        ("/length", "Content-Length: 100\r\n\r\nhalf of it"),
        ("/chunked", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n"),
        ("/in-a-chunk", "Transfer-Encoding: chunked\r\n\r\nff\r\nhalf of it"),
    ];
    for (path, rest) in halves {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(format!("POST http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{rest}"))
            .await;
        await_head(&play, path).await;
        drop(wire);
        play.egret.record_of(path).await;
    }
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/reset"),
    ]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
    wire.send(frame(DATA, 0, 1, b"half of it")).await;
    await_head(&play, "/reset").await;
    wire.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    play.egret.record_of("/reset").await;
    // Once an exchange is on record, nothing more of it leaves.
    play.get("/whole").await.assert_passed(200);
    let whole: Vec<_> = play.origin.requests().into_iter().filter(|one| one.complete).collect();
    assert_eq!(whole.len(), 1, "{whole:#?}");
}

async fn await_head(play: &Play, path: &str) {
    eventually("the head at the origin", || async {
        play.origin
            .requests()
            .iter()
            .any(|one| one.target == path)
            .then_some(())
    })
    .await;
}

/// Fields that HTTP/2 forbids, or that would be more than one field or line in HTTP/1.1. They follow a good head, or replace a
/// pseudo-header field of it.
const BAD_FIELDS: &[(&str, &str)] = &[
    ("x-a", "b\r\nX-Smuggled: yes"),
    ("x-a", "b\nX-Smuggled: yes"),
    ("x-a", "b\rX-Smuggled: yes"),
    ("x-a", "b\0c"),
    ("x-a: b\r\nx-smuggled", "yes"),
    ("x a", "b"),
    ("X-Upper", "b"),
    ("", "b"),
    ("connection", "keep-alive"),
    ("connection", "x-a"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "websocket"),
    ("te", "gzip"),
    ("content-length", "4"),
    ("content-length", "+0"),
    ("content-length", "0, 0"),
    ("host", "other.test"),
    (":path", "/again"),
    (":smuggled", "yes"),
    (":path=", "/ HTTP/1.1\r\nX-Smuggled: yes\r\n\r\nGET /hidden"),
    (":path=", "/a b"),
    (":path=", "nowhere"),
    (":path=", ""),
    (":method=", "GET /hidden HTTP/1.1\r\nX-Smuggled: yes\r\n\r\nGET"),
    (":method=", "GE T"),
    (":method=", ""),
    (":scheme=", "http://evil.test/?"),
    (":authority=", "origin.test\r\nX-Smuggled: yes"),
    (":authority=", "user@origin.test"),
    (":authority=", "origin.test/hidden"),
];

#[tokio::test]
async fn http_2_never_becomes_malformed_http_1() {
    let (raw, play) = before_raw(EMPTY).await;
    let authority = format!("origin.test:{}", raw.port());
    for (name, value) in BAD_FIELDS {
        let good = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", authority.as_str()),
            (":path", "/"),
        ];
        let mut fields: Vec<(&str, &str)> = good.to_vec();
        match name.strip_suffix('=').filter(|name| name.starts_with(':')) {
            Some(pseudo) => fields
                .iter_mut()
                .filter(|one| one.0 == pseudo)
                .for_each(|one| one.1 = value),
            None => fields.push((name, value)),
        }
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(greeting()).await;
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)))
            .await;
        fate(&mut wire, 1).await;
        let received = String::from_utf8_lossy(&raw.received()).into_owned();
        assert!(received.is_empty(), "{name:?}: {value:?} became {received:?}");
    }
    assert_eq!(raw.connections(), 0);
}

#[tokio::test]
async fn a_length_that_lies_never_makes_a_whole_request() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    for (length, body) in [("10", "four"), ("2", "four"), ("0", "four")] {
        let head = block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", &host),
            (":path", "/lie"),
            ("content-length", length),
        ]);
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(greeting()).await;
        wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
        wire.send(frame(DATA, END_STREAM, 1, body.as_bytes())).await;
        assert_ne!(fate(&mut wire, 1).await, None, "{length}");
    }
    play.get("/whole").await.assert_passed(200);
    let whole: Vec<_> = play.origin.requests().into_iter().filter(|one| one.complete).collect();
    assert_eq!(whole.len(), 1, "{whole:#?}");
}

#[tokio::test]
async fn trailers_of_http_2_frame_nothing_in_http_1() {
    let (raw, play) = before_raw(EMPTY).await;
    let host = format!("origin.test:{}", raw.port());
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/"),
        ("trailer", "host, x-fine"),
    ]);
    let trailers = block(&[("host", "evil.test"), ("content-length", "77"), ("x-fine", "yes")]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
    wire.send(frame(DATA, 0, 1, b"body")).await;
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)).await;
    fate(&mut wire, 1).await;
    let received = String::from_utf8(raw.received()).unwrap();
    assert!(received.contains("x-fine: yes"), "{received}");
    assert!(!received.contains("evil.test"), "{received}");
    assert!(!received.contains("content-length"), "{received}");
}

#[tokio::test]
async fn a_rapid_reset_does_not_stop_others() {
    const STREAMS: u32 = 5_000;
    let play = open().await;
    assert_served(&play).await;
    let before = play.egret.memory_kib("VmHWM");
    let host = format!("origin.test:{}", play.origin.plain_port());
    let head = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/silent"),
    ]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        both.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        // Egret may have had enough of it.
        if wire.try_send(&both).await.is_err() {
            break;
        }
        if number % 1_000 == 0 {
            assert_served(&play).await;
        }
    }
    assert_served(&play).await;
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB, "grew by {grown} KiB");
}

#[tokio::test]
async fn an_endless_head_in_continuations_is_cut_off() {
    const FRAMES: usize = 20_000;
    let play = open().await;
    assert_served(&play).await;
    let before = play.egret.memory_kib("VmHWM");
    let filler = block(&[("x-filler", &"f".repeat(1_000))]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    wire.send(frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")])))
        .await;
    let mut sent = 0;
    while sent < FRAMES && wire.try_send(frame(CONTINUATION, 0, 1, &filler)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < FRAMES, "all of {FRAMES} frames were taken");
    assert_served(&play).await;
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB, "grew by {grown} KiB");
}

#[tokio::test]
async fn a_flood_of_frames_does_not_stop_others() {
    const FRAMES: usize = 20_000;
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/sink"),
    ]);
    let floods = [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x40, 0])),
        ("PING", frame(PING, 0, 0, b"pingpong")),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("empty DATA", frame(DATA, 0, 1, b"")),
    ];
    assert_served(&play).await;
    let before = play.egret.memory_kib("VmHWM");
    let mut open_streams = Vec::new();
    for (_, flood) in floods {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(greeting()).await;
        wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
        // The flooder reads nothing; a peer that stops reading it in turn, or closes, has had enough.
        let many = flood.repeat(FRAMES / 100);
        for _ in 0..100 {
            let sent = tokio::time::timeout(std::time::Duration::from_secs(1), wire.try_send(&many)).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        assert_served(&play).await;
        open_streams.push(wire);
    }
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB, "grew by {grown} KiB");
}

#[tokio::test]
async fn minting_for_many_names_keeps_memory_bounded() {
    const NAMES: usize = 3_000;
    let mut scene = Scene::new()
        .await
        .allow("- {host: \"*.wild.test\", ports: [$TLS]}")
        .permit("*.wild.test")
        .section("limits: {certificate_cache: 16, pool_idle_per_origin: 0}");
    for number in 0..NAMES {
        scene = scene.name(&format!("n{number}.wild.test"), at(&["127.0.0.1"]));
    }
    let play = scene.start().await;
    let roots = play.egret.roots();
    let mut before = 0;
    for number in 0..NAMES {
        let name = format!("n{number}.wild.test");
        let wire = play.tunnel(&name).await.unwrap();
        wire.tls(&name, roots.clone(), &["http/1.1"]).await.unwrap();
        if number == NAMES / 10 {
            before = play.egret.memory_kib("VmHWM");
        }
    }
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB / 4, "grew by {grown} KiB");
    let minted = play.egret.metric("egret_certificates_minted_total", &[]).await;
    assert!(minted >= 3_000.0, "{minted}");
    // Nothing is minted for a name that isn't allowed.
    play.tunnel("unlisted.test").await.err().unwrap();
    let after = play.egret.metric("egret_certificates_minted_total", &[]).await;
    assert!((after - minted).abs() < f64::EPSILON);
}
