//! From what a plan found about one instance to what its report says.

use paasta_common::{
    id::{HostId, ReplicaId},
    problem::Severity,
    spec::BounceMethod,
    time::Timestamp,
};

use super::{
    class::Class,
    members::{Member, Members},
    pass::Pass,
    reconcile::{Goal, Moves},
    report::{Awaited, BounceView, Counts, InstanceReport, ReplicaView, WaitingOn},
    transition,
};
use crate::state::bounce::BouncePhase;

pub(super) fn instance_report(
    pass: &Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    moves: &Moves,
) -> InstanceReport {
    let count = |members: &[Member<'_>]| {
        let mut counts = Counts::default();
        members.iter().for_each(|member| counts.add(member.class));
        counts
    };
    let mut replicas: Vec<ReplicaView> = members.all().map(replica_view).collect();
    replicas.sort_by_key(|replica| replica.id);
    InstanceReport {
        declared: goal.instance.declared,
        desired: goal.desired.clone(),
        wanted: goal.wanted,
        new: count(&members.new),
        old: count(&members.old),
        replicas,
        bounce: bounce_view(goal, members),
        waiting: waiting(pass, goal, members, moves),
    }
}

fn replica_view(member: &Member<'_>) -> ReplicaView {
    ReplicaView {
        id: member.id,
        app: member.replica.app.clone(),
        host: member.replica.host.clone(),
        want: member.want,
        class: member.class,
    }
}

fn bounce_view(goal: &Goal<'_>, members: &Members<'_>) -> Option<BounceView> {
    let bounce = transition::under_way(goal)?;
    Some(BounceView {
        method: goal.method,
        from: bounce.from.clone(),
        to: bounce.to.clone(),
        counts: transition::counts(goal, members),
        since: bounce.started_at,
        last_progress_at: bounce.last_progress_at,
        deadline: bounce.deadline(),
        phase: bounce.phase,
    })
}

/// Everything that keeps the instance from being as wanted, the most telling first.
fn waiting(
    pass: &Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    moves: &Moves,
) -> Vec<WaitingOn> {
    let bounce = transition::under_way(goal);
    let since = bounce.map(|bounce| bounce.last_progress_at);
    let deadline = bounce.and_then(|bounce| bounce.deadline());
    let mut waiting = config_waits(pass, goal);
    let mut wait = |what, since, deadline| {
        waiting.push(WaitingOn {
            what,
            since,
            deadline,
        })
    };
    match bounce.map(|bounce| bounce.phase) {
        Some(BouncePhase::Held { since }) => wait(Awaited::Held, Some(since), None),
        Some(BouncePhase::Overdue { since }) => wait(Awaited::Overdue, Some(since), None),
        _ => {}
    }
    if goal.braked
        && members
            .all()
            .any(|m| matches!(m.class, Class::Lost | Class::Unknown))
    {
        wait(Awaited::MassFailureBrake, None, None);
    }
    if let Some(shortage) = &moves.shortage {
        let refusals = shortage.refusals.clone();
        wait(
            Awaited::Capacity {
                missing: shortage.missing,
                refusals,
            },
            since,
            deadline,
        );
    }
    let counted = u32::try_from(members.counted().count()).unwrap_or(u32::MAX);
    if goal.method == BounceMethod::Down && counted < goal.wanted {
        wait(Awaited::MethodDown { missing: goal.wanted - counted }, since, deadline);
    }
    if let Some(until) = members.awaited.values().max() {
        let hosts = members.awaited.keys().cloned().collect();
        wait(
            Awaited::HostsToReport { hosts },
            Some(pass.observed.leader_since),
            Some(*until),
        );
    }
    let away = away(pass, members);
    if !away.is_empty() {
        wait(Awaited::HostAway { hosts: away }, None, None);
    }
    if moves.waits_for_old {
        let replicas = members.old_left().map(|member| member.id).collect();
        wait(Awaited::OldVersionGone { replicas }, since, deadline);
    }
    let not_happy = of_class(members.counted(), &[Class::Starting, Class::Unhappy]);
    if !not_happy.is_empty() {
        wait(
            Awaited::NotHappyYet {
                replicas: not_happy,
            },
            since,
            deadline,
        );
    }
    let draining: Vec<&Member<'_>> = members
        .all()
        .filter(|member| member.class == Class::Draining)
        .collect();
    if !draining.is_empty() {
        let (since, deadline) = drain_times(goal, &draining);
        let replicas = draining.iter().map(|member| member.id).collect();
        wait(Awaited::Draining { replicas }, since, deadline);
    }
    let stopping = of_class(members.all(), &[Class::Stopping]);
    if !stopping.is_empty() {
        wait(Awaited::Stopping { replicas: stopping }, None, None);
    }
    waiting
}

fn config_waits(pass: &Pass<'_>, goal: &Goal<'_>) -> Vec<WaitingOn> {
    let mut waiting = Vec::new();
    let broken: Vec<String> = pass
        .state
        .problems_of(goal.id)
        .filter(|problem| problem.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    if let Some(first) = broken.first() {
        let problems = u32::try_from(broken.len()).unwrap_or(u32::MAX);
        let what = Awaited::ConfigBroken {
            problems,
            first: first.clone(),
        };
        waiting.push(WaitingOn {
            what,
            since: None,
            deadline: None,
        });
    }
    if let Some(pin) = &goal.instance.pin {
        let what = Awaited::Pinned {
            app: pin.app.clone(),
            reason: pin.reason.clone(),
        };
        waiting.push(WaitingOn {
            what,
            since: Some(pin.since),
            deadline: None,
        });
    }
    waiting
}

fn of_class<'m, 'a: 'm>(
    members: impl Iterator<Item = &'m Member<'a>>,
    classes: &[Class],
) -> Vec<ReplicaId> {
    members
        .filter(|member| classes.contains(&member.class))
        .map(|member| member.id)
        .collect()
}

/// The hosts of this instance's replicas that are silent or lost.
fn away(pass: &Pass<'_>, members: &Members<'_>) -> Vec<HostId> {
    let views = members.all().map(|member| &pass.hosts[member.host]);
    let mut hosts: Vec<HostId> = views
        .filter(|view| view.lost || view.silent)
        .map(|view| view.id().clone())
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn drain_times(
    goal: &Goal<'_>,
    draining: &[&Member<'_>],
) -> (Option<Timestamp>, Option<Timestamp>) {
    let since = draining
        .iter()
        .map(|member| member.replica.want_since)
        .min();
    let timeout = goal.instance.spec.run.drain_timeout_ms;
    (since, since.map(|since| since.after_ms(timeout)))
}
