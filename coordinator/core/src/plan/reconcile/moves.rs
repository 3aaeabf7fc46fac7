//! Who leaves, who stays, who comes. Every rule of PaaSTA's tick is here once: surplus and at-risk
//! replicas of the desired app, the bounce of old apps, replacement of lost replicas.

use std::{borrow::Cow, collections::BTreeMap};

use paasta_common::{
    assignment::Want,
    id::ReplicaId,
    spec::BounceMethod,
    text::{count, count_of},
};

use super::{Goal, Moves, supply};
use crate::plan::{
    bounce::{Decision, Input, decide},
    class::Class,
    members::{Member, Members},
    pass::Pass,
    proxies::Leaving,
};

pub(in crate::plan) fn choose(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
) -> Moves {
    let mut moves = Moves::default();
    // Nobody is taken down on account of hosts that have not had time to report (I6).
    let settled = members.awaited.is_empty();
    let wanted = goal.wanted as usize;
    let (kept, surplus) = split_surplus(members, wanted);
    if settled {
        for member in surplus {
            moves.leave(goal, member, "more than are wanted");
        }
    }
    let happy: Vec<ReplicaId> = ids(kept.iter().copied().filter(|m| m.class == Class::Happy));
    if settled && !goal.held {
        leave_risky_hosts(goal, members, happy.len(), &mut moves);
    }
    let missing = wanted.saturating_sub(kept.len());
    let unhappy = wanted.saturating_sub(happy.len());
    let decision = decide_bounce(goal, members, happy);
    if settled && !goal.held && !goal.braked_cleanup() {
        bounce_old(goal, members, &decision, &mut moves);
    }
    for id in &members.brought_back {
        moves.want(Want::Run, "its app is desired", *id);
    }
    if missing > 0 && grows(goal, members, &decision, &mut moves) {
        supply::place_missing(pass, goal, members, missing, &mut moves);
    } else if missing == 0 && settled {
        supply::move_failing(pass, goal, members, &kept, &mut moves);
    }
    give_up_lost(members, unhappy, &mut moves);
    for member in members
        .all()
        .filter(|m| m.class == Class::Draining && m.may_stop)
    {
        moves.want(Want::Stop, after_drain(member), member.id);
    }
    moves
}

/// How the drain of a replica ended: with what load balancers had still to finish, where it was its
/// deadline that ended it.
fn after_drain(member: &Member<'_>) -> Cow<'static, str> {
    let Leaving { busy, sessions, .. } = &member.leaving;
    match busy {
        0 if member.drained => "drained".into(),
        0 => "its drain has timed out".into(),
        busy => format!(
            "its drain has timed out with {} left in the load balancers of {}",
            count_of(usize::try_from(*sessions).unwrap_or(usize::MAX), "session"),
            count(*busy, "host")
        )
        .into(),
    }
}

fn ids<'m, 'a: 'm>(members: impl Iterator<Item = &'m Member<'a>>) -> Vec<ReplicaId> {
    members.map(|member| member.id).collect()
}

impl Goal<'_> {
    /// Whether leaving would be a cleanup, and cleanup is off (I7).
    fn braked_cleanup(&self) -> bool {
        self.braked && !self.instance.declared
    }
}

impl Moves {
    /// Lets a replica go: through the load balancer first, where there is something to drain.
    fn leave(&mut self, goal: &Goal<'_>, member: &Member<'_>, why: &'static str) {
        match member.may_stop || goal.stops_at_once() {
            true => self.want(Want::Stop, why, member.id),
            false => self.want(Want::Drain, why, member.id),
        }
    }
}

