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
    let mut parts = text.split('.').map(ipv4_number).collect::<Option<Vec<u64>>>()?;
    let last = parts.pop()?;
    if parts.len() > 3 || parts.iter().any(|part| *part > 255) {
        return None;
    }
    let free_bits = 32_usize.checked_sub(8 * parts.len())?;
    if last >> free_bits != 0 {
        return None;
    }
    let head = parts.iter().fold(0_u64, |sum, part| sum << 8 | part);
    u32::try_from(head << free_bits | last).ok().map(Ipv4Addr::from)
}

/// Decimal, octal after `0`, hexadecimal after `0x`; `0x` alone is zero. The text is lower case already. A number that is too
/// large is still a number, so it saturates.
fn ipv4_number(text: &str) -> Option<u64> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(""), _) => return Some(0),
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (text, 10),
    };
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0_u64, |number, digit| {
        let digit = u64::from(digit.to_digit(radix)?);
        Some(number.saturating_mul(u64::from(radix)).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        let host = Host::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(host.to_string(), canonical, "{text:?}");
        assert_eq!(
            Host::parse(canonical),
            Ok(host),
            "{canonical:?} is not its own canonical form"
        );
    }

    #[track_caller]
    fn refused(text: &str, error: HostError) {
        assert_eq!(Host::parse(text), Err(error), "{text:?}");
    }

    #[test]
    fn names_have_one_form() {
        check("example.com", "example.com");
        check("EXAMPLE.Com", "example.com");
        check("example.com.", "example.com");
        check("example.com\u{3002}", "example.com");
        check("example\u{ff0e}com", "example.com");
        check("ｅｘａｍｐｌｅ.com", "example.com");
        check("exam\u{ad}ple.com", "example.com");
        check("localhost", "localhost");
        check("_dmarc.example.com", "_dmarc.example.com");
        check("r3---sn-abc.googlevideo.com", "r3---sn-abc.googlevideo.com");
        check("-a-.example.com", "-a-.example.com");
        check("1e3.com", "1e3.com");
        check("0xg", "0xg");
        check("1.2.3.4.example", "1.2.3.4.example");
        check("1.2.3.4a", "1.2.3.4a");
    }

    #[test]
    fn international_names_become_a_labels() {
        check("straße.de", "xn--strae-oqa.de");
        check("strasse.de", "strasse.de");
        check("Bücher.example", "xn--bcher-kva.example");
        check("XN--BCHER-KVA.example", "xn--bcher-kva.example");
        check("bu\u{308}cher.example", "xn--bcher-kva.example");
        check("βόλος.com", "xn--nxasmm1c.com");
        check("例え.jp", "xn--r8jz45g.jp");
    }

    #[test]
    fn look_alikes_stay_apart() {
        let latin = Host::parse("apple.com").unwrap();
        // The first letter is Cyrillic in the first, all of them in the second.
        for cyrillic in ["\u{430}pple.com", "\u{430}\u{440}\u{440}\u{4cf}\u{435}.com"] {
            let host = Host::parse(cyrillic).unwrap();
            assert_ne!(host, latin);
            assert!(host.to_string().starts_with("xn--"), "{host}");
        }
    }

    #[test]
    fn ipv4_has_many_spellings() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0X7F.0.0.1",
            "0177.0.0.1",
            "0177.0x0.0.01",
            "017700000001",
            "00000000000000000000000000000000177.0.0.1",
            "0x00000000000000000000000000007f.1",
            "１２７.０.０.１",
            "127。0．0｡1",
            "①②⑦.0.0.1",
            "127.0x.0x.1",
        ] {
            check(text, "127.0.0.1");
        }
        check("0", "0.0.0.0");
        check("0x", "0.0.0.0");
        check("1.2.3.0x", "1.2.3.0");
        check("4294967295", "255.255.255.255");
        check("1.65535", "1.0.255.255");
        check("1.2.65535", "1.2.255.255");
        check("169.254.169.254", "169.254.169.254");
        check("0xa9fea9fe", "169.254.169.254");
        check("2852039166", "169.254.169.254");
    }

    #[test]
    fn what_ends_in_a_number_is_an_address_or_nothing() {
        for text in [
            "256.0.0.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "1.2.3.4.5",
            "0x100000000",
            "0x10000000000000000000000000",
            "99999999999999999999999999",
            "08.0.0.1",
            "1.2.3.08",
            "example.1",
            "example.0x1",
            "example.0x",
            "example.0xffffffffffffffffffffffff",
            "a.b.255",
        ] {
            refused(text, HostError::Ipv4);
        }
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        check("[::1]", "[::1]");
        check("[0:0:0:0:0:0:0:1]", "[::1]");
        check("[2001:DB8::00ff]", "[2001:db8::ff]");
        check("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]");
        check("[::ffff:7f00:1]", "[::ffff:127.0.0.1]");
        for text in [
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1].",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[::1%]",
            "[ ::1]",
        ] {
            refused(text, HostError::Ipv6);
        }
        refused("::1", HostError::Name);
        refused("fe80::1%eth0", HostError::PercentEncoded);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        refused("", HostError::Empty);
        for text in [
            ".",
            "..",
            ".example.com",
            "example..com",
            "example.com..",
            "a b.com",
            " example.com",
            "example.com ",
            "a/b",
            "a\\b",
            "a:80",
            "user@example.com",
            "a?b",
            "a#b",
            "a,b",
            "a;b",
            "a=b",
            "a!b",
            "a*b",
            "*.example.com",
            "a\0.com",
            "a\n.com",
            "a\t.com",
            "a\u{7f}.com",
            "a|b",
            "a^b",
            "{a}",
            "<a>",
            "\"a\"",
            "'a'",
            "a&b",
            "$a",
            "(a)",
            "~a",
            "`a`",
            "a+b",
            "example.com\u{ff0f}x",
            "example.com\u{ff1a}80",
            "\u{ff05}41.com",
            "xn--",
            "xn--a.com",
            "xn--a-.com",
            "xn--example-.com",
            "xn--9999999999.com",
            "a\u{200d}b.com",
            "\u{301}a.com",
            "a\u{fffd}.com",
            "\u{ad}",
            "a.\u{ad}.com",
            "אa.com",
        ] {
            assert!(
                matches!(Host::parse(text), Err(HostError::Name | HostError::Empty)),
                "{text:?}: {:?}",
                Host::parse(text)
            );
        }
        for text in ["%65xample.com", "example%2ecom", "127.0.0.1%00", "%"] {
            refused(text, HostError::PercentEncoded);
        }
    }

    #[test]
    fn lengths_are_those_of_the_dns() {
        let label = "a".repeat(63);
        check(&format!("{label}.com"), &format!("{label}.com"));
        refused(&format!("{label}a.com"), HostError::Name);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        check(&longest, &longest);
        check(&format!("{longest}."), &longest);
        refused(&format!("{longest}a"), HostError::Name);
        refused(&"a.".repeat(600), HostError::TooLong);
    }

    #[test]
    fn labels_are_whole() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        assert_eq!(name("a.b.c").parents().collect::<Vec<_>>(), ["b.c", "c"]);
        assert!(name("a.example.com").is_below(&name("example.com")));
        assert!(name("b.a.example.com").is_below(&name("example.com")));
        assert!(!name("example.com").is_below(&name("example.com")));
        assert!(!name("badexample.com").is_below(&name("example.com")));
        assert!(!name("example.com.evil.test").is_below(&name("example.com")));
        assert_eq!(DnsName::parse("127.1"), Err(HostError::Name));
    }

    proptest! {
        #[test]
        fn display_is_a_fixed_point(text in "\\PC{0,40}|[a-zA-Z0-9._-]{1,40}|[0-9xa-f.]{1,20}|\\[[0-9a-f:.]{2,30}\\]|(xn--)?[a-zß-ü0-9]{1,12}\\.(com|de)") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }

        #[test]
        fn a_name_is_what_dns_takes(text in "\\PC{0,60}") {
            if let Ok(Host::Name(name)) = Host::parse(&text) {
                prop_assert!(name.as_str().len() <= 253);
                for label in name.as_str().split('.') {
                    prop_assert!((1..=63).contains(&label.len()));
                    prop_assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'));
                }
                prop_assert!(name.as_str().parse::<IpAddr>().is_err());
            }
        }

        #[test]
        fn an_address_in_any_radix_is_that_address(bits in any::<u32>()) {
            let address = Host::Address(Ipv4Addr::from(bits).into());
            for text in [bits.to_string(), format!("{bits:#x}"), format!("0{bits:o}"), Ipv4Addr::from(bits).to_string()] {
                prop_assert_eq!(Host::parse(&text), Ok(address.clone()));
            }
        }
    }
}
