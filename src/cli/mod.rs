//! The subcommands, one file each: arguments in, text to the given writers, an exit code out.

pub mod check;
pub mod env;
pub mod explain;
pub mod redact;
