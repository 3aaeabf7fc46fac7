//! A host was silent for too long, or an operator says that it is gone. Its replicas stay on
//! record, so that a host that returns keeps what nobody replaced yet.

use paasta_common::{id::HostId, text::count_of};
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
        let text = format!("lost, with {}", count_of(replicas, "replica"));
        state.note(
            context,
            EventKind::Host,
            Subject::Host(self.host.clone()),
            text,
        );
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{Cluster, host_id},
        state::command::{Command, HostBack},
    };

    #[test]
    fn lost_and_back_are_each_said_once() {
        let mut cluster = Cluster::new(1);
        let lost = || Command::HostLost(HostLost { host: host_id(1) });
        let back = || Command::HostBack(HostBack { host: host_id(1) });
        assert_eq!(cluster.apply(back()), Outcome::Unchanged);
        assert_eq!(cluster.apply(lost()), Outcome::Applied);
        assert_eq!(cluster.apply(lost()), Outcome::Unchanged);
        assert_eq!(cluster.apply(back()), Outcome::Applied);
        let unknown = Command::HostLost(HostLost { host: host_id(9) });
        let refused = Outcome::Refused(Reason::UnknownHost { host: host_id(9) });
        assert_eq!(cluster.apply(unknown), refused);
    }
}
