use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// Made up.
const VALUE: &str = "Zq7/x+B\"4&m'K<9w?";

fn known(values: &[&[u8]]) -> KnownSecrets {
    let values: Vec<_> = values.iter().map(|value| Zeroizing::new(value.to_vec())).collect();
    KnownSecrets::new(&KEY, &values).unwrap()
}

/// Where an entry stands in a text, and how long it is.
fn find(known: &KnownSecrets, text: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = known.next(text, from) {
        if let Some(length) = known.longest(&text[at..]) {
            return Some((at, length));
        }
        from = at + 1;
    }
    None
}

#[track_caller]
fn check_dress(dressed: impl AsRef<[u8]>) {
    let known = known(&[VALUE.as_bytes()]);
    let dressed = dressed.as_ref();
    let text = [b"before ", dressed, b" after"].concat();
    let (at, length) = find(&known, &text).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(dressed)));
    // All but what the edges share with their neighbours is found.
    assert!((7..=11).contains(&at), "{at}");
    assert!(
        length + 8 >= dressed.len(),
        "{length} of {:?}",
        String::from_utf8_lossy(dressed)
    );
}

fn hex(text: &[u8], separator: &str) -> String {
    let pairs: Vec<String> = text.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(separator)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn each(text: &str, dressed: fn(char) -> String) -> String {
    let dressed: Vec<String> = text.chars().map(dressed).collect();
    dressed.concat()
}

#[test]
fn a_value_is_found_in_its_dresses() {
    check_dress(VALUE);
    check_dress(VALUE.chars().rev().collect::<String>());
    check_dress("Md7/k+O\"4&z'X<9j?");
    for ahead in ["", "u", "us", "use", "user:"] {
        let text = format!("{ahead}{VALUE}:more");
        for dressed in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            assert!(
                find(&known(&[VALUE.as_bytes()]), dressed.as_bytes()).is_some(),
                "{dressed}"
            );
            let reversed: String = dressed.chars().rev().collect();
            assert!(
                find(&known(&[VALUE.as_bytes()]), reversed.as_bytes()).is_some(),
                "{reversed}"
            );
        }
        let inner = STANDARD.encode(&text);
        for outer in ["", "x", "xy"] {
            let dressed = STANDARD.encode(format!("{outer}{inner}"));
            assert!(
                find(&known(&[VALUE.as_bytes()]), dressed.as_bytes()).is_some(),
                "{dressed}"
            );
        }
    }
    check_dress(STANDARD.encode(VALUE));
    for separator in ["", ":", " ", "-"] {
        check_dress(hex(VALUE.as_bytes(), separator));
        check_dress(hex(VALUE.as_bytes(), separator).to_uppercase());
    }
    check_dress(wide(VALUE));
    check_dress(STANDARD_NO_PAD.encode(wide(VALUE)));
    check_dress(hex(STANDARD.encode(VALUE).as_bytes(), ""));
    check_dress(STANDARD.encode(hex(VALUE.as_bytes(), "")));
    check_dress(serde_json::to_string(VALUE).unwrap().trim_matches('"'));
    check_dress("Zq7\\/x+B\\\"4&m'K<9w?");
    check_dress(each(VALUE, |one| format!("\\u{:04x}", u32::from(one))));
    check_dress(each(VALUE, |one| format!("%{:02X}", u32::from(one))));
    check_dress(each(VALUE, |one| format!("%{:02X}", u32::from(one))).to_lowercase());
    check_dress("Zq7%2Fx%2BB%224%26m%27K%3C9w%3F");
    check_dress("Zq7/x+B&quot;4&amp;m&#39;K&lt;9w?");
    check_dress(each(VALUE, |one| format!("&#{};", u32::from(one))));
    check_dress(each(VALUE, |one| format!("&#x{:x};", u32::from(one))));
}

#[test]
fn base32_is_found_in_every_place() {
    // `alpha-beta-gamma` behind nothing, one byte and two (RFC 4648 §6, by Python's base64 module).
    let known = known(&[b"alpha-beta-gamma"]);
    for dressed in [
        "MFWHA2DBFVRGK5DBFVTWC3LNME======",
        "PBQWY4DIMEWWEZLUMEWWOYLNNVQQ====",
        "PB4GC3DQNBQS2YTFORQS2Z3BNVWWC===",
    ] {
        assert!(find(&known, dressed.as_bytes()).is_some(), "{dressed}");
        assert!(find(&known, dressed.to_lowercase().as_bytes()).is_some(), "{dressed}");
    }
}

#[test]
fn the_longest_wins_and_growth_is_told() {
    let long = b"tok-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789";
    let known = known(&[&long[..20], long]);
    assert_eq!(known.longest(long), Some(long.len()));
    assert_eq!(known.longest(&long[..51]), Some(20));
    assert_eq!(known.longest(&long[..19]), None);
    for length in 0..long.len() {
        assert!(known.may_grow(&long[..length]), "{length}");
    }
    assert!(!known.may_grow(long));
    assert!(!known.may_grow(&[&long[..], b"x"].concat()));
    assert!(
        !known.may_grow(b"tok-0123X56789-abcdefghijklmnopq"),
        "what has left every value behind need not be held"
    );
    assert!(!known.may_grow(b"#"));
}

