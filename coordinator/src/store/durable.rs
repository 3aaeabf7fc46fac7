//! The three things about files that are easy to forget: a new name is durable only when its
//! directory is synced, a directory may have one owner, and damage once seen must stay seen.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

use paasta_process::held;

use super::error::StoreError;

/// The file whose presence says that damage was found here before.
const MARKER: &str = "DAMAGED";

/// Makes created, renamed and removed names of `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the directory for this process until the returned file is closed.
///
/// # Errors
/// [`StoreError::Locked`] if a coordinator runs on it.
pub fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("cannot create", &path))?;
    // A previous owner may be just ending.
    let held = |error: &TryLockError| matches!(error, TryLockError::WouldBlock);
    match held::wait_for(|| file.try_lock(), held) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StoreError::io("cannot lock", &path)(source)),
    }
}

/// What an earlier start found damaged in `dir`, if it found something.
pub(super) fn read_marker(dir: &Path) -> Option<String> {
    match fs::read_to_string(dir.join(MARKER)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!(
            "an earlier start left {MARKER}, now unreadable: {error}"
        )),
    }
}

/// Remembers damage, so that a later start cannot find the remains in order by luck. Best effort:
/// the checks that found it will most likely find it again.
pub(super) fn write_marker(dir: &Path, what: &str) {
    let written = File::create(dir.join(MARKER))
        .and_then(|mut file| {
            file.write_all(what.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| sync_dir(dir));
    if let Err(error) = written {
        tracing::warn!(dir = %dir.display(), %error, "cannot leave a note of the damage found");
    }
}
