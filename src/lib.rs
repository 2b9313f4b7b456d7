//! Egret: the way out for MCP server containers.

pub mod admin;
pub mod audit;
pub mod log;
pub mod metrics;
