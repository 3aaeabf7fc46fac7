//! I4, floor held: of what a leader believes to serve, its plan leaves as much as the bounce method
//! promises; and under downthenup no two versions overlap.

use std::collections::BTreeSet;

use paasta_common::{
    assignment::Want,
    id::{HostId, InstanceId, ReplicaId},
    spec::BounceMethod,
    time::Timestamp,
};
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{ClusterState, Replica, command::Command, host::HostStanding, instance::Instance},
};

use super::{
    Violation,
    seen::{serves, there},
};

/// A leader made this plan.
pub fn floor(state: &ClusterState, seen: &Observed, now: Timestamp, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    let there = there(state, plan);
    for (id, instance) in state.instances() {
        let leaving = leaving(plan, id);
        if instance.declared && !leaving.is_empty() {
            let serving = |(one, replica): (ReplicaId, &Replica)| {
                there.contains(&replica.host) && serves(seen, now, instance, (one, replica))
            };
            found.extend(held(state, (id, instance), &leaving, &there, serving));
        }
        if instance.spec.bounce.method == BounceMethod::DownThenUp {
            found.extend(apart(state, plan, (id, instance)));
        }
    }
    found
}

/// The replicas of the instance that the plan lets go.
fn leaving(plan: &Plan, id: &InstanceId) -> BTreeSet<ReplicaId> {
    let wants = plan.commands.iter().filter_map(|command| match command {
        Command::SetWant(set) if set.instance == *id && set.want != Want::Run => {
            Some(&set.replicas)
        }
        _ => None,
    });
    wants.flatten().copied().collect()
}

fn held(
    state: &ClusterState,
    (id, instance): (&InstanceId, &Instance),
    leaving: &BTreeSet<ReplicaId>,
    there: &BTreeSet<HostId>,
    serving: impl Fn((ReplicaId, &Replica)) -> bool,
) -> Option<Violation> {
    let wanted = instance.wanted();
    let promised = match instance.spec.bounce.method {
        BounceMethod::UpThenDown => wanted,
        BounceMethod::Crossover => instance.spec.bounce.margin.of(wanted),
        BounceMethod::Brutal | BounceMethod::DownThenUp | BounceMethod::Down => return None,
    } as usize;
    let before = state.replicas_of(id).filter(|one| serving(*one)).count();
    let gone = state
        .replicas_of(id)
        .filter(|one| leaving.contains(&one.0) && serving(*one))
        .count();
    if gone == 0 {
        return None;
    }
    // An old replica that is kept counts, as in PaaSTA, whether it serves or not.
    let kept = state.replicas_of(id).filter(|(one, replica)| {
        let up = there.contains(&replica.host);
        let old = replica.app != *instance.desired_app();
        !leaving.contains(one)
            && (serving((*one, *replica)) || (old && up && replica.want == Want::Run))
    });
    let kept = kept.count();
    (kept < promised).then(|| {
        let what = format!(
            "{id} ({}): {before} serve, {gone} of them are let go, {kept} are kept and {promised} promised",
            instance.spec.bounce.method
        );
        Violation::new("I4", what)
    })
}

/// A replica of one version is placed while another version may still run somewhere.
fn apart(
    state: &ClusterState,
    plan: &Plan,
    (id, _): (&InstanceId, &Instance),
) -> Option<Violation> {
    let placed = plan.commands.iter().find_map(|command| match command {
        Command::Place(place) => place.replicas.iter().find(|one| one.instance == *id),
        _ => None,
    })?;
    let forgotten: BTreeSet<ReplicaId> = plan
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Forget(forget) => Some(&forget.replicas),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let lost: BTreeSet<_> = plan
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::HostLost(lost) => Some(&lost.host),
            _ => None,
        })
        .collect();
    let other = state.replicas_of(id).find(|(one, replica)| {
        let up = state
            .host(&replica.host)
            .is_some_and(|host| host.standing == HostStanding::Up);
        replica.app != placed.app && up && !lost.contains(&replica.host) && !forgotten.contains(one)
    });
    other.map(|(one, _)| {
        let what = format!(
            "{id} (downthenup): {} comes while {one} is not gone",
            placed.id
        );
        Violation::new("I4", what)
    })
}
