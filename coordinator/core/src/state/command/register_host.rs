//! A host comes, or describes itself anew. Proposed only when something differs: a heartbeat is
//! never a command.

use paasta_common::host::HostInfo;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::{Host, HostStanding},
    outcome::Outcome,
};

/// A host comes, or describes itself anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterHost {
    /// What it says about itself.
    pub info: HostInfo,
}

impl RegisterHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let id = &self.info.id;
        let text = match state.tables.hosts.get_mut(id) {
            Some(host) if host.info == self.info && !host.is_lost() => return Outcome::Unchanged,
            Some(host) => {
                let text = match host.is_lost() {
                    true => "is back",
                    false => "describes itself anew",
                };
                host.info = self.info.clone();
                host.standing = HostStanding::Up;
                text.to_owned()
            }
            None => {
                let host = Host {
                    info: self.info.clone(),
                    standing: HostStanding::Up,
                    maintenance: None,
                    generation: context.index,
                    registered_at: context.at,
                };
                state.tables.hosts.insert(id.clone(), host);
                format!("registered in pool {}", self.info.pool)
            }
        };
        state.note(context, EventKind::Host, Subject::Host(id.clone()), text);
        Outcome::Applied
    }
}
