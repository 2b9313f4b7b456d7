//! Content codings: a coded body is looked into, rewritten in the same coding, refused, or passed as it came; bombs go off nowhere.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::{Reply, Wire};
use crate::support::origin::Seen;
use crate::support::scene::{Play, Scene};

/// By how much a bomb may make Egret's peak memory grow.
const BOUNDED_KIB: u64 = 48 << 10;

/// A GitHub token, made up; in two parts, so that no scanner of source code takes it for a leak.
fn token() -> String {
    ["ghp_", "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8d"].concat()
}

/// A document with the token, in each coding as a client's own encoder writes it: Node 20's zlib, Python 3.11's gzip, zstd 1.5's command.
const AS_CLIENTS_SEND_IT: [(&str, &str); 6] = [
    (
        "gzip",
        "H4sIAAAAAAAAA6tWyssvSVWyUirJSFUoSszMU8jMUwguADGKSxIrixVyEzPzcipBoiAVBTmJmXnWCrRTrKSjlJ1aqWSllJ5REF9qkVUVkJJq\
         4Jle4ZNi5p6XnObkmFqQ5uWUYuCdYZHv7+9jkaJUCwDNpz/QwwAAAA==",
    ),
    (
        "x-gzip",
        "H4sIAAAAAAAAA6tWyssvSVWyUirJSFUoSszMUwCi4AIQo7gksbJYIRfIzKkEiYJUFOQAudYKtFOspKOUnVoJdE96RkF8qUVWVUBKqoFneoVP\
         ipl7XnKak2NqQZqXU4qBd4ZFvr+/j0WKUi0Azac/0MMAAAA=",
    ),
    (
        "deflate",
        "eJyrVsrLL0lVslIqyUhVKErMzFPIzFMILgAxiksSK4sVchMz83IqQaIgFQU5iZl51gq0U6yko5SdWqlkpZSeURBfapFVFZCSauCZXuGTYuae\
         l5zm5JhakObllGLgnWGR7+/vY5GiVAsAKoZDcA==",
    ),
    (
        "Deflate",
        "q1bKyy9JVbJSKslIVShKzMxTyMxTCC4AMYpLEiuLFXITM/NyKkGiIBUFOYmZedYKtFOspKOUnVqpZKWUnlEQX2qRVRWQkmrgmV7hk2Lmnpec\
         5uSYWpDm5ZRi4J1hke/v72ORolQLAA==",
    ),
    (
        "br",
        "G8IAUBSh0q/296nebH5KTsZ0gJ/gkAP2AN8iCRQDo5phhiZNkhzJ8QWhgYezrdBNIF5RlgMFuZu3y1MBaQEYDNUbeGjaNbnY/hOUFWU2L6ek\
         9bmoJbFaa0sqKbtlF9932BL+",
    ),
    (
        "zstd",
        "KLUv/QBoLQMAUoYWGGB5A3zl1E2AMFEUuWO9ErDHClh5oiAI8h9LuDDMBacSSCOJaBdGBP0hyGWTkKBl001Qe+iUeGCuKQZ4ifdY0e1Z93256j\
         1am3GxZtTZ932P2PasPHDX69kLAgAfVDPSKmI=",
    ),
];

fn code(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            encoder.write_all(text).unwrap();
            encoder.into_inner()
        }
        "zstd" => zstd::stream::encode_all(text, 3).unwrap(),
        other => panic!("{other}"),
    }
}

/// The text of a body that is whole.
fn decode(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = match coding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut text),
        // The two forms of deflate.
        "deflate" if body[0] & 0x0f == 8 => flate2::read::ZlibDecoder::new(body).read_to_end(&mut text),
        "deflate" => flate2::read::DeflateDecoder::new(body).read_to_end(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut text),
        other => panic!("{other}"),
    };
    read.unwrap();
    text
}

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// Lines of numbers, which don't compress to nothing.
fn noise(lines: u32) -> Vec<u8> {
    let line = |n: u32| {
        format!(
            "{} {}\n",
            n.wrapping_mul(0x9e37_79b1) >> 7,
            n.wrapping_mul(0x85eb_ca6b) >> 9
        )
    };
    (0..lines).flat_map(|n| line(n).into_bytes()).collect()
}

async fn open() -> Play {
    Scene::open().await.start().await
}

async fn post(play: &Play, path: &str, coding: &str, more: &str, body: &[u8]) -> Reply {
    let fields = format!("Content-Encoding: {coding}\r\n{more}");
    play.secure_ask("POST", "origin.test", path, &fields, body).await
}

