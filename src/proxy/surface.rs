//! Where a secret may leave: URL, header fields, bodies, WebSocket messages; and what is done about it there.
//!
//! What a secret is, [`crate::redact`] knows; what may stand where, the configuration and the rules' audiences say. This module brings
//! the two together for one exchange. The trail never gets a text that was not redacted, whatever the surfaces are set to.

use std::borrow::Cow;

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::coding::Codings;
use super::fields::Outbound;
use super::generation::Generation;
use super::ledger::Ledger;
use super::reply::Refusal;
use super::scrub::{Action, Found, Scrub, in_name, refusal};
use super::signed;
use crate::metrics::Surface;
use crate::policy::{DenyReason, Host, Permit};
use crate::redact::{Finding, Redactor, Rule};

/// What is written percent-encoded when a part of a URL is encoded anew: all but what never needs it, and the separators of a path or pair.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'=');

/// Gives the trail path and query without secrets, before anything is decided. Tells whether any was there.
pub(crate) fn record_url(generation: &Generation, ledger: &mut Ledger, text: &str) -> bool {
    let redacted = redact_url(&generation.redaction.redactor, text, &|_, _| false);
    let found = redacted.is_some();
    ledger.url(redacted.map_or_else(|| text.to_owned(), |(clean, _)| clean));
    found
}

/// Redacts path and query; a credential that its service takes in URLs stays there.
pub(crate) fn scrub_url(
    generation: &Generation,
    ledger: &mut Ledger,
    permit: &Permit,
    outbound: &mut Outbound,
) -> Result<(), Refusal> {
    let redaction = &generation.redaction;
    let Some(action) = Action::of(redaction.surfaces.url) else {
        return Ok(());
    };
    let at_home = |rule: &Rule, place: UrlPlace<'_>| {
        let has_slot = match place {
            UrlPlace::Path => rule.audience_path(),
            UrlPlace::Query(key) => rule.audience_queries().iter().any(|own| own.eq_ignore_ascii_case(key)),
        };
        has_slot
            && redaction
                .audiences
                .admits(rule, permit.rule().map(|rule| &**rule), permit.host())
    };
    let Some((clean, findings)) = redact_url(&redaction.redactor, outbound.path.as_str(), &at_home) else {
        return Ok(());
    };
    let found: Vec<Found> = in_url(findings).collect();
    let refused = action.refusal(&found);
    ledger.found(found);
    match action {
        Action::Note => {}
        Action::Refuse(_) => return refused,
        Action::Rewrite => {
            outbound.path = PathAndQuery::try_from(clean).map_err(|_| Refusal::from(DenyReason::SecretUnrewritable))?;
        }
    }
    Ok(())
}

/// A place in a URL that a service may read a credential from.
#[derive(Debug, Clone, Copy)]
enum UrlPlace<'a> {
    Path,
    Query(&'a str),
}

/// Redacts path and query as they stand and as they read after percent-decoding; none when there is nothing to redact.
fn redact_url(
    redactor: &Redactor,
    text: &str,
    at_home: &dyn Fn(&Rule, UrlPlace<'_>) -> bool,
) -> Option<(String, Vec<Finding>)> {
    let suspect = text.contains('%') || redactor.value(text.as_bytes(), &|_| false).is_some();
    if !suspect {
        return None;
    }
    let mut findings = Vec::new();
    let (path, query) = text
        .split_once('?')
        .map_or((text, None), |(path, query)| (path, Some(query)));
    let mut clean = redact_part(redactor, path, &|rule| at_home(rule, UrlPlace::Path), &mut findings).into_owned();
    for (place, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        clean.push(if place == 0 { '?' } else { '&' });
        clean.push_str(&redact_part(
            redactor,
            pair,
            &|rule| at_home(rule, UrlPlace::Query(key)),
            &mut findings,
        ));
    }
    (!findings.is_empty()).then_some((clean, findings))
}

/// Redacts one part as it stands; failing a finding, as it reads decoded, and then encodes it anew.
fn redact_part<'a>(
    redactor: &Redactor,
    part: &'a str,
    at_home: &dyn Fn(&Rule) -> bool,
    findings: &mut Vec<Finding>,
) -> Cow<'a, str> {
    if let Some((clean, found)) = redactor.value(part.as_bytes(), at_home) {
        findings.extend(found);
        return Cow::Owned(String::from_utf8_lossy(&clean).into_owned());
    }
    let decoded: Cow<'_, [u8]> = percent_decode_str(part).into();
    match redactor.value(&decoded, at_home) {
        Some((clean, found)) if matches!(decoded, Cow::Owned(_)) => {
            findings.extend(found);
            Cow::Owned(percent_encode(&clean, ENCODED).to_string())
        }
        _ => Cow::Borrowed(part),
    }
}

