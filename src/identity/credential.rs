//! Proxy credentials: what a client sends in `Proxy-Authorization` or by SOCKS5, and the hash that it is held against.
//!
//! Only hashes are kept, and they are compared in constant time. The hash is plain SHA-256 without salt or stretching, which
//! is right for random tokens and wrong for words that a person can remember: use tokens of 128 bits and more.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// Padding is optional: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// SHA-256 of a password or a token.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Reads 64 hexadecimal digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(hash))
    }

    /// The hash of a secret as a client sends it.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// What a workload's client must send.
#[derive(Debug, Clone)]
pub struct Credential {
    user: Option<Box<str>>,
    secret: SecretHash,
}

impl Credential {
    /// With a user name only Basic will do; without one, Basic with any user name, or Bearer.
    pub fn new(user: Option<&str>, secret: SecretHash) -> Self {
        Self {
            user: user.map(Box::from),
            secret,
        }
    }

    /// The user that must present it, where it is bound to one.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether this is what was presented; takes the same time for every secret of the same length.
    pub(super) fn accepts(&self, presented: &Presented) -> Choice {
        let user = match (&self.user, &presented.user) {
            (None, _) => Choice::from(1),
            (Some(wanted), Some(user)) => wanted.as_bytes().ct_eq(user),
            (Some(_), None) => Choice::from(0),
        };
        user & self.secret.0.ct_eq(&presented.secret.0)
    }
}

/// A credential as a client sent it.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// The value of `Proxy-Authorization`.
    Field(&'a [u8]),
    /// A user name and a password (RFC 1929): what Basic would carry.
    Password {
        /// The user name.
        user: &'a [u8],
        /// The password, or a token.
        password: &'a [u8],
    },
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

/// A well-formed credential that a client sent; its secret is kept as a hash only.
#[derive(Debug)]
pub(super) struct Presented {
    /// Basic's user name.
    user: Option<Vec<u8>>,
    secret: SecretHash,
}

impl Presented {
    /// Reads what was sent; nothing when it is malformed.
    pub(super) fn read(shown: Shown<'_>) -> Option<Self> {
        match shown {
            Shown::Field(value) => Self::parse(value),
            Shown::Password { user, password } => Some(Self {
                user: Some(user.to_owned()),
                secret: SecretHash::of(password),
            }),
        }
    }

    /// Reads the value of `Proxy-Authorization`: Basic (RFC 7617) or Bearer (RFC 6750), the scheme in any case.
    fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.split_at_checked(space)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"basic") {
            return Self::basic(rest);
        }
        (scheme.eq_ignore_ascii_case(b"bearer") && is_token(rest)).then(|| Self {
            user: None,
            secret: SecretHash::of(rest),
        })
    }

    fn basic(encoded: &[u8]) -> Option<Self> {
        let decoded = BASE64.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (user, password) = decoded.split_at_checked(colon)?;
        let password = password.get(1..)?;
        Some(Self {
            user: Some(user.to_owned()),
            secret: SecretHash::of(password),
        })
    }
}

/// RFC 6750 §2.1: `b64token`.
fn is_token(text: &[u8]) -> bool {
    let body = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let is_token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    body > 0 && text.iter().take(body).all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
    }

    #[track_caller]
    fn check(credential: &Credential, value: &str, expected: bool) {
        let accepted =
            Presented::parse(value.as_bytes()).is_some_and(|presented| credential.accepts(&presented).into());
        assert_eq!(accepted, expected, "{value:?}");
    }

    #[test]
    fn with_a_user_only_basic_of_that_user_will_do() {
        let credential = Credential::new(Some("alice"), SecretHash::of(b"s3cret:with:colons"));
        check(&credential, &basic("alice", "s3cret:with:colons"), true);
        check(
            &credential,
            &basic("alice", "s3cret:with:colons").replace("Basic", "bASIC"),
            true,
        );
        check(
            &credential,
            &basic("alice", "s3cret:with:colons").replace("Basic ", "Basic   "),
            true,
        );
        check(&credential, &basic("bob", "s3cret:with:colons"), false);
        check(&credential, &basic("Alice", "s3cret:with:colons"), false);
        check(&credential, &basic("alice", "wrong"), false);
        check(&credential, &basic("alice", ""), false);
        check(&credential, "Bearer s3cret", false);
    }

    #[test]
    fn without_a_user_a_token_will_do_in_either_scheme() {
        let credential = Credential::new(None, SecretHash::of(b"t0ken-._~+/=="));
        check(&credential, "Bearer t0ken-._~+/==", true);
        check(&credential, "bearer t0ken-._~+/==", true);
        check(&credential, &basic("anyone", "t0ken-._~+/=="), true);
        check(&credential, &basic("", "t0ken-._~+/=="), true);
        check(&credential, "Bearer t0ken", false);
    }

    #[test]
    fn a_user_name_and_a_password_are_what_basic_carries() {
        let check = |credential: &Credential, user: &str, password: &str, expected: bool| {
            let presented = Presented::read(Shown::Password {
                user: user.as_bytes(),
                password: password.as_bytes(),
            });
            assert_eq!(
                bool::from(credential.accepts(&presented.unwrap())),
                expected,
                "{user} {password}"
            );
        };
        let bound = Credential::new(Some("alice"), SecretHash::of(b"s3cret"));
        check(&bound, "alice", "s3cret", true);
        check(&bound, "bob", "s3cret", false);
        check(&bound, "alice", "", false);
        let token = Credential::new(None, SecretHash::of(b"t0ken"));
        check(&token, "anyone", "t0ken", true);
        check(&token, "t0ken", "", false);
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        for value in [
            "",
            " ",
            "Basic",
            "Basic ",
            "Basic YWxpY2U=",
            "Basic a b",
            "Basic YTpi\u{e9}",
            "Basic YTp=i",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer ===",
            "Bearer a=b",
            "Digest username=\"a\"",
            "Basic,YTpi",
            "\tBasic YTpi",
        ] {
            assert!(Presented::parse(value.as_bytes()).is_none(), "{value:?}");
        }
    }

    #[test]
    fn padding_may_be_left_out() {
        assert!(Presented::parse(b"Basic YTpiYw==").is_some());
        assert!(Presented::parse(b"Basic YTpiYw").is_some());
    }

    #[test]
    fn hashes_in_hexadecimal() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(SecretHash::from_hex(hex).unwrap().0, SecretHash::of(b"secret").0);
        assert_eq!(
            SecretHash::from_hex(&hex.to_uppercase()).unwrap().0,
            SecretHash::of(b"secret").0
        );
        for bad in [
            "",
            "2b",
            &format!("{hex}00"),
            &hex.replace('2', "g"),
            &hex.replace("2bb8", "+2b8"),
        ] {
            assert!(SecretHash::from_hex(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_no_hash() {
        let credential = Credential::new(Some("alice"), SecretHash::of(b"secret"));
        assert_eq!(
            format!("{credential:?}"),
            "Credential { user: Some(\"alice\"), secret: SecretHash }"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_accepts_only_the_secret(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let credential = Credential::new(None, SecretHash::of(b"not in any short random value"));
            let accepted = Presented::parse(&value).is_some_and(|presented| credential.accepts(&presented).into());
            prop_assert!(!accepted);
        }

        #[test]
        fn basic_takes_every_user_without_a_colon_and_every_password(user in "[^:]{0,20}", password in ".{0,20}") {
            let credential = Credential::new(Some(&user), SecretHash::of(password.as_bytes()));
            check(&credential, &basic(&user, &password), true);
        }
    }
}
