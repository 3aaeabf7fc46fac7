//! From what a plan found about one instance to what its report says. What is waited for is
//! `waiting`.

use super::{
    members::{Member, Members},
    pass::Pass,
    reconcile::{Goal, Moves},
    report::{BounceView, Counts, InstanceReport, ReplicaView},
    transition, waiting,
};

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
        waiting: waiting::waiting(pass, goal, members, moves),
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
