//! The bytes of an HTTP/1 connection, checked before hyper sees them (RFC 9112).
//!
//! hyper's parser is lenient where a proxy must be strict: two framings, two hosts or a bare line feed are read one way by one
//! server and another way by the next, and what is read twice is decided once. [`Framing`] walks the inbound bytes of a
//! connection, checks every head and every chunk header, and knows where the next head begins.
//!
//! It does not decide about targets, decode bodies or know about IO.

use http::Uri;
use http::uri::Authority;

use crate::policy::DenyReason;

/// Heads larger or wider than this are refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// Bytes of request line and fields together, with the empty line.
    pub(crate) bytes: usize,
    /// Number of field lines.
    pub(crate) fields: usize,
}

/// The longest chunk-size line: 16 hex digits and CRLF.
const MAX_CHUNK_LINE: usize = 18;

/// Why bytes were refused, with words for the person who sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: DenyReason,
    pub(crate) detail: &'static str,
}

const fn malformed(detail: &'static str) -> Fault {
    Fault {
        reason: DenyReason::RequestMalformed,
        detail,
    }
}

const fn ambiguous(detail: &'static str) -> Fault {
    Fault {
        reason: DenyReason::RequestAmbiguous,
        detail,
    }
}

/// What follows a request head on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// The next head.
    Head,
    Length(u64),
    Chunks,
    /// Bytes of another protocol: after CONNECT or a WebSocket handshake.
    Raw,
}

/// Where in the inbound byte stream the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize { seen: usize, size: u64, cr: bool },
    ChunkData(u64),
    ChunkEnd { cr: bool },
    Trailers,
    Raw,
}

/// What [`Framing::advance`] made of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// So many bytes are checked and may be read by hyper; the rest begins with a head or trailers that are not whole.
    Passed(usize),
    /// All the bytes were checked.
    All,
}

/// The checker of one connection's inbound bytes.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    limits: HeadLimits,
}

impl Framing {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self {
            state: State::Head,
            limits,
        }
    }

    /// Whether the next byte belongs to a head or to trailers, which are gathered whole before they are passed on.
    pub(crate) fn gathers(&self) -> bool {
        matches!(self.state, State::Head | State::Trailers)
    }

    /// Whether the next byte begins a request.
    pub(crate) fn at_head(&self) -> bool {
        self.state == State::Head
    }

    /// Checks `bytes`, which follow those passed before. Work is linear in `bytes`. What is good before a fault passes first; the fault
    /// comes when its bytes stand at the front.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Advance, Fault> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok(0) => return Ok(Advance::Passed(at)),
                Ok(passed) => at += passed,
                Err(_) if at > 0 => return Ok(Advance::Passed(at)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(Advance::All)
    }

    /// Checks as much of `bytes` as one state covers; 0 when a head or trailers are not whole yet.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match self.state {
            State::Head => self.head(bytes),
            State::Trailers => self.trailers(bytes),
            State::Raw => Ok(bytes.len()),
            State::Length(left) => {
                let (passed, left) = take(bytes, left);
                self.state = if left == 0 { State::Head } else { State::Length(left) };
                Ok(passed)
            }
            State::ChunkData(left) => {
                let (passed, left) = take(bytes, left);
                self.state = if left == 0 {
                    State::ChunkEnd { cr: false }
                } else {
                    State::ChunkData(left)
                };
                Ok(passed)
            }
            State::ChunkEnd { cr } => {
                self.state = match (cr, bytes.first()) {
                    (false, Some(b'\r')) => State::ChunkEnd { cr: true },
                    (true, Some(b'\n')) => State::ChunkSize {
                        seen: 0,
                        size: 0,
                        cr: false,
                    },
                    _ => return Err(malformed("a chunk is longer than its size says")),
                };
                Ok(1)
            }
            State::ChunkSize { seen, size, cr } => {
                self.state = chunk_size(bytes.first().copied(), seen, size, cr)?;
                Ok(1)
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        // RFC 9112 §2.2: an empty line before the request line is skipped; one is enough.
        let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let head = bytes.get(skipped..).unwrap_or_default();
        let Some(length) = section_end(head, self.limits.bytes)? else {
            return Ok(0);
        };
        let follows = check_head(head.get(..length).unwrap_or_default(), self.limits)?;
        self.state = match follows {
            Follows::Head | Follows::Length(0) => State::Head,
            Follows::Length(length) => State::Length(length),
            Follows::Chunks => State::ChunkSize {
                seen: 0,
                size: 0,
                cr: false,
            },
            Follows::Raw => State::Raw,
        };
        Ok(skipped + length)
    }

    fn trailers(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if bytes.starts_with(b"\r\n") {
            self.state = State::Head;
            return Ok(2);
        }
        let Some(length) = section_end(bytes, self.limits.bytes)? else {
            return Ok(0);
        };
        let section = bytes.get(..length).unwrap_or_default();
        for field in fields(section, self.limits.fields)? {
            let (name, _) = field?;
            if [&b"content-length"[..], b"transfer-encoding", b"host"]
                .iter()
                .any(|fixed| name.eq_ignore_ascii_case(fixed))
            {
                return Err(malformed("a trailer may not carry framing or Host"));
            }
        }
        self.state = State::Head;
        Ok(length)
    }
}

