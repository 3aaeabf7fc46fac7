//! Instances that a reading of the configuration does not have, and absent ones that it has again.
//! Nothing is removed by it: [`super::RemoveInstances`] does that, when the patience is over.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{id::InstanceId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    absence::{Absence, Removal},
    departed::{HeldBack, RemovalGuard},
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// What a reading does not have, and what it has again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteAbsence {
    /// The Raft term of the leader that read.
    pub leadership: u64,
    /// Its time: that of its clock when it began to lead, and what has passed since.
    pub now: Timestamp,
    /// How long an instance must be absent before it is removed, in milliseconds.
    pub patience_ms: u64,
    /// When removals are too many.
    pub guard: RemovalGuard,
    /// The absent ones; one that is not declared on record is passed over.
    pub absent: BTreeMap<InstanceId, Absent>,
    /// Those that are back.
    pub back: BTreeSet<InstanceId>,
}

/// An instance that a reading does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// What the reading says.
    pub removal: Removal,
    /// How long it has been absent so far, in milliseconds.
    pub waited_ms: u64,
}

impl NoteAbsence {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let mut changed = false;
        for (id, absent) in &self.absent {
            changed |= self.absent(state, context, id, *absent);
        }
        for id in &self.back {
            let record = state.tables.instances.get_mut(id);
            if record.and_then(|record| record.absence.take()).is_some() {
                changed = true;
                let text = "is back before its removal: nothing was changed".to_owned();
                state.note(
                    context,
                    EventKind::Desired,
                    Subject::Instance(id.clone()),
                    text,
                );
            }
        }
        state.judge_removals(context, &self.guard);
        match changed {
            true => Outcome::Applied,
            false => Outcome::Unchanged,
        }
    }

    fn absent(
        &self,
        state: &mut ClusterState,
        context: &Context<'_>,
        id: &InstanceId,
        absent: Absent,
    ) -> bool {
        let record = state.tables.instances.get_mut(id);
        let Some(record) = record.filter(|record| record.declared) else {
            return false;
        };
        let waited_ms = absent.waited_ms.min(self.patience_ms);
        let before = record.absence.replace(Absence {
            removal: absent.removal,
            since: record.absence.as_ref().map_or(self.now, |one| one.since),
            leadership: self.leadership,
            noted_at: self.now,
            waited_ms,
            until: self.now.after_ms(self.patience_ms - waited_ms),
        });
        if before.is_none_or(|before| before.removal != absent.removal) {
            let text = format!(
                "{}: it is removed unless it comes back within {} s",
                absent.removal.words(),
                (self.patience_ms - waited_ms).div_ceil(1_000)
            );
            let subject = Subject::Instance(id.clone());
            state.note(context, EventKind::Desired, subject, text);
        }
        true
    }
}

impl ClusterState {
    /// Holds back what is absent if it is too much, from now on; says so once, and when it ends.
    pub(super) fn judge_removals(&mut self, context: &Context<'_>, guard: &RemovalGuard) {
        let pending = self.instances().filter(|(_, one)| one.absence.is_some());
        let pending = pending.count();
        let before = self.tables.held_back;
        self.tables.held_back = guard
            .refuses(self, context.at, pending)
            .map(|(removed, total)| HeldBack {
                since: before.map_or(context.at, |held| held.since),
                removed,
                total,
                window_ms: guard.window_ms,
            });
        let text = match (before, self.tables.held_back) {
            (None, Some(held)) => Reason::from(held).to_string(),
            (Some(_), None) => "no removal is held back any more".to_owned(),
            _ => return,
        };
        self.note(context, EventKind::Desired, Subject::Cluster, text);
    }
}

impl From<HeldBack> for Reason {
    fn from(held: HeldBack) -> Self {
        Self::RemovalsHeldBack {
            removed: held.removed,
            total: held.total,
            minutes: held.window_ms / 60_000,
        }
    }
}
