//! What holds for the redactor as a whole: the shipped rules find what they say, any cut gives the same output,
//! clean bytes are not copied, and hostile bytes cost little.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| with(Replacement::SameLength));

fn with(replacement: Replacement) -> Redactor {
    static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| Arc::new(Rules::builtin().unwrap()));
    Redactor::new(Arc::clone(&RULES), replacement, FingerprintKey::new(&[7; 32]))
}

fn example(rule: &str) -> &'static str {
    &REDACTOR.rules().named(rule).unwrap().examples()[0]
}

/// Redacts `text` in one piece.
fn whole(redactor: &Redactor, text: &[u8]) -> (Vec<u8>, Vec<Finding>) {
    redactor
        .value(text, &|_| false)
        .unwrap_or_else(|| (text.to_vec(), Vec::new()))
}

/// Redacts `text` in pieces, of which `cuts` are the lengths over and over. Every released prefix must be one of
/// `expected`, so that nothing is released which the whole text's redaction would hide.
#[track_caller]
fn check_cut(redactor: &Redactor, text: &[u8], cuts: &[usize], expected: &(Vec<u8>, Vec<Finding>)) {
    let mut stream = redactor.stream();
    let mut released = Vec::new();
    let mut rest = text;
    let mut out = Vec::new();
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        rest = after;
        stream.push(Bytes::copy_from_slice(piece), &mut out);
        released.extend(out.drain(..).flatten());
        assert!(
            expected.0.starts_with(&released),
            "cuts {cuts:?}: {}",
            difference(&released, &expected.0)
        );
        if matches!(redactor.settings.replacement, Replacement::SameLength) {
            let held = text.len() - rest.len() - released.len();
            assert!(held <= 16 * 1024, "cuts {cuts:?}: {held} bytes held back");
        }
    }
    stream.flush(&mut out);
    released.extend(out.drain(..).flatten());
    assert!(
        released == expected.0,
        "cuts {cuts:?}: {}",
        difference(&released, &expected.0)
    );
    assert_eq!(stream.findings(), expected.1, "cuts {cuts:?}");
}

/// Where the texts part.
fn difference(released: &[u8], expected: &[u8]) -> String {
    let same = released
        .iter()
        .zip(expected)
        .take_while(|(one, other)| one == other)
        .count();
    let around =
        |text: &[u8]| String::from_utf8_lossy(&text[same.saturating_sub(80)..text.len().min(same + 80)]).into_owned();
    format!("released {:?} for {:?}", around(released), around(expected))
}

#[track_caller]
fn check_all_cuts(text: &[u8]) {
    for replacement in [Replacement::SameLength, "[{rule}]".parse().unwrap()] {
        check_cuts(&with(replacement), text);
    }
}

#[track_caller]
fn check_cuts(redactor: &Redactor, text: &[u8]) {
    let expected = whole(redactor, text);
    for size in (1..20).chain([63, 64, 65, 127, 129, 4095, 4096, 4097, 70_000]) {
        check_cut(redactor, text, &[size], &expected);
    }
}

#[test]
fn the_shipped_rules_treat_their_examples_as_they_say() {
    assert_eq!(REDACTOR.check_examples(), []);
}

#[test]
fn the_shipped_rules_are_complete() {
    assert!(REDACTOR.rules().len() >= 250);
    let severities = Rules::BUILTIN_TOML.matches("\nseverity = ").count();
    assert_eq!(severities, REDACTOR.rules().len(), "each states its severity");
    for rule in REDACTOR.rules().iter() {
        assert!(!rule.examples().is_empty(), "{} has no example", rule.id());
        assert!(
            !rule.counter_examples().is_empty(),
            "{} has no counter-example",
            rule.id()
        );
        assert!(!rule.description().is_empty(), "{} has no description", rule.id());
        let somewhere =
            !rule.audience_headers().is_empty() || !rule.audience_queries().is_empty() || rule.audience_path();
        assert_eq!(
            somewhere,
            !rule.audience_hosts().is_empty(),
            "{}: an audience is hosts and slots",
            rule.id()
        );
        assert!(rule.audience_headers().iter().all(|name| *name == name.to_lowercase()));
    }
}

