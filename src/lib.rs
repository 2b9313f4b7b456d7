//! Egret: the way out for MCP server containers.

pub mod cli;
pub mod config;
pub mod identity;
pub mod policy;
pub mod redact;