fn only(play: &Play, path: &str) -> Seen {
    let mut seen: Vec<Seen> = play.origin.requests();
    seen.retain(|one| one.target == path);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

#[tokio::test]
async fn a_secret_in_any_coding_leaves_unreadable_in_the_same_coding() {
    let play = open().await;
    for (number, (coding, body)) in AS_CLIENTS_SEND_IT.iter().enumerate() {
        let path = format!("/coded-{number}");
        let body = STANDARD.decode(body.replace(' ', "")).unwrap();
        let sent = String::from_utf8(decode(coding, &body)).unwrap();
        assert!(sent.contains(&token()), "{coding}");
        post(&play, &path, coding, "Content-Type: application/json\r\n", &body)
            .await
            .assert_passed(200);
        let seen = only(&play, &path);
        assert_eq!(seen.header("content-encoding"), Some(*coding));
        let arrived = String::from_utf8(decode(coding, &seen.body)).unwrap();
        let document: serde_json::Value = serde_json::from_str(&arrived).unwrap();
        assert!(
            document["note"].as_str().unwrap().starts_with("the rain in Spain"),
            "{coding}"
        );
        assert!(
            !arrived.contains(token().trim_start_matches("ghp_")),
            "{coding}: {arrived}"
        );
        assert_eq!(arrived.len(), sent.len(), "{coding}");
        let record = play.egret.record_of(&path).await;
        assert_eq!(record["redactions"][0]["rule"], "github-pat", "{record}");
    }
}

#[tokio::test]
async fn two_codings_are_looked_through() {
    let play = open().await;
    for (number, (inner, outer)) in [("gzip", "br"), ("zstd", "gzip"), ("deflate", "deflate")]
        .iter()
        .enumerate()
    {
        let path = format!("/stacked-{number}");
        let body = code(outer, &code(inner, format!("key={}\n", token()).as_bytes()));
        post(&play, &path, &format!("{inner}, {outer}"), "", &body)
            .await
            .assert_passed(200);
        let seen = only(&play, &path);
        let arrived = decode(inner, &decode(outer, &seen.body));
        let arrived = String::from_utf8(arrived).unwrap();
        assert!(
            arrived.starts_with("key=") && !arrived.contains(token().trim_start_matches("ghp_")),
            "{arrived}"
        );
    }
    let body = code("gzip", &code("gzip", &code("gzip", b"three")));
    post(&play, "/three", "gzip, gzip, gzip", "", &body)
        .await
        .assert_refused(415, "request.encoding");
}

#[tokio::test]
async fn a_clean_coded_body_says_the_same() {
    let play = open().await;
    let text = noise(30_000);
    for coding in CODINGS {
        let path = format!("/clean-{coding}");
        post(&play, &path, coding, "", &code(coding, &text))
            .await
            .assert_passed(200);
        let seen = only(&play, &path);
        assert!(decode(coding, &seen.body) == text, "{coding}");
        assert!(play.egret.record_of(&path).await["redactions"].is_null(), "{coding}");
    }
}

#[tokio::test]
async fn a_clean_coded_body_under_a_digest_arrives_byte_for_byte() {
    let play = open().await;
    let text = noise(30_000);
    for coding in CODINGS {
        let path = format!("/signed-{coding}");
        let body = code(coding, &text);
        post(&play, &path, coding, "Content-MD5: AAAA\r\n", &body)
            .await
            .assert_passed(200);
        assert!(only(&play, &path).body == body, "{coding}");
    }
}

#[tokio::test]
async fn a_refused_coded_body_does_not_show_its_secret() {
    let text = [&noise(3000)[..], token().as_bytes(), b"\n", &noise(3000)].concat();
    for (section, field, code_said) in [
        ("redaction: {surfaces: {body: block}}", "", "secret.blocked"),
        ("", "X-Hub-Signature-256: sha256=00\r\n", "secret.unrewritable"),
    ] {
        let play = Scene::open().await.section(section).start().await;
        for coding in CODINGS {
            let path = format!("/refused-{coding}");
            let reply = post(&play, &path, coding, field, &code(coding, &text)).await;
            reply.assert_refused(403, code_said);
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("Found github-pat in the body. "), "{detail}");
        }
        for seen in play.origin.requests() {
            assert!(!seen.complete, "{seen:?}");
            let coding = seen.header("content-encoding").unwrap();
            assert!(
                !readable(coding, &seen.body).contains(token().trim_start_matches("ghp_")),
                "{coding}"
            );
        }
    }
}