/// The new replicas that stay and those that are too many: the worst class goes first, and within a
/// class a replica that shares its host with most others.
fn split_surplus<'m, 'a>(
    members: &'m Members<'a>,
    wanted: usize,
) -> (Vec<&'m Member<'a>>, Vec<&'m Member<'a>>) {
    let mut counted: Vec<&Member<'_>> = members.counted().collect();
    if counted.len() <= wanted {
        return (counted, Vec::new());
    }
    counted.sort_by_key(|member| (member.class, member.id));
    let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
    let mut ranked: Vec<(Class, u32, &Member<'_>)> = Vec::with_capacity(counted.len());
    for member in counted {
        let rank = seen.entry(member.host).or_default();
        ranked.push((member.class, *rank, member));
        *rank += 1;
    }
    ranked.sort_by_key(|(class, rank, member)| (*class, *rank, member.id));
    let mut kept: Vec<&Member<'_>> = ranked.into_iter().map(|(_, _, member)| member).collect();
    let surplus = kept.split_off(wanted);
    (kept, surplus)
}

/// New replicas on hosts that are being drained leave as their replacements are happy; those that
/// serve nobody leave at once.
fn leave_risky_hosts(goal: &Goal<'_>, members: &Members<'_>, happy: usize, moves: &mut Moves) {
    let serves = |member: &Member<'_>| matches!(member.class, Class::AtRisk | Class::Unknown);
    let mut risky: Vec<&Member<'_>> = members
        .new
        .iter()
        .filter(|member| member.runs() && member.risky)
        .collect();
    risky.sort_by_key(|member| (!serves(member), member.class, member.id));
    let needed = (goal.wanted as usize).saturating_sub(happy);
    for (at, member) in risky.into_iter().enumerate() {
        if at >= needed || !serves(member) {
            moves.leave(goal, member, "its host is being drained");
        }
    }
}

fn decide_bounce(
    goal: &Goal<'_>,
    members: &Members<'_>,
    happy_new: Vec<ReplicaId>,
) -> Decision<ReplicaId> {
    let old = |classes: &[Class]| {
        ids(members
            .old
            .iter()
            .filter(|member| classes.contains(&member.class)))
    };
    let new_app_running = goal.wanted == 0 || members.new.iter().any(Member::runs);
    let input = Input {
        instances: goal.wanted,
        new_app_running,
        happy_new,
        old_happy: old(&[Class::Happy]),
        old_unhappy: old(&[Class::Starting, Class::Unknown, Class::Unhappy]),
        old_at_risk: old(&[Class::AtRisk]),
        margin: goal.instance.spec.bounce.margin,
    };
    decide(goal.method, &input)
}

fn bounce_old(
    goal: &Goal<'_>,
    members: &Members<'_>,
    decision: &Decision<ReplicaId>,
    moves: &mut Moves,
) {
    let why = match goal.instance.declared {
        true => "an old app",
        false => "no longer declared",
    };
    let mut leaving = decision.tasks_to_drain.clone();
    leaving.sort_unstable();
    for member in &members.old {
        if leaving.binary_search(&member.id).is_ok() {
            moves.leave(goal, member, why);
        }
    }
}

/// Whether missing replicas of the desired app may come now.
fn grows(
    goal: &Goal<'_>,
    members: &Members<'_>,
    decision: &Decision<ReplicaId>,
    moves: &mut Moves,
) -> bool {
    moves.waits_for_old = goal.method == BounceMethod::DownThenUp && !goal.may_overlap(members);
    let runs = decision.create_app || members.new.iter().any(Member::runs);
    runs && !goal.held && goal.may_overlap(members)
}

/// Replicas on lost hosts: old ones are never wanted back; new ones are until their replacements
/// are happy, as the host may return first, and what it runs may have served all the time.
fn give_up_lost(members: &Members<'_>, unhappy: usize, moves: &mut Moves) {
    let lost = |member: &&Member<'_>| member.class == Class::Lost;
    let old = members.old.iter().filter(lost);
    moves
        .lost
        .extend(ids(old.filter(|member| member.want != Want::Stop)));
    let mut kept = 0;
    for member in members.new.iter().filter(lost) {
        match member.want {
            Want::Run if kept < unhappy => kept += 1,
            Want::Run | Want::Drain => moves.lost.push(member.id),
            Want::Stop => {}
        }
    }
}
