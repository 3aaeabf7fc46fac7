//! A small file beside the ledger that says how far it must reach, and the newest fence obeyed:
//! what must not be lost even when the ledger is.

use std::{fs, io, path::Path};

use paasta_common::assignment::Fence;
use paasta_process::atomic_file;
use serde::{Deserialize, Serialize};

use super::{LedgerError, io_error};

const VERSION: u32 = 1;
const FILE: &str = "ledger.mark";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    version: u32,
    /// Saves made.
    pub(super) sequence: u64,
    /// The newest fence ever obeyed.
    pub(super) accepted: Option<Fence>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    crc32: u32,
    mark: String,
}

impl Mark {
    pub(super) fn new(sequence: u64, accepted: Option<Fence>) -> Self {
        Self {
            version: VERSION,
            sequence,
            accepted,
        }
    }

    /// A mark that can not be read demands nothing: the ledger's own checksums still do.
    pub(super) fn read(root: &Path) -> Self {
        let read = || {
            let bytes = fs::read(root.join(FILE)).ok()?;
            let sealed: Sealed = serde_json::from_slice(&bytes).ok()?;
            let whole = crc32fast::hash(sealed.mark.as_bytes()) == sealed.crc32;
            serde_json::from_str(&sealed.mark).ok().filter(|_| whole)
        };
        read().unwrap_or_default()
    }

    pub(super) fn write(&self, root: &Path) -> Result<(), atomic_file::WriteError> {
        let mark = serde_json::to_string(self).expect("numbers and text always encode");
        let sealed = Sealed {
            crc32: crc32fast::hash(mark.as_bytes()),
            mark,
        };
        let bytes = serde_json::to_vec(&sealed).expect("numbers and text always encode");
        atomic_file::write(&root.join(FILE), &bytes, 0o600).map(drop)
    }

    pub(super) fn remove(root: &Path) -> Result<(), LedgerError> {
        let path = root.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}