/// As much of the text as can be read of a body that breaks off.
fn readable(coding: &str, body: &[u8]) -> String {
    let mut text = Vec::new();
    // What broke off is no error here.
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut text),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut text),
        "br" => brotli::Decompressor::new(body, 64).read_to_end(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut text),
        other => panic!("{other}"),
    };
    drop(read);
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn each_piece_of_a_coded_stream_leaves_at_once() {
    let play = open().await;
    let host = play.secure("origin.test");
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    wire.send(format!(
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    let mut client = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for number in 0..3 {
        client.write_all(format!("data: {number}\n\n").as_bytes()).unwrap();
        client.flush().unwrap();
        chunk(&mut wire, &std::mem::take(client.get_mut())).await;
        let said = format!("data: {number}\n\n");
        crate::support::eventually("the event at the origin", || async {
            let seen = play.origin.requests();
            let arrived = readable("gzip", &seen.first()?.body);
            arrived.ends_with(&said).then_some(())
        })
        .await;
    }
    chunk(&mut wire, &client.finish().unwrap()).await;
    wire.send("0\r\n\r\n").await;
    wire.reply().await.assert_passed(200);
}

async fn chunk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(wire: &mut Wire<S>, bytes: &[u8]) {
    if !bytes.is_empty() {
        wire.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
            .await;
    }
}

#[tokio::test]
async fn what_is_not_in_its_coding_is_refused() {
    let play = open().await;
    let plain = format!("{{\"key\": \"{}\"}}", token());
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
        post(&play, "/false", coding, "", plain.as_bytes())
            .await
            .assert_refused(415, "request.encoding");
    }
    post(&play, "/false", "aws-chunked", "", b"no frames\r\n")
        .await
        .assert_refused(415, "request.encoding");
    for coding in CODINGS {
        let garbage = [&code(coding, b"harmless")[..], token().as_bytes()].concat();
        post(&play, "/garbage", coding, "", &garbage)
            .await
            .assert_refused(415, "request.encoding");
    }
    let reply = post(&play, "/unknown", "compress", "", plain.as_bytes()).await;
    reply.assert_refused(415, "request.encoding");
    assert_eq!(
        reply.header("accept-encoding"),
        Some("gzip, deflate, br, zstd, identity")
    );
    let whole = play.origin.requests().iter().filter(|seen| seen.complete).count();
    assert_eq!(whole, 0);
}

#[tokio::test]
async fn a_bomb_in_any_coding_is_refused_in_bounded_memory() {
    let play = open().await;
    play.secure_get("origin.test", "/warm").await.assert_passed(200);
    let before = play.egret.memory_kib("VmHWM");
    let zeros = vec![0; 24 << 20];
    for coding in CODINGS {
        let bomb = code(coding, &zeros);
        assert!(bomb.len() < 40 << 10, "{coding}: {}", bomb.len());
        for more in ["", "Content-MD5: AAAA\r\n"] {
            post(&play, "/bomb", coding, more, &bomb)
                .await
                .assert_refused(413, "limit.decompression");
        }
    }
    assert!(
        !play
            .origin
            .requests()
            .iter()
            .any(|seen| seen.complete && seen.target == "/bomb")
    );
    let grown = play.egret.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < BOUNDED_KIB, "grew by {grown} KiB");
}

/// A body in signed frames, as S3's SDKs send it.
fn framed(body: &[u8], size: usize) -> Vec<u8> {
    let signature = "0f".repeat(32);
    let mut framed = Vec::new();
    for part in body.chunks(size) {
        framed.extend(format!("{:x};chunk-signature={signature}\r\n", part.len()).into_bytes());
        framed.extend_from_slice(part);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend(format!("0;chunk-signature={signature}\r\n\r\n").into_bytes());
    framed
}

#[tokio::test]
async fn signed_frames_pass_as_they_came_unless_there_is_a_secret_in_them() {
    let play = open().await;
    let signed = "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n";
    let clean = framed(&noise(5000), 8192);
    post(&play, "/clean", "aws-chunked", signed, &clean)
        .await
        .assert_passed(200);
    assert!(only(&play, "/clean").body == clean);
    let clean = framed(&code("gzip", &noise(5000)), 8192);
    post(&play, "/gzipped", "aws-chunked,gzip", signed, &clean)
        .await
        .assert_passed(200);
    assert!(only(&play, "/gzipped").body == clean);

    let text = [&noise(600)[..], token().as_bytes(), b"\n", &noise(600)].concat();
    let at = noise(600).len();
    // Whole in a frame, cut by one, and in gzip.
    let bodies = [
        ("aws-chunked", framed(&text, 100_000)),
        ("aws-chunked", framed(&text, at + 20)),
        ("aws-chunked,gzip", framed(&code("gzip", &text), 1000)),
    ];
    for (coding, body) in bodies {
        let reply = post(&play, "/secret", coding, "", &body).await;
        reply.assert_refused(403, "secret.unrewritable");
        assert!(
            reply.json()["detail"]
                .as_str()
                .unwrap()
                .starts_with("Found github-pat in the body. ")
        );
    }
    let whole = |seen: &&Seen| seen.complete && seen.target == "/secret";
    assert_eq!(play.origin.requests().iter().filter(whole).count(), 0);
}
