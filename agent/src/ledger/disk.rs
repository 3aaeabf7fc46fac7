//! The files of a ledger, and the system calls of a save as a list: what a crash between any two of
//! them leaves is one of the states that `choice` reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use paasta_common::assignment::Fence;

use super::{
    error::{LedgerError, io_error},
    format::{self, Contents, Unreadable},
};

/// The newest save.
pub(super) const NEWEST: &str = "ledger";
/// The save before it.
pub(super) const BEFORE: &str = "ledger.before";
/// A save that has not ended.
pub(super) const NEXT: &str = "ledger.next";

/// For the agent alone.
const MODE: u32 = 0o600;
/// Larger than a ledger can be.
const BYTES_MAX: u64 = 1 << 30;

/// What one of the files is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Missing,
    Whole(Contents),
    Damaged {
        reason: String,
        accepted: Option<Fence>,
    },
    Newer {
        format: u32,
    },
}

/// A system call of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Write,
    Flush,
    KeepBefore,
    Replace,
    FlushDirectory,
}

/// The calls of one rotation, in this order.
pub(super) const ROTATION: [Call; 6] = [
    Call::Create,
    Call::Write,
    Call::Flush,
    Call::KeepBefore,
    Call::Replace,
    Call::FlushDirectory,
];

/// A rotation under way.
pub(super) struct Rotation<'a> {
    root: &'a Path,
    bytes: &'a [u8],
    next: Option<File>,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(root: &'a Path, bytes: &'a [u8]) -> Self {
        Self {
            root,
            bytes,
            next: None,
        }
    }

    pub(super) fn call(&mut self, call: Call) -> Result<(), LedgerError> {
        let (newest, next) = (self.root.join(NEWEST), self.root.join(NEXT));
        match call {
            Call::Create => {
                let created = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(MODE)
                    .open(&next);
                self.next = Some(created.map_err(io_error("create", &next))?);
            }
            Call::Write => {
                let bytes = self.bytes;
                self.file()
                    .and_then(|mut file| file.write_all(bytes))
                    .map_err(io_error("write", &next))?;
            }
            Call::Flush => self
                .file()
                .and_then(File::sync_all)
                .map_err(io_error("flush", &next))?,
            Call::KeepBefore => match fs::rename(&newest, self.root.join(BEFORE)) {
                // The first save, or the one after a rotation that was interrupted here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                kept => kept.map_err(io_error("rename", &newest))?,
            },
            Call::Replace => fs::rename(&next, &newest).map_err(io_error("rename", &next))?,
            Call::FlushDirectory => flush_directory(self.root)?,
        }
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        let none = || io::Error::other("the file was not created");
        self.next.as_ref().ok_or_else(none)
    }
}

/// Makes `bytes` the newest save, durably. With `both`, also the one before it: an assignment that
/// was obeyed is in both files, so that neither lets an older one be obeyed (I3).
pub(super) fn save(root: &Path, bytes: &[u8], both: bool) -> Result<(), LedgerError> {
    for _ in 0..=u8::from(both) {
        let mut rotation = Rotation::new(root, bytes);
        let rotated = ROTATION
            .into_iter()
            .try_for_each(|call| rotation.call(call));
        if rotated.is_err() {
            // Gives back the room that it took. The error that matters is the first.
            let _ = fs::remove_file(root.join(NEXT));
        }
        rotated?;
    }
    Ok(())
}

/// Removes both files, durably.
pub(super) fn remove(root: &Path) -> Result<(), LedgerError> {
    for name in [NEWEST, BEFORE] {
        remove_file(&root.join(name))?;
    }
    flush_directory(root)
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(io_error("remove", path)),
    }
}

/// Makes renames in the state directory durable.
pub(super) fn flush_directory(root: &Path) -> Result<(), LedgerError> {
    File::open(root)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("flush", root))
}

/// Reads one of the files.
pub(super) fn read(root: &Path, name: &str) -> Result<Found, LedgerError> {
    let path = root.join(name);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| {
        let length = file.metadata()?.len();
        bytes.reserve_exact(usize::try_from(length.min(BYTES_MAX)).unwrap_or(0));
        file.take(BYTES_MAX).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(source) => return Err(io_error("read", &path)(source)),
    }
    Ok(match format::decode(&bytes) {
        Ok(contents) => Found::Whole(contents),
        Err(Unreadable::Newer { format }) => Found::Newer { format },
        Err(Unreadable::Damaged { reason, accepted }) => Found::Damaged { reason, accepted },
    })
}
