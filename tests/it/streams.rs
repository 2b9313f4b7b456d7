//! Streams: nothing is held whole, however long it is, and nothing waits for what comes later.

use crate::support::client::Wire;
use crate::support::scene::{Play, Scene};

const MIB: usize = 1 << 20;
/// By how much Egret's peak memory may grow while a stream of any length passes.
const CONSTANT_KIB: u64 = 64 << 10;

async fn open() -> Play {
    Scene::open().await.start().await
}

/// Egret's peak memory after it has done each kind of work once.
async fn warm(play: &Play) -> u64 {
    play.get("/warm").await.assert_passed(200);
    play.secure_get("origin.test", "/warm-tls").await.assert_passed(200);
    play.egret.memory_kib("VmHWM")
}

fn assert_constant(play: &Play, before: u64) {
    let after = play.egret.memory_kib("VmHWM");
    let grown = after.saturating_sub(before);
    assert!(grown < CONSTANT_KIB, "grew by {grown} KiB from {before} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_5_gib_passes_in_constant_memory() {
    const PIECES: usize = 5 * 1024;
    let play = open().await;
    let before = warm(&play).await;
    let mut wire = Wire::dial(play.proxy()).await;
    let length = PIECES * MIB;
    let head = format!(
        "POST {}/sink HTTP/1.1\r\nHost: origin.test:{}\r\nContent-Length: {length}\r\n\r\n",
        play.plain("origin.test"),
        play.origin.plain_port()
    );
    wire.send(head).await;
    let piece = vec![b'u'; MIB];
    for _ in 0..PIECES {
        wire.send(&piece).await;
    }
    let reply = wire.reply().await;
    reply.assert_passed(200);
    assert_eq!(reply.json()["length"], length);
    assert_constant(&play, before);
    assert_eq!(play.egret.record_of("/sink").await["bytes_out"], length);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_upload_inside_tls_passes_in_constant_memory() {
    const PIECES: usize = 256;
    let play = open().await;
    let before = warm(&play).await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!(
        "POST /sink HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + MIB, b'c');
    chunk.extend(b"\r\n");
    for _ in 0..PIECES {
        wire.send(&chunk).await;
    }
    wire.send("0\r\n\r\n").await;
    let reply = wire.reply().await;
    reply.assert_passed(200);
    assert_eq!(reply.json()["length"], PIECES * MIB);
    assert_constant(&play, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_download_passes_in_constant_memory() {
    const BYTES: usize = 512 * MIB;
    let play = open().await;
    let before = warm(&play).await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!("GET /big?bytes={BYTES} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    let mut length = 0;
    loop {
        let chunk = wire.chunk().await;
        if chunk.is_empty() {
            break;
        }
        length += chunk.len();
    }
    assert_eq!(length, BYTES);
    assert_constant(&play, before);
}

#[tokio::test]
async fn an_endless_event_stream_arrives_event_by_event() {
    let play = open().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!(
        "GET /sse HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
    ))
    .await;
    let head = wire.head().await;
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        let event = wire.up_to(b"\n\n").await;
        let event = String::from_utf8(event).unwrap();
        assert!(event.ends_with(&format!("data: {number}\n\n")), "{event:?}");
    }
    // The client leaves; the exchange is on record all the same.
    drop(wire);
    let record = play.egret.record_of("/sse").await;
    assert_eq!(record["decision"], "allow", "{record}");
    assert_eq!(record["status"], 200, "{record}");
}

#[tokio::test]
async fn an_upload_reaches_the_origin_while_it_is_still_under_way() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    wire.send(format!(
        "POST http://{host}/sink HTTP/1.1\r\nHost: {host}\r\nContent-Length: 200000\r\n\r\n"
    ))
    .await;
    wire.send(vec![b'1'; 100_000]).await;
    crate::support::eventually("the upload's first part", || async {
        let seen = play.origin.requests();
        seen.first().filter(|one| one.length > 0).map(drop)
    })
    .await;
    wire.send(vec![b'2'; 100_000]).await;
    wire.reply().await.assert_passed(200);
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_not_kept_waiting() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("origin.test:{}", play.origin.plain_port());
    wire.send(format!(
        "POST http://{host}/echo HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.reply().await.status, 100);
    wire.send("wait").await;
    let reply = wire.reply().await;
    reply.assert_passed(200);
    assert_eq!(reply.text(), "wait");
}

#[tokio::test]
async fn a_client_that_waits_for_100_learns_of_a_refusal_first() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(
        "POST http://unlisted.test/ HTTP/1.1\r\nHost: unlisted.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    )
    .await;
    wire.reply().await.assert_refused(403, "host.not_listed");
}
