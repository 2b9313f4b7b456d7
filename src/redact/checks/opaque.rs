//! Values that nothing but the name beside them makes a secret, and what such values are when they are none.
//!
//! Code, documentation and configuration put much beside `password` and `api_key` that is no secret: variables,
//! placeholders, labels, references to a store. What can't be told apart is let pass: these rules must not change
//! what a workload says.

/// What a value contains when it stands for a secret that is elsewhere, in lower case.
const REFERENCES: [&str; 28] = [
    "${",
    "$(",
    "{{",
    "<",
    ">",
    "%(",
    "%s",
    "...",
    "\u{2026}",
    "://",
    "process.env",
    "import.meta",
    "os.environ",
    "getenv",
    "secrets.",
    "config.",
    "settings.",
    "example",
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "redacted",
    "your-",
    "your_",
    "xxxx",
    "****",
    "dummy",
];
/// What it then begins with.
const BEGINNINGS: [&str; 9] = ["$", "%", "/", "~/", "./", "env.", "env:", "arn:", "self."];
/// Runs that hands make on keyboards.
const RUNS: [&str; 6] = [
    "0123456",
    "1234567890",
    "abcdefgh",
    "qwertyuiop",
    "deadbeef",
    "00000000",
];
/// How many different bytes a value that somebody means has at least.
const DIFFERENT: usize = 5;
/// What is longer is no password: a sealed value, or a document.
const LONGEST: usize = 128;
/// How many words make a pass phrase.
const WORDS: usize = 4;

/// Whether a value of 16 bytes and more is random: letters and digits mixed as words, numbers and paths don't.
pub(super) fn is_key(value: &[u8]) -> bool {
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let digits = value.iter().any(u8::is_ascii_digit);
    letters && digits && !is_placeholder(value) && !is_worded(value) && !names_itself(value)
}

/// Whether a value of 8 bytes and more is of two kinds of bytes, or a phrase, and not what stands there instead.
pub(super) fn is_password(value: &[u8]) -> bool {
    if value.len() > LONGEST || is_placeholder(value) || names_itself(value) || is_address(value) {
        return false;
    }
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let digits = value.iter().any(u8::is_ascii_digit);
    let marks = value
        .iter()
        .any(|byte| byte.is_ascii_punctuation() && !matches!(byte, b'_' | b'-' | b'.' | b'/' | b':'));
    if is_worded(value) {
        return !digits && !marks && parts(value).count() >= WORDS;
    }
    (letters && (digits || marks)) || (digits && marks)
}

/// Whether a value is the name of a variable, as a shell or a template writes it.
pub(super) fn is_variable(value: &[u8]) -> bool {
    let ([b'$', name @ ..] | [b'%', name @ .., b'%'] | [b'{', b'{', name @ .., b'}', b'}']) = value else {
        return false;
    };
    let part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'{' | b'}');
    name.iter().all(part)
}

/// Whether this is never a secret, whatever it is called: an identifier, a hash, a trace, a file, a sealed value.
pub(in crate::redact) fn never_secret(value: &[u8]) -> bool {
    names_itself(value) || is_hash(value)
}

/// What can be told from the value alone, however random it is.
fn names_itself(value: &[u8]) -> bool {
    is_uuid(value) || is_labelled_hash(value) || is_trace_parent(value) || is_data_uri(value) || is_sealed(value)
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

/// Hexadecimal groups of these lengths with dashes between them.
fn is_hex_in_groups(value: &[u8], lengths: &[usize]) -> bool {
    let groups = value.split(|byte| *byte == b'-');
    groups.clone().map(<[u8]>::len).eq(lengths.iter().copied()) && groups.into_iter().all(is_hex)
}

/// RFC 9562.
fn is_uuid(value: &[u8]) -> bool {
    is_hex_in_groups(value, &[8, 4, 4, 4, 12])
}

/// W3C Trace Context, `traceparent`.
fn is_trace_parent(value: &[u8]) -> bool {
    is_hex_in_groups(value, &[2, 32, 16, 2])
}

/// SHA-1, SHA-256, SHA-384 or SHA-512 in hexadecimal.
fn is_hash(value: &[u8]) -> bool {
    matches!(value.len(), 40 | 64 | 96 | 128) && is_hex(value)
}

/// `sha384-…` as in Subresource Integrity and lock files, `sha256:…` as in image digests.
fn is_labelled_hash(value: &[u8]) -> bool {
    let labels: [&[u8]; 6] = [b"sha1", b"sha224", b"sha256", b"sha384", b"sha512", b"md5"];
    labels
        .iter()
        .filter_map(|label| value.strip_prefix(*label))
        .any(|rest| matches!(rest.first(), Some(b'-' | b':' | b'=')))
}

/// RFC 2397.
fn is_data_uri(value: &[u8]) -> bool {
    value.starts_with(b"data:") && (value.contains(&b',') || value.contains(&b';'))
}

/// Encrypted already: SOPS, Ansible Vault, Vault's transit engine, Sealed Secrets (a length of 512 bytes, then as many).
fn is_sealed(value: &[u8]) -> bool {
    let sealed_secret = matches!(value, [b'A', b'g', b'A'..=b'D', ..]) && value.len() > 680;
    let beginnings: [&[u8]; 3] = [b"ENC[", b"$ANSIBLE_VAULT;", b"vault:v"];
    sealed_secret || beginnings.iter().any(|beginning| value.starts_with(beginning))
}

fn is_placeholder(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let lower = value.to_ascii_lowercase();
    let contains = |part: &&str| lower.windows(part.len()).any(|window| window == part.as_bytes());
    seen.iter().filter(|seen| **seen).count() < DIFFERENT
        || BEGINNINGS
            .iter()
            .any(|beginning| lower.starts_with(beginning.as_bytes()))
        || REFERENCES.iter().chain(&RUNS).any(contains)
}

fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'+' | b'='))
        .filter(|part| !part.is_empty())
}

