//! The leader's opinion of what to do next: a pure function of the replicated state, of what agents
//! report, and of the time. It says commands, a report, and when to be asked again; it remembers
//! nothing. What must be agreed on for ever is in [`crate::state`].

pub mod alarm;
pub mod bounce;
pub mod brake;
pub mod class;
pub mod clocks;
mod forget;
mod hosts;
pub mod maintenance;
mod members;
pub mod observed;
pub mod pace;
mod pass;
pub mod place;
mod proxies;
mod reconcile;
pub mod replication;
pub mod report;
pub mod touched;
mod transition;
pub mod troubles;
mod view;
mod waiting;

use std::collections::BTreeSet;

use paasta_common::{id::InstanceId, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::{ClusterState, command::Command};
use observed::Observed;
use pass::Pass;
use report::Report;
use touched::Scope;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// To be proposed in this order. Planning again after they were applied yields none.
    pub commands: Vec<Command>,
    /// How things stand and what is waited for.
    pub report: Report,
    /// When time alone may change the plan; none when it cannot.
    pub wake_at: Option<Timestamp>,
    /// Whether some instances were left out: the report says nothing of them.
    pub partial: bool,
}

/// Plans the whole cluster.
#[must_use]
pub fn plan(state: &ClusterState, observed: &Observed, now: Timestamp) -> Plan {
    run(state, observed, now, None)
}

/// Plans the hosts and what is in scope, and the instances with replicas on hosts that are lost or
/// found by this very plan: the cost follows what changed.
#[must_use]
pub fn plan_scope(
    state: &ClusterState,
    observed: &Observed,
    now: Timestamp,
    scope: &Scope,
) -> Plan {
    run(state, observed, now, Some(scope))
}

fn run(state: &ClusterState, observed: &Observed, now: Timestamp, scope: Option<&Scope>) -> Plan {
    if state.cluster().is_none() {
        return Plan::default();
    }
    let mut pass = Pass::new(state, observed, now);
    pass.look_at_hosts();
    let braked = pass.report.brake.is_some();
    let scope = scope.filter(|scope| scope.braked == braked);
    let instances: BTreeSet<InstanceId> = match scope {
        None => state.instances().map(|(id, _)| id.clone()).collect(),
        Some(scope) => {
            let known = scope
                .instances
                .iter()
                .filter(|id| state.instance(id).is_some())
                .cloned();
            known.chain(pass.struck_instances()).collect()
        }
    };
    for id in &instances {
        forget::forget_gone(&mut pass, id);
    }
    pass.say_forgotten();
    // Room goes to the deploys first, and whose turn comes depends on who is through.
    let waits = |id: &InstanceId| state.paced().get(id).is_some_and(|one| !one.going);
    let paced = |id: &&InstanceId| state.paced().contains_key(*id) && !waits(id);
    for id in instances
        .iter()
        .filter(|id| !state.paced().contains_key(*id))
    {
        reconcile::reconcile(&mut pass, id);
    }
    for id in instances.iter().filter(paced) {
        reconcile::reconcile(&mut pass, id);
    }
    pace::pace(&mut pass);
    let waiting = instances.iter().filter(|id| waits(id)).cloned();
    let waiting: BTreeSet<InstanceId> = waiting.chain(pass.goes.iter().cloned()).collect();
    for id in &waiting {
        reconcile::reconcile(&mut pass, id);
    }
    pass.finish(scope.is_some())
}