#[test]
fn every_example_is_found_wherever_it_stands_and_keeps_its_length() {
    for rule in REDACTOR.rules().iter() {
        for example in rule.examples() {
            let escaped = serde_json::to_string(example).unwrap();
            for text in [
                format!("{example}\n"),
                format!("a={example}&b=1"),
                format!("{{\"a\":{escaped},\"b\":[1]}}"),
                format!("<a>{example}</a>, "),
                format!("prose before ({example}) and after"),
            ] {
                let (redacted, findings) = whole(&REDACTOR, text.as_bytes());
                assert_eq!(redacted.len(), text.len(), "{}", rule.id());
                assert!(
                    findings
                        .iter()
                        .any(|finding| rule.is_packed() || rule.is_generic() || &*finding.rule == rule.id()),
                    "{} in {text}",
                    rule.id()
                );
                let again = REDACTOR.value(&redacted, &|_| false);
                assert!(again.is_none(), "{}: {again:?} found in its own replacement", rule.id());
            }
        }
    }
}

/// `?` in `expected` stands for a character of a tag.
#[track_caller]
fn check_redacted(text: &str, expected: &str) {
    let (redacted, _) = whole(&REDACTOR, text.as_bytes());
    let redacted = String::from_utf8(redacted).unwrap();
    let same = |(is, wanted): (char, char)| is == wanted || wanted == '?' && is.is_ascii_uppercase();
    assert!(
        redacted.len() == expected.len() && redacted.chars().zip(expected.chars()).all(same),
        "{redacted} is not {expected}"
    );
}

#[test]
fn a_token_glued_to_other_letters_is_found() {
    let token = example("github-pat");
    let hidden = "ghp_REDACTED??????REDACTEDREDACTEDREDACT";
    check_redacted(&format!("x{token}"), &format!("x{hidden}"));
    check_redacted(&format!("xyz_{token}A"), &format!("xyz_{hidden}A"));
    check_redacted(&format!("ghp_ghp_{token}{token}"), &format!("ghp_ghp_{hidden}{hidden}"));
}

#[test]
fn a_url_loses_its_password_only() {
    check_redacted("postgres://app:hunter2@db/app", "postgres://app:redacte@db/app");
    check_redacted("x https://u:a:b:c@h/ y", "x https://u:redac@h/ y");
    check_redacted("http://a:1@h http://b:x@h", "http://a:9@h http://b:r@h");
}

#[test]
fn a_secret_before_anothers_secret_part_is_found() {
    let token = example("github-pat");
    check_redacted(
        &format!("https://{token}:x-oauth-basic@github.com/"),
        "https://ghp_REDACTED??????REDACTEDREDACTEDREDACT:redacted-oau@github.com/"
            .replace("redacted-oau", "redactedredac")
            .as_str(),
    );
    let text = format!("postgres://{token}:hunter2hunter2@db/ https://{token}:swordfish@{token}/");
    check_all_cuts(text.as_bytes());
    let (redacted, _) = whole(&REDACTOR, text.as_bytes());
    assert!(!String::from_utf8_lossy(&redacted).contains(token.split_at(24).1));
}

#[test]
fn a_secret_whose_match_began_before_another_is_found_behind_it() {
    let pack = r"
        [[rules]]
        id = 'far'
        regex = 'far_name .{0,40}=([a-z0-9]{20})'
        [[rules]]
        id = 'near'
        regex = 'near_key_[a-z0-9]{12}'
        [[rules]]
        id = 'inner'
        regex = 'inner_name .{0,60}/([a-z0-9]{20})'";
    let rules = Arc::new(Rules::compile(&[("test", pack)]).unwrap());
    let redactor = Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[0; 32]));
    let (one, other) = ("a1b2c3d4e5f6g7h8i9j0", "k1l2m3n4o5p6q7r8s9t0");
    let text = format!("far_name inner_name near_key_a1b2c3d4e5f6 ={one} /{other} end");
    let expected = whole(&redactor, text.as_bytes());
    let redacted = String::from_utf8(expected.0.clone()).unwrap();
    assert!(
        !redacted.contains("c3d4") && !redacted.contains("m3n4") && redacted.ends_with(" end"),
        "{redacted}"
    );
    assert_eq!(expected.1.len(), 3);
    for cut in 1..40 {
        check_cut(&redactor, text.as_bytes(), &[cut], &expected);
    }
}