/// How many of `bytes` belong to the `left` that are due, and how many stay due.
fn take(bytes: &[u8], left: u64) -> (usize, u64) {
    let passed = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let counted = u64::try_from(passed).unwrap_or(u64::MAX);
    (passed, left.saturating_sub(counted))
}

/// One byte of a chunk-size line (RFC 9112 §7.1). Extensions are refused: nobody needs them and parsers differ on them.
fn chunk_size(byte: Option<u8>, seen: usize, size: u64, cr: bool) -> Result<State, Fault> {
    const BAD: Fault = malformed("a chunk size is 1 to 16 hex digits, CRLF, and no extension");
    let byte = byte.ok_or(BAD)?;
    if cr {
        return match (byte, size) {
            (b'\n', 0) => Ok(State::Trailers),
            (b'\n', size) => Ok(State::ChunkData(size)),
            _ => Err(BAD),
        };
    }
    if byte == b'\r' && seen > 0 {
        return Ok(State::ChunkSize { seen, size, cr: true });
    }
    let digit = char::from(byte).to_digit(16).ok_or(BAD)?;
    if seen + 2 >= MAX_CHUNK_LINE {
        return Err(BAD);
    }
    Ok(State::ChunkSize {
        seen: seen + 1,
        size: size << 4 | u64::from(digit),
        cr,
    })
}

/// The length of a head or trailer section with its empty line, once it is whole.
fn section_end(bytes: &[u8], limit: usize) -> Result<Option<usize>, Fault> {
    const TOO_LARGE: Fault = Fault {
        reason: DenyReason::LimitHeadSize,
        detail: "the head is larger than limits.head_bytes",
    };
    let window = bytes.get(..limit).unwrap_or(bytes);
    match memchr::memmem::find(window, b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if bytes.len() >= limit => Err(TOO_LARGE),
        // A head that will never end well is refused now, not at its time limit.
        None if memchr::memmem::find(window, b"\n\n").is_some() => Err(malformed("lines end in CRLF")),
        None => Ok(None),
    }
}

/// Checks a whole head and tells what follows it.
fn check_head(head: &[u8], limits: HeadLimits) -> Result<Follows, Fault> {
    let line_end = memchr::memchr(b'\r', head).ok_or(malformed("the request line has no end"))?;
    let line = RequestLine::parse(head.get(..line_end).unwrap_or_default())?;
    let rest = head
        .get(line_end..)
        .and_then(|rest| rest.strip_prefix(b"\r\n"))
        .ok_or(malformed("lines end in CRLF"))?;

    let mut framing = Fields::default();
    for field in fields(rest, limits.fields)? {
        let (name, value) = field?;
        framing.note(name, value)?;
    }
    framing.follows(&line)
}

