//! What a TLS `ClientHello` says in clear (RFC 8446 §4.1.2), read without answering it: for tunnels, which Egret does not terminate.
//!
//! rustls shows the server name of a hello but neither Encrypted Client Hello nor the raw bytes, hence this bounded parser. It reads
//! records and the one handshake message, in any number of pieces, and nothing else.

use super::reader::Reader;
use crate::policy::DenyReason;

/// A hello is refused once it needs more bytes than this.
pub(crate) const MAX_CLIENT_HELLO: usize = 64 * 1024;

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// `encrypted_client_hello`, and the draft's code points before it.
const ENCRYPTED: [u16; 4] = [0xfe0d, 0xff02, 0xff03, 0xffce];
/// The longest record a hello may come in (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;

/// The parts of a hello that a tunnel is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientHello {
    /// The one host name of `server_name`.
    pub(crate) server_name: Option<String>,
    /// Whether Encrypted Client Hello, or its GREASE, which can't be told from it, is there.
    pub(crate) encrypted: bool,
    /// The first protocol offered by ALPN.
    pub(crate) alpn: Option<String>,
}

/// Whether bytes can begin a TLS connection.
pub(crate) fn looks_like_tls(first: &[u8]) -> bool {
    matches!(first, [HANDSHAKE_RECORD] | [HANDSHAKE_RECORD, 3, ..])
}

/// Reads a hello from the first bytes of a connection: `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, DenyReason> {
    let Some(message) = handshake_message(bytes)? else {
        return if bytes.len() >= MAX_CLIENT_HELLO {
            Err(DenyReason::TlsClientHelloTooLarge)
        } else {
            Ok(None)
        };
    };
    read_hello(&message).ok_or(DenyReason::TlsNotTls)?.map(Some)
}

/// Gathers the first handshake message out of its records; `None` while it is not whole.
fn handshake_message(bytes: &[u8]) -> Result<Option<Vec<u8>>, DenyReason> {
    let mut rest = bytes;
    let mut message: Vec<u8> = Vec::new();
    loop {
        match rest {
            [HANDSHAKE_RECORD, 3, _, high, low, tail @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > MAX_RECORD {
                    return Err(DenyReason::TlsNotTls);
                }
                message.extend_from_slice(tail.get(..length).unwrap_or(tail));
                if let Some(whole) = whole_message(&message)? {
                    return Ok(Some(whole));
                }
                let Some(next) = tail.get(length..) else {
                    return Ok(None);
                };
                rest = next;
            }
            []
            | [HANDSHAKE_RECORD]
            | [HANDSHAKE_RECORD, 3]
            | [HANDSHAKE_RECORD, 3, _]
            | [HANDSHAKE_RECORD, 3, _, _] => return Ok(None),
            _ => return Err(DenyReason::TlsNotTls),
        }
    }
}

/// The body of the `ClientHello` at the beginning of `message`, once all of it is there.
fn whole_message(message: &[u8]) -> Result<Option<Vec<u8>>, DenyReason> {
    match message {
        [CLIENT_HELLO, a, b, c, body @ ..] => {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            if length > MAX_CLIENT_HELLO {
                return Err(DenyReason::TlsClientHelloTooLarge);
            }
            Ok(body.get(..length).map(<[u8]>::to_vec))
        }
        [] | [CLIENT_HELLO, ..] => Ok(None),
        _ => Err(DenyReason::TlsNotTls),
    }
}

/// Reads the fields; `None` when a length is wrong, an error when the name is ambiguous.
fn read_hello(body: &[u8]) -> Option<Result<ClientHello, DenyReason>> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?; // legacy_version, random
    reader.vector8()?; // legacy_session_id
    reader.vector16()?; // cipher_suites
    reader.vector8()?; // legacy_compression_methods
    let mut hello = ClientHello::default();
    if reader.0.is_empty() {
        return Some(Ok(hello));
    }
    let mut extensions = Reader(reader.vector16()?);
    if !reader.0.is_empty() {
        return None;
    }
    let mut seen = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vector16()?;
        // RFC 8446 §4.2: no extension twice; readers differ on which one counts.
        if seen.contains(&kind) {
            return Some(Err(DenyReason::NameSniMismatch));
        }
        seen.push(kind);
        match kind {
            SERVER_NAME => match server_name(content)? {
                Ok(name) => hello.server_name = Some(name),
                Err(reason) => return Some(Err(reason)),
            },
            ALPN => hello.alpn = first_alpn(content),
            kind if ENCRYPTED.contains(&kind) => hello.encrypted = true,
            _ => {}
        }
    }
    Some(Ok(hello))
}

