//! The file system below a store: how much room it has. A simulation brings one that refuses.

use std::{fmt, io, path::Path, sync::Arc};

use paasta_coordinator_core::space::{Space, log_bytes};
use paasta_process::space;

/// What is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// The log or the vote.
    Log,
    /// A snapshot, made here or received.
    Snapshot,
}

/// A file system, as far as a store depends on it.
pub trait Volume: Send + Sync {
    /// How much room there is at `dir`.
    ///
    /// # Errors
    /// Those of the system.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Whether a write may be tried.
    ///
    /// # Errors
    /// What the write would end with.
    fn admit(&self, _what: Writing) -> io::Result<()> {
        Ok(())
    }
}

/// A file system of the machine.
#[derive(Clone, Copy, Debug)]
pub struct MachineVolume;

impl Volume for MachineVolume {
    fn space(&self, dir: &Path) -> io::Result<Space> {
        let found = space::of(dir)?;
        Ok(Space {
            free: found.free,
            total: found.total,
        })
    }
}

/// The volume of a store; the machine's unless a simulation brings another.
#[derive(Clone)]
pub struct OnVolume(Arc<dyn Volume>);

impl OnVolume {
    /// On this one.
    pub fn new(volume: Arc<dyn Volume>) -> Self {
        Self(volume)
    }

    /// How much room there is at `dir`. Blocks.
    ///
    /// # Errors
    /// Those of the system.
    pub fn space(&self, dir: &Path) -> io::Result<Space> {
        self.0.space(dir)
    }

    pub(super) fn admit(&self, what: Writing) -> io::Result<()> {
        self.0.admit(what)
    }

    /// Whether a snapshot may take `bytes` more: it leaves room to the log, whose writes cannot be
    /// put off. What tells no size refuses nothing. Blocks.
    pub(super) fn admit_snapshot(&self, dir: &Path, bytes: u64) -> io::Result<()> {
        self.admit(Writing::Snapshot)?;
        let Ok(space) = self.space(dir) else {
            return Ok(());
        };
        let leave = log_bytes(space.total);
        if space.total > 0 && space.free < bytes.saturating_add(leave) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "{} bytes are free in {}; a snapshot needs {bytes} and leaves {leave} to the log",
                    space.free,
                    dir.display()
                ),
            ));
        }
        Ok(())
    }
}

impl Default for OnVolume {
    fn default() -> Self {
        Self(Arc::new(MachineVolume))
    }
}

impl fmt::Debug for OnVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnVolume")
    }
}
