//! Redaction: a secret leaves unreadable wherever it stands, unless it goes home, and what surrounds it stays whole.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::client::{H2, Reply};
use crate::support::dns::at;
use crate::support::scene::{Play, Scene};

/// A GitHub token, made up; in two parts, so that no scanner of source code takes it for a leak.
fn token() -> String {
    ["ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d"].concat()
}

/// The part of it that is secret.
fn secret() -> String {
    token().split_off(4)
}

async fn open() -> Play {
    Scene::open().await.start().await
}

/// A play in which `api.github.com`, where the token is at home, is the origin.
async fn at_home() -> Play {
    Scene::new()
        .await
        .allow(
            "- {host: api.github.com, ports: [$TLS]}\n\
             - {host: origin.test, schemes: [http, https], ports: [$PLAIN, $TLS]}",
        )
        .name("api.github.com", at(&["127.0.0.1"]))
        .permit("api.github.com")
        .start()
        .await
}

/// Sends a body over an intercepted connection.
async fn post(play: &Play, path: &str, fields: &str, body: &[u8]) -> Reply {
    play.secure_ask("POST", "origin.test", path, fields, body).await
}

/// Neither the trail nor the log nor the metrics may hold the secret.
async fn assert_kept_secret(play: &Play) {
    let trail = std::fs::read_to_string(play.egret.audit()).unwrap();
    let written = [trail, play.egret.log().text(), play.egret.metrics().await];
    for text in written {
        assert!(!text.contains(&secret()), "the secret stands in {text}");
    }
}

/// Fails unless the record tells of one finding of the token in that place.
fn assert_finding(record: &Value, place: &str) {
    let finding = &record["redactions"][0];
    assert_eq!(finding["rule"], "github-pat", "{record}");
    assert_eq!(finding["where"], place, "{record}");
    assert_eq!(finding["count"], 1, "{record}");
    assert!(finding["fingerprint"].is_string(), "{record}");
}

