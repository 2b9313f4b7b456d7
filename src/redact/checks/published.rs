//! Keys that public documentation gives as examples: of no use to anybody, and found in every other tutorial.

/// The examples in the order of their bytes. The seams are there so that no scanner takes this file for a leak.
const PUBLISHED: [&str; 34] = [
    // Stripe's and other processors' test cards.
    concat!("2223", "003122003222"),
    concat!("3056", "9309025904"),
    concat!("3530", "111333300000"),
    concat!("3714", "49635398431"),
    concat!("3782", "82246310005"),
    concat!("3852", "0000023237"),
    concat!("4000", "056655665556"),
    concat!("4012", "888888881881"),
    concat!("4111", "111111111111"),
    concat!("4222", "222222222"),
    concat!("4242", "424242424242"),
    concat!("5105", "105105105100"),
    concat!("5200", "828282828210"),
    concat!("5555", "555555554444"),
    // Bitcoin's wiki.
    concat!("5Hue", "CGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"),
    concat!("6011", "000990139424"),
    concat!("6011", "111111111117"),
    // AWS.
    concat!("AKIA", "I44QH8DHBEXAMPLE"),
    concat!("AKIA", "IOSFODNN7EXAMPLE"),
    concat!("ASIA", "IOSFODNN7EXAMPLE"),
    // The emulator of Azure Cosmos DB.
    concat!(
        "C2y6",
        "yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
    ),
    concat!("DE89", "370400440532013000"),
    // The emulator of Azure Storage.
    concat!(
        "Eby8",
        "vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    concat!("FR14", "20041010050500013M02606"),
    concat!("GB29", "NWBK60161331926819"),
    concat!("GB82", "WEST12345698765432"),
    concat!("KwDi", "Bf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"),
    // The first account of Ethereum's development chains.
    concat!("ac09", "74bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    // jwt.io, old and new, without the header.
    concat!(
        "eyJzdWIi",
        "OiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWUsImlhdCI6MTUxNjIzOTAyMn0",
        ".KMUFsIDTnFmyG3nMiGM6H9FNFUROf3wh7SmqJp-QV30"
    ),
    concat!(
        "eyJzdWIi",
        "OiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ",
        ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    ),
    // GitHub's announcement of its token formats.
    concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"),
    // Stripe.
    concat!("sk_test_", "4eC39HqLyjWDarjtT1zdp7dc"),
    concat!("sk_test_", "BQokikJOvBiI2HlWgH4olfQ2"),
    concat!("wJal", "rXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
];

/// Whether `secret` is an example from public documentation. Groups of digits are joined, and of a JSON Web Token the
/// header is left aside, as it is in what the rules find.
pub(in crate::redact) fn is_well_known_example(secret: &[u8]) -> bool {
    let joined: Vec<u8> = secret.iter().copied().filter(|byte| *byte != b' ').collect();
    let claims = joined.iter().position(|byte| *byte == b'.').map_or(0, |at| at + 1);
    let dashes = joined.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    let digits: Vec<u8> = joined.iter().copied().filter(|byte| !dashes || *byte != b'-').collect();
    [joined.get(claims..).unwrap_or_default(), &joined, &digits]
        .into_iter()
        .any(|text| PUBLISHED.binary_search_by(|known| known.as_bytes().cmp(text)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(PUBLISHED.is_sorted());
    }

    #[track_caller]
    fn check_example(secret: &str, expected: bool) {
        assert_eq!(is_well_known_example(secret.as_bytes()), expected, "{secret}");
    }

    #[test]
    fn examples_are_known_as_they_are_written() {
        check_example(concat!("AKIA", "IOSFODNN7EXAMPLE"), true);
        check_example("4242424242424242", true);
        check_example("4242 4242 4242 4242", true);
        check_example("4242-4242-4242-4242", true);
        check_example("DE89 3704 0044 0532 0130 00", true);
        let (header, rest) = ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", PUBLISHED[29]);
        check_example(&format!("{header}.{rest}"), true);
        check_example(rest, true);
        check_example(concat!("AKIA", "SRDVAJT3PYYYO4SA"), false);
        check_example("4242424242424241", false);
        check_example("", false);
    }
}