/// Whether the value is put together of words and numbers, as names of variables, paths and versions are.
fn is_worded(value: &[u8]) -> bool {
    parts(value).all(|part| {
        let end = part
            .iter()
            .rposition(|byte| !byte.is_ascii_digit())
            .map_or(0, |at| at + 1);
        let (word, number) = part.split_at_checked(end).unwrap_or((part, b""));
        let capitals = word.iter().filter(|byte| byte.is_ascii_uppercase()).count();
        let cased = capitals == word.len() || capitals * 3 <= word.len();
        word.iter().all(u8::is_ascii_alphabetic) && cased && (word.is_empty() || number.len() <= 2 && word.len() <= 20)
    }) && parts(value).nth(1).is_some()
}

/// Whether this is somebody's address.
fn is_address(value: &[u8]) -> bool {
    let mut halves = value.splitn(2, |byte| *byte == b'@');
    let (Some(user), Some(host)) = (halves.next(), halves.next()) else {
        return false;
    };
    let named = |text: &[u8]| {
        text.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let top = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    named(user) && named(host) && host.contains(&b'.') && top.iter().all(u8::is_ascii_lowercase) && top.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_key(value: &str, expected: bool) {
        assert_eq!(is_key(value.as_bytes()), expected, "{value}");
    }

    #[test]
    fn keys_are_random() {
        check_key("b7Xq29LmT4vPz81KdR5w", true);
        check_key("0f3a9c5d7b1e2f4a6c8d0f3a9c5d7b1e", true);
        check_key("9sK+2fR/w1Q8mXz0Lb==", true);
        check_key("ab1-cd2ef3-gh4ij-xk5lm6", true);
        check_key("getAccessTokenFromStore", false);
        check_key("mock-access-token-123", false);
        check_key("projects/12345/secrets/api-key/versions/1", false);
        check_key("settings.OPENAI_KEY_2", false);
        check_key("your-api-key-0a1b2c3d4e", false);
        check_key("${API_KEY_4f9a8b7c6d5e}", false);
        check_key("sk-xxxxxxxxxxxxxxxxxxxx1", false);
        check_key("96f62e33-8d74-4f1f-a4f7-f505aef9ebdd", false);
        check_key("abcdefghijklmnop1234567890", false);
        check_key("https://auth.test/x9Y8z7W6v5", false);
    }

    #[track_caller]
    fn check_password(value: &str, expected: bool) {
        assert_eq!(is_password(value.as_bytes()), expected, "{value}");
    }

    #[test]
    fn passwords_are_no_words_or_variables() {
        check_password("hunter2!", true);
        check_password("s3cr3t-w0rd", true);
        check_password("Tr0ub4dor&3", true);
        check_password("correct-horse-battery-staple", true);
        check_password("Passwort", false);
        check_password("new-password", false);
        check_password("userPassword", false);
        check_password("form.password.data", false);
        check_password("process.env.DB_PASSWORD", false);
        check_password("$2b$12$abcdefghijk", false);
        check_password("/run/secrets/db1", false);
        check_password("alice99@mail.test", false);
        check_password("12345678", false);
        check_password("changeme1", false);
    }

    #[track_caller]
    fn check_never(value: &str, expected: bool) {
        assert_eq!(never_secret(value.as_bytes()), expected, "{value}");
    }

    #[test]
    fn identifiers_hashes_and_sealed_values_are_never_secret() {
        check_never("96f62e33-8d74-4f1f-a4f7-f505aef9ebdd", true);
        check_never("da39a3ee5e6b4b0d3255bfef95601890afd80709", true);
        check_never(
            "sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC",
            true,
        );
        check_never(
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            true,
        );
        check_never("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check_never("data:image/png;base64,iVBORw0KGgo=", true);
        check_never("ENC[AES256_GCM,data:p673w==,iv:YY=,tag:VG==,type:str]", true);
        check_never(&format!("AgB{}", "x9".repeat(400)), true);
        check_never("0f3a9c5d7b1e2f4a6c8d0f3a9c5d7b1e", false);
        check_never("b7Xq29LmT4vPz81KdR5w", false);
        check_never("96f62e33-8d74-4f1f-a4f7", false);
        check_never("", false);
    }
}
