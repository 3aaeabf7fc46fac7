//! Replicas should drain, stop, or run after all. They only ever advance, with one way back: a
//! replica that drains may run again when its app is desired once more.

use paasta_common::{
    assignment::Want,
    id::{InstanceId, ReplicaId},
    text::count_of,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    legal::Legality,
    outcome::{Outcome, Reason, RefusedReplica},
};

/// Replicas of one instance should drain, stop, or run after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetWant {
    /// The instance.
    pub instance: InstanceId,
    /// What should become of them.
    pub want: Want,
    /// The replicas.
    pub replicas: Vec<ReplicaId>,
    /// Why, in words.
    pub reason: String,
}

impl SetWant {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let mut refused = Vec::new();
        let mut changed = Vec::new();
        for id in &self.replicas {
            match self.check(state, *id) {
                Err(reason) => refused.push(RefusedReplica { id: *id, reason }),
                Ok(false) => {}
                Ok(true) => {
                    state.change_want(context, *id, self.want);
                    changed.push(*id);
                }
            }
        }
        if !changed.is_empty() {
            self.note(state, context, &changed);
        }
        match (changed.is_empty(), refused.is_empty()) {
            (true, true) => Outcome::Unchanged,
            _ => Outcome::of_batch(refused),
        }
    }

    /// Whether the replica must be changed; an error when it must not.
    fn check(&self, state: &ClusterState, id: ReplicaId) -> Result<bool, Reason> {
        let replica = state
            .replica(id)
            .filter(|replica| replica.instance == self.instance);
        let replica = replica.ok_or(Reason::UnknownReplica { id })?;
        match (replica.want, self.want) {
            (Want::Stop, Want::Run | Want::Drain) => Err(Reason::AlreadyStopping { id }),
            (Want::Drain, Want::Run) => {
                let host = &replica.host;
                Legality::may_run_again(state, &self.instance, &replica.app, host).map(|()| true)
            }
            (before, after) => Ok(before != after),
        }
    }

    fn note(&self, state: &mut ClusterState, context: &Context<'_>, changed: &[ReplicaId]) {
        let mut old_leaves = false;
        if let Some(record) = state.instance(&self.instance)
            && self.want != Want::Run
        {
            let desired = record.desired_app();
            let is_old = |id: &ReplicaId| state.replica(*id).is_some_and(|r| r.app != *desired);
            old_leaves = changed.iter().any(is_old);
        }
        if old_leaves {
            state.bounce_progress(context, &self.instance);
        }
        let verb = match (self.want, changed.len()) {
            (Want::Run, 1) => "runs again",
            (Want::Run, _) => "run again",
            (Want::Drain, 1) => "drains",
            (Want::Drain, _) => "drain",
            (Want::Stop, 1) => "stops",
            (Want::Stop, _) => "stop",
        };
        let replicas = count_of(changed.len(), "replica");
        let text = format!("{replicas} {verb}: {}", self.reason);
        let subject = Subject::Instance(self.instance.clone());
        state.note(context, EventKind::Replicas, subject, text);
    }
}

impl ClusterState {
    /// Something old left: the bounce under way came closer to its end.
    pub(super) fn bounce_progress(&mut self, context: &Context<'_>, id: &InstanceId) {
        if let Some(record) = self.tables.instances.get_mut(id)
            && let Some(bounce) = &mut record.bounce
        {
            bounce.progress(&record.spec.bounce, context.at);
        }
    }
}

#[cfg(test)]
mod tests;
