//! Files that are whole or not there: written beside their place, flushed, then renamed into it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::private;

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The file has its new content, durably.
    Written,
    /// It had that content already and was not touched.
    Unchanged,
}

/// Why a file was not written; the old one, if any, is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct WriteError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Sets apart the temporary files of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Replaces the file at `path` by `bytes`, created with `mode` less the umask
/// with which the process was started. Readers
/// see the old content or the new, never a part. Content that is already there is left alone, its
/// times and mode, too.
///
/// # Errors
/// [`WriteError`] names the step and the path; nothing is left behind.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<Outcome, WriteError> {
    if same(path, bytes) {
        return Ok(Outcome::Unchanged);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = temporary(path, directory);
    let outcome = replace(path, directory, &temporary, bytes, mode);
    if outcome.is_err() {
        // The error that matters is the first; a leftover would only be litter.
        let _ = fs::remove_file(&temporary);
    }
    outcome.map(|()| Outcome::Written)
}

fn same(path: &Path, bytes: &[u8]) -> bool {
    let length = fs::metadata(path).map(|metadata| metadata.len());
    // Compared by length first: a large file is read only when it may be equal.
    length.is_ok_and(|length| length == bytes.len() as u64)
        && fs::read(path).is_ok_and(|old| old == bytes)
}

fn temporary(path: &Path, directory: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    directory.join(format!(".{name}.{process}-{number}.tmp"))
}

fn replace(
    path: &Path,
    directory: &Path,
    temporary: &Path,
    bytes: &[u8],
    mode: u32,
) -> Result<(), WriteError> {
    let step = |what, path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { what, path, source }
    };
    // Truncating takes over what a killed process with this id may have left.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(temporary)
        .map_err(step("create", temporary))?;
    if let Some(mode) = private::shared(mode) {
        let mode = fs::Permissions::from_mode(mode);
        file.set_permissions(mode)
            .map_err(step("open", temporary))?;
    }
    file.write_all(bytes).map_err(step("write", temporary))?;
    file.sync_all().map_err(step("flush", temporary))?;
    fs::rename(temporary, path).map_err(step("replace", path))?;
    let opened = File::open(directory).map_err(step("open", directory))?;
    opened.sync_all().map_err(step("flush", directory))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_left_alone_when_equal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deployments.json");
        assert_eq!(write(&path, b"one", 0o640).unwrap(), Outcome::Written);
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777 & !0o640, 0);
        assert_eq!(write(&path, b"one", 0o640).unwrap(), Outcome::Unchanged);
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        assert_eq!(write(&path, b"two", 0o640).unwrap(), Outcome::Written);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["deployments.json"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x", 0o600).unwrap_err();
        assert!(error.to_string().contains("cannot replace"), "{error}");
        assert_eq!(names(directory.path()), ["taken"]);
        let missing = directory.path().join("none/file");
        assert!(write(&missing, b"x", 0o600).is_err());
    }
}
