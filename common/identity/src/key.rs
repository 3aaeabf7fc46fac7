//! Files of private keys: made for their owner only, and refused when others can read them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The mode of a key's file.
const MODE: u32 = 0o600;
/// The rights that only the owner may have.
const OTHERS: u32 = 0o077;
/// The largest file of a key or of certificates, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{}: cannot be {act}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a participle.
        act: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("{}: is a private key that other users can read (mode {mode:04o}); make it its owner's only: chmod 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// Others can read the file of a context.
    #[error("{}: is the file of a context, may hold a private key, and other users can read it (mode {mode:04o}); make it its owner's only: chmod 600", path.display())]
    OpenContext {
        /// The file.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// It is too large to be one.
    #[error("{}: is larger than {} KiB, too large for certificates or a key in PEM", path.display(), FILE_BYTES_MAX >> 10)]
    Large {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file that is no secret.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_checked(path, |_| Ok(()))
}

/// Reads the file of a private key.
pub(crate) fn read_key(path: &Path) -> Result<Vec<u8>, FileError> {
    read_checked(path, |metadata| match metadata.mode() & OTHERS {
        0 => Ok(()),
        _ => Err(FileError::Open {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
        }),
    })
}

/// Reads the file of a context.
pub(crate) fn read_context(path: &Path) -> Result<Vec<u8>, FileError> {
    read_checked(path, |metadata| match metadata.mode() & OTHERS {
        0 => Ok(()),
        _ => Err(FileError::OpenContext {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
        }),
    })
}

/// Reads what was checked: the rights are those of the open file, not of the name.
fn read_checked(
    path: &Path,
    check: impl FnOnce(&fs::Metadata) -> Result<(), FileError>,
) -> Result<Vec<u8>, FileError> {
    use io::Read as _;
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        act: "read",
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check(&metadata)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(FileError::Large {
            path: path.to_owned(),
        }),
        false => Ok(bytes),
    }
}

/// Writes the file of a private key, which must not be there.
pub(crate) fn write_key(path: &Path, pem: &str) -> Result<(), FileError> {
    write_new(path, pem, MODE)
}

/// Writes a file of certificates, which must not be there.
pub(crate) fn write_certificates(path: &Path, pem: &str) -> Result<(), FileError> {
    write_new(path, pem, 0o644)
}

fn write_new(path: &Path, pem: &str, mode: u32) -> Result<(), FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        act: "written",
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(pem.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
