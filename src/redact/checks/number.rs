//! Numbers that people are charged by: payment cards and IBAN, each with its check digits.

/// The lengths of cards' numbers, ISO/IEC 7812.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// How the digits of a card are grouped, where they are.
const CARD_GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];

/// The length in bytes of the payment card's number that `text` begins with: 13 to 19 digits, together or in the groups
/// in which they are printed, with single spaces or dashes; of a known issuer, with the right check digit.
///
/// The caller sees to it that no letter, digit or point stands before `text`: fractions such as `0.4242424242424242` have
/// sixteen digits as well.
pub(in crate::redact) fn card(text: &[u8]) -> Option<usize> {
    let together = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if CARD_DIGITS.contains(&together) {
        return card_in(text, &[together]);
    }
    CARD_GROUPS.into_iter().find_map(|groups| card_in(text, groups))
}

fn card_in(text: &[u8], groups: &[usize]) -> Option<usize> {
    let mut digits = Vec::new();
    let mut separator = None;
    let mut at = 0;
    for (nth, length) in groups.iter().enumerate() {
        if nth > 0 {
            let found = text.get(at).copied().filter(|byte| matches!(byte, b' ' | b'-'))?;
            if *separator.get_or_insert(found) != found {
                return None;
            }
            at += 1;
        }
        digits.extend_from_slice(text.get(at..at + length)?);
        at += length;
    }
    let rest = text.get(at..)?;
    (is_card(&digits) && !goes_on(rest)).then_some(at)
}

/// Whether `rest` makes a longer number or a word of what stands before it.
fn goes_on(rest: &[u8]) -> bool {
    match rest {
        [b'.' | b'-', next, ..] => next.is_ascii_digit(),
        [next, ..] => next.is_ascii_alphanumeric() || *next == b'_',
        [] => false,
    }
}

fn is_card(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit) && has_issuer(digits) && luhn(digits)
}

/// Whether the leading digits and the length belong to a network that issues cards.
fn has_issuer(digits: &[u8]) -> bool {
    let leading = digits
        .iter()
        .take(6)
        .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    match digits.len() {
        // Diners Club.
        14 => matches!(leading, 300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999),
        // American Express.
        15 => matches!(leading, 340_000..=349_999 | 370_000..=379_999),
        length => is_visa(leading, length) || length >= 16 && is_long(leading) || length == 16 && is_sixteen(leading),
    }
}

fn is_visa(leading: u32, length: usize) -> bool {
    matches!(leading, 400_000..=499_999) && matches!(length, 13 | 16 | 19)
}

/// Networks whose numbers have 16 to 19 digits: Discover, Maestro and others.
fn is_long(leading: u32) -> bool {
    matches!(leading, 601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 | 810_000..=817_199)
        || matches!(leading, 500_000..=508_999 | 560_000..=589_999 | 606_900..=608_999)
        || matches!(leading, 630_000..=639_999 | 676_000..=676_999)
}

/// Mastercard, JCB and Mir.
fn is_sixteen(leading: u32) -> bool {
    matches!(leading, 510_000..=559_999 | 222_100..=272_099 | 352_800..=358_999)
        || matches!(leading, 979_200..=979_289 | 220_000..=220_499)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    sum.is_multiple_of(10)
}

/// The registry of ISO 13616: which countries have an IBAN, and how long it is.
const COUNTRIES: [(&[u8; 2], usize); 87] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"XK", 20),
];

/// The length in bytes of the IBAN that `text` begins with: together, or in groups of four with single spaces or dashes.
///
/// The caller sees to it that no letter or digit stands before `text`.
pub(in crate::redact) fn iban(text: &[u8]) -> Option<usize> {
    let country = text.first_chunk::<2>()?;
    let (_, length) = *COUNTRIES.iter().find(|(code, _)| *code == country)?;
    let separator = text.get(4).copied().filter(|byte| matches!(byte, b' ' | b'-'));
    let mut symbols = Vec::new();
    let mut at = 0;
    while symbols.len() < length {
        if separator.is_some() && !symbols.is_empty() && symbols.len().is_multiple_of(4) {
            if text.get(at).copied() != separator {
                return None;
            }
            at += 1;
        }
        symbols.push(*text.get(at)?);
        at += 1;
    }
    let ends = text.get(at).is_none_or(|next| !next.is_ascii_alphanumeric());
    (ends && mod_97(&symbols)).then_some(at)
}

