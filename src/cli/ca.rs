//! `egret ca`: the CA whose certificates intercepted clients are shown.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use super::UNUSABLE;
use crate::config::{self, CaFiles};
use crate::proxy::issuer;

/// The arguments of `egret ca`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do with it.
    #[command(subcommand)]
    pub action: Action,
}

/// What `egret ca` does.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make the CA's certificate and key where the configuration says. Never replaces one.
    Init(Files),
    /// Print the CA's certificate as PEM.
    Show(Files),
    /// Print the system's roots and the CA as one PEM bundle, for clients that take one file only.
    Bundle(Files),
}

/// Where the CA is.
#[derive(Debug, clap::Args)]
pub struct Files {
    /// The configuration that names the CA's files; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Makes or prints the CA. Gives the exit code.
///
/// # Errors
///
/// A file can't be read or written, or a writer fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let (Action::Init(files) | Action::Show(files) | Action::Bundle(files)) = &args.action;
    let ca = match config::inspect(files.config.as_deref()) {
        Ok(config) => config.ca,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(UNUSABLE);
        }
    };
    match args.action {
        Action::Init(_) => {
            issuer::create(&ca).context("failed to make the CA")?;
            writeln!(out, "made {} and {}", ca.certificate.display(), ca.key.display())?;
        }
        Action::Show(_) => write!(out, "{}", certificate(&ca)?)?,
        Action::Bundle(_) => {
            for root in issuer::system_roots() {
                write!(out, "{root}")?;
            }
            write!(out, "{}", certificate(&ca)?)?;
        }
    }
    Ok(0)
}

fn certificate(ca: &CaFiles) -> anyhow::Result<String> {
    std::fs::read_to_string(&ca.certificate).with_context(|| {
        format!(
            "failed to read {}: run the proxy once, or `egret ca init`",
            ca.certificate.display()
        )
    })
}
