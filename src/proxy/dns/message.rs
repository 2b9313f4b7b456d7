//! DNS messages (RFC 1035 §4) as far as a server needs them that answers with addresses or not at all: pure.
//!
//! Read strictly: one question, nothing compressed, and behind it nothing but one OPT record (RFC 6891). Names stay bytes and are copied
//! back as they came, since clients compare them to the letter. There is no reader of answers here, so no answer can be forged towards it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::reader::Reader;

/// The longest query that is read: what fits one unfragmented datagram, whatever it is padded with (RFC 8467).
pub const MAX_QUERY: usize = 1232;
/// What a reply over UDP may hold for a client that says nothing of it (RFC 1035 §4.2.1).
const SMALLEST_REPLY: usize = 512;
/// What a reply over UDP may hold at most, lest it be fragmented.
const LARGEST_REPLY: usize = 1232;

/// More addresses than any name has; a reply over TCP holds them all.
const MAX_ADDRESSES: usize = 1024;
/// So that a reply without addresses always fits the smallest room.
const MAX_ERROR_TEXT: usize = 64;

const HEADER: usize = 12;
const MAX_NAME: usize = 255;
const INTERNET: u16 = 1;
const A: u16 = 1;
const AAAA: u16 = 28;
const OPT: u16 = 41;
/// The only version of EDNS there is.
const EDNS_VERSION: u8 = 0;
/// The option that says in words why there is no answer (RFC 8914).
const EXTENDED_ERROR: u16 = 15;
/// A pointer to the question's name, which stands right behind the header.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, 12];

const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 0b1111 << 11;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;
const CHECKING_DISABLED: u16 = 1 << 4;

/// How a reply is headed (RFC 1035 §4.1.1, RFC 6891 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The name exists; there may still be nothing of the type asked for.
    NoError,
    /// The query can't be read.
    FormErr,
    /// It can't be answered now.
    ServFail,
    /// There is no such name, or none that the client may know of.
    NxDomain,
    /// Nothing that is done here.
    NotImp,
    /// Not for this client.
    Refused,
    /// A version of EDNS that doesn't exist yet.
    BadVers,
}

impl Code {
    /// The name in the registry, for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::BadVers => "BADVERS",
        }
    }

    /// The low four bits, which stand in the header, and the high eight, which stand in the OPT record.
    const fn split(self) -> (u16, u8) {
        match self {
            Self::NoError => (0, 0),
            Self::FormErr => (1, 0),
            Self::ServFail => (2, 0),
            Self::NxDomain => (3, 0),
            Self::NotImp => (4, 0),
            Self::Refused => (5, 0),
            Self::BadVers => (0, 1),
        }
    }
}

/// Which kind of address is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Type A.
    Ipv4,
    /// Type AAAA.
    Ipv6,
}

impl Family {
    /// Whether an address is of this kind.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

/// How the query came, which says how long its reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}

/// What is said in reply.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The code.
    pub code: Code,
    /// Addresses, of the kind that was asked for.
    pub addresses: &'a [IpAddr],
    /// Seconds that they may be kept.
    pub ttl: u32,
    /// The code and the text of an extended error, for clients that understand one.
    pub error: Option<(u16, &'a str)>,
}

impl Answer<'_> {
    /// A reply without addresses.
    pub const fn bare(code: Code) -> Self {
        Self {
            code,
            addresses: &[],
            ttl: 0,
            error: None,
        }
    }
}

/// Why bytes are no query that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A response, or too little to reply to: two servers that answer each other's errors would never end.
    NoQuery,
    /// It breaks the grammar, or says more than a query does.
    Malformed(Header),
    /// Another operation than a query, or an EDNS of another version.
    Unsupported(Header, Code),
}

impl Fault {
    /// The reply, where there may be one.
    pub fn reply(self) -> Option<Vec<u8>> {
        let (header, code) = match self {
            Self::NoQuery => return None,
            Self::Malformed(header) => (header, Code::FormErr),
            Self::Unsupported(header, code) => (header, code),
        };
        let edns = code == Code::BadVers;
        Some(write(header, &[], edns, &Answer::bare(code), 0))
    }

