//! What a workload may reach: hosts, ports, methods, paths, who asks, and modes.

use crate::support::client::{Reply, Wire};
use crate::support::dns::at;
use crate::support::scene::{Play, Scene};

/// Rules that are narrow in every way.
const NARROW: &str = "\
- {host: origin.test, schemes: [http], ports: [$PLAIN], methods: [GET, POST], paths: [\"/repos/**\", \"/one/*/end\"]}
- {host: \"*.wild.test\", schemes: [http], ports: [$PLAIN]}";

async fn narrow() -> Play {
    let scene = Scene::new().await.allow(NARROW);
    let names = ["a.wild.test", "a.b.wild.test", "wild.test"];
    let scene = names
        .into_iter()
        .fold(scene, |scene, name| scene.name(name, at(&["127.0.0.1"])).permit(name));
    scene.start().await
}

#[tokio::test]
async fn what_the_rules_name_passes() {
    let play = narrow().await;
    let allowed = [
        ("GET", "origin.test", "/repos/a/b"),
        ("POST", "origin.test", "/repos/a"),
        ("GET", "origin.test", "/one/x/end"),
        ("GET", "ORIGIN.test", "/repos/upper"),
        ("GET", "origin.test.", "/repos/dot"),
        ("DELETE", "a.wild.test", "/any"),
        ("GET", "a.b.wild.test", "/any/deeper"),
    ];
    for (method, host, path) in allowed {
        let reply = play.ask(method, host, path, "", b"").await;
        assert_eq!(
            (reply.status, reply.reason()),
            (200, None),
            "{method} {host}{path}: {reply:?}"
        );
    }
    let seen = play.origin.requests();
    let arrived: Vec<&str> = seen.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(arrived, allowed.map(|(method, _, _)| method));
    let records = play.egret.await_records(allowed.len()).await;
    for record in records {
        assert_eq!(record["decision"], "allow", "{record}");
        let rule = record["rule"].as_str().unwrap();
        assert!(rule.starts_with("test/"), "{record}");
    }
}

#[tokio::test]
async fn what_no_rule_names_is_refused_with_the_nearest_reason() {
    let play = narrow().await;
    let refused = [
        ("GET", "unlisted.test", "/", "host.not_listed"),
        ("GET", "wild.test", "/", "host.not_listed"),
        ("GET", "evilorigin.test", "/repos/a", "host.not_listed"),
        ("GET", "origin.test.evil.test", "/repos/a", "host.not_listed"),
        ("DELETE", "origin.test", "/repos/a", "method.not_listed"),
        ("GET", "origin.test", "/other", "path.not_listed"),
        ("GET", "origin.test", "/one/x/y/end", "path.not_listed"),
        ("GET", "origin.test", "/repos/../other", "path.not_listed"),
        ("GET", "origin.test", "/repos/%2e%2e/other", "path.not_listed"),
    ];
    for (method, host, path, code) in refused {
        let reply = play.ask(method, host, path, "", b"").await;
        // A path that climbs may be refused as ambiguous instead of being resolved; both keep it in.
        let climbs = path.contains("..") || path.contains("%2e");
        if climbs && reply.status == 400 {
            reply.assert_refused(400, "request.ambiguous");
        } else {
            reply.assert_refused(403, code);
        }
    }
    play.origin.assert_untouched();
    let records = play.egret.await_records(refused.len()).await;
    assert_eq!(records.len(), refused.len());
    assert!(records.iter().all(|record| record["decision"] == "deny"));
}

#[tokio::test]
async fn a_refused_name_is_never_looked_up() {
    let play = narrow().await;
    play.ask("GET", "unlisted.test", "/", "", b"")
        .await
        .assert_refused(403, "host.not_listed");
    let refused = play.tunnel("unlisted.test").await.err().unwrap();
    refused.assert_refused(403, "host.not_listed");
    play.ask("GET", "origin.test", "/other", "", b"")
        .await
        .assert_refused(403, "path.not_listed");
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
}

#[tokio::test]
async fn a_port_must_be_listed() {
    let play = narrow().await;
    let port = play.origin.tls_port();
    let mut wire = Wire::dial(play.proxy()).await;
    let fields = format!("Host: origin.test:{port}\r\n");
    let target = format!("http://origin.test:{port}/repos/a");
    wire.ask("GET", &target, &fields, b"")
        .await
        .assert_refused(403, "port.not_listed");
    let refused = play.tunnel("origin.test").await.err().unwrap();
    refused.assert_refused(403, "port.not_listed");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_refused_connect_says_why_in_its_phrase_and_closes() {
    let play = narrow().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let head = "CONNECT unlisted.test:443 HTTP/1.1\r\nHost: unlisted.test:443\r\n\r\n";
    wire.send(head).await;
    // What a hasty client sends ahead must not be taken for the next request.
    let ahead = format!(
        "GET {}/repos/ahead HTTP/1.1\r\nHost: origin.test\r\n\r\n",
        play.plain("origin.test")
    );
    wire.try_send(ahead).await.ok();
    let reply = wire.reply_to("CONNECT").await;
    reply.assert_refused(403, "host.not_listed");
    assert!(reply.phrase.contains("host.not_listed"), "{reply:?}");
    assert!(wire.is_closed().await);
    play.origin.assert_untouched();
}

#[tokio::test]
async fn deny_beats_allow_from_any_list() {
    let play = Scene::new()
        .await
        .workloads("- {name: tester, match: {networks: [127.0.0.0/8]}, allow: [test, second]}")
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}")
        .list(
            "second",
            "rules:\n  - {host: other.test, schemes: [http], ports: [$PLAIN]}\n\
             deny:\n  - {host: origin.test, paths: [\"/admin/**\"]}\n",
        )
        .start()
        .await;
    play.get("/open").await.assert_passed(200);
    let reply = play.get("/admin/users").await;
    assert_eq!(reply.status, 403);
    let code = reply.reason().unwrap().to_owned();
    assert!(code.ends_with(".denied"), "{code}");
    assert_eq!(play.origin.requests().len(), 1);
}

#[tokio::test]
async fn an_empty_list_allows_nothing() {
    let play = Scene::new().await.list("test", "rules: []\n").start().await;
    play.get("/").await.assert_refused(403, "host.not_listed");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_client_that_matches_no_workload_is_refused() {
    let play = Scene::open()
        .await
        .workloads("- {name: elsewhere, match: {networks: [10.9.0.0/16]}, allow: [test]}")
        .start()
        .await;
    play.get("/").await.assert_refused(403, "workload.unknown");
    let refused = play.tunnel("origin.test").await.err().unwrap();
    refused.assert_refused(403, "workload.unknown");
    play.origin.assert_untouched();
    assert!(play.dns.questions().is_empty());
}

/// Only those who send the token are known; the configuration holds its hash.
async fn with_credential() -> Play {
    let digest = sha256_hex(b"s3cret");
    Scene::open()
        .await
        .workloads(&format!(
            "- {{name: keyed, match: {{credential: {{user: agent, sha256: \"{digest}\"}}}}, allow: [test]}}"
        ))
        .start()
        .await
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn basic(credential: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credential);
    format!("Proxy-Authorization: Basic {encoded}\r\n")
}

#[tokio::test]
async fn a_credential_that_is_needed_is_asked_for() {
    let play = with_credential().await;
    let wrong = basic("agent:wrong");
    for fields in ["", wrong.as_str(), "Proxy-Authorization: Nonsense\r\n"] {
        let reply = play.ask("GET", "origin.test", "/", fields, b"").await;
        assert_eq!(reply.status, 407, "{fields:?}: {reply:?}");
        let challenge = reply.header("proxy-authenticate").unwrap();
        assert!(challenge.starts_with("Basic"), "{challenge}");
    }
    let reply = Wire::tunnel(play.proxy(), &play.secure("origin.test"), "").await;
    let reply = reply.err().unwrap();
    assert_eq!(reply.status, 407);
    assert!(reply.header("proxy-authenticate").is_some());
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_right_credential_opens_and_goes_no_further() {
    let play = with_credential().await;
    let right = basic("agent:s3cret");
    let reply = play.ask("GET", "origin.test", "/keyed", &right, b"").await;
    reply.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(seen.header("proxy-authorization"), None);
    let record = play.egret.record_of("/keyed").await;
    assert_eq!(record["workload"], "keyed");
    assert_eq!(record["client"]["user"], "agent");
    let tunnel = Wire::tunnel(play.proxy(), &play.secure("origin.test"), &right).await;
    assert!(tunnel.is_ok());
    // A denial by policy is no question of credentials.
    let denied = play.ask("GET", "unlisted.test", "/", &right, b"").await;
    denied.assert_refused(403, "host.not_listed");
    let everything = format!("{}{}", play.egret.log().text(), play.egret.metrics().await);
    assert!(!everything.contains("s3cret"));
}

#[tokio::test]
async fn a_wrong_credential_opens_no_tunnel() {
    let play = with_credential().await;
    let right = basic("agent:s3cret");
    let wrong = [
        basic("agent:s3cre"),
        basic("agent:s3cret "),
        basic("agent:"),
        basic("other:s3cret"),
        basic("agent:wrong") + &right,
        right.replace("Basic", "Bearer"),
        right.replace("Proxy-", ""),
    ];
    for fields in wrong {
        let refused = Wire::tunnel(play.proxy(), &play.secure("origin.test"), &fields).await;
        let refused = refused.err().unwrap_or_else(|| panic!("a tunnel for {fields:?}"));
        assert_eq!(refused.status, 407, "{fields:?}: {refused:?}");
        assert!(refused.header("proxy-authenticate").is_some(), "{refused:?}");
    }
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_credential_sent_inside_a_tunnel_goes_no_further() {
    let play = with_credential().await;
    let right = basic("agent:s3cret");
    let target = play.secure("origin.test");
    let wire = Wire::tunnel(play.proxy(), &target, &right).await.unwrap();
    let mut wire = wire.tls("origin.test", play.egret.roots(), &[]).await.unwrap();
    let fields = format!("Host: {target}\r\n{right}");
    wire.ask("GET", "/inside", &fields, b"").await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(seen.header("proxy-authorization"), None);
}

#[tokio::test]
async fn observe_records_a_denial_and_lets_it_pass() {
    let play = Scene::new()
        .await
        .workloads("- {name: watched, match: {networks: [127.0.0.0/8]}, allow: [test], mode: observe}")
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN], paths: [\"/ok\"]}")
        .start()
        .await;
    play.get("/unlisted").await.assert_passed(200);
    let record = play.egret.record_of("/unlisted").await;
    assert_eq!(record["mode"], "observe", "{record}");
    assert_eq!(record["reason"], "path.not_listed", "{record}");
    play.origin.only_request().await;
}

#[tokio::test]
async fn observe_never_opens_special_addresses() {
    let scene = Scene::new()
        .await
        .workloads("- {name: watched, match: {networks: [127.0.0.0/8]}, allow: [test], mode: observe}");
    let scene = scene.allow("- {host: origin.test, ports: [443]}");
    let play = scene.name("inner.test", at(&["127.0.0.1"])).start().await;
    let reply = play.ask("GET", "inner.test", "/", "", b"").await;
    reply.assert_refused(403, "address.loopback");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn the_same_request_gets_the_same_verdict_however_it_arrives() {
    let play = Scene::new()
        .await
        .allow("- {host: origin.test, schemes: [http, https], ports: [$PLAIN, $TLS], methods: [GET], paths: [\"/ok\"]}")
        .start()
        .await;
    let absolute = |path: &'static str| play.ask("GET", "origin.test", path, "", b"");
    let verdict = |reply: &Reply| (reply.status, reply.reason().map(str::to_owned));
    let refused = (403, Some("path.not_listed".to_owned()));
    assert_eq!(verdict(&absolute("/ok").await), (200, None));
    assert_eq!(verdict(&play.secure_get("origin.test", "/ok").await), (200, None));
    assert_eq!(verdict(&absolute("/no").await), refused);
    assert_eq!(verdict(&play.secure_get("origin.test", "/no").await), refused);

    let wire = play.intercepted("origin.test", &["h2"]).await;
    let mut inner = crate::support::client::H2::over(wire).await;
    let base = format!("https://{}", play.secure("origin.test"));
    assert_eq!(verdict(&inner.get(&format!("{base}/ok")).await), (200, None));
    assert_eq!(verdict(&inner.get(&format!("{base}/no")).await), refused);

    // HTTP/2 with prior knowledge to the proxy itself.
    let wire = Wire::dial(play.proxy()).await;
    let mut outer = crate::support::client::H2::over(wire).await;
    let base = play.plain("origin.test");
    assert_eq!(verdict(&outer.get(&format!("{base}/ok")).await), (200, None));
    assert_eq!(verdict(&outer.get(&format!("{base}/no")).await), refused);
}
