//! Where a secret may leave: URL, header fields, bodies, WebSocket messages; and what is done about it there.
//!
//! What a secret is, [`crate::redact`] knows; what may stand where, the configuration and the rules' audiences say. This module brings
//! the two together for one exchange. The trail never gets a text that was not redacted, whatever the surfaces are set to.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::fields::Outbound;
use super::generation::Generation;
use super::ledger::Ledger;
use super::reply::Refusal;
use crate::config::SurfaceMode;
use crate::metrics::Surface;
use crate::policy::{DenyReason, Host, Permit};
use crate::redact::{Finding, Redactor, Rule, Stream};

/// Compressed input is decoded in slices of this size, so that what one slice can unfold to is bounded (at most about a thousandfold).
const INFLATE_SLICE: usize = 1024;
/// A body may unfold to this many times its size …
const MAX_RATIO: u64 = 200;
/// … once it has unfolded to more than this.
const RATIO_FLOOR: u64 = 1 << 20;

/// What is written percent-encoded when a part of a URL is encoded anew: all but what never needs it, and the separators of a path or pair.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'=');

/// Fields by which a body is covered by a digest or signature: it can't be changed without being noticed (or refused) by the origin.
const COVERING: [&str; 9] = [
    "content-md5",
    "content-digest",
    "repr-digest",
    "digest",
    "signature-input",
    "x-amz-content-sha256",
    "x-hub-signature-256",
    "x-goog-content-sha256",
    "stripe-signature",
];
/// Content whose own checksums break when a byte changes.
const CHECKSUMMED: [&str; 8] = [
    "application/x-git-",
    "application/zip",
    "application/gzip",
    "application/x-tar",
    "application/vnd.oci.",
    "image/",
    "audio/",
    "video/",
];

/// One kind of finding at one place, for the record.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) surface: Surface,
    /// The header field it stood in.
    pub(crate) field: Option<HeaderName>,
}

/// What happens to a secret that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It is rewritten.
    Rewrite,
    /// The request is refused.
    Refuse(DenyReason),
    /// It is noted and goes on.
    Note,
}

impl Action {
    /// None: the surface isn't looked at.
    fn of(mode: SurfaceMode) -> Option<Self> {
        match mode {
            SurfaceMode::Redact => Some(Self::Rewrite),
            SurfaceMode::Block => Some(Self::Refuse(DenyReason::SecretBlocked)),
            SurfaceMode::Alert => Some(Self::Note),
            SurfaceMode::Off => None,
        }
    }
}

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
    ledger.found(in_url(findings));
    match action {
        Action::Note => {}
        Action::Refuse(reason) => return Err(reason.into()),
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
    ledger.found(in_url(findings));
    match Action::of(generation.redaction.surfaces.url) {
        None | Some(Action::Note) => Ok(()),
        Some(Action::Rewrite | Action::Refuse(_)) => Err(DenyReason::SecretUnrewritable.into()),
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
        && outbound
            .headers
            .keys()
            .any(|name| holds_secret(&redaction.redactor, name))
    {
        return Err(DenyReason::SecretUnrewritable.into());
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
    let refused = !found.is_empty();
    ledger.found(found);
    match action {
        // A credential in the place for one, on its way to somebody else's host.
        Action::Refuse(_) if strayed => Err(DenyReason::SecretWrongAudience.into()),
        Action::Refuse(reason) if refused => Err(reason.into()),
        Action::Rewrite | Action::Note | Action::Refuse(_) => Ok(()),
    }
}

/// Whether a field's name is a secret: a name can't be rewritten.
fn holds_secret(redactor: &Redactor, name: &HeaderName) -> bool {
    redactor.value(name.as_str().as_bytes(), &|_| false).is_some()
}

/// The redactor for a request's body, or a refusal when the body is coded in a way that can't be read.
pub(crate) fn body_scrub(generation: &Generation, outbound: &mut Outbound) -> Result<Option<Scrub>, Refusal> {
    let Some(mut action) = Action::of(generation.redaction.surfaces.body) else {
        return Ok(None);
    };
    if action == Action::Rewrite && !rewritable(&outbound.headers) {
        action = Action::Refuse(DenyReason::SecretUnrewritable);
    }
    let coding = Coding::of(&outbound.headers)?;
    let may_grow = action == Action::Rewrite && !generation.redaction.keeps_length;
    outbound.reframed = may_grow || coding == Coding::Gzip && action == Action::Rewrite;
    Ok(Some(Scrub::new(
        &generation.redaction.redactor,
        action,
        coding,
        Surface::Body,
    )))
}

/// The redactor for what a client sends over a WebSocket.
pub(crate) fn websocket_scrub(generation: &Generation) -> Option<Scrub> {
    let action = Action::of(generation.redaction.surfaces.websocket)?;
    Some(Scrub::new(
        &generation.redaction.redactor,
        action,
        Coding::Identity,
        Surface::WebSocket,
    ))
}

/// Whether bytes of the body may be changed.
fn rewritable(headers: &HeaderMap) -> bool {
    let covered = COVERING
        .iter()
        .any(|name| headers.get(*name).is_some_and(|value| value != "UNSIGNED-PAYLOAD"));
    let checksummed = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| {
            CHECKSUMMED.iter().any(|prefix| {
                kind.get(..prefix.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
        });
    !covered && !checksummed
}

/// A content coding (RFC 9110 §8.4) that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
            (None, _) => Ok(Self::Identity),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"identity") => Ok(Self::Identity),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => {
                Ok(Self::Gzip)
            }
            _ => Err(DenyReason::RequestEncoding.into()),
        }
    }
}

