//! The search for what begins within a run of token bytes: the first four bytes are looked up.
//!
//! Many kinds can only begin where no letter or digit stands to the left. Those are not looked up elsewhere in a run, so
//! that hashes and coded images cost little.

use std::ops::Range;

use super::byte_set::ByteSet;
use super::rules::RuleIndex;
use super::runs::{RUN, Starts, Stretch, is_token_byte};
use super::table::{Filter, Gram, Index, gram};

/// How many grams are looked up before a decision.
const AT_ONCE: usize = 8;

/// A rule's first four bytes, as they may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) gram: Gram,
    /// Whether a letter or digit to the left rules a match out.
    pub(super) apart: bool,
}

/// The grams that rules begin with.
pub(super) struct Grams {
    anywhere: Filter<{ 1 << 12 }>,
    apart: Filter<{ 1 << 15 }>,
    rules: Index<RuleIndex>,
    first: ByteSet,
    /// A bit for each two bytes that a gram begins with.
    two: Box<[u64]>,
}

impl Grams {
    pub(super) fn new(all: Vec<(Known, RuleIndex)>) -> Self {
        let those = |apart: bool| {
            let grams = all.iter().filter(move |(known, _)| known.apart == apart);
            grams.map(|(known, _)| known.gram)
        };
        let mut first = ByteSet::default();
        let mut two = vec![0_u64; 1 << 10];
        for (known, _) in &all {
            let [one, other, ..] = known.gram.to_le_bytes();
            first.insert(one);
            let (word, bit) = pair(one, other);
            if let Some(word) = two.get_mut(word) {
                *word |= bit;
            }
        }
        Self {
            anywhere: Filter::new(those(false)),
            apart: Filter::new(those(true)),
            first,
            two: two.into(),
            rules: Index::new(
                all.into_iter()
                    .map(|(known, rule)| (u64::from(known.gram), rule))
                    .collect(),
            ),
        }
    }

    pub(super) fn rule(&self, number: u32) -> Option<RuleIndex> {
        self.rules.value(number).copied()
    }

    /// The next candidate in a run, at or after `from`. `known` is where runs are known to begin, for the next call.
    pub(super) fn find(&self, text: &[u8], from: usize, known: &mut Option<Starts>) -> Option<(usize, Range<u32>)> {
        let mut at = from;
        while let Some(block) = known.take().or_else(|| Starts::next(text, at)) {
            let mut starts = block;
            while let Some(stretch) = starts.stretch(at) {
                if let Some(found) = self.in_stretch(text, &stretch) {
                    *known = Some(block);
                    return Some(found);
                }
            }
            at = at.max(block.end());
        }
        None
    }

    /// All that begins in runs of `text`, wherever in them it stands.
    pub(super) fn all(&self, text: &[u8], mut found: impl FnMut(usize, Range<u32>)) {
        let mut at = 0;
        while let Some(mut starts) = Starts::next(text, at) {
            let end = starts.end();
            while let Some(stretch) = starts.stretch(at) {
                for at in stretch.positions {
                    let numbers = self.at(text, at);
                    if !numbers.is_empty() {
                        found(at, numbers);
                    }
                }
            }
            at = at.max(end);
        }
    }

    /// What begins with the gram at `at`.
    fn at(&self, text: &[u8], at: usize) -> Range<u32> {
        let known = text.get(at..).and_then(gram);
        let known = known.filter(|gram| self.may_have(*gram));
        known.map_or(0..0, |gram| self.rules.numbers(u64::from(gram)))
    }

    fn may_have(&self, gram: Gram) -> bool {
        self.anywhere.may_have(gram) || self.apart.may_have(gram)
    }

    /// The first candidate in the stretch.
    fn in_stretch(&self, text: &[u8], stretch: &Stretch) -> Option<(usize, Range<u32>)> {
        let anywhere = self.anywhere_in(text, stretch.positions.clone());
        let end = anywhere.as_ref().map_or(stretch.positions.end, |(at, _)| *at);
        self.apart_in(text, stretch.positions.start..end, stretch.apart)
            .or(anywhere)
    }

    // Apart from its caller, so that what it looks up stays in registers.
    #[inline(never)]
    fn anywhere_in(&self, text: &[u8], positions: Range<usize>) -> Option<(usize, Range<u32>)> {
        // Every position has a whole run after it, so also the bytes looked at here.
        let mut rest = text.get(positions.start..positions.end + RUN - 1)?;
        let mut at = positions.start;
        while at < positions.end
            && let Some(bytes) = rest.first_chunk::<{ AT_ONCE + 3 }>()
        {
            let any = four(bytes)
                .into_iter()
                .fold(false, |any, gram| any | self.anywhere.may_have(gram));
            if any && let Some(found) = self.among(bytes, at..positions.end) {
                return Some(found);
            }
            at += AT_ONCE;
            rest = rest.get(AT_ONCE..).unwrap_or_default();
        }
        None
    }

    /// The first of the positions, which begin with `bytes`, at which something begins.
    #[inline(never)]
    fn among(&self, bytes: &[u8; AT_ONCE + 3], positions: Range<usize>) -> Option<(usize, Range<u32>)> {
        let begun = |(at, gram)| {
            let known = if self.anywhere.may_have(gram) {
                self.rules.numbers(u64::from(gram))
            } else {
                0..0
            };
            (!known.is_empty()).then_some((at, known))
        };
        positions.zip(four(bytes)).find_map(begun)
    }

    fn apart_in(&self, text: &[u8], positions: Range<usize>, apart: u64) -> Option<(usize, Range<u32>)> {
        let mut left = apart;
        while left != 0 {
            let at = positions.start + usize::try_from(left.trailing_zeros()).ok()?;
            if at >= positions.end {
                return None;
            }
            let gram = text.get(at..).and_then(gram)?;
            if self.apart.may_have(gram) {
                let numbers = self.rules.numbers(u64::from(gram));
                if !numbers.is_empty() {
                    return Some((at, numbers));
                }
            }
            left &= left - 1;
        }
        None
    }

    /// Whether a token can begin so; `text` is not a whole run.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        match text {
            [] => true,
            [one] => self.first.contains(*one),
            [one, other] | [one, other, _] => self.has_two(*one, *other),
            _ => gram(text).is_some_and(|gram| self.may_have(gram)),
        }
    }

    fn has_two(&self, one: u8, other: u8) -> bool {
        let (word, bit) = pair(one, other);
        self.two.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The first position of the run at the end of `text`, which is not a whole one, with which a token could begin; else the end.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let run = text
            .iter()
            .rev()
            .take(RUN - 1)
            .take_while(|byte| is_token_byte(**byte))
            .count();
        let open = |at: &usize| text.get(*at..).is_some_and(|rest| self.begins(rest));
        (text.len() - run..text.len()).find(open).unwrap_or(text.len())
    }
}

fn pair(one: u8, other: u8) -> (usize, u64) {
    let pair = u16::from_le_bytes([one, other]);
    (usize::from(pair >> 6), 1 << (pair & 63))
}

/// Each four bytes in a row.
#[inline]
fn four(bytes: &[u8; AT_ONCE + 3]) -> [Gram; AT_ONCE] {
    std::array::from_fn(|at| bytes.get(at..).and_then(gram).unwrap_or(0))
}