    /// The code of the reply.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::NoQuery => None,
            Self::Malformed(_) => Some(Code::FormErr),
            Self::Unsupported(_, code) => Some(code),
        }
    }
}

/// What a reply repeats of its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    id: u16,
    flags: u16,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    header: Header,
    /// As it came: name, type, class.
    question: Box<[u8]>,
    name: Box<str>,
    kind: u16,
    class: u16,
    /// What the client's OPT record says a reply may hold; none without such a record.
    room: Option<u16>,
}

/// Reads one query.
///
/// # Errors
///
/// Anything but one question with at most an OPT record behind it.
pub fn read(bytes: &[u8]) -> Result<Query, Fault> {
    let mut reader = Reader(bytes);
    let header = read_header(&mut reader).ok_or(Fault::NoQuery)?;
    if header.flags & RESPONSE != 0 {
        return Err(Fault::NoQuery);
    }
    if header.flags & OPCODE != 0 {
        return Err(Fault::Unsupported(header, Code::NotImp));
    }
    if bytes.len() > MAX_QUERY {
        return Err(Fault::Malformed(header));
    }
    let rest = reader.0;
    let query = read_body(header, rest).ok_or(Fault::Malformed(header))?;
    match query {
        (query, EDNS_VERSION) => Ok(query),
        _ => Err(Fault::Unsupported(header, Code::BadVers)),
    }
}

fn read_header(reader: &mut Reader<'_>) -> Option<Header> {
    let header = Header {
        id: reader.u16()?,
        flags: reader.u16()?,
    };
    // The counts come after; without them there is no message.
    (reader.0.len() >= HEADER - 4).then_some(header)
}

/// The counts and what they count. Gives the version of EDNS with it.
fn read_body(header: Header, bytes: &[u8]) -> Option<(Query, u8)> {
    let mut reader = Reader(bytes);
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?];
    let additional = reader.u16()?;
    if counts != [1, 0, 0] || additional > 1 {
        return None;
    }
    let begin = reader.0;
    let name = read_name(&mut reader)?;
    let (kind, class) = (reader.u16()?, reader.u16()?);
    let length = begin.len() - reader.0.len();
    let question = begin.get(..length)?.into();
    let (room, version) = if additional == 1 {
        let (room, version) = read_opt(&mut reader)?;
        (Some(room), version)
    } else {
        (None, EDNS_VERSION)
    };
    let query = Query {
        header,
        question,
        name: name.into(),
        kind,
        class,
        room,
    };
    reader.0.is_empty().then_some((query, version))
}

/// The labels with dots between them; a byte that a host name has no use for is written `\DDD` (RFC 1035 §5.1), so that no two names
/// read alike. A pointer is refused: there is nothing before the question to point at.
fn read_name(reader: &mut Reader<'_>) -> Option<String> {
    let begin = reader.0.len();
    let mut text = String::new();
    loop {
        // A length of 64 or more would be a pointer, or a kind of label that never came to be (RFC 6891 §5).
        let length = reader.u8().filter(|length| *length < 64)?;
        if begin - reader.0.len() + usize::from(length) > MAX_NAME {
            return None;
        }
        if length == 0 {
            return Some(text);
        }
        if !text.is_empty() {
            text.push('.');
        }
        for byte in reader.take(usize::from(length))? {
            write_byte(&mut text, *byte);
        }
    }
}

fn write_byte(text: &mut String, byte: u8) {
    if byte.is_ascii_graphic() && byte != b'.' && byte != b'\\' {
        text.push(char::from(byte));
    } else {
        // Writing to a `String` can't fail.
        let _infallible = write!(text, "\\{byte:03}");
    }
}

