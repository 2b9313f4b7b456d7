//! SOCKS5's messages (RFC 1928; RFC 1929 for user name and password), read from bytes and written: pure.
//!
//! Each reader looks at what has come so far, gives its message once it is whole, and says how many bytes that took: what follows belongs to
//! the next message, or to the tunnel. What a message leads to is not decided here.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::policy::{Authority, DenyReason, Host};

/// The first byte of a greeting, a request and their replies.
pub const VERSION: u8 = 5;
/// The most bytes that a message takes: a user name and a password of 255 bytes each.
pub const MAX_MESSAGE: usize = 3 + 2 * 255;

/// The version of the user name and password sub-negotiation (RFC 1929 §2).
const SUBNEGOTIATION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHODS: u8 = 0xff;

const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why bytes are not the message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first byte is another version's.
    #[error("the message doesn't begin with its version")]
    Version,
    /// RSV is to be zero (RFC 1928 §4).
    #[error("the reserved byte isn't zero")]
    Reserved,
    /// ATYP is none of the three there are (RFC 1928 §5).
    #[error("the address is neither an IPv4 address nor a domain name nor an IPv6 address")]
    AddressType,
}

/// A message and how many bytes it took; `None` while it isn't whole.
pub type Reading<T> = Result<Option<(T, usize)>, Fault>;

/// What a client offers first (RFC 1928 §3), as far as Egret knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// X'00' is among the methods.
    pub no_authentication: bool,
    /// X'02' is among the methods.
    pub username_password: bool,
}

/// A user name and a password (RFC 1929 §2). Either may be empty, as some clients send them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// UNAME.
    pub user: Box<[u8]>,
    /// PASSWD.
    pub password: Box<[u8]>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What a client asks for (RFC 1928 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// CMD.
    pub command: Command,
    /// DST.ADDR.
    pub address: Address,
    /// DST.PORT.
    pub port: u16,
}

/// CMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A connection to the address.
    Connect,
    /// A connection from there.
    Bind,
    /// A relay of datagrams.
    UdpAssociate,
    /// None that the RFC knows.
    Other(u8),
}

/// DST.ADDR in its three types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Four bytes.
    V4(Ipv4Addr),
    /// A name as it came: any bytes, or none.
    Name(Box<[u8]>),
    /// Sixteen bytes.
    V6(Ipv6Addr),
}

impl Command {
    /// The command as a record's method; none when it is unknown.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Connect => Some("CONNECT"),
            Self::Bind => Some("BIND"),
            Self::UdpAssociate => Some("UDP_ASSOCIATE"),
            Self::Other(_) => None,
        }
    }
}

impl From<u8> for Command {
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::Connect,
            2 => Self::Bind,
            3 => Self::UdpAssociate,
            other => Self::Other(other),
        }
    }
}

impl Request {
    /// Where it wants to go, in the one canonical form; none when that is no host or no port. A name may be an address in digits, as in a
    /// URL; beyond ASCII it is refused, as in HTTP.
    pub fn authority(&self) -> Option<Authority> {
        let host = match &self.address {
            Address::V4(address) => Host::Address((*address).into()),
            Address::V6(address) => Host::Address((*address).into()),
            Address::Name(name) if name.is_ascii() => Host::parse(std::str::from_utf8(name).ok()?).ok()?,
            Address::Name(_) => return None,
        };
        (self.port != 0).then(|| Authority::new(host, self.port))
    }
}

/// Reads `VER NMETHODS METHODS`.
pub fn greeting(bytes: &[u8]) -> Reading<Greeting> {
    let Some(rest) = after(VERSION, bytes)? else {
        return Ok(None);
    };
    Ok(counted(rest).map(|(methods, _)| {
        let greeting = Greeting {
            no_authentication: methods.contains(&NO_AUTHENTICATION),
            username_password: methods.contains(&USERNAME_PASSWORD),
        };
        (greeting, 2 + methods.len())
    }))
}

/// Reads `VER ULEN UNAME PLEN PASSWD`.
pub fn credentials(bytes: &[u8]) -> Reading<Credentials> {
    let Some(rest) = after(SUBNEGOTIATION, bytes)? else {
        return Ok(None);
    };
    let Some((user, rest)) = counted(rest) else {
        return Ok(None);
    };
    Ok(counted(rest).map(|(password, _)| {
        let credentials = Credentials {
            user: user.into(),
            password: password.into(),
        };
        (credentials, 3 + user.len() + password.len())
    }))
}

