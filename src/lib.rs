//! Egret: the way out for MCP server containers.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod config;
pub mod identity;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod proxy;
pub mod redact;
pub mod reload;
pub mod shutdown;
