//! Replicas are placed on hosts. Each is looked at again (I2); one that is refused does not hold up
//! the others.

use paasta_common::{
    assignment::{Tried, Want},
    id::{AppId, HostId, InstanceId, ReplicaId},
    text,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState, Replica,
    event::{EventKind, Subject},
    failed::FailedHosts,
    legal::Legality,
    outcome::{Outcome, Reason, RefusedReplica},
};

/// Replicas are placed on hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The replicas, with ids that grow.
    pub replicas: Vec<PlaceReplica>,
}

/// One placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceReplica {
    /// Its id, never used before.
    pub id: ReplicaId,
    /// The instance it serves.
    pub instance: InstanceId,
    /// The instance's desired app.
    pub app: AppId,
    /// The host.
    pub host: HostId,
    /// Failures in a row of the replica that it replaces, where that is why it is placed.
    #[serde(default)]
    pub failures: u32,
    /// The host of that replica: its app is remembered to fail there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_on: Option<HostId>,
}

impl Place {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let mut legality = Legality::default();
        let mut refused = Vec::new();
        let mut placed: Vec<(InstanceId, u32)> = Vec::new();
        for replica in &self.replicas {
            if let Err(reason) = check(state, &mut legality, replica) {
                let subject = Subject::Instance(replica.instance.clone());
                let text = format!("not placed on {}: {reason}", replica.host);
                state.note(context, EventKind::Placement, subject, text);
                refused.push(RefusedReplica {
                    id: replica.id,
                    reason,
                });
                continue;
            }
            insert(state, context, replica);
            remember_failed(state, context, replica);
            legality.placed(state, &replica.app, &replica.host);
            match placed.last_mut() {
                Some((instance, count)) if *instance == replica.instance => *count += 1,
                _ => placed.push((replica.instance.clone(), 1)),
            }
        }
        for (instance, count) in placed {
            note_placed(state, context, instance, count);
        }
        Outcome::of_batch(refused)
    }
}

fn check(
    state: &ClusterState,
    legality: &mut Legality,
    replica: &PlaceReplica,
) -> Result<(), Reason> {
    if replica.id < state.next_replica() {
        return Err(Reason::ReplicaIdUsed { id: replica.id });
    }
    legality.check(state, &replica.instance, &replica.app, &replica.host)
}

fn insert(state: &mut ClusterState, context: &Context<'_>, replica: &PlaceReplica) {
    // The names that the state holds already are shared, not copied.
    let host = state
        .host(&replica.host)
        .map_or(&replica.host, |host| &host.info.id)
        .clone();
    let instance = state
        .app(&replica.app)
        .map_or(&replica.instance, |app| &app.instance)
        .clone();
    let app = match state.tables.apps.get_key_value(&replica.app) {
        Some((app, _)) => app.clone(),
        None => replica.app.clone(),
    };
    let record = Replica {
        instance,
        app,
        host,
        want: Want::Run,
        want_since: context.at,
        want_index: context.index,
        placed_at: context.at,
        tried: Tried {
            failures: replica.failures,
            reset: 0,
        },
        noted: Default::default(),
    };
    state.insert_replica(context, replica.id, record);
}

fn remember_failed(state: &mut ClusterState, context: &Context<'_>, replica: &PlaceReplica) {
    let known = replica.failed_on.as_ref().and_then(|id| state.host(id));
    let Some(host) = known.map(|host| host.info.id.clone()) else {
        return;
    };
    if let Some(record) = state.tables.instances.get_mut(&replica.instance) {
        let same = |failed: &FailedHosts| failed.app == replica.app;
        let failed = record.failed.take().filter(same);
        let mut failed = failed.unwrap_or_else(|| FailedHosts::of(replica.app.clone()));
        failed.note(host, context.at);
        record.failed = Some(failed);
    }
}

/// One line for each instance, and progress for its bounce.
fn note_placed(state: &mut ClusterState, context: &Context<'_>, id: InstanceId, count: u32) {
    let Some(record) = state.instance(&id) else {
        return;
    };
    let app = record.desired_app().clone();
    let running = u32::try_from(state.counted(&id, &app)).unwrap_or(u32::MAX);
    if let Some(record) = state.tables.instances.get_mut(&id)
        && let Some(bounce) = &mut record.bounce
        && bounce.to == app
        && running > bounce.placed_most
    {
        bounce.placed_most = running;
        bounce.progress(&record.spec.bounce, context.at);
    }
    let text = format!("{} of {app} placed", text::count(count, "replica"));
    state.note(context, EventKind::Placement, Subject::Instance(id), text);
}

#[cfg(test)]
mod tests;
