//! The identity of this machine, in a file of the state directory: a random id that is made once, and
//! the host ids that the agent had here. Containers carry the host id of the agent that made them, so
//! an agent whose id was changed does not find its own any more; this file remembers which they are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use paasta_common::id::{HostId, IdError, MachineId};
use paasta_process::atomic_file::{self, WriteError};
use serde::{Deserialize, Serialize};

const FILE: &str = "machine.json";
/// Readable for the agent alone.
const MODE: u32 = 0o600;
/// The former host ids that are kept, the latest ones.
const FORMER_MAX: usize = 16;

/// The identity of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// The host id of its agent.
    host: HostId,
    /// The host ids that the agent had before, the latest last.
    #[serde(default)]
    former: Vec<HostId>,
}

/// Why the identity is not known.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The drawn id is none.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Machine {
    /// Reads the identity of the state directory, or makes it, and remembers `host` in it. A file
    /// that is damaged is replaced: the new id counts when the lease of the old one has ended.
    ///
    /// # Errors
    /// [`MachineError`] when the file cannot be read or written.
    pub fn open(state_dir: &Path, host: &HostId) -> Result<Self, MachineError> {
        let path = state_dir.join(FILE);
        let mut machine = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(machine) => machine,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "the machine gets a new id");
                    Self::new(host)?
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::new(host)?,
            Err(source) => return Err(MachineError::Read { path, source }),
        };
        machine.becomes(host);
        let text = serde_json::to_vec(&machine).map_err(|error| MachineError::Read {
            path: path.clone(),
            source: error.into(),
        })?;
        atomic_file::write(&path, &text, MODE)?;
        Ok(machine)
    }

    fn new(host: &HostId) -> Result<Self, IdError> {
        let bits: u128 = rand::random();
        Ok(Self {
            id: MachineId::new(&format!("{bits:032x}"))?,
            host: host.clone(),
            former: Vec::new(),
        })
    }

    fn becomes(&mut self, host: &HostId) {
        self.former.retain(|former| former != host);
        if self.host != *host {
            let before = std::mem::replace(&mut self.host, host.clone());
            self.former.push(before);
        }
        let excess = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..excess);
    }

    /// The host ids that the agent of this state directory had before its present one.
    pub fn former(&self) -> &[HostId] {
        &self.former
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once_and_former_host_ids_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let open = |host: &str| Machine::open(dir.path(), &host.parse().unwrap()).unwrap();
        let first = open("h1");
        assert!(first.former().is_empty());
        assert_eq!(open("h1"), first);
        let renamed = open("h2");
        assert_eq!(renamed.id, first.id);
        assert_eq!(renamed.former(), ["h1".parse().unwrap()]);
        let back = open("h1");
        assert_eq!(back.former(), ["h2".parse().unwrap()]);
        for number in 0..40 {
            open(&format!("x{number}"));
        }
        assert_eq!(open("h1").former().len(), FORMER_MAX);
        let other = tempfile::tempdir().unwrap();
        let second = Machine::open(other.path(), &"h1".parse().unwrap()).unwrap();
        assert_ne!(second.id, first.id, "another machine has another id");
    }

    #[test]
    fn a_damaged_file_costs_the_id_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let host: HostId = "h1".parse().unwrap();
        let first = Machine::open(dir.path(), &host).unwrap();
        fs::write(dir.path().join(FILE), b"{").unwrap();
        let second = Machine::open(dir.path(), &host).unwrap();
        assert_ne!(first.id, second.id);
        assert_eq!(Machine::open(dir.path(), &host).unwrap(), second);
    }
}
