//! A host takes work again.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// A host takes work again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndrainHost {
    /// The host.
    pub host: HostId,
}

impl UndrainHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        if host.maintenance.take().is_none() {
            return Outcome::Unchanged;
        }
        let subject = Subject::Host(self.host.clone());
        state.note(
            context,
            EventKind::Host,
            subject,
            "takes work again".to_owned(),
        );
        Outcome::Applied
    }
}
