//! One stream on its way through the redactor: a request's body, its trailers, or what a client sends over a WebSocket.
//!
//! What is found there is rewritten, refused or noted, as the surface is set.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::coded::{Coded, Look};
use super::coding::Codings;
use super::reply::Refusal;
use crate::config::SurfaceMode;
use crate::metrics::Surface;
use crate::policy::DenyReason;
use crate::redact::{Finding, Redactor, Stream};

/// Different secrets that one stream's record tells apart; those beyond are counted by their rule.
const DISTINCT: usize = 64;
/// How many findings a refusal names, and how long a field's name may be to be named.
const NAMED: usize = 3;
const NAMED_BYTES: usize = 64;
/// How much text of a coded body is looked at in one go: other exchanges wait meanwhile.
const TURN: usize = 64 * 1024;

/// One kind of finding at one place, for the record.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) surface: Surface,
    /// The header field it stood in.
    pub(crate) field: Option<HeaderName>,
}

impl Found {
    /// Such as `github-pat in the header x-note`.
    fn described(&self) -> String {
        let rule = &self.finding.rule;
        let field = self
            .field
            .as_ref()
            .map(HeaderName::as_str)
            .filter(|name| name.len() <= NAMED_BYTES);
        match (self.surface, field) {
            (Surface::Header, Some(field)) => format!("{rule} in the header {field}"),
            (Surface::Header, None) => format!("{rule} in a header"),
            (Surface::Body, Some(field)) => format!("{rule} in the trailer {field}"),
            (Surface::Body, None) => format!("{rule} in the body"),
            (Surface::Url, _) => format!("{rule} in the URL"),
            (Surface::WebSocket, _) => format!("{rule} in a WebSocket message"),
        }
    }
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