/// Refuses a secret in a host name, before it is looked up: a look-up would tell it to whoever answers for the domain.
pub(crate) fn check_host(generation: &Generation, ledger: &mut Ledger, host: &Host) -> Result<(), Refusal> {
    let Some(name) = host.name() else { return Ok(()) };
    let Some((redacted, findings)) = generation
        .redaction
        .redactor
        .value(name.as_str().as_bytes(), &|_| false)
    else {
        return Ok(());
    };
    ledger.host(String::from_utf8_lossy(&redacted).into_owned());
    let found: Vec<Found> = in_url(findings).collect();
    let told = refusal(DenyReason::SecretUnrewritable, &found);
    ledger.found(found);
    match Action::of(generation.redaction.surfaces.url) {
        None | Some(Action::Note) => Ok(()),
        Some(Action::Rewrite | Action::Refuse(_)) => Err(told),
    }
}

fn in_url(findings: Vec<Finding>) -> impl Iterator<Item = Found> {
    findings.into_iter().map(|finding| Found {
        finding,
        surface: Surface::Url,
        field: None,
    })
}

/// Redacts header values; a credential in its own slot at its own host stays.
pub(crate) fn scrub_headers(
    generation: &Generation,
    ledger: &mut Ledger,
    permit: &Permit,
    outbound: &mut Outbound,
) -> Result<(), Refusal> {
    let Some(action) = Action::of(generation.redaction.surfaces.header) else {
        return Ok(());
    };
    let redaction = &generation.redaction;
    let mut found = Vec::new();
    let mut strayed = false;
    if action != Action::Note
        && let Some(found) = in_name(&redaction.redactor, &outbound.headers, Surface::Header)
    {
        let told = refusal(DenyReason::SecretUnrewritable, &found);
        ledger.found(found);
        return Err(told);
    }
    for (name, value) in &mut outbound.headers {
        let has_slot = |rule: &Rule| {
            rule.audience_headers()
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name.as_str()))
        };
        let at_home = |rule: &Rule| {
            has_slot(rule)
                && redaction
                    .audiences
                    .admits(rule, permit.rule().map(|rule| &**rule), permit.host())
        };
        let Some((clean, findings)) = generation.redaction.redactor.value(value.as_bytes(), &at_home) else {
            continue;
        };
        strayed |= findings
            .iter()
            .filter_map(|finding| redaction.redactor.rules().named(&finding.rule))
            .any(has_slot);
        found.extend(findings.into_iter().map(|finding| Found {
            finding,
            surface: Surface::Header,
            field: Some(name.clone()),
        }));
        if action == Action::Rewrite {
            *value = HeaderValue::try_from(clean).map_err(|_| Refusal::from(DenyReason::SecretUnrewritable))?;
        }
    }
    let action = match action {
        // A credential in the place for one, on its way to somebody else's host.
        Action::Refuse(_) if strayed => Action::Refuse(DenyReason::SecretWrongAudience),
        Action::Rewrite | Action::Note | Action::Refuse(_) => action,
    };
    let refused = action.refusal(&found);
    ledger.found(found);
    refused
}

/// The redactor for a request's body, or a refusal when the body is coded in a way that can't be read.
pub(crate) fn body_scrub(generation: &Generation, outbound: &mut Outbound) -> Result<Option<Scrub>, Refusal> {
    let Some(mut action) = Action::of(generation.redaction.surfaces.body) else {
        return Ok(None);
    };
    let codings = Codings::of(&outbound.headers).ok_or(DenyReason::RequestEncoding)?;
    let is_fixed = codings.has_signed_frames() || signed::is_fixed(&outbound.headers, outbound.path.path());
    if action == Action::Rewrite && is_fixed {
        action = Action::Refuse(DenyReason::SecretUnrewritable);
    }
    outbound.reframed = action == Action::Rewrite && (!generation.redaction.keeps_length || !codings.is_identity());
    let scrub = Scrub::new(&generation.redaction.redactor, action, Surface::Body).coded(&codings)?;
    Ok(Some(scrub))
}

/// The redactor for what a client sends over a WebSocket.
pub(crate) fn websocket_scrub(generation: &Generation) -> Option<Scrub> {
    let action = Action::of(generation.redaction.surfaces.websocket)?;
    Some(Scrub::new(&generation.redaction.redactor, action, Surface::WebSocket))
}
