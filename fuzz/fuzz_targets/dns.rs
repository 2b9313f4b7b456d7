//! Any bytes as a DNS query: no panic; what is taken for a query is one for another implementation too, with the same name and type; and each
//! reply is whole, fits its transport, answers that query and no other, and is never taken for a query itself.
#![no_main]

use std::net::IpAddr;

use egret::proxy::dns::message::{Answer, Code, Fault, MAX_QUERY, Query, Transport, read};
use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;

/// A reply is a response that others can read, and that nobody answers.
fn check_reply(reply: &[u8], query: &[u8], room: usize) -> Message {
    assert!(reply.len() <= room);
    assert_eq!(reply.get(..2), query.get(..2), "another id");
    assert_eq!(read(reply), Err(Fault::NoQuery));
    Message::from_vec(reply).expect("a reply that can be read")
}

fn check_query(query: &Query, bytes: &[u8], addresses: &[IpAddr]) {
    assert!(bytes.len() <= MAX_QUERY);
    // Others also look into the options of EDNS, which mean nothing here.
    let theirs = Message::from_vec(bytes).ok();
    for (transport, room) in [(Transport::Datagram, 1232), (Transport::Stream, 65_535)] {
        for code in [Code::NoError, Code::NxDomain, Code::Refused, Code::ServFail] {
            let answer = Answer {
                code,
                addresses,
                ttl: 30,
                error: Some((15, "host.not_listed")),
            };
            let reply = check_reply(&query.reply(&answer, transport), bytes, room);
            if let Some(theirs) = &theirs {
                assert_eq!(reply.queries, theirs.queries, "an answer to another question");
            }
            assert!(reply.metadata.truncation || reply.answers.len() == addresses.len());
        }
    }
}

// The first byte says how many addresses are told.
fuzz_target!(|input: &[u8]| {
    let Some((count, bytes)) = input.split_first() else {
        return;
    };
    let addresses: Vec<IpAddr> = (0..*count).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    match read(bytes) {
        Ok(query) => check_query(&query, bytes, &addresses),
        Err(fault) => {
            if let Some(reply) = fault.reply() {
                check_reply(&reply, bytes, 512);
            }
        }
    }
});
