//! The DNS listener: a workload learns of the names that it may reach, and no query that is refused goes any further.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::process::Command;

use crate::support::client::Wire;
use crate::support::dns::{Answer, at};
use crate::support::egret::finish;
use crate::support::namespace::inside;
use crate::support::scene::{Play, Scene};
use crate::support::{eventually, within};

/// `origin.test` and everything below `wild.test` are allowed, for HTTPS; the listener is on.
async fn scene(keys: &str) -> Scene {
    let mut scene = Scene::new().await.allow(
        "- {host: origin.test}\n\
         - {host: \"*.wild.test\"}\n\
         - {host: denied.wild.test}",
    );
    scene.setup.dns_keys = format!(", listen: \"127.0.0.1:0\"{keys}");
    scene
}

async fn listening() -> Play {
    scene("").await.start().await
}

/// A query as hickory writes it.
fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

/// A client of the listener over UDP.
struct Asker {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Asker {
    async fn from(address: &str, play: &Play) -> Self {
        Self {
            socket: UdpSocket::bind(address).await.unwrap(),
            server: play.egret.dns(),
        }
    }

    async fn of(play: &Play) -> Self {
        Self::from("127.0.0.1:0", play).await
    }

    async fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).await.unwrap();
    }

    async fn reply(&self) -> Message {
        let mut buffer = [0; 2000];
        let (length, from) = within("the DNS reply", self.socket.recv_from(&mut buffer))
            .await
            .unwrap();
        assert_eq!(from, self.server);
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.send(&query(name, kind)).await;
        self.reply().await
    }
}

