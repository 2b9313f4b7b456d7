//! Decides, byte string by byte string, what is clean and what is a secret.
//!
//! The scanner is handed the bytes from the first undecided one on, says how many it decided, and is handed the rest
//! again together with what followed. It remembers where its automaton stood, so no byte is stepped over twice for
//! the same candidate and rule, however small the pieces.

use std::ops::Range;

use super::candidate::{Open, Secret, Verdict};
use super::checks::is_well_known_example;
use super::credit::Credit;
use super::dress::Dress;
use super::endless::Endless;
use super::findings::{Fingerprint, KNOWN_SECRET, Tally};
use super::left::Left;
use super::replacement::{Filler, Replacement};
use super::rules::{Rule, RuleIndex};
use super::search::{Candidate, Found, Passed, Search, Source};
use super::words::Heard;
use super::{Settings, packed};

/// How many secrets behind one another wait for what stands before them.
const BEHIND: usize = 32;

/// A decided part of the input, in order.
#[derive(Debug)]
pub(super) enum Piece {
    /// So many bytes that stay as they are.
    Clean(usize),
    /// So many bytes, and what stands in their place.
    Replaced { len: usize, with: Vec<u8> },
}

impl Piece {
    /// How many bytes of the input it covers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Clean(len) | Self::Replaced { len, .. } => *len,
        }
    }
}

/// Where the scan of one byte string stands. All positions count from the first undecided byte.
pub(super) struct Scanner {
    mode: Mode,
    /// The byte before the first undecided one.
    before: Left,
    /// Candidates that have been looked at.
    passed: Passed,
    credit: Credit,
    heard: Heard,
    /// Secrets that stand behind the beginnings of their matches, the first of them last: what stands there is looked at
    /// before they are replaced.
    behind: Vec<Secret>,
    /// Whether packed text within the text is unpacked as well; what was packed twice is not.
    unpacks: bool,
}

enum Mode {
    Searching,
    Deciding(Open),
    Replacing(Endless),
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            mode: Mode::Searching,
            before: Left::default(),
            passed: Passed::default(),
            credit: Credit::default(),
            heard: Heard::default(),
            behind: Vec::new(),
            unpacks: true,
        }
    }
}

/// It depends on bytes still to come.
struct Undecided;

/// What stays the same during one call.
pub(super) struct Pass<'a> {
    pub(super) settings: &'a Settings,
    pub(super) text: &'a [u8],
    pub(super) whole: bool,
    at_home: &'a dyn Fn(&Rule) -> bool,
    unpacks: bool,
}

impl Pass<'_> {
    /// Whether a match of `rule` is a secret.
    pub(super) fn passes(&self, rule: &Rule, secret: &[u8], matched: Option<&[u8]>) -> bool {
        rule.passes(secret, matched)
            && !(self.settings.examples_pass && is_well_known_example(secret))
            && (!rule.is_packed() || self.unpacks && !packed::findings(self.settings, secret).is_empty())
    }

    /// The known secret at `at`, if there is one.
    fn known_at(&self, at: usize) -> Result<Option<Secret>, Undecided> {
        let rest = self.text.get(at..).unwrap_or_default();
        if !self.whole && self.settings.known.may_grow(rest) {
            return Err(Undecided);
        }
        Ok(self.settings.known.longest(rest).map(|length| Secret {
            rule: RuleIndex::KNOWN,
            text: at..at + length,
            end: at + length,
            beneath: None,
            open: None,
        }))
    }

    /// How far candidates are looked at before `secret` is replaced: to its beginning, and of one that is known by its name
    /// only, also those that begin with it.
    fn awaited_to(&self, secret: &Secret) -> usize {
        secret.text.start + usize::from(self.is_generic(secret.rule))
    }

    fn is_generic(&self, rule: RuleIndex) -> bool {
        self.settings.rules.rule(rule).is_some_and(Rule::is_generic)
    }

    fn is_at_home(&self, rule: RuleIndex) -> bool {
        self.settings.rules.rule(rule).is_some_and(self.at_home)
    }
}

impl Scanner {
    /// For text that was packed.
    pub(super) fn unpacked() -> Self {
        Self {
            unpacks: false,
            ..Self::default()
        }
    }

