//! A host was silent for too long, or an operator says that it is gone. Its replicas stay on
//! record, so that a host that returns keeps what nobody replaced yet.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::HostStanding,
    outcome::{Outcome, Reason},
};

/// A host was silent for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLost {
    /// The host.
    pub host: HostId,
}

impl HostLost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        if host.is_lost() {
            return Outcome::Unchanged;
        }
        host.standing = HostStanding::Lost { since: context.at };
        let replicas = state.index.on_host(&self.host).count();
        let text = format!("lost, with {replicas} replicas");
        state.note(
            context,
            EventKind::Host,
            Subject::Host(self.host.clone()),
            text,
        );
        Outcome::Applied
    }
}
