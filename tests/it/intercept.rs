//! Interception: minted certificates, one name throughout, verified origins, connections that are reused but not shared.

use crate::support::ca::{Identity, TestCa};
use crate::support::client::{H2, Wire, roots_from_pem};
use crate::support::origin::{Origin, Raw, RawOrigin};
use crate::support::scene::{Play, Scene};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

async fn open() -> Play {
    Scene::open().await.start().await
}

#[tokio::test]
async fn http_1_inside_reaches_the_origin() {
    let play = open().await;
    let reply = play.secure_ask("POST", "origin.test", "/echo", "", b"body").await;
    reply.assert_passed(200);
    assert_eq!(reply.text(), "body");
    let seen = play.origin.only_request().await;
    assert!(seen.tls);
    assert_eq!((seen.target.as_str(), seen.text()), ("/echo", "body"));

    let record = play.egret.record_of("/echo").await;
    assert_eq!(record["form"], "intercepted", "{record}");
    assert_eq!(record["treatment"], "intercept", "{record}");
    assert_eq!(record["scheme"], "https", "{record}");
    assert_eq!(record["method"], "POST", "{record}");
    assert_eq!(record["tls"]["sni"], "origin.test", "{record}");
    assert_eq!(record["bytes_out"], 4, "{record}");
    assert_eq!(record["bytes_in"], 4, "{record}");
}

#[tokio::test]
async fn http_2_inside_reaches_the_origin() {
    let play = open().await;
    let wire = play.intercepted("origin.test", &["h2", "http/1.1"]).await;
    assert_eq!(wire.alpn(), Some(&b"h2"[..]));
    let mut client = H2::over(wire).await;
    let base = format!("https://{}", play.secure("origin.test"));
    for number in 0..3 {
        let reply = client.get(&format!("{base}/two-{number}")).await;
        reply.assert_passed(200);
    }
    assert_eq!(play.origin.await_requests(3).await.len(), 3);
    let record = play.egret.record_of("/two-0").await;
    assert_eq!(record["http"], "2", "{record}");
    assert_eq!(record["tls"]["alpn"], "h2", "{record}");
}

#[tokio::test]
async fn an_absolute_https_request_is_sent_over_tls() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let secure = play.secure("origin.test");
    let target = format!("https://{secure}/axios");
    let reply = wire.ask("GET", &target, &format!("Host: {secure}\r\n"), b"").await;
    reply.assert_passed(200);
    assert!(play.origin.only_request().await.tls);
}

#[tokio::test]
async fn plain_http_inside_connect_gets_the_same_treatment() {
    let play = open().await;
    let port = play.origin.plain_port();
    let target = format!("origin.test:{port}");
    let mut wire = Wire::tunnel(play.proxy(), &target, "").await.unwrap();
    let fields = format!("Host: {target}\r\n");
    wire.ask("GET", "/plain-inside", &fields, b"").await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert!(!seen.tls);
    let record = play.egret.record_of("/plain-inside").await;
    assert_eq!(record["scheme"], "http", "{record}");
    assert_eq!(record["form"], "intercepted", "{record}");
}

#[tokio::test]
async fn an_inner_name_that_differs_is_refused() {
    let play = open().await;
    let port = play.origin.tls_port();
    for host in ["other.test", "unlisted.test", "127.0.0.1"] {
        let mut wire = play.intercepted("origin.test", &[]).await;
        let fields = format!("Host: {host}:{port}\r\n");
        let reply = wire.ask("GET", "/smuggled", &fields, b"").await;
        reply.assert_refused(403, "name.host_mismatch");
    }
    // In absolute-form inside, the target is the name.
    let mut wire = play.intercepted("origin.test", &[]).await;
    let target = format!("https://other.test:{port}/smuggled");
    let fields = format!("Host: other.test:{port}\r\n");
    let reply = wire.ask("GET", &target, &fields, b"").await;
    assert!(matches!(reply.status, 400 | 403), "{reply:?}");
    play.origin.assert_no_request();
}

