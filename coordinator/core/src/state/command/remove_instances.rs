//! Instances are no longer declared. Their replicas leave through the drain path; the records go
//! when the last of them is gone. An empty or broken soa directory must not empty the cluster, so
//! more than half at once needs force (I7).

use std::collections::BTreeSet;

use paasta_common::id::InstanceId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    history::Cause,
    outcome::{Outcome, Reason},
};

/// Instances are no longer declared: all that went missing at once, so that the guard sees them
/// together. All are removed or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveInstances {
    /// The instances; unknown ones are no error, as they are not declared either.
    pub ids: BTreeSet<InstanceId>,
    /// Whether an operator means it, however many they are.
    #[serde(default)]
    pub force: bool,
}

impl RemoveInstances {
    /// Why it would be refused now, if it would.
    pub fn refusal(&self, state: &ClusterState) -> Option<Reason> {
        let leaving = self.leaving(state).count();
        if leaving == 0 || self.force {
            return None;
        }
        // Those still on their way out count as well: a broken directory may be read in pieces.
        let total = state.instances().len();
        let gone = state
            .instances()
            .filter(|(_, record)| !record.declared)
            .count();
        let removed = gone + leaving;
        (removed * 2 > total).then(|| Reason::TooManyRemoved {
            removed: u32::try_from(removed).unwrap_or(u32::MAX),
            total: u32::try_from(total).unwrap_or(u32::MAX),
        })
    }

    fn leaving<'s>(&'s self, state: &'s ClusterState) -> impl Iterator<Item = &'s InstanceId> {
        let declared = |id: &InstanceId| state.instance(id).is_some_and(|record| record.declared);
        self.ids.iter().filter(move |id| declared(id))
    }

    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if let Some(reason) = self.refusal(state) {
            state.note(
                context,
                EventKind::Desired,
                Subject::Cluster,
                reason.to_string(),
            );
            return Outcome::Refused(reason);
        }
        let leaving: Vec<InstanceId> = self.leaving(state).cloned().collect();
        if leaving.is_empty() {
            return Outcome::Unchanged;
        }
        for id in leaving {
            let Some(record) = state.tables.instances.get_mut(&id) else {
                continue;
            };
            record.declared = false;
            record.bounce = None;
            record.changed_at = context.at;
            record.overridden = None;
            let text = "no longer declared or deployed: draining".to_owned();
            let cause = Cause::of("removed");
            record.history.push(context, cause, None, text.clone());
            state.note(context, EventKind::Desired, Subject::Instance(id), text);
        }
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, spec},
        state::command::Command,
    };

    fn ids(count: usize) -> Vec<InstanceId> {
        (0..count)
            .map(|number| format!("s{number}.main").parse().unwrap())
            .collect()
    }

    fn remove(cluster: &mut Cluster, ids: &[InstanceId], force: bool) -> Outcome {
        let ids = ids.iter().cloned().collect();
        cluster.apply(Command::RemoveInstances(RemoveInstances { ids, force }))
    }

    #[test]
    fn half_may_go_at_once_and_more_only_by_force() {
        let mut cluster = Cluster::new(0);
        let all = ids(4);
        for id in &all {
            cluster.set(id, spec(id, 1, 1, BounceMethod::Crossover));
        }
        let too_many = |removed| Outcome::Refused(Reason::TooManyRemoved { removed, total: 4 });
        assert_eq!(remove(&mut cluster, &all[..3], false), too_many(3));
        assert!(cluster.state.instances().all(|(_, record)| record.declared));
        assert_eq!(remove(&mut cluster, &all[..2], false), Outcome::Applied);
        assert_eq!(remove(&mut cluster, &all[..2], false), Outcome::Unchanged);
        // In pieces it is no less.
        assert_eq!(remove(&mut cluster, &all[2..3], false), too_many(3));
        assert_eq!(remove(&mut cluster, &all, true), Outcome::Applied);
        assert!(
            cluster
                .state
                .instances()
                .all(|(_, record)| !record.declared)
        );
        assert_eq!(
            remove(&mut cluster, &ids(9)[8..], false),
            Outcome::Unchanged
        );
    }
}
