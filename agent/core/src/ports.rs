//! Which ports of the host are taken, which are about to be needed, and which one a run gets.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{app::AppSpec, assignment::Want, id::ReplicaId, time::Timestamp};

use crate::{
    compose::needs_port,
    observed::{Observed, Ports},
    state::{LocalState, Record, Stage},
};

/// The ports that runs hold now: by the ledger, and by what the engine shows.
pub fn taken(records: &BTreeMap<ReplicaId, Record>, observed: &Observed) -> BTreeSet<u16> {
    let recorded = records.values().filter_map(|record| match &record.stage {
        Stage::Starting { host_port, .. }
        | Stage::Running { host_port, .. }
        | Stage::Ending { host_port, .. } => *host_port,
        Stage::Waiting { .. } | Stage::Pulling | Stage::Gone => None,
    });
    let seen = observed
        .listing
        .iter()
        .flat_map(|listing| listing.containers());
    recorded
        .chain(seen.filter_map(|seen| seen.host_port))
        .collect()
}

/// What the runs that may begin in the next step need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// So many ports of the agent's range.
    pub drawn: usize,
    /// These very ports.
    pub fixed: BTreeSet<u16>,
}

/// Looks for runs that may begin now.
pub fn wanted(state: &LocalState, now: Timestamp) -> Wanted {
    let mut wanted = Wanted::default();
    let assigned = state.assignment.iter().flat_map(|held| &held.replicas);
    for (id, replica) in assigned.filter(|(_, replica)| replica.want == Want::Run) {
        let begins = match state.records.get(id).map(|record| &record.stage) {
            None | Some(Stage::Pulling | Stage::Waiting { until: None }) => true,
            Some(Stage::Waiting { until: Some(until) }) => *until <= now,
            Some(_) => false,
        };
        match (begins && needs_port(&replica.spec), replica.spec.host_port) {
            (false, _) => {}
            (true, 0) => wanted.drawn += 1,
            (true, fixed) => drop(wanted.fixed.insert(fixed)),
        }
    }
    wanted
}

/// Why a run cannot have a port now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// The app insists on one that is taken.
    #[error("host port {0} is taken by another replica of this host")]
    Taken(u16),
    /// The app insists on one that something else listens on.
    #[error(
        "host port {0} is held by another program of this host; stop that, or set another host_port"
    )]
    Held(u16),
    /// The range is used up, or none of the ports tried could be bound.
    #[error("no free port in the agent's port range; widen agent.port_range")]
    Spent,
    /// More are free, but no more of them were looked for: the next step has them.
    #[error("ports are being looked for")]
    NotYet,
}

/// Draws a port for a run of the app and takes it.
///
/// # Errors
/// [`NoPort`] says what is missing.
pub(crate) fn draw(
    spec: &AppSpec,
    ports: &Ports,
    taken: &mut BTreeSet<u16>,
) -> Result<Option<u16>, NoPort> {
    if !needs_port(spec) {
        return Ok(None);
    }
    let port = match spec.host_port {
        0 => match ports.free.iter().find(|port| !taken.contains(port)) {
            Some(port) => *port,
            None if ports.spent => return Err(NoPort::Spent),
            None => return Err(NoPort::NotYet),
        },
        fixed if taken.contains(&fixed) => return Err(NoPort::Taken(fixed)),
        fixed if ports.held.contains(&fixed) => return Err(NoPort::Held(fixed)),
        fixed => fixed,
    };
    taken.insert(port);
    Ok(Some(port))
}
