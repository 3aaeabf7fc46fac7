//! A host goes for good, with the records of what it ran. Only a lost or empty host: of any other
//! it is not known whether its replicas still run.

use paasta_common::{
    id::{HostId, ReplicaId},
    identity::{Identity, Role},
    text::count_of,
};
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
        let text = format!("removed, with {}", count_of(replicas.len(), "replica"));
        for id in replicas {
            state.remove_replica(context, id);
        }
        if let Some(gone) = state.tables.hosts.remove(&self.host) {
            state
                .index
                .generation(&self.host, Some(gone.generation), None);
        }
        // Its name is free for another machine.
        let cluster = state.cluster().map(|cluster| cluster.name.clone());
        let identity = cluster.map(|name| Identity::new(name, Role::Agent, self.host.as_str()));
        if let Some(Ok(identity)) = identity {
            state.tables.nodes.remove(&identity);
        }
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
    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, app_id, host_id, main_instance, spec},
        state::command::{Command, HostLost, Place, PlaceReplica},
    };

    #[test]
    fn only_a_lost_or_empty_host_can_go() {
        let mut cluster = Cluster::new(2);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Brutal));
        let (app, host) = (app_id(&id, 1), host_id(1));
        let replica = PlaceReplica {
            id: ReplicaId(1),
            instance: id,
            app,
            host,
            failures: 0,
            failed_on: None,
        };
        cluster.must(Command::Place(Place {
            replicas: vec![replica],
        }));
        let remove = |number| {
            Command::RemoveHost(RemoveHost {
                host: host_id(number),
            })
        };
        cluster.must(remove(2));
        let refused = Outcome::Refused(Reason::HostInUse {
            host: host_id(1),
            replicas: 1,
        });
        assert_eq!(cluster.apply(remove(1)), refused);
        cluster.must(Command::HostLost(HostLost { host: host_id(1) }));
        cluster.must(remove(1));
        assert_eq!(
            (cluster.state.hosts().len(), cluster.state.replica_count()),
            (0, 0)
        );
        assert_eq!(
            cluster.state.next_replica(),
            ReplicaId(2),
            "ids are never used again"
        );
    }
}
