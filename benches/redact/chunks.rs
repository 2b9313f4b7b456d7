//! What a single chunk costs, and what a stream keeps.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use egret::redact::{Redactor, Stream};

use super::CHUNK;

/// How much memory is filled with streams to see what one takes.
const BATCH: usize = 64 << 20;

/// How long chunks took.
pub(crate) struct Times {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) longest: Duration,
}

/// Sends a body through a stream and times each chunk.
pub(crate) fn times(redactor: &Redactor, body: &Bytes) -> Times {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut rest = body.clone();
    let mut times = Vec::with_capacity(body.len() / CHUNK + 1);
    while !rest.is_empty() {
        let chunk = rest.split_to(CHUNK.min(rest.len()));
        let begun = Instant::now();
        stream.push(chunk, &mut out);
        times.push(begun.elapsed());
        out.clear();
    }
    times.sort_unstable();
    let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1000];
    Times {
        median: at(500),
        p99: at(990),
        p999: at(999),
        longest: at(1000),
    }
}

/// How many bytes of memory a stream takes that was sent `text`, and how many of `text` it holds back.
pub(crate) fn state(redactor: &Redactor, text: &Bytes) -> (usize, usize) {
    let (_, held) = open(redactor, text);
    let count = BATCH / (held + size_of::<Stream>());
    let batch = || -> Vec<Stream> { (0..count).map(|_| open(redactor, text).0).collect() };
    // The first batch takes what the allocator has at hand, so that the second has to be made room for.
    let first = batch();
    let before = resident();
    let second = batch();
    let taken = resident().saturating_sub(before) / count;
    drop((first, second));
    (taken, held)
}

/// A stream that was sent `text`, and how many bytes of it it holds back.
fn open(redactor: &Redactor, text: &Bytes) -> (Stream, usize) {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    stream.push(text.clone(), &mut out);
    let held = text.len() - out.iter().map(Bytes::len).sum::<usize>();
    (stream, held)
}

/// The process' resident memory in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux' process information");
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    resident.expect("a number of pages") * rustix::param::page_size()
}
