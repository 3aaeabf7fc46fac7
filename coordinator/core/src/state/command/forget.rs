//! Replicas are gone: their hosts said so. Only such as were told to stop, so that no news is ever
//! taken for a wish.

use std::collections::BTreeSet;

use paasta_common::{
    assignment::Want,
    id::{InstanceId, ReplicaId},
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    outcome::{Outcome, Reason, RefusedReplica},
};

/// Replicas are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// The replicas, of any instance.
    pub replicas: Vec<ReplicaId>,
}

impl Forget {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let mut refused = Vec::new();
        let mut bounced: BTreeSet<InstanceId> = BTreeSet::new();
        for id in &self.replicas {
            let reason = match state.replica(*id).map(|replica| replica.want) {
                None => Some(Reason::UnknownReplica { id: *id }),
                Some(Want::Stop) => None,
                Some(Want::Run | Want::Drain) => Some(Reason::NotStopping { id: *id }),
            };
            if let Some(reason) = reason {
                refused.push(RefusedReplica { id: *id, reason });
                continue;
            }
            if let Some(replica) = state.remove_replica(context, *id) {
                let desired = state
                    .instance(&replica.instance)
                    .map(|record| record.desired_app());
                if desired.is_some_and(|desired| *desired != replica.app) {
                    bounced.insert(replica.instance);
                }
            }
        }
        for instance in bounced {
            state.bounce_progress(context, &instance);
        }
        Outcome::of_batch(refused)
    }
}