#[test]
fn a_private_key_keeps_its_lines() {
    let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    check_redacted(
        &format!("-----BEGIN PRIVATE KEY-----\n{key}\n{key}\n-----END PRIVATE KEY-----\n"),
        "-----BEGIN PRIVATE KEY-----\nREDACTED??????REDACTEDREDACTEDRE\nDACTEDREDACTEDREDACTEDREDACTEDRE\n\
         -----END PRIVATE KEY-----\n",
    );
    check_redacted(
        &format!(r#"{{"k":"-----BEGIN PRIVATE KEY-----\\n{key}\\n"}}"#),
        r#"{"k":"-----BEGIN PRIVATE KEY-----\\nREDACTED??????REDACTEDREDACTEDRE\\n"}"#,
    );
}

#[test]
fn a_secret_that_never_ends_is_replaced_to_its_end() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(2000);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nclean text follows");
    let (redacted, findings) = whole(&REDACTOR, pem.as_bytes());
    let redacted = String::from_utf8(redacted).unwrap();
    assert_eq!(redacted.len(), pem.len());
    assert!(!redacted.contains("MIIE"));
    assert!(redacted.ends_with("\n-----END PRIVATE KEY-----\nclean text follows"));
    assert_eq!(findings.len(), 1);
    let token = format!("sk-proj-{} {}", "aB3dE5fG".repeat(3000), "and clean text");
    let (redacted, _) = whole(&REDACTOR, token.as_bytes());
    let redacted = String::from_utf8(redacted).unwrap();
    assert!(!redacted.contains("aB3"));
    assert!(redacted.ends_with(" and clean text") && redacted.contains("REDACTEDREDACTED"));
    check_all_cuts(pem.as_bytes());
    check_all_cuts(token.as_bytes());
}

#[test]
fn every_cut_of_every_example_gives_the_same_output() {
    let text: String = REDACTOR
        .rules()
        .iter()
        .flat_map(|rule| rule.examples().iter().chain(rule.counter_examples()))
        .fold(String::new(), |all, example| all + example + "\u{e9} ");
    check_all_cuts(text.as_bytes());
}

#[test]
fn every_cut_of_every_dress_gives_the_same_output() {
    let mut text = Vec::new();
    for rule in [
        "github-pat",
        "anthropic-api-key",
        "aws-secret-access-key",
        "database-url-password",
    ] {
        for (_, dressed) in dressed(example(rule)) {
            text.extend(dressed);
            text.extend(b" \xe2\x80 ");
        }
    }
    check_all_cuts(&text);
}

#[test]
fn what_cuts_once_changed_they_change_no_more() {
    let each = |text: &str, written: fn(u8) -> String| text.bytes().map(written).collect::<Vec<_>>().concat();
    let escaped = each("aws_secret_j", |byte| format!("\\u{byte:04x}"));
    let key = concat!("-----BEGIN RSA PRIVATE ", "KEY-----\ndxfjoPEgCISvU0Ju44waql3E");
    let spaced = each(key, |byte| format!("{byte:02x}:"));
    let base32 = in_base32("xypostgres://app:s3cr3t-w0rd@db.internal:5432/app");
    for text in [
        "\u{feff}:/\\/:h@db".to_owned(),
        "kp=6EXA_API_KEY=9b2f7c1e-4d35-4a86-8f0b-6c1d2e3f4a5b".to_owned(),
        format!("{escaped}{}", "A".repeat(42)),
        format!("{}a__{spaced}", "x\\".repeat(26)),
        format!("abce \u{e9} {base32}"),
    ] {
        for pad in [0, 1, 30, 61] {
            check_all_cuts(format!("{}{text}", " ".repeat(pad)).as_bytes());
        }
    }
}