struct RequestLine<'a> {
    method: &'a [u8],
    http_1_1: bool,
}

impl<'a> RequestLine<'a> {
    /// `method SP request-target SP HTTP-version` (RFC 9112 §3), with exactly these spaces.
    fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(
                "a request line is method, target and version with one space between",
            ));
        };
        if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
            return Err(malformed("the method is not a token"));
        }
        if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(malformed(
                "the request target holds a byte that must be percent-encoded",
            ));
        }
        // The parser that hyper uses: what it would refuse is refused here, with a reply and a record.
        let is_uri = if method == b"CONNECT" {
            Authority::try_from(target).is_ok()
        } else {
            Uri::try_from(target).is_ok()
        };
        if !is_uri {
            return Err(malformed(
                "the request target is not a URI in a form that its method takes",
            ));
        }
        let http_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
        };
        Ok(Self { method, http_1_1 })
    }
}

type Field<'a> = Result<(&'a [u8], &'a [u8]), Fault>;

/// The field lines of a section that ends with an empty line, each as name and trimmed value.
fn fields(section: &[u8], limit: usize) -> Result<impl Iterator<Item = Field<'_>>, Fault> {
    const TOO_MANY: Fault = Fault {
        reason: DenyReason::LimitHeadFields,
        detail: "the head has more fields than limits.head_fields",
    };
    let lines = memchr::memchr_iter(b'\n', section).count().saturating_sub(1);
    if lines > limit {
        return Err(TOO_MANY);
    }
    let mut rest = section;
    Ok(std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        match line.strip_suffix(b"\r") {
            Some([]) => None,
            Some(line) => Some(field(line)),
            None => Some(Err(malformed("lines end in CRLF"))),
        }
    }))
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 §5).
fn field(line: &[u8]) -> Field<'_> {
    let colon = memchr::memchr(b':', line).ok_or(malformed("a field line has no colon"))?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    let value = value.get(1..).unwrap_or_default();
    if name.first().is_some_and(|&byte| byte == b' ' || byte == b'\t') {
        return Err(malformed("a field line is folded (obs-fold)"));
    }
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(malformed("a field name is not a token"));
    }
    if !value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
    {
        return Err(malformed("a field value holds a control byte"));
    }
    Ok((name, value.trim_ascii()))
}

