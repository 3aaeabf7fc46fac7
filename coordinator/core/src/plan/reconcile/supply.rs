//! New replicas for an instance: the missing ones, and one elsewhere for one that fails where it is.

use std::collections::BTreeMap;

use paasta_common::{assignment::Want, id::ReplicaId};

use super::{Goal, Moves, Shortage, pace};
use crate::{
    plan::{
        class::Class,
        members::{Member, Members},
        pass::Pass,
        place::{Refusals, Trust, Wish, place},
    },
    state::{command::PlaceReplica, failed::FAILED_HOSTS_MAX},
};

/// What is asked of the placement.
struct Order<'m, 'a> {
    count: usize,
    /// A replica that leaves as it fails, when a host is found for another: none where the app
    /// fails or failed.
    leaving: Option<&'m Member<'a>>,
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
    if let Some(until) = pass.arriving_until {
        moves.waits_for_hosts = true;
        pass.wake(until);
        return;
    }
    let order = Order {
        count,
        leaving: None,
    };
    let (found, refusals) = find_hosts(pass, goal, members, &order, moves);
    if let Some(refusals) = refusals {
        let missing = u32::try_from(count - found).unwrap_or(u32::MAX);
        moves.shortage = Some(Shortage { missing, refusals });
    }
}

/// A replica that fails again and again where it is, while others of its app are happy elsewhere,
/// gets another host: one at a time, and only when there is one on which the app is not known to
/// fail. Where none is happy, hosts are tried as well, but only so many as can be remembered: then
/// the app is to blame.
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
    // One on its way up that has not failed yet may be the replacement of the last one: it is
    // waited for. One that has failed is not, or two that fail in turn would keep each other here.
    let happy = |member: &Member<'_>| member.class == Class::Happy;
    let coming = |member: &Member<'_>| !happy(member) && !member.has_failed();
    let well = kept.iter().any(|member| happy(member));
    let to_blame = !well && members.avoided.len() >= FAILED_HOSTS_MAX;
    if to_blame || kept.iter().any(|member| coming(member)) {
        return;
    }
    let enough = |member: &Member<'_>| match well {
        true => member.failing,
        false => member.fails_for_long(),
    };
    // Not in the middle of a start, which may be the one that succeeds.
    let mut failing = kept.iter().filter(|member| enough(member));
    let Some(first) = failing.find(|member| member.class == Class::Unhappy) else {
        return;
    };
    let order = Order {
        count: 1,
        leaving: Some(first),
    };
    match find_hosts(pass, goal, members, &order, moves) {
        (0, refusals) => moves.stuck = refusals.map(|refusals| (first.id, refusals)),
        _ => moves.want(Want::Stop, "it fails again and again on its host", first.id),
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
        let leaves = order.leaving.is_some_and(|leaving| leaving.id == member.id);
        let stays = want == Want::Run && !leaves;
        wish.count(&pass.hosts, member.host, same_app, stays);
    }
    distrust(&mut wish, members, order.leaving);
    let found = place(&mut pass.hosts, wish);
    for at in &found.hosts {
        let id = pass.new_replica_id();
        moves.placed.push(PlaceReplica {
            id,
            instance: goal.id.clone(),
            app: goal.desired.clone(),
            host: pass.hosts[*at].id().clone(),
            failures: order.leaving.map_or(0, |leaving| leaving.failures),
            failed_on: order.leaving.map(|leaving| leaving.replica.host.clone()),
        });
    }
    (found.hosts.len(), found.refusals)
}

/// Where the app fails or failed nothing is moved to, and what is missing is placed only when no
/// other host will do. What failed on two hosts goes where the app is happy, if there is room.
fn distrust(wish: &mut Wish<'_>, members: &Members<'_>, leaving: Option<&Member<'_>>) {
    let failing = members.counted().filter(|member| member.failing);
    let failing = failing.map(|member| member.host);
    for at in failing.chain(members.avoided.iter().copied()) {
        match leaving {
            Some(_) => wish.avoid(at),
            None => wish.trust(at, Trust::Failed),
        }
    }
    if leaving.is_some_and(|leaving| leaving.replica.tried.failures > 0) {
        let happy = members.counted().filter(|m| m.class == Class::Happy);
        happy.for_each(|member| wish.trust(member.host, Trust::Proven));
    }
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
