//! Known secrets: values that must never leave, whatever they look like and in whatever dress they stand.
//!
//! What is kept of a value is not its text. For each of its [dresses](dress) there is a keyed tag of its first bytes, one of longer and longer
//! beginnings, one of the whole, and an HMAC that confirms a match. The key is the caller's, and belongs in this process alone: who has both the
//! key and the tags can check guesses, and learn the first [`SEED`] bytes one by one.
//!
//! Not looked for: values in part, in compressed form, under more than the two layers that [dress](dress) lists, or broken into lines.

mod dress;
mod weak;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use weak::Weakness;

/// By so many bytes the beginning of an entry is told.
pub(super) const SEED: usize = 8;
/// How many values there may be.
pub const VALUES_MAX: usize = 1024;
/// How long a value may be, in bytes.
pub const VALUE_BYTES_MAX: usize = 4096;
/// How many entries (values in their dresses) there may be.
const ENTRIES_MAX: usize = 256 * 1024;
/// How long an entry may be: as much as a stream holds back. A longer one (the entity form of a value of over 2,700 bytes) is left out.
const ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Lengths at which it is looked whether to go on. The steps are too long to be guessed in, even of hexadecimal digits.
const LEVELS: [usize; 9] = [24, 56, 120, 248, 504, 1016, 2040, 4088, 8184];
/// Bits of the filter for each different beginning; the filter's size in bits is a power of two in these bounds.
const FILTER_BITS_EACH: usize = 64;
const FILTER_BITS: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 22;
/// How much of the HMAC is kept.
const SEAL_BYTES: usize = 16;

/// Why values can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnownError {
    /// Beyond the limit.
    #[error("more than {VALUES_MAX} known secrets; name those that must never leave")]
    TooManyValues,
    /// Beyond the limit.
    #[error("the known secrets have more than {ENTRIES_MAX} forms; name fewer or shorter ones")]
    TooManyEntries,
    /// Beyond the limit.
    #[error("a known secret is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// Short or common.
    #[error("a known secret {0}")]
    Weak(Weakness),
}

/// Values that must never leave, as keyed tags.
#[derive(Default)]
pub struct KnownSecrets {
    values: usize,
    filter: Filter,
    tags: Option<Tags>,
    /// Tags of the first 1 to [`SEED`] bytes, and of the beginnings at [`LEVELS`] that an entry outgrows.
    beginnings: HashSet<u64>,
    /// The lengths of entries, by the tag of their first [`SEED`] bytes; in order.
    lengths: HashMap<u64, Vec<usize>>,
    /// What confirms an entry, by the tag of the whole.
    seals: HashMap<u64, [u8; SEAL_BYTES]>,
}

/// The keyed functions.
#[derive(Clone)]
struct Tags {
    hasher: DefaultHasher,
    mac: Hmac<Sha256>,
}

impl KnownSecrets {
    /// Takes `values`, each with all its dresses; tags are made under `key`, 32 random bytes.
    ///
    /// # Errors
    ///
    /// Beyond the limits, or a value that [is weak](Weakness::of): it would be found everywhere.
    pub fn new(key: &[u8; 32], values: &[Zeroizing<Vec<u8>>]) -> Result<Self, KnownError> {
        if values.len() > VALUES_MAX {
            return Err(KnownError::TooManyValues);
        }
        if values.is_empty() {
            return Ok(Self::default());
        }
        let mut known = Self {
            values: values.len(),
            ..Self::default()
        };
        let tags = Tags::new(key);
        let mut seeds: HashSet<[u8; SEED]> = HashSet::new();
        for value in values {
            if value.len() > VALUE_BYTES_MAX {
                return Err(KnownError::TooLong);
            }
            if let Some(weakness) = Weakness::of(value) {
                return Err(KnownError::Weak(weakness));
            }
            for entry in dress::all(value) {
                known.add(&tags, &entry, &mut seeds);
            }
            if known.seals.len() > ENTRIES_MAX {
                return Err(KnownError::TooManyEntries);
            }
        }
        for lengths in known.lengths.values_mut() {
            let unique: BTreeSet<usize> = lengths.drain(..).collect();
            lengths.extend(unique);
        }
        known.filter = Filter::new(key, &seeds);
        known.tags = Some(tags);
        Ok(known)
    }

    fn add(&mut self, tags: &Tags, entry: &[u8], seeds: &mut HashSet<[u8; SEED]>) {
        let Some(seed) = entry.first_chunk::<SEED>() else {
            return;
        };
        if entry.len() > ENTRY_BYTES_MAX {
            return;
        }
        seeds.insert(*seed);
        let grown = LEVELS.into_iter().take_while(|level| *level < entry.len());
        for length in (1..=SEED).chain(grown) {
            let beginning = entry.get(..length).unwrap_or_default();
            self.beginnings.insert(tags.tag(beginning));
        }
        self.lengths.entry(tags.tag(seed)).or_default().push(entry.len());
        self.seals.insert(tags.tag(entry), tags.seal(entry));
    }

