//! What befell the replicas of an instance is written down, and said as events. A leader proposes
//! it for kinds that were not said for a while, with the counts that the hosts report: applied
//! twice, or again by the next leader, it counts nothing twice.

use std::collections::BTreeMap;

use paasta_common::{
    id::{InstanceId, ReplicaId},
    report::{Trouble, Troubles},
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EVENT_TEXT_BYTES_MAX, EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// What befell the replicas of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteTroubles {
    /// The instance.
    pub instance: InstanceId,
    /// What each of its replicas has counted since it was placed, of the kinds to be noted.
    pub replicas: BTreeMap<ReplicaId, Troubles>,
    /// How often in a row each of these kinds was noted as soon as it could be.
    pub streaks: BTreeMap<Trouble, u8>,
    /// How the last run of each kind ended, in words.
    #[serde(default)]
    pub words: BTreeMap<Trouble, String>,
}

impl NoteTroubles {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if state.instance(&self.instance).is_none() {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        }
        let mut sum = Troubles::default();
        for (id, counted) in &self.replicas {
            let placed = state.tables.replicas.get_mut(id);
            let Some(replica) = placed.filter(|replica| replica.instance == self.instance) else {
                continue;
            };
            for (trouble, count) in counted.since(&replica.noted).iter() {
                sum.add(trouble, count);
            }
            replica.noted.set_all(counted);
        }
        if sum.is_empty() {
            return Outcome::Unchanged;
        }
        for (trouble, count) in sum.iter() {
            let told = state.tables.troubles.entry(self.instance.clone());
            let told = told.or_default().entry(trouble).or_default();
            told.total = told.total.saturating_add(u64::from(count));
            told.streak = self.streaks.get(&trouble).copied().unwrap_or(0);
            let mut text = said(trouble, count, told.total);
            if let Some(words) = self.words.get(&trouble).filter(|words| !words.is_empty()) {
                text.push_str("; last: ");
                text.push_str(words);
            }
            text.truncate(text.floor_char_boundary(EVENT_TEXT_BYTES_MAX));
            let subject = Subject::Instance(self.instance.clone());
            state.note(context, EventKind::Failure, subject, text);
        }
        Outcome::Applied
    }
}

/// `3 runs exited by themselves, 17 in all`.
fn said(trouble: Trouble, count: u32, total: u64) -> String {
    let (one, many) = match trouble {
        Trouble::Exited => ("run exited by itself", "runs exited by themselves"),
        Trouble::Memory => (
            "run was killed for its memory",
            "runs were killed for their memory",
        ),
        Trouble::ChildMemory => (
            "process in a run was killed for its memory, and the run went on",
            "processes in runs were killed for their memory, and the runs went on",
        ),
        Trouble::CheckFailed => (
            "healthy replica began to fail its health check",
            "times a healthy replica began to fail its health check",
        ),
        Trouble::Unhealthy => (
            "run was replaced for its failing health check",
            "runs were replaced for their failing health checks",
        ),
        Trouble::OverDisk => (
            "run was ended because it used more disk than its limit",
            "runs were ended because they used more disk than their limit",
        ),
        Trouble::NotStarted => ("run could not be started", "runs could not be started"),
        Trouble::Removed => (
            "container was removed by another",
            "containers were removed by another",
        ),
        Trouble::CrashLoop => (
            "replica got into a crash loop",
            "replicas got into a crash loop",
        ),
    };
    let words = if count == 1 { one } else { many };
    match total == u64::from(count) {
        true => format!("{count} {words}"),
        false => format!("{count} {words}, {total} in all"),
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

    fn counted(pairs: &[(Trouble, u32)]) -> Troubles {
        let mut troubles = Troubles::default();
        for (trouble, count) in pairs {
            troubles.add(*trouble, *count);
        }
        troubles
    }

    fn note(id: ReplicaId, pairs: &[(Trouble, u32)]) -> Command {
        Command::NoteTroubles(NoteTroubles {
            instance: main_instance(),
            replicas: BTreeMap::from([(id, counted(pairs))]),
            streaks: BTreeMap::new(),
            words: BTreeMap::from([(Trouble::Exited, "exit code 3".to_owned())]),
        })
    }

    fn failures(cluster: &Cluster) -> Vec<String> {
        let events = cluster.state.events();
        events
            .filter(|event| event.kind == EventKind::Failure)
            .map(|event| event.text.clone())
            .collect()
    }

    #[test]
    fn what_is_noted_again_counts_once_and_what_is_more_counts_on() {
        let mut cluster = Cluster::new(1);
        let id = main_instance();
        assert!(
            !cluster
                .apply(note(ReplicaId(1), &[(Trouble::Exited, 1)]))
                .is_ok()
        );
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        let replica = ReplicaId(1);
        cluster.must(Command::Place(Place {
            replicas: vec![PlaceReplica {
                id: replica,
                instance: id.clone(),
                app: app_id(&id, 1),
                host: host_id(1),
                failures: 0,
                failed_on: None,
            }],
        }));
        assert!(
            cluster
                .apply(note(replica, &[(Trouble::Exited, 2)]))
                .is_ok()
        );
        let again = cluster.apply(note(replica, &[(Trouble::Exited, 2)]));
        assert_eq!(again, Outcome::Unchanged);
        let more = [(Trouble::Exited, 5), (Trouble::Memory, 1)];
        assert!(cluster.apply(note(replica, &more)).is_ok());
        assert_eq!(
            failures(&cluster),
            [
                "2 runs exited by themselves; last: exit code 3",
                "3 runs exited by themselves, 5 in all; last: exit code 3",
                "1 run was killed for its memory",
            ]
        );
        // A host that lost its ledger counts from the beginning.
        assert!(
            cluster
                .apply(note(replica, &[(Trouble::Exited, 1)]))
                .is_ok()
        );
        assert!(
            cluster
                .apply(note(replica, &[(Trouble::Exited, 2)]))
                .is_ok()
        );
        let last = failures(&cluster);
        assert_eq!(
            last.last().map(String::as_str),
            Some("1 run exited by itself, 7 in all; last: exit code 3")
        );
        // Replicas that are not known, or of others, count nothing.
        let unknown = cluster.apply(note(ReplicaId(77), &[(Trouble::Exited, 9)]));
        assert_eq!(unknown, Outcome::Unchanged);
    }
}
