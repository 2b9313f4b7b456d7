//! What the redactor costs and how well it sees, on one core: throughput against peers, chunks, memory, floods, accuracy.
//!
//! Criterion measures by default; `--table` prints everything once as Markdown, `--accuracy` the accuracy corpus, and
//! `--seeds FOLDER` writes documents to begin fuzzing with. What each figure means stands in `benches/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that meets what it did not expect should stop at once, and loudly"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are its product")]

mod chunks;
mod expressions;
mod floods;
mod inputs;
mod peers;
mod table;
mod vectorscan;

#[allow(dead_code, reason = "the tests take what the benchmark doesn't")]
#[path = "../../tests/it/accuracy/corpus/mod.rs"]
mod corpus;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use egret::redact::{FingerprintKey, Redactor, Replacement, Rules};

use inputs::INPUTS;
use peers::Peer;

/// What every chunk is long, as a proxy reads it.
const CHUNK: usize = 16 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--accuracy", ..] => println!("{}", corpus::full_report()),
        ["--table", ..] => table::print(),
        ["--seeds", folder, ..] => write_seeds(Path::new(folder)),
        ["--seeds"] => {
            eprintln!("say where: --seeds fuzz/corpus/redact");
            return ExitCode::from(2);
        }
        _ => measure(),
    }
    ExitCode::SUCCESS
}

fn redactor() -> Redactor {
    let rules = Rules::builtin().expect("the shipped rules compile").into();
    Redactor::new(rules, Replacement::SameLength, FingerprintKey::new(&[1; 32]))
}

/// Sends a body through a stream, chunk by chunk.
fn redact(redactor: &Redactor, body: &Bytes) {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut rest = body.clone();
    while !rest.is_empty() {
        stream.push(rest.split_to(CHUNK.min(rest.len())), &mut out);
        black_box(&out);
        out.clear();
    }
    stream.flush(&mut out);
    black_box(out);
}

fn measure() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    throughput(&mut criterion);
    attacks(&mut criterion);
    criterion.bench_function("start-up", |b| b.iter(|| black_box(Rules::builtin())));
    criterion.final_summary();
}

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redact");
    group.sampling_mode(SamplingMode::Flat);
    for input in INPUTS {
        let body = input.body();
        for peer in Peer::all() {
            let part = body.slice(..peer.share().min(body.len()));
            group.throughput(Throughput::Bytes(u64::try_from(part.len()).unwrap()));
            group.bench_function(BenchmarkId::new(peer.name(), input.name), |b| {
                b.iter(|| peer.run(&part));
            });
        }
    }
    group.finish();
}

fn attacks(criterion: &mut Criterion) {
    let redactor = redactor();
    let mut group = criterion.benchmark_group("flood");
    for (name, body) in floods::floods() {
        group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap()));
        group.bench_function(name, |b| b.iter(|| redact(&redactor, &body)));
    }
    group.finish();
}

fn write_seeds(folder: &Path) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let seeds = corpus::fuzz_seeds();
    for (number, seed) in seeds.iter().enumerate() {
        // The target reads the lengths of the pieces first: none here.
        let document = [&[0], &seed[..]].concat();
        fs::write(folder.join(format!("seed-{number:05}")), document).expect("the folder can be written to");
    }
    println!("{} documents in {}", seeds.len(), folder.display());
}
