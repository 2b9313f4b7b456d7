//! Values that can't be looked for: they stand in ordinary traffic, or anybody would guess them.

use std::fmt;

/// The shortest value, in bytes.
const LEAST_BYTES: usize = 8;
/// Digits alone must be at least so many.
const LEAST_DIGITS: usize = 10;
/// So many different bytes a value has at least.
const LEAST_DISTINCT: usize = 5;
/// Letters of one case, with nothing between them, are a word up to this length.
const WORD_BYTES: usize = 11;

/// Why a value is too weak to be looked for. It never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Under eight bytes.
    Short,
    /// Nothing but the same byte.
    Repeats,
    /// Few different bytes.
    Monotonous,
    /// A short number.
    Number,
    /// A common password, a setting's value, or the name of an environment.
    Common,
    /// The UUID of zeros.
    NilUuid,
    /// A host's name or address.
    Host,
    /// A plain word.
    Word,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "has fewer than 8 bytes",
            Self::Repeats => "is one character over and over",
            Self::Monotonous => "has fewer than 5 different characters",
            Self::Number => "is a number of fewer than 10 digits",
            Self::Common => "is a common password or a common setting",
            Self::NilUuid => "is the nil UUID",
            Self::Host => "is the name or address of a host",
            Self::Word => "is a plain word",
        })
    }
}

