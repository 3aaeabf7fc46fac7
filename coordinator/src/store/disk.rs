//! The two places that must agree, and the order in which they are written: the high-water file
//! knows a vote before the log store does, and learns of a record only after it.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use prost::Message;

use super::{
    hardstate::{Ballot, HardState, Mark},
    slots::Slots,
    timing::FlushTimer,
    volume::{OnVolume, Writing},
};

/// Keys of the tree beside the records.
pub(super) const VOTE_KEY: &[u8] = b"v";
pub(super) const PURGED_KEY: &[u8] = b"p";
pub(super) const COMMITTED_KEY: &[u8] = b"c";

/// The open files of a store. Every method blocks on the disk.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) tree: sled::Tree,
    db: sled::Db,
    /// Our own descriptor of sled's file: sled never syncs it when it says it flushed.
    data: File,
    hard: Mutex<Slots>,
    timer: FlushTimer,
    volume: OnVolume,
    /// Set by the first failed sync. The kernel reports such a failure once and may drop the
    /// pages, so a later success would mean nothing.
    broken: AtomicBool,
    /// The owner's lock; last, so that it outlives the rest.
    _lock: File,
}

impl Disk {
    pub(super) fn new(db: sled::Db, tree: sled::Tree, data: File, hard: Slots, lock: File) -> Self {
        let broken = AtomicBool::new(false);
        Self {
            tree,
            db,
            data,
            hard: Mutex::new(hard),
            timer: FlushTimer::default(),
            volume: OnVolume::default(),
            broken,
            _lock: lock,
        }
    }

    /// The same, with somebody who hears how long each flush takes.
    pub(super) fn timed(self, timer: FlushTimer) -> Self {
        Self { timer, ..self }
    }

    /// The same, on this file system.
    pub(super) fn on(self, volume: OnVolume) -> Self {
        Self { volume, ..self }
    }

    /// A copy of what the high-water file holds.
    pub(super) fn hard(&self) -> HardState {
        self.hard.lock().state().clone()
    }

    /// Makes everything written so far durable, then raises the marks that are given.
    ///
    /// Two syncs, one after the other, on purpose. A mark that went to the disk together with its
    /// records, or before them, could outlive them in a power cut: either an ordinary crash would
    /// look like damage, or the last batch would have to be forgiven for missing, and with it a
    /// last batch that was acknowledged and rotted since. Only a mark that is written when its
    /// records are durable, and is durable when they are acknowledged, tells the two apart.
    pub(super) fn sync(&self, durable: Option<Mark>, purged: Option<Mark>) -> io::Result<()> {
        self.guard(|| {
            self.flush()?;
            let mut hard = self.hard.lock();
            let mut state = hard.state().clone();
            state.durable = durable.or(state.durable);
            state.purged = purged.or(state.purged);
            if state != *hard.state() {
                hard.write(state)
            } else {
                Ok(())
            }
        })
    }

    /// Remembers a vote: in the high-water file first, then in the log store.
    pub(super) fn vote(&self, ballot: Ballot) -> io::Result<()> {
        self.guard(|| {
            let mut hard = self.hard.lock();
            let state = HardState {
                vote: Some(ballot),
                ..hard.state().clone()
            };
            hard.write(state)?;
            drop(hard);
            self.tree
                .insert(VOTE_KEY, ballot.encode_to_vec())
                .map_err(io::Error::from)?;
            self.flush()?;
            self.hard.lock().state_mut().settled = Some(ballot);
            Ok(())
        })
    }

    /// Lowers the durable mark to `last` before records after it are removed.
    pub(super) fn lower(&self, last: Option<Mark>) -> io::Result<()> {
        self.guard(|| {
            let mut hard = self.hard.lock();
            let state = HardState {
                durable: last,
                ..hard.state().clone()
            };
            hard.write(state)
        })
    }

    /// Remembers which cluster this store belongs to, and in which epoch.
    pub(super) fn cluster(&self, id: String, epoch: u64) -> io::Result<()> {
        self.guard(|| {
            let mut hard = self.hard.lock();
            let state = HardState {
                cluster: id,
                epoch,
                ..hard.state().clone()
            };
            hard.write(state)
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.timer.time(|| {
            self.db.flush().map_err(io::Error::from)?;
            self.data.sync_data()
        })
    }

    fn guard(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "an earlier write to this disk failed; restart the coordinator once the disk is \
                 in order",
            ));
        }
        let written = self.volume.admit(Writing::Log).and_then(|()| write());
        if written.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        written
    }
}