/// Base32 without padding (RFC 4648 §6).
fn in_base32(text: &str) -> String {
    let bits: Vec<u8> = text
        .bytes()
        .flat_map(|byte| (0..8).rev().map(move |nth| byte >> nth & 1))
        .collect();
    let digit = |five: &[u8]| {
        let value = (0..5).fold(0, |value, nth| value << 1 | five.get(nth).copied().unwrap_or(0));
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)])
    };
    bits.chunks(5).map(digit).collect()
}

#[test]
fn clean_pieces_pass_without_a_copy() {
    let chunk = Bytes::from_static(br#"{"message": "nothing to see", "id": "0f3a9c5d7b1e2f4a6c8d", "n": [1, 2, 3]}"#);
    let mut stream = REDACTOR.stream();
    for _ in 0..3 {
        let mut out = Vec::new();
        stream.push(chunk.clone(), &mut out);
        assert_eq!(out, std::slice::from_ref(&chunk));
        assert_eq!(out[0].as_ptr(), chunk.as_ptr());
    }
    let mut out = Vec::new();
    stream.flush(&mut out);
    assert!(out.is_empty() && stream.findings().is_empty());
}

#[test]
fn a_clean_value_is_none() {
    assert!(REDACTOR.value(b"Bearer of good news", &|_| false).is_none());
    assert!(REDACTOR.value(b"", &|_| false).is_none());
}

#[test]
fn a_secret_at_home_stays_and_another_inside_it_does_not() {
    let jwt = example("jwt");
    let home = |rule: &Rule| matches!(rule.id(), "jwt" | "generic-bearer");
    assert!(REDACTOR.value(jwt.as_bytes(), &home).is_none());
    let (head, _) = jwt.rsplit_once('.').unwrap();
    let text = format!("Bearer {head}.{}", example("github-pat"));
    let (_, findings) = REDACTOR.value(text.as_bytes(), &home).unwrap();
    assert_eq!(&*findings[0].rule, "github-pat");
}

#[test]
fn a_message_ends_where_it_is_flushed() {
    let (one, other) = example("github-pat").split_at(10);
    let mut stream = REDACTOR.stream();
    let mut out = Vec::new();
    stream.push(Bytes::from_static(one.as_bytes()), &mut out);
    assert!(out.is_empty());
    stream.flush(&mut out);
    stream.push(Bytes::from_static(other.as_bytes()), &mut out);
    stream.flush(&mut out);
    assert_eq!(out.concat(), example("github-pat").as_bytes());
    assert!(stream.findings().is_empty());
}

#[test]
fn findings_are_counted_by_secret() {
    let one = example("github-pat");
    let text = format!("{one} {one} {}", example("jwt"));
    let (_, findings) = whole(&REDACTOR, text.as_bytes());
    let counts: Vec<_> = findings.iter().map(|finding| (&*finding.rule, finding.count)).collect();
    assert_eq!(counts, [("github-pat", 2), ("jwt", 1)]);
}

/// Hostile texts: a beginning again and again.
fn floods() -> Vec<Vec<u8>> {
    let beginnings = [
        "ghp_",
        "ghp_ghp",
        "://",
        "://a:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        ".eyJ",
        "AKIA",
        "EAAA",
        "AIza",
        "xoxb-",
        "sk-",
        "sk-ant-api03-",
        "SG.",
        "glc_",
        "SecretAccessKey",
        "SecretAccessKey=",
        "AccountKey=",
        ":AA",
        "8Q~",
        "MTIz",
        "1/1234567890123",
        "sk-proj-a.",
        "ATATT3",
        "hooks.slack.com/services/",
        "postgres://",
        "\\",
        "sntrys_eyJ",
        "://a:b\\",
        "-----BEGIN A",
        "access_token$",
        "dp.pt.",
        "ya29.",
        "sk_live_a",
        "[?sig=",
        "key-",
        "github_pat_",
    ];
    beginnings
        .iter()
        .map(|text| text.repeat(40_000 / text.len()).into_bytes())
        .collect()
}

#[test]
fn floods_take_a_bounded_number_of_steps_and_any_cut_gives_the_same() {
    for text in floods() {
        let name = String::from_utf8_lossy(&text[..text.len().min(24)]).into_owned();
        let mut stream = REDACTOR.stream();
        let mut out = Vec::new();
        stream.push(Bytes::from(text.clone()), &mut out);
        stream.flush(&mut out);
        let steps = stream.steps();
        assert!(
            steps <= 20 * u64::try_from(text.len()).unwrap(),
            "{name}: {steps} steps"
        );
        let expected = whole(&REDACTOR, &text);
        for cuts in [&[1][..], &[17, 4000, 3]] {
            check_cut(&REDACTOR, &text, cuts, &expected);
        }
    }
}

#[test]
fn used_up_steps_end_in_replacement_and_never_in_passing() {
    let pack = r"
        [[rules]]
        id = 'slow'
        regex = 'abc[a-z]{10,}=[a-z]{10,}'";
    let rules = Arc::new(Rules::compile(&[("test", pack)]).unwrap());
    let redactor = Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[0; 32]));
    let flood = "abc".repeat(40_000);
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    stream.push(Bytes::from(flood.clone()), &mut out);
    stream.flush(&mut out);
    assert!(stream.steps() <= 40 * u64::try_from(flood.len()).unwrap());
    let expected = whole(&redactor, flood.as_bytes());
    assert!(!expected.1.is_empty());
    for cuts in [&[1][..], &[5000], &[17, 4000, 3]] {
        check_cut(&redactor, flood.as_bytes(), cuts, &expected);
    }
}

