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
                let replaced =
                    host.info.machine.is_some() && host.info.machine != self.info.machine;
                let text = match (replaced, host.is_lost()) {
                    (true, _) => "another machine has its id now, as its lease had ended",
                    (false, true) => "is back",
                    (false, false) => "describes itself anew",
                };
                if replaced {
                    host.refused = None;
                }
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
                    trouble: None,
                    registered_at: context.at,
                    refused: None,
                    clock_ahead_ms: None,
                };
                state.tables.hosts.insert(id.clone(), host);
                state.index.generation(id, None, Some(context.index));
                format!("registered in pool {}", self.info.pool)
            }
        };
        state.note(context, EventKind::Host, Subject::Host(id.clone()), text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{Cluster, host, host_id, register},
        state::command::{Command, HostLost},
    };

    #[test]
    fn only_news_is_news_and_a_lost_host_is_up_again() {
        let mut cluster = Cluster::new(1);
        let before = cluster.state.host(&host_id(1)).unwrap().clone();
        assert_eq!(cluster.apply(register(host(1))), Outcome::Unchanged);
        let mut grown = host(1);
        grown.capacity.mem_mb *= 2;
        assert_eq!(cluster.apply(register(grown.clone())), Outcome::Applied);
        cluster.must(Command::HostLost(HostLost { host: host_id(1) }));
        assert!(cluster.state.host(&host_id(1)).unwrap().is_lost());
        assert_eq!(cluster.apply(register(grown.clone())), Outcome::Applied);
        let after = cluster.state.host(&host_id(1)).unwrap();
        assert_eq!((after.is_lost(), &after.info), (false, &grown));
        assert_eq!(after.registered_at, before.registered_at);
    }
}