    /// What becomes of a request in which something was found, or nothing.
    pub(super) fn refusal(self, found: &[Found]) -> Result<(), Refusal> {
        match self {
            Self::Refuse(reason) if !found.is_empty() => Err(refusal(reason, found)),
            Self::Rewrite | Self::Note | Self::Refuse(_) => Ok(()),
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
    coded: Option<Box<Coded>>,
    released: Vec<Bytes>,
    found: Vec<Found>,
}

impl Scrub {
    /// A stream of text as it comes.
    pub(super) fn new(redactor: &Redactor, action: Action, surface: Surface) -> Self {
        Self {
            redactor: redactor.clone(),
            stream: redactor.stream(),
            action,
            surface,
            coded: None,
            released: Vec::new(),
            found: Vec::new(),
        }
    }

    /// A body that comes in codings.
    pub(super) fn coded(mut self, codings: &Codings) -> Result<Self, DenyReason> {
        if !codings.is_identity() {
            self.coded = Some(Box::new(Coded::new(codings, self.redactor.stream())?));
        }
        Ok(self)
    }

    /// Takes bytes in and lets out what is decided; an error when they must not go on. Of a coded body only a part may be looked at: then it
    /// [is busy](Scrub::is_busy), and takes more only after it went on.
    pub(crate) fn push(&mut self, data: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        match &mut self.coded {
            None => self.push_plain(data, out),
            Some(coded) => {
                coded.feed(data);
                self.go_on(out)
            }
        }
    }

    /// Whether it has bytes that it did not look at yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.coded.as_ref().is_some_and(|coded| coded.is_busy())
    }

    /// Looks at more of what it has.
    pub(crate) fn go_on(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        self.with_coded(|scrub, coded| scrub.look(coded, out))
    }

    /// Ends the body, or one message of many.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        if self.coded.is_some() {
            return self.with_coded(|scrub, coded| scrub.finish_coded(coded, out));
        }
        self.stream.flush(&mut self.released);
        self.settle(out)
    }

    /// Redacts the values of trailers.
    pub(crate) fn fields(&mut self, fields: &mut HeaderMap) -> Result<(), DenyReason> {
        if self.action != Action::Note
            && let Some(found) = in_name(&self.redactor, fields, self.surface)
        {
            self.found.extend(found);
            return Err(DenyReason::SecretUnrewritable);
        }
        for (name, value) in fields {
            let clean = self.alone(Bytes::copy_from_slice(value.as_bytes()), Some(name))?;
            if clean != value.as_bytes() {
                *value = HeaderValue::from_maybe_shared(clean).map_err(|_| DenyReason::SecretUnrewritable)?;
            }
        }
        Ok(())
    }

    /// Redacts a text that stands by itself, such as a control frame between two fragments of a message.
    pub(crate) fn once(&mut self, text: Bytes) -> Result<Bytes, DenyReason> {
        self.alone(text, None)
    }

    fn alone(&mut self, text: Bytes, field: Option<&HeaderName>) -> Result<Bytes, DenyReason> {
        let Some((clean, findings)) = self.redactor.value(&text, &|_| false) else {
            return Ok(text);
        };
        self.note(findings, field);
        match self.action {
            Action::Rewrite => Ok(Bytes::from(clean)),
            Action::Note => Ok(text),
            Action::Refuse(reason) => Err(reason),
        }
    }

    /// Adds to what was found: the same secret is one entry with its count, and the number of entries is bounded, however long the stream.
    fn note(&mut self, findings: Vec<Finding>, field: Option<&HeaderName>) {
        for mut finding in findings {
            let is_known =
                |known: &&mut Found, finding: &Finding| known.finding.is_same(finding) && known.field.as_ref() == field;
            if self.found.len() >= DISTINCT && !self.found.iter_mut().any(|known| is_known(&known, &finding)) {
                finding.fingerprint = None;
            }
            match self.found.iter_mut().find(|known| is_known(known, &finding)) {
                Some(known) => known.finding.count = known.finding.count.saturating_add(finding.count),
                None => self.found.push(Found {
                    finding,
                    surface: self.surface,
                    field: field.cloned(),
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

    fn with_coded(
        &mut self,
        step: impl FnOnce(&mut Self, &mut Coded) -> Result<(), DenyReason>,
    ) -> Result<(), DenyReason> {
        let Some(mut coded) = self.coded.take() else {
            return Ok(());
        };
        let result = step(self, &mut coded);
        self.coded = Some(coded);
        result
    }

    fn look(&mut self, coded: &mut Coded, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        let mut looked = 0;
        while looked < TURN {
            match coded.look()? {
                Look::Text(text) => {
                    looked += text.len();
                    self.stream.push(text, &mut self.released);
                    self.pass_text(coded, out)?;
                }
                Look::Read(slice) => self.pass_slice(coded, slice, out)?,
                Look::Nothing => break,
            }
        }
        if coded.is_busy() { Ok(()) } else { Ok(coded.flush(out)?) }
    }

    fn finish_coded(&mut self, coded: &mut Coded, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        coded.end()?;
        self.stream.flush(&mut self.released);
        self.pass_text(coded, out)?;
        if self.action == Action::Rewrite {
            return Ok(coded.finish(out)?);
        }
        coded.raw.flush(&mut self.released);
        self.check_raw(coded)?;
        coded.release_all(out);
        Ok(())
    }

    /// Writes decided text anew, or forgets it where the coded bytes go on as they came.
    fn pass_text(&mut self, coded: &mut Coded, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        self.check()?;
        let decided = self.released.drain(..);
        if self.action == Action::Rewrite {
            coded.fold(decided, out)?;
        }
        Ok(())
    }

    /// Where the coded bytes go on as they came, they must be clean too.
    fn pass_slice(&mut self, coded: &mut Coded, slice: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), DenyReason> {
        if self.action == Action::Rewrite {
            return Ok(());
        }
        coded.raw.push(slice.clone(), &mut self.released);
        self.check_raw(coded)?;
        if self.action == Action::Note {
            out.push_back(slice);
            return Ok(());
        }
        coded.hold(slice)?;
        coded.release(self.stream.held(), out);
        Ok(())
    }

    fn check_raw(&mut self, coded: &mut Coded) -> Result<(), DenyReason> {
        self.released.clear();
        self.note(coded.raw.findings(), None);
        self.check()
    }

    /// Gathers findings; under `Refuse` the first one ends it.
    fn check(&mut self) -> Result<(), DenyReason> {
        let findings = self.stream.findings();
        self.note(findings, None);
        match self.action {
            Action::Refuse(reason) if !self.found.is_empty() => Err(reason),
            Action::Rewrite | Action::Refuse(_) | Action::Note => Ok(()),
        }
    }

    /// What was found so far.
    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }

    pub(crate) fn into_found(self) -> Vec<Found> {
        self.found
    }
}

/// The first field whose name is a secret: a name can't be rewritten. What it says of the place leaves the name out.
pub(super) fn in_name(redactor: &Redactor, fields: &HeaderMap, surface: Surface) -> Option<Vec<Found>> {
    let findings = fields
        .keys()
        .find_map(|name| redactor.value(name.as_str().as_bytes(), &|_| false));
    let found = |finding| Found {
        finding,
        surface,
        field: None,
    };
    findings.map(|(_, findings)| findings.into_iter().map(found).collect())
}

/// The refusal that says what was found, and where; never the text.
pub(super) fn refusal(reason: DenyReason, found: &[Found]) -> Refusal {
    let mut places: Vec<String> = Vec::new();
    for place in found.iter().map(Found::described) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let is_about_secrets = matches!(
        reason,
        DenyReason::SecretBlocked | DenyReason::SecretUnrewritable | DenyReason::SecretWrongAudience
    );
    if places.is_empty() || !is_about_secrets {
        return reason.into();
    }
    // Fields come in no order of their own.
    places.sort_unstable();
    let more = if places.len() > NAMED { ", and more" } else { "" };
    places.truncate(NAMED);
    Refusal::new(reason).detail(format!("Found {}{more}. {}", places.join(", "), reason.explanation()))
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
        let mut scrub = Scrub::new(&redactor, Action::Rewrite, Surface::WebSocket);
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
