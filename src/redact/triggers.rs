//! Where characters may be written by escapes although nothing asks for it.

use memchr::{memchr_iter, memchr3_iter};

use super::dress::{Escapes, Glyph, Unit, glyph_at, unit};

/// How much text is asked at once whether all of it is ASCII.
const STEP: usize = 64;

/// How much text is searched for one kind of escape before the other.
const AHEAD: usize = 512;

/// The search for escapes, which remembers the next of either kind.
#[derive(Default)]
pub(super) struct Triggers {
    escape: Option<Next>,
    character: Option<Next>,
}

/// The first position from `from` on.
#[derive(Clone, Copy)]
struct Next {
    from: usize,
    at: usize,
}

impl Next {
    /// The first position from `from` on, searched for only if it isn't known.
    fn after(known: &mut Option<Self>, from: usize, search: impl FnOnce() -> usize) -> usize {
        match known {
            Some(next) if (next.from..=next.at).contains(&from) => next.at,
            _ => known.insert(Self { from, at: search() }).at,
        }
    }
}

impl Triggers {
    /// The next character at or after `at` that is written by an escape, or as another one, and could have a part in what is looked
    /// for; else the end.
    pub(super) fn next(&mut self, text: &[u8], at: usize, whole: bool) -> usize {
        let escape = Next::after(&mut self.escape, at, || next_escape(text, at, whole));
        let character = Next::after(&mut self.character, at, || next_beyond_ascii(text, at));
        escape.min(character)
    }
}

/// The next escape at or after `at`, else the end. Both searches go on side by side, so that neither runs ahead in vain of what the other
/// finds.
fn next_escape(text: &[u8], at: usize, whole: bool) -> usize {
    let mut from = at;
    while let Some(part) = text
        .get(from..text.len().min(from + AHEAD))
        .filter(|part| !part.is_empty())
    {
        let stands_for = |ahead: &usize| {
            let at = from + *ahead;
            begins_escape(text.get(at..).unwrap_or_default()) && stands_for_another(text, at, whole)
        };
        let first = memchr3_iter(b'\\', b'%', b'&', part).find(stands_for);
        let before = first.and_then(|first| part.get(..first)).unwrap_or(part);
        let equals = memchr_iter(b'=', before).find(stands_for);
        if let Some(ahead) = equals.or(first) {
            return from + ahead;
        }
        from += part.len();
    }
    text.len()
}

/// Whether the character at `at` is another one than its first byte, or none.
fn stands_for_another(text: &[u8], at: usize, whole: bool) -> bool {
    match unit(text, at, whole, Escapes::All) {
        Unit::Byte { byte, next } => next > at + 1 && byte.is_ascii_graphic(),
        Unit::Skipped { .. } => true,
        // What is cut is looked at when there is more of it.
        Unit::Pause | Unit::End => false,
    }
}

/// Whether the character beyond ASCII at `at` is read as another one, or not seen, and stands beside one that could belong to it.
fn is_read_otherwise(text: &[u8], at: usize) -> bool {
    let Some((Glyph::Like(_) | Glyph::Unseen, next)) = glyph_at(text, at) else {
        return false;
    };
    let is_open = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    let follows = || glyph_at(text, next).is_none_or(|(glyph, _)| glyph != Glyph::Other);
    is_open(at.checked_sub(1).and_then(|left| text.get(left))) || is_open(text.get(next)) || follows()
}

/// Whether a text that begins with a byte of escapes may be one.
fn begins_escape(text: &[u8]) -> bool {
    match text {
        [b'\\', next, ..] => matches!(next, b'u' | b'U' | b'x' | b'1'),
        [b'%', next, ..] => next.is_ascii_hexdigit() && !matches!(next, b'0' | b'1' | b'8' | b'9'),
        [b'&', next, ..] => *next == b'#' || next.is_ascii_alphabetic(),
        [b'=', next, ..] => matches!(next, b'\n' | b'\r' | b'\\' | b'2'..=b'7'),
        _ => false,
    }
}

/// The next character beyond ASCII at or after `at` that is read as one of it, or not seen; else the end.
fn next_beyond_ascii(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(block) = text
        .get(at..text.len().min(at + STEP))
        .filter(|block| !block.is_empty())
    {
        if !block.is_ascii() {
            let stands_for = |ahead: &usize| {
                let is_lead = block.get(*ahead).is_some_and(|byte| *byte >= 0xC2);
                is_lead && is_read_otherwise(text, at + *ahead)
            };
            if let Some(ahead) = (0..block.len()).find(stands_for) {
                return at + ahead;
            }
        }
        at += block.len();
    }
    text.len()
}
