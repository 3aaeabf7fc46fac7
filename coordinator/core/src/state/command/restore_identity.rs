//! An operator gives an identity its rights back.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::Outcome,
    revoked::{Holder, forget_ended},
};

/// An operator gives an identity its rights back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreIdentity {
    /// Whose.
    pub holder: Holder,
    /// Whether certificates from before the revocation have rights again as well.
    pub also_before: bool,
}

impl RestoreIdentity {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let revoked = &mut state.tables.revoked;
        forget_ended(revoked, context.at);
        let Some(known) = revoked.get_mut(&self.holder) else {
            return Outcome::Unchanged;
        };
        if !self.also_before && !known.whole {
            return Outcome::Unchanged;
        }
        let which = match self.also_before {
            true => "its certificates have rights again",
            false => "its certificates that are issued from the revocation on have rights",
        };
        match self.also_before {
            true => drop(revoked.remove(&self.holder)),
            false => known.whole = false,
        }
        let text = format!("{} is restored: {which}", self.holder);
        state.note(context, EventKind::Cluster, subject(&self.holder), text);
        Outcome::Applied
    }
}

/// What an event about a holder is about: the host of an agent, else the cluster.
pub(super) fn subject(holder: &Holder) -> Subject {
    let host = holder.host().and_then(|name| HostId::new(name).ok());
    host.map_or(Subject::Cluster, Subject::Host)
}
