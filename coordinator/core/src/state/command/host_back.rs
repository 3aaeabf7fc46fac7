//! A lost host is heard from again: what is still wanted of its replicas counts once more.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::HostStanding,
    outcome::{Outcome, Reason},
};

/// A lost host is heard from again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBack {
    /// The host.
    pub host: HostId,
}

impl HostBack {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        if !host.is_lost() {
            return Outcome::Unchanged;
        }
        host.standing = HostStanding::Up;
        let subject = Subject::Host(self.host.clone());
        state.note(context, EventKind::Host, subject, "is back".to_owned());
        Outcome::Applied
    }
}
