//! What becomes of instances that a reading does not have: their absence is noted, with how long it
//! has lasted, and when the patience is over they are removed, unless too many are. The record of it
//! is replicated, so that the next leader goes on from there.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::id::InstanceId;

use super::{Removal, Removing};
use crate::state::{
    ClusterState,
    absence::Absence,
    command::{Absent, BATCH_MAX, Command, NoteAbsence, RemovalRule, RemoveInstances},
};

/// How often the time that was waited is noted within the patience: a leader that dies takes no
/// more than this part of it along.
const NOTES: u64 = 4;

/// The commands for what is absent, and for what was and is back.
pub(super) fn changes(
    state: &ClusterState,
    gone: &BTreeMap<InstanceId, Removal>,
    removing: &Removing,
) -> Vec<Command> {
    let noted = |(id, removal): (&InstanceId, &Removal)| {
        let absence = state.instance(id)?.absence.as_ref();
        let waited_ms = absence.map_or(0, |one| one.waited_at(removing.leadership, removing.now));
        let news = absence.is_none_or(|one| one.removal != *removal || is_to_note(one, removing));
        let absent = Absent {
            removal: *removal,
            waited_ms,
        };
        news.then(|| (id.clone(), absent))
    };
    let absent: Vec<(InstanceId, Absent)> = gone.iter().filter_map(noted).collect();
    let known = state.instances().filter(|(_, one)| one.absence.is_some());
    let back = known.filter(|(id, _)| !gone.contains_key(*id));
    let back: Vec<InstanceId> = back.map(|(id, _)| id.clone()).collect();
    let note = |absent: &[(InstanceId, Absent)], back: &[InstanceId]| {
        Command::NoteAbsence(NoteAbsence {
            leadership: removing.leadership,
            now: removing.now,
            patience_ms: removing.patience_ms,
            guard: removing.guard,
            absent: absent.iter().cloned().collect(),
            back: back.iter().cloned().collect(),
        })
    };
    let mut commands: Vec<Command> = Vec::new();
    commands.extend(back.chunks(BATCH_MAX).map(|some| note(&[], some)));
    commands.extend(absent.chunks(BATCH_MAX).map(|some| note(some, &[])));
    // What is news is judged first, with all the rest of it.
    let over: BTreeSet<InstanceId> = match commands.is_empty() {
        true => gone
            .keys()
            .filter(|id| is_over(state, id, removing))
            .cloned()
            .collect(),
        false => BTreeSet::new(),
    };
    let held = removing.guard.holds_back(state, removing.now);
    let held_already = held && state.held_back().is_some();
    if !over.is_empty() && !held_already {
        commands.push(Command::RemoveInstances(RemoveInstances {
            ids: over,
            force: false,
            rule: Some(RemovalRule {
                leadership: removing.leadership,
                now: removing.now,
                guard: removing.guard,
            }),
        }));
    }
    commands
}

/// Whether the directory is to be read again for the sake of what is absent.
pub fn is_due(state: &ClusterState, removing: &Removing) -> bool {
    let held = removing.guard.holds_back(state, removing.now);
    let due = |one: &Absence| {
        is_to_note(one, removing) || (!held && one.is_over(removing.leadership, removing.now))
    };
    let absences = state
        .instances()
        .filter_map(|(_, one)| one.absence.as_ref());
    absences.into_iter().any(due) || (!held && state.held_back().is_some())
}

/// The absent instances whose patience is over.
pub fn overdue(state: &ClusterState, removing: &Removing) -> BTreeSet<InstanceId> {
    let known = state.instances().map(|(id, _)| id);
    known
        .filter(|id| is_over(state, id, removing))
        .cloned()
        .collect()
}

fn is_over(state: &ClusterState, id: &InstanceId, removing: &Removing) -> bool {
    let absence = state.instance(id).and_then(|one| one.absence.as_ref());
    absence.is_some_and(|one| one.is_over(removing.leadership, removing.now))
}

/// Whether time has passed that the next leader would not know of.
fn is_to_note(absence: &Absence, removing: &Removing) -> bool {
    if absence.leadership != removing.leadership {
        return true;
    }
    let since = removing.now.since_ms(absence.noted_at);
    let step = (removing.patience_ms / NOTES).max(1);
    since >= step && absence.waited_ms.saturating_add(step) < removing.patience_ms
}
