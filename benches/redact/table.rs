//! Everything measured once and printed as Markdown, as the README shows it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use egret::redact::Rules;

use super::chunks::{Times, state, times};
use super::floods::floods;
use super::inputs::INPUTS;
use super::peers::Peer;
use super::vectorscan::Vectorscan;
use super::{redact, redactor};

/// The best of so many rounds counts.
const ROUNDS: usize = 3;

/// Prints all tables.
pub(crate) fn print() {
    // Before the others, which leave memory behind.
    streams();
    speed();
    chunks();
    floods_table();
    start_up();
}

fn best(mut run: impl FnMut()) -> Duration {
    let round = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

/// Bytes a nanosecond.
fn gigabytes_a_second(bytes: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(bytes).unwrap()) / took.as_secs_f64() / 1e9
}

fn speed() {
    let peers = Peer::all();
    let vectorscan = Vectorscan::find();
    let names: Vec<&str> = peers.iter().map(Peer::name).collect();
    println!(
        "| GB/s | {} | Vectorscan |\n|---|{}---:|",
        names.join(" | "),
        "---:|".repeat(peers.len())
    );
    for input in INPUTS {
        let body = input.body();
        print!("| {} |", input.name);
        for peer in &peers {
            let part = body.slice(..peer.share().min(body.len()));
            print!(" {:.3} |", gigabytes_a_second(part.len(), best(|| peer.run(&part))));
        }
        println!(
            " {} |",
            vectorscan
                .as_ref()
                .map_or("not built".to_owned(), |peer| peer.run(&body))
        );
    }
}

fn chunks() {
    let redactor = redactor();
    println!("\n| 16 KiB chunk, µs | median | p99 | p99.9 | longest |\n|---|---:|---:|---:|---:|");
    for input in INPUTS {
        let Times {
            median,
            p99,
            p999,
            longest,
        } = times(&redactor, &input.body());
        let [median, p99, p999, longest] = [median, p99, p999, longest].map(|time| time.as_secs_f64() * 1e6);
        println!("| {} | {median:.1} | {p99:.1} | {p999:.1} | {longest:.1} |", input.name);
    }
}

fn floods_table() {
    let redactor = redactor();
    let rate =
        |(name, body): (String, Bytes)| (gigabytes_a_second(body.len(), best(|| redact(&redactor, &body))), name);
    let mut rates: Vec<(f64, String)> = floods().into_iter().map(rate).collect();
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    println!("\n| flood of, slowest first | MB/s |\n|---|---:|");
    for (rate, name) in rates {
        println!("| {} | {:.0} |", name.replace('|', "\\|"), rate * 1000.0);
    }
}

fn streams() {
    let redactor = redactor();
    let texts = [
        ("nothing yet", String::new()),
        ("prose", "nothing to see here, and ".repeat(600)),
        (
            "an open token",
            format!("{}{}", ["ghp", "_"].concat(), "a1B2".repeat(4)),
        ),
        (
            "an open PEM block",
            format!(
                "-----BEGIN PRIVATE KEY-----\n{}",
                "MIIEvQIBADANBgkqhkiG9w0B\n".repeat(600)
            ),
        ),
        ("an open string of base64", "aGVsbG8gd29ybGQh".repeat(1000)),
    ];
    println!("\n| a stream in the middle of | bytes held back | bytes of memory |\n|---|---:|---:|");
    for (name, text) in texts {
        let (taken, held) = state(&redactor, &Bytes::from(text));
        println!("| {name} | {held} | {taken} |");
    }
}

fn start_up() {
    let took = best(|| {
        black_box(Rules::builtin().expect("the shipped rules compile"));
    });
    let count = redactor().rules().len();
    println!("\n{count} rules are compiled in {:.0} ms.", took.as_secs_f64() * 1e3);
}
