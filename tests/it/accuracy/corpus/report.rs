//! What the corpus showed, as numbers and as Markdown tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use egret::redact::Finding;

use super::dress::DRESSES;
use super::media::{MEDIA, Position};
use super::negatives::Family;

/// What became of a dressed secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing of it can be read, and the rest is whole.
    Found,
    /// It can be read.
    Missed,
    /// It can't, but what stands around it was changed, or the document is no longer well formed.
    Broken,
}

/// One dressed secret that was tried.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) kind: String,
    pub(crate) medium: &'static str,
    pub(crate) dress: &'static str,
    pub(crate) position: &'static str,
    pub(crate) depth: usize,
    pub(crate) outcome: Outcome,
    /// Whether a finding names its own kind.
    pub(crate) named: bool,
}

/// One document of clean traffic that was tried.
pub(crate) struct Clean<'a> {
    pub(crate) family: &'a Family,
    pub(crate) bytes: usize,
    pub(crate) changed: usize,
    pub(crate) findings: &'a [Finding],
}

/// How many broken documents and missed secrets are named.
const SHOWN: usize = 20;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) of: usize,
}

impl Share {
    fn count(&mut self, yes: bool) {
        self.part += usize::from(yes);
        self.of += 1;
    }

    /// The share; of nothing, none.
    pub(crate) fn value(self) -> f64 {
        if self.of == 0 {
            0.0
        } else {
            number(self.part) / number(self.of)
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded down: 1.0000 means all.
        let value = (self.value() * 10_000.0).floor() / 10_000.0;
        write!(f, "{value:.4} | {} | {}", self.of - self.part, self.of)
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// What happened to one family's documents.
#[derive(Clone, Debug, Default)]
struct Traffic {
    documents: usize,
    bytes: usize,
    changed_documents: usize,
    changed: usize,
    rules: BTreeSet<String>,
    is_ordinary: bool,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Report {
    depths: [Share; 3],
    kinds: BTreeMap<String, Share>,
    media: BTreeMap<&'static str, Share>,
    dresses: BTreeMap<&'static str, Share>,
    positions: BTreeMap<&'static str, Share>,
    /// Kinds that were found under their own name.
    named: Share,
    /// Documents that stayed whole.
    whole: Share,
    /// The first that did not.
    broken: Vec<String>,
    /// The first plain secrets that were missed, each kind and medium once.
    missed: BTreeSet<String>,
    families: BTreeMap<&'static str, Traffic>,
}

impl Report {
    /// Counts cases.
    pub(crate) fn cases(&mut self, cases: impl IntoIterator<Item = Case>) {
        for case in cases {
            let hidden = case.outcome != Outcome::Missed;
            self.depths[case.depth.min(2)].count(hidden);
            self.media.entry(case.medium).or_default().count(hidden);
            self.dresses.entry(case.dress).or_default().count(hidden);
            self.positions.entry(case.position).or_default().count(hidden);
            self.named.count(case.named);
            self.whole.count(case.outcome != Outcome::Broken);
            if !hidden && case.depth == 0 && self.missed.len() < SHOWN {
                self.missed.insert(format!("{} in {}", case.kind, case.medium));
            }
            if case.outcome == Outcome::Broken && self.broken.len() < SHOWN {
                self.broken
                    .push(format!("{} in {}, {}", case.kind, case.medium, case.dress));
            }
            self.kinds.entry(case.kind).or_default().count(hidden);
        }
    }

    /// Counts a document of clean traffic.
    pub(crate) fn clean(&mut self, clean: &Clean<'_>) {
        let traffic = self.families.entry(clean.family.name).or_default();
        traffic.is_ordinary = clean.family.is_ordinary;
        traffic.documents += 1;
        traffic.bytes += clean.bytes;
        traffic.changed += clean.changed;
        traffic.changed_documents += usize::from(clean.changed > 0);
        traffic
            .rules
            .extend(clean.findings.iter().map(|finding| finding.rule.to_string()));
    }

    /// Recall where the secret stands as it is.
    pub(crate) fn plain(&self) -> Share {
        self.depths[0]
    }

    /// Recall under one encoding.
    pub(crate) fn encoded(&self) -> Share {
        self.depths[1]
    }

    /// Recall under several encodings.
    pub(crate) fn encoded_again(&self) -> Share {
        self.depths[2]
    }

    /// Documents around secrets that stayed whole and well formed.
    pub(crate) fn whole(&self) -> Share {
        self.whole
    }

    /// Of all documents that were changed, those that hold a secret.
    pub(crate) fn precision(&self) -> f64 {
        let right: usize = self.depths.iter().map(|share| share.part).sum();
        let wrong: usize = self.families.values().map(|traffic| traffic.changed_documents).sum();
        Share {
            part: right,
            of: right + wrong,
        }
        .value()
    }

    /// Documents and bytes of clean traffic.
    pub(crate) fn clean_size(&self) -> (usize, usize) {
        let sum = |of: fn(&Traffic) -> usize| self.families.values().map(of).sum();
        (sum(|traffic| traffic.documents), sum(|traffic| traffic.bytes))
    }

    /// Families of ordinary traffic that did not arrive byte for byte, with the rules to blame.
    pub(crate) fn changed(&self) -> Vec<String> {
        let changed = self
            .families
            .iter()
            .filter(|(_, traffic)| traffic.is_ordinary && traffic.changed > 0);
        changed
            .map(|(name, traffic)| format!("{name}: {} bytes by {:?}", traffic.changed, traffic.rules))
            .collect()
    }

    fn shares<'a>(f: &mut fmt::Formatter<'_>, of: &str, shares: impl Iterator<Item = (&'a str, Share)>) -> fmt::Result {
        writeln!(f, "\n| {of} | recall | missed | of |\n|---|---:|---:|---:|")?;
        for (name, share) in shares {
            writeln!(f, "| {name} | {share} |")?;
        }
        Ok(())
    }

    fn clean_traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (documents, bytes) = self.clean_size();
        let megabytes = number(bytes) / 1e6;
        let positives: usize = self.families.values().map(|traffic| traffic.changed_documents).sum();
        writeln!(
            f,
            "\n| clean traffic | documents | kB | changed documents | changed bytes | by |\n|---|---:|---:|---:|---:|---|"
        )?;
        for (name, traffic) in &self.families {
            let rules = traffic.rules.iter().cloned().collect::<Vec<_>>().join(", ");
            let Traffic {
                documents,
                bytes,
                changed_documents,
                changed,
                ..
            } = traffic;
            writeln!(
                f,
                "| {name} | {documents} | {} | {changed_documents} | {changed} | {rules} |",
                bytes / 1000
            )?;
        }
        writeln!(
            f,
            "\n{documents} documents, {megabytes:.1} MB: {positives} false positives, {:.3} a MB; precision {:.4}.",
            number(positives) / megabytes,
            self.precision()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depths = ["plain", "one encoding", "several encodings"]
            .into_iter()
            .zip(self.depths);
        Self::shares(f, "secrets", depths)?;
        let media = MEDIA
            .iter()
            .filter_map(|medium| Some((medium.name, *self.media.get(medium.name)?)));
        Self::shares(f, "medium", media)?;
        let dresses = DRESSES
            .iter()
            .filter_map(|dress| Some((dress.name, *self.dresses.get(dress.name)?)));
        Self::shares(f, "encoding", dresses)?;
        let positions = Position::ALL.iter().map(|position| position.name());
        Self::shares(
            f,
            "position",
            positions.filter_map(|name| Some((name, *self.positions.get(name)?))),
        )?;
        Self::shares(
            f,
            "kind",
            self.kinds.iter().map(|(kind, share)| (kind.as_str(), *share)),
        )?;
        self.clean_traffic(f)?;
        let Share { part, of } = self.whole;
        writeln!(
            f,
            "\nAround {part} of {of} secrets the document stayed whole and well formed."
        )?;
        for example in &self.broken {
            writeln!(f, "* not around {example}")?;
        }
        for example in &self.missed {
            writeln!(f, "* missed, plain: {example}")?;
        }
        let Share { part, of } = self.named;
        writeln!(f, "\n{part} of {of} secrets were found under their own kind's name.")
    }
}
