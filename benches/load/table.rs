//! What came out, as a Markdown table a row and as JSON.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde::Serialize;
use serde_json::json;

use crate::peers::{Bed, Peer};
use crate::rows::{Exchange, Row};

/// What others may take of the CPU before the table says that it is not to be trusted.
const BUSY_PERCENT: f64 = 10.0;
const GIB: f64 = (1024 * 1024 * 1024) as f64;

/// One row against one peer, once. CPU in milliseconds over all requests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) origin_cpu_ms: f64,
    pub(crate) client_cpu_ms: f64,
    /// Of the whole machine, ours and others'.
    pub(crate) busy_ms: f64,
    pub(crate) resident_before_kib: u64,
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Measurement {
    fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    fn cpu_per_request(&self) -> f64 {
        self.cpu_ms / self.requests as f64
    }

    fn gib(&self) -> f64 {
        self.bytes as f64 / GIB
    }

    fn cpu_per_gib(&self) -> f64 {
        self.cpu_ms / 1000.0 / self.gib()
    }

    /// The share of all cores' time that went to processes other than ours.
    fn foreign_share(&self) -> f64 {
        let ours = self.cpu_ms + self.origin_cpu_ms + self.client_cpu_ms;
        (self.busy_ms - ours).max(0.0) / (self.seconds * 1000.0 * cores() as f64)
    }

    fn kib_per_tunnel(&self) -> f64 {
        let grown = self.resident_kib.saturating_sub(self.resident_before_kib);
        grown as f64 / self.requests as f64
    }
}

/// What became of one measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) enum Cell {
    Measured(Measurement),
    CannotDo,
    NotInstalled,
    Failed(String),
}

struct Entry {
    row: Row,
    peer: Peer,
    cell: Cell,
}

/// Everything that a reader needs to judge the numbers, and the numbers.
pub(crate) struct Report {
    facts: Vec<String>,
    rows: Vec<Row>,
    peers: Vec<Peer>,
    entries: Vec<Entry>,
    doubtful: bool,
}