#[test]
fn nothing_known_finds_nothing() {
    let none = KnownSecrets::new(&KEY, &[]).unwrap();
    assert!(none.is_empty());
    assert_eq!(
        (none.next(b"anything at all", 0), none.longest(b"anything at all")),
        (None, None)
    );
    assert!(!none.begins(*b"anything") && !none.may_grow(b""));
}

#[test]
fn another_key_makes_other_tags() {
    let value = [Zeroizing::new(b"correct-horse-battery".to_vec())];
    let one = KnownSecrets::new(&KEY, &value).unwrap();
    let other = KnownSecrets::new(&[9; 32], &value).unwrap();
    assert!(one.beginnings.is_disjoint(&other.beginnings));
    assert_ne!(one.filter.bits, other.filter.bits);
}

#[test]
fn nothing_is_shown() {
    let shown = format!("{:?}", known(&[b"correct-horse-battery"]));
    assert!(shown.starts_with("KnownSecrets { values: 1, entries: "), "{shown}");
    assert!(!shown.contains("correct"), "{shown}");
}

#[test]
fn limits_hold() {
    let value = |number: usize| Zeroizing::new(format!("value-{number:08}").into_bytes());
    let many: Vec<_> = (0..=VALUES_MAX).map(value).collect();
    assert_eq!(KnownSecrets::new(&KEY, &many).unwrap_err(), KnownError::TooManyValues);
    let long = Zeroizing::new(b"long-".repeat(1000));
    assert_eq!(KnownSecrets::new(&KEY, &[long]).unwrap_err(), KnownError::TooLong);
    let weak = Zeroizing::new(b"password123".to_vec());
    assert_eq!(
        KnownSecrets::new(&KEY, &[weak]).unwrap_err(),
        KnownError::Weak(Weakness::Common)
    );
    assert!(KnownSecrets::new(&KEY, &many[..VALUES_MAX]).is_ok());
}

#[track_caller]
fn check_weak(values: &[&str], expected: Option<Weakness>) {
    for value in values {
        assert_eq!(Weakness::of(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn weak_values_are_told() {
    check_weak(&["", "Ab3$xyz"], Some(Weakness::Short));
    check_weak(
        &["true", "Production", "P@ssw0rd", "changeme", "us-east-1"],
        Some(Weakness::Common),
    );
    check_weak(&["zzzzzzzzzz", "----------"], Some(Weakness::Repeats));
    check_weak(&["abababab", "1212121212121212"], Some(Weakness::Monotonous));
    check_weak(&["15102026"], Some(Weakness::Number));
    check_weak(&["00000000-0000-0000-0000-000000000000"], Some(Weakness::NilUuid));
    check_weak(
        &["db.internal.example", "10.20.30.40:5432", "api.github.com:443"],
        Some(Weakness::Host),
    );
    check_weak(&["chrysalis", "Chrysalis", "CHRYSALIS"], Some(Weakness::Word));
    check_weak(
        &[
            "hQ7wK2mZ",
            "4902817364520",
            "SG.aBcDeFgHiJkLmNoPqRsTuV.abc",
            "0f3a9c5b7e1d4826",
            "tr0ub4dor&3x",
            "postgres://app:hunter2@db/x",
        ],
        None,
    );
}

proptest! {
    #[test]
    fn a_value_is_found_wherever_it_stands(
        value in "[a-zA-Z0-9_!$+/=.-]{12,60}",
        before in "[ -~]{0,40}",
        after in "[ -~]{0,40}",
        ahead in "[a-z]{0,5}",
    ) {
        prop_assume!(Weakness::of(value.as_bytes()).is_none());
        let known = known(&[value.as_bytes()]);
        let text = format!("{before}{value}{after}");
        let (at, length) = find(&known, text.as_bytes()).unwrap();
        prop_assert!(at <= before.len() && at + length >= before.len() + value.len());
        let coded = STANDARD.encode(format!("{ahead}{value}{after}"));
        prop_assert!(find(&known, coded.as_bytes()).is_some());
    }

    #[test]
    fn a_text_without_it_holds_nothing(text in prop::collection::vec(any::<u8>(), 0..3000)) {
        let known = known(&[b"correct-horse-battery", b"tok-0123456789abcdef"]);
        prop_assert_eq!(find(&known, &text), None);
    }

    #[test]
    fn what_may_grow_is_never_denied(value in "[a-zA-Z0-9]{12,300}", cut in any::<prop::sample::Index>()) {
        prop_assume!(Weakness::of(value.as_bytes()).is_none());
        let known = known(&[value.as_bytes()]);
        prop_assert!(known.may_grow(&value.as_bytes()[..cut.index(value.len())]));
    }
}
