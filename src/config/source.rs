//! Files and folders as a configuration names them: bounded, and each read at most once.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::FileProblem;

/// Bytes of one file of the configuration.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files of one folder.
pub(super) const MAX_FILES: usize = 10_000;

/// Text of a file: UTF-8, without NUL, at most [`MAX_FILE_BYTES`].
pub(super) fn read_text(path: &Path) -> Result<String, FileProblem> {
    let text = String::from_utf8(read_bytes(path)?).map_err(|_| FileProblem::NotText)?;
    if text.contains('\0') {
        return Err(FileProblem::NotText);
    }
    Ok(text)
}

/// Bytes of a file, at most [`MAX_FILE_BYTES`]. A folder, a pipe or a device is refused, so that reading always ends.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(error.kind());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileProblem::NotAFile);
    }
    // Room for all of it from the beginning: what holds secrets is wiped, and leaves no copy behind by growing.
    let length = metadata.len().min(MAX_FILE_BYTES) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        return Ok(bytes);
    }
    Err(FileProblem::TooLarge { limit: MAX_FILE_BYTES })
}

/// The files that a path stands for: itself, or a folder's `*.yaml` and `*.yml` in the order of their names.
///
/// Entries that begin with a dot are passed over: Kubernetes keeps `..data` and the folders it swaps beside the links it shows.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(error.kind());
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if is_shown_yaml(&file) {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(FileProblem::TooManyFiles { limit: MAX_FILES });
        }
    }
    if files.is_empty() {
        return Err(FileProblem::EmptyFolder);
    }
    files.sort();
    Ok(files)
}

fn is_shown_yaml(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    !hidden && yaml
}

/// Files already read, by the file behind any links.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<PathBuf>);

impl Seen {
    /// Whether the file is met for the first time.
    pub(super) fn is_new(&mut self, path: &Path) -> bool {
        // A path that can't be resolved is left to the reading, which says why.
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.0.insert(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_config_map_shows_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let swapped = folder.path().join("..2026_01_01");
        fs::create_dir(&swapped).unwrap();
        for name in ["b.yaml", "a.yml", "note.txt", ".hidden.yaml"] {
            fs::write(swapped.join(name), "").unwrap();
            std::os::unix::fs::symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        let names: Vec<_> = files_of(folder.path()).unwrap();
        assert_eq!(names, [folder.path().join("a.yml"), folder.path().join("b.yaml")]);
    }

    #[test]
    fn the_same_file_by_two_links_is_new_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let mut seen = Seen::default();
        assert!(seen.is_new(&file));
        assert!(!seen.is_new(&folder.path().join("link")));
    }

    #[test]
    fn what_is_no_bounded_text_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8], expected: FileProblem| {
            let file = folder.path().join("file");
            fs::write(&file, bytes).unwrap();
            assert_eq!(read_text(&file), Err(expected));
        };
        check(b"a: \0", FileProblem::NotText);
        check(b"a: \xff", FileProblem::NotText);
        check(&vec![b' '; 1 + (1 << 20)], FileProblem::TooLarge { limit: 1 << 20 });
        assert_eq!(read_text(folder.path()), Err(FileProblem::NotAFile));
        assert_eq!(read_text(Path::new("/dev/zero")), Err(FileProblem::NotAFile));
        assert_eq!(
            read_text(&folder.path().join("none")),
            Err(FileProblem::Unreadable(io::ErrorKind::NotFound))
        );
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert_eq!(files_of(&empty), Err(FileProblem::EmptyFolder));
    }
}