/// ISO/IEC 7064: read with its first four symbols last and A to Z as 10 to 35, the number leaves 1.
fn mod_97(symbols: &[u8]) -> bool {
    let Some((first, account)) = symbols.split_first_chunk::<4>() else {
        return false;
    };
    let [_, _, tens, ones] = first;
    let remainder = account
        .iter()
        .chain(first)
        .try_fold(0_u32, |remainder, symbol| match symbol {
            b'0'..=b'9' => Some((remainder * 10 + u32::from(symbol - b'0')) % 97),
            b'A'..=b'Z' => Some((remainder * 100 + u32::from(symbol - b'A') + 10) % 97),
            _ => None,
        });
    tens.is_ascii_digit() && ones.is_ascii_digit() && remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_card(text: &str, expected: Option<usize>) {
        assert_eq!(card(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn cards_are_found_as_they_are_written() {
        check_card("4242424242424242", Some(16));
        check_card("4242 4242 4242 4242", Some(19));
        check_card("4242-4242-4242-4242 12/27", Some(19));
        check_card("4242 4242 4242 4242 123", Some(19));
        check_card("378282246310005", Some(15));
        check_card("3782 822463 10005", Some(17));
        check_card("30569309025904", Some(14));
        check_card("6011111111111117", Some(16));
        check_card("4222222222222\",", Some(13));
    }

    #[test]
    fn other_numbers_are_no_cards() {
        check_card("4242424242424241", None);
        check_card("42424242424242424242", None);
        check_card("4242 4242-4242 4242", None);
        check_card("4242  4242 4242 4242", None);
        check_card("4242424242424242a", None);
        check_card("4242424242424242.5", None);
        check_card("4242-4242-4242-4242-42", None);
        check_card("1234567812345670", None);
        check_card("1700000000000000", None);
        check_card("4242", None);
        check_card("", None);
    }

    #[track_caller]
    fn check_iban(text: &str, expected: Option<usize>) {
        assert_eq!(iban(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn ibans_are_found_as_they_are_written() {
        check_iban("DE89370400440532013000", Some(22));
        check_iban("DE89 3704 0044 0532 0130 00", Some(27));
        check_iban("DE89 3704 0044 0532 0130 00 BIC COBADEFF", Some(27));
        check_iban("GB29NWBK60161331926819\"", Some(22));
        check_iban("FR1420041010050500013M02606", Some(27));
        check_iban("NO9386011117947", Some(15));
    }

    #[test]
    fn other_texts_are_no_ibans() {
        check_iban("DE88370400440532013000", None);
        check_iban("DE893704004405320130001", None);
        check_iban("DE89 37040044 0532 0130 00", None);
        check_iban("DEAA370400440532013000", None);
        check_iban("ZZ89370400440532013000", None);
        check_iban("DE89", None);
        check_iban("", None);
    }

    fn with_check_digit(digits: &str) -> String {
        let all = (b'0'..=b'9').map(|digit| format!("{digits}{}", char::from(digit)));
        all.into_iter().find(|number| luhn(number.as_bytes())).unwrap()
    }

    fn grouped(text: &str, separator: &str) -> String {
        let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        groups.join(separator)
    }

    proptest! {
        #[test]
        fn every_visa_is_found(digits in "4[0-9]{14}", separator in "[ -]") {
            let number = with_check_digit(&digits);
            prop_assert_eq!(card(number.as_bytes()), Some(16));
            prop_assert_eq!(card(grouped(&number, &separator).as_bytes()), Some(19));
        }

        #[test]
        fn one_wrong_digit_is_noticed(digits in "5[1-5][0-9]{13}", at in 2_usize..16, by in 1_u8..10) {
            let mut number = with_check_digit(&digits).into_bytes();
            number[at] = b'0' + (number[at] - b'0' + by) % 10;
            prop_assert_eq!(card(&number), None);
        }

        #[test]
        fn every_iban_is_found(account in "[0-9]{18}") {
            let valid = (2..99).map(|check| format!("DE{check:02}{account}")).find(|text| mod_97(text.as_bytes()));
            let text = valid.unwrap();
            prop_assert_eq!(iban(text.as_bytes()), Some(22));
            prop_assert_eq!(iban(grouped(&text, " ").as_bytes()), Some(27));
        }

        #[test]
        fn what_is_found_lies_within_the_text(text in "[A-Z]{0,2}[0-9 .A-Z-]{0,40}") {
            for found in [card(text.as_bytes()), iban(text.as_bytes())] {
                prop_assert!(found.is_none_or(|length| length <= text.len()));
            }
        }
    }
}
