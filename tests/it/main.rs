//! Integration tests of Egret: real TLS, real DNS, real clients.
//!
//! Each test starts the built binary as a child process in front of an origin and a DNS server of its own, all on
//! loopback and on ports that the system picks, so tests run side by side and need no network.
//! The real clients of `clients.rs` are put in place by `tests/clients/install`.

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod codings;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod hideouts;
#[cfg(test)]
mod intercept;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod proxy_tls;
#[cfg(test)]
mod redaction;
#[cfg(test)]
mod scenery;
#[cfg(test)]
mod socks5;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod trail;
#[cfg(test)]
mod transparent;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod websocket;