#[tokio::test]
async fn an_inner_authority_that_differs_is_refused() {
    let play = open().await;
    let mut client = H2::over(play.intercepted("origin.test", &["h2"]).await).await;
    let other = format!("https://{}/smuggled", play.secure("other.test"));
    client.get(&other).await.assert_refused(403, "name.host_mismatch");

    let own = format!("https://{}/smuggled", play.secure("origin.test"));
    let request = Request::get(own)
        .header("host", "other.test")
        .body(Full::<Bytes>::default());
    // A `host` beside a different `:authority` may also break the stream (RFC 9113, section 8.3.1).
    if let Ok(reply) = client.send(request.unwrap()).await {
        assert!(matches!(reply.status, 400 | 403), "{reply:?}");
    }
    play.origin.assert_no_request();
}

#[tokio::test]
async fn a_server_name_that_differs_is_refused() {
    let play = open().await;
    for name in ["other.test", "unlisted.test"] {
        let wire = play.tunnel("origin.test").await.unwrap();
        let outcome = wire.tls(name, play.egret.roots(), &[]).await;
        assert!(outcome.is_err(), "a certificate for {name} in a tunnel to origin.test");
    }
    let mismatch = |record: &serde_json::Value| record["reason"] == "name.sni_mismatch";
    crate::support::eventually("two refusals", || async {
        let records = play.egret.records();
        (records.iter().filter(|record| mismatch(record)).count() == 2).then_some(())
    })
    .await;
    play.origin.assert_no_request();
}

#[tokio::test]
async fn a_minted_certificate_is_what_clients_want() {
    let play = open().await;
    let wire = play.intercepted("origin.test", &[]).await;
    let chain = wire.peer_certificates();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let pem = std::fs::read(play.egret.ca_file()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let ca = pem.parse_x509().unwrap();

    assert!(
        chain.iter().all(|der| der.as_ref() != pem.contents),
        "the root is not sent"
    );
    assert_eq!(leaf.version().0, 2);
    assert!(leaf.raw_serial().len() >= 15, "a serial number of 128 bits");
    assert!(!leaf.is_ca());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let names: Vec<String> = names.value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].contains("origin.test"), "{names:?}");
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature());
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(leaf.validity().is_valid());
    let days = (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 86_400;
    assert!((2..=33).contains(&days), "{days} days");
    assert_eq!(authority_key(&leaf), subject_key(&ca));
    assert!(subject_key(&leaf).is_some());
    assert_ne!(leaf.public_key().raw, ca.public_key().raw, "a key of its own");

    let basic = ca.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    let usage = ca.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
}

fn subject_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() {
            return Some(key.0);
        }
        None
    })
}

fn authority_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| {
        if let ParsedExtension::AuthorityKeyIdentifier(key) = extension.parsed_extension() {
            return key.key_identifier.as_ref().map(|id| id.0);
        }
        None
    })
}

#[tokio::test]
async fn the_ca_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let play = open().await;
    let key = play.egret.folder().join("state/ca.key");
    let mode = std::fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// An origin with a bad certificate is refused with 502, and no request reaches it.
async fn check_bad_origin(identity: Identity, ca: &TestCa) {
    let origin = Origin::with_identity(identity).await;
    let port = origin.tls_port();
    let mut scene = Scene::new().await;
    scene.setup.roots = ca.pem().to_owned();
    let rule = format!("- {{host: origin.test, ports: [{port}]}}");
    let play = scene.allow(&rule).start().await;
    let target = format!("origin.test:{port}");
    let reply = match Wire::tunnel(play.proxy(), &target, "").await {
        Err(refused) => refused,
        Ok(wire) => {
            let mut wire = wire.tls("origin.test", play.egret.roots(), &[]).await.unwrap();
            wire.ask("GET", "/", &format!("Host: {target}\r\n"), b"").await
        }
    };
    reply.assert_refused(502, "upstream.certificate_invalid");
    origin.assert_no_request();
    play.egret.refusal("upstream.certificate_invalid").await;
}

#[tokio::test]
async fn an_expired_origin_is_refused() {
    let ca = TestCa::new();
    check_bad_origin(ca.expired(&["origin.test"]), &ca).await;
}

#[tokio::test]
async fn an_origin_of_another_name_is_refused() {
    let ca = TestCa::new();
    check_bad_origin(ca.identity(&["other.test"]), &ca).await;
}

#[tokio::test]
async fn an_origin_that_vouches_for_itself_is_refused() {
    check_bad_origin(Identity::self_signed(&["origin.test"]), &TestCa::new()).await;
}

#[tokio::test]
async fn an_origin_of_an_unknown_authority_is_refused() {
    let unknown = TestCa::new();
    check_bad_origin(unknown.identity(&["origin.test"]), &TestCa::new()).await;
}

