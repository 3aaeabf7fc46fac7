//! Replicas that are assigned and not recorded yet: new ones, and those of a ledger that was
//! lost, whose containers are taken over as they run.

use std::collections::BTreeMap;

use paasta_common::{
    assignment::{AssignedReplica, Want},
    id::ReplicaId,
};

use super::world::World;
use crate::{
    health::Checks,
    observed::{ContainerState, Seen},
    state::{Record, Stage, Then},
};

pub(super) fn adopt(world: &World<'_>, records: &mut BTreeMap<ReplicaId, Record>) {
    // Before the first listing a new replica cannot be distinguished from a running one.
    if world.observed.listing.is_none() {
        return;
    }
    let assigned = world.assignment.iter().flat_map(|held| &held.replicas);
    let unrecorded: Vec<_> = assigned
        .filter(|(id, _)| !records.contains_key(id))
        .collect();
    if unrecorded.is_empty() {
        return;
    }
    let mut newest: BTreeMap<ReplicaId, &Seen> = BTreeMap::new();
    for seen in world.ours() {
        let Some(id) = seen.replica else { continue };
        if newest.get(&id).is_none_or(|known| known.run < seen.run) {
            newest.insert(id, seen);
        }
    }
    for (id, replica) in unrecorded {
        let record = match newest.get(id) {
            Some(seen) => take_over(world, replica, seen),
            None => fresh(replica),
        };
        records.insert(*id, record);
    }
}

fn fresh(replica: &AssignedReplica) -> Record {
    let mut record = Record::new(replica);
    if replica.want == Want::Stop {
        record.stage = Stage::Gone;
    }
    record
}

fn take_over(world: &World<'_>, replica: &AssignedReplica, seen: &Seen) -> Record {
    let mut record = Record::new(replica);
    record.run = seen.run;
    record.stage = match seen.state {
        ContainerState::Running | ContainerState::Paused => running(replica, seen),
        ContainerState::Created => Stage::Starting {
            host_port: seen.host_port,
            attempts: 1,
        },
        ContainerState::Exited | ContainerState::Removing => Stage::Ending {
            host_port: seen.host_port,
            then: Then::Retry { until: world.now },
        },
    };
    record
}

/// The stage of a replica whose container is seen running.
pub(super) fn running(replica: &AssignedReplica, seen: &Seen) -> Stage {
    Stage::Running {
        container: seen.container.clone(),
        host_port: seen.host_port,
        started_at: seen.created_at,
        checks: Checks::new(replica.spec.health.as_ref(), seen.created_at),
    }
}
