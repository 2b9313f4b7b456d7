//! Places where a secret could hide, or an exchange go unrecorded, found by attacking Egret: each stays closed.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::client::{H2, Wire, roots_from_pem};
use crate::support::dns::at;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, block, fate, frame, greeting};
use crate::support::origin::{Raw, RawOrigin};
use crate::support::scene::{Play, Scene};

/// Made up, in two parts so that no scanner of source code takes them for leaks. The first is all lower case, as field names are.
fn lower_case_key() -> String {
    ["sk-", "0f3a9c5b7e1d4826a0c4e8f1b2d35c67"].concat()
}

fn upper_case_key() -> String {
    ["AKIA", "Z7QWERTYUIOPASDF"].concat()
}

fn token() -> String {
    ["ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d"].concat()
}

async fn open() -> Play {
    Scene::open().await.start().await
}

#[track_caller]
fn assert_not_in_trail(play: &Play, secret: &str) {
    let trail = std::fs::read_to_string(play.egret.audit()).unwrap();
    assert!(!trail.contains(secret), "{trail}");
}

#[tokio::test]
async fn a_method_is_no_hideout() {
    let play = open().await;
    for host in ["origin.test", "unlisted.test"] {
        let reply = play.ask(&upper_case_key(), host, "/m", "", b"").await;
        reply.assert_refused(400, "request.malformed");
        assert!(!reply.text().contains(&upper_case_key()), "{reply:?}");
    }
    play.egret.await_records(2).await;
    assert_not_in_trail(&play, &upper_case_key());
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_field_name_is_no_hideout() {
    let play = open().await;
    let field = format!("{}: 1\r\n", lower_case_key());
    let reply = play.ask("GET", "origin.test", "/n", &field, b"").await;
    reply.assert_refused(403, "secret.unrewritable");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_server_name_is_no_hideout() {
    for treatment in ["intercept", "tunnel"] {
        let rule = format!("- {{host: origin.test, ports: [$TLS], treatment: {treatment}}}");
        let play = Scene::new().await.allow(&rule).start().await;
        let wire = play.tunnel("origin.test").await.unwrap();
        let name = format!("{}.evil.test", lower_case_key());
        assert!(wire.tls(&name, play.egret.roots(), &[]).await.is_err());
        play.egret.refusal("name.sni_mismatch").await;
        assert_not_in_trail(&play, &lower_case_key());
    }
}

#[tokio::test]
async fn a_protocol_name_is_no_hideout_in_the_trail() {
    let rule = "- {host: origin.test, ports: [$TLS], treatment: tunnel}";
    let play = Scene::new().await.allow(rule).start().await;
    let wire = play.tunnel("origin.test").await.unwrap();
    let roots = roots_from_pem(play.ca.pem().as_bytes());
    drop(wire.tls("origin.test", roots, &[&upper_case_key(), "http/1.1"]).await);
    play.egret.await_records(1).await;
    assert_not_in_trail(&play, &upper_case_key());
}

/// A gzip body whose content is harmless, and whose header isn't.
fn gzip_with_a_name() -> Vec<u8> {
    let mut gzip = flate2::GzBuilder::new()
        .filename(token())
        .comment(token())
        .write(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"harmless").unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn the_header_of_gzip_is_no_hideout() {
    let blocking = Scene::open()
        .await
        .section("redaction: {surfaces: {body: block}}")
        .start()
        .await;
    let plain = open().await;
    let signed = "Content-Encoding: gzip\r\nContent-Digest: sha-256=:AAAA:\r\n";
    for (play, fields, code) in [
        (&blocking, "Content-Encoding: gzip\r\n", Some("secret.blocked")),
        (&plain, signed, Some("secret.unrewritable")),
        (&plain, "Content-Encoding: gzip\r\n", None),
    ] {
        let reply = play.ask("POST", "origin.test", "/z", fields, &gzip_with_a_name()).await;
        assert_eq!(reply.reason(), code, "{reply:?}");
        for seen in play.origin.requests() {
            let arrived = seen.body.windows(token().len()).any(|part| part == token().as_bytes());
            assert!(!arrived, "{seen:?}");
        }
    }
}

/// A zstd body whose text is harmless, behind a frame that decoders skip (RFC 8878 §3.1.2).
fn zstd_behind_a_skipped_frame() -> Vec<u8> {
    let mut body = 0x184d_2a50_u32.to_le_bytes().to_vec();
    body.extend(u32::try_from(token().len()).unwrap().to_le_bytes());
    body.extend(token().into_bytes());
    body.extend(zstd::stream::encode_all(&b"harmless"[..], 3).unwrap());
    body
}

#[tokio::test]
async fn a_skipped_frame_is_no_hideout() {
    let play = open().await;
    let signed = "Content-Encoding: zstd\r\nContent-Digest: sha-256=:AAAA:\r\n";
    for (fields, code) in [
        (signed, Some("secret.unrewritable")),
        ("Content-Encoding: zstd\r\n", None),
    ] {
        let body = zstd_behind_a_skipped_frame();
        let reply = play.ask("POST", "origin.test", "/z", fields, &body).await;
        assert_eq!(reply.reason(), code, "{reply:?}");
    }
    for seen in play.origin.requests() {
        let arrived = seen.body.windows(token().len()).any(|part| part == token().as_bytes());
        assert!(!arrived, "{seen:?}");
    }
    let last = play.origin.requests().pop().unwrap();
    assert_eq!(zstd::stream::decode_all(&last.body[..]).unwrap(), b"harmless");
}

#[tokio::test]
async fn http_2_heads_are_held_to_the_same_limits_and_recorded() {
    let play = Scene::open().await.section("limits: {head_fields: 10}").start().await;
    let url = format!("{}/big", play.plain("origin.test"));
    let mut h2 = H2::over(Wire::dial(play.proxy()).await).await;
    let big = Request::get(&url).header("x-big", "b".repeat(100_000));
    let reply = h2.send(big.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    reply.assert_refused(431, "limit.head_size");
    let many = (0..50).fold(Request::get(&url), |request, n| request.header(format!("x-{n}"), "y"));
    let reply = h2.send(many.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    reply.assert_refused(431, "limit.head_fields");
    play.egret.refusal("limit.head_size").await;
    play.egret.refusal("limit.head_fields").await;
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_broken_http_2_connection_has_its_record() {
    let play = open().await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let head = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/"),
        ("x", "a\r\nb: c"),
    ]);
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(greeting()).await;
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    fate(&mut wire, 1).await;
    play.egret.refusal("request.malformed").await;
    play.origin.assert_untouched();
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed() {
    let play = Scene::open().await.section("limits: {idle_timeout: 1s}").start().await;
    let half_a_head = frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")]));
    for more in [Vec::new(), half_a_head] {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(greeting()).await;
        wire.send(more).await;
        // Ends when Egret closes; the vocabulary's own patience bounds the wait.
        wire.rest().await;
    }
}

#[tokio::test]
async fn an_origin_cannot_speak_for_egret_in_trailers() {
    let raw = RawOrigin::start(Raw::Says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Egret-Reason\r\n\r\n4\r\nbody\r\n0\r\n\
          X-Egret-Reason: host.not_listed\r\nProxy-Status: egret; error=x\r\n\r\n",
    ))
    .await;
    let rule = format!("- {{host: origin.test, schemes: [http], ports: [{}]}}", raw.port());
    let play = Scene::new().await.allow(&rule).start().await;
    let mut h2 = H2::over(Wire::dial(play.proxy()).await).await;
    let reply = h2.get(&format!("http://origin.test:{}/", raw.port())).await;
    reply.assert_passed(200);
    assert!(reply.trailers.is_empty(), "{reply:?}");
}

#[tokio::test]
async fn the_response_limit_begins_at_the_last_byte_of_the_request() {
    let play = Scene::open()
        .await
        .section("limits: {response_timeout: 500ms}")
        .start()
        .await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(format!(
        "POST http://{host}/echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n"
    ))
    .await;
    // Slower than the limit on purpose: it is the pause that is tested.
    tokio::time::sleep(Duration::from_millis(900)).await;
    wire.send(b"ok").await;
    wire.reply().await.assert_passed(200);
}

#[tokio::test]
async fn idle_connections_to_many_names_leave_room_for_others() {
    const NAMES: usize = 300;
    let mut scene = Scene::new()
        .await
        .allow("- {host: \"*.wild.test\", ports: [$TLS]}\n- {host: origin.test, schemes: [http], ports: [$PLAIN]}")
        .permit("*.wild.test");
    for number in 0..NAMES {
        scene = scene.name(&format!("n{number}.wild.test"), at(&["127.0.0.1"]));
    }
    let play = scene.start().await;
    // As a system with few descriptors would start it; a new configuration takes the limit into account.
    let mut limit = tokio::process::Command::new("prlimit");
    limit
        .arg("--pid")
        .arg(play.egret.process().to_string())
        .arg("--nofile=512:512");
    assert!(limit.status().await.unwrap().success());
    play.egret.reload().await;
    play.egret
        .await_metric("egret_config_reloads_total", &["result=\"taken\""], 1.0)
        .await;
    let roots = play.egret.roots();
    for number in 0..NAMES {
        let name = format!("n{number}.wild.test");
        let wire = play.tunnel(&name).await.unwrap();
        assert!(wire.tls(&name, roots.clone(), &["http/1.1"]).await.is_ok(), "{name}");
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", play.egret.process()))
        .unwrap()
        .count();
    assert!(open < 256, "{open} descriptors of 512 are open");
    play.get("/other").await.assert_passed(200);
}
