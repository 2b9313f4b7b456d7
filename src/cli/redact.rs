//! `egret redact`: the redactor over a file or standard input, as it would treat a request's body.
//!
//! Nothing is at home in a file: every secret is rewritten. Fingerprints aren't shown, as they are made with a key for this run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use crate::config::{self, Redaction};
use crate::redact::Stream;

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
    match &args.file {
        None => redact(io::stdin().lock(), &config.redaction, out, err),
        Some(path) => redact(open(path)?, &config.redaction, out, err),
    }
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(BufReader::with_capacity(64 * 1024, file))
}

fn redact(
    mut input: impl BufRead,
    redaction: &Redaction,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mut stream = redaction.redactor.stream();
    let mut finder = Finder::new(redaction, err);
    loop {
        let piece = next_piece(&mut input).context("the input can't be read")?;
        let mut decided = Vec::new();
        if piece.is_empty() {
            stream.flush(&mut decided);
            write_all(&decided, out)?;
            break;
        }
        stream.push(piece.clone(), &mut decided);
        write_all(&decided, out)?;
        finder.push(piece)?;
    }
    finder.finish()
}

fn write_all(pieces: &[Bytes], out: &mut dyn Write) -> io::Result<()> {
    pieces.iter().try_for_each(|piece| out.write_all(piece))
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

/// Says in which lines the secrets stand.
///
/// A finding has no place in the text. So the text is redacted once more with a replacement that keeps each secret's length,
/// told line by line: where that differs from the text, a secret stood.
struct Finder<'a> {
    stream: Stream,
    /// What was told and is not decided yet; bounded by the stream's own bound.
    undecided: VecDeque<u8>,
    /// The line of the first undecided byte.
    line: u64,
    found: bool,
    err: &'a mut dyn Write,
}

impl<'a> Finder<'a> {
    fn new(redaction: &Redaction, err: &'a mut dyn Write) -> Self {
        Self {
            stream: redaction.redactor.keeping_length().stream(),
            undecided: VecDeque::new(),
            line: 1,
            found: false,
            err,
        }
    }

    fn push(&mut self, piece: Bytes) -> anyhow::Result<()> {
        self.undecided.extend(piece.iter());
        let mut decided = Vec::new();
        self.stream.push(piece, &mut decided);
        self.tell(&decided)
    }

    fn finish(mut self) -> anyhow::Result<u8> {
        let mut rest = Vec::new();
        self.stream.flush(&mut rest);
        self.tell(&rest)?;
        Ok(if self.found { FOUND } else { CLEAN })
    }

    fn tell(&mut self, decided: &[Bytes]) -> anyhow::Result<()> {
        let lines = self.differing_lines(decided);
        for finding in self.stream.findings() {
            self.found = true;
            let place = match lines {
                Some((first, last)) if first < last => format!("lines {first} to {last}"),
                Some((line, _)) => format!("line {line}"),
                None => format!("line {}", self.line),
            };
            let times = if finding.count == 1 {
                String::new()
            } else {
                format!(", {} times", finding.count)
            };
            writeln!(self.err, "{place}: {}{times}", finding.rule)?;
        }
        Ok(())
    }

    /// The first and the last line in which the decided bytes differ from the text.
    fn differing_lines(&mut self, decided: &[Bytes]) -> Option<(u64, u64)> {
        let mut lines = None;
        for byte in decided.iter().flatten() {
            let original = self.undecided.pop_front()?;
            if original != *byte {
                let (first, _) = lines.unwrap_or((self.line, self.line));
                lines = Some((first, self.line));
            }
            self.line += u64::from(original == b'\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No token of anybody's, but of a token's form.
    const TOKEN: &str = concat!("ghp_", "x7Qm2LkV9tRz4WbN8sYc1PjH6fDg3aKe5uT0");

    #[track_caller]
    fn check(input: &str, code: u8, findings: &str) {
        let config = config::inspect(None).unwrap();
        // Buffers of several sizes cut the lines at different places.
        for capacity in [1, 7, 4096] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let input_reader = BufReader::with_capacity(capacity, input.as_bytes());
            let given = redact(input_reader, &config.redaction, &mut out, &mut err).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(
                (given, String::from_utf8(err).unwrap().as_str()),
                (code, findings),
                "{out}"
            );
            assert_eq!(out.len(), input.len());
            assert!(!out.contains(TOKEN), "{out}");
        }
    }

    #[test]
    fn what_is_clean_passes_as_it_is() {
        check("", CLEAN, "");
        check("one\ntwo\n\nthree", CLEAN, "");
    }

    #[test]
    fn each_finding_has_its_line() {
        check(&format!("one\n\ntoken: {TOKEN}\nfour\n"), FOUND, "line 3: github-pat\n");
        check(TOKEN, FOUND, "line 1: github-pat\n");
        check(&format!("{TOKEN}\n"), FOUND, "line 1: github-pat\n");
        check(
            &format!("a\n{TOKEN}\nb\nc {TOKEN}\n"),
            FOUND,
            "line 2: github-pat\nline 4: github-pat\n",
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_with_its_name() {
        let args = Args {
            file: Some(PathBuf::from("/nowhere/file")),
            config: None,
        };
        let error = run(&args, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/file can't be read");
    }

    #[test]
    fn a_secret_of_several_lines_has_its_lines() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let key = format!(
            "-----BEGIN {0}-----\n{line}\n{line}\n-----END {0}-----\n",
            "PRIVATE KEY"
        );
        check(&format!("one\n{key}six\n"), FOUND, "lines 3 to 4: private-key\n");
    }

    #[test]
    fn a_bad_configuration_is_told_and_nothing_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.yaml");
        std::fs::write(&file, "x: 1\n").unwrap();
        let args = Args {
            file: None,
            config: Some(file),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&args, &mut out, &mut err).unwrap(), UNREADABLE);
        assert!(out.is_empty() && !err.is_empty());
    }
}
