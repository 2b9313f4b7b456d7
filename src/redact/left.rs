//! What stands to the left of a position, also when it was passed on already.

/// How many bytes are remembered: an escape's.
const BYTES: usize = 6;

/// The last bytes that were decided.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    bytes: [u8; BYTES],
    length: usize,
}

impl Left {
    /// What stands to the left of `at` in `text`, to the left of which this stands.
    pub(super) fn of(self, text: &[u8], at: usize) -> Self {
        let passed = text.get(..at).unwrap_or_default();
        let known = self.bytes.get(..self.length).unwrap_or_default();
        let mut left = Self::default();
        let all = passed.iter().rev().chain(known.iter().rev()).take(BYTES);
        for (to, byte) in left.bytes.iter_mut().rev().zip(all) {
            *to = *byte;
            left.length += 1;
        }
        left.bytes.rotate_left(BYTES - left.length);
        left
    }

    /// The character to the left of `at` in `text`, to the left of which this stands, see [`Left::character`].
    #[inline]
    pub(super) fn character_at(self, text: &[u8], at: usize) -> Option<u8> {
        match at.checked_sub(BYTES).and_then(|from| text.get(from..at)) {
            Some(left) => character(left),
            None => self.of(text, at).character(),
        }
    }

    /// The byte right before.
    pub(super) fn byte(self) -> Option<u8> {
        self.bytes.get(self.length.checked_sub(1)?).copied()
    }

    /// The same as it reads: when an escape ends there, what that stands for. The `n` of `\n` is no letter beside a token.
    pub(super) fn character(self) -> Option<u8> {
        character(self.bytes.get(..self.length)?)
    }
}

/// The last character of `left`.
fn character(left: &[u8]) -> Option<u8> {
    match left {
        [b'\\', b'u', b'0', b'0', high, low] | [.., b'%', high, low] => {
            let digit = |byte: &u8| {
                char::from(*byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            match (digit(high), digit(low)) {
                (Some(high), Some(low)) => Some(high << 4 | low),
                _ => Some(*low),
            }
        }
        [.., b'\\', b'n' | b'r' | b't' | b'f' | b'b'] => Some(b'\n'),
        _ => left.last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, byte: Option<u8>, character: Option<u8>) {
        for cut in 0..=text.len() {
            let (before, after) = text.as_bytes().split_at(cut);
            let left = Left::default().of(before, before.len()).of(after, after.len());
            assert_eq!(
                (left.byte(), left.character()),
                (byte, character),
                "{text} cut at {cut}"
            );
        }
    }

    #[test]
    fn an_escape_is_one_character() {
        check("", None, None);
        check("a", Some(b'a'), Some(b'a'));
        check("key%3D", Some(b'D'), Some(b'='));
        check(r"say \u0022", Some(b'2'), Some(b'"'));
        check(r"line\n", Some(b'n'), Some(b'\n'));
        check("in", Some(b'n'), Some(b'n'));
        check("100%zz", Some(b'z'), Some(b'z'));
    }
}
