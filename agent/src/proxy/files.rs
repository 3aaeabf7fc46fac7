//! The files of the load balancer: its configuration, and the set that it was written from. Both
//! are replaced whole, so that a crash leaves the one before or the new one.

use std::{
    io,
    path::{Path, PathBuf},
};

use paasta_common::endpoints::EndpointSet;
use paasta_process::atomic_file;

/// The configuration.
pub const CONFIG_FILE: &str = "haproxy.cfg";
/// One that is still to be checked.
const CANDIDATE_FILE: &str = "haproxy.cfg.new";
/// The last whole set.
pub const SET_FILE: &str = "endpoints.json";
/// The longest set that is read, in bytes.
const SET_MAX: u64 = 64 << 20;

/// The load balancer's directory.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: PathBuf,
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {what}")]
pub(super) struct FileError {
    /// The file.
    pub(super) path: String,
    /// `read` or `written`.
    pub(super) what: &'static str,
    /// Why.
    #[source]
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

impl Files {
    /// Those in this directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// The configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.directory.join(CONFIG_FILE)
    }

    /// A configuration that is still to be checked.
    pub(super) fn candidate(&self) -> PathBuf {
        self.directory.join(CANDIDATE_FILE)
    }

    fn set(&self) -> PathBuf {
        self.directory.join(SET_FILE)
    }

    /// The text of the configuration; none where there is no readable one.
    pub(super) fn read_config(&self) -> Option<String> {
        std::fs::read_to_string(self.config()).ok()
    }

    /// The last whole set; none before the first.
    ///
    /// # Errors
    /// [`FileError`] when there is one and it cannot be read.
    pub(super) fn read_set(&self) -> Result<Option<EndpointSet>, FileError> {
        let path = self.set();
        let failed = |source| FileError {
            path: path.display().to_string(),
            what: "read",
            source,
        };
        let bytes = match std::fs::metadata(&path).map(|data| data.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.into())),
            Ok(length) if length > SET_MAX => return Err(failed("it is too long".into())),
            Ok(_) => std::fs::read(&path).map_err(|error| failed(error.into()))?,
        };
        let set = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
        Ok(Some(set))
    }

    /// Replaces the set.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written; the one before stays.
    pub(super) fn write_set(&self, set: &EndpointSet) -> Result<(), FileError> {
        let path = self.set();
        let bytes = serde_json::to_vec(set).map_err(|error| written(&path, error.into()))?;
        self.replace(&path, &bytes)
    }

    /// Writes a configuration that is to be checked.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written.
    pub(super) fn write_candidate(&self, text: &str) -> Result<(), FileError> {
        self.replace(&self.candidate(), text.as_bytes())
    }

    /// Replaces the configuration by this text, which was checked.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written; the one before stays.
    pub(super) fn write_config(&self, text: &str) -> Result<(), FileError> {
        self.replace(&self.config(), text.as_bytes())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        match atomic_file::write(path, bytes, 0o600) {
            Ok(_) => Ok(()),
            Err(error) => Err(written(path, error.into())),
        }
    }
}

fn written(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> FileError {
    FileError {
        path: path.display().to_string(),
        what: "written",
        source,
    }
}
