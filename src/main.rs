//! The `egret` command: arguments in, exit code out.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use egret::cli::Command;

/// Egret: the way out for MCP server containers. Lets out what an allowlist names, rewrites secrets, records every request.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// What to do; without it the proxy runs on its embedded default.
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or_default();
    let mut err = io::stderr().lock();
    match command.run(&mut io::stdout(), &mut err) {
        Ok(code) => ExitCode::from(code),
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let told = writeln!(err, "egret: {error:#}");
            ExitCode::from(if told.is_ok() { egret::cli::UNUSABLE } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