#[tokio::test]
async fn a_json_body_stays_valid_and_as_long() {
    let play = open().await;
    let document = json!({"tool": "note", "nested": json!({"key": token()}).to_string(), "n": [1, 2]});
    let body = document.to_string();
    let fields = "Content-Type: application/json\r\n";
    post(&play, "/json", fields, body.as_bytes()).await.assert_passed(200);

    let seen = play.origin.only_request().await;
    assert!(!seen.text().contains(&secret()), "{}", seen.text());
    let length = seen.header("content-length").map(|text| text.parse::<u64>().unwrap());
    assert!(length.is_none_or(|length| length == seen.length), "{seen:?}");
    assert_eq!(seen.body.len(), body.len(), "the same length by default");
    let arrived = seen.json();
    assert_eq!((&arrived["tool"], &arrived["n"]), (&document["tool"], &document["n"]));
    let nested: Value = serde_json::from_str(arrived["nested"].as_str().unwrap()).unwrap();
    assert!(nested["key"].is_string());

    assert_finding(&play.egret.record_of("/json").await, "body");
    let labels = ["rule=\"github-pat\"", "where=\"body\""];
    play.egret.await_metric("egret_redactions_total", &labels, 1.0).await;
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_compressed_body_is_looked_into() {
    let play = open().await;
    let text = format!("{}{}", "padding ".repeat(1000), token());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    post(&play, "/gzipped", "Content-Encoding: gzip\r\n", &body)
        .await
        .assert_passed(200);

    let seen = play.origin.only_request().await;
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
    let mut arrived = String::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(&seen.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut arrived).unwrap();
    assert!(arrived.starts_with("padding padding"));
    assert!(!arrived.contains(&secret()), "{arrived}");
    assert_finding(&play.egret.record_of("/gzipped").await, "body");
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_secret_in_pieces_is_found() {
    let play = open().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    let head = format!("POST /pieces HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    wire.send(head).await;
    for byte in token().bytes() {
        wire.send([b"1\r\n", &[byte][..], b"\r\n"].concat()).await;
    }
    wire.send("0\r\n\r\n").await;
    wire.reply().await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert!(!seen.text().contains(&secret()), "{}", seen.text());
    assert_eq!(seen.body.len(), token().len());
}

#[tokio::test]
async fn header_path_and_query_are_covered() {
    let play = open().await;
    let header = format!("X-Note: {}\r\n", token());
    play.secure_ask("GET", "origin.test", "/header", &header, b"")
        .await
        .assert_passed(200);
    let query = format!("/query?note={}&rest=1", token());
    play.secure_get("origin.test", &query).await.assert_passed(200);
    let path = format!("/path/{}/rest", token());
    play.secure_get("origin.test", &path).await.assert_passed(200);

    let seen = play.origin.await_requests(3).await;
    let arrived = format!("{seen:?}");
    assert!(!arrived.contains(&secret()), "{arrived}");
    assert!(seen[1].target.starts_with("/query?note="), "{}", seen[1].target);
    assert!(seen[1].target.ends_with("&rest=1"), "{}", seen[1].target);
    assert!(seen[2].target.starts_with("/path/"), "{}", seen[2].target);
    assert!(seen[2].target.ends_with("/rest"), "{}", seen[2].target);
    assert_finding(&play.egret.record_of("/header").await, "header");
    assert_finding(&play.egret.record_of("/query").await, "url");
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn the_trail_of_a_refused_request_keeps_the_secret_too() {
    let play = open().await;
    let path = format!("/x?key={}", token());
    let fields = format!("X-Note: {}\r\n", token());
    let reply = play.ask("GET", "unlisted.test", &path, &fields, b"").await;
    reply.assert_refused(403, "host.not_listed");
    assert!(!reply.text().contains(&secret()), "{reply:?}");
    play.egret.await_records(1).await;
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_key_passes_at_home() {
    let play = at_home().await;
    let fields = format!("Authorization: Bearer {}\r\n", token());
    play.secure_ask("GET", "api.github.com", "/user", &fields, b"")
        .await
        .assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {}", token()).as_str())
    );
    play.egret.record_of("/user").await;
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn at_home_it_passes_in_its_own_field_only() {
    let play = at_home().await;
    let body = json!({"body": token()}).to_string();
    let fields = format!("X-Note: {}\r\n", token());
    let reply = play
        .secure_ask("POST", "api.github.com", "/gists", &fields, body.as_bytes())
        .await;
    reply.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert!(!format!("{seen:?}{}", seen.text()).contains(&secret()), "{seen:?}");
}

#[tokio::test]
async fn a_key_elsewhere_never_arrives() {
    let play = at_home().await;
    let fields = format!("Authorization: Bearer {}\r\n", token());
    let reply = play.secure_ask("GET", "origin.test", "/elsewhere", &fields, b"").await;
    // A credential for another audience is refused or rewritten; it is never sent.
    if reply.status != 200 {
        reply.assert_refused(403, "secret.wrong_audience");
    }
    let arrived = format!("{:?}", play.origin.requests());
    assert!(!arrived.contains(&secret()), "{arrived}");
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn the_form_of_arrival_makes_no_difference() {
    let play = open().await;
    let body = json!({"key": token()}).to_string();
    play.ask("POST", "origin.test", "/absolute", "", body.as_bytes())
        .await
        .assert_passed(200);
    post(&play, "/http1", "", body.as_bytes()).await.assert_passed(200);
    let mut client = H2::over(play.intercepted("origin.test", &["h2"]).await).await;
    let url = format!("https://{}/http2", play.secure("origin.test"));
    let request = Request::post(url).body(Full::new(Bytes::from(body))).unwrap();
    client.send(request).await.unwrap().assert_passed(200);

    let seen = play.origin.await_requests(3).await;
    assert!(!seen[0].text().contains(&secret()), "{}", seen[0].text());
    assert!(seen.iter().all(|one| one.body == seen[0].body), "{seen:#?}");
}

#[tokio::test]
async fn a_signed_body_with_a_secret_is_refused() {
    let play = open().await;
    let body = json!({"key": token()}).to_string();
    let fields = "Content-Digest: sha-256=:AAAA:\r\n";
    post(&play, "/signed", fields, body.as_bytes())
        .await
        .assert_refused(403, "secret.unrewritable");
    let complete = play.origin.requests().iter().any(|one| one.complete);
    assert!(!complete, "a whole request reached the origin");
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_clean_body_is_not_touched() {
    use sha2::{Digest, Sha256};
    let play = open().await;
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    post(&play, "/clean", "", &body).await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(seen.sha256[..], Sha256::digest(&body)[..]);
    assert!(play.egret.record_of("/clean").await["redactions"].is_null());
}

#[tokio::test]
async fn a_surface_can_block_or_only_alert() {
    for (mode, status) in [("block", 403), ("alert", 200), ("off", 200)] {
        let play = Scene::open()
            .await
            .section(&format!("redaction: {{surfaces: {{header: {mode}}}}}"))
            .start()
            .await;
        let fields = format!("X-Note: {}\r\n", token());
        let reply = play.secure_ask("GET", "origin.test", "/mode", &fields, b"").await;
        assert_eq!(reply.status, status, "{mode}: {reply:?}");
        if mode == "block" {
            reply.assert_refused(403, "secret.blocked");
            play.origin.assert_no_request();
        } else {
            let arrived = play.origin.only_request().await;
            assert_eq!(arrived.header("x-note"), Some(token().as_str()), "{mode}");
        }
        assert_kept_secret(&play).await;
    }
}

#[tokio::test]
async fn a_template_replaces_the_whole_secret() {
    let play = Scene::open()
        .await
        .section("redaction: {replacement: \"[redacted:{rule}]\"}")
        .start()
        .await;
    let body = json!({"key": token()}).to_string();
    post(&play, "/template", "", body.as_bytes()).await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert!(
        seen.json()["key"].as_str().unwrap().contains("[redacted:github-pat]"),
        "{}",
        seen.text()
    );
    let length = seen.header("content-length").map(|text| text.parse::<u64>().unwrap());
    assert!(length.is_none_or(|length| length == seen.length), "{seen:?}");
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_does_not_slip_through() {
    let play = open().await;
    let plain = json!({"key": token()}).to_string();
    for encoding in ["gzip", "gzip, gzip", "x-unheard-of", "br"] {
        let fields = format!("Content-Encoding: {encoding}\r\n");
        let reply = post(&play, "/mislabelled", &fields, plain.as_bytes()).await;
        let arrived = play.origin.requests();
        let whole = arrived.iter().any(|one| one.complete && one.body == plain.as_bytes());
        assert!(!whole, "{encoding}: the secret arrived; {reply:?}");
    }
}

#[tokio::test]
async fn a_secret_in_a_trailer_does_not_slip_through() {
    let play = open().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!(
        "POST /trailer HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Note\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Note: {}\r\n\r\n",
        token()
    ))
    .await;
    wire.reply().await;
    let arrived = format!("{:?}", play.origin.requests());
    assert!(!arrived.contains(&secret()), "{arrived}");
    play.egret.record_of("/trailer").await;
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_secret_in_an_encoded_query_does_not_slip_through() {
    let play = open().await;
    let encoded: String = token().bytes().map(percent).collect();
    let path = format!("/encoded?note={encoded}");
    play.secure_get("origin.test", &path).await;
    for seen in play.origin.requests() {
        assert!(!seen.target.contains(&encoded), "{}", seen.target);
    }
    let trail = std::fs::read_to_string(play.egret.audit()).unwrap();
    assert!(!trail.contains(&encoded), "{trail}");
}

fn percent(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// What the reply to a refused request says in detail.
#[track_caller]
fn assert_detail(reply: &Reply, code: &str, found: &str) {
    reply.assert_refused(403, code);
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with(&format!("Found {found}. ")), "{detail}");
    assert!(!reply.text().contains(&secret()), "{reply:?}");
}

#[tokio::test]
async fn a_refusal_says_what_was_found_and_where() {
    let play = Scene::open()
        .await
        .section("redaction: {surfaces: {body: block, header: block, url: block}}")
        .start()
        .await;
    let field = format!("X-Note: {}\r\n", token());
    let reply = play.secure_ask("GET", "origin.test", "/", &field, b"").await;
    assert_detail(&reply, "secret.blocked", "github-pat in the header x-note");
    let long = format!("X-{}: {}\r\n", "n".repeat(100), token());
    let reply = play.secure_ask("GET", "origin.test", "/", &long, b"").await;
    assert_detail(&reply, "secret.blocked", "github-pat in a header");
    let reply = play.secure_get("origin.test", &format!("/?note={}", token())).await;
    assert_detail(&reply, "secret.blocked", "github-pat in the URL");
    let aws = ["AKIA", "Z7QWERTYUIOPASDF"].concat();
    let both = format!("{} {} {aws}", token(), token());
    let reply = post(&play, "/", "", both.as_bytes()).await;
    // The first finding ends it; what else there is, nobody looks for.
    assert_detail(&reply, "secret.blocked", "github-pat in the body");

    let many: Vec<String> = (0..5).map(|n| format!("X-Note-{n}: {}\r\n", token())).collect();
    let reply = play.secure_ask("GET", "origin.test", "/", &many.concat(), b"").await;
    let named =
        "github-pat in the header x-note-0, github-pat in the header x-note-1, github-pat in the header x-note-2";
    assert_detail(&reply, "secret.blocked", &format!("{named}, and more"));
    play.origin.assert_no_request();
    assert_kept_secret(&play).await;
}

#[tokio::test]
async fn a_refusal_names_the_trailer_too() {
    let play = open().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!(
        "POST /t HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-MD5: AAAA\r\nTrailer: X-Note\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Note: {}\r\n\r\n",
        token()
    ))
    .await;
    let reply = wire.reply().await;
    assert_detail(&reply, "secret.unrewritable", "github-pat in the trailer x-note");
    let record = play.egret.record_of("/t").await;
    assert_eq!(record["redactions"][0]["field"], "x-note", "{record}");
}

#[tokio::test]
async fn bodies_that_may_not_change_are_refused_with_a_secret_and_pass_without() {
    let play = open().await;
    let secret = format!("{{\"key\": \"{}\"}}", token());
    for field in [
        "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sts/aws4_request",
        "x-amz-checksum-crc32: AAAAAA==",
        "x-goog-hash: crc32c=AAAAAA==",
        "Content-MD5: AAAA",
        "Repr-Digest: sha-256=:AAAA:",
        "Signature-Input: sig1=(\"content-digest\");created=1",
        "X-Hub-Signature: sha1=00",
        "Stripe-Signature: t=1,v1=00",
        "X-Slack-Signature: v0=00",
        "svix-signature: v1,AAAA",
        "Content-Type: application/x-git-receive-pack-request",
        "Content-Type: application/pdf",
        "Content-Type: application/wasm",
        "Content-Type: font/woff2",
        "Content-Type: image/png",
    ] {
        let fields = format!("{field}\r\n");
        let reply = post(&play, "/fixed", &fields, secret.as_bytes()).await;
        assert_detail(&reply, "secret.unrewritable", "github-pat in the body");
        post(&play, "/fixed", &fields, b"{\"key\": \"none\"}")
            .await
            .assert_passed(200);
    }
    for seen in play.origin.requests().iter().filter(|seen| seen.complete) {
        assert_eq!(seen.text(), "{\"key\": \"none\"}");
    }
}

#[tokio::test]
async fn known_secrets_are_watched_like_the_rest_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hQ7-wK2m-Zx9v-Lp4t").unwrap();
    let section = format!("redaction: {{known_secrets: [{}]}}", folder.path().display());
    let play = Scene::open().await.section(&section).start().await;
    // Another value is taken, a weak one refused; neither is ever said.
    std::fs::write(&file, "uR5-nB8c-Yd3f-Ta6s").unwrap();
    play.egret
        .await_metric("egret_config_reloads_total", &["result=\"taken\""], 1.0)
        .await;
    std::fs::write(&file, "Sunshine1").unwrap();
    play.egret
        .await_metric("egret_config_reloads_total", &["result=\"refused\""], 1.0)
        .await;
    let log = play.egret.log().text();
    assert!(log.contains("token: the value is a common password"), "{log}");
    for value in ["hQ7-wK2m", "uR5-nB8c", "Sunshine1"] {
        assert!(!log.contains(value), "{log}");
    }
}
