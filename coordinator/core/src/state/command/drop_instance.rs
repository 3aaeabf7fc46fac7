//! The record of an undeclared instance goes, as its last replica is gone.

use std::collections::BTreeMap;

use paasta_common::id::{AppId, InstanceId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    App, ClusterState,
    departed::Remembered,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// The record of an undeclared instance goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropInstance {
    /// The instance.
    pub id: InstanceId,
}

impl DropInstance {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(record) = state.instance(&self.id) else {
            return Outcome::Unchanged;
        };
        let replicas = state.index.of_instance(&self.id).count();
        if record.declared || replicas > 0 {
            return Outcome::Refused(Reason::InstanceInUse {
                instance: self.id.clone(),
                replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
            });
        }
        let named = [
            Some(&record.spec.app_id),
            Some(record.desired_app()),
            record.last_good.as_ref(),
        ];
        let apps: Vec<AppId> = named.into_iter().flatten().cloned().collect();
        let known = |id: &AppId| Some((id.clone(), state.app(id)?.clone()));
        let kept: BTreeMap<AppId, App> = apps.iter().filter_map(known).collect();
        let record = state.tables.instances.remove(&self.id);
        if let Some(departed) = state.tables.departed.get_mut(&self.id) {
            departed.record = record.map(|instance| {
                Box::new(Remembered {
                    instance,
                    apps: kept,
                })
            });
            state.bound_departed(context.at);
        }
        state.tables.alerts.remove(&self.id);
        state.tables.paced.remove(&self.id);
        state.tables.troubles.remove(&self.id);
        for app in apps {
            state.drop_app_if_unused(&app);
        }
        let subject = Subject::Instance(self.id.clone());
        state.note(context, EventKind::Desired, subject, "removed".to_owned());
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, main_instance, spec},
        state::command::{Command, RemoveInstances},
    };

    #[test]
    fn only_what_is_not_declared_is_dropped() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        let drop = || {
            Command::DropInstance(DropInstance {
                id: main_instance(),
            })
        };
        let refused = Reason::InstanceInUse {
            instance: id.clone(),
            replicas: 0,
        };
        assert_eq!(cluster.apply(drop()), Outcome::Refused(refused));
        let ids = BTreeSet::from([id]);
        cluster.must(Command::RemoveInstances(RemoveInstances {
            ids,
            force: true,
            rule: None,
        }));
        cluster.must(drop());
        assert_eq!(
            (cluster.state.instances().len(), cluster.state.apps().len()),
            (0, 0)
        );
        assert_eq!(cluster.apply(drop()), Outcome::Unchanged);
    }
}
