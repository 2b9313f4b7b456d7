//! The subcommands, one file each: arguments in, text to the given writers, an exit code out.

pub mod ca;
pub mod check;
pub mod demo;
pub mod env;
pub mod explain;
pub mod redact;
pub mod run;

use std::io::Write;

/// The exit code for a configuration or an argument that can't be used.
pub const UNUSABLE: u8 = 2;

/// What `egret` is asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the proxy.
    Run(run::Args),
    /// Read everything the proxy would read, run the allowlists' examples, and warn of what looks wrong.
    Check(check::Args),
    /// Say whether a request would be allowed, by which rule, and what to add if not.
    Explain(explain::Args),
    /// Make or show the CA that intercepted clients must trust.
    Ca(ca::Args),
    /// Print every variable that a container needs.
    Env(env::Args),
    /// Redact a file or standard input.
    Redact(redact::Args),
    /// Show in a few seconds what Egret does, without a network.
    Demo(demo::Args),
}

impl Default for Command {
    fn default() -> Self {
        Self::Run(run::Args::default())
    }
}

impl Command {
    /// Does it, and gives the exit code.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::Run(args) => run::run(args, err),
            Self::Check(args) => check::run(args, out, err),
            Self::Explain(args) => explain::run(args, out, err),
            Self::Ca(args) => ca::run(args, out, err),
            Self::Env(args) => env::run(args, out, err),
            Self::Redact(args) => redact::run(args, out, err),
            Self::Demo(args) => demo::run(args, out),
        }
    }
}
