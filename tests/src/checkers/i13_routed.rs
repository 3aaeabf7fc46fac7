//! I13, nothing routed is stopped: a leader does not let a replica stop while a live load balancer
//! still sends it requests, or finishes some, before the deadline of its drain. What load balancers
//! do is looked at where they are, not as they report it.

use std::collections::BTreeSet;

use paasta_common::{
    assignment::Want,
    id::{HostId, ReplicaId},
    report::Phase,
    time::Timestamp,
};
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{ClusterState, Replica, command::Command},
};

use super::Violation;

/// What the load balancer of one host does with a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It sends it requests.
    Routed,
    /// It sends it nothing new, and has so many requests to finish.
    Finishing(u32),
}

/// A leader made this plan. `routes` are the load balancers that do something with a replica.
pub fn stopped(
    state: &ClusterState,
    seen: &Observed,
    now: Timestamp,
    plan: &Plan,
    routes: impl Fn(ReplicaId) -> Vec<(HostId, Route)>,
) -> Vec<Violation> {
    let lost: BTreeSet<&HostId> = plan
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::HostLost(lost) => Some(&lost.host),
            _ => None,
        })
        .collect();
    let there = |host: &HostId| {
        let known = state.host(host);
        known.is_some_and(|known| !known.is_lost()) && !lost.contains(host)
    };
    let mut found = Vec::new();
    for command in &plan.commands {
        let Command::SetWant(set) = command else {
            continue;
        };
        if set.want != Want::Stop {
            continue;
        }
        for id in &set.replicas {
            let Some(replica) = state.replica(*id).filter(|one| there(&one.host)) else {
                continue;
            };
            if !runs(seen, *id, replica) || is_overdue(state, replica, now) {
                continue;
            }
            let mut live = routes(*id).into_iter();
            let waited = live.find(|(host, _)| there(host) && leased(seen, host, now));
            if let Some((host, route)) = waited {
                let what = format!(
                    "{id} of {} is to stop ({:?}) while the load balancer of {host} has it: {route:?}",
                    set.instance, set.reason
                );
                found.push(Violation::new("I13", what));
            }
        }
    }
    found
}

/// Whether its host says that its container runs: one that died by itself is not stopped by us.
fn runs(seen: &Observed, id: ReplicaId, replica: &Replica) -> bool {
    let heard = seen.hosts.get(&replica.host);
    match heard.and_then(|heard| heard.replicas.get(&id)) {
        Some(report) => matches!(report.phase, Phase::Running | Phase::Draining),
        None => !heard.is_some_and(|heard| heard.complete_report),
    }
}

/// Whether it may be stopped whatever load balancers do.
fn is_overdue(state: &ClusterState, replica: &Replica, now: Timestamp) -> bool {
    let Some(instance) = state.instance(&replica.instance) else {
        return true;
    };
    let timeout = instance.spec.run.drain_timeout_ms;
    timeout == 0 || (replica.want == Want::Drain && now >= replica.want_since.after_ms(timeout))
}

/// Whether the leader has to wait for a host.
fn leased(seen: &Observed, host: &HostId, now: Timestamp) -> bool {
    let until = seen
        .hosts
        .get(host)
        .map_or(Timestamp(0), |heard| heard.lease_until);
    now < until.max(seen.patience_until())
}
