//! A request that nobody sent: what an example of an allowlist, or `egret explain`, asks the policy about.

use std::fmt;

use crate::policy::{Authority, CanonicalPath, Decision, DenyReason, Policy, RequestHead, Scheme, Target};

/// A request to ask a policy about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A request for a URL.
    Request {
        /// The method.
        method: Box<str>,
        /// Scheme, host and port.
        target: Target,
        /// The path as it would be sent; `/` when the URL has none.
        path: Box<str>,
        /// The query without its question mark.
        query: Option<Box<str>>,
    },
    /// `CONNECT host:port`.
    Connect(Authority),
}

/// Why a text is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Neither a URL nor `host:port`.
    #[error("neither https://host/path, http://host/path nor host:port")]
    Shape,
    /// The method is no token of RFC 9110 §5.6.2.
    #[error("the method has a character that no method has")]
    Method,
    /// CONNECT with a URL, or another method without one.
    #[error("CONNECT goes with host:port, every other method with a URL")]
    MethodAndForm,
    /// A user name or password in the URL: no origin needs it there.
    #[error("user information before the host; leave it out")]
    UserInformation,
    /// A fragment never leaves the client.
    #[error("a fragment, which no client sends; leave out what follows the #")]
    Fragment,
    /// The host or the port is none.
    #[error(transparent)]
    Authority(#[from] crate::policy::AuthorityError),
}

impl Probe {
    /// A URL with a method (`GET` when absent), or `host:port` for CONNECT.
    pub fn parse(method: Option<&str>, text: &str) -> Result<Self, ProbeError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return connect(method, text);
        };
        let scheme = Scheme::parse(&scheme.to_ascii_lowercase()).ok_or(ProbeError::Shape)?;
        let method = method.unwrap_or("GET");
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            return Err(ProbeError::Method);
        }
        if method == "CONNECT" {
            return Err(ProbeError::MethodAndForm);
        }
        request(method, scheme, rest)
    }

    /// `METHOD URL`, or `CONNECT host:port`, as an example writes it.
    pub fn parse_line(line: &str) -> Result<Self, ProbeError> {
        let (method, url) = line.split_once(' ').ok_or(ProbeError::Shape)?;
        Self::parse(Some(method), url)
    }

    /// The policy's verdict; a path that the policy won't read is refused before it is asked.
    pub fn decide(&self, policy: &Policy) -> Result<Decision, DenyReason> {
        match self {
            Self::Connect(authority) => Ok(policy.decide_connect(authority)),
            Self::Request {
                method, target, path, ..
            } => {
                let path = CanonicalPath::parse(path).map_err(|_| DenyReason::RequestAmbiguous)?;
                Ok(policy.decide(&RequestHead {
                    target,
                    method,
                    path: &path,
                }))
            }
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(authority) => write!(f, "CONNECT {authority}"),
            Self::Request {
                method, target, path, ..
            } => write!(f, "{method} {target}{path}"),
        }
    }
}

fn connect(method: Option<&str>, text: &str) -> Result<Probe, ProbeError> {
    if method.is_some_and(|method| method != "CONNECT") {
        return Err(ProbeError::MethodAndForm);
    }
    if text.contains('/') {
        return Err(ProbeError::Shape);
    }
    Ok(Probe::Connect(Authority::parse(text)?))
}

fn request(method: &str, scheme: Scheme, rest: &str) -> Result<Probe, ProbeError> {
    if rest.contains('#') {
        return Err(ProbeError::Fragment);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(ProbeError::Shape)?;
    if authority.contains('@') {
        return Err(ProbeError::UserInformation);
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    Ok(Probe::Request {
        method: Box::from(method),
        target: Target::at(scheme, Authority::parse_for(scheme, authority)?),
        path: Box::from(if path.is_empty() { "/" } else { path }),
        query: query.map(Box::from),
    })
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = Probe::parse_line(line).map_or_else(|error| format!("{error:?}"), |probe| format!("{probe:?}"));
        assert!(shown.contains(expected), "{line}: {shown}");
    }

    #[test]
    fn requests_and_connects() {
        check("GET https://example.com/a?b=c", "path: \"/a\", query: Some(\"b=c\")");
        check("GET https://example.com", "path: \"/\", query: None");
        check("GET HTTPS://example.com?q", "path: \"/\", query: Some(\"q\")");
        check("CONNECT example.com:443", "Connect(");
        check("CONNECT [2001:db8::1]:443", "Connect(");
    }

    #[test]
    fn what_is_no_request() {
        check("https://example.com/", "Shape");
        check("GET", "Shape");
        check("GET example.com:443", "MethodAndForm");
        check("CONNECT https://example.com/", "MethodAndForm");
        check("CONNECT example.com/x:443", "Shape");
        check("GET ftp://example.com/", "Shape");
        check("G(T https://example.com/", "Method");
        check(" https://example.com/", "Method");
        check("GET https://user:word@example.com/", "UserInformation");
        check("GET https://example.com/#top", "Fragment");
        check("GET https:///path", "Authority");
        check("GET https://example.com:0/", "Authority");
    }
}