/// Reads `VER CMD RSV ATYP DST.ADDR DST.PORT`.
pub fn request(bytes: &[u8]) -> Reading<Request> {
    let Some(rest) = after(VERSION, bytes)? else {
        return Ok(None);
    };
    match rest {
        [_, reserved, ..] if *reserved != 0 => Err(Fault::Reserved),
        [command, _, kind, rest @ ..] => {
            let request = |(address, port): (Address, u16), length: usize| {
                let command = Command::from(*command);
                (Request { command, address, port }, 6 + length)
            };
            let destination = destination(*kind, rest)?;
            Ok(destination.map(|(address, port, length)| request((address, port), length)))
        }
        _ => Ok(None),
    }
}

/// Address, port, and how many bytes the address took.
fn destination(kind: u8, bytes: &[u8]) -> Result<Option<(Address, u16, usize)>, Fault> {
    let (address, length, rest) = match kind {
        IPV4 => match bytes.split_first_chunk::<4>() {
            Some((octets, rest)) => (Address::V4((*octets).into()), 4, rest),
            None => return Ok(None),
        },
        IPV6 => match bytes.split_first_chunk::<16>() {
            Some((octets, rest)) => (Address::V6((*octets).into()), 16, rest),
            None => return Ok(None),
        },
        DOMAIN_NAME => match counted(bytes) {
            Some((name, rest)) => (Address::Name(name.into()), 1 + name.len(), rest),
            None => return Ok(None),
        },
        _ => return Err(Fault::AddressType),
    };
    let port = rest.first_chunk::<2>().map(|port| u16::from_be_bytes(*port));
    Ok(port.map(|port| (address, port, length)))
}

/// What follows the version; `None` while nothing has come.
fn after(version: u8, bytes: &[u8]) -> Result<Option<&[u8]>, Fault> {
    match bytes.split_first() {
        None => Ok(None),
        Some((first, rest)) if *first == version => Ok(Some(rest)),
        Some(_) => Err(Fault::Version),
    }
}

/// A field that begins with its length in one byte, and what follows; `None` while it isn't whole.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Egret's answer to a greeting (RFC 1928 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The client need not say who it is.
    NoAuthentication,
    /// User name and password are to follow.
    UsernamePassword,
    /// Nothing offered will do: the end.
    NoAcceptableMethods,
}

impl Selection {
    /// `VER METHOD`.
    pub const fn bytes(self) -> [u8; 2] {
        let method = match self {
            Self::NoAuthentication => NO_AUTHENTICATION,
            Self::UsernamePassword => USERNAME_PASSWORD,
            Self::NoAcceptableMethods => NO_ACCEPTABLE_METHODS,
        };
        [VERSION, method]
    }
}

/// `VER STATUS`: the credentials will do (RFC 1929 §2).
pub const AUTHENTICATED: [u8; 2] = [SUBNEGOTIATION, 0];
/// `VER STATUS`: they won't, and the connection ends.
pub const NOT_AUTHENTICATED: [u8; 2] = [SUBNEGOTIATION, 1];

/// The tunnel is open (RFC 1928 §6). BND.ADDR is all zeros: from where Egret dialled is not the client's affair.
pub const SUCCEEDED: [u8; 10] = [VERSION, 0, 0, IPV4, 0, 0, 0, 0, 0, 0];

/// REP of a refused request (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// X'01'.
    General,
    /// X'02', connection not allowed by ruleset.
    NotAllowed,
    /// X'04'.
    HostUnreachable,
    /// X'05'.
    ConnectionRefused,
    /// X'07'.
    CommandNotSupported,
    /// X'08'.
    AddressTypeNotSupported,
}

impl Failure {
    /// The code that comes nearest to a reason.
    pub fn of(reason: DenyReason) -> Self {
        let area = reason.code().split_once('.').map_or("", |(area, _)| area);
        match area {
            "host" | "scheme" | "port" | "method" | "path" | "address" | "name" | "secret" | "workload" => {
                Self::NotAllowed
            }
            "upstream" if reason == DenyReason::UpstreamConnectFailed => Self::ConnectionRefused,
            "upstream" => Self::HostUnreachable,
            _ if reason == DenyReason::RequestUnsupported => Self::CommandNotSupported,
            _ => Self::General,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::General => 1,
            Self::NotAllowed => 2,
            Self::HostUnreachable => 4,
            Self::ConnectionRefused => 5,
            Self::CommandNotSupported => 7,
            Self::AddressTypeNotSupported => 8,
        }
    }

