//! Planted faults: one for each invariant, to show that its checker can fail. Each is something
//! that a coordinator, an agent or a disk might really get wrong, put in from outside.

use std::{fmt, str::FromStr};

use paasta_common::{
    assignment::{Assignment, Want},
    id::{HostId, InstanceId},
    spec::BounceMethod,
};
use paasta_coordinator_core::{
    desired::{Declared, Reading},
    plan::Plan,
    state::{
        ClusterState,
        command::{Command, SetWant},
    },
};

/// A planted fault, named after the invariant it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The disks of all coordinators forget what was flushed.
    I1,
    /// A replica moves to another host.
    I2,
    /// An agent's ledger forgets what it obeyed.
    I3,
    /// The planner stops what is happy.
    I4,
    /// The engine shows strangers as ours.
    I5,
    /// An agent without coordinators lets everything go.
    I6,
    /// A leader without a quorum keeps its sessions.
    I6Quorum,
    /// The brake is never applied.
    I7,
    /// The report does not say what is waited for.
    I8,
    /// Snapshots are never made, and the log grows.
    I9,
    /// One broken file hides what all the others say.
    I10,
    /// The plan depends on more than it is given.
    I12,
    /// The planner does not wait for load balancers.
    I13,
    /// A store that is made anew has the id of the one before it.
    Stores,
    /// Any term is believed.
    Terms,
    /// What a host dates by its clock is judged by another clock.
    Clock,
    /// A snapshot without room takes the log's, and consensus ends.
    Disk,
    /// Timeouts of consensus do not follow the round trips.
    Links,
    /// The reader does not see one of the instances.
    I14,
    /// The planner stops what serves, without a reason.
    I14Stops,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I6Quorum,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I12,
        Self::I13,
        Self::Stores,
        Self::Terms,
        Self::Clock,
        Self::Disk,
        Self::Links,
        Self::I14,
        Self::I14Stops,
    ];

    /// The invariant that it breaks.
    #[must_use]
    pub fn invariant(self) -> String {
        match self {
            Self::I6Quorum => Self::I6.to_string(),
            Self::I14Stops => Self::I14.to_string(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Plant {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|one| one.to_string().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let all = Self::ALL.map(|one| one.to_string()).join(", ");
            format!("{text} is not one of {all}")
        })
    }
}

/// What a broken reader makes of a soa directory with one broken file in it.
pub(super) fn hide_the_rest(reading: &mut Reading) {
    let broken = reading
        .instances
        .values()
        .any(|one| matches!(one, Declared::Broken { .. }));
    if reading.problems.is_empty() && !broken {
        return;
    }
    for declared in reading.instances.values_mut() {
        *declared = Declared::Broken {
            problems: Vec::new(),
        };
    }
}

/// What a reader makes of a soa directory that does not see one of its instances. Of fewer than
/// three, the guard against mass removal would hold the removal back.
pub(super) fn overlook_an_instance(reading: &mut Reading) {
    if reading.instances.len() >= 3 {
        reading.instances.pop_first();
    }
}

/// What a broken planner does to an instance with two replicas or more: it stops them.
pub(super) fn stop_the_happy(state: &ClusterState, plan: &mut Plan) {
    let promises = |id: &InstanceId| {
        let method = state
            .instance(id)
            .map(|instance| instance.spec.bounce.method);
        matches!(
            method,
            Some(BounceMethod::Crossover | BounceMethod::UpThenDown)
        )
    };
    let mut reports = plan.report.instances.iter();
    let found = reports.find(|(id, report)| report.new.happy >= 2 && promises(id));
    let Some((id, _)) = found else { return };
    let running = state
        .replicas_of(id)
        .filter(|(_, replica)| replica.want == Want::Run);
    let replicas = running.map(|(id, _)| id).collect();
    plan.commands.push(Command::SetWant(SetWant {
        instance: id.clone(),
        want: Want::Stop,
        replicas,
        reason: "a planted fault".to_owned(),
    }));
}

/// What a planner makes of a drain that does not wait for load balancers: it is over at once.
pub(super) fn stop_what_drains(state: &ClusterState, plan: &mut Plan) {
    for (id, instance) in state.instances() {
        if instance.spec.namespaces.is_empty() {
            continue;
        }
        let draining = state.replicas_of(id);
        let draining = draining.filter(|(_, replica)| replica.want == Want::Drain);
        let replicas: Vec<_> = draining.map(|(id, _)| id).collect();
        if !replicas.is_empty() {
            plan.commands.push(Command::SetWant(SetWant {
                instance: id.clone(),
                want: Want::Stop,
                replicas,
                reason: "a planted fault".to_owned(),
            }));
        }
    }
}

/// What a planner does that draws on something else than its arguments: every other time it
/// changes its mind.
pub(super) fn change_the_mind(plan: &mut Plan, times: u64) {
    if !times.is_multiple_of(2) {
        plan.commands.reverse();
        plan.wake_at = None;
    }
}

/// The state with its first replica on another host. None when there is no replica or no other
/// host.
pub(super) fn move_a_replica(state: &ClusterState) -> Option<ClusterState> {
    let hosts: Vec<HostId> = state.hosts().map(|(id, _)| id.clone()).collect();
    let host_of = |id: &HostId| state.replicas_on(id).next().map(|(id, _)| id);
    let (from, id) = hosts.iter().find_map(|host| Some((host, host_of(host)?)))?;
    let to = hosts.iter().find(|host| *host != from)?;
    let mut value = serde_json::to_value(state).ok()?;
    let replica = value.get_mut("replicas")?.get_mut(id.0.to_string())?;
    *replica.get_mut("host")? = serde_json::Value::String(to.to_string());
    serde_json::from_value(value).ok()
}

/// The order that an agent would give itself if no coordinator meant nothing to run.
pub(super) fn nothing_to_run(host: &HostId, fence: paasta_common::assignment::Fence) -> Assignment {
    Assignment {
        fence,
        host: host.clone(),
        replicas: std::collections::BTreeMap::new(),
    }
}
