//! The state folder and the secret that lives in it: the key of the fingerprints.
//!
//! Only `run` and `ca init` come here: `check` and `explain` make nothing, and use a key for the moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Length of the key that fingerprints are made with, in bytes.
pub const FINGERPRINT_KEY_BYTES: usize = 32;
const FINGERPRINT_KEY_FILE: &str = "fingerprint.key";

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

/// The key that makes a redaction's fingerprint: the same secret has the same fingerprint as long as the key stays.
#[derive(Clone)]
pub struct FingerprintKey([u8; FINGERPRINT_KEY_BYTES]);

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey")
    }
}

impl FingerprintKey {
    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; FINGERPRINT_KEY_BYTES] {
        &self.0
    }

    /// A key for this process alone.
    pub fn random() -> Result<Self, StateError> {
        let mut key = [0; FINGERPRINT_KEY_BYTES];
        let filled = aws_lc_rs::rand::fill(&mut key);
        let failed = |_| StateError { path: PathBuf::from(FINGERPRINT_KEY_FILE), source: io::Error::other("no random numbers") };
        filled.map_err(failed)?;
        Ok(Self(key))
    }

    /// The key kept in `state_dir`, made there when absent.
    ///
    /// # Errors
    ///
    /// The folder or the file can't be made or read, or the file hasn't exactly 32 bytes.
    pub fn keep(state_dir: &Path) -> Result<Self, StateError> {
        let path = state_dir.join(FINGERPRINT_KEY_FILE);
        let at = |source| StateError { path: path.clone(), source };
        make_state_dir(state_dir)?;
        match read_key(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read.map_err(at),
        }
        create_private(&path, Self::random()?.as_bytes())?;
        // Another process may have been first: what is in the file counts.
        read_key(&path).map_err(at)
    }
}

/// Makes the folder, and those above it, for its owner alone.
pub fn make_state_dir(state_dir: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state_dir);
    made.map_err(|source| StateError { path: state_dir.to_owned(), source })
}

/// Writes a file that only its owner may read, whole or not at all; one that exists already stays as it is.
///
/// The bytes go to a file of another name first and are flushed to the disk; the link to the final name fails when that name
/// is taken, where a rename would overwrite it.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let at = |source| StateError { path: path.to_owned(), source };
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let linked = write_draft(&draft, bytes).and_then(|()| link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.and(removed).map_err(at)
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn read_key(path: &Path) -> io::Result<FingerprintKey> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(FINGERPRINT_KEY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    let key = bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes; remove it to have a new one"))?;
    Ok(FingerprintKey(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let made = FingerprintKey::keep(&state).unwrap();
        let kept = FingerprintKey::keep(&state).unwrap();
        assert_eq!(made.as_bytes(), kept.as_bytes());
        assert_ne!(made.as_bytes(), FingerprintKey::random().unwrap().as_bytes());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join("fingerprint.key")), 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_left_alone() {
        for bytes in [0, 31, 33] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("fingerprint.key");
            fs::write(&path, vec![7; bytes]).unwrap();
            assert_eq!(FingerprintKey::keep(folder.path()).unwrap_err().source.kind(), io::ErrorKind::InvalidData);
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

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", FingerprintKey([0xab; 32])), "FingerprintKey");
    }
}