/// Texts in which the interesting is dense: examples, halves of examples, beginnings, separators, noise.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let examples: Vec<String> = REDACTOR
        .rules()
        .iter()
        .flat_map(|rule| rule.examples().iter().chain(rule.counter_examples()).cloned())
        .collect();
    let beginnings = [
        "ghp_",
        "://",
        "-----BEGIN ",
        "eyJ",
        ".eyJ",
        "sk-",
        ":AA",
        "@",
        "\\n",
        "SecretAccessKey\":\"",
    ];
    let dresses: Vec<Vec<u8>> = [
        "github-pat",
        "openai-api-key",
        "aws-secret-access-key",
        "private-key",
        "jwt",
    ]
    .iter()
    .flat_map(|rule| dressed(example(rule)))
    .map(|(_, text)| text)
    .collect();
    let piece = prop_oneof![
        3 => (proptest::sample::select(dresses), any::<proptest::sample::Index>()).prop_map(|(text, end)| {
            let end = end.index(text.len() * 2).min(text.len());
            text[..end].to_vec()
        }),
        1 => proptest::sample::select(vec!["\\u006", "%6", "&#", "=\r", "\u{200b}", "\u{ff47}", "Z2hw", "6768", "g\0h", "\\", "%25", "=6"])
            .prop_map(|text| text.as_bytes().to_vec()),
        4 => (proptest::sample::select(examples), any::<proptest::sample::Index>()).prop_map(|(text, end)| {
            let end = end.index(text.len() * 2).min(text.len());
            text.as_bytes()[..end].to_vec()
        }),
        2 => proptest::sample::select(beginnings.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => "[ \"\\\\,:a-zA-Z0-9_./+-]{0,40}".prop_map(String::into_bytes),
        1 => (0_usize..6000).prop_map(|length| vec![b'A'; length]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same(text in texts(), cuts in proptest::collection::vec(1_usize..300, 1..20)) {
        let expected = whole(&REDACTOR, &text);
        prop_assert_eq!(expected.0.len(), text.len());
        check_cut(&REDACTOR, &text, &cuts, &expected);
        check_cut(&REDACTOR, &text, &[1], &expected);
    }

    #[test]
    fn clean_bytes_stay_as_they_are(text in "[ \\n\"{}:,a-z0-9-]{0,2000}") {
        let (redacted, findings) = whole(&REDACTOR, text.as_bytes());
        if findings.is_empty() {
            prop_assert_eq!(redacted, text.into_bytes());
        }
    }

    #[test]
    fn valid_json_stays_valid(text in texts(), depth in 0_usize..3) {
        let mut json = serde_json::json!({"a": String::from_utf8_lossy(&text), "n": 12_345_678_901_234_u64});
        for _ in 0..depth {
            json = serde_json::json!({"nested": json.to_string()});
        }
        let (redacted, _) = whole(&REDACTOR, json.to_string().as_bytes());
        let mut parsed: serde_json::Value = serde_json::from_slice(&redacted).unwrap();
        for _ in 0..depth {
            parsed = serde_json::from_str(parsed["nested"].as_str().unwrap()).unwrap();
        }
        prop_assert!(parsed["a"].is_string());
    }
}

/// The same text, escaped character by character.
fn each(text: &str, form: impl Fn(u8) -> String) -> String {
    text.bytes().map(form).collect::<Vec<_>>().concat()
}

fn base32(text: &[u8]) -> String {
    let bits: Vec<u8> = text
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |nth| byte >> nth & 1))
        .collect();
    let digit = |bits: &[u8]| {
        let value = (0..5).fold(0, |value, nth| value << 1 | bits.get(nth).copied().unwrap_or(0));
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)])
    };
    bits.chunks(5).map(digit).collect()
}

