//! SOCKS5 on the proxy's own listener: the verdict, the record and the bytes at the origin are those of a CONNECT.

use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::client::Wire;
use crate::support::dns::at;
use crate::support::egret::finish;
use crate::support::eventually;
use crate::support::origin::{Raw, RawOrigin};
use crate::support::scene::{Play, Scene};

/// Method X'00' alone (RFC 1928 §3), and its acceptance.
const HELLO: [u8; 3] = [5, 1, 0];
const NO_AUTHENTICATION: [u8; 2] = [5, 0];
const NO_ACCEPTABLE_METHODS: [u8; 2] = [5, 0xff];
const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

const CONNECT: u8 = 1;
const BIND: u8 = 2;
const UDP_ASSOCIATE: u8 = 3;

/// DST.ADDR with its type.
fn name(text: &str) -> Vec<u8> {
    let mut bytes = vec![3, u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

fn ipv4(octets: [u8; 4]) -> Vec<u8> {
    [&[1][..], &octets].concat()
}

fn ipv6(address: &str) -> Vec<u8> {
    let address: std::net::Ipv6Addr = address.parse().unwrap();
    [&[4][..], &address.octets()].concat()
}

fn request(command: u8, address: &[u8], port: u16) -> Vec<u8> {
    [&[5, command, 0][..], address, &port.to_be_bytes()].concat()
}

/// A refused request's reply: its code, and the reason that stands where a bound address would.
async fn refusal(wire: &mut Wire<TcpStream>) -> (u8, String) {
    let head = wire.exactly(5).await;
    assert_eq!((head[0], head[2], head[3]), (5, 0, 3), "{head:?}");
    let reason = wire.exactly(usize::from(head[4])).await;
    assert_eq!(wire.exactly(2).await, [0, 0]);
    (head[1], String::from_utf8(reason).unwrap())
}

/// A client whose greeting without credentials was accepted.
async fn greeted(play: &Play) -> Wire<TcpStream> {
    let mut wire = Wire::dial(play.proxy()).await;
    wire.send(HELLO).await;
    assert_eq!(wire.exactly(2).await, NO_AUTHENTICATION);
    wire
}

/// A tunnel, or the refusal's code and reason; refused, nothing more comes.
async fn asked(play: &Play, command: u8, address: &[u8], port: u16) -> Result<Wire<TcpStream>, (u8, String)> {
    let mut wire = greeted(play).await;
    wire.send(request(command, address, port)).await;
    let first = wire.exactly(2).await;
    if first == [5, 0] {
        assert_eq!(wire.exactly(8).await, SUCCEEDED[2..]);
        return Ok(wire);
    }
    let rest = wire.rest().await;
    let reply = [first, rest].concat();
    let length = usize::from(reply[4]);
    assert_eq!(
        (reply[0], reply[2], reply[3], reply.len()),
        (5, 0, 3, 7 + length),
        "{reply:?}"
    );
    Err((reply[1], String::from_utf8(reply[5..5 + length].to_vec()).unwrap()))
}

/// What both records of the same request have in common.
fn verdict(record: &Value) -> Vec<(&'static str, Value)> {
    let fields = [
        "event",
        "workload",
        "method",
        "host",
        "port",
        "decision",
        "reason",
        "rule",
        "mode",
        "treatment",
        "address",
        "status",
    ];
    fields.map(|field| (field, record[field].clone())).to_vec()
}

#[tokio::test]
async fn an_intercepted_request_is_that_of_a_connect() {
    let play = Scene::open()
        .await
        .section("limits: {pool_idle_per_origin: 0}")
        .start()
        .await;
    let tunnel = asked(&play, CONNECT, &name("origin.test"), play.origin.tls_port()).await;
    let mut wire = tunnel
        .unwrap()
        .tls("origin.test", play.egret.roots(), &["http/1.1"])
        .await
        .unwrap();
    let host = format!("Host: {}\r\n", play.secure("origin.test"));
    wire.ask("GET", "/by-socks", &host, b"").await.assert_passed(200);
    play.secure_get("origin.test", "/by-connect").await.assert_passed(200);

    let inner = play.egret.record_of("/by-socks").await;
    assert_eq!(
        (&inner["form"], &inner["workload"]),
        (&"intercepted".into(), &"tester".into()),
        "{inner}"
    );
    let [socks, connect] = ["socks5", "connect"].map(|form| move |record: &Value| record["form"] == form);
    let socks = play.egret.await_record("the SOCKS5 tunnel", socks).await;
    let connect = play.egret.await_record("the CONNECT tunnel", connect).await;
    assert_eq!(verdict(&socks), verdict(&connect));
    assert_eq!(socks["tls"]["sni"], "origin.test", "{socks}");
    assert!(socks["http"].is_null(), "no HTTP was spoken: {socks}");
    let labels = ["form=\"socks5\"", "decision=\"allow\"", "workload=\"tester\""];
    play.egret.await_metric("egret_exchanges_total", &labels, 1.0).await;
}

#[tokio::test]
async fn plain_http_inside_is_looked_into_as_well() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN], paths: [\"/open/**\"]}")
        .start()
        .await;
    let port = play.origin.plain_port();
    let mut wire = asked(&play, CONNECT, &name("origin.test"), port).await.unwrap();
    let host = format!("Host: origin.test:{port}\r\n");
    wire.ask("GET", "/open/x", &host, b"").await.assert_passed(200);
    wire.ask("GET", "/closed", &host, b"")
        .await
        .assert_refused(403, "path.not_listed");
}