    /// Goes over `text`, which begins with the first undecided byte; `whole` when nothing follows it. Hands each
    /// decided piece to `emit`, counts findings in `tally`, and gives the number of bytes decided.
    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        text: &[u8],
        whole: bool,
        at_home: &dyn Fn(&Rule) -> bool,
        emit: &mut dyn FnMut(Piece),
        tally: &mut Tally,
    ) -> usize {
        let pass = Pass {
            settings,
            text,
            whole,
            at_home,
            unpacks: self.unpacks,
        };
        let mut search = Search::after(self.before.byte());
        let mut done = 0;
        loop {
            done = match &mut self.mode {
                Mode::Searching => {
                    let found = search.next(settings, text, self.passed, whole);
                    if let Some(secret) = self.behind.pop_if(|secret| found.position() >= pass.awaited_to(secret)) {
                        match secret.behind(done) {
                            Some(secret) => {
                                clean(done..secret.text.start, emit);
                                self.replace(&pass, secret, emit, tally)
                            }
                            None => continue,
                        }
                    } else {
                        match found {
                            Found::Candidate(Candidate {
                                at,
                                dress,
                                source: source @ Source::Known,
                                ..
                            }) => match pass.known_at(at) {
                                Err(Undecided) => {
                                    clean(done..at, emit);
                                    done = at;
                                    break;
                                }
                                Ok(known) => {
                                    if let Some(known) = known {
                                        self.keep(&pass, known);
                                    }
                                    self.passed = Passed::candidate(at, dress, source);
                                    continue;
                                }
                            },
                            Found::Candidate(candidate) => {
                                self.credit.pay_to(candidate.at);
                                self.mode = Mode::Deciding(Open::new(candidate));
                                continue;
                            }
                            Found::NoneBefore(at) => {
                                if at > self.passed.at {
                                    self.passed = Passed::to(at);
                                }
                                let decided = at.max(done);
                                clean(done..decided, emit);
                                done = decided;
                                break;
                            }
                        }
                    }
                }
                Mode::Deciding(open) => {
                    let (start, dress, source) = (open.start, open.dress, open.source);
                    match open.decide(&pass, self.before, &mut self.credit, &mut self.heard) {
                        Verdict::Undecided => {
                            clean(done..start, emit);
                            done = start;
                            break;
                        }
                        Verdict::Secret(secret) if !pass.is_at_home(secret.rule) => self.keep(&pass, secret),
                        Verdict::Nothing | Verdict::Secret(_) => {}
                    }
                    self.passed = Passed::candidate(start, dress, source);
                    self.mode = Mode::Searching;
                    continue;
                }
                Mode::Replacing(endless) => match endless.go_on(&pass, done, emit) {
                    (end, true) => {
                        self.passed = Passed::to(end);
                        self.mode = Mode::Searching;
                        end
                    }
                    (end, false) => {
                        done = end;
                        break;
                    }
                },
            };
        }
        settings.rules.prefilter.hear(&mut self.heard, text, done);
        self.rebase(done, text);
        done
    }

    /// Keeps a secret until what stands before it has been looked at: its match began before what is replaced first, so it would not
    /// be found again. When too many are kept, all from the first of them to this one is hidden.
    fn keep(&mut self, pass: &Pass<'_>, secret: Secret) {
        let same = |kept: &&mut Secret| kept.text.start == secret.text.start && pass.is_generic(kept.rule);
        // What is a secret by its name only is better called by what it is.
        if let Some(kept) = self.behind.iter_mut().find(same) {
            if secret.text.end >= kept.text.end {
                *kept = secret;
            } else {
                kept.rule = secret.rule;
            }
            return;
        }
        let full = self.behind.len() == BEHIND;
        if let Some(first) = self.behind.last_mut().filter(|_| full) {
            first.cover(&secret);
            return;
        }
        let nth = self.behind.partition_point(|kept| kept.text.start > secret.text.start);
        self.behind.insert(nth, secret);
    }

    /// Writes the replacement of `secret`; gives the position decided to.
    fn replace(&mut self, pass: &Pass<'_>, secret: Secret, emit: &mut dyn FnMut(Piece), tally: &mut Tally) -> usize {
        self.mode = Mode::Searching;
        self.passed = Passed::to(secret.text.end);
        let Some(text) = pass.text.get(secret.text.clone()) else {
            self.passed = Passed::to(secret.end);
            return secret.text.start;
        };
        let kind = Kind::of(pass.settings, secret.rule);
        if let Some((dress, part)) = secret.beneath {
            let beneath = dress.decode(text, part.end);
            let fingerprint = count(
                pass.settings,
                secret.rule,
                beneath.get(part.clone()).unwrap_or_default(),
                tally,
            );
            let with = rewritten(pass.settings, &kind, text, dress, beneath, part, fingerprint);
            emit(Piece::Replaced { len: text.len(), with });
            return secret.text.end;
        }
        let fingerprint = count(pass.settings, secret.rule, text, tally);
        let before = self.before.of(pass.text, secret.text.start).byte();
        let kept = kind.public_prefix(text);
        let (filler, with) = Filler::begin(&pass.settings.replacement, kind.id, text, kept, before, fingerprint);
        emit(Piece::Replaced { len: text.len(), with });
        if let Some(open) = secret.open {
            self.mode = Mode::Replacing(Endless::new(secret.rule, open, secret.end, filler));
        }
        secret.text.end
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.credit.spent
    }

    /// Counts positions from the byte at `done` on.
    fn rebase(&mut self, done: usize, text: &[u8]) {
        self.before = self.before.of(text, done);
        self.passed.rebase(done);
        self.credit.rebase(done);
        self.heard.rebase(done);
        self.behind.retain_mut(|secret| secret.rebase(done));
        match &mut self.mode {
            Mode::Searching => {}
            Mode::Deciding(open) => open.rebase(done),
            Mode::Replacing(endless) => endless.rebase(done),
        }
    }
}