    /// How many bytes are looked at for whether an entry begins with them.
    pub(super) const SEED: usize = SEED;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tags.is_none()
    }

    /// Whether these may be the first bytes of an entry. Often right, never wrong in saying no.
    #[inline]
    pub fn begins(&self, eight: [u8; SEED]) -> bool {
        self.filter.may_hold(eight)
    }

    /// The first position from `from` on whose eight bytes may begin an entry. The last seven bytes of `text` are none.
    pub fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let mut windows = text.get(from..)?.windows(SEED);
        let found = windows.position(|eight| eight.first_chunk().is_some_and(|eight| self.begins(*eight)))?;
        Some(from + found)
    }

    /// The length of the longest entry that `text` begins with.
    ///
    /// Its work is bounded by the length of the longest entry whose beginning `text` shares up to the next level; an HMAC is made of an entry
    /// that is there.
    pub fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut longest = None;
        self.walk(text, |tags, tag, entry| {
            let seal = self.seals.get(&tag);
            if seal.is_some_and(|seal| bool::from(seal.ct_eq(&tags.seal(entry)))) {
                longest = Some(entry.len());
            }
        });
        longest
    }

    /// Whether `text` may be the beginning of an entry that is longer.
    pub fn may_grow(&self, text: &[u8]) -> bool {
        let Some(tags) = &self.tags else {
            return false;
        };
        if text.len() < SEED {
            return text.is_empty() || self.beginnings.contains(&tags.tag(text));
        }
        let reached = self.walk(text, |_, _, _| {});
        reached.is_some_and(|longest| longest > text.len())
    }

    /// Shows every beginning of `text` that is as long as an entry with the same first bytes, as far as its levels are known. Gives the length of
    /// the longest such entry; none where the text left every one of them.
    fn walk(&self, text: &[u8], mut show: impl FnMut(&Tags, u64, &[u8])) -> Option<usize> {
        let tags = self.tags.as_ref()?;
        let seed = text.first_chunk::<SEED>()?;
        let lengths = self.lengths.get(&tags.tag(seed))?;
        let mut hasher = tags.hasher.clone();
        let mut read = 0;
        let mut levels = LEVELS.into_iter().peekable();
        for length in lengths.iter().copied() {
            // The levels that an entry of this length has outgrown.
            while let Some(level) = levels.next_if(|level| *level < length) {
                let Some(more) = text.get(read..level) else {
                    return lengths.last().copied();
                };
                hasher.write(more);
                read = level;
                if !self.beginnings.contains(&hasher.finish()) {
                    return None;
                }
            }
            let Some(more) = text.get(read..length) else {
                return lengths.last().copied();
            };
            hasher.write(more);
            read = length;
            show(tags, hasher.finish(), text.get(..length).unwrap_or_default());
        }
        lengths.last().copied()
    }
}

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSecrets")
            .field("values", &self.values)
            .field("entries", &self.seals.len())
            .finish_non_exhaustive()
    }
}

impl Tags {
    fn new(key: &[u8; 32]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Self {
            hasher,
            mac: Hmac::new(&block.into()),
        }
    }

    fn tag(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.clone();
        hasher.write(bytes);
        hasher.finish()
    }

    fn seal(&self, entry: &[u8]) -> [u8; SEAL_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(&u64::try_from(entry.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(entry);
        let whole = mac.finalize().into_bytes();
        let mut seal = [0; SEAL_BYTES];
        for (to, from) in seal.iter_mut().zip(whole) {
            *to = from;
        }
        seal
    }
}

/// A bitmap over a keyed multiplicative hash of the first bytes.
#[derive(Default)]
struct Filter {
    mask: u64,
    factor: u64,
    shift: u32,
    bits: Vec<u64>,
}

impl Filter {
    fn new(key: &[u8; 32], seeds: &HashSet<[u8; SEED]>) -> Self {
        let wanted = seeds.len().saturating_mul(FILTER_BITS_EACH).next_power_of_two();
        let size = wanted.clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        let word = |at: usize| {
            let bytes = key.get(at..at + 8).and_then(|part| part.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let mut filter = Self {
            mask: word(8),
            factor: word(16) | 1,
            shift: u64::BITS - size.trailing_zeros(),
            bits: vec![0; size / 64],
        };
        for seed in seeds {
            let (word, bit) = filter.place(*seed);
            if let Some(word) = filter.bits.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    #[inline]
    fn place(&self, seed: [u8; SEED]) -> (usize, u64) {
        let at = (u64::from_le_bytes(seed) ^ self.mask).wrapping_mul(self.factor) >> self.shift;
        (usize::try_from(at / 64).unwrap_or(usize::MAX), 1 << (at % 64))
    }

    #[inline]
    fn may_hold(&self, seed: [u8; SEED]) -> bool {
        if self.bits.is_empty() {
            return false;
        }
        let (word, bit) = self.place(seed);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests;
