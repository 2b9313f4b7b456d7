//! The replies that Egret writes itself: one place renders every refusal (RFC 9457, RFC 9209).
//!
//! A reply says which code, what a person can change, and the exchange's id, under which the record stands. It says nothing of the
//! inside: no address, no other workload, no secret.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHENTICATE, RETRY_AFTER,
};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use super::coding;
use crate::policy::DenyReason;

/// Carries the reason code; Egret's own, stripped from origins' responses.
pub(crate) const X_EGRET_REASON: HeaderName = HeaderName::from_static("x-egret-reason");
/// RFC 9209; stripped from origins' responses, so that a refusal can't be forged.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// How long a client should wait after a limit was met or while records can't be written, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request gets Egret's own reply, with words for the person who meets it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    reason: DenyReason,
    detail: Cow<'static, str>,
    hint: Option<String>,
    rule: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: DenyReason) -> Self {
        Self {
            reason,
            detail: Cow::Borrowed(reason.explanation()),
            hint: None,
            rule: None,
        }
    }

    /// What exactly was wrong.
    pub(crate) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// What to change.
    pub(crate) fn hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The rule that denied.
    pub(crate) fn rule(mut self, rule: String) -> Self {
        self.rule = Some(rule);
        self
    }

    pub(crate) fn reason(&self) -> DenyReason {
        self.reason
    }

    pub(crate) fn deciding_rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::FORBIDDEN)
    }

    /// The problem document (RFC 9457).
    fn document(&self, exchange: &str) -> Bytes {
        let mut problem = json!({
            "type": "about:blank",
            "title": self.reason.title(),
            "status": self.reason.status(),
            "detail": self.detail,
            "reason": self.reason.code(),
            "exchange": exchange,
        });
        if let Some(object) = problem.as_object_mut() {
            if let Some(hint) = &self.hint {
                object.insert("hint".to_owned(), json!(hint));
            }
            if let Some(rule) = &self.rule {
                object.insert("rule".to_owned(), json!(rule));
            }
        }
        let mut text = problem.to_string();
        text.push('\n');
        Bytes::from(text)
    }

    /// The whole reply to an HTTP request.
    pub(crate) fn response(&self, exchange: &str) -> Response<Bytes> {
        let mut response = Response::new(self.document(exchange));
        *response.status_mut() = self.status();
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        fields.insert(X_EGRET_REASON, HeaderValue::from_static(self.reason.code()));
        fields.insert(PROXY_STATUS, self.proxy_status());
        match self.status() {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                fields.insert(
                    PROXY_AUTHENTICATE,
                    HeaderValue::from_static(r#"Basic realm="egret", charset="UTF-8""#),
                );
                fields.append(PROXY_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="egret""#));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                fields.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                fields.insert(ACCEPT_ENCODING, coding::READABLE);
            }
            _ => {}
        }
        response
    }

    /// The reply to a refused CONNECT: clients hide its body, so that the reason phrase says the code, and nothing may follow it.
    pub(crate) fn connect_response(&self, exchange: &str) -> Response<Bytes> {
        let mut response = self.response(exchange);
        let phrase = format!(
            "{} {}",
            self.status().canonical_reason().unwrap_or("Refused"),
            self.reason.code()
        );
        if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
            response.extensions_mut().insert(phrase);
        }
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// The reply as bytes, for a connection that hyper has given up.
    pub(crate) fn http1_bytes(&self, exchange: &str) -> Vec<u8> {
        let response = self.response(exchange);
        let status = self.status();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or("Refused")
        )
        .into_bytes();
        for (name, value) in response.headers() {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(
            format!("content-length: {}\r\nconnection: close\r\n\r\n", response.body().len()).as_bytes(),
        );
        out.extend_from_slice(response.body());
        out
    }

    fn proxy_status(&self) -> HeaderValue {
        let text = format!(
            "egret; error={}; details=\"{}\"",
            self.reason.proxy_error(),
            self.reason.code()
        );
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("egret; error=http_request_denied"))
    }
}

impl From<DenyReason> for Refusal {
    fn from(reason: DenyReason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_whole_reply() {
        for &reason in DenyReason::ALL {
            let response = Refusal::new(reason).response("x-1");
            let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(problem["reason"], reason.code());
            assert_eq!(problem["status"], response.status().as_u16());
            assert!(
                !problem["detail"].as_str().unwrap().is_empty(),
                "{reason:?} says nothing"
            );
            assert_eq!(response.headers()[X_EGRET_REASON], reason.code());
            assert!(
                response.headers()[PROXY_STATUS]
                    .to_str()
                    .unwrap()
                    .starts_with("egret; error=")
            );
            assert_eq!(
                response.status() == 407,
                response.headers().contains_key(PROXY_AUTHENTICATE)
            );
            assert_eq!(
                matches!(response.status().as_u16(), 429 | 503),
                response.headers().contains_key(RETRY_AFTER)
            );
        }
    }

    #[test]
    fn a_refused_connect_says_its_code_in_the_reason_phrase() {
        let response = Refusal::new(DenyReason::HostNotListed).connect_response("x-1");
        assert_eq!(
            response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(),
            b"Forbidden host.not_listed"
        );
        assert_eq!(response.headers()[CONNECTION], "close");
    }
}