/// The fields that frame a message or name its host.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    upgrade: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Fault> {
        // The length sorts out nearly every field before its name is compared.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = Some(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(ambiguous("Content-Length is there twice"));
                }
                self.length = Some(content_length(value)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked {
                    return Err(ambiguous("Transfer-Encoding is there twice"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(malformed("the only Transfer-Encoding is chunked"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn follows(&self, line: &RequestLine<'_>) -> Result<Follows, Fault> {
        match self.hosts {
            1 => {}
            0 if !line.http_1_1 => {}
            0 => return Err(malformed("HTTP/1.1 needs a Host")),
            _ => return Err(ambiguous("Host is there twice")),
        }
        if self.chunked && self.length.is_some() {
            return Err(ambiguous("Transfer-Encoding and Content-Length are both there"));
        }
        if self.chunked && !line.http_1_1 {
            return Err(malformed("Transfer-Encoding is not of HTTP/1.0"));
        }
        let has_body = self.chunked || self.length.is_some_and(|length| length > 0);
        if line.method == b"CONNECT" {
            return if has_body {
                Err(malformed("CONNECT has no body"))
            } else {
                Ok(Follows::Raw)
            };
        }
        if self
            .upgrade
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        {
            return if has_body {
                Err(malformed("a WebSocket handshake has no body"))
            } else {
                Ok(Follows::Raw)
            };
        }
        Ok(match self.length {
            _ if self.chunked => Follows::Chunks,
            Some(length) => Follows::Length(length),
            None => Follows::Head,
        })
    }
}

/// Digits only (RFC 9110 §8.6): no sign, no list, no overflow.
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    const BAD: Fault = malformed("Content-Length is not a decimal number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(BAD)
}

/// `tchar` (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 4096,
        fields: 16,
    };

    #[track_caller]
    fn check(bytes: &str, expected: Result<Advance, DenyReason>) {
        let mut framing = Framing::new(LIMITS);
        let mut got = framing.advance(bytes.as_bytes());
        if let (Ok(Advance::Passed(good)), Err(_)) = (got, expected) {
            got = framing.advance(&bytes.as_bytes()[good..]);
        }
        assert_eq!(got.map_err(|fault| fault.reason), expected, "{bytes:?}");
    }

    #[test]
    fn well_formed_requests_pass() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Advance::All));
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Advance::All));
        check("GET / HTTP/1.0\r\n\r\n", Ok(Advance::All));
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Ok(Advance::All),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Ok(Advance::All),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfF\r\n",
            Ok(Advance::All),
        );
        check(
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01 anything",
            Ok(Advance::All),
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\u{81}",
            Ok(Advance::All),
        );
        check("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n", Ok(Advance::All));
    }

    #[test]
    fn what_is_not_whole_waits() {
        check("GET / HTTP/1.1\r\nHost: a\r\n", Ok(Advance::Passed(0)));
        let first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
        check(&format!("{first}GET /"), Ok(Advance::Passed(first.len())));
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        check(&format!("{chunked}X: y\r\n"), Ok(Advance::Passed(chunked.len())));
    }

    #[test]
    fn malformed_heads_are_refused() {
        for bytes in [
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n : folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 4\r\n\r\n",
            "CONNECT a:1/x HTTP/1.1\r\nHost: a:1\r\n\r\n",
            "CONNECT http://a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\n",
        ] {
            check(bytes, Err(DenyReason::RequestMalformed));
        }
    }

    #[test]
    fn two_readings_are_refused() {
        for bytes in [
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            check(bytes, Err(DenyReason::RequestAmbiguous));
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for chunks in [
            "\r\n",
            "g\r\n",
            "0x1\r\n",
            "+1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1;a=b\r\n",
            "1\n",
            "1\rx",
            "00000000000000001\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\nHost: x\r\n\r\n",
            "0\r\nContent-Length: 1\r\n\r\n",
            "0\r\nbad line\r\n\r\n",
        ] {
            check(&format!("{head}{chunks}"), Err(DenyReason::RequestMalformed));
        }
    }

    #[test]
    fn heads_are_bounded() {
        let wide = "X: y\r\n".repeat(16);
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{wide}\r\n"),
            Err(DenyReason::LimitHeadFields),
        );
        check(
            &format!("GET / HTTP/1.1\r\nHost: {}", "a".repeat(5000)),
            Err(DenyReason::LimitHeadSize),
        );
    }

    proptest! {
        /// However the bytes arrive, the verdict and the boundary are the same.
        #[test]
        fn cuts_do_not_matter(cut in 0usize..200, tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n".to_vec();
            bytes.extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
            bytes.extend_from_slice(&tail);
            let whole = passed(&mut Framing::new(LIMITS), &[&bytes]);
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(whole, passed(&mut Framing::new(LIMITS), &[a, b]));
        }
    }

    /// Feeds pieces as the IO adaptor does and tells how many bytes passed, or why not.
    fn passed(framing: &mut Framing, pieces: &[&[u8]]) -> (usize, Option<Fault>) {
        let mut stash = Vec::new();
        let mut total = 0;
        for piece in pieces {
            stash.extend_from_slice(piece);
            loop {
                let count = match framing.advance(&stash) {
                    Ok(Advance::All) => stash.len(),
                    Ok(Advance::Passed(count)) => count,
                    Err(fault) => return (total, Some(fault)),
                };
                stash.drain(..count);
                total += count;
                if count == 0 || stash.is_empty() {
                    break;
                }
            }
        }
        (total, None)
    }
}
