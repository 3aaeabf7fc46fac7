//! The account of a bounce: when it begins, comes closer, is stuck, and is over. The record of it
//! is replicated, so that deadlines outlive leaders.

use std::collections::BTreeSet;

use paasta_common::{
    id::AppId,
    spec::{BounceMethod, OnDeadline},
};

use super::{class::Class, members::Members, pass::Pass, reconcile::Goal};
use crate::state::{
    bounce::{BounceCounts, BounceRecord},
    command::{Bounce, BounceStep, Command},
};

/// The commands about the bounce itself that go before and after those about replicas.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) before: Option<Command>,
    pub(super) after: Option<Command>,
}

impl Steps {
    /// Whether the bounce is over with them.
    pub(super) fn finishes(&self) -> bool {
        let finishes = |command: &Command| matches!(command, Command::Bounce(bounce) if matches!(bounce.step, BounceStep::Finish { .. }));
        self.after.as_ref().is_some_and(finishes)
    }
}

/// The numbers of PaaSTA's bounce line.
pub(super) fn counts(goal: &Goal<'_>, members: &Members<'_>) -> BounceCounts {
    let mut counts = BounceCounts {
        to_bring_up: goal.wanted.saturating_sub(members.happy()),
        ..BounceCounts::default()
    };
    let mut apps: BTreeSet<&AppId> = BTreeSet::new();
    for member in members.old_left() {
        apps.insert(&member.replica.app);
        match member.class {
            Class::Happy => counts.old_happy += 1,
            Class::AtRisk => counts.old_at_risk += 1,
            Class::Draining | Class::Stopping => counts.old_draining += 1,
            Class::Starting | Class::Unknown | Class::Unhappy | Class::Lost => {
                counts.old_unhappy += 1;
            }
        }
    }
    counts.old_apps = u32::try_from(apps.len()).unwrap_or(u32::MAX);
    counts
}

/// The bounce to the desired app, when one is under way.
pub(super) fn under_way<'a>(goal: &Goal<'a>) -> Option<&'a BounceRecord> {
    goal.instance
        .bounce
        .as_ref()
        .filter(|bounce| bounce.to == goal.desired)
}

/// Whether everything old is gone and everything new is happy.
fn is_done(goal: &Goal<'_>, members: &Members<'_>) -> bool {
    let up =
        goal.wanted == 0 || goal.method == BounceMethod::Down || members.happy() >= goal.wanted;
    up && members.old_left().next().is_none()
}

/// What happens now, if the bounce has just been stuck until its deadline.
pub(super) fn expiry(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
) -> Option<OnDeadline> {
    let bounce = under_way(goal)?;
    let deadline = bounce.deadline()?;
    pass.wake(deadline);
    // While we ourselves hold things up, or cannot see, it is not the new version's fault.
    if goal.braked || !members.awaited.is_empty() || pass.now < deadline {
        return None;
    }
    if is_done(goal, members) || members.happy() > bounce.happy_most {
        return None;
    }
    let good = goal
        .instance
        .last_good
        .as_ref()
        .filter(|good| **good != goal.desired);
    // When all that is missing is that old replicas leave, neither holding nor rolling back the new
    // version would help.
    let lingers = members.happy() >= goal.wanted;
    Some(match goal.instance.spec.bounce.on_deadline {
        _ if lingers => OnDeadline::GoOn,
        OnDeadline::Rollback if good.is_none() => OnDeadline::GoOn,
        other => other,
    })
}

pub(super) fn expired(goal: &Goal<'_>, then: OnDeadline, counts: BounceCounts) -> Command {
    let to = under_way(goal).map_or_else(|| goal.desired.clone(), |bounce| bounce.to.clone());
    let step = BounceStep::Expired { then };
    Command::Bounce(Bounce {
        instance: goal.id.clone(),
        to,
        step,
        counts,
    })
}

/// The other steps that are due.
pub(super) fn steps(goal: &Goal<'_>, members: &Members<'_>, expired: Option<OnDeadline>) -> Steps {
    let mut steps = Steps::default();
    if !goal.instance.declared {
        return steps;
    }
    let say = |step| {
        Some(Command::Bounce(Bounce {
            instance: goal.id.clone(),
            to: goal.desired.clone(),
            step,
            counts: counts(goal, members),
        }))
    };
    let happy = members.happy();
    let done = is_done(goal, members);
    match under_way(goal) {
        Some(_) if done => {
            let wholly_happy = goal.wanted > 0 && happy >= goal.wanted;
            steps.after = say(BounceStep::Finish { wholly_happy });
        }
        Some(bounce) if happy > bounce.happy_most && expired.is_none() => {
            steps.after = say(BounceStep::Progress { happy });
        }
        Some(_) => {}
        None if !done && is_needed(goal, members) => {
            let from: BTreeSet<AppId> = members
                .old_left()
                .map(|member| member.replica.app.clone())
                .collect();
            steps.before = say(BounceStep::Start {
                from: from.into_iter().collect(),
                method: goal.method,
                happy,
            });
        }
        None => {}
    }
    steps
}

/// A bounce is needed when something old is left, or nothing new has ever come.
fn is_needed(goal: &Goal<'_>, members: &Members<'_>) -> bool {
    let nothing_new =
        goal.wanted > 0 && goal.method != BounceMethod::Down && members.new.is_empty();
    nothing_new || members.old_left().next().is_some()
}
