//! From a parsed HTTP head to one canonical [`Target`], or a refusal: pure.
//!
//! The bytes of HTTP/1 heads were checked before (see [`super::wire`]); here it is about what they mean: which form the request
//! target has (RFC 9112 §3.2), and whether URI, Host and the tunnel's name agree on one host.

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Version};

use super::reply::Refusal;
use crate::config::Limits;
use crate::policy::{Authority, CanonicalPath, DenyReason, Host, Scheme, Target};

/// The longest method that is passed on and recorded: every registered one fits, and a secret hardly does.
pub(crate) const MAX_METHOD: usize = 17;
/// What HTTP/2 counts for a field beside its name and value (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// A request as policy sees it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) target: Target,
    pub(crate) path: CanonicalPath,
}

/// The authority of a tunnel, and what its inner requests must agree with.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    authority: Authority,
    scheme: Scheme,
    /// The usual ways to write the authority: what agrees with one to the letter needs no parsing.
    usual: [Box<str>; 2],
}

impl Tunnel {
    pub(crate) fn new(authority: Authority, scheme: Scheme) -> Self {
        let whole = authority.to_string().into_boxed_str();
        let short = if authority.port() == scheme.default_port() {
            authority.host().to_string().into_boxed_str()
        } else {
            whole.clone()
        };
        Self {
            authority,
            scheme,
            usual: [whole, short],
        }
    }

    fn is_named(&self, name: &str) -> Result<bool, Refusal> {
        if self.usual.iter().any(|usual| **usual == *name) {
            return Ok(true);
        }
        let target = target(self.scheme, name)?;
        Ok(*target.authority() == self.authority)
    }
}

/// Reads a request that came to the proxy itself: absolute-form.
pub(crate) fn read_absolute(parts: &Parts) -> Result<Head, Refusal> {
    check_method(&parts.method)?;
    let scheme = match parts.uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) => {
            return Err(
                Refusal::new(DenyReason::RequestUnsupported).detail("Egret forwards the schemes http and https")
            );
        }
        None => {
            return Err(Refusal::new(DenyReason::RequestMalformed)
                .detail("this is a proxy: send the whole URL (absolute-form) or CONNECT, as clients do when HTTP_PROXY and HTTPS_PROXY are set"));
        }
    };
    let authority = parts.uri.authority().ok_or(no_host())?;
    let target = target(scheme, authority.as_str())?;
    if let Some(host) = host_field(parts)?
        && host != authority.as_str()
        && self::target(scheme, host)? != target
    {
        return Err(
            Refusal::new(DenyReason::RequestAmbiguous).detail("the request target and Host name different hosts")
        );
    }
    with_path(target, parts)
}

/// Reads a request inside a tunnel: origin-form in HTTP/1.1, pseudo-header fields in HTTP/2 (RFC 9113 §8.3.1).
pub(crate) fn read_inner(parts: &Parts, tunnel: &Tunnel) -> Result<Head, Refusal> {
    check_method(&parts.method)?;
    let named = [
        parts.uri.authority().map(http::uri::Authority::as_str),
        host_field(parts)?,
    ];
    if named.iter().all(Option::is_none) {
        return Err(no_host());
    }
    for name in named.into_iter().flatten() {
        if !tunnel.is_named(name)? {
            return Err(Refusal::new(DenyReason::NameHostMismatch)
                .detail("the tunnel was opened to another host than the request inside it names"));
        }
    }
    if parts
        .uri
        .scheme_str()
        .is_some_and(|scheme| scheme != tunnel.scheme.as_str())
    {
        return Err(Refusal::new(DenyReason::RequestAmbiguous)
            .detail("the request names another scheme than the tunnel carries"));
    }
    with_path(Target::at(tunnel.scheme, tunnel.authority.clone()), parts)
}