/// A text in every dress, each with its name.
fn dressed(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    let hex = |gap: &str| {
        text.bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(gap)
    };
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut all = vec![
        ("\\u", each(text, |byte| format!("\\u{byte:04x}"))),
        ("\\\\u", each(text, |byte| format!("\\\\u{byte:04X}"))),
        ("percent", each(text, |byte| format!("%{byte:02X}"))),
        ("percent twice", each(text, |byte| format!("%25{byte:02x}"))),
        ("decimal reference", each(text, |byte| format!("&#{byte};"))),
        ("hexadecimal reference", each(text, |byte| format!("&#x{byte:X};"))),
        ("quoted-printable", each(text, |byte| format!("={byte:02X}"))),
        ("zero width", text.chars().flat_map(|c| [c, '\u{200b}']).collect()),
        (
            "full width",
            text.chars()
                .map(|c| {
                    if c.is_ascii_graphic() {
                        char::from_u32(u32::from(c) + 0xFEE0).unwrap()
                    } else {
                        c
                    }
                })
                .collect(),
        ),
        ("hex", hex("")),
        ("HEX", hex("").to_uppercase()),
        ("hex:", hex(":")),
        ("hex ", hex(" ")),
        ("hex-", hex("-")),
        ("\\x", each(text, |byte| format!("\\x{byte:02x}"))),
        ("base64 twice", BASE64_STANDARD.encode(BASE64_STANDARD.encode(text))),
        (
            "hex of base64",
            each(&BASE64_STANDARD.encode(text), |byte| format!("{byte:02x}")),
        ),
        ("base64 of utf-16", BASE64_STANDARD.encode(&utf16)),
    ];
    for before in ["", "x", "xy", "xyz", "wxyz"] {
        let text = format!("{before}{text}");
        all.push(("base64", BASE64_STANDARD.encode(&text)));
        all.push(("base64url", BASE64_URL_SAFE_NO_PAD.encode(&text)));
        all.push((
            "base64 behind its own alphabet",
            format!("abc{}", BASE64_STANDARD.encode(&text)),
        ));
        all.push(("base32", base32(text.as_bytes())));
    }
    let mut all: Vec<_> = all.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    all.push(("utf-16le", utf16));
    all.push(("utf-16be", text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    all
}

#[test]
fn a_secret_is_found_in_every_dress_and_the_text_beneath_is_rewritten() {
    let mut missed = Vec::new();
    let mut dresses = 0;
    for rule in REDACTOR.rules().iter() {
        let example = &rule.examples()[0];
        for (name, text) in dressed(example) {
            let (redacted, findings) = whole(&REDACTOR, &text);
            assert_eq!(redacted.len(), text.len(), "{} in {name}", rule.id());
            dresses += 1;
            // Its digits are too many beginnings for every dress.
            let everywhere = rule.id() != "discord-bot-token" || name == "base64";
            if findings.is_empty() && everywhere {
                missed.push(format!("{} in {name}", rule.id()));
            }
        }
    }
    // Numbers and what begins in many ways is looked for in fewer dresses.
    assert!(
        missed.len() * 50 <= dresses,
        "{} of {dresses} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

/// Rules of the shapes that can't be looked for by a fixed beginning, or have no table.
const UNFIXED: &str = r#"
    [[rules]]
    id = "inner"
    regex = '([a-z0-9_~.]{3}\dZ~[a-z0-9_~.-]{12,14})(?:$|[\s"])'
    keywords = ["z~"]
    [[rules]]
    id = "hash"
    regex = '(?i)\b[a-f0-9]{24}\b'
    keywords = ["acme", "corp_"]
    [[rules]]
    id = "number"
    regex = '(?i)\b(\d{9,10}\|[0-9a-z_-]{12,20})(?:["\s;]|$)'
    keywords = ["Shop"]
    [[rules]]
    id = "short"
    regex = '(?:ibx|bx)[a-z_]{0,10}="([a-z]{12})"'
    keywords = ["ibx"]
    [[rules]]
    id = "object"
    regex = '\{[^{]+"priv":"[^"]{8,}"[^}]+\}'
    keywords = ["provider"]
    [[rules]]
    id = "near"
    regex = '(?i)\bpair(?:.|[\n\r]){0,40}?(?:key|token)(?:.|[\n\r]){0,40}?\b([a-f0-9]{20})\b'
    [[rules]]
    id = "gap"
    regex = '\bfetch\b(?:.*|.*(?:[\r\n]{1,2}.*){1,5})[ \t\n]-u[ ]?("[^":]{3,}:[^":]{3,}"|[a-z]+:[a-z]+)(?:\s|\z)'
    [[rules]]
    id = "bare"
    regex = '[a-z]{20}[0-9]{4}[A-Z]'
"#;

fn own(pack: &str) -> Redactor {
    let rules = Rules::compile(&[("own", pack)]).unwrap();
    Redactor::new(Arc::new(rules), "#".parse().unwrap(), FingerprintKey::new(&[7; 32]))
}

static UNFIXED_REDACTOR: LazyLock<Redactor> = LazyLock::new(|| own(UNFIXED));

#[track_caller]
fn check_unfixed(text: &str, expected: &str) {
    let (redacted, _) = whole(&UNFIXED_REDACTOR, text.as_bytes());
    assert_eq!(String::from_utf8_lossy(&redacted), expected);
    check_cuts(&UNFIXED_REDACTOR, text.as_bytes());
}

#[test]
fn matches_that_begin_with_no_fixed_text_are_found_where_a_word_begins() {
    check_unfixed("secret=ab_8Z~0123456789ab\n", "secret=#\n");
    check_unfixed("\"ab_8Z~0123456789ab\"", "\"#\"");
    check_unfixed("ab_8Z~0123456789ab", "#");
    check_unfixed("xab_8Z~0123456789ab", "xab_8Z~0123456789ab");
    check_unfixed("bx_key=\"abcdefghijkl\" ibx", "bx_key=\"abcdefghijkl\" ibx");
    check_unfixed("ibx bx_key=\"abcdefghijkl\"", "ibx bx_key=\"#\"");
    check_unfixed("my_ibx_key=\"abcdefghijkl\"", "my_ibx_key=\"#\"");
    check_unfixed("abcdefghijklmnopqrst1234Z", "#");
    check_unfixed("xabcdefghijklmnopqrst1234Z", "xabcdefghijklmnopqrst1234Z");
}

#[test]
fn a_keyword_has_to_stand_in_such_a_match_or_before_it() {
    let hash = "0123456789abcdef01234567";
    check_unfixed(&format!("{hash} acme"), &format!("{hash} acme"));
    check_unfixed(&format!("ACME: {hash}."), "ACME: #.");
    check_unfixed(
        &format!("the corp_ {} {hash}", "text ".repeat(2000)),
        &format!("the corp_ {} #", "text ".repeat(2000)),
    );
    check_unfixed(&format!("{hash} acme {hash} {hash}"), &format!("{hash} acme # #"));
    check_unfixed("id 123456789|abcdefghijkl;", "id 123456789|abcdefghijkl;");
    check_unfixed("id 123456789|abcd_shop_kl;", "id #;");
    check_unfixed("shop 123456789|abcdefghijkl;", "shop #;");
    // Another message is another text.
    let mut stream = UNFIXED_REDACTOR.stream();
    let mut out = Vec::new();
    for message in [&b"acme"[..], hash.as_bytes()] {
        stream.push(Bytes::copy_from_slice(message), &mut out);
        stream.flush(&mut out);
    }
    assert_eq!(out.concat(), [b"acme", hash.as_bytes()].concat());
}

#[test]
fn an_object_without_the_keyword_stays_however_long_it_is() {
    let filler = "\"a\": 1, ".repeat(1000);
    check_unfixed(&format!("{{{filler}}}"), &format!("{{{filler}}}"));
    check_unfixed("{\"provider\":1,\"priv\":\"12345678\",\"x\":2}", "#");
    check_unfixed(
        "{\"of\":1,\"priv\":\"12345678\",\"x\":2}",
        "{\"of\":1,\"priv\":\"12345678\",\"x\":2}",
    );
}

#[test]
fn expressions_without_a_table_are_found() {
    check_unfixed(
        "Pair of\nthe Key is 0123456789abcdef0123, yes",
        "Pair of\nthe Key is #, yes",
    );
    check_unfixed("pair of the 0123456789abcdef0123", "pair of the 0123456789abcdef0123");
    check_unfixed("fetch -x\n -u ab:cdef http://a", "fetch -x\n -u # http://a");
    check_unfixed("fetch -u \"abc:defg\" http://a", "fetch -u # http://a");
    let prose = "to fetch is to go and get. ".repeat(300);
    check_unfixed(&prose, &prose);
    let line = "word ".repeat(1200);
    check_unfixed(&format!("fetch -u ab:cd {line}"), &format!("fetch -u # {line}"));
}

#[test]
fn the_shipped_rules_need_none_of_this() {
    assert!(REDACTOR.rules().prefilter.is_fixed());
    assert!(REDACTOR.rules().iter().all(|rule| rule.automaton().step_cost() == 1));
}

#[test]
fn floods_of_what_has_no_table_are_bounded() {
    for text in [
        "pair ",
        "pair key ",
        "fetch ",
        "fetch -u a:",
        "{\"",
        "{",
        "0123456789ab ",
        "a1Z~",
        "123456789|",
    ] {
        let flood = text.repeat(60_000 / text.len());
        let mut stream = UNFIXED_REDACTOR.stream();
        let mut out = Vec::new();
        stream.push(Bytes::from(flood.clone()), &mut out);
        stream.flush(&mut out);
        let steps = stream.steps();
        assert!(
            steps <= 40 * u64::try_from(flood.len()).unwrap(),
            "{text}: {steps} steps"
        );
        let expected = whole(&UNFIXED_REDACTOR, flood.as_bytes());
        for cuts in [&[1][..], &[5000], &[17, 4000, 3]] {
            check_cut(&UNFIXED_REDACTOR, flood.as_bytes(), cuts, &expected);
        }
    }
}

fn unfixed_texts() -> impl Strategy<Value = String> {
    let pieces = [
        "acme",
        "shop",
        "provider",
        "{\"a\":1,",
        "\"priv\":\"12345678\"",
        "}",
        "ab_8Z~",
        "0123456789ab",
        "0123456789abcdef01234567",
        "123456789|",
        "abcdefghijkl",
        "pair",
        " key ",
        "fetch",
        " -u ",
        "ab:cd",
        " ",
        "\n",
        "bx=\"",
        "\"",
        "\\u0061",
        "%41",
        "_",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_unfixed_matches_gives_the_same(text in unfixed_texts(), cuts in proptest::collection::vec(1_usize..60, 1..10)) {
        let expected = whole(&UNFIXED_REDACTOR, text.as_bytes());
        check_cut(&UNFIXED_REDACTOR, text.as_bytes(), &cuts, &expected);
        check_cut(&UNFIXED_REDACTOR, text.as_bytes(), &[1], &expected);
    }
}
