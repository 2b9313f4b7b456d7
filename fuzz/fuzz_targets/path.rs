//! Paths and path patterns from arbitrary text: no panic, canonical forms are fixed points, no segment climbs, and a pattern
//! that matches a path also matches it as a deny rule would.
#![no_main]

use egret::policy::{CanonicalPath, PathPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (raw, pattern) = input;
    let path = CanonicalPath::parse(raw);
    if let Ok(path) = &path {
        assert_eq!(CanonicalPath::parse(path.as_str()).as_ref(), Ok(path));
        assert!(
            path.as_str()
                .split('/')
                .all(|segment| segment != "." && segment != "..")
        );
    }
    let pattern = PathPattern::parse(pattern);
    if let Ok(pattern) = &pattern {
        assert_eq!(PathPattern::parse(pattern.as_str()).as_ref(), Ok(pattern));
    }
    if let (Ok(path), Ok(pattern)) = (path, pattern) {
        assert!(!pattern.matches(&path) || pattern.matches_any_reading(&path));
    }
});
