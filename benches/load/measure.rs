//! CPU time and memory of a process and all below it, from /proc.

use std::fs;

/// What /proc says of one process.
struct Status {
    parent: u32,
    /// Of the process and of its children that ended, in clock ticks.
    ticks: u64,
}

/// Resident memory, added up over a process and its children: pages that they share count once in each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident_kib: u64,
    /// The most that was resident since the process started.
    pub(crate) peak_kib: u64,
}

/// User and system time of a process and its descendants, in milliseconds.
///
/// The kernel counts in nanoseconds and tells whole clock ticks, mostly 10 ms: measure over a second or more.
pub(crate) fn cpu_time(root: u32) -> f64 {
    let ticks: u64 = tree(root)
        .into_iter()
        .filter_map(status)
        .map(|status| status.ticks)
        .sum();
    milliseconds(ticks)
}

fn milliseconds(ticks: u64) -> f64 {
    ticks as f64 * 1000.0 / rustix::param::clock_ticks_per_second() as f64
}

/// The time that all processors together were not idle, in milliseconds. What a hypervisor gave to others counts too;
/// interrupts don't, for nobody can say whose they were.
pub(crate) fn busy_time() -> f64 {
    /// user, nice, system and steal, of the first line of /proc/stat: proc(5).
    const BUSY: [usize; 4] = [0, 1, 2, 7];

    let text = fs::read_to_string("/proc/stat").expect("/proc is mounted");
    let fields = text.lines().next().unwrap_or("").split_whitespace();
    let ticks: u64 = fields
        .skip(1)
        .enumerate()
        .filter(|(at, _)| BUSY.contains(at))
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum();
    milliseconds(ticks)
}

pub(crate) fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(root) {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        sum.resident_kib += kib(&text, "VmRSS:");
        sum.peak_kib += kib(&text, "VmHWM:");
    }
    sum
}

/// A process and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, status(pid)?.parent)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

/// Field positions after the command's closing parenthesis: proc(5), /proc/PID/stat.
fn status(pid: u32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Status {
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
