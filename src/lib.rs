//! Egret: the way out for MCP server containers.

pub mod config;