    /// The whole reply. A failure has no BND.ADDR, and SOCKS5 no place for words: the reason's code stands there as a name.
    pub fn reply(self, reason: DenyReason) -> Vec<u8> {
        let name = reason.code().as_bytes();
        let mut reply = vec![VERSION, self.code(), 0, DOMAIN_NAME];
        reply.push(u8::try_from(name.len()).unwrap_or_default());
        reply.extend_from_slice(name);
        reply.extend_from_slice(&[0, 0]);
        reply
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(request: &Request) -> Vec<u8> {
        let command = match request.command {
            Command::Connect => 1,
            Command::Bind => 2,
            Command::UdpAssociate => 3,
            Command::Other(byte) => byte,
        };
        let mut bytes = vec![VERSION, command, 0];
        match &request.address {
            Address::V4(address) => {
                bytes.push(IPV4);
                bytes.extend(address.octets());
            }
            Address::V6(address) => {
                bytes.push(IPV6);
                bytes.extend(address.octets());
            }
            Address::Name(name) => {
                bytes.extend([DOMAIN_NAME, u8::try_from(name.len()).unwrap()]);
                bytes.extend(name);
            }
        }
        bytes.extend(request.port.to_be_bytes());
        bytes
    }

    fn connect(address: Address, port: u16) -> Request {
        Request {
            command: Command::Connect,
            address,
            port,
        }
    }

    #[track_caller]
    fn check(address: Address, port: u16, authority: Option<&str>) {
        let sent = connect(address, port);
        let bytes = written(&sent);
        let (request, length) = request(&bytes).unwrap().unwrap();
        assert_eq!((&request, length), (&sent, bytes.len()));
        assert_eq!(
            request.authority().map(|authority| authority.to_string()).as_deref(),
            authority
        );
    }

    fn name(text: &[u8]) -> Address {
        Address::Name(text.into())
    }

    #[test]
    fn a_request_names_the_authority_that_connect_would() {
        check(name(b"a.test"), 443, Some("a.test:443"));
        check(name(b"A.TEST."), 443, Some("a.test:443"));
        check(name(b"127.1"), 80, Some("127.0.0.1:80"));
        check(name(b"2130706433"), 80, Some("127.0.0.1:80"));
        check(name(b"[::1]"), 80, Some("[::1]:80"));
        check(Address::V4([192, 0, 2, 1].into()), 80, Some("192.0.2.1:80"));
        check(
            Address::V6("2001:db8::1".parse().unwrap()),
            80,
            Some("[2001:db8::1]:80"),
        );
        check(
            Address::V6("::ffff:127.0.0.1".parse().unwrap()),
            80,
            Some("[::ffff:127.0.0.1]:80"),
        );
    }

    #[test]
    fn what_is_no_host_or_no_port_names_nothing() {
        for text in [
            &b""[..],
            b".",
            b"a.test\0.evil.test",
            b"a.test:80",
            b"user@a.test",
            b"a test",
            b"a%2etest",
            b"::1",
            b"b\xc3\xbccher.test",
            b"\xff",
            b"256.0.0.1",
        ] {
            check(name(text), 443, None);
        }
        check(name(b"a.test"), 0, None);
    }

    #[test]
    fn a_greeting_is_read_for_the_two_methods_that_are_known() {
        let read = |bytes: &[u8]| {
            greeting(bytes)
                .unwrap()
                .map(|(greeting, length)| (greeting.no_authentication, greeting.username_password, length))
        };
        assert_eq!(read(&[5, 1, 0]), Some((true, false, 3)));
        assert_eq!(read(&[5, 3, 1, 2, 0, 5, 1]), Some((true, true, 5)));
        assert_eq!(read(&[5, 1, 1]), Some((false, false, 3)));
        assert_eq!(read(&[5, 0]), Some((false, false, 2)));
        assert_eq!(read(&[5, 2, 0]), None);
        assert_eq!(greeting(&[4, 1, 0]), Err(Fault::Version));
    }

    #[test]
    fn credentials_may_be_empty_and_do_not_show() {
        let (read, length) = credentials(b"\x01\x05alice\x06secret...").unwrap().unwrap();
        assert_eq!(
            (&*read.user, &*read.password, length),
            (&b"alice"[..], &b"secret"[..], 14)
        );
        assert_eq!(format!("{read:?}"), "Credentials");
        let (read, length) = credentials(&[1, 0, 0]).unwrap().unwrap();
        assert_eq!((read.user.len(), read.password.len(), length), (0, 0, 3));
        assert_eq!(credentials(&[5, 1]), Err(Fault::Version));
    }

    #[test]
    fn what_is_reserved_or_unknown_is_a_fault() {
        assert_eq!(request(&[5, 1, 1]), Err(Fault::Reserved));
        assert_eq!(request(&[5, 1, 0, 2]), Err(Fault::AddressType));
        assert_eq!(request(&[5, 1, 0, 0, 0]), Err(Fault::AddressType));
        assert_eq!(request(b"GET / HTTP/1.1\r\n"), Err(Fault::Version));
        let (bind, _) = request(&[5, 2, 0, 1, 127, 0, 0, 1, 0, 80]).unwrap().unwrap();
        assert_eq!(bind.command.name(), Some("BIND"));
        let (other, _) = request(&[5, 0xf0, 0, 1, 127, 0, 0, 1, 0, 80]).unwrap().unwrap();
        assert_eq!((other.command, other.command.name()), (Command::Other(0xf0), None));
    }

    #[test]
    fn every_reason_has_a_reply_that_says_its_code() {
        for &reason in DenyReason::ALL {
            let reply = Failure::of(reason).reply(reason);
            let name = reason.code();
            assert_eq!(reply.len(), 7 + name.len());
            assert_eq!(
                (reply[0], reply[3], usize::from(reply[4])),
                (VERSION, DOMAIN_NAME, name.len())
            );
            assert_eq!(&reply[5..5 + name.len()], name.as_bytes());
        }
        for (reason, code) in [
            (DenyReason::HostNotListed, 2),
            (DenyReason::AddressMetadata, 2),
            (DenyReason::WorkloadUnknown, 2),
            (DenyReason::SecretUnrewritable, 2),
            (DenyReason::UpstreamNameNotFound, 4),
            (DenyReason::UpstreamConnectTimeout, 4),
            (DenyReason::UpstreamConnectFailed, 5),
            (DenyReason::RequestUnsupported, 7),
            (DenyReason::RequestMalformed, 1),
            (DenyReason::AuditUnwritable, 1),
            (DenyReason::LimitHeadTimeout, 1),
        ] {
            assert_eq!(Failure::of(reason).code(), code, "{reason}");
        }
    }

    /// Reads `bytes` as they might come: in every beginning there is, either nothing is decided, or the same as in the end.
    fn is_read_alike_in_pieces<T: PartialEq + fmt::Debug>(read: fn(&[u8]) -> Reading<T>, bytes: &[u8]) {
        let whole = read(bytes);
        for length in 0..bytes.len() {
            match read(&bytes[..length]) {
                Ok(None) => {}
                decided => assert_eq!(decided, whole, "after {length} of {bytes:?}"),
            }
        }
        if let Ok(Some((_, length))) = &whole {
            assert!(*length <= bytes.len() && *length <= MAX_MESSAGE);
            assert_eq!(read(&bytes[..*length]), whole);
        }
        assert!(
            !matches!(whole, Ok(None)) || bytes.len() < MAX_MESSAGE,
            "{} bytes are no message",
            bytes.len()
        );
    }

    proptest! {
        #[test]
        fn every_message_is_read_alike_in_pieces(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), first in 0..3_usize) {
            if let Some(version) = bytes.first_mut() {
                *version = [VERSION, SUBNEGOTIATION, *version][first];
            }
            is_read_alike_in_pieces(greeting, &bytes);
            is_read_alike_in_pieces(credentials, &bytes);
            is_read_alike_in_pieces(request, &bytes);
        }

        #[test]
        fn a_written_request_is_read_as_it_was(
            command: u8,
            host in prop_oneof![
                any::<[u8; 4]>().prop_map(|octets| Address::V4(octets.into())),
                any::<[u8; 16]>().prop_map(|octets| Address::V6(octets.into())),
                proptest::collection::vec(any::<u8>(), 0..=255).prop_map(|name| Address::Name(name.into())),
            ],
            port: u16,
            more in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let sent = Request { command: command.into(), address: host, port };
            let mut bytes = written(&sent);
            let length = bytes.len();
            bytes.extend(more);
            prop_assert_eq!(request(&bytes), Ok(Some((sent, length))));
        }
    }
}
