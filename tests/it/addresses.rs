//! Names and addresses: what was vetted is what is dialled, and special-use addresses stay closed.

use crate::support::client::{Reply, Wire};
use crate::support::dns::{Answer, at, rebinding};
use crate::support::scene::{Play, Scene};

/// Everything below `bound.test` is allowed; where it leads is for the address check to judge.
async fn bound(names: &[(&'static str, Answer)]) -> Play {
    let mut scene = Scene::new()
        .await
        .allow("- {host: \"*.bound.test\", schemes: [http, https], ports: [$PLAIN, $TLS, 80, 443]}");
    for (name, answer) in names {
        scene = scene.name(name, answer.clone());
    }
    scene.start().await
}

async fn ask(play: &Play, name: &str) -> Reply {
    play.ask("GET", name, "/", "", b"").await
}

#[tokio::test]
async fn special_addresses_are_refused_with_the_code_of_their_class() {
    let classes = [
        ("10.0.0.1", "address.private"),
        ("172.16.0.1", "address.private"),
        ("192.168.1.1", "address.private"),
        ("127.0.0.1", "address.loopback"),
        ("::1", "address.loopback"),
        ("169.254.169.254", "address.metadata"),
        ("169.254.170.2", "address.metadata"),
        ("169.254.170.23", "address.metadata"),
        ("168.63.129.16", "address.metadata"),
        ("100.100.100.200", "address.metadata"),
        ("192.0.0.192", "address.metadata"),
        ("fd00:ec2::254", "address.metadata"),
        // Wrapped in IPv6, an address keeps its class.
        ("::ffff:127.0.0.1", "address.loopback"),
        ("::ffff:10.0.0.1", "address.private"),
        ("64:ff9b::a9fe:a9fe", "address.metadata"),
        ("2002:7f00:1::", "address.loopback"),
    ];
    let play = bound(&[]).await;
    for (address, code) in classes {
        play.dns.set("one.bound.test", at(&[address]));
        let reply = ask(&play, "one.bound.test").await;
        assert_eq!(
            (reply.status, reply.reason()),
            (403, Some(code)),
            "{address}: {reply:?}"
        );
    }
    play.origin.assert_untouched();
}

#[tokio::test]
async fn every_other_special_address_is_refused_too() {
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "192.88.99.1",
        "169.254.1.1",
        "::",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::1",
        "2001:0:7f00:1::",
    ];
    let play = bound(&[]).await;
    for address in special {
        play.dns.set("one.bound.test", at(&[address]));
        let reply = ask(&play, "one.bound.test").await;
        let code = reply.reason().unwrap_or_default();
        assert_eq!(reply.status, 403, "{address}: {reply:?}");
        assert!(code.starts_with("address."), "{address}: {reply:?}");
    }
    play.origin.assert_untouched();
}

#[tokio::test]
async fn a_mixed_answer_is_refused_whole() {
    let play = bound(&[("mixed.bound.test", at(&["8.8.8.8", "127.0.0.1"]))]).await;
    ask(&play, "mixed.bound.test")
        .await
        .assert_refused(403, "address.mixed");
    play.dns.set("mixed.bound.test", at(&["8.8.8.8", "fd00:ec2::254"]));
    ask(&play, "mixed.bound.test")
        .await
        .assert_refused(403, "address.mixed");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn an_alias_does_not_hide_where_it_leads() {
    let names = [
        ("alias.bound.test", Answer::Alias("inner.bound.test")),
        ("inner.bound.test", at(&["10.0.0.7"])),
    ];
    let play = bound(&names).await;
    ask(&play, "alias.bound.test")
        .await
        .assert_refused(403, "address.private");
}

#[tokio::test]
async fn what_was_vetted_is_dialled_even_when_the_name_moves_on() {
    // The first answer is vetted and permitted; the second, which nobody may ask for, would lead elsewhere.
    let moving = rebinding(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let play = bound(&[("moving.bound.test", moving)]).await;
    ask(&play, "moving.bound.test")
        .await
        .assert_refused(403, "address.loopback");
    assert_eq!(play.dns.lookups("moving.bound.test"), 1);

    let play = Scene::open()
        .await
        .name("origin.test", rebinding(&[&["127.0.0.1"], &["10.0.0.1"]]))
        .start()
        .await;
    play.get("/first").await.assert_passed(200);
    assert_eq!(play.dns.lookups("origin.test"), 1);
    // A new exchange asks anew, if it needs a connection, and judges the new answer.
    let moved = play
        .ask("GET", "origin.test", "/second", "Connection: close\r\n", b"")
        .await;
    if moved.status == 403 {
        moved.assert_refused(403, "address.private");
    } else {
        // It went over the pooled connection, to the address that had been vetted.
        assert_eq!(play.origin.requests()[1].connection, 1);
    }
    assert!(play.dns.lookups("origin.test") <= 2);
}

#[tokio::test]
async fn an_exception_is_bound_to_its_name() {
    let play = Scene::new()
        .await
        .allow("- {host: \"*.test\", schemes: [http], ports: [$PLAIN]}")
        .name("inner.test", at(&["127.0.0.1"]))
        .start()
        .await;
    play.get("/").await.assert_passed(200);
    ask(&play, "inner.test").await.assert_refused(403, "address.loopback");
    play.origin.only_request().await;
}

#[tokio::test]
async fn an_exception_covers_its_networks_only() {
    let play = Scene::open().await.name("origin.test", at(&["10.0.0.1"])).start().await;
    play.get("/").await.assert_refused(403, "address.private");
}

#[tokio::test]
async fn an_address_in_any_spelling_is_no_listed_host() {
    let play = bound(&[]).await;
    let spellings = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "169.254.169.254",
        "0",
        "0.0.0.0",
    ];
    for host in spellings {
        let reply = ask(&play, host).await;
        assert!(matches!(reply.status, 400 | 403), "{host}: {reply:?}");
        assert!(reply.reason().is_some(), "{host}: {reply:?}");
        let target = format!("{host}:{}", play.origin.tls_port());
        let refused = Wire::tunnel(play.proxy(), &target, "").await;
        let refused = refused.err().unwrap_or_else(|| panic!("a tunnel to {host}"));
        assert!(matches!(refused.status, 400 | 403), "{host}: {refused:?}");
    }
    play.origin.assert_untouched();
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
}

#[tokio::test]
async fn a_listed_address_is_vetted_all_the_same() {
    let play = Scene::new()
        .await
        .allow("- {host: \"127.0.0.1\", schemes: [http], ports: [$PLAIN]}")
        .start()
        .await;
    ask(&play, "127.0.0.1").await.assert_refused(403, "address.loopback");
    play.origin.assert_untouched();
}

#[tokio::test]
async fn the_proxy_does_not_lead_to_itself() {
    let scene = Scene::new().await;
    // Both listeners take a port of the system's choice, so the rule for it comes with a reload.
    let play = scene
        .allow("- {host: origin.test, schemes: [http], ports: [$PLAIN]}")
        .start()
        .await;
    for listener in [play.egret.proxy, play.egret.admin] {
        let rule = format!("- {{host: origin.test, schemes: [http], ports: [{}]}}", listener.port());
        let text = format!("name: test\nrules:\n  {rule}\n");
        play.egret.replace_allowlist("test", &text);
        play.egret.reload().await;
        let target = format!("http://origin.test:{}/metrics", listener.port());
        let fields = format!("Host: origin.test:{}\r\n", listener.port());
        let refused = crate::support::eventually("the new list", || async {
            let mut wire = Wire::dial(play.proxy()).await;
            let reply = wire.ask("GET", &target, &fields, b"").await;
            (reply.reason() != Some("port.not_listed")).then_some(reply)
        })
        .await;
        refused.assert_refused(403, "address.own");
    }
}

#[tokio::test]
async fn failing_names_are_upstream_failures() {
    let names = [
        ("gone.bound.test", Answer::NxDomain),
        ("broken.bound.test", Answer::ServFail),
        ("empty.bound.test", at(&[])),
    ];
    let play = bound(&names).await;
    for (name, _) in &names {
        let reply = ask(&play, name).await;
        assert_eq!(reply.status, 502, "{name}: {reply:?}");
        assert!(reply.reason().unwrap().starts_with("upstream."), "{name}: {reply:?}");
        let refused = play.tunnel(name).await.err().unwrap();
        assert_eq!(refused.status, 502, "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_silent_name_server_is_waited_for_only_so_long() {
    let play = Scene::open()
        .await
        .name("origin.test", Answer::Silent)
        .section("limits: {dns_timeout: 500ms}")
        .start()
        .await;
    let reply = play.get("/").await;
    assert_eq!(reply.status, 504, "{reply:?}");
    assert!(reply.reason().unwrap().starts_with("upstream."), "{reply:?}");
}
