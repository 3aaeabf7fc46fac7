//! Instances are no longer declared. Their replicas leave through the drain path; the records go
//! when the last of them is gone. An empty or broken soa directory must not empty the cluster, so
//! nothing goes before its patience is over, and more than half within the guard's window needs
//! force (I7).

use std::collections::BTreeSet;

use paasta_common::{id::InstanceId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    departed::{Departed, RemovalGuard},
    event::{EventKind, Subject},
    history::Cause,
    outcome::{Outcome, Reason},
};

/// Instances are no longer declared. All are removed or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveInstances {
    /// The instances; unknown ones are no error, as they are not declared either.
    pub ids: BTreeSet<InstanceId>,
    /// Whether an operator means it, however many they are and however long they are absent.
    #[serde(default)]
    pub force: bool,
    /// By which rule a leader removes them. Absent in logs of before there was one: then more than
    /// half at once are refused, and nothing is remembered of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RemovalRule>,
}

/// By which rule a leader removes instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalRule {
    /// The Raft term of the leader, which must have noted their absence.
    pub leadership: u64,
    /// Its time, as in [`super::NoteAbsence`].
    pub now: Timestamp,
    /// When removals are too many.
    pub guard: RemovalGuard,
}

impl RemoveInstances {
    fn refusal(&self, state: &ClusterState) -> Option<Reason> {
        let leaving = self.leaving(state).count();
        if leaving == 0 || self.force {
            return None;
        }
        let Some(rule) = &self.rule else {
            return too_many(state, leaving);
        };
        let early = self.leaving(state).find(|id| {
            let absence = state.instance(id).and_then(|one| one.absence.as_ref());
            !absence.is_some_and(|one| one.is_over(rule.leadership, rule.now))
        });
        early.map(|id| Reason::AbsentTooShort {
            instance: id.clone(),
        })
    }

    fn leaving<'s>(&'s self, state: &'s ClusterState) -> impl Iterator<Item = &'s InstanceId> {
        let declared = |id: &InstanceId| state.instance(id).is_some_and(|record| record.declared);
        self.ids.iter().filter(move |id| declared(id))
    }

    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if let Some(reason) = self.refusal(state) {
            let text = reason.to_string();
            state.note(context, EventKind::Desired, Subject::Cluster, text);
            return Outcome::Refused(reason);
        }
        let guard = self.rule.map(|rule| rule.guard).unwrap_or_default();
        if !self.force && self.rule.is_some() {
            state.judge_removals(context, &guard);
            if let Some(held) = state.tables.held_back {
                return Outcome::Refused(held.into());
            }
        }
        let leaving: Vec<InstanceId> = self.leaving(state).cloned().collect();
        if leaving.is_empty() {
            return Outcome::Unchanged;
        }
        for id in leaving {
            self.remove(state, context, id);
        }
        state.bound_departed(context.at);
        state.judge_removals(context, &guard);
        Outcome::Applied
    }

    fn remove(&self, state: &mut ClusterState, context: &Context<'_>, id: InstanceId) {
        state.tables.paced.remove(&id);
        state.unpin_paced(&id);
        let Some(record) = state.tables.instances.get_mut(&id) else {
            return;
        };
        record.declared = false;
        record.bounce = None;
        record.changed_at = context.at;
        if self.rule.is_none() {
            record.overridden = None;
        }
        let text = match (record.absence.take(), &self.rule) {
            (Some(absence), Some(rule)) => format!(
                "{} for {} s: draining",
                absence.removal.words(),
                absence.waited_at(rule.leadership, rule.now) / 1_000
            ),
            _ => "no longer declared or deployed: draining".to_owned(),
        };
        let cause = Cause::of("removed");
        record.history.push(context, cause, None, text.clone());
        if self.rule.is_some() {
            let departed = Departed {
                at: context.at,
                counted: !self.force,
                record: None,
            };
            state.tables.departed.insert(id.clone(), departed);
        }
        state.note(context, EventKind::Desired, Subject::Instance(id), text);
    }
}

/// The rule of before there was a window.
fn too_many(state: &ClusterState, leaving: usize) -> Option<Reason> {
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

#[cfg(test)]
mod tests;