impl Weakness {
    /// What is weak about a value; none if it can be looked for.
    pub fn of(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let mut distinct = [false; 256];
        for byte in value {
            if let Some(seen) = distinct.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        let distinct = distinct.iter().filter(|seen| **seen).count();
        let lower = value.to_ascii_lowercase();
        let checks = [
            (is_common(&lower), Self::Common),
            (is_nil_uuid(value), Self::NilUuid),
            (value.len() < LEAST_BYTES, Self::Short),
            (distinct == 1, Self::Repeats),
            (is_host(value), Self::Host),
            (distinct < LEAST_DISTINCT, Self::Monotonous),
            (is_short_number(value), Self::Number),
            (is_word(value), Self::Word),
        ];
        checks
            .into_iter()
            .find_map(|(holds, weakness)| holds.then_some(weakness))
    }
}

fn is_common(lower: &[u8]) -> bool {
    COMMON.iter().any(|common| common.as_bytes() == lower)
}

fn is_nil_uuid(value: &[u8]) -> bool {
    value == b"00000000-0000-0000-0000-000000000000"
}

fn is_short_number(value: &[u8]) -> bool {
    value.len() < LEAST_DIGITS && value.iter().all(u8::is_ascii_digit)
}

/// Letters in lower case, in upper case, or the first alone in upper case.
fn is_word(value: &[u8]) -> bool {
    let Some((_, rest)) = value.split_first() else {
        return false;
    };
    let letters = value.iter().all(u8::is_ascii_alphabetic);
    let one_case = rest.iter().all(u8::is_ascii_lowercase) || value.iter().all(u8::is_ascii_uppercase);
    value.len() <= WORD_BYTES && letters && one_case
}

/// An IPv4 address, or labels in lower case that end in a top-level domain; a port may follow.
fn is_host(value: &[u8]) -> bool {
    let name = match value.rsplitn(2, |byte| *byte == b':').collect::<Vec<_>>()[..] {
        [port, name] if !port.is_empty() && port.iter().all(u8::is_ascii_digit) => name,
        _ => value,
    };
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    let is_number = |label: &&[u8]| matches!(label.len(), 1..=3) && label.iter().all(u8::is_ascii_digit);
    if labels.len() == 4 && labels.iter().all(is_number) {
        return true;
    }
    let is_label = |label: &&[u8]| {
        let harmless = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        matches!(label.len(), 1..=30) && label.iter().all(harmless)
    };
    let is_top = |label: &&[u8]| matches!(label.len(), 2..=18) && label.iter().all(u8::is_ascii_lowercase);
    labels.len() >= 2 && labels.iter().all(is_label) && labels.last().is_some_and(is_top)
}

/// In lower case. Those of fewer than eight bytes are here for the better reason.
const COMMON: &[&str] = &[
    // What settings say.
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "null",
    "none",
    "nil",
    "undefined",
    "enabled",
    "disabled",
    "default",
    "unknown",
    "optional",
    "required",
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "root",
    "user",
    "guest",
    "postgres",
    "postgresql",
    "mysql",
    "mongodb",
    "redis",
    "rabbitmq",
    "memcached",
    "elasticsearch",
    "database",
    "username",
    "username1",
    "service",
    "application",
    "kubernetes",
    "docker",
    "container",
    "development",
    "develop",
    "production",
    "prod",
    "staging",
    "stage",
    "testing",
    "test",
    "integration",
    "sandbox",
    "preview",
    "local",
    "debug",
    "info",
    "warning",
    "error",
    "trace",
    "verbose",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-central-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-northeast-1",
    "europe-west1",
    "us-central1",
    "westeurope",
    "northeurope",
    "application/json",
    "text/plain",
    "utf-8",
    "en_us.utf-8",
    "/bin/bash",
    "/bin/sh",
    "changeme",
    "change-me",
    "change_me",
    "changeit",
    "replaceme",
    "replace-me",
    "replace_me",
    "placeholder",
    "example",
    "examples",
    "redacted",
    "your-api-key",
    "your_api_key",
    "yourapikey",
    "your-token",
    "your-token-here",
    "your-secret",
    "your_secret_key",
    "your-password",
    "insert-key-here",
    "todo",
    "xxxxxxxx",
    "********",
    // What people choose.
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "12345678910",
    "0123456789",
    "0987654321",
    "9876543210",
    "87654321",
    "11111111",
    "00000000",
    "12341234",
    "11223344",
    "123123123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "1qaz2wsx3edc",
    "q1w2e3r4",
    "qwerty",
    "qwerty1",
    "qwerty12",
    "qwerty123",
    "qwerty1234",
    "qwertyuiop",
    "qwer1234",
    "asdfghjkl",
    "asdfasdf",
    "asdf1234",
    "zxcvbnm1",
    "zaq12wsx",
    "!qaz2wsx",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "abcdefg1",
    "a1b2c3d4",
    "aa123456",
    "a123456789",
    "admin",
    "admin123",
    "admin1234",
    "admin@123",
    "administrator",
    "adminadmin",
    "root1234",
    "toor1234",
    "rootroot",
    "letmein",
    "letmein1",
    "letmein123",
    "welcome",
    "welcome1",
    "welcome123",
    "welcome@123",
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "password!",
    "password1!",
    "password@123",
    "passw0rd",
    "passw0rd1",
    "p@ssw0rd",
    "p@ssw0rd1",
    "p@ssword",
    "p@ssword1",
    "pa$$word",
    "pa$$w0rd",
    "pass1234",
    "pass12345",
    "passpass",
    "mypassword",
    "secret",
    "secret1",
    "secret12",
    "secret123",
    "secret1234",
    "topsecret",
    "supersecret",
    "supersecret1",
    "secretkey",
    "secret-key",
    "secret_key",
    "mysecret",
    "my-secret",
    "my_secret",
    "mysecretpassword",
    "my-secret-pw",
    "dbpassword",
    "rootpassword",
    "testpassword",
    "test1234",
    "test12345",
    "testtest",
    "testing123",
    "demo1234",
    "guest123",
    "user1234",
    "login123",
    "master123",
    "iloveyou",
    "iloveyou1",
    "princess",
    "princess1",
    "sunshine",
    "sunshine1",
    "football",
    "football1",
    "baseball",
    "baseball1",
    "basketball",
    "superman",
    "superman1",
    "batman123",
    "dragon123",
    "monkey123",
    "michael1",
    "jennifer",
    "jordan23",
    "charlie1",
    "trustno1",
    "starwars",
    "starwars1",
    "whatever",
    "whatever1",
    "computer",
    "computer1",
    "internet",
    "samsung1",
    "pokemon1",
    "liverpool",
    "liverpool1",
    "arsenal1",
    "chelsea1",
    "blink182",
    "hello123",
    "helloworld",
    "hello1234",
    "freedom1",
    "shadow123",
    "killer123",
    "summer2024",
    "summer2025",
    "summer2026",
    "winter2024",
    "winter2025",
    "winter2026",
    "spring2025",
    "spring2026",
    "autumn2025",
    "autumn2026",
    "correcthorsebatterystaple",
    "guest1234",
    "raspberry",
    "ubnt1234",
    "vagrant1",
    "minioadmin",
    "minioadmin123",
    "grafana1",
    "jenkins1",
    "postgres1",
    "postgres123",
    "mysql123",
    "redis123",
    "rabbitmq1",
    "elastic1",
    "hunter22",
    "hunter2!",
];