/// RFC 6066 §3: a list of names, of which there may be one of type `host_name`.
fn server_name(content: &[u8]) -> Option<Result<String, DenyReason>> {
    let mut list = Reader(Reader(content).vector16()?);
    let kind = list.u8()?;
    let name = list.vector16()?;
    if kind != 0 || !list.0.is_empty() || !name.is_ascii() {
        return Some(Err(DenyReason::NameSniMismatch));
    }
    Some(
        std::str::from_utf8(name)
            .map(str::to_owned)
            .map_err(|_| DenyReason::NameSniMismatch),
    )
}

fn first_alpn(content: &[u8]) -> Option<String> {
    let name = Reader(Reader(content).vector16()?).vector8()?;
    let name = std::str::from_utf8(name).ok()?;
    name.bytes()
        .all(|byte| byte.is_ascii_graphic())
        .then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// A real hello, as rustls writes it.
    fn real_hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = rustls::ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// Splits a hello's one record into records of `size` payload bytes.
    fn rerecord(hello: &[u8], size: usize) -> Vec<u8> {
        hello[5..]
            .chunks(size)
            .flat_map(|piece| {
                let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                [&[22, 3, 1][..], &length, piece].concat()
            })
            .collect()
    }

    /// A hello with exactly these extensions.
    fn hello_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let vector16 = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &vector16(content)].concat())
            .collect();
        let body = [
            &[3, 3][..],
            &[0; 32],
            &[0],
            &vector16(&[0x13, 1]),
            &[1, 0],
            &vector16(&extensions),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1][..], &length[1..], &body].concat();
        [&[22, 3, 1][..], &vector16(&message)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let entry = [&[0][..], &u16::try_from(name.len()).unwrap().to_be_bytes(), name].concat();
        [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
    }

    #[test]
    fn a_real_hello_is_read_in_any_records() {
        let hello = real_hello("api.example.com");
        for size in [1, 7, 100, 1000, hello.len()] {
            let parsed = parse(&rerecord(&hello, size)).unwrap().unwrap();
            assert_eq!(parsed.server_name.as_deref(), Some("api.example.com"));
            assert_eq!(parsed.alpn.as_deref(), Some("h2"));
            assert!(!parsed.encrypted);
        }
    }

    #[test]
    fn every_proper_prefix_waits() {
        let hello = real_hello("api.example.com");
        for end in 0..hello.len() {
            assert_eq!(parse(&hello[..end]), Ok(None), "{end}");
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<&str>, DenyReason>) {
        let got = parse(bytes).map(|hello| hello.and_then(|hello| hello.server_name));
        assert_eq!(got, expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn odd_hellos_are_refused() {
        check(b"GET / HTTP/1.1\r\n", Err(DenyReason::TlsNotTls));
        check(b"SSH-2.0-x\r\n", Err(DenyReason::TlsNotTls));
        check(&[21, 3, 3, 0, 2, 1, 0], Err(DenyReason::TlsNotTls));
        check(&[22, 3, 1, 0, 0], Err(DenyReason::TlsNotTls));
        check(&[22, 3, 1, 0xff, 0xff, 1], Err(DenyReason::TlsNotTls));
        check(&[22, 3, 1, 0, 5, 2, 0, 0, 1, 0], Err(DenyReason::TlsNotTls));
        check(
            &[22, 3, 1, 0, 5, 1, 0xff, 0xff, 0xff, 0],
            Err(DenyReason::TlsClientHelloTooLarge),
        );
        check(
            &hello_with(&[(0, sni(b"a.test")), (0, sni(b"b.test"))]),
            Err(DenyReason::NameSniMismatch),
        );
        check(
            &hello_with(&[(0, [sni(b"a.test"), vec![0]].concat())]),
            Ok(Some("a.test")),
        );
        check(&hello_with(&[]), Ok(None));
        let two_names = [&[0, 18][..], &[0, 0, 6], b"a.test", &[0, 0, 6], b"b.test"].concat();
        check(&hello_with(&[(0, two_names)]), Err(DenyReason::NameSniMismatch));
        check(
            &hello_with(&[(0, sni(&[0xff, 0xfe]))]),
            Err(DenyReason::NameSniMismatch),
        );
    }

    #[test]
    fn encrypted_hellos_are_seen() {
        for kind in ENCRYPTED {
            let hello = parse(&hello_with(&[(0, sni(b"a.test")), (kind, vec![0; 40])]))
                .unwrap()
                .unwrap();
            assert!(hello.encrypted);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            parse(&bytes).ok();
            parse(&[&[22, 3, 1, 1, 0, 1, 0, 0, 200][..], &bytes].concat()).ok();
        }
    }
}
