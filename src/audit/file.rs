//! The trail's file: opened, healed after a crash, and looked up by its path.
//!
//! It knows how a line begins, to find the last number; the rest of a line is the record's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

/// How each line begins; the number follows.
pub(super) const LINE_START: &[u8] = br#"{"v":1,"seq":"#;

/// How much of an existing file is read to find its last record.
const TAIL: u64 = 1024 * 1024;

/// Why the trail can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The file can't be opened or made.
    #[error("failed to open the audit trail {}: {source}", path.display())]
    Open {
        /// The trail's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's end can't be read or mended.
    #[error("failed to read the end of the audit trail {}: {source}", path.display())]
    Read {
        /// The trail's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line can't be written.
    #[error("failed to write the audit trail {}: {source}", path.display())]
    Write {
        /// The trail's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this trail.
    #[error("the audit trail {} is in use by another process", path.display())]
    InUse {
        /// The trail's path.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{} is no audit trail: no audit record in its last {TAIL} bytes", path.display())]
    NotATrail {
        /// The trail's path.
        path: PathBuf,
    },
    /// The system gave no thread.
    #[error("failed to start the audit trail's thread: {0}")]
    Thread(#[source] io::Error),
}

/// The open file, locked against other writers and at a line's start.
#[derive(Debug)]
pub(super) struct TrailFile {
    file: File,
    device: u64,
    inode: u64,
}

impl TrailFile {
    /// Opens or makes the file. With it comes the number of its last whole record, or 0.
    pub(super) fn open(path: &Path) -> Result<(Self, u64), TrailError> {
        let failed = |source| TrailError::Open {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mut last = 0;
        // A device or a pipe has no end to read and nothing to lock.
        if metadata.is_file() {
            lock(&file, path)?;
            last = continue_from(path, &mut file)?;
        }
        Ok((
            Self {
                file,
                device: metadata.dev(),
                inode: metadata.ino(),
            },
            last,
        ))
    }

    /// Whether the path still leads to this file.
    pub(super) fn stands_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|there| there.dev() == self.device && there.ino() == self.inode)
    }
}

impl Write for TrailFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for TrailFile {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child process that is just being started.
        self.file.unlock().unwrap_or_default();
    }
}

/// Two writers would number their records twice.
fn lock(file: &File, path: &Path) -> Result<(), TrailError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrailError::InUse { path: path.to_owned() }),
        // Some network file systems know no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Ends a torn last line and gives the number of the last whole record.
fn continue_from(path: &Path, file: &mut File) -> Result<u64, TrailError> {
    let failed = |source| TrailError::Read {
        path: path.to_owned(),
        source,
    };
    let (tail, whole_file) = read_tail(path).map_err(failed)?;
    let last = last_number(&tail);
    if last.is_none() && !whole_file {
        return Err(TrailError::NotATrail { path: path.to_owned() });
    }
    if tail.last().is_some_and(|end| *end != b'\n') {
        file.write_all(b"\n").map_err(failed)?;
    }
    Ok(last.unwrap_or(0))
}

/// The file's last bytes, and whether they are the whole file.
fn read_tail(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(skipped))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok((tail, skipped == 0))
}

/// The number of the last line that is a whole record. What follows the last line end is torn.
fn last_number(tail: &[u8]) -> Option<u64> {
    let mut lines = tail.rsplit(|byte| *byte == b'\n');
    lines.next();
    lines.find_map(number)
}

fn number(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(LINE_START)?;
    let comma = memchr::memchr(b',', rest)?;
    let number = std::str::from_utf8(rest.get(..comma)?).ok()?.parse().ok()?;
    serde_json::from_slice::<IgnoredAny>(line).ok()?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tail: &[u8], expected: Option<u64>) {
        assert_eq!(last_number(tail), expected);
    }

    #[test]
    fn the_last_whole_record_gives_the_number() {
        check(b"", None);
        check(b"\n", None);
        check(b"{\"v\":1,\"seq\":7,\"time\":\"x\"}\n", Some(7));
        check(b"{\"v\":1,\"seq\":7,\"time\":\"x\"}", None);
        check(
            b"{\"v\":1,\"seq\":7,\"a\":1}\n{\"v\":1,\"seq\":8,\"client\":{}",
            Some(7),
        );
        check(
            b"{\"v\":1,\"seq\":7,\"a\":1}\n{\"v\":1,\"seq\":8,\"client\":{}\n",
            Some(7),
        );
        check(b"torn}\n{\"v\":1,\"seq\":7,\"a\":1}\n\n", Some(7));
        check(b"{\"v\":1,\"seq\":-1,\"a\":1}\n", None);
    }
}
