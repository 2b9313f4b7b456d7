//! Client certificates: the names in one that can tell whose client it is, and the name that a workload wants.
//!
//! Whether a certificate is good (its chain, its dates, its use) was settled by the TLS handshake before anything is read here.

use std::fmt;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::policy::DnsName;

/// The longest SPIFFE ID (SPIFFE-ID §2.3), in bytes.
const MAX_SPIFFE_ID: usize = 2048;
/// The longest trust domain (SPIFFE-ID §2.1), in bytes.
const MAX_TRUST_DOMAIN: usize = 255;

/// A name that a certificate carries among its subject alternative names (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// A DNS name, exactly; a wildcard is none.
    Dns(DnsName),
    /// A SPIFFE ID, exactly.
    Spiffe(Box<str>),
}

impl CertificateName {
    /// Reads `mcp.example.com` or `spiffe://example.com/ns/mcp/sa/github`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains("://") {
            return is_spiffe_id(text).then(|| Self::Spiffe(Box::from(text)));
        }
        DnsName::parse(text).ok().map(Self::Dns)
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Spiffe(id) => f.write_str(id),
        }
    }
}

/// The names of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateNames(Vec<CertificateName>);

impl CertificateNames {
    /// Reads a certificate that was verified. One with several URIs is no SPIFFE identity (X509-SVID §2), so none of them counts.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else {
            return Self::default();
        };
        let mut uris = certificate.valid_uri_names();
        let spiffe = match (uris.next(), uris.next()) {
            (Some(only), None) if is_spiffe_id(only) => Some(CertificateName::Spiffe(Box::from(only))),
            _ => None,
        };
        let names = certificate
            .valid_dns_names()
            .filter_map(|name| DnsName::parse(name).ok());
        Self(names.map(CertificateName::Dns).chain(spiffe).collect())
    }

    /// Whether one of these names is one of `wanted`.
    pub(super) fn any_of(&self, wanted: &[CertificateName]) -> bool {
        self.0.iter().any(|name| wanted.contains(name))
    }
}

impl FromIterator<CertificateName> for CertificateNames {
    fn from_iter<I: IntoIterator<Item = CertificateName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// SPIFFE-ID §2: a trust domain, and path segments that no reader takes for others.
fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://").filter(|_| text.len() <= MAX_SPIFFE_ID) else {
        return false;
    };
    let mut parts = rest.split('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_domain = |domain: &str| {
        let lower = domain.bytes().all(|byte| is_plain(byte) && !byte.is_ascii_uppercase());
        lower && (1..=MAX_TRUST_DOMAIN).contains(&domain.len())
    };
    let is_segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain);
    parts.next().is_some_and(is_domain) && parts.all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let name = CertificateName::parse(text).map(|name| name.to_string());
        assert_eq!(name.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_name_is_a_dns_name_or_a_spiffe_id() {
        check("MCP.example.com.", Some("mcp.example.com"));
        check(
            "spiffe://example.com/ns/mcp/sa/github",
            Some("spiffe://example.com/ns/mcp/sa/github"),
        );
        check("spiffe://example.com", Some("spiffe://example.com"));
        for bad in [
            "",
            "*.example.com",
            "127.0.0.1",
            "https://example.com/",
            "spiffe://",
            "spiffe:///path",
            "spiffe://Example.com/a",
            "spiffe://example.com/",
            "spiffe://example.com/a//b",
            "spiffe://example.com/a/../b",
            "spiffe://example.com/%61",
            "spiffe://user@example.com/a",
            "spiffe://example.com:80/a",
            "spiffe://example.com/a?b",
            "SPIFFE://example.com/a",
        ] {
            check(bad, None);
        }
        let long = format!("spiffe://example.com/{}", "a".repeat(MAX_SPIFFE_ID));
        check(&long, None);
    }

    #[track_caller]
    fn check_names(dns: &[&str], uris: &[&str], expected: &[&str]) {
        let mut params = CertificateParams::new(dns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names: Vec<String> = CertificateNames::of(certificate.der())
            .0
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_certificates_names_are_read() {
        let id = "spiffe://example.com/ns/mcp/sa/github";
        check_names(&["a.test", "B.test"], &[id], &["a.test", "b.test", id]);
        check_names(&[], &[id, "spiffe://example.com/other"], &[]);
        check_names(&[], &[id, "https://example.com/"], &[]);
        check_names(&["a.test"], &["https://example.com/"], &["a.test"]);
        check_names(&["*.a.test", "127.0.0.1"], &[], &[]);
        assert_eq!(
            CertificateNames::of(&CertificateDer::from(vec![0; 40])),
            CertificateNames::default()
        );
    }
}
