//! SOCKS5 messages from arbitrary bytes: no panic, the same reading in pieces as in one, no byte read beyond the message, no message without
//! end, and an authority that CONNECT would name in the same words.
#![no_main]

use std::fmt::Debug;

use egret::policy::Authority;
use egret::proxy::socks5::{MAX_MESSAGE, Reading, credentials, greeting, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(greeting, bytes);
    check(credentials, bytes);
    check(request, bytes);
    if let Ok(Some((request, _))) = request(bytes)
        && let Some(authority) = request.authority()
    {
        assert_eq!(Authority::parse(&authority.to_string()), Ok(authority));
    }
});

fn check<T: PartialEq + Debug>(read: fn(&[u8]) -> Reading<T>, bytes: &[u8]) {
    let whole = read(bytes);
    for length in 0..bytes.len().min(MAX_MESSAGE + 1) {
        let early = read(&bytes[..length]);
        assert!(early == Ok(None) || early == whole);
    }
    match &whole {
        Ok(Some((_, length))) => {
            assert!(*length <= bytes.len() && *length <= MAX_MESSAGE);
            assert_eq!(read(&bytes[..*length]), whole);
        }
        Ok(None) => assert!(bytes.len() < MAX_MESSAGE),
        Err(_) => {}
    }
}
