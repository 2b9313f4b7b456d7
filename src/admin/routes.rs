//! Which page answers which request.
//!
//! A web page whose author rebinds a name to the admin address could read, from an operator's browser, what is served here.
//! So the console, which shows hosts and hints, answers only to a `Host` that nobody outside can own: an address, `localhost`,
//! a name without a dot, a Kubernetes Service. The other routes answer to any: Prometheus and probes use whatever name the
//! service has, and the numbers say little.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::{Admin, console};
use crate::metrics;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static(metrics::MEDIA_TYPE);

/// The reply to a request. For HEAD, hyper leaves the body out.
pub(super) fn reply(admin: &Admin, head: &Parts) -> Response<Full<Bytes>> {
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut reply = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match head.uri.path() {
        "/metrics" => page(StatusCode::OK, METRICS, admin.metrics.encode()),
        "/livez" => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => readiness(admin),
        "/" if host_is_ours(head) => console_page(admin),
        "/" => page(
            StatusCode::MISDIRECTED_REQUEST,
            TEXT,
            "the console is shown by address, as localhost (a port forward), or by a Service's name\n".to_owned(),
        ),
        _ => page(
            StatusCode::NOT_FOUND,
            TEXT,
            "there are: / /metrics /livez /readyz\n".to_owned(),
        ),
    }
}

fn readiness(admin: &Admin) -> Response<Full<Bytes>> {
    let reasons = admin.unready();
    if reasons.is_empty() {
        return page(StatusCode::OK, TEXT, "ok\n".to_owned());
    }
    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
}

fn console_page(admin: &Admin) -> Response<Full<Bytes>> {
    let mut reply = page(StatusCode::OK, HTML, console::html(admin));
    reply
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, console::content_security_policy());
    reply
}

fn page(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Whether nobody outside can own the one name that the request was sent to.
fn host_is_ours(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    host.to_str().is_ok_and(is_ours)
}

fn is_ours(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() {
        return false;
    }
    let service = [".svc", ".svc.cluster.local", ".localhost"]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    service || !name.contains('.') || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::super::tests::admin;
    use super::*;
    use crate::audit::OnFailure;

    struct Asked {
        admin: Admin,
        /// Removed with the test.
        _folder: tempfile::TempDir,
    }

    impl Asked {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let admin = admin(folder.path(), OnFailure::Refuse);
            Self { admin, _folder: folder }
        }

        fn ask(&self, method: &str, path: &str, host: &str) -> Response<Full<Bytes>> {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, host)
                .body(())
                .unwrap();
            reply(&self.admin, &request.into_parts().0)
        }

        #[track_caller]
        fn check(&self, method: &str, path: &str, host: &str, status: u16, kind: &str) {
            let reply = self.ask(method, path, host);
            assert_eq!(reply.status(), status, "{method} {path} for {host}");
            assert_eq!(reply.headers()[CONTENT_TYPE], kind, "{method} {path} for {host}");
            assert_eq!(reply.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn each_route_answers() {
        let asked = Asked::new();
        let text = "text/plain; charset=utf-8";
        asked.check(
            "GET",
            "/metrics",
            "egret.example.com:9090",
            200,
            "text/plain; version=0.0.4",
        );
        asked.check("HEAD", "/metrics", "10.0.0.1:9090", 200, "text/plain; version=0.0.4");
        asked.check("GET", "/livez", "egret.example.com", 200, text);
        asked.check("GET", "/", "localhost:9090", 200, "text/html; charset=utf-8");
        asked.check("GET", "/", "evil.example.com", 421, text);
        asked.check("GET", "/nothing", "localhost", 404, text);
        asked.check("POST", "/livez", "localhost", 405, text);
        asked.check("DELETE", "/", "evil.example.com", 405, text);
        assert_eq!(asked.ask("POST", "/", "localhost").headers()[ALLOW], "GET, HEAD");
    }

    #[test]
    fn readiness_follows_the_phase() {
        let asked = Asked::new();
        let text = "text/plain; charset=utf-8";
        asked.check("GET", "/readyz", "x", 503, text);
        assert_eq!(asked.admin.unready(), ["starting"]);
        asked.admin.readiness.ready();
        asked.check("GET", "/readyz", "x", 200, text);
        asked.admin.readiness.draining();
        asked.check("GET", "/readyz", "x", 503, text);
        assert_eq!(asked.admin.unready(), ["draining"]);
        asked.check("GET", "/livez", "x", 200, text);
    }

    #[test]
    fn the_console_needs_exactly_one_host() {
        let asked = Asked::new();
        for hosts in [&[][..], &["localhost", "localhost"]] {
            let request = hosts
                .iter()
                .fold(Request::builder().uri("/"), |request, host| request.header(HOST, *host));
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(reply(&asked.admin, &head).status(), 421, "{hosts:?}");
        }
    }

    #[track_caller]
    fn check_host(host: &str, ours: bool) {
        assert_eq!(is_ours(host), ours, "{host}");
    }

    #[test]
    fn only_names_that_nobody_outside_can_own_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "[fd00::1]",
            "egret",
            "egret:9090",
        ] {
            check_host(host, true);
        }
        for host in ["egret.egret.svc:9090", "egret.egret.svc.cluster.local.", "a.localhost"] {
            check_host(host, true);
        }
        for host in [
            "",
            ":9090",
            ".",
            "evil.com",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "svc.evil.com",
            "[evil.com]",
            "[::1",
        ] {
            check_host(host, false);
        }
    }
}
