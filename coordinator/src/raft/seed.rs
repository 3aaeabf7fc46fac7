//! Makes the store of a new cluster's first and only member out of a state that is given: how a
//! cluster begins again from a saved state, or from what one of its members still has.
//!
//! The new cluster keeps its id and gets a later epoch, so that nobody from before mixes with it.
//! What the state is, and where it comes from, is not known here (`crate::offline`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
};

use openraft::Membership;

use super::{
    codec,
    entry::to_log_id,
    error::RaftError,
    runtime::random_store_id,
    types::{Node, SnapshotMeta, StoredMembership},
};
use crate::store::{Ballot, FlushTimer, IoMode, OnVolume, Position, Store, StoreId, StoreOptions};

/// The first member of a cluster that begins with a state.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Where its store is made. Must not hold one.
    pub dir: PathBuf,
    /// The member.
    pub node: u64,
    /// `host:port` at which others will reach it.
    pub address: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// Its new epoch, later than any before.
    pub epoch: u64,
    /// A term no earlier than any that the state has seen.
    pub term: u64,
    /// Where in the log the state stands: the next record follows it.
    pub index: u64,
}

/// Makes the store, with the state that `body` writes as its snapshot. Blocks on the disk.
///
/// # Errors
/// [`RaftError`] if the directory holds a store, or cannot be written. What was made until then is
/// not a usable store of this cluster; the caller removes it.
pub async fn seed(
    seed: &Seed,
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), RaftError> {
    let store = Store::open(&StoreOptions {
        dir: seed.dir.clone(),
        node: seed.node,
        cluster: None,
        fresh: random_store_id(),
        io: IoMode::Inline,
        timer: FlushTimer::default(),
        volume: OnVolume::default(),
    })?;
    if !store.log.hard_state().is_pristine() {
        return Err(RaftError::Options(format!(
            "{} holds a store already; give an empty directory",
            seed.dir.display()
        )));
    }
    let last = Position {
        term: seed.term,
        index: seed.index,
    };
    let own = store.log.hard_state().store_id();
    let meta = codec::encode(&members(seed, own, last)?).map_err(|error| disk(error.into()))?;
    let snapshot = store.snapshots.write(Some(last), &meta, body);
    snapshot.map_err(disk)?;
    let log = &store.log;
    log.set_cluster(&seed.cluster_id, seed.epoch)
        .await
        .map_err(disk)?;
    // The state may have been led in this term: the first election is for the next one.
    let vote = Ballot {
        term: seed.term,
        node: seed.node,
        committed: false,
    };
    log.save_vote(vote).await.map_err(disk)?;
    log.purge(last).await.map_err(disk)
}

/// A configuration of this member alone, as of the state's place in the log.
fn members(seed: &Seed, own: Option<StoreId>, last: Position) -> Result<SnapshotMeta, RaftError> {
    let node = Node {
        address: seed.address.clone(),
        store: own,
    };
    let members = Membership::new(
        vec![BTreeSet::from([seed.node])],
        BTreeMap::from([(seed.node, node)]),
    );
    let members = members.map_err(|error| RaftError::Members(error.to_string()))?;
    let log_id = to_log_id(last);
    Ok(SnapshotMeta {
        last_log_id: Some(log_id),
        last_membership: StoredMembership::new(Some(log_id), members),
    })
}

fn disk(error: io::Error) -> RaftError {
    RaftError::Disk(error)
}
