//! Child processes: how they start, how one talks to ours, and that none is left behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::measure;

/// How long a peer may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long a peer may take to end by itself.
const STOP: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);

/// A child that is ended with everything below it when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts this program again in another role; its standard input and output are ours to talk through.
    pub(crate) fn of_ours(role: &str, specification: &impl Serialize, dir: &Path) -> Result<Self, String> {
        let log = dir.join(format!("{role}.log"));
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .arg(role)
            .arg(serde_json::to_string(specification).map_err(|error| error.to_string())?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(create(&log)?)
            .spawn()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            log,
        })
    }

    /// Starts a program of somebody else's; what it prints goes to a file.
    pub(crate) fn of_theirs(command: &mut Command, log: PathBuf) -> Result<Self, String> {
        let output = create(&log)?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self {
            child,
            stdin: None,
            stdout: None,
            log,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What a child of somebody else's, or our child's standard error, has printed so far.
    pub(crate) fn printed(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks `ready` until it answers.
    pub(crate) fn wait_for<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T, String> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Some(answer) = ready(self) {
                return Ok(answer);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended ({status}): {}", self.last_words()));
            }
            std::thread::sleep(POLL);
        }
        Err(format!("it does not listen: {}", self.last_words()))
    }

    pub(crate) fn say(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("no standard input")?;
        writeln!(stdin, "{line}").map_err(|error| error.to_string())
    }

    pub(crate) fn expect_line(&mut self, expected: &str) -> Result<(), String> {
        let line = self.read_line()?;
        if line == expected {
            return Ok(());
        }
        Err(format!("{line} instead of {expected}"))
    }

    pub(crate) fn read_json<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let line = self.read_line()?;
        serde_json::from_str(&line).map_err(|error| format!("{error} in {line}"))
    }

    fn read_line(&mut self) -> Result<String, String> {
        let stdout = self.stdout.as_mut().ok_or("no standard output")?;
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.is_empty() {
            return Err(format!("it ended: {}", self.last_words()));
        }
        Ok(line.trim_end().to_owned())
    }

    fn last_words(&self) -> String {
        let printed = self.printed();
        let lines: Vec<&str> = printed.lines().collect();
        let from = lines.len().saturating_sub(4);
        lines[from..].join(" / ")
    }

    fn end(&mut self) {
        let tree = measure::tree(self.id());
        signal(self.id(), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < STOP && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        let Ok(None) = self.child.try_wait() else {
            return;
        };
        for pid in tree {
            signal(pid, Signal::KILL);
        }
        self.child.wait().expect("a child that was started ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process that has ended already needs no signal, so that error is no error.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

fn create(file: &Path) -> Result<File, String> {
    File::create(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// A thousand tunnels need two descriptors each, and a forwarder's pipes four more.
pub(crate) fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised).expect("a limit can be raised to its maximum");
}
