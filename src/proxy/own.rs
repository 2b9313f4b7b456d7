//! What the machine says of itself: its addresses, by which no request may come back to the proxy, and how many files it may open.
//!
//! Read from the kernel's tables under `/proc`, which a container has too; no library is needed for three small files.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses of this machine's interfaces, as far as `/proc` tells.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let ipv4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let ipv6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    local_ipv4(&ipv4)
        .map(IpAddr::V4)
        .chain(local_ipv6(&ipv6).map(IpAddr::V6))
        .collect()
}

/// Taken when `/proc` doesn't tell: what systems have given for long.
const USUAL_DESCRIPTORS: usize = 1024;

/// How many files, and so connections, this process may have open.
pub(crate) fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files(&limits).unwrap_or(USUAL_DESCRIPTORS)
}

/// `Max open files`, then the soft limit.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" {
        Some(usize::MAX)
    } else {
        soft.parse().ok()
    }
}

/// A leaf of the routing trie is a line with the address, and below it `/32 host LOCAL`.
fn local_ipv4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut leaf = None;
    trie.lines().filter_map(move |line| {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            leaf = address.parse().ok();
            return None;
        }
        if line.contains("/32 host LOCAL") {
            leaf.take()
        } else {
            None
        }
    })
}

/// A line an address: 32 hex digits first.
fn local_ipv6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        (digits.len() == 32)
            .then(|| u128::from_str_radix(digits, 16).ok())
            .flatten()
            .map(Ipv6Addr::from_bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_loopback_addresses() {
        assert!(
            addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
            "{:?}",
            addresses()
        );
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        let table =
            "Max processes  1 2 processes\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(table), Some(1024));
        assert_eq!(
            open_files("Max open files  unlimited  unlimited files"),
            Some(usize::MAX)
        );
        assert!(descriptors() > 0);
    }

    #[test]
    fn both_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.0\n        /24 link UNICAST\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_ipv4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 1, 2, 3)]);
        let table = "20010db8000000000000000000000001 02 40 00 80 eth0\n";
        assert_eq!(
            local_ipv6(table).collect::<Vec<_>>(),
            ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]
        );
    }
}
