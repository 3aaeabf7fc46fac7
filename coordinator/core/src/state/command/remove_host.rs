//! A host goes for good, with the records of what it ran. Only a lost or empty host: of any other
//! it is not known whether its replicas still run.

use paasta_common::id::{HostId, ReplicaId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// A host goes for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveHost {
    /// The host.
    pub host: HostId,
}

impl RemoveHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.host(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        let replicas: Vec<ReplicaId> = state.index.on_host(&self.host).collect();
        if !host.is_lost() && !replicas.is_empty() {
            return Outcome::Refused(Reason::HostInUse {
                host: self.host.clone(),
                replicas: u32::try_from(replicas.len()).unwrap_or(u32::MAX),
            });
        }
        let text = format!("removed, with {} replicas", replicas.len());
        for id in replicas {
            state.remove_replica(context, id);
        }
        state.tables.hosts.remove(&self.host);
        state.note(
            context,
            EventKind::Host,
            Subject::Host(self.host.clone()),
            text,
        );
        Outcome::Applied
    }
}
