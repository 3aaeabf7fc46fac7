//! What a host must run, and what makes one order newer than another.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    app::AppSpec,
    id::{AppId, HostId, InstanceId, ReplicaId},
    spec::RunSettings,
};

/// The complete set of replicas that a host must run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Where it stands among all assignments ever made for this host.
    pub fence: Fence,
    /// The host it is for.
    pub host: HostId,
    /// What runs there, by id.
    pub replicas: BTreeMap<ReplicaId, AssignedReplica>,
}

/// A replica as its host is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedReplica {
    /// The instance it serves.
    pub instance: InstanceId,
    /// The app it is a placement of.
    pub app: AppId,
    /// That app.
    pub spec: Arc<AppSpec>,
    /// How it is run.
    pub run: Arc<RunSettings>,
    /// What should become of it.
    pub want: Want,
    /// What its host goes on from when it fails.
    #[serde(default)]
    pub tried: Tried,
}

/// What the cluster remembers of a replica's failures: kept with the replica, told to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// Failures in a row of the one it replaces, on another host: its first start is tried at
    /// once, and when that fails the delays go on from here.
    pub failures: u32,
    /// The log index at which an operator last had the backoff forgotten; 0 for never.
    pub reset: u64,
}

impl Tried {
    /// Nothing was tried and nothing was forgotten.
    pub fn is_blank(&self) -> bool {
        *self == Self::default()
    }
}

/// What should become of a replica. Written by coordinators only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// It should run and serve.
    Run,
    /// It should leave the load balancer and go on running.
    Drain,
    /// It should stop and be removed.
    Stop,
}

/// Orders assignments: an agent never accepts one that is older than what its ledger holds (I3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The cluster; an agent belongs to one.
    pub cluster_id: String,
    /// How often the cluster was recovered from a lost quorum.
    pub epoch: u64,
    /// The Raft term of the leader that sends it.
    pub term: u64,
    /// The log index of the last change to this host's set.
    pub generation: u64,
}

/// Why an assignment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// It comes from another cluster.
    #[error(
        "assignment is of cluster {theirs}, this host belongs to {ours}; to move the host, stop the agent and remove its ledger"
    )]
    OtherCluster {
        /// The cluster this host belongs to.
        ours: String,
        /// The cluster the assignment names.
        theirs: String,
    },
    /// It is older than what was already accepted.
    #[error("assignment (epoch {}, term {}, generation {}) is older than the accepted one (epoch {}, term {}, generation {})", theirs.epoch, theirs.term, theirs.generation, ours.epoch, ours.term, ours.generation)]
    Older {
        /// The newest one accepted.
        ours: Box<Fence>,
        /// The one that is refused.
        theirs: Box<Fence>,
    },
}

impl Fence {
    /// Whether an agent that has accepted `self` may accept `next`.
    ///
    /// # Errors
    /// [`FenceError`] when `next` is of another cluster, or older in epoch, term or generation.
    pub fn admits(&self, next: &Self) -> Result<(), FenceError> {
        if self.cluster_id != next.cluster_id {
            return Err(FenceError::OtherCluster {
                ours: self.cluster_id.clone(),
                theirs: next.cluster_id.clone(),
            });
        }
        // A recovered cluster starts its log anew: only within an epoch do terms compare.
        let older = next.epoch < self.epoch
            || (next.epoch == self.epoch
                && (next.term < self.term || next.generation < self.generation));
        match older {
            false => Ok(()),
            true => Err(FenceError::Older {
                ours: Box::new(self.clone()),
                theirs: Box::new(next.clone()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(epoch: u64, term: u64, generation: u64) -> Fence {
        Fence {
            cluster_id: "c".to_owned(),
            epoch,
            term,
            generation,
        }
    }

    #[test]
    fn older_orders_are_refused_and_a_recovered_cluster_is_newer() {
        let ours = fence(1, 5, 40);
        for ok in [(1, 5, 40), (1, 5, 41), (1, 6, 40), (2, 1, 3)] {
            assert_eq!(ours.admits(&fence(ok.0, ok.1, ok.2)), Ok(()), "{ok:?}");
        }
        for old in [(1, 5, 39), (1, 4, 41), (0, 9, 99)] {
            assert!(ours.admits(&fence(old.0, old.1, old.2)).is_err(), "{old:?}");
        }
        let other = Fence {
            cluster_id: "d".to_owned(),
            ..fence(9, 9, 99)
        };
        assert!(matches!(
            ours.admits(&other),
            Err(FenceError::OtherCluster { .. })
        ));
    }
}
