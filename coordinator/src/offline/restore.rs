//! `paasta-coordinator restore`: a new cluster of one coordinator from a saved state.

use std::path::Path;

use paasta_common::time::Timestamp;
use paasta_coordinator_core::state::ClusterState;
use paasta_process::saved::Saved;

use super::{OfflineError, is_free, prepare, put};
use crate::{codec, raft::Seed};

/// What to restore, and where.
#[derive(Debug, Clone, Copy)]
pub struct Restore<'a> {
    /// The file that `paasta snapshot save` wrote.
    pub snapshot: &'a Path,
    /// The new coordinator's data directory; it must be empty or not there.
    pub data_dir: &'a Path,
    /// The new coordinator's id.
    pub node: u64,
    /// `host:port` at which others will reach it.
    pub address: &'a str,
    /// Now, for the event that tells of it.
    pub at: Timestamp,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The cluster's name.
    pub cluster: String,
    /// Its id, the same as before.
    pub cluster_id: String,
    /// Its new epoch.
    pub epoch: u64,
    /// Where its log begins.
    pub index: u64,
    /// Replicas in it.
    pub replicas: usize,
}

/// Makes the store of a cluster of one. It may be started at once, and others added to it.
///
/// # Errors
/// [`OfflineError`]; the data directory is then as it was.
pub async fn restore(what: &Restore<'_>) -> Result<Restored, OfflineError> {
    if what.node == 0 {
        return Err(OfflineError::NoId);
    }
    if !is_free(what.data_dir)? {
        let dir = what.data_dir.to_owned();
        return Err(OfflineError::Occupied { dir });
    }
    let saved = Saved::open(what.snapshot)?;
    let unreadable = |source| OfflineError::Unreadable {
        path: what.snapshot.to_owned(),
        source,
    };
    let mut body = saved.body().map_err(unreadable)?;
    let mut state: ClusterState = codec::decode_from(&mut body).map_err(unreadable)?;
    let by = "paasta-coordinator restore";
    state.recover(
        what.at,
        by,
        &format!("from the state saved at {}", saved.head().index),
    )?;
    begin(state, saved.head().term, what).await
}

/// Plants a recovered state.
async fn begin(
    state: ClusterState,
    term: u64,
    what: &Restore<'_>,
) -> Result<Restored, OfflineError> {
    let cluster = state
        .cluster()
        .ok_or(paasta_coordinator_core::state::recovery::NotACluster)?;
    let restored = Restored {
        cluster: cluster.name.to_string(),
        cluster_id: cluster.id.clone(),
        epoch: cluster.epoch,
        index: state.last_index(),
        replicas: state.replica_count(),
    };
    let plan = Seed {
        dir: what.data_dir.to_owned(),
        node: what.node,
        address: what.address.to_owned(),
        cluster_id: restored.cluster_id.clone(),
        epoch: restored.epoch,
        term,
        index: restored.index,
    };
    put(&prepare(&plan, state).await?, &plan.dir)?;
    Ok(restored)
}
