//! The scenery itself: the origin, the DNS server and the client of these tests do what the other stories rely on.

use hickory_resolver::proto::rr::RecordType;

use crate::support::ca::TestCa;
use crate::support::client::{H2, Wire, roots_from_pem};
use crate::support::dns::{Answer, Dns, at, rebinding};
use crate::support::origin::{Origin, Raw, RawOrigin};

async fn origin() -> (TestCa, Origin) {
    let ca = TestCa::new();
    let origin = Origin::start(&ca, &["origin.test"]).await;
    (ca, origin)
}

#[tokio::test]
async fn the_origin_remembers_what_it_was_asked() {
    let (_ca, origin) = origin().await;
    let mut wire = Wire::dial(([127, 0, 0, 1], origin.plain_port()).into()).await;
    let reply = wire.ask("POST", "/echo?a=1", "Host: origin.test\r\n", b"ping").await;
    assert_eq!((reply.status, reply.text()), (200, "ping"));
    let seen = origin.only_request().await;
    assert_eq!((seen.target.as_str(), seen.text()), ("/echo?a=1", "ping"));
    assert_eq!((seen.length, seen.connection, seen.tls), (4, 1, false));
}

#[tokio::test]
async fn the_origin_speaks_both_versions_inside_tls() {
    let (ca, origin) = origin().await;
    let address = ([127, 0, 0, 1], origin.tls_port()).into();
    let roots = || roots_from_pem(ca.pem().as_bytes());
    let wire = Wire::dial(address).await;
    let wire = wire.tls("origin.test", roots(), &["h2"]).await.unwrap();
    let reply = H2::over(wire).await.get("https://origin.test/trailers").await;
    assert_eq!((reply.status, reply.text()), (200, "body"));

    let wire = Wire::dial(address).await;
    let mut wire = wire.tls("origin.test", roots(), &[]).await.unwrap();
    let reply = wire.ask("GET", "/drip?n=3&ms=1", "Host: o\r\n", b"").await;
    assert_eq!(reply.text(), "drop 0\ndrop 1\ndrop 2\n");
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn bad_certificates_are_bad() {
    let ca = TestCa::new();
    let names = ["origin.test"];
    let bad = [
        ca.expired(&names),
        ca.identity(&["elsewhere.test"]),
        crate::support::ca::Identity::self_signed(&names),
    ];
    for identity in bad {
        let origin = Origin::with_identity(identity).await;
        let wire = Wire::dial(([127, 0, 0, 1], origin.tls_port()).into()).await;
        let roots = roots_from_pem(ca.pem().as_bytes());
        assert!(wire.tls("origin.test", roots, &[]).await.is_err());
    }
}

#[tokio::test]
async fn raw_origins_break_the_protocol() {
    let end = RawOrigin::start(Raw::SaysAtEnd(b"bye")).await;
    let mut wire = Wire::dial(([127, 0, 0, 1], end.port()).into()).await;
    wire.send("abc").await;
    wire.end().await;
    assert_eq!(wire.rest().await, b"bye");
    assert_eq!((end.received(), end.connections()), (b"abc".to_vec(), 1));

    let closing = RawOrigin::start(Raw::Reset).await;
    let mut wire = Wire::dial(([127, 0, 0, 1], closing.port()).into()).await;
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn the_dns_server_answers_from_its_table() {
    let table = [
        ("a.test", at(&["192.0.2.1", "2001:db8::1"])),
        ("moving.test", rebinding(&[&["192.0.2.1"], &["127.0.0.1"]])),
        ("alias.test", Answer::Alias("a.test")),
        ("broken.test", Answer::ServFail),
    ];
    let table = table.map(|(name, answer)| (name.to_owned(), answer));
    let dns = Dns::start(table.to_vec()).await;
    assert_eq!(ask(&dns, "a.test").await, ["192.0.2.1"]);
    assert_eq!(ask(&dns, "moving.test").await, ["192.0.2.1"]);
    assert_eq!(ask(&dns, "moving.test").await, ["127.0.0.1"]);
    assert_eq!(ask(&dns, "alias.test").await, ["a.test.", "192.0.2.1"]);
    assert!(ask(&dns, "broken.test").await.is_empty());
    assert!(ask(&dns, "unknown.test").await.is_empty());
    assert_eq!(dns.lookups("moving.test"), 2);
    assert_eq!(dns.questions()[0], ("a.test".to_owned(), RecordType::A));
}

/// The answers to a question for an IPv4 address, over UDP.
async fn ask(dns: &Dns, name: &str) -> Vec<String> {
    use hickory_resolver::proto::op::{Message, Query};
    use hickory_resolver::proto::rr::Name;

    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bytes = question.to_vec().unwrap();
    socket.send_to(&bytes, dns.address()).await.unwrap();
    let mut buffer = [0; 512];
    let received = crate::support::within("the DNS answer", socket.recv(&mut buffer)).await;
    let answer = Message::from_vec(&buffer[..received.unwrap()]).unwrap();
    let data = answer.answers.iter().map(|record| record.data.to_string());
    data.collect()
}
