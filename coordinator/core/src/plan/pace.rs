//! The pace at which a change that touches many instances bounces them: a set share at once, in the
//! order in which they came, and ordinary deploys before all of them. What fails stops the rest: as
//! many as may bounce at once may be stuck.

use std::collections::BTreeSet;

use paasta_common::{id::InstanceId, time::Timestamp};

use super::{pass::Pass, report::Turns};
use crate::state::{
    ClusterState,
    bounce::BouncePhase,
    command::{BATCH_MAX, Command, PaceBounces},
    instance::{Instance, PinKind},
};

/// What may always bounce at once, however few instances there are.
const AT_ONCE_MIN: usize = 2;

/// How many instances may bounce at once by a change that touches many, when that is so many
/// percent of them.
pub fn at_once(state: &ClusterState, percent: u32) -> usize {
    let share = (state.instances().len() * percent as usize).div_ceil(100);
    share.max(AT_ONCE_MIN)
}

/// Decides whose turn it is.
pub(super) fn pace(pass: &mut Pass<'_>) {
    let state = pass.state;
    if state.paced().is_empty() {
        return;
    }
    let most = at_once(state, pass.observed.settings.paced_percent);
    let mut step = PaceBounces::default();
    let mut waiting: Vec<(Timestamp, &InstanceId)> = Vec::new();
    let (mut going, mut stuck) = (0, 0);
    let mut next_by: Option<Timestamp> = None;
    let mut earliest = |at: Timestamp| next_by = Some(next_by.map_or(at, |by| by.min(at)));
    for (id, paced) in state.paced() {
        let Some(instance) = state.instance(id) else {
            continue;
        };
        if pass.ended.contains(id) {
            continue;
        }
        let standing = match pass.stuck.contains(id) {
            true => Standing::Stuck,
            false => standing(state, id, instance, paced.going),
        };
        match standing {
            Standing::Waiting => waiting.push((paced.since, id)),
            Standing::Through => {
                step.done.insert(id.clone());
            }
            Standing::Stuck => stuck += 1,
            Standing::Going => {
                going += 1;
                let deadline = instance.bounce.as_ref().and_then(|one| one.deadline());
                deadline.into_iter().for_each(&mut earliest);
            }
        }
    }
    waiting.sort_unstable();
    let free = match stuck < most {
        true => most.saturating_sub(going).min(BATCH_MAX),
        false => 0,
    };
    // A deploy that is under way is finished first.
    let deploys = |id: &InstanceId| {
        let bounce = state.instance(id).and_then(|one| one.bounce.as_ref());
        bounce.is_some_and(|one| !matches!(one.phase, BouncePhase::Overdue { .. }))
    };
    let (mut ready, mut rest): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|(_, id)| !deploys(id));
    rest.extend(ready.split_off(free.min(ready.len())));
    for (_, id) in &ready {
        let patience = state
            .instance(id)
            .map(|one| one.spec.bounce.progress_deadline_ms);
        earliest(pass.now.after_ms(patience.unwrap_or_default()));
        step.go.insert((*id).clone());
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    pass.turns = Turns {
        going: number(going + step.go.len()),
        stuck: number(stuck),
        most: number(most),
        waiting: number(rest.len()),
    };
    pass.next_turn_by = next_by.filter(|_| stuck < most);
    if step != PaceBounces::default() {
        pass.goes = step.go.clone();
        pass.commands.push(Command::PaceBounces(step));
    }
}

enum Standing {
    Waiting,
    Going,
    Stuck,
    Through,
}

fn standing(state: &ClusterState, id: &InstanceId, instance: &Instance, going: bool) -> Standing {
    let waits = instance.pin.as_ref();
    let waits = waits.is_some_and(|pin| pin.kind == PinKind::Paced);
    let apps: BTreeSet<_> = state.replicas_of(id).map(|(_, one)| &one.app).collect();
    if waits && !going {
        // Of what does not run nothing bounces.
        return match apps.is_empty() {
            true => Standing::Through,
            false => Standing::Waiting,
        };
    }
    match instance.bounce.as_ref().map(|bounce| bounce.phase) {
        Some(BouncePhase::Running) => Standing::Going,
        Some(BouncePhase::Overdue { .. } | BouncePhase::Held { .. }) => Standing::Stuck,
        // One whose turn has just come begins with the next plan; one that was gone back from, or
        // to whom an operator attended, is through.
        None if going
            && instance.pin.is_none()
            && apps.iter().any(|app| *app != instance.desired_app()) =>
        {
            Standing::Going
        }
        None => Standing::Through,
    }
}
