//! An operator empties a host: nothing new goes there and what is there is replaced elsewhere.

use paasta_common::{id::HostId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::Maintenance,
    outcome::{Outcome, Reason},
};

/// An operator empties a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainHost {
    /// The host.
    pub host: HostId,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it ends by itself, if ever.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl DrainHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        let since = host
            .maintenance
            .as_ref()
            .map_or(context.at, |maintenance| maintenance.since);
        let wish = Maintenance {
            reason: self.reason.clone(),
            since,
            until: self.until,
        };
        if host.maintenance.as_ref() == Some(&wish) {
            return Outcome::Unchanged;
        }
        host.maintenance = Some(wish);
        let text = format!("draining: {}", self.reason);
        state.note(
            context,
            EventKind::Host,
            Subject::Host(self.host.clone()),
            text,
        );
        Outcome::Applied
    }
}
