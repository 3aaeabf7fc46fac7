//! What a coordinator keeps on its own disk so that it can be trusted in the next election: the
//! consensus log and the vote (sled), the high-water file beside them, and snapshots.
//!
//! This is the only room that knows sled. sled 0.34 is not durable by itself and forgets a damaged
//! tail without a word, so every promise made here is kept by something of our own: an
//! `fdatasync` after each of its flushes, a checksum and a chain over every record, and a small
//! file outside it ([`HardState`]) that knows how far the log must reach.
//!
//! Not here: what the bytes mean to the consensus protocol (`crate::raft`), nor what a command
//! means to the cluster.

mod disk;
mod durable;
mod error;
mod flush;
mod hardstate;
mod id;
mod log;
mod open;
mod record;
mod slots;
mod snapshot;
mod timing;
mod verify;
mod volume;

pub use durable::lock as lock_dir;
pub use error::StoreError;
pub use flush::{Flusher, IoMode};
pub use hardstate::{Ballot, HardState, Mark};
pub use id::{BadStoreId, StoreId};
pub use log::{Log, LogHandle};
pub use open::{Store, StoreOptions, identity_of};
pub use record::{MAX_BODY_BYTES, Position, Record};
pub use snapshot::{Head, Incoming, SnapshotFile, Snapshots};
pub use timing::FlushTimer;
pub use volume::{MachineVolume, OnVolume, Volume, Writing};
