//! Why a ledger is not opened, not read or not written.

use std::{io, path::Path};

use super::format;

/// Why there is no ledger, or why it was not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another agent has it.
    #[error("{path} is in use by another agent; one agent runs for each state directory")]
    InUse {
        /// The state directory.
        path: String,
    },
    /// The file system.
    #[error("cannot {what} {path}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A later agent wrote it.
    #[error(
        "{path} is in format {format}, and this agent reads format {}; start the version that wrote it, or remove ledger and ledger.before from this directory: the next assignment then takes over what runs",
        format::FORMAT
    )]
    NewerFormat {
        /// The file.
        path: String,
        /// Its format.
        format: u32,
    },
    /// A reader beside an agent found nothing whole.
    #[error("the ledger in {path} is damaged: {reason}; start the agent, which sets it aside")]
    Damaged {
        /// The state directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A reader beside an agent found the database of an older version.
    #[error(
        "the ledger in {path} is of version 0.1; start this version of the agent once, which takes it over"
    )]
    Old {
        /// The state directory.
        path: String,
    },
    /// The thread that writes.
    #[error("the ledger's writer failed; its panic is in this log")]
    NoWriter,
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.display().to_string();
    move |source| LedgerError::Io { what, path, source }
}