#[tokio::test]
async fn bytes_sent_ahead_belong_to_the_tunnel() {
    let play = Scene::open().await.start().await;
    let port = play.origin.plain_port();
    let mut wire = Wire::dial(play.proxy()).await;
    let http = format!("GET /ahead HTTP/1.1\r\nHost: origin.test:{port}\r\nConnection: close\r\n\r\n");
    let request = request(CONNECT, &name("origin.test"), port);
    wire.send([&HELLO[..], &request, http.as_bytes()].concat()).await;
    assert_eq!(wire.exactly(2).await, NO_AUTHENTICATION);
    assert_eq!(wire.exactly(10).await, SUCCEEDED);
    wire.reply().await.assert_passed(200);
}

#[tokio::test]
async fn a_negotiation_in_single_bytes_opens_a_tunnel_byte_for_byte() {
    let raw = RawOrigin::start(Raw::Echo).await;
    let rule = format!("- {{host: origin.test, ports: [{}]}}", raw.port());
    let play = Scene::new().await.allow(&rule).start().await;
    let mut wire = Wire::dial(play.proxy()).await;
    for byte in HELLO {
        wire.send([byte]).await;
    }
    assert_eq!(wire.exactly(2).await, NO_AUTHENTICATION);
    for byte in request(CONNECT, &name("ORIGIN.test."), raw.port()) {
        wire.send([byte]).await;
    }
    assert_eq!(wire.exactly(10).await, SUCCEEDED);
}

#[tokio::test]
async fn a_tunnel_is_only_watched_where_the_rule_says_so() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, ports: [$TLS], treatment: tunnel}")
        .start()
        .await;
    let tunnel = asked(&play, CONNECT, &name("origin.test"), play.origin.tls_port())
        .await
        .unwrap();
    let roots = crate::support::client::roots_from_pem(play.ca.pem().as_bytes());
    let mut wire = tunnel.tls("origin.test", roots, &["http/1.1"]).await.unwrap();
    let fields = "Host: origin.test\r\nConnection: close\r\n";
    assert_eq!(wire.ask("GET", "/", fields, b"").await.text(), "hello");
    drop(wire);
    let record = play
        .egret
        .await_record("the tunnel", |record| record["event"] == "tunnel")
        .await;
    assert_eq!(record["form"], "socks5", "{record}");
    assert_eq!(record["treatment"], "tunnel", "{record}");
    assert!(record["bytes_out"].as_u64() > Some(0), "{record}");

    // Another name inside is refused as in any tunnel.
    let tunnel = asked(&play, CONNECT, &name("origin.test"), play.origin.tls_port())
        .await
        .unwrap();
    let roots = crate::support::client::roots_from_pem(play.ca.pem().as_bytes());
    assert!(tunnel.tls("other.test", roots, &[]).await.is_err());
    let record = play.egret.refusal("name.sni_mismatch").await;
    assert_eq!(record["form"], "socks5", "{record}");
}

