//! An operator has the failures of an instance forgotten: what waits for its next try is started at
//! once, delays begin anew, and the hosts where it failed are no longer avoided.

use paasta_common::{
    assignment::{Tried, Want},
    id::{HostId, InstanceId, ReplicaId},
    text::count_of,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState, Replica,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// An operator has the failures of an instance forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetBackoff {
    /// The instance.
    pub instance: InstanceId,
    /// Only on this host; on all of them when there is none.
    #[serde(default)]
    pub host: Option<HostId>,
}

impl ResetBackoff {
    /// The replicas it concerns: those that are to run.
    pub fn replicas<'a>(
        &'a self,
        state: &'a ClusterState,
    ) -> impl Iterator<Item = (ReplicaId, &'a Replica)> {
        let here = |replica: &Replica| self.host.as_ref().is_none_or(|host| *host == replica.host);
        let replicas = state.replicas_of(&self.instance);
        replicas.filter(move |(_, replica)| replica.want == Want::Run && here(replica))
    }

    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if state.instance(&self.instance).is_none() {
            let instance = self.instance.clone();
            return Outcome::Refused(Reason::UnknownInstance { instance });
        }
        if let Some(host) = self.host.as_ref().filter(|host| state.host(host).is_none()) {
            return Outcome::Refused(Reason::UnknownHost { host: host.clone() });
        }
        let ids: Vec<ReplicaId> = self.replicas(state).map(|(id, _)| id).collect();
        let forgotten = self.forget_hosts(state);
        if ids.is_empty() && !forgotten {
            return Outcome::Unchanged;
        }
        let tried = Tried {
            failures: 0,
            reset: context.index,
        };
        for id in &ids {
            state.change_tried(context, *id, tried);
        }
        let on = self.host.as_ref();
        let on = on.map_or_else(String::new, |host| format!(" on {host}"));
        let hosts = match forgotten {
            true => ", where they failed is forgotten",
            false => "",
        };
        let text = format!(
            "backoff of {}{on} reset{hosts}",
            count_of(ids.len(), "replica")
        );
        let subject = Subject::Instance(self.instance.clone());
        state.note(context, EventKind::Replicas, subject, text);
        Outcome::Applied
    }

    /// Has the hosts it concerns no longer avoided; says whether any was.
    fn forget_hosts(&self, state: &mut ClusterState) -> bool {
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return false;
        };
        match (&self.host, &mut record.failed) {
            (_, None) => false,
            (None, failed) => failed.take().is_some_and(|failed| !failed.hosts.is_empty()),
            (Some(host), Some(failed)) => failed.forget(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::spec::BounceMethod;

    use super::*;
    use crate::{
        build::{Cluster, app_id, host_id, main_instance, spec},
        state::command::{Command, Place, PlaceReplica},
    };

    fn reset(host: Option<usize>) -> Command {
        Command::ResetBackoff(ResetBackoff {
            instance: main_instance(),
            host: host.map(host_id),
        })
    }

    #[test]
    fn only_the_hosts_it_concerns_are_told_and_it_is_in_the_events() {
        let mut cluster = Cluster::new(3);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
        assert_eq!(cluster.apply(reset(None)), Outcome::Unchanged);
        let place = |number: usize| PlaceReplica {
            id: ReplicaId(number as u64),
            instance: main_instance(),
            app: app_id(&main_instance(), 1),
            host: host_id(number),
            failures: 5,
            failed_on: None,
        };
        let replicas = vec![place(1), place(2)];
        cluster.must(Command::Place(Place { replicas }));
        let tried =
            |cluster: &Cluster, id: u64| cluster.state.replica(ReplicaId(id)).unwrap().tried;
        assert_eq!(
            (tried(&cluster, 1).failures, tried(&cluster, 1).reset),
            (5, 0)
        );
        let before = cluster.state.assignment(&host_id(1), 1).unwrap();
        cluster.must(reset(Some(2)));
        assert_eq!(cluster.state.assignment(&host_id(1), 1).unwrap(), before);
        let told = cluster.state.assignment(&host_id(2), 1).unwrap();
        assert!(told.fence.generation > before.fence.generation);
        assert_eq!(told.replicas[&ReplicaId(2)].tried.failures, 0);
        assert_eq!(
            told.replicas[&ReplicaId(2)].tried.reset,
            told.fence.generation
        );
        let event = cluster.state.events().last().unwrap();
        assert_eq!(
            event.text,
            format!("backoff of 1 replica on {} reset", host_id(2))
        );
        cluster.must(reset(None));
        assert!(tried(&cluster, 1).reset > tried(&cluster, 2).failures.into());
        assert!(matches!(
            cluster.apply(reset(Some(9))),
            Outcome::Refused(Reason::UnknownHost { .. })
        ));
    }
}
