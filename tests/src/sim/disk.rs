//! The file system of a simulated coordinator: how much room it has, and what it refuses.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use paasta_coordinator::store::{Volume, Writing};
use paasta_coordinator_core::space::Space;

const MIB: u64 = 1 << 20;
const TOTAL: u64 = 10_240 * MIB;

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// There is room.
    None,
    /// The reserve is begun: snapshots are still written.
    Reserve,
    /// There is room for the log only.
    Snapshots,
    /// There is none.
    All,
}

impl Fill {
    const ALL: [Self; 4] = [Self::None, Self::Reserve, Self::Snapshots, Self::All];

    fn free(self) -> u64 {
        match self {
            Self::None => TOTAL / 2,
            Self::Reserve => 300 * MIB,
            Self::Snapshots => 100 * MIB,
            Self::All => 0,
        }
    }
}

/// A disk. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk {
    fill: Arc<AtomicU8>,
    /// A planted fault: a snapshot without room takes the log's.
    greedy: bool,
    taken: Arc<AtomicBool>,
    /// It refused the log, as it was full.
    refused: Arc<AtomicBool>,
}

impl SimDisk {
    pub(crate) fn greedy(greedy: bool) -> Self {
        Self {
            greedy,
            ..Self::default()
        }
    }

    pub(crate) fn fill(&self) -> Fill {
        Fill::ALL[usize::from(self.fill.load(Ordering::SeqCst)) % Fill::ALL.len()]
    }

    /// Whether it is full for everything, or was when the log was written last.
    pub(crate) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::SeqCst) || self.fill() == Fill::All
    }

    pub(crate) fn set_fill(&self, fill: Fill) {
        self.fill.store(fill as u8, Ordering::SeqCst);
        self.taken.store(false, Ordering::SeqCst);
    }
}

impl Volume for SimDisk {
    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Ok(Space {
            free: self.fill().free(),
            total: TOTAL,
        })
    }

    fn admit(&self, what: Writing) -> io::Result<()> {
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        match (what, self.fill()) {
            (Writing::Snapshot, Fill::Snapshots | Fill::All) => {
                self.taken.store(self.greedy, Ordering::SeqCst);
                full()
            }
            (Writing::Log, Fill::All) => {
                self.refused.store(true, Ordering::SeqCst);
                full()
            }
            (Writing::Log, _) if self.taken.load(Ordering::SeqCst) => full(),
            _ => Ok(()),
        }
    }
}
