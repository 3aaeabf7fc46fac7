//! Which ports of the host are taken, and which one a new run gets.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{app::AppSpec, id::ReplicaId};

use crate::{
    compose::needs_port,
    observed::Observed,
    state::{Record, Stage},
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
        .flat_map(|listing| &listing.containers);
    recorded
        .chain(seen.filter_map(|seen| seen.host_port))
        .collect()
}

/// Why a run can not have a port now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// The app insists on one that is taken.
    #[error("host port {0} is taken by another replica of this host")]
    Taken(u16),
    /// The range is used up, or none of the ports tried could be bound.
    #[error("no free port in the agent's port range; widen agent.port_range")]
    None,
}

/// Draws a port for a run of the app and takes it.
///
/// # Errors
/// [`NoPort`] says what is missing.
pub(crate) fn draw(
    spec: &AppSpec,
    free: &[u16],
    taken: &mut BTreeSet<u16>,
) -> Result<Option<u16>, NoPort> {
    if !needs_port(spec) {
        return Ok(None);
    }
    let port = match spec.host_port {
        0 => *free
            .iter()
            .find(|port| !taken.contains(port))
            .ok_or(NoPort::None)?,
        fixed if taken.contains(&fixed) => return Err(NoPort::Taken(fixed)),
        fixed => fixed,
    };
    taken.insert(port);
    Ok(Some(port))
}
