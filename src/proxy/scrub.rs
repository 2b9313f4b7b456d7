//! One stream on its way through the redactor: a request's body, its trailers, or what a client sends over a WebSocket.
//!
//! What is found there is rewritten, refused or noted, as the surface is set.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};

use super::gzip::{Gzip, INFLATE_SLICE};
use super::reply::Refusal;
use crate::config::SurfaceMode;
use crate::metrics::Surface;
use crate::policy::DenyReason;
use crate::redact::{Finding, Redactor, Stream};

/// Different secrets that one stream's record tells apart; those beyond are counted by their rule.
const DISTINCT: usize = 64;

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
pub(super) enum Action {
    /// It is rewritten.
    Rewrite,
    /// The request is refused.
    Refuse(DenyReason),
    /// It is noted and goes on.
    Note,
}

impl Action {
    /// None: the surface isn't looked at.
    pub(super) fn of(mode: SurfaceMode) -> Option<Self> {
        match mode {
            SurfaceMode::Redact => Some(Self::Rewrite),
            SurfaceMode::Block => Some(Self::Refuse(DenyReason::SecretBlocked)),
            SurfaceMode::Alert => Some(Self::Note),
            SurfaceMode::Off => None,
        }
    }
}

/// A content coding (RFC 9110 §8.4) that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
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
    pub(super) fn new(redactor: &Redactor, action: Action, coding: Coding, surface: Surface) -> Self {
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

    /// Adds to what was found: the same secret is one entry with its count, and the number of entries is bounded, however long the stream.
    fn note(&mut self, findings: Vec<Finding>) {
        for mut finding in findings {
            if self.found.len() >= DISTINCT && !self.found.iter().any(|known| known.finding.is_same(&finding)) {
                finding.fingerprint = None;
            }
            match self.found.iter_mut().find(|known| known.finding.is_same(&finding)) {
                Some(known) => known.finding.count = known.finding.count.saturating_add(finding.count),
                None => self.found.push(Found {
                    finding,
                    surface: self.surface,
                    field: None,
                }),
            }
        }
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

/// Whether a field's name is a secret: a name can't be rewritten.
pub(super) fn holds_secret(redactor: &Redactor, name: &HeaderName) -> bool {
    redactor.value(name.as_str().as_bytes(), &|_| false).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::redact::{FingerprintKey, Replacement, Rules};

    #[test]
    fn findings_are_merged_and_bounded_however_long_the_stream() {
        let rules = Arc::new(Rules::builtin().unwrap());
        let redactor = Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[7; 32]));
        let mut scrub = Scrub::new(&redactor, Action::Rewrite, Coding::Identity, Surface::WebSocket);
        let mut out = VecDeque::new();
        for number in 0..1000_u32 {
            let digest = Sha256::digest((number / 2).to_be_bytes());
            let hex: Vec<String> = digest.iter().take(18).map(|byte| format!("{byte:02x}")).collect();
            let token = format!("ghp_{} ", hex.concat());
            scrub.push(Bytes::from(token), &mut out).unwrap();
            scrub.finish(&mut out).unwrap();
            out.clear();
        }
        let found = scrub.into_found();
        let total: u32 = found.iter().map(|found| found.finding.count).sum();
        assert_eq!((found.len(), total), (DISTINCT + 1, 1000));
    }
}
