//! Header fields at the boundary: what goes to the origin and back is written anew from the parsed form (RFC 9110 §7.6.1).
//!
//! Fields of one hop stay on it, also those that `Connection` names. A `Via` is not added: origins answer differently when they see
//! one (uncompressed, mostly), and loops are impossible because Egret never dials itself.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri};

use super::body::RequestBody;
use super::reply::{PROXY_STATUS, Refusal, X_EGRET_REASON};
use crate::policy::{DenyReason, Target};

/// Fields that concern one hop only.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Fields by which some servers take another method than the request line's, which is the one that policy saw.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// A request as it will go to the origin, save its content.
#[derive(Debug)]
pub(crate) struct Outbound {
    method: Method,
    target: Target,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    /// Whether the content's length may change on the way.
    pub(crate) reframed: bool,
}

impl Outbound {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The request with its content; URI and Host take their final form with the connection's version.
    pub(crate) fn request(mut self, content: RequestBody) -> Request<RequestBody> {
        if self.reframed {
            self.headers.remove(CONTENT_LENGTH);
        }
        let mut request = Request::new(content);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.path);
        *request.headers_mut() = self.headers;
        *request.extensions_mut() = Extensions::new();
        request
    }
}

/// Takes out of a request what goes on.
pub(crate) fn outbound(parts: &mut Parts, target: &Target) -> Outbound {
    let mut headers = std::mem::take(&mut parts.headers);
    let trailers = headers
        .get_all(TE)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip_hop_by_hop(&mut headers);
    headers.remove(HOST);
    if trailers {
        // gRPC origins insist on it (RFC 9113 §8.2.2 allows this one value).
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Outbound {
        method: parts.method.clone(),
        target: target.clone(),
        path: parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
        headers,
        reframed: false,
    }
}

/// Takes off a response what belongs to the hop, and what only Egret may say.
pub(crate) fn inbound(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(X_EGRET_REASON);
    headers.remove(PROXY_STATUS);
}

/// The same for a response's trailers.
pub(crate) fn inbound_trailers(trailers: &mut HeaderMap) {
    trailers.remove(X_EGRET_REASON);
    trailers.remove(PROXY_STATUS);
}

/// The same for a 101, which keeps the two fields that make it one.
pub(crate) fn inbound_upgrade(headers: &mut HeaderMap) {
    inbound(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Refuses a field that would have the origin act on another method than was decided about.
pub(crate) fn check_method_override(parts: &Parts) -> Result<(), Refusal> {
    let differs = |name: &&str| {
        parts
            .headers
            .get_all(*name)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(parts.method.as_str().as_bytes()))
    };
    match METHOD_OVERRIDES.iter().find(|name| differs(name)) {
        Some(name) => Err(Refusal::new(DenyReason::RequestAmbiguous)
            .detail(format!("{name} asks for another method than the request line"))),
        None => Ok(()),
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        strip_named(headers);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What `Connection` names goes too, save the fields that frame or address the message.
fn strip_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Host, Scheme};

    #[track_caller]
    fn check(sent: &[(&str, &str)], kept: &[&str]) {
        let mut request = Request::builder().uri("/x");
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let target = Target::new(Scheme::Https, Host::parse("a.test").unwrap(), 443);
        let mut names: Vec<_> = outbound(&mut parts, &target)
            .headers
            .keys()
            .map(ToString::to_string)
            .collect();
        names.sort();
        assert_eq!(names, kept);
    }

    #[test]
    fn fields_of_the_hop_stay_on_it() {
        check(&[("Accept", "*/*"), ("Host", "a.test")], &["accept"]);
        check(
            &[
                ("Connection", "keep-alive, X-Secret"),
                ("Connection", "X-Other"),
                ("X-Secret", "1"),
                ("X-Other", "2"),
                ("X-Kept", "3"),
            ],
            &["x-kept"],
        );
        check(
            &[
                ("Connection", "content-length, host"),
                ("Content-Length", "3"),
                ("Host", "a.test"),
            ],
            &["content-length"],
        );
        check(
            &[
                ("Proxy-Authorization", "Basic eA=="),
                ("Proxy-Connection", "keep-alive"),
                ("Keep-Alive", "5"),
                ("Upgrade", "h2c"),
            ],
            &[],
        );
        check(&[("TE", "trailers")], &["te"]);
        check(&[("TE", "gzip")], &[]);
    }

    #[test]
    fn a_method_override_must_agree() {
        let parts = |value: &str| {
            Request::builder()
                .method("POST")
                .uri("/x")
                .header("X-HTTP-Method-Override", value)
                .body(())
                .unwrap()
                .into_parts()
                .0
        };
        assert!(check_method_override(&parts("post")).is_ok());
        assert!(check_method_override(&parts("DELETE")).is_err());
    }

    #[test]
    fn an_origin_cannot_speak_for_egret() {
        let mut headers = HeaderMap::new();
        headers.insert(X_EGRET_REASON, HeaderValue::from_static("host.not_listed"));
        headers.insert(
            PROXY_STATUS,
            HeaderValue::from_static("egret; error=http_request_denied"),
        );
        headers.insert("etag", HeaderValue::from_static("\"1\""));
        inbound(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["etag"]);
    }
}