/// One stream on its way through the redactor.
#[derive(Debug)]
pub(crate) struct Scrub {
    redactor: Redactor,
    stream: Stream,
    action: Action,
    surface: Surface,
    gzip: Option<Box<Gzip>>,
    released: Vec<Bytes>,
    found: Vec<Found>,
}

impl Scrub {
    fn new(redactor: &Redactor, action: Action, coding: Coding, surface: Surface) -> Self {
        Self {
            redactor: redactor.clone(),
            stream: redactor.stream(),
            action,
            surface,
            gzip: (coding == Coding::Gzip).then(|| Box::new(Gzip::new(redactor.stream()))),
            released: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Takes bytes in and lets out what is decided; an error when they must not go on.
    pub(crate) fn push(&mut self, data: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        match self.gzip.take() {
            None => self.push_plain(data, out),
            Some(mut gzip) => {
                let pushed = self.push_gzip(&mut gzip, data, out);
                self.gzip = Some(gzip);
                pushed
            }
        }
    }

    /// Ends the body, or one message of many.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        let Some(mut gzip) = self.gzip.take() else {
            self.stream.flush(&mut self.released);
            return self.settle(out);
        };
        gzip.raw.flush(&mut self.released);
        self.released.clear();
        self.note(gzip.raw.findings());
        gzip.end_input()?;
        self.pass_inflated(&mut gzip)?;
        self.stream.flush(&mut self.released);
        self.check()?;
        if self.action == Action::Rewrite {
            gzip.deflate(self.released.drain(..), true, out)?;
        }
        Ok(())
    }

    /// Redacts the values of trailers.
    pub(crate) fn fields(&mut self, fields: &mut HeaderMap) -> Result<(), DenyReason> {
        if self.action != Action::Note && fields.keys().any(|name| holds_secret(&self.redactor, name)) {
            return Err(DenyReason::SecretUnrewritable);
        }
        for value in fields.values_mut() {
            let clean = self.once(Bytes::copy_from_slice(value.as_bytes()))?;
            if clean != value.as_bytes() {
                *value = HeaderValue::from_maybe_shared(clean).map_err(|_| DenyReason::SecretUnrewritable)?;
            }
        }
        Ok(())
    }

    /// Redacts a text that stands by itself, such as a control frame between two fragments of a message.
    pub(crate) fn once(&mut self, text: Bytes) -> Result<Bytes, DenyReason> {
        let Some((clean, findings)) = self.redactor.value(&text, &|_| false) else {
            return Ok(text);
        };
        self.note(findings);
        match self.action {
            Action::Rewrite => Ok(Bytes::from(clean)),
            Action::Note => Ok(text),
            Action::Refuse(reason) => Err(reason),
        }
    }

    fn note(&mut self, findings: Vec<Finding>) {
        let surface = self.surface;
        self.found.extend(findings.into_iter().map(|finding| Found {
            finding,
            surface,
            field: None,
        }));
    }

