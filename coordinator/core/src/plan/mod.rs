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
mod pass;
pub mod place;
mod reconcile;
pub mod replication;
pub mod report;
pub mod touched;
mod transition;
mod view;
mod waiting;

use std::collections::BTreeSet;

use paasta_common::time::Timestamp;
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
    let instances = match scope {
        None => state.instances().map(|(id, _)| id.clone()).collect(),
        Some(scope) => {
            let known = scope
                .instances
                .iter()
                .filter(|id| state.instance(id).is_some())
                .cloned();
            known
                .chain(pass.struck_instances())
                .collect::<BTreeSet<_>>()
        }
    };
    for id in &instances {
        forget::forget_gone(&mut pass, id);
    }
    pass.say_forgotten();
    for id in &instances {
        reconcile::reconcile(&mut pass, id);
    }
    pass.finish(scope.is_some())
}
