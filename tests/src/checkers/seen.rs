//! What the checkers make of a leader's observations: judged here once more, apart from the
//! planner.

use std::collections::BTreeSet;

use paasta_common::{
    assignment::Want,
    id::{HostId, ReplicaId},
    report::{Health, Phase},
    time::Timestamp,
};
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{ClusterState, Replica, command::Command, host::HostStanding, instance::Instance},
};

/// Until when a leader must hold a host to be there: its lease, and in any case a lease from when
/// every host could have reached it after the election, which takes a lease with the leader before
/// and a reconnect.
pub(super) fn present_until(seen: &Observed, host: &HostId) -> Timestamp {
    let lease = seen.settings.lease_ms;
    let grace = Timestamp(seen.leader_since.0 + 2 * lease + seen.settings.reconnect_ms);
    let granted = seen.hosts.get(host).map(|heard| heard.lease_until);
    granted.map_or(grace, |granted| granted.max(grace))
}

/// The hosts that are not lost, and those of them that are silent.
pub(super) fn silent(state: &ClusterState, seen: &Observed, now: Timestamp) -> (u64, u64) {
    let present = state
        .hosts()
        .filter(|(_, host)| host.standing == HostStanding::Up);
    present.fold((0, 0), |(all, silent), (id, _)| {
        (all + 1, silent + u64::from(now >= present_until(seen, id)))
    })
}

/// The hosts that a plan counts as there: those that are not lost, and lost ones that it says are
/// back.
pub(super) fn there(state: &ClusterState, plan: &Plan) -> BTreeSet<HostId> {
    let back = plan.commands.iter().filter_map(|command| match command {
        Command::HostBack(back) => Some(back.host.clone()),
        _ => None,
    });
    let up = state
        .hosts()
        .filter(|(_, host)| host.standing == HostStanding::Up);
    up.map(|(id, _)| id.clone()).chain(back).collect()
}

/// Whether the leader has reason to believe that the replica, on a host that is there, serves: it
/// should run, its host speaks, and says that it runs, is not unhealthy, and is old enough.
pub(super) fn serves(
    seen: &Observed,
    now: Timestamp,
    instance: &Instance,
    (id, replica): (ReplicaId, &Replica),
) -> bool {
    if replica.want != Want::Run || now >= present_until(seen, &replica.host) {
        return false;
    }
    let heard = seen.hosts.get(&replica.host);
    let Some(report) = heard.and_then(|heard| heard.replicas.get(&id)) else {
        return false;
    };
    let uptime = instance.spec.bounce.min_task_uptime_ms;
    report.phase == Phase::Running
        && matches!(report.health, Health::Healthy | Health::Unchecked)
        && report.started_at.is_some_and(|at| now.0 >= at.0 + uptime)
}