/// Reads a request that was redirected on its way to `port` of some address: its `Host` or `:authority` says where it goes, on that port.
pub(crate) fn read_redirected(parts: &Parts, port: u16) -> Result<Head, Refusal> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let name = host_field(parts)?.or(authority).ok_or(no_host())?;
    let target = target(Scheme::Http, name)?;
    if target.port() != port {
        return Err(Refusal::new(DenyReason::NameHostMismatch)
            .detail("the connection was on its way to another port than the Host field names"));
    }
    read_inner(parts, &Tunnel::new(target.authority().clone(), Scheme::Http))
}

/// Reads a CONNECT: authority-form, with the port written out.
pub(crate) fn read_connect(parts: &Parts) -> Result<Authority, Refusal> {
    if parts.uri.scheme().is_some()
        || parts.uri.path_and_query().is_some_and(|path| path.as_str() != "/") && parts.version < Version::HTTP_2
    {
        return Err(Refusal::new(DenyReason::RequestMalformed).detail("CONNECT takes host:port"));
    }
    let text = parts.uri.authority().ok_or(no_host())?.as_str();
    let authority = Authority::parse(text)
        .map_err(|_| Refusal::new(DenyReason::RequestMalformed).detail("CONNECT takes host:port"))?;
    if let Some(host) = host_field(parts)? {
        let (host, port) = split_port(host);
        let agrees = Host::parse(host).is_ok_and(|host| host == *authority.host())
            && port.is_none_or(|port| port.parse() == Ok(authority.port()));
        if !agrees {
            return Err(
                Refusal::new(DenyReason::RequestAmbiguous).detail("the request target and Host name different hosts")
            );
        }
    }
    Ok(authority)
}

/// The path and query as they stand in the request target.
pub(crate) fn path_and_query(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

fn with_path(target: Target, parts: &Parts) -> Result<Head, Refusal> {
    let path = CanonicalPath::parse(parts.uri.path()).map_err(|_| {
        Refusal::new(DenyReason::RequestAmbiguous)
            .detail("the path has dot segments, a backslash or a bad percent-encoding, which servers read differently")
    })?;
    Ok(Head { target, path })
}

/// Holds an HTTP/2 head to the limits that the wire check holds HTTP/1 to.
pub(crate) fn check_size(parts: &Parts, limits: &Limits) -> Result<(), Refusal> {
    if parts.version < Version::HTTP_2 {
        return Ok(());
    }
    if parts.headers.len() > limits.head_fields {
        return Err(DenyReason::LimitHeadFields.into());
    }
    let fields = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    let bytes = fields.sum::<usize>() + path_and_query(parts).len();
    if u64::try_from(bytes).unwrap_or(u64::MAX) > limits.head_bytes {
        return Err(DenyReason::LimitHeadSize.into());
    }
    Ok(())
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if method.as_str().len() > MAX_METHOD {
        return Err(
            Refusal::new(DenyReason::RequestMalformed).detail("the method is longer than any that is registered")
        );
    }
    Ok(())
}

fn no_host() -> Refusal {
    Refusal::new(DenyReason::RequestMalformed).detail("the request names no host")
}

/// The one Host field, if there is one.
fn host_field(parts: &Parts) -> Result<Option<&str>, Refusal> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let (first, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(Refusal::new(DenyReason::RequestAmbiguous).detail("Host is there twice"));
    }
    first
        .map(|value| {
            value
                .to_str()
                .map_err(|_| Refusal::new(DenyReason::RequestMalformed).detail("Host is not a host"))
        })
        .transpose()
}

/// `host [":" port]` with the scheme's default port; user information is refused (RFC 9110 §4.2.4).
fn target(scheme: Scheme, authority: &str) -> Result<Target, Refusal> {
    let malformed = || Refusal::new(DenyReason::RequestMalformed).detail("the host or port is not one");
    let (host, port) = split_port(authority);
    let host = Host::parse(host).map_err(|_| malformed())?;
    let port = match port {
        None => scheme.default_port(),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|&port| port != 0).ok_or_else(malformed)?
        }
        Some(_) => return Err(malformed()),
    };
    Ok(Target::new(scheme, host, port))
}

