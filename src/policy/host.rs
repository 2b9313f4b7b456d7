//! The one canonical form of a host, whoever spells it: a request line, a `Host` field, a TLS server name, an allowlist.
//!
//! Two spellings that some resolver, TLS library or origin takes for the same host become equal here, and a spelling that
//! they might read differently is refused. Nothing here looks a name up or judges an address: that is `address`.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// The longest text that is read as a host: 253 characters of four bytes each, and a trailing dot.
const MAX_HOST_BYTES: usize = 1024;

/// Every printable ASCII character but letters, digits, `-`, `.` and `_`, which service names such as `_dmarc` carry.
const FORBIDDEN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// Why a text is no host. The text itself is not kept: it may be hostile, or carry a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing was given.
    #[error("the host is empty")]
    Empty,
    /// More than any name can have.
    #[error("the host is longer than a name can be")]
    TooLong,
    /// Percent-encoding, which some clients decode and others do not.
    #[error("percent-encoding has no place in a host")]
    PercentEncoded,
    /// A forbidden character, an empty or over-long label, or an A-label that stands for nothing.
    #[error("the host is no valid domain name")]
    Name,
    /// The last label is a number, so the host reads as an IPv4 address, but it is none.
    #[error("the host ends in a number but is no IPv4 address")]
    Ipv4,
    /// Brackets without an IPv6 address in them, or with a zone identifier.
    #[error("the host in brackets is no IPv6 address (zone identifiers are refused)")]
    Ipv6,
}

/// A domain name: lower case, A-labels (UTS 46, non-transitional), no trailing dot, at most 253 bytes, and never something
/// that reads as an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// Reads a name; an address in any spelling is refused.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        match Host::parse(text)? {
            Host::Name(name) => Ok(name),
            Host::Address(_) => Err(HostError::Name),
        }
    }

    /// The name as it is looked up and compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above this one, nearest first: `a.b.c` gives `b.c` and `c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(parent(&self.0), |name| parent(name))
    }

    /// Whether this name stands below `other`, at any depth; a name is not below itself.
    pub fn is_below(&self, other: &Self) -> bool {
        self.parents().any(|parent| parent == other.as_str())
    }
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

// Equality and hash of a name are those of its text, so a map of names can be asked with a borrowed parent.
impl Borrow<str> for DnsName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DnsName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

/// A host in canonical form. It displays as in a URL: an IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name to be looked up.
    Name(DnsName),
    /// An address, as such. An IPv4-mapped IPv6 address stays IPv6.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as the URL standard does, and more strictly: `127.1`, `2130706433`, `0x7f.1`, `0177.0.0.1` and full-width
    /// digits are the IPv4 addresses that they are for a C library; IPv6 stands in brackets; one trailing dot is dropped.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.len() > MAX_HOST_BYTES {
            return Err(HostError::TooLong);
        }
        if let Some(rest) = text.strip_prefix('[') {
            return bracketed(rest);
        }
        if text.contains('%') {
            return Err(HostError::PercentEncoded);
        }
        let ascii = ascii(text)?;
        if ends_in_number(&ascii) {
            return ipv4(&ascii)
                .map(|address| Self::Address(IpAddr::V4(address)))
                .ok_or(HostError::Ipv4);
        }
        Ok(Self::Name(DnsName(Arc::from(ascii))))
    }

    /// The name, when the host is one.
    pub fn name(&self) -> Option<&DnsName> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The address, when the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(*address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl From<DnsName> for Host {
    fn from(name: DnsName) -> Self {
        Self::Name(name)
    }
}

fn bracketed(rest: &str) -> Result<Host, HostError> {
    let inner = rest.strip_suffix(']').ok_or(HostError::Ipv6)?;
    let address: Ipv6Addr = inner.parse().map_err(|_| HostError::Ipv6)?;
    Ok(Host::Address(IpAddr::V6(address)))
}

/// The text in A-labels and lower case, without its one trailing dot; lengths and labels are checked.
fn ascii(text: &str) -> Result<String, HostError> {
    let ascii = Uts46::new()
        .to_ascii(
            text.as_bytes(),
            FORBIDDEN,
            Hyphens::Allow,
            DnsLength::VerifyAllowRootDot,
        )
        .map_err(|_| HostError::Name)?
        .into_owned();
    // The root dot may have been written as U+3002, so it is dropped only now.
    match ascii.strip_suffix('.') {
        Some("") => Err(HostError::Empty),
        Some(name) => Ok(name.to_owned()),
        None => Ok(ascii),
    }
}

/// WHATWG URL § 3.5, "ends in a number": such a host is an IPv4 address or nothing.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.bytes().all(|byte| byte.is_ascii_digit()) || ipv4_number(last).is_some()
}

/// WHATWG URL § 3.5, the IPv4 parser: up to four parts, the last one fills the bytes that are left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text
        .split('.')
        .map(ipv4_number)
        .collect::<Option<Vec<u64>>>()?;
    let last = parts.pop()?;
    if parts.len() > 3 || parts.iter().any(|part| *part > 255) {
        return None;
    }
    let free_bits = 32_usize.checked_sub(8 * parts.len())?;
    if last >> free_bits != 0 {
        return None;
    }
    let head = parts.iter().fold(0_u64, |sum, part| sum << 8 | part);
    u32::try_from(head << free_bits | last)
        .ok()
        .map(Ipv4Addr::from)
}

/// Decimal, octal after `0`, hexadecimal after `0x`; `0x` alone is zero. The text is lower case already.
fn ipv4_number(text: &str) -> Option<u64> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(""), _) => return Some(0),
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (text, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}