/// What a reply may hold, and the version of EDNS (RFC 6891 §6.1.2). Options mean nothing here, but must be whole.
fn read_opt(reader: &mut Reader<'_>) -> Option<(u16, u8)> {
    if reader.u8()? != 0 || reader.u16()? != OPT {
        return None;
    }
    let room = reader.u16()?;
    let (_extended_code, version) = (reader.u8()?, reader.u8()?);
    let _flags = reader.u16()?;
    let mut options = Reader(reader.vector16()?);
    while !options.0.is_empty() {
        options.u16()?;
        options.vector16()?;
    }
    Some((room, version))
}

impl Query {
    /// The name in its own case, without the last dot; empty for the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is about the Internet, and not about one of the networks that are gone.
    pub fn is_of_the_internet(&self) -> bool {
        self.class == INTERNET
    }

    /// The kind of address that is asked for, if one is.
    pub fn family(&self) -> Option<Family> {
        match self.kind {
            A => Some(Family::Ipv4),
            AAAA => Some(Family::Ipv6),
            _ => None,
        }
    }

    /// The type's name, for records; of a rare one its number (RFC 3597 §5).
    pub fn kind(&self) -> Cow<'static, str> {
        let name = match self.kind {
            A => "A",
            2 => "NS",
            5 => "CNAME",
            6 => "SOA",
            10 => "NULL",
            12 => "PTR",
            15 => "MX",
            16 => "TXT",
            AAAA => "AAAA",
            33 => "SRV",
            35 => "NAPTR",
            43 => "DS",
            48 => "DNSKEY",
            64 => "SVCB",
            65 => "HTTPS",
            251 => "IXFR",
            252 => "AXFR",
            255 => "ANY",
            257 => "CAA",
            other => return Cow::Owned(format!("TYPE{other}")),
        };
        Cow::Borrowed(name)
    }

    /// The reply. What is too long for its transport leaves without addresses and marked as truncated, so that the client asks again
    /// over TCP (RFC 7766 §5).
    pub fn reply(&self, answer: &Answer<'_>, transport: Transport) -> Vec<u8> {
        let room = match transport {
            Transport::Stream => usize::from(u16::MAX),
            Transport::Datagram => self.room.map_or(SMALLEST_REPLY, |room| {
                usize::from(room).clamp(SMALLEST_REPLY, LARGEST_REPLY)
            }),
        };
        let edns = self.room.is_some();
        let whole = write(self.header, &self.question, edns, answer, 0);
        if whole.len() <= room {
            return whole;
        }
        let cut = Answer {
            addresses: &[],
            ..*answer
        };
        write(self.header, &self.question, edns, &cut, TRUNCATED)
    }
}

fn write(header: Header, question: &[u8], edns: bool, answer: &Answer<'_>, flags: u16) -> Vec<u8> {
    let (low, high) = answer.code.split();
    let kept = header.flags & (OPCODE | RECURSION_DESIRED | CHECKING_DISABLED);
    let addresses = answer.addresses.get(..MAX_ADDRESSES).unwrap_or(answer.addresses);
    let counts = [
        u16::from(!question.is_empty()),
        u16::try_from(addresses.len()).unwrap_or(u16::MAX),
        0,
        u16::from(edns),
    ];
    let mut out = Vec::with_capacity(SMALLEST_REPLY);
    out.extend(header.id.to_be_bytes());
    out.extend((RESPONSE | RECURSION_AVAILABLE | kept | flags | low).to_be_bytes());
    out.extend(counts.into_iter().flat_map(u16::to_be_bytes));
    out.extend(question);
    for address in addresses {
        write_address(&mut out, *address, answer.ttl);
    }
    if edns {
        write_opt(&mut out, high, answer.error);
    }
    out
}