/// Splits off what follows the last colon that is not inside brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn absolute(uri: &str, hosts: &[&str], expected: Result<&str, DenyReason>) {
        let got = read_absolute(&parts("GET", uri, hosts));
        match (got, expected) {
            (Ok(head), Ok(expected)) => assert_eq!(
                format!(
                    "{}://{}:{}",
                    head.target.scheme().as_str(),
                    head.target.host(),
                    head.target.port()
                ),
                expected
            ),
            (Err(refusal), Err(reason)) => assert_eq!(refusal.reason(), reason, "{uri} {hosts:?}"),
            (got, expected) => panic!("{uri} {hosts:?}: {:?}, not {expected:?}", got.map(|head| head.target)),
        }
    }

    #[test]
    fn absolute_form_names_one_host() {
        absolute("http://a.test/x", &["a.test"], Ok("http://a.test:80"));
        absolute("http://A.TEST./x", &["a.test:80"], Ok("http://a.test:80"));
        absolute("https://a.test:8443/x", &["a.test:8443"], Ok("https://a.test:8443"));
        absolute("http://a.test/x", &[], Ok("http://a.test:80"));
        absolute("http://a.test/x", &["b.test"], Err(DenyReason::RequestAmbiguous));
        absolute("http://a.test/x", &["a.test:81"], Err(DenyReason::RequestAmbiguous));
        absolute(
            "http://a.test/x",
            &["a.test", "a.test"],
            Err(DenyReason::RequestAmbiguous),
        );
        absolute(
            "http://a.test/x",
            &["a.test, b.test"],
            Err(DenyReason::RequestMalformed),
        );
        absolute(
            "http://user:pw@a.test/x",
            &["a.test"],
            Err(DenyReason::RequestMalformed),
        );
        absolute("http://a.test/x", &["user@a.test"], Err(DenyReason::RequestMalformed));
        absolute("ftp://a.test/x", &["a.test"], Err(DenyReason::RequestUnsupported));
        absolute("/x", &["a.test"], Err(DenyReason::RequestMalformed));
        absolute("http://a.test/a/../b", &["a.test"], Err(DenyReason::RequestAmbiguous));
    }

    #[test]
    fn inner_requests_stay_in_their_tunnel() {
        let tunnel = Tunnel::new(Authority::parse("a.test:443").unwrap(), Scheme::Https);
        let read = |uri: &str, hosts: &[&str]| {
            read_inner(&parts("GET", uri, hosts), &tunnel).map_err(|refusal| refusal.reason())
        };
        assert!(read("/x", &["a.test"]).is_ok());
        assert!(read("/x", &["A.test.:443"]).is_ok());
        assert!(read("https://a.test/x", &[]).is_ok());
        assert_eq!(read("/x", &["b.test"]).unwrap_err(), DenyReason::NameHostMismatch);
        assert_eq!(read("/x", &["a.test:444"]).unwrap_err(), DenyReason::NameHostMismatch);
        assert_eq!(
            read("https://b.test/x", &["a.test"]).unwrap_err(),
            DenyReason::NameHostMismatch
        );
        assert_eq!(
            read("http://a.test:443/x", &["a.test"]).unwrap_err(),
            DenyReason::RequestAmbiguous
        );
        assert_eq!(read("/x", &[]).unwrap_err(), DenyReason::RequestMalformed);
    }

    #[test]
    fn connect_takes_host_and_port() {
        let read =
            |uri: &str, hosts: &[&str]| read_connect(&parts("CONNECT", uri, hosts)).map_err(|refusal| refusal.reason());
        assert!(read("a.test:443", &["a.test:443"]).is_ok());
        assert!(read("a.test:443", &["a.test"]).is_ok());
        assert_eq!(
            read("a.test:443", &["b.test:443"]).unwrap_err(),
            DenyReason::RequestAmbiguous
        );
        assert_eq!(read("a.test", &[]).unwrap_err(), DenyReason::RequestMalformed);
        assert_eq!(
            read("http://a.test:443", &[]).unwrap_err(),
            DenyReason::RequestMalformed
        );
        assert_eq!(read("a.test:0", &[]).unwrap_err(), DenyReason::RequestMalformed);
    }
}