fn clean(part: Range<usize>, emit: &mut dyn FnMut(Piece)) {
    if !part.is_empty() {
        emit(Piece::Clean(part.len()));
    }
}

/// Counts a secret; of packed text, what is packed in it.
fn count(settings: &Settings, rule: RuleIndex, secret: &[u8], tally: &mut Tally) -> Fingerprint {
    let fingerprint = settings.key.fingerprint(secret);
    let packed = settings.rules.rule(rule).is_some_and(Rule::is_packed);
    let within = if packed {
        packed::findings(settings, secret)
    } else {
        Tally::default()
    };
    if within.is_empty() {
        tally.add(rule, fingerprint);
    } else {
        tally.merge(within);
    }
    fingerprint
}

/// The text with the secret at `part` of what is `beneath` its dress replaced. Its length stays even with a template, as far
/// as the text is coded: another length would break what follows.
fn rewritten(
    settings: &Settings,
    kind: &Kind<'_>,
    text: &[u8],
    dress: Dress,
    mut beneath: Vec<u8>,
    part: Range<usize>,
    fingerprint: Fingerprint,
) -> Vec<u8> {
    let secret = beneath.get(part.clone()).unwrap_or_default();
    let replacement = if dress.has_coat() {
        &Replacement::SameLength
    } else {
        &settings.replacement
    };
    let kept = kind.public_prefix(secret);
    let (_, with) = Filler::begin(replacement, kind.id, secret, kept, None, fingerprint);
    match beneath.get_mut(part) {
        Some(secret) if secret.len() == with.len() => {
            secret.copy_from_slice(&with);
            let mut text = text.to_vec();
            dress.rewrite(&mut text, &beneath);
            text
        }
        _ => with,
    }
}

/// What a secret is called, and what of it is public.
struct Kind<'a> {
    id: &'a str,
    rule: Option<&'a Rule>,
}

impl<'a> Kind<'a> {
    fn of(settings: &'a Settings, rule: RuleIndex) -> Self {
        let rule = settings.rules.rule(rule);
        Self {
            id: rule.map_or(KNOWN_SECRET, Rule::id),
            rule,
        }
    }

    fn public_prefix(&self, secret: &[u8]) -> usize {
        self.rule.map_or(0, |rule| rule.public_prefix(secret))
    }
}