    fn push_plain(&mut self, data: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        if self.action == Action::Note {
            out.push_back(data.clone());
        }
        self.stream.push(data, &mut self.released);
        self.settle(out)
    }

    /// Lets out what the stream released, save where the bytes themselves went on already.
    fn settle(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        self.check()?;
        if self.action == Action::Note {
            self.released.clear();
        }
        out.extend(self.released.drain(..));
        Ok(())
    }

    fn push_gzip(&mut self, gzip: &mut Gzip, data: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        for slice in data.chunks(INFLATE_SLICE) {
            gzip.inflate(slice)?;
            self.pass_inflated(gzip)?;
        }
        self.check()?;
        if self.action == Action::Rewrite {
            return gzip.deflate(self.released.drain(..), false, out);
        }
        // The bytes go on as they came: gzip's own header (file name, comment) must be clean too.
        gzip.raw.push(data.clone(), &mut self.released);
        self.released.clear();
        self.note(gzip.raw.findings());
        self.check()?;
        out.push_back(data);
        Ok(())
    }

    fn pass_inflated(&mut self, gzip: &mut Gzip) -> Result<(), DenyReason> {
        let inflated = gzip.take_inflated();
        if !inflated.is_empty() {
            self.stream.push(inflated, &mut self.released);
        }
        if self.action != Action::Rewrite {
            self.released.clear();
        }
        self.check()
    }

    /// Gathers findings; under `Refuse` the first one ends it.
    fn check(&mut self) -> Result<(), DenyReason> {
        let findings = self.stream.findings();
        self.note(findings);
        match self.action {
            Action::Refuse(reason) if !self.found.is_empty() => Err(reason),
            Action::Rewrite | Action::Refuse(_) | Action::Note => Ok(()),
        }
    }

    pub(crate) fn into_found(self) -> Vec<Found> {
        self.found
    }
}

/// A gzip body: inflated for the redactor, and deflated again behind it.
struct Gzip {
    /// Looks at the compressed bytes themselves, where those go on.
    raw: Stream,
    inflater: MultiGzDecoder<Vec<u8>>,
    deflater: Option<GzEncoder<Vec<u8>>>,
    bytes_in: u64,
    bytes_out: u64,
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip").finish_non_exhaustive()
    }
}

impl Gzip {
    fn new(raw: Stream) -> Self {
        Self {
            raw,
            inflater: MultiGzDecoder::new(Vec::new()),
            deflater: Some(GzEncoder::new(Vec::new(), Compression::fast())),
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    fn inflate(&mut self, slice: &[u8]) -> Result<(), DenyReason> {
        self.inflater.write_all(slice).map_err(bad_gzip)?;
        self.bytes_in += u64::try_from(slice.len()).unwrap_or(u64::MAX);
        self.bytes_out += u64::try_from(self.inflater.get_ref().len()).unwrap_or(u64::MAX);
        if self.bytes_out > RATIO_FLOOR && self.bytes_out / self.bytes_in.max(1) > MAX_RATIO {
            return Err(DenyReason::LimitDecompression);
        }
        Ok(())
    }

    fn end_input(&mut self) -> Result<(), DenyReason> {
        self.inflater.try_finish().map_err(bad_gzip)
    }

    fn take_inflated(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.inflater.get_mut()))
    }

    fn deflate(
        &mut self,
        pieces: impl Iterator<Item = Bytes>,
        last: bool,
        out: &mut VecDeque<Bytes>,
    ) -> Result<(), DenyReason> {
        let Some(deflater) = &mut self.deflater else {
            return Ok(());
        };
        for piece in pieces {
            deflater.write_all(&piece).map_err(bad_gzip)?;
        }
        let mut ready = std::mem::take(deflater.get_mut());
        if last && let Some(deflater) = self.deflater.take() {
            ready.extend(deflater.finish().map_err(bad_gzip)?);
        }
        if !ready.is_empty() {
            out.push_back(Bytes::from(ready));
        }
        Ok(())
    }
}

/// A body that says gzip and isn't can't be read, so it can't go on.
fn bad_gzip(_: io::Error) -> DenyReason {
    DenyReason::RequestEncoding
}
