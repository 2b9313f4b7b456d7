//! Where a request wants to go: scheme, host and port.
//!
//! Ports and authorities are read strictly; what a lenient parser would repair is refused. Paths are in `path`.

use std::fmt;
use std::str::FromStr;

use super::host::{Host, HostError};

/// The schemes that Egret forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP in TLS.
    Https,
}

impl Scheme {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// Reads a scheme in any case; anything but `http` and `https` is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }

    /// The port that a URL without one means.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Authority-form has a port (RFC 9112 § 3.2.3).
    #[error("the port is missing")]
    PortMissing,
    /// Not a decimal number from 1 to 65535 without sign and leading zero.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// `user@` before the host (RFC 9110 § 4.2.4).
    #[error("user information has no place before a host")]
    UserInfo,
    /// The part before the port is no host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A host and a port, as CONNECT names its target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    host: Host,
    port: u16,
}

impl Authority {
    /// A host and a port that were read elsewhere.
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads authority-form: `example.com:443`, `[2001:db8::1]:443`.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        match split_port(text)? {
            (host, Some(port)) => Ok(Self::new(Host::parse(host)?, parse_port(port)?)),
            (_, None) => Err(AuthorityError::PortMissing),
        }
    }

    /// Reads a `Host` field, an `:authority` or a URL's authority, where the scheme stands for a missing port.
    pub fn parse_for(scheme: Scheme, text: &str) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(text)?;
        let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
        Ok(Self::new(Host::parse(host)?, port))
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0 when it was parsed.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        Self::parse(text)
    }
}

/// Host and port, apart; the colons inside of brackets belong to the address.
fn split_port(text: &str) -> Result<(&str, Option<&str>), AuthorityError> {
    if text.contains('@') {
        return Err(AuthorityError::UserInfo);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Ok((host, Some(port))),
        Some(_) | None => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.starts_with('0') {
        return Err(AuthorityError::Port);
    }
    text.parse().map_err(|_| AuthorityError::Port)
}

/// Where one request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
}

impl Target {
    /// A target from its parts.
    pub fn new(scheme: Scheme, host: Host, port: u16) -> Self {
        Self::at(scheme, Authority::new(host, port))
    }

    /// A scheme at an authority: what a request inside of a CONNECT asks.
    pub fn at(scheme: Scheme, authority: Authority) -> Self {
        Self { scheme, authority }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        self.authority.host()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.authority.port()
    }

    /// Host and port together.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// The URL without path: the port shows when it isn't the scheme's own.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port() == self.scheme.default_port() {
            return write!(f, "{}://{}", self.scheme, self.host());
        }
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, u16), AuthorityError>) {
        let expected = expected.map(|(host, port)| Authority::new(Host::parse(host).unwrap(), port));
        assert_eq!(Authority::parse(text), expected, "{text:?}");
    }

    #[test]
    fn authority_form_is_strict() {
        check("example.com:443", Ok(("example.com", 443)));
        check("EXAMPLE.com.:65535", Ok(("example.com", 65535)));
        check("127.1:1", Ok(("127.0.0.1", 1)));
        check("[::1]:8443", Ok(("[::1]", 8443)));
        check("example.com", Err(AuthorityError::PortMissing));
        check("[::1]", Err(AuthorityError::PortMissing));
        check("", Err(AuthorityError::PortMissing));
        for port in [
            "",
            "0",
            "00443",
            "0443",
            "+443",
            "-1",
            " 443",
            "443 ",
            "65536",
            "99999999999",
            "4４3",
            "0x1bb",
            "443/",
            "https",
        ] {
            check(&format!("example.com:{port}"), Err(AuthorityError::Port));
        }
        check("user@example.com:443", Err(AuthorityError::UserInfo));
        check("user:password@example.com:443", Err(AuthorityError::UserInfo));
        check(":443", Err(AuthorityError::Host(HostError::Empty)));
        check("::1:443", Err(AuthorityError::Host(HostError::Name)));
        check("a:1:2", Err(AuthorityError::Host(HostError::Name)));
        check("http://x:443", Err(AuthorityError::Host(HostError::Name)));
        check("[::1]x:443", Err(AuthorityError::Host(HostError::Ipv6)));
    }

    #[test]
    fn a_scheme_stands_for_a_missing_port() {
        let port = |scheme, text| Authority::parse_for(scheme, text).map(|authority| authority.port());
        assert_eq!(port(Scheme::Http, "example.com"), Ok(80));
        assert_eq!(port(Scheme::Https, "example.com"), Ok(443));
        assert_eq!(port(Scheme::Https, "[::1]"), Ok(443));
        assert_eq!(port(Scheme::Https, "[::1]:1"), Ok(1));
        assert_eq!(port(Scheme::Https, "example.com:"), Err(AuthorityError::Port));
    }

    #[test]
    fn schemes_are_two() {
        assert_eq!(Scheme::parse("HTTPS"), Some(Scheme::Https));
        assert_eq!(Scheme::parse("http"), Some(Scheme::Http));
        for text in ["", "ftp", "ws", "https:", "httpss", "http "] {
            assert_eq!(Scheme::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_target_displays_as_a_url() {
        let target = |scheme, text| Target::at(scheme, Authority::parse(text).unwrap()).to_string();
        assert_eq!(target(Scheme::Https, "example.com:443"), "https://example.com");
        assert_eq!(target(Scheme::Http, "example.com:443"), "http://example.com:443");
        assert_eq!(target(Scheme::Http, "[::1]:80"), "http://[::1]");
    }
}