#[tokio::test]
async fn broken_origins_are_upstream_failures() {
    for behaviour in [Raw::Close, Raw::Reset, Raw::Says(b"SSH-2.0-OpenSSH_9.9\r\n")] {
        let raw = RawOrigin::start(behaviour.clone()).await;
        let port = raw.port();
        let rule = format!("- {{host: origin.test, schemes: [http, https], ports: [{port}]}}");
        let play = Scene::new().await.allow(&rule).start().await;
        for scheme in ["http", "https"] {
            let mut wire = Wire::dial(play.proxy()).await;
            let target = format!("{scheme}://origin.test:{port}/");
            let reply = wire
                .ask("GET", &target, &format!("Host: origin.test:{port}\r\n"), b"")
                .await;
            let code = reply.reason().unwrap_or_default().to_owned();
            assert_eq!(reply.status, 502, "{behaviour:?} over {scheme}: {reply:?}");
            assert!(code.starts_with("upstream."), "{behaviour:?} over {scheme}: {reply:?}");
            let label = format!("reason=\"{code}\"");
            play.egret
                .await_metric("egret_upstream_errors_total", &[&label], 1.0)
                .await;
        }
    }
}

#[tokio::test]
async fn a_connection_to_the_origin_is_reused() {
    let play = open().await;
    for number in 0..5 {
        play.secure_get("origin.test", &format!("/{number}"))
            .await
            .assert_passed(200);
    }
    let seen = play.origin.await_requests(5).await;
    assert!(seen.iter().all(|one| one.connection == seen[0].connection), "{seen:#?}");
}

#[tokio::test]
async fn a_connection_is_never_shared_by_workloads() {
    let play = Scene::open()
        .await
        .workloads(
            "- {name: first, match: {networks: [127.0.0.1/32]}, allow: [test]}\n\
             - {name: second, match: {networks: [127.0.0.3/32]}, allow: [test]}",
        )
        .start()
        .await;
    let port = play.origin.plain_port();
    let fields = format!("Host: origin.test:{port}\r\n");
    for (from, path) in [([127, 0, 0, 1], "/first"), ([127, 0, 0, 3], "/second")] {
        let mut wire = Wire::dial_from(from.into(), play.proxy()).await;
        let target = format!("{}{path}", play.plain("origin.test"));
        wire.ask("GET", &target, &fields, b"").await.assert_passed(200);
    }
    let seen = play.origin.await_requests(2).await;
    assert_ne!(seen[0].connection, seen[1].connection);
    assert_eq!(play.egret.record_of("/first").await["workload"], "first");
    assert_eq!(play.egret.record_of("/second").await["workload"], "second");
}

#[tokio::test]
async fn fields_of_one_hop_go_no_further() {
    let play = open().await;
    let fields = "Connection: keep-alive, X-Named\r\nX-Named: secret\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nTE: trailers\r\nX-Stays: yes\r\n";
    let reply = play.ask("GET", "origin.test", "/hop", fields, b"").await;
    reply.assert_passed(200);
    for gone in [
        "x-named",
        "keep-alive",
        "proxy-authenticate",
        "x-egret-reason",
        "proxy-status",
    ] {
        assert_eq!(reply.header(gone), None, "{reply:?}");
    }
    assert_eq!(reply.header("x-end-to-end"), Some("stays"));
    let seen = play.origin.only_request().await;
    for gone in ["x-named", "keep-alive", "proxy-connection"] {
        assert_eq!(seen.header(gone), None, "{seen:?}");
    }
    assert_eq!(seen.header("x-stays"), Some("yes"));
}