fn write_address(out: &mut Vec<u8>, address: IpAddr, ttl: u32) {
    let kind = if address.is_ipv4() { A } else { AAAA };
    out.extend(NAME_OF_QUESTION);
    out.extend(kind.to_be_bytes());
    out.extend(INTERNET.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    match address {
        IpAddr::V4(address) => {
            out.extend(4_u16.to_be_bytes());
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            out.extend(16_u16.to_be_bytes());
            out.extend(address.octets());
        }
    }
}

fn write_opt(out: &mut Vec<u8>, code: u8, error: Option<(u16, &str)>) {
    let room = u16::try_from(LARGEST_REPLY).unwrap_or(u16::MAX);
    out.push(0);
    out.extend(OPT.to_be_bytes());
    out.extend(room.to_be_bytes());
    out.extend([code, EDNS_VERSION, 0, 0]);
    // A reason code is short; what isn't one would be left out rather than cut.
    let error = error.and_then(|(info, text)| Some((info, text, u16::try_from(text.len()).ok()?)));
    let Some((info, text, length)) = error.filter(|(_, text, _)| text.len() <= MAX_ERROR_TEXT) else {
        out.extend(0_u16.to_be_bytes());
        return;
    };
    out.extend((length + 6).to_be_bytes());
    out.extend(EXTENDED_ERROR.to_be_bytes());
    out.extend((length + 2).to_be_bytes());
    out.extend(info.to_be_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Edns, Message, Query as Asked, ResponseCode};
    use hickory_resolver::proto::rr::{Name, RecordType};
    use proptest::prelude::*;

    /// A query as another implementation writes it.
    fn asked(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.add_query(Asked::query(Name::from_ascii(name).unwrap(), kind));
        if let Some(room) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(room);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn addresses(count: u8) -> Vec<IpAddr> {
        (0..count).map(|last| IpAddr::from([192, 0, 2, last])).collect()
    }

    fn answer(addresses: &[IpAddr]) -> Answer<'_> {
        Answer {
            code: Code::NoError,
            addresses,
            ttl: 30,
            error: None,
        }
    }

    #[test]
    fn what_another_implementation_asks_is_read() {
        for (name, kind, family) in [
            ("api.Example.com.", RecordType::A, Some(Family::Ipv4)),
            ("api.Example.com.", RecordType::AAAA, Some(Family::Ipv6)),
            ("_dmarc.example.com.", RecordType::TXT, None),
        ] {
            for edns in [None, Some(1232)] {
                let query = read(&asked(name, kind, edns)).unwrap();
                assert_eq!(format!("{}.", query.name()), name);
                assert_eq!(query.family(), family);
                assert_eq!(query.kind(), kind.to_string());
                assert!(query.is_of_the_internet());
            }
        }
        assert_eq!(read(&asked(".", RecordType::NS, None)).unwrap().name(), "");
    }

    #[test]
    fn what_is_replied_is_read_by_another_implementation() {
        let found = addresses(3);
        let bytes = asked("aPi.example.com.", RecordType::A, Some(4096));
        let query = read(&bytes).unwrap();
        let reply = Message::from_vec(&query.reply(&answer(&found), Transport::Datagram)).unwrap();
        let sent = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.metadata.id, sent.metadata.id);
        assert!(reply.metadata.recursion_available && !reply.metadata.truncation);
        assert_eq!(reply.queries, sent.queries);
        // The letters' case is part of what a client compares.
        assert_eq!(reply.queries[0].name().to_ascii(), "aPi.example.com.");
        let read: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(read, ["192.0.2.0", "192.0.2.1", "192.0.2.2"]);
        assert!(reply.edns.is_some());
    }

    #[test]
    fn a_refusal_names_its_code_for_those_who_understand() {
        let refused = Answer {
            error: Some((15, "host.not_listed")),
            ..Answer::bare(Code::NxDomain)
        };
        let with = read(&asked("x.test.", RecordType::A, Some(1232))).unwrap();
        let bytes = with.reply(&refused, Transport::Datagram);
        assert!(bytes.ends_with(b"\x00\x0f\x00\x11\x00\x0fhost.not_listed"), "{bytes:?}");
        assert_eq!(
            Message::from_vec(&bytes).unwrap().metadata.response_code,
            ResponseCode::NXDomain
        );
        let without = read(&asked("x.test.", RecordType::A, None)).unwrap();
        assert!(
            Message::from_vec(&without.reply(&refused, Transport::Datagram))
                .unwrap()
                .edns
                .is_none()
        );
    }

    #[test]
    fn a_long_reply_is_truncated_for_its_transport() {
        let found = addresses(70);
        for (edns, transport, truncated) in [
            (None, Transport::Datagram, true),
            (Some(100), Transport::Datagram, true),
            (Some(1232), Transport::Datagram, false),
            (None, Transport::Stream, false),
        ] {
            let query = read(&asked("x.test.", RecordType::A, edns)).unwrap();
            let reply = Message::from_vec(&query.reply(&answer(&found), transport)).unwrap();
            assert_eq!(reply.metadata.truncation, truncated, "{edns:?} {transport:?}");
            assert_eq!(reply.answers.len(), if truncated { 0 } else { 70 });
        }
    }

    /// A query for `x.test` with `change` done to its bytes.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Query, Fault> {
        let mut bytes = asked("x.test.", RecordType::A, Some(1232));
        change(&mut bytes);
        read(&bytes)
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<u8>), code: Option<Code>) {
        let fault = changed(change).unwrap_err();
        assert_eq!(fault.code(), code);
        let reply = fault.reply().map(|bytes| Message::from_vec(&bytes).unwrap());
        assert_eq!(reply.is_some(), code.is_some());
    }

    #[test]
    fn what_is_no_plain_query_is_refused() {
        assert!(changed(|_| {}).is_ok());
        check(|bytes| bytes.truncate(11), None);
        check(|bytes| bytes[2] |= 0x80, None);
        check(|bytes| bytes[2] |= 0x28, Some(Code::NotImp));
        for at in [5, 7, 9, 11] {
            check(|bytes| bytes[at] = 2, Some(Code::FormErr));
        }
        check(|bytes| bytes[5] = 0, Some(Code::FormErr));
        check(|bytes| bytes.push(0), Some(Code::FormErr));
        check(|bytes| bytes.resize(MAX_QUERY + 1, 0), Some(Code::FormErr));
        check(
            |bytes| {
                bytes.pop();
            },
            Some(Code::FormErr),
        );
        // A pointer instead of a label, also one to itself.
        check(|bytes| bytes[12..14].copy_from_slice(&[0xc0, 12]), Some(Code::FormErr));
        check(|bytes| bytes[12] = 0x41, Some(Code::FormErr));
        // Another record than OPT, OPT below a name, an EDNS of tomorrow.
        check(|bytes| bytes[26] = 16, Some(Code::FormErr));
        check(|bytes| bytes[30] = 1, Some(Code::BadVers));
    }

    #[test]
    fn names_that_no_text_could_hold_stay_apart() {
        let name = |labels: &[&[u8]]| -> Result<String, Fault> {
            let mut bytes = asked(".", RecordType::A, None);
            let question = bytes.split_off(12);
            for label in labels {
                bytes.push(u8::try_from(label.len()).unwrap());
                bytes.extend(*label);
            }
            bytes.extend(question);
            read(&bytes).map(|query| query.name().to_owned())
        };
        assert_eq!(name(&[b"a.b", b"test"]).unwrap(), "a\\046b.test");
        assert_eq!(name(&[b"a", b"b", b"test"]).unwrap(), "a.b.test");
        assert_eq!(name(&[b"a\\046b", b"\x00\xff"]).unwrap(), "a\\092046b.\\000\\255");
        let [longest, longer] = [[b'a'; 63].as_slice(), &[b'a'; 64]];
        assert!(name(&[longest; 3]).is_ok());
        assert!(name(&[longest; 4]).is_err());
        assert!(name(&[longer]).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), random in any::<bool>()) {
            let mut bytes = bytes;
            if !random && bytes.len() > 12 {
                bytes[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            }
            match read(&bytes) {
                Ok(query) => {
                    let reply = query.reply(&Answer::bare(Code::Refused), Transport::Datagram);
                    prop_assert!(reply.len() <= SMALLEST_REPLY);
                }
                Err(fault) => prop_assert_eq!(fault.reply().is_some(), fault.code().is_some()),
            }
        }
    }
}