impl Report {
    pub(crate) fn new(bed: &Bed, rows: &[Row], peers: &[Peer]) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let command = arguments.join(" ").replace("--bench", "");
        let mut facts = vec![
            format!("Command: `cargo bench --bench load -- {}`", command.trim()),
            machine(),
        ];
        if cfg!(debug_assertions) {
            facts.push("A debug build: compare nothing here with anything.".to_owned());
        }
        facts.extend(
            peers
                .iter()
                .map(|peer| format!("{}: {}", peer.name(), peer.version(bed))),
        );
        Self {
            facts,
            rows: rows.to_vec(),
            peers: peers.to_vec(),
            entries: Vec::new(),
            doubtful: false,
        }
    }

    pub(crate) fn note(&mut self, fact: String) {
        self.facts.push(fact);
    }

    /// A fact that spoils the table.
    pub(crate) fn doubt(&mut self, fact: String) {
        eprintln!("{fact}");
        self.facts.push(fact);
        self.doubtful = true;
    }

    pub(crate) fn add(&mut self, row: &Row, peer: Peer, cell: Cell) {
        if let Cell::Failed(reason) = &cell {
            eprintln!("  failed: {reason}");
        }
        self.entries.push(Entry { row: *row, peer, cell });
    }

    pub(crate) fn failed(&self) -> bool {
        let failed = |entry: &Entry| matches!(entry.cell, Cell::Failed(_));
        self.doubtful || self.entries.iter().any(failed)
    }

    pub(crate) fn json(&self) -> String {
        let cells: Vec<_> = self
            .entries
            .iter()
            .map(|entry| json!({"row": entry.row.name, "peer": entry.peer.name(), "cell": entry.cell}))
            .collect();
        let whole = json!({"facts": self.facts, "measurements": cells});
        format!("{whole:#}\n")
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for fact in &self.facts {
            writeln!(text, "- {fact}").expect("a String takes what is written");
        }
        writeln!(text, "- {}", self.disturbance()).expect("a String takes what is written");
        for row in &self.rows {
            self.write_row(&mut text, row);
        }
        text
    }

    /// A core that is shared with others switches more and caches less, and not for every proxy alike.
    fn disturbance(&self) -> String {
        let shares = self.entries.iter().filter_map(|entry| match &entry.cell {
            Cell::Measured(measurement) => Some(measurement.foreign_share() * 100.0),
            Cell::CannotDo | Cell::NotInstalled | Cell::Failed(_) => None,
        });
        let mut shares: Vec<f64> = shares.collect();
        shares.sort_by(f64::total_cmp);
        let Some((most, median)) = shares.last().zip(shares.get(shares.len() / 2)) else {
            return "Nothing was measured".to_owned();
        };
        let advice = if *median > BUSY_PERCENT {
            ": too much to compare ratios"
        } else {
            ""
        };
        format!(
            "Other processes took {median:.0} % of the CPU time (median of the measurements; most {most:.0} %){advice}"
        )
    }

    fn write_row(&self, text: &mut String, row: &Row) {
        let columns = Column::of(row);
        let titles: Vec<&str> = columns.iter().map(|column| column.title()).collect();
        let floor = self.median(row, Peer::Relay, columns[0]);
        let mut line = |cells: &str| writeln!(text, "{cells}").expect("a String takes what is written");
        line(&format!("\n### {} (`{}`)\n", row.title, row.name));
        line(&format!("| proxy | × relay | {} |", titles.join(" | ")));
        line(&format!("|---|{}", "---:|".repeat(columns.len() + 1)));
        for peer in &self.peers {
            line(&self.peer_line(row, *peer, &columns, floor));
        }
    }

    fn peer_line(&self, row: &Row, peer: Peer, columns: &[Column], floor: Option<f64>) -> String {
        let name = peer.name();
        let Some(cost) = self.median(row, peer, columns[0]) else {
            return format!("| {name} | {} |{}", self.absence(row, peer), " |".repeat(columns.len()));
        };
        let ratio = floor.map_or("-".to_owned(), |floor| format!("{:.2}", cost / floor));
        let cells = columns
            .iter()
            .filter_map(|column| self.median(row, peer, *column))
            .map(rounded);
        let cells: Vec<String> = cells.collect();
        format!("| {name} | {ratio} | {} |{}", cells.join(" | "), self.partly(row, peer))
    }

    /// Why there is no number.
    fn absence(&self, row: &Row, peer: Peer) -> String {
        let cell = self.cells(row, peer).last();
        match cell {
            Some(Cell::NotInstalled) => "not installed".to_owned(),
            Some(Cell::Failed(reason)) => format!("failed: {}", reason.replace('|', "/")),
            Some(Cell::CannotDo | Cell::Measured(_)) | None => "-".to_owned(),
        }
    }

    /// A note after a line of which some rounds failed.
    fn partly(&self, row: &Row, peer: Peer) -> String {
        let failed = |cell: &&Cell| matches!(cell, Cell::Failed(_));
        match self.cells(row, peer).filter(failed).count() {
            0 => String::new(),
            rounds => format!(" {rounds} round(s) failed"),
        }
    }

    fn cells(&self, row: &Row, peer: Peer) -> impl Iterator<Item = &Cell> {
        let name = row.name;
        self.entries
            .iter()
            .filter(move |entry| entry.row.name == name && entry.peer == peer)
            .map(|entry| &entry.cell)
    }

    /// Over the rounds.
    fn median(&self, row: &Row, peer: Peer, column: Column) -> Option<f64> {
        let measured = self.cells(row, peer).filter_map(|cell| match cell {
            Cell::Measured(measurement) => Some(column.of_measurement(measurement)),
            Cell::CannotDo | Cell::NotInstalled | Cell::Failed(_) => None,
        });
        let mut values: Vec<f64> = measured.collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

#[derive(Clone, Copy)]
enum Column {
    CpuPerRequest,
    CpuPerGib,
    KibPerTunnel,
    Rate,
    GibPerSecond,
    P50,
    P99,
    Resident,
    Peak,
}

impl Column {
    /// The first is the cost that ratios are made of.
    fn of(row: &Row) -> Vec<Self> {
        let mut columns = match row.exchange {
            Exchange::Hold => vec![Self::KibPerTunnel],
            Exchange::Bulk(_) => vec![Self::CpuPerGib, Self::GibPerSecond],
            Exchange::Post(size) if size >= 64 * 1024 => {
                vec![Self::CpuPerRequest, Self::CpuPerGib, Self::Rate, Self::P50, Self::P99]
            }
            Exchange::Get | Exchange::Post(_) | Exchange::Echo => {
                vec![Self::CpuPerRequest, Self::Rate, Self::P50, Self::P99]
            }
        };
        columns.extend([Self::Resident, Self::Peak]);
        columns
    }

    fn title(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "CPU ms/request",
            Self::CpuPerGib => "CPU s/GiB",
            Self::KibPerTunnel => "KiB/tunnel",
            Self::Rate => "requests/s",
            Self::GibPerSecond => "GiB/s",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::Resident => "RSS MiB",
            Self::Peak => "peak MiB",
        }
    }

    fn of_measurement(self, of: &Measurement) -> f64 {
        match self {
            Self::CpuPerRequest => of.cpu_per_request(),
            Self::CpuPerGib => of.cpu_per_gib(),
            Self::KibPerTunnel => of.kib_per_tunnel(),
            Self::Rate => of.rate(),
            Self::GibPerSecond => of.gib() / of.seconds,
            Self::P50 => of.p50_ms,
            Self::P99 => of.p99_ms,
            Self::Resident => of.resident_kib as f64 / 1024.0,
            Self::Peak => of.peak_kib as f64 / 1024.0,
        }
    }
}

/// Three digits that mean something.
fn rounded(value: f64) -> String {
    match value {
        small if small < 0.1 => format!("{small:.4}"),
        small if small < 1.0 => format!("{small:.3}"),
        middling if middling < 10.0 => format!("{middling:.2}"),
        middling if middling < 100.0 => format!("{middling:.1}"),
        large => format!("{large:.0}"),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The machine, its load before the run, and the compiler.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = cores();
    let compiler = Command::new("rustc").arg("--version").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "Linux {}, {model}, {cores} cores, load average {} before the run, {}",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("unknown"),
        compiler.unwrap_or_else(|_| "rustc unknown".to_owned()),
    )
}