fn told(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// The reason code that a reply carries for those who understand extended errors (RFC 8914).
fn reason(message: &Message) -> String {
    let bytes = message.to_vec().unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let tail = text.rsplit(|one: char| !one.is_ascii_lowercase() && one != '_' && one != '.');
    tail.into_iter().next().unwrap().to_owned()
}

/// Fails unless the reply is this refusal, without a single record.
#[track_caller]
fn assert_refused(message: &Message, code: ResponseCode, why: &str) {
    assert_eq!(message.metadata.response_code, code, "{message}");
    assert!(
        message.answers.is_empty() && message.authorities.is_empty(),
        "{message}"
    );
    assert_eq!(reason(message), why, "{message}");
}

/// The members of a record that say what became of a query.
fn fate(record: &Value) -> [&str; 6] {
    let dns = &record["dns"];
    [
        &record["host"],
        &dns["type"],
        &dns["rcode"],
        &record["decision"],
        &record["reason"],
        &record["rule"],
    ]
    .map(|value| value.as_str().unwrap_or_default())
}

#[tokio::test]
async fn allowed_names_are_answered_and_no_other_is_asked_for() {
    let play = listening().await;
    let asker = Asker::of(&play).await;
    let answer = asker.ask("oRigin.Test.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(told(&answer), ["127.0.0.1"]);
    assert_eq!(answer.queries[0].name().to_ascii(), "oRigin.Test.");
    assert!(answer.answers[0].ttl <= 60 && answer.metadata.recursion_available);

    // There is no IPv6 address, which is no refusal.
    let none = asker.ask("origin.test.", RecordType::AAAA).await;
    assert_eq!(
        (none.metadata.response_code, told(&none).len()),
        (ResponseCode::NoError, 0)
    );
    let before = play.dns.questions().len();

    for name in ["unlisted.test.", "wild.test.", "c2VjcmV0.exfil.example."] {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::ANY] {
            let refused = asker.ask(name, kind).await;
            assert_refused(&refused, ResponseCode::NXDomain, "host.not_listed");
        }
    }
    assert_eq!(play.dns.questions().len(), before, "{:?}", play.dns.questions());

    // Each has its record before its reply.
    let records = play.egret.lookups();
    assert_eq!(records.len(), 14, "{records:#?}");
    assert_eq!(
        fate(&records[0]),
        ["origin.test", "A", "NOERROR", "allow", "", "test/1"]
    );
    assert_eq!(records[0]["address"], "127.0.0.1");
    assert_eq!(records[0]["workload"], "tester");
    assert_eq!(records[0]["form"], "dns");
    assert!(records[0]["status"].is_null() && records[0]["bytes_out"].is_null());
    assert_eq!(
        fate(&records[4]),
        ["unlisted.test", "TXT", "NXDOMAIN", "deny", "host.not_listed", ""]
    );
    let counted = play
        .egret
        .metric("egret_exchanges_total", &["form=\"dns\"", "reason=\"host.not_listed\""])
        .await;
    assert!((counted - 12.0).abs() < 0.1, "{counted}");
    let refused = play
        .egret
        .metric("egret_dns_lookups_total", &["result=\"refused\""])
        .await;
    assert!((refused - 12.0).abs() < 0.1, "{refused}");
}

#[tokio::test]
async fn other_types_of_an_allowed_name_are_neither_asked_for_nor_told() {
    let play = listening().await;
    let asker = Asker::of(&play).await;
    let kinds = [
        RecordType::TXT,
        RecordType::HTTPS,
        RecordType::ANY,
        RecordType::MX,
        RecordType::NULL,
        RecordType::CNAME,
        RecordType::AXFR,
        RecordType::Unknown(4711),
    ];
    for kind in kinds {
        // No NXDOMAIN: a client that asks for HTTPS records beside addresses would take the name for none.
        let refused = asker.ask("origin.test.", kind).await;
        assert_refused(&refused, ResponseCode::NoError, "dns.type_not_answered");
    }
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
    let records = play.egret.lookups();
    assert_eq!(
        fate(&records[0]),
        [
            "origin.test",
            "TXT",
            "NOERROR",
            "deny",
            "dns.type_not_answered",
            "test/1"
        ]
    );
    assert_eq!(records[7]["dns"]["type"], "TYPE4711");
}

#[tokio::test]
async fn a_name_is_told_only_with_addresses_that_may_be_dialled() {
    let play = scene("")
        .await
        .name("inside.wild.test", at(&["10.0.0.1"]))
        .name("mixed.wild.test", at(&["8.8.8.8", "169.254.169.254"]))
        .name("public.wild.test", at(&["8.8.8.8", "2001:4860:4860::8888"]))
        .name("broken.wild.test", Answer::ServFail)
        .start()
        .await;
    let asker = Asker::of(&play).await;
    let inside = asker.ask("inside.wild.test.", RecordType::A).await;
    assert_refused(&inside, ResponseCode::NXDomain, "address.private");
    // Whichever family is asked for: the name is judged as a whole.
    let mixed = asker.ask("mixed.wild.test.", RecordType::AAAA).await;
    assert_refused(&mixed, ResponseCode::NXDomain, "address.mixed");
    let gone = asker.ask("gone.wild.test.", RecordType::A).await;
    assert_refused(&gone, ResponseCode::NXDomain, "upstream.name_not_found");
    let broken = asker.ask("broken.wild.test.", RecordType::A).await;
    assert_refused(&broken, ResponseCode::ServFail, "upstream.resolve_failed");
    let public = asker.ask("public.wild.test.", RecordType::AAAA).await;
    assert_eq!(told(&public), ["2001:4860:4860::8888"]);
}

#[tokio::test]
async fn a_secret_in_a_name_goes_nowhere() {
    let play = listening().await;
    let asker = Asker::of(&play).await;
    let secret = "ghp_ab3de5gh7jk9mn1pq3st5vw7yz0bc2ef4hj6";
    for name in [
        format!("{secret}.wild.test."),
        format!("{}.b.wild.test.", secret.to_uppercase()),
        // Also where it is not even a host name, and where the name is denied.
        format!("{secret}-no-host.wild.test."),
        format!("{secret}.exfil.example."),
    ] {
        let mut bytes = query(&name, RecordType::A);
        for byte in bytes.iter_mut().skip(12).filter(|byte| **byte == b'-') {
            *byte = b' ';
        }
        asker.send(&bytes).await;
        let refused = asker.reply().await;
        assert_eq!(refused.metadata.response_code, ResponseCode::NXDomain, "{refused}");
    }
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
    let records = play.egret.lookups();
    let reasons: Vec<&str> = records
        .iter()
        .map(|record| record["reason"].as_str().unwrap())
        .collect();
    let unrewritable = "secret.unrewritable";
    assert_eq!(reasons, [unrewritable, unrewritable, "name.invalid", unrewritable]);
    let written = std::fs::read_to_string(play.egret.audit()).unwrap() + &play.egret.log().text();
    assert!(
        !written.to_lowercase().contains(secret.trim_start_matches("ghp_")),
        "{written}"
    );
}

#[tokio::test]
async fn with_fixed_addresses_nothing_is_looked_up() {
    let play = scene(", answer: [192.0.2.1, \"2001:db8::1\"]").await.start().await;
    let asker = Asker::of(&play).await;
    let ipv4 = asker.ask("anything.at.all.wild.test.", RecordType::A).await;
    assert_eq!(told(&ipv4), ["192.0.2.1"]);
    let ipv6 = asker.ask("origin.test.", RecordType::AAAA).await;
    assert_eq!(told(&ipv6), ["2001:db8::1"]);
    let refused = asker.ask("unlisted.test.", RecordType::A).await;
    assert_refused(&refused, ResponseCode::NXDomain, "host.not_listed");
    assert!(play.dns.questions().is_empty(), "{:?}", play.dns.questions());
    play.egret
        .await_metric("egret_dns_lookups_total", &["result=\"fixed\""], 2.0)
        .await;
}

#[tokio::test]
async fn over_tcp_queries_are_answered_one_after_the_other() {
    let play = listening().await;
    let mut wire = Wire::dial(play.egret.dns()).await;
    let names = ["origin.test.", "unlisted.test.", "origin.test."];
    let mut sent = Vec::new();
    for name in names {
        let bytes = query(name, RecordType::A);
        sent.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        sent.extend(bytes);
    }
    wire.send(&sent).await;
    for name in names {
        let length = wire.exactly(2).await;
        let length = u16::from_be_bytes(length.try_into().unwrap());
        let reply = Message::from_vec(&wire.exactly(usize::from(length)).await).unwrap();
        assert_eq!(reply.queries[0].name().to_ascii(), name);
        assert_eq!(reply.answers.is_empty(), name == "unlisted.test.");
    }
    // More than any query has: refused, and the connection ends, since the rest was not read.
    let mut long = 60_000_u16.to_be_bytes().to_vec();
    long.extend(query("origin.test.", RecordType::A));
    long.resize(2000, 0);
    wire.send(&long).await;
    let rest = wire.rest().await;
    assert_eq!(
        Message::from_vec(&rest[2..]).unwrap().metadata.response_code,
        ResponseCode::FormErr
    );
}

#[tokio::test]
async fn a_silent_tcp_connection_is_closed() {
    let play = scene("")
        .await
        .section("limits: {dns_idle_timeout: 200ms}")
        .start()
        .await;
    let mut wire = Wire::dial(play.egret.dns()).await;
    wire.send(&[0]).await;
    assert!(wire.is_closed().await);
    let mut wire = Wire::dial(play.egret.dns()).await;
    wire.send(&[0, 40, 1, 2]).await;
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn what_is_no_query_is_refused_or_passed_over() {
    let play = listening().await;
    let asker = Asker::of(&play).await;
    let good = query("origin.test.", RecordType::A);
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    // To these there is no reply: two servers would answer each other for ever.
    asker.send(b"").await;
    asker.send(&good[..11]).await;
    asker.send(&changed(|bytes| bytes[2] |= 0x80)).await;
    // The next reply is that of the next query.
    for (bytes, code) in [
        (changed(|bytes| bytes.truncate(20)), ResponseCode::FormErr),
        (changed(|bytes| bytes.push(0)), ResponseCode::FormErr),
        (changed(|bytes| bytes[5] = 2), ResponseCode::FormErr),
        (changed(|bytes| bytes.resize(4000, 0)), ResponseCode::FormErr),
        (changed(|bytes| bytes[2] |= 0x28), ResponseCode::NotImp),
    ] {
        asker.send(&bytes).await;
        assert_eq!(asker.reply().await.metadata.response_code, code);
    }
    let chaos = changed(|bytes| bytes[28] = 3);
    asker.send(&chaos).await;
    assert_refused(&asker.reply().await, ResponseCode::NotImp, "request.unsupported");
    let address = asker.ask("127.1.", RecordType::A).await;
    assert_refused(&address, ResponseCode::NXDomain, "name.invalid");
    assert!(play.dns.questions().is_empty());
    let records = play.egret.lookups();
    assert_eq!(records.len(), 7, "{records:#?}");
    assert_eq!(fate(&records[0]), ["", "", "FORMERR", "deny", "request.malformed", ""]);
}

#[tokio::test]
async fn a_flood_of_queries_is_refused_and_harms_no_other_workload() {
    let play = scene("")
        .await
        .workloads(
            "- {name: noisy, match: {networks: [127.0.0.1]}, allow: [test]}\n\
             - {name: quiet, match: {networks: [127.0.0.2]}, allow: [test]}",
        )
        .section("limits: {dns_queries: 5}")
        .start()
        .await;
    let noisy = Asker::of(&play).await;
    let quiet = Asker::from("127.0.0.2:0", &play).await;
    let mut refused = 0;
    for _ in 0..200 {
        let reply = noisy.ask("origin.test.", RecordType::A).await;
        if reply.metadata.response_code == ResponseCode::Refused {
            assert_refused(&reply, ResponseCode::Refused, "limit.dns_queries");
            refused += 1;
        }
    }
    assert_eq!(told(&quiet.ask("origin.test.", RecordType::A).await), ["127.0.0.1"]);
    assert!(refused > 100, "{refused} of 200 refused");
    let labels = ["workload=\"noisy\"", "reason=\"limit.dns_queries\""];
    play.egret
        .await_metric("egret_exchanges_total", &labels, f64::from(refused))
        .await;
    let mut recorded = play.egret.lookups();
    recorded.retain(|record| record["reason"] == "limit.dns_queries");
    assert!(!recorded.is_empty() && recorded.len() < 100, "{}", recorded.len());
}

#[tokio::test]
async fn a_client_of_no_workload_gets_no_service() {
    let play = scene("")
        .await
        .workloads(
            "- {name: one, match: {networks: [127.0.0.2]}, allow: [test]}\n\
             - name: two\n  match: {networks: [127.0.0.3], credential: {sha256: \
             \"0000000000000000000000000000000000000000000000000000000000000000\"}}\n  allow: [test]",
        )
        .start()
        .await;
    let stranger = Asker::of(&play).await.ask("origin.test.", RecordType::A).await;
    assert_refused(&stranger, ResponseCode::Refused, "workload.unknown");
    // A query can't carry a credential.
    let three = Asker::from("127.0.0.3:0", &play).await;
    let bare = three.ask("origin.test.", RecordType::A).await;
    assert_refused(&bare, ResponseCode::Refused, "workload.credential_required");
    assert!(play.dns.questions().is_empty());
    let known = Asker::from("127.0.0.2:0", &play).await;
    assert_eq!(told(&known.ask("origin.test.", RecordType::A).await), ["127.0.0.1"]);
}

#[tokio::test]
async fn observing_answers_what_it_would_refuse_and_says_so() {
    let play = scene("")
        .await
        .workloads("- {name: learner, match: {networks: [127.0.0.0/8]}, allow: [test], mode: observe}")
        .name("unlisted.test", at(&["8.8.8.8"]))
        .start()
        .await;
    let asker = Asker::of(&play).await;
    assert_eq!(told(&asker.ask("unlisted.test.", RecordType::A).await), ["8.8.8.8"]);
    let text = asker.ask("unlisted.test.", RecordType::TXT).await;
    assert_refused(&text, ResponseCode::NoError, "dns.type_not_answered");
    let records = play.egret.lookups();
    assert_eq!(
        fate(&records[0]),
        ["unlisted.test", "A", "NOERROR", "allow", "host.not_listed", ""]
    );
}

#[tokio::test]
async fn a_query_that_can_not_be_recorded_is_not_answered() {
    let mut scene = scene("").await;
    scene.setup.survives_full_disk = true;
    let play = scene.start().await;
    let asker = Asker::of(&play).await;
    assert_eq!(told(&asker.ask("origin.test.", RecordType::A).await), ["127.0.0.1"]);
    play.egret.limit_file_size("1").await;
    let refused = eventually("a refused query", || async {
        let reply = asker.ask("origin.test.", RecordType::A).await;
        (reply.metadata.response_code == ResponseCode::ServFail).then_some(reply)
    })
    .await;
    assert_refused(&refused, ResponseCode::ServFail, "audit.unwritable");
    play.egret.limit_file_size("unlimited").await;
    eventually("answers again", || async {
        let reply = asker.ask("origin.test.", RecordType::A).await;
        (!reply.answers.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_changed_allowlist_counts_for_the_next_query() {
    let play = listening().await;
    let asker = Asker::of(&play).await;
    let refused = asker.ask("other.test.", RecordType::A).await;
    assert_refused(&refused, ResponseCode::NXDomain, "host.not_listed");
    play.egret
        .replace_allowlist("test", "name: test\nrules:\n  - {host: other.test}\n");
    play.egret.reload().await;
    eventually("the new list", || async {
        let reply = asker.ask("other.test.", RecordType::A).await;
        (told(&reply) == ["127.0.0.1"]).then_some(())
    })
    .await;
    let refused = asker.ask("origin.test.", RecordType::A).await;
    assert_refused(&refused, ResponseCode::NXDomain, "host.not_listed");
}

/// The same program, linked with each C library that containers have, asks through its own `resolv.conf`.
fn look_up_with(compiler: &str) {
    inside(async |_| {
        let mut scene = scene("").await;
        scene.setup.dns_keys = ", listen: \"127.0.0.1:53\"".into();
        let play = scene.start().await;
        let folder = play.egret.folder();
        let (program, resolv_conf) = (folder.join("lookup"), folder.join("resolv.conf"));
        std::fs::write(&resolv_conf, "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n").unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/lookup.c");
        let mut compile = Command::new(compiler);
        // Programs of musl stand alone, as in an image of Alpine's.
        let linked: &[&str] = if compiler == "musl-gcc" { &["-static"] } else { &[] };
        compile.args(linked).arg("-o").arg(&program).arg(source);
        let linking = finish(compile).await;
        assert!(linking.status.success(), "{linking:?}");

        let began = Instant::now();
        let mut looking = Command::new("unshare");
        looking.args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"",
            "sh",
        ]);
        looking.arg(&resolv_conf).arg(&program);
        looking.args(["origin.test", "unlisted.test", "exfil.unlisted.test", "gone.wild.test"]);
        let output = finish(looking).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said,
            "origin.test 127.0.0.1\nunlisted.test EAI_NONAME\nexfil.unlisted.test EAI_NONAME\ngone.wild.test EAI_NONAME\n"
        );
        // REFUSED would have cost 5 seconds for each name with one library, and a second query with the other.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let mut denied = play.egret.lookups();
        denied.retain(|record| record["host"] == "unlisted.test");
        assert_eq!(denied.len(), 2, "one question for each family: {denied:#?}");
    });
}

#[test]
fn programs_of_glibc_learn_at_once_what_they_may_reach() {
    look_up_with("cc");
}

#[test]
fn programs_of_musl_learn_at_once_what_they_may_reach() {
    look_up_with("musl-gcc");
}