#[tokio::test]
async fn trailers_compression_redirects_and_statuses_pass() {
    let play = open().await;
    let mut client = H2::over(play.intercepted("origin.test", &["h2"]).await).await;
    let base = format!("https://{}", play.secure("origin.test"));
    let reply = client.get(&format!("{base}/trailers")).await;
    assert_eq!(reply.text(), "body");
    assert_eq!(reply.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
    let gzip = client.get(&format!("{base}/gzip")).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert!(gzip.body.starts_with(&[0x1f, 0x8b]));
    let away = client.get(&format!("{base}/redirect?to=https://unlisted.test/")).await;
    assert_eq!(
        (away.status, away.header("location")),
        (302, Some("https://unlisted.test/"))
    );
    for status in [204, 304, 404, 500] {
        client
            .get(&format!("{base}/status/{status}"))
            .await
            .assert_passed(status);
    }
}

#[tokio::test]
async fn half_a_reply_is_never_a_whole_one() {
    let play = open().await;
    let mut wire = Wire::dial(play.proxy()).await;
    let host = format!("Host: origin.test:{}", play.origin.plain_port());
    let target = format!("{}/close-early", play.plain("origin.test"));
    wire.send(format!("GET {target} HTTP/1.1\r\n{host}\r\n\r\n")).await;
    let head = wire.head().await;
    // Nothing of the reply has gone to the client when its break is seen at once; else half of it has.
    let passed = if head.status == 200 {
        let body = wire.rest().await;
        assert!(body.len() < 20, "a whole body: {body:?}");
        10
    } else {
        assert_eq!(head.status, 502, "{head:?}");
        0
    };
    let record = play.egret.record_of("/close-early").await;
    assert_eq!(record["bytes_in"], passed, "{record}");
    assert_eq!(record["reason"], "upstream.closed", "{record}");
}

#[tokio::test]
async fn a_client_that_trusts_other_roots_only_is_not_fooled() {
    let play = open().await;
    let wire = play.tunnel("origin.test").await.unwrap();
    let roots = roots_from_pem(play.ca.pem().as_bytes());
    assert!(wire.tls("origin.test", roots, &[]).await.is_err());
    play.origin.assert_no_request();
}

#[tokio::test]
async fn an_origin_of_http_2_and_one_of_http_1_get_the_version_they_speak() {
    let ca = TestCa::new();
    for (alpn, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let config = ca.identity(&["origin.test"]).server(&[alpn]);
        let origin = Origin::with_tls(config).await;
        let port = origin.tls_port();
        let rule = format!("- {{host: origin.test, ports: [{port}]}}");
        let mut scene = Scene::new().await.allow(&rule);
        scene.setup.roots = ca.pem().to_owned();
        let play = scene.start().await;
        let target = format!("origin.test:{port}");
        let wire = Wire::tunnel(play.proxy(), &target, "").await.unwrap();
        let mut wire = wire
            .tls("origin.test", play.egret.roots(), &["http/1.1"])
            .await
            .unwrap();
        let reply = wire.ask("GET", "/", &format!("Host: {target}\r\n"), b"").await;
        reply.assert_passed(200);
        let seen = origin.only_request().await;
        assert_eq!(seen.version, version, "{seen:?}");
        let named = [Some(seen.authority.as_str()), seen.header("host")];
        assert!(named.contains(&Some(target.as_str())), "{seen:?}");
    }
}

#[tokio::test]
async fn the_trailers_of_a_request_pass() {
    let play = open().await;
    let mut wire = play.intercepted("origin.test", &["http/1.1"]).await;
    let host = play.secure("origin.test");
    wire.send(format!(
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n"
    ))
    .await;
    wire.reply().await.assert_passed(200);
    let seen = play.origin.only_request().await;
    assert_eq!(seen.text(), "body");
    assert_eq!(seen.trailers.unwrap()["x-sum"], "7");
}

/// What real clients send: Python's `http.client` speaks HTTP/1.0 without `Host`, Node asks for `Connection: close`.
#[tokio::test]
async fn a_connect_in_any_dialect_opens_a_tunnel() {
    let play = open().await;
    let target = play.secure("origin.test");
    let node = "connection: close\r\nproxy-connection: keep-alive\r\n";
    let heads = [
        format!("CONNECT {target} HTTP/1.0\r\n\r\n"),
        format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{node}\r\n"),
    ];
    for head in heads {
        let mut wire = Wire::dial(play.proxy()).await;
        wire.send(&head).await;
        let reply = wire.reply_to("CONNECT").await;
        assert_eq!(reply.status, 200, "{head:?}: {reply:?}");
        for framing in ["content-length", "transfer-encoding"] {
            assert_eq!(reply.header(framing), None, "{reply:?}");
        }
        let mut wire = wire.tls("origin.test", play.egret.roots(), &[]).await.unwrap();
        let fields = format!("Host: {target}\r\n");
        wire.ask("GET", "/", &fields, b"").await.assert_passed(200);
        wire.ask("GET", "/again", &fields, b"").await.assert_passed(200);
    }
}
