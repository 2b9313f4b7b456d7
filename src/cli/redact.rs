//! `egret redact`: the redactor over a file or standard input, as it would treat a request's body.
//!
//! Nothing is at home in a file: every secret is rewritten. Fingerprints aren't shown, as they are made with a key for this run.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use crate::config;
use crate::redact::{Redactor, Stream};

const CLEAN: u8 = 0;
const UNREADABLE: u8 = 2;
const FOUND: u8 = 4;

/// The arguments of `egret redact`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; without it standard input.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The configuration with rules and replacement; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Writes the redacted text to `out` and a line for each finding to `err`. Gives the exit code.
///
/// # Errors
///
/// The file can't be read, or a writer fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let config = match config::inspect(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(UNREADABLE);
        }
    };
    let redactor = &config.redaction.redactor;
    match &args.file {
        None => redact(io::stdin().lock(), redactor, out, err),
        Some(path) => redact(open(path)?, redactor, out, err),
    }
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(BufReader::with_capacity(64 * 1024, file))
}

fn redact(
    mut input: impl BufRead,
    redactor: &Redactor,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mut run = Run {
        stream: redactor.stream(),
        line: 1,
        found: false,
        out,
        err,
    };
    loop {
        let piece = next_piece(&mut input).context("the input can't be read")?;
        if piece.is_empty() {
            break;
        }
        run.push(piece)?;
    }
    run.finish()
}

/// The rest of the line, or as much of it as the buffer holds; empty at the end of the input.
fn next_piece(input: &mut impl BufRead) -> io::Result<Bytes> {
    let buffer = loop {
        match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            filled => break filled?,
        }
    };
    let end = buffer
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(buffer.len(), |newline| newline + 1);
    let piece = Bytes::copy_from_slice(buffer.get(..end).unwrap_or_default());
    input.consume(piece.len());
    Ok(piece)
}

/// One redaction, told line by line so that each finding has the line in which its secret ends.
struct Run<'a> {
    stream: Stream,
    line: u64,
    found: bool,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Run<'_> {
    fn push(&mut self, piece: Bytes) -> anyhow::Result<()> {
        let ends_line = piece.ends_with(b"\n");
        let mut decided = Vec::new();
        self.stream.push(piece, &mut decided);
        self.give(decided)?;
        self.line += u64::from(ends_line);
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<u8> {
        let mut rest = Vec::new();
        self.stream.flush(&mut rest);
        self.give(rest)?;
        self.out.flush()?;
        Ok(if self.found { FOUND } else { CLEAN })
    }

    fn give(&mut self, pieces: Vec<Bytes>) -> anyhow::Result<()> {
        for piece in pieces {
            self.out.write_all(&piece)?;
        }
        for finding in self.stream.findings() {
            self.found = true;
            let times = if finding.count == 1 {
                String::new()
            } else {
                format!(", {} times", finding.count)
            };
            writeln!(self.err, "line {}: {}{times}", self.line, finding.rule)?;
        }
        Ok(())
    }
}
