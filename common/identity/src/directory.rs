//! The directory in which a program keeps what it is: its certificate, its key, and the authorities
//! that it trusts. Files are replaced as a whole, and belong to the owner of the directory, also
//! when root writes them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use paasta_process::{atomic_file, private};

use crate::{
    credentials::Files,
    key::{self, FileError},
};

/// The mode of its files.
const MODE: u32 = 0o600;

/// A directory of identity files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDir(PathBuf);

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be made, or its files cannot be given to its owner.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] atomic_file::WriteError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// A file is no text.
    #[error("{}: expected text", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
}

impl IdentityDir {
    /// The directory at `path`, which need not be there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The files of the program's TLS.
    #[must_use]
    pub fn files(&self) -> Files {
        Files {
            ca: self.0.join("ca.pem"),
            certificate: self.0.join("certificate.pem"),
            key: self.0.join("key.pem"),
        }
    }

    /// Whether the program has an identity here. The certificate is written last.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.files().certificate.exists()
    }

    /// The certificate of the authority whose key is in [`IdentityDir::authority_key`].
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.join("authority.pem")
    }

    /// The private key of the cluster's authority.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.0.join("authority.key")
    }

    /// The key of a join that is under way: it stays the same until the join succeeds, so that a
    /// join whose answer was lost can be repeated.
    #[must_use]
    pub fn new_key(&self) -> PathBuf {
        self.0.join("key.new.pem")
    }

    /// The addresses of the coordinators, one a line, as they were when the program joined.
    #[must_use]
    pub fn coordinators(&self) -> PathBuf {
        self.0.join("coordinators")
    }

    /// Makes the directory, its owner's only: the owner of the directory above, when root makes it.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn make(&self) -> Result<(), DirectoryError> {
        let there = self.0.exists();
        private::directory(&self.0).map_err(self.failed("create", &self.0))?;
        match self.0.parent() {
            Some(above) if !there && above.as_os_str().is_empty() => {
                self.give(&self.0, Path::new("."))
            }
            Some(above) if !there => self.give(&self.0, above),
            _ => Ok(()),
        }
    }

    /// Writes a file, which only its owner can read.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn write(&self, path: &Path, text: &str) -> Result<(), DirectoryError> {
        atomic_file::write(path, text.as_bytes(), MODE)?;
        self.give(path, &self.0)
    }

    /// Reads a secret, which only its owner may be able to read; `None` when it is not there.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn read_secret(&self, path: &Path) -> Result<Option<String>, DirectoryError> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = key::read_key(path)?;
        let text = String::from_utf8(bytes).map_err(|_| DirectoryError::Text {
            path: path.to_owned(),
        })?;
        Ok(Some(text))
    }

    /// Removes a file, unless it is not there.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn remove(&self, path: &Path) -> Result<(), DirectoryError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Gives a file to the owner of a directory; only root can, and only root must.
    fn give(&self, path: &Path, like: &Path) -> Result<(), DirectoryError> {
        let owner = |path: &Path| fs::metadata(path).map_err(self.failed("look at", path));
        let (file, like) = (owner(path)?, owner(like)?);
        if (file.uid(), file.gid()) == (like.uid(), like.gid()) {
            return Ok(());
        }
        match chown(path, Some(like.uid()), Some(like.gid())) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            given => given.map_err(self.failed("give to its owner:", path)),
        }
    }

    fn failed(
        &self,
        act: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
        let path = path.to_owned();
        move |source| DirectoryError::Io { act, path, source }
    }
}
