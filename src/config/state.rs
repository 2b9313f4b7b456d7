//! The state folder and the secret that lives in it: the key of the fingerprints.
//!
//! Only commands that write state come here: `check` and `explain` make nothing, and use a key for the moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "fingerprint.key";

/// Whether loading may make what is absent below `state_dir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The state folder and the fingerprint key are made when absent.
    Keep,
    /// Nothing is made or read there; the fingerprint key is a random one for this process.
    Leave,
}

/// A failure in the state folder.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct StateError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// The bytes of a key for this process alone.
pub(super) fn random_key() -> Result<[u8; KEY_BYTES], StateError> {
    random_bytes()
}

fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], StateError> {
    let mut bytes = [0; LENGTH];
    let failed = |_| StateError {
        path: PathBuf::from(KEY_FILE),
        source: io::Error::other("no random numbers"),
    };
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The bytes of the key in `state_dir`, made there when absent: the same secret has the same fingerprint as long as it stays.
///
/// # Errors
///
/// The folder or the file can't be made or read, or the file hasn't exactly 32 bytes.
pub(super) fn kept_key(state_dir: &Path) -> Result<[u8; KEY_BYTES], StateError> {
    let path = state_dir.join(KEY_FILE);
    let at = |source| StateError {
        path: path.clone(),
        source,
    };
    make_state_dir(state_dir)?;
    match read_key(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(at),
    }
    create_private(&path, &random_key()?)?;
    // Another process may have been first: what is in the file counts.
    read_key(&path).map_err(at)
}

/// Makes the folder, and those above it, for its owner alone.
pub fn make_state_dir(state_dir: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state_dir);
    made.map_err(|source| StateError {
        path: state_dir.to_owned(),
        source,
    })
}

/// Writes a file that only its owner may read, whole or not at all; one that exists already stays as it is.
///
/// The bytes go to a file of another name first and are flushed to the disk; the link to the final name fails when that name
/// is taken, where a rename would overwrite it.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let at = |source| StateError {
        path: path.to_owned(),
        source,
    };
    // A name of its own for each attempt: a process number would be 1 in every container that shares the folder.
    let attempt = u32::from_ne_bytes(random_bytes()?);
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{attempt:08x}.new"));
    let draft = PathBuf::from(draft);
    let linked = write_draft(&draft, bytes).and_then(|()| link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.and(removed).map_err(at)
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn link(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and_then(|()| sync_folder(path)),
    }
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file = File::open(path)?;
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // One byte more makes it another file's.
    if file.read(&mut [0])? > 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let made = kept_key(&state).unwrap();
        assert_eq!(kept_key(&state).unwrap(), made);
        assert_ne!(random_key().unwrap(), made);
        let permissions = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(permissions(&state), 0o700);
        assert_eq!(permissions(&state.join("fingerprint.key")), 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_left_alone() {
        for bytes in [0, 31, 33] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("fingerprint.key");
            fs::write(&path, vec![7; bytes]).unwrap();
            assert_eq!(
                kept_key(folder.path()).unwrap_err().source.kind(),
                io::ErrorKind::InvalidData
            );
            assert_eq!(fs::read(&path).unwrap(), vec![7; bytes]);
        }
    }

    #[test]
    fn a_file_that_exists_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create_private(&path, b"first").unwrap();
        create_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