/// A request that SOCKS5 and CONNECT refuse alike.
async fn check_refused(play: &Play, address: &[u8], target: &str, port: u16, reply: u8, code: &str) {
    let (got, reason) = asked(play, CONNECT, address, port).await.err().unwrap();
    assert_eq!((got, &*reason), (reply, code), "{target}");
    let refused = Wire::tunnel(play.proxy(), &format!("{target}:{port}"), "")
        .await
        .err()
        .unwrap();
    assert_eq!(refused.reason(), Some(code), "{target}");
    let records = play.egret.await_records(2).await;
    let by = |form: &str| records.iter().rfind(|record| record["form"] == form).unwrap();
    assert_eq!(verdict(by("socks5")), verdict(by("connect")), "{target}");
    // What failed beyond Egret was allowed.
    let counted = if code.starts_with("upstream.") { "" } else { code };
    let labels = ["form=\"socks5\"".to_owned(), format!("reason=\"{counted}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    play.egret.await_metric("egret_exchanges_total", &labels, 1.0).await;
}

#[tokio::test]
async fn what_connect_refuses_is_refused_with_the_same_code() {
    let play = Scene::new()
        .await
        .allow(
            "- {host: origin.test, ports: [$TLS]}\n- {host: private.test}\n- {host: nowhere.test}\n\
             - {host: 127.0.0.1}\n- {host: \"::1\"}\n- {host: closed.test, ports: [1]}",
        )
        .name("private.test", at(&["10.0.0.1"]))
        .name("closed.test", at(&["127.0.0.1"]))
        .permit("closed.test")
        .start()
        .await;
    for (address, target, port, reply, code) in [
        (name("unlisted.test"), "unlisted.test", 443, 2, "host.not_listed"),
        (name("origin.test"), "origin.test", 22, 2, "port.not_listed"),
        (name("private.test"), "private.test", 443, 2, "address.private"),
        (ipv4([127, 0, 0, 1]), "127.0.0.1", 443, 2, "address.loopback"),
        (name("2130706433"), "2130706433", 443, 2, "address.loopback"),
        (ipv6("::1"), "[::1]", 443, 2, "address.loopback"),
        (ipv4([192, 0, 2, 1]), "192.0.2.1", 443, 2, "host.not_listed"),
        (ipv6("2001:db8::1"), "[2001:db8::1]", 443, 2, "host.not_listed"),
        (name("nowhere.test"), "nowhere.test", 443, 4, "upstream.name_not_found"),
        (name("closed.test"), "closed.test", 1, 5, "upstream.connect_failed"),
    ] {
        check_refused(&play, &address, target, port, reply, code).await;
    }
    play.origin.assert_untouched();
    assert_eq!(play.egret.records().len(), 20, "one record a request");
}

#[tokio::test]
async fn a_refused_name_is_never_looked_up() {
    let play = Scene::open().await.start().await;
    let refused = asked(&play, CONNECT, &name("unlisted.test"), 443).await.err().unwrap();
    assert_eq!(refused, (2, "host.not_listed".to_owned()));
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
}

#[tokio::test]
async fn a_secret_in_a_name_leaves_neither_by_dns_nor_by_the_trail() {
    let play = Scene::new().await.allow("- {host: \"*.wild.test\"}").start().await;
    // In lower case, as the host will be.
    let token = ["ghp_", "u8jzpde0igxld6gncfbaepfjbd0kh8oool8d"].concat();
    for command in [CONNECT, BIND] {
        let host = format!("{token}.wild.test");
        let refused = asked(&play, command, &name(&host), 443).await.err().unwrap();
        assert_eq!(refused, (2, "secret.unrewritable".to_owned()));
    }
    assert!(play.dns.questions().is_empty());
    play.egret.await_records(2).await;
    let trail = std::fs::read_to_string(play.egret.audit())
        .unwrap()
        .to_ascii_lowercase();
    assert!(!trail.contains(&token.to_ascii_lowercase()), "{trail}");
}

#[tokio::test]
async fn bind_and_udp_associate_are_not_supported() {
    let play = Scene::open().await.start().await;
    let port = play.origin.tls_port();
    for (command, method) in [(BIND, Some("BIND")), (UDP_ASSOCIATE, Some("UDP_ASSOCIATE")), (9, None)] {
        let refused = asked(&play, command, &name("origin.test"), port).await.err().unwrap();
        assert_eq!(refused, (7, "request.unsupported".to_owned()), "{command}");
        let record = play.egret.await_records(1).await.pop().unwrap();
        assert_eq!(record["method"].as_str(), method, "{record}");
        assert_eq!(
            (&record["decision"], &record["host"]),
            (&"deny".into(), &"origin.test".into())
        );
    }
    play.origin.assert_untouched();
}

#[tokio::test]
async fn udp_associate_need_not_name_an_address() {
    let play = Scene::open().await.start().await;
    let anywhere = request(UDP_ASSOCIATE, &ipv4([0; 4]), 0);
    let mut wire = greeted(&play).await;
    wire.send(anywhere).await;
    assert_eq!(refusal(&mut wire).await, (7, "request.unsupported".to_owned()));
    assert!(wire.is_closed().await);
    let record = play.egret.refusal("request.unsupported").await;
    assert_eq!(
        (&record["method"], &record["host"]),
        (&"UDP_ASSOCIATE".into(), &Value::Null),
        "{record}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let play = Scene::open().await.start().await;
    for (bytes, reply, code) in [
        (
            &b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50"[..],
            8,
            "request.unsupported",
        ),
        (b"\x05\x01\x01\x01\x7f\x00\x00\x01\x00\x50", 1, "request.malformed"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", 1, "request.malformed"),
        (b"\x05\x01\x00\x03\x00\x00\x50", 1, "request.malformed"),
        (b"\x05\x01\x00\x03\x0borigin.test\x00\x00", 1, "request.malformed"),
        (b"\x05\x01\x00\x03\x0eorigin.test\x00.x\x00\x50", 1, "request.malformed"),
        (
            b"GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
            1,
            "request.malformed",
        ),
    ] {
        let mut wire = greeted(&play).await;
        wire.send(bytes).await;
        assert_eq!(refusal(&mut wire).await, (reply, code.to_owned()), "{bytes:?}");
        assert!(wire.is_closed().await);
    }
    assert_eq!(play.egret.await_records(7).await.len(), 7);
    play.origin.assert_untouched();
}

#[tokio::test]
async fn nothing_behind_a_refused_request_is_read_as_one() {
    let play = Scene::open().await.start().await;
    let port = play.origin.plain_port();
    let http = format!("GET http://origin.test:{port}/smuggled HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    let second = request(CONNECT, &name("origin.test"), port);
    for (behind, greeting) in [
        (http.as_bytes(), &HELLO[..]),
        (&second, &HELLO),
        (http.as_bytes(), &[5, 1, 1]),
    ] {
        let mut wire = Wire::dial(play.proxy()).await;
        let refused = request(CONNECT, &name("unlisted.test"), 443);
        wire.send([greeting, &refused, behind].concat()).await;
        let told = wire.rest().await;
        let end = if greeting == HELLO {
            &b"host.not_listed\0\0"[..]
        } else {
            &NO_ACCEPTABLE_METHODS
        };
        assert!(told.ends_with(end), "{told:?}");
    }
    play.origin.assert_untouched();
    assert_eq!(play.egret.await_records(3).await.len(), 3);
}

#[tokio::test]
async fn a_slow_negotiation_is_not_waited_for() {
    let play = Scene::open()
        .await
        .section("limits: {head_timeout: 300ms}")
        .start()
        .await;
    for (so_far, told) in [
        (&b"\x05"[..], &b"\x05\xff"[..]),
        (b"\x05\x02\x00", b"\x05\xff"),
        (b"\x05\x01\x02", b"\x05\x02\x01\x01"),
        (b"\x05\x01\x02\x01\x05al", b"\x05\x02\x01\x01"),
        (
            b"\x05\x01\x00\x05\x01\x00\x03\x0borig",
            b"\x05\x00\x05\x01\x00\x03\x12limit.head_timeout\x00\x00",
        ),
    ] {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(so_far).await;
        assert_eq!(wire.rest().await, told, "{so_far:?}");
    }
    let records = play.egret.await_records(5).await;
    for record in records {
        assert_eq!(record["reason"], "limit.head_timeout", "{record}");
        assert_eq!(
            (&record["form"], &record["workload"]),
            (&"socks5".into(), &"tester".into()),
            "{record}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_on_record() {
    let play = Scene::open().await.start().await;
    let mut wire = greeted(&play).await;
    wire.send(b"\x05\x01").await;
    wire.end().await;
    wire.rest().await;
    assert_eq!(play.egret.refusal("request.malformed").await["form"], "socks5");
}

const CREDENTIALS: &str = "\
- {name: alice, match: {networks: [127.0.0.1/32], credential: {user: alice, sha256: $HASH}}, allow: [test]}
- {name: token, match: {credential: {sha256: $HASH}}, allow: [test]}
- {name: open, match: {networks: [127.0.0.3/32]}, allow: [test]}";

async fn with_credentials() -> Play {
    // The SHA-256 of correct-horse.
    let hash = "9dca666eb54730714630d1519264a7bf1eeaad00b8f2edc90d3ecbfad928d163";
    let workloads = CREDENTIALS.replace("$HASH", hash);
    Scene::open().await.workloads(&workloads).start().await
}

fn credentials(user: &str, password: &str) -> Vec<u8> {
    let [user_length, password_length] = [user, password].map(|text| u8::try_from(text.len()).unwrap());
    [
        &[1, user_length][..],
        user.as_bytes(),
        &[password_length],
        password.as_bytes(),
    ]
    .concat()
}

/// Offers these methods from this address, then credentials if they are asked for; the workload on record, or how it was refused.
async fn identified(play: &Play, from: [u8; 4], methods: &[u8], user: &str, password: &str) -> Result<String, Vec<u8>> {
    let before = play.egret.records().len();
    let mut wire = Wire::dial_from(Ipv4Addr::from(from), play.proxy()).await;
    wire.send([&[5, u8::try_from(methods.len()).unwrap()], methods].concat())
        .await;
    match wire.exactly(2).await.as_slice() {
        [5, 0] => {}
        [5, 2] => {
            wire.send(credentials(user, password)).await;
            let status = wire.exactly(2).await;
            if status != [1, 0] {
                assert!(wire.is_closed().await);
                return Err(status);
            }
        }
        refused => {
            assert!(wire.is_closed().await);
            return Err(refused.to_vec());
        }
    }
    let port = play.origin.plain_port();
    wire.send(request(CONNECT, &name("origin.test"), port)).await;
    assert_eq!(wire.exactly(10).await, SUCCEEDED);
    wire.ask("GET", "/", &format!("Host: origin.test:{port}\r\n"), b"")
        .await
        .assert_passed(200);
    let records = play.egret.await_records(before + 2).await;
    let workload = |form: &str| {
        let record = records[before..].iter().find(|record| record["form"] == form).unwrap();
        record["workload"].as_str().unwrap().to_owned()
    };
    assert_eq!(workload("socks5"), workload("intercepted"));
    Ok(workload("socks5"))
}

#[tokio::test]
async fn a_user_name_and_a_password_find_the_workload_as_basic_does() {
    let play = with_credentials().await;
    let (near, far) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let both = [0, 2];
    assert_eq!(
        identified(&play, near, &both, "alice", "correct-horse").await,
        Ok("alice".into())
    );
    assert_eq!(
        identified(&play, near, &[2], "bob", "correct-horse").await,
        Ok("token".into())
    );
    assert_eq!(
        identified(&play, far, &[2], "alice", "correct-horse").await,
        Ok("token".into())
    );
    assert_eq!(identified(&play, [127, 0, 0, 3], &[0], "", "").await, Ok("open".into()));
    assert_eq!(
        identified(&play, [127, 0, 0, 3], &both, "who", "").await,
        Ok("open".into())
    );

    let reached = play.origin.requests().len();
    assert_eq!(identified(&play, near, &both, "alice", "wrong").await, Err(vec![1, 1]));
    assert_eq!(
        identified(&play, near, &[0], "", "").await,
        Err(NO_ACCEPTABLE_METHODS.to_vec())
    );
    assert_eq!(
        identified(&play, near, &[1], "", "").await,
        Err(NO_ACCEPTABLE_METHODS.to_vec())
    );
    assert_eq!(play.origin.requests().len(), reached);
    for code in [
        "workload.credential_wrong",
        "workload.credential_required",
        "request.unsupported",
    ] {
        let record = play.egret.refusal(code).await;
        assert_eq!(record["form"], "socks5", "{record}");
    }
    let trail = std::fs::read_to_string(play.egret.audit()).unwrap() + &play.egret.log().text();
    assert!(!trail.contains("correct-horse"), "{trail}");
}

#[tokio::test]
async fn nobodys_client_is_told_that_the_rules_forbid_it() {
    let play = Scene::open()
        .await
        .workloads("- {name: other, match: {networks: [127.0.0.9/32]}, allow: [test]}")
        .start()
        .await;
    let refused = asked(&play, CONNECT, &name("origin.test"), 443).await.err().unwrap();
    assert_eq!(refused, (2, "workload.unknown".to_owned()));
    let record = play.egret.refusal("workload.unknown").await;
    assert!(record["workload"].is_null() && record["host"].is_null(), "{record}");
}

#[tokio::test]
async fn without_a_trail_no_tunnel_opens() {
    let mut scene = Scene::open().await;
    scene.setup.survives_full_disk = true;
    let play = scene.start().await;
    play.egret.limit_file_size("1").await;
    let port = play.origin.plain_port();
    // The first may be the one by which the full disk is noticed.
    let refused = eventually("a refusal", || async {
        let refused = asked(&play, CONNECT, &name("unlisted.test"), port).await.err().unwrap();
        (refused.1 == "audit.unwritable").then_some(refused)
    })
    .await;
    assert_eq!(refused.0, 1, "general failure");
    let refused = asked(&play, CONNECT, &name("origin.test"), port).await.err().unwrap();
    assert_eq!(refused.1, "audit.unwritable");
    play.origin.assert_untouched();
}

fn curl(play: &Play, arguments: &[&str], url: &str) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(["--cacert", play.egret.ca_file().to_str().unwrap()])
        .args(["--write-out", " proxy=%{proxy_code} errno=%{exitcode}"])
        .args(arguments)
        .arg(url)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command
}

async fn curled(play: &Play, arguments: &[&str], url: &str) -> String {
    let output = finish(curl(play, arguments, url)).await;
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn curl_reaches_what_is_allowed_and_hears_of_what_is_not() {
    let play = with_credentials().await;
    let proxy = play.proxy().to_string();
    let by_name = ["--socks5-hostname", &proxy, "--proxy-user", "alice:correct-horse"];
    for (url, path) in [
        (format!("https://{}/curl-tls", play.secure("origin.test")), "/curl-tls"),
        (format!("{}/curl-plain", play.plain("origin.test")), "/curl-plain"),
    ] {
        let output = curled(&play, &by_name, &url).await;
        assert!(output.contains("hello"), "{output}");
        let record = play.egret.record_of(path).await;
        assert_eq!(
            (&record["decision"], &record["workload"]),
            (&"allow".into(), &"alice".into()),
            "{record}"
        );
    }
    let output = curled(&play, &by_name, "https://unlisted.test/").await;
    // Reply code 2: connection not allowed by ruleset.
    assert!(output.contains("(2)"), "{output}");
    assert_eq!(play.egret.refusal("host.not_listed").await["host"], "unlisted.test");

    let wrong = ["--socks5-hostname", &proxy, "--proxy-user", "alice:wrong"];
    let output = curled(&play, &wrong, "https://origin.test/").await;
    assert!(output.contains("rejected"), "{output}");
    let output = curled(&play, &["--socks5-hostname", &proxy], "https://origin.test/").await;
    assert!(output.contains("No authentication method was acceptable"), "{output}");
}
