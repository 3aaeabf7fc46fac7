//! New replicas for an instance: the missing ones, and one elsewhere for one that fails where it is.

use std::collections::BTreeMap;

use paasta_common::{assignment::Want, id::ReplicaId};

use super::{Goal, Moves, Shortage, pace};
use crate::{
    plan::{
        class::Class,
        members::{Member, Members},
        pass::Pass,
        place::{Refusals, Wish, place},
    },
    state::command::PlaceReplica,
};

/// What is asked of the placement.
struct Order<'m, 'a> {
    count: usize,
    /// Replicas next to which none of the new ones may be.
    shunned: &'m [&'m Member<'a>],
    /// A replica that leaves when a host is found for another.
    leaving: Option<ReplicaId>,
    /// The failures that the new ones go on from.
    failures: u32,
}

pub(super) fn place_missing(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    missing: usize,
    moves: &mut Moves,
) {
    let lost = |member: &&Member<'_>| member.class == Class::Lost && member.want == Want::Run;
    // Under the brake nothing is replaced: what was lost still counts.
    let spared = match goal.braked {
        true => members.new.iter().filter(lost).count(),
        false => 0,
    };
    let count = missing.saturating_sub(spared);
    let count = count - pace::waiting(pass, goal, members, count);
    if count == 0 {
        return;
    }
    let order = Order {
        count,
        shunned: &[],
        leaving: None,
        failures: 0,
    };
    let (found, refusals) = find_hosts(pass, goal, members, &order, moves);
    if let Some(refusals) = refusals {
        let missing = u32::try_from(count - found).unwrap_or(u32::MAX);
        moves.shortage = Some(Shortage { missing, refusals });
    }
}

/// A replica that fails again and again where it is, while others of its app are happy elsewhere,
/// gets another host: one at a time, and only when there is one.
pub(super) fn move_failing(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    kept: &[&Member<'_>],
    moves: &mut Moves,
) {
    if goal.held || goal.braked || !members.old.is_empty() {
        return;
    }
    let failing: Vec<&Member<'_>> = kept.iter().copied().filter(|m| m.failing).collect();
    // One on its way up that has not failed yet may be the replacement of the last one: it is
    // waited for. One that has failed is not, or two that fail in turn would keep each other here.
    let happy = |member: &Member<'_>| member.class == Class::Happy;
    let coming = |member: &Member<'_>| !happy(member) && !member.has_failed();
    if !kept.iter().any(|member| happy(member)) || kept.iter().any(|member| coming(member)) {
        return;
    }
    // Not in the middle of a start, which may be the one that succeeds.
    let Some(first) = failing.iter().find(|member| member.class == Class::Unhappy) else {
        return;
    };
    let order = Order {
        count: 1,
        shunned: &failing,
        leaving: Some(first.id),
        failures: first.failures,
    };
    let (found, _) = find_hosts(pass, goal, members, &order, moves);
    if found > 0 {
        moves.want(Want::Stop, "it fails again and again on its host", first.id);
    }
}

/// Places what finds a host; says how many did, and why the others did not.
fn find_hosts(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    order: &Order<'_, '_>,
    moves: &mut Moves,
) -> (usize, Option<Refusals>) {
    let Some(app) = pass.state.app(&goal.desired) else {
        return (0, None);
    };
    let candidates = pass.candidates(&app.spec);
    let mut wish = Wish::new(&app.spec, &candidates, order.count, pass.hosts.len());
    let changed = moves.changed();
    for member in members.all().filter(|member| member.class != Class::Lost) {
        let same_app = member.replica.app == goal.desired;
        let want = changed.get(&member.id).copied().unwrap_or(member.want);
        let stays = want == Want::Run && order.leaving != Some(member.id);
        wish.count(&pass.hosts, member.host, same_app, stays);
    }
    for member in order.shunned {
        wish.avoid(member.host);
    }
    let found = place(&mut pass.hosts, wish);
    for at in &found.hosts {
        let id = pass.new_replica_id();
        moves.placed.push(PlaceReplica {
            id,
            instance: goal.id.clone(),
            app: goal.desired.clone(),
            host: pass.hosts[*at].id().clone(),
            failures: order.failures,
        });
    }
    (found.hosts.len(), found.refusals)
}

impl Moves {
    /// What was decided so far about replicas that are there.
    fn changed(&self) -> BTreeMap<ReplicaId, Want> {
        let wants = self.wants.iter();
        wants
            .flat_map(|((want, _), ids)| ids.iter().map(|id| (*id, *want)))
            .collect()
    }
}
