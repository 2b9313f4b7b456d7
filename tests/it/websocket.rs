//! `WebSocket` connections through Egret: the upgrade is checked, messages pass both ways, and what leaves is redacted.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::client::Wire;
use crate::support::scene::{Play, Scene};
use crate::support::within;

async fn open() -> Play {
    Scene::open().await.start().await
}

/// Opens a WebSocket over a stream that leads to the origin.
async fn upgrade<S>(url: &str, wire: Wire<S>) -> Result<WebSocketStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = client_async(url, wire.into_stream());
    Ok(within("the WebSocket handshake", Box::pin(handshake)).await?.0)
}

async fn secure_upgrade(
    play: &Play,
    path: &str,
) -> Result<WebSocketStream<impl AsyncRead + AsyncWrite + Unpin + use<>>, Error> {
    let wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let url = format!("wss://{}{path}", play.secure("origin.test"));
    upgrade(&url, wire).await
}

/// Sends a message and gives what comes back.
async fn echo<S>(socket: &mut WebSocketStream<S>, message: Message) -> Message
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    within("the echo", async {
        socket.send(message).await.unwrap();
        loop {
            let answer = socket.next().await.unwrap().unwrap();
            if answer.is_text() || answer.is_binary() {
                return answer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let play = open().await;
    let mut socket = secure_upgrade(&play, "/ws").await.unwrap();
    for text in ["one", "", "three"] {
        let message = Message::text(text);
        assert_eq!(echo(&mut socket, message.clone()).await, message);
    }
    for length in [1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = Message::binary(vec![7; length]);
        assert_eq!(echo(&mut socket, message.clone()).await, message, "{length} bytes");
    }
    socket.close(None).await.unwrap();
    within("the close", async { while socket.next().await.is_some() {} }).await;
    drop(socket);
    let record = play.egret.record_of("/ws").await;
    assert_eq!(record["status"], 101, "{record}");
    assert_eq!(record["decision"], "allow", "{record}");
}

#[tokio::test]
async fn plain_ones_inside_connect_pass_too() {
    let play = open().await;
    let target = format!("origin.test:{}", play.origin.plain_port());
    let wire = Wire::tunnel(play.proxy(), &target, "").await.unwrap();
    let mut socket = upgrade(&format!("ws://{target}/ws"), wire).await.unwrap();
    let message = Message::text("plain");
    assert_eq!(echo(&mut socket, message.clone()).await, message);
}

#[tokio::test]
async fn a_secret_in_a_message_leaves_unreadable() {
    let secret = ["u8jzPde0IgxLd6Gn", "cfBAepfJBd0Kh8oOOL8d"].concat();
    let play = open().await;
    let mut socket = secure_upgrade(&play, "/ws").await.unwrap();
    let text = format!("{{\"key\":\"ghp_{secret}\"}}");
    let back = echo(&mut socket, Message::text(text.clone())).await;
    let back = back.into_text().unwrap();
    assert!(!back.contains(&secret), "{back}");
    assert_eq!(back.len(), text.len());
    assert!(serde_json::from_str::<serde_json::Value>(&back).is_ok(), "{back}");
    drop(socket);
    let record = play.egret.record_of("/ws").await;
    assert_eq!(record["redactions"][0]["where"], "websocket", "{record}");
    assert!(!record.to_string().contains(&secret));
}

#[tokio::test]
async fn a_secret_in_fragments_leaves_unreadable() {
    let secret = ["u8jzPde0IgxLd6Gn", "cfBAepfJBd0Kh8oOOL8d"].concat();
    let play = open().await;
    let mut socket = secure_upgrade(&play, "/ws").await.unwrap();
    let text = format!("ghp_{secret}");
    let (first, second) = text.split_at(20);
    let fragment = |part: &str, kind, last| {
        let payload = part.as_bytes().to_vec();
        Message::Frame(Frame::message(payload, OpCode::Data(kind), last))
    };
    socket.send(fragment(first, Data::Text, false)).await.unwrap();
    let back = echo(&mut socket, fragment(second, Data::Continue, true)).await;
    let back = back.into_text().unwrap();
    assert_eq!(back.len(), text.len());
    assert!(!back.contains(&secret), "{back}");
}

#[tokio::test]
async fn a_switch_with_a_wrong_proof_is_refused() {
    let play = open().await;
    let Err(Error::Http(response)) = secure_upgrade(&play, "/ws-bad-accept").await else {
        panic!("a switch with a wrong proof went through");
    };
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["x-egret-reason"], "upstream.upgrade_invalid");
    play.egret.refusal("upstream.upgrade_invalid").await;
}

#[tokio::test]
async fn an_upgrade_that_is_not_listed_is_refused() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, ports: [$TLS], paths: [\"/other\"]}")
        .start()
        .await;
    let Err(Error::Http(response)) = secure_upgrade(&play, "/ws").await else {
        panic!("an upgrade that nobody listed went through");
    };
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-egret-reason"], "path.not_listed");
    play.origin.assert_no_request();
}

#[tokio::test]
async fn a_refused_upgrade_ends_the_connection() {
    let play = open().await;
    // The origin answers 200 to an upgrade of a path that is no WebSocket. What the client sends next may be meant as frames.
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let fields = format!(
        "Host: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        play.secure("origin.test")
    );
    let reply = wire.ask("GET", "/no-socket", &fields, b"").await;
    reply.assert_passed(200);
    assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let play = open().await;
    for protocol in ["h2c", "TLS/1.0", "anything"] {
        let fields = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        let reply = play.ask("GET", "origin.test", "/", &fields, b"").await;
        assert_ne!(reply.status, 101, "{protocol}");
    }
    for seen in play.origin.requests() {
        assert_eq!(seen.header("upgrade"), None, "{seen:?}");
    }
}
