//! End-to-end load: Egret, the proxies that people would use instead, and two floors of our own, in turn against one origin.
//!
//! It measures what a proxy costs (CPU time, memory) before what it reaches (requests a second), because the machine is
//! shared by the client, the origin and the proxy. It deliberately does not tune or pin anything: each peer runs as its
//! documentation says, with an allowlist and an access log where it has one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that meets what it did not expect should stop at once, and loudly"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is its product")]
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics over counts far below 2^52"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the client, the floors and the origin are not Egret: they dial loopback themselves"
)]

mod certificates;
mod client;
mod measure;
mod origin;
mod payload;
mod peers;
mod process;
mod relay;
mod rows;
mod splice;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::{Load, Outcome};
use crate::measure::{Memory, busy_time, cpu_time, memory};
use crate::peers::{Bed, Peer};
use crate::process::Process;
use crate::rows::Row;
use crate::table::{Cell, Measurement, Report};

/// Load Egret and its peers, and print what each costs.
#[derive(Parser)]
#[command(name = "load", bin_name = "cargo bench --bench load --")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Peers to run; all by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<Peer>,
    /// Rows to run; all by default
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Rounds; each cell is the median over them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The longest a single measurement may last
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// One short round: plausible, not publishable
    #[arg(long)]
    quick: bool,
    /// The Egret to measure; by default the one built with this benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_egret"))]
    egret: PathBuf,
    /// Writes every measurement to this file too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a child process of the harness does.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Origin { specification: String },
    #[command(hide = true)]
    Client { specification: String },
    #[command(hide = true)]
    Relay { specification: String },
    #[command(hide = true)]
    Splice { specification: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Origin { specification }) => origin::run(&specification),
        Some(Role::Client { specification }) => client::run(&specification),
        Some(Role::Relay { specification }) => relay::run(&specification),
        Some(Role::Splice { specification }) => splice::run(&specification),
        None if arguments.bench => return run(arguments),
        // `cargo test --benches` starts the program without that flag: there is no load to make then.
        None => eprintln!("to measure: cargo bench --bench load"),
    }
    ExitCode::SUCCESS
}

/// Runs every row against every peer and prints the table. Fails when a measurement did.
fn run(mut arguments: Arguments) -> ExitCode {
    if arguments.quick {
        arguments.rounds = 1;
        arguments.seconds = arguments.seconds.min(1.2);
    }
    process::raise_file_limit();
    let rows = match rows::named(&arguments.rows) {
        Ok(rows) => rows,
        Err(unknown) => {
            eprintln!("no row {unknown}; rows: {}", rows::names());
            return ExitCode::from(2);
        }
    };
    let bed = Bed::lay(arguments.egret.clone());
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|peer| arguments.only.is_empty() || arguments.only.contains(peer))
        .collect();
    let mut report = Report::new(&bed, &rows, &peers);
    probe_redaction(&bed, &peers, &mut report);
    for round in 0..arguments.rounds {
        for row in &rows {
            for peer in rotated(&peers, round) {
                eprintln!("round {} {} {}", round + 1, row.name, peer.name());
                let cell = measure(&bed, row, peer, arguments.seconds);
                report.add(row, peer, cell);
            }
        }
    }
    println!("{}", report.markdown());
    if let Some(file) = arguments.json {
        std::fs::write(&file, report.json()).expect("the JSON file can be written");
    }
    if report.failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The peers, beginning with another one each round, so that no peer always follows the same neighbour.
fn rotated(peers: &[Peer], round: usize) -> impl Iterator<Item = Peer> + '_ {
    peers
        .iter()
        .copied()
        .cycle()
        .skip(round % peers.len().max(1))
        .take(peers.len())
}

/// One row against one freshly started peer.
fn measure(bed: &Bed, row: &Row, peer: Peer, seconds: f64) -> Cell {
    if !peer.does(row.form) {
        return Cell::CannotDo;
    }
    if !peer.installed(bed) {
        return Cell::NotInstalled;
    }
    match try_measure(bed, row, peer, seconds) {
        Ok(measurement) => Cell::Measured(measurement),
        Err(reason) => Cell::Failed(reason),
    }
}

fn try_measure(bed: &Bed, row: &Row, peer: Peer, seconds: f64) -> Result<Measurement, String> {
    let (outcome, before, after) = apply_load(bed, row, peer, seconds)?;
    Ok(Measurement {
        requests: outcome.requests,
        bytes: outcome.bytes,
        seconds: outcome.seconds,
        p50_ms: outcome.p50_ms,
        p99_ms: outcome.p99_ms,
        cpu_ms: after.proxy - before.proxy,
        origin_cpu_ms: after.origin - before.origin,
        client_cpu_ms: after.client - before.client,
        busy_ms: after.busy - before.busy,
        resident_before_kib: before.memory.resident_kib,
        resident_kib: after.memory.resident_kib,
        peak_kib: after.memory.peak_kib,
    })
}

/// Starts the peer and the client, and takes the clocks between the warm-up and the end of the load.
fn apply_load(bed: &Bed, row: &Row, peer: Peer, seconds: f64) -> Result<(Outcome, Sample, Sample), String> {
    let proxy = peer.start(bed, row.form)?;
    let load = Load {
        proxy: proxy.address,
        form: row.form,
        host: peer.origin_host(row.form).to_owned(),
        port: bed.origin_port(row.form),
        roots: bed.client_roots(row.form),
        exchange: row.exchange,
        clients: row.clients,
        warm_up: row.warm_up(),
        count: row.count,
        fresh: row.fresh || !peer.keeps_alive(),
        seconds,
    };
    let mut client = Process::of_ours("client", &load, bed.dir())?;
    client.expect_line("warm")?;
    let before = Sample::take(bed, &proxy.process, &client);
    client.say("go")?;
    let outcome: Outcome = client.read_json()?;
    let after = Sample::take(bed, &proxy.process, &client);
    match &outcome.first_error {
        Some(error) => Err(format!("{} requests failed: {error}", outcome.errors)),
        None => Ok((outcome, before, after)),
    }
}

/// The clocks and the memory at one instant; CPU in milliseconds.
struct Sample {
    proxy: f64,
    origin: f64,
    client: f64,
    /// Of the whole machine.
    busy: f64,
    memory: Memory,
}

impl Sample {
    fn take(bed: &Bed, proxy: &Process, client: &Process) -> Self {
        Self {
            proxy: cpu_time(proxy.id()),
            origin: cpu_time(bed.origin()),
            client: cpu_time(client.id()),
            busy: busy_time(),
            memory: memory(proxy.id()),
        }
    }
}

/// Sends one body with made-up secrets through each Egret, so that the table can't call redaction on when it is not.
fn probe_redaction(bed: &Bed, peers: &[Peer], report: &mut Report) {
    for (peer, redacts) in [(Peer::Egret, true), (Peer::EgretNoRedaction, false)] {
        if !peers.contains(&peer) || !peer.installed(bed) {
            continue;
        }
        let name = peer.name();
        match apply_load(bed, &rows::PROBE, peer, 5.0) {
            Ok((outcome, ..)) if outcome.altered == redacts => {
                let fate = if redacts { "rewritten" } else { "passed as sent" };
                report.note(format!("{name}: made-up secrets in a body were {fate}"));
            }
            Ok(_) => report.doubt(format!("{name}: redaction is not what its name says")),
            Err(reason) => report.doubt(format!("{name}: the redaction probe failed: {reason}")),
        }
    }
}
