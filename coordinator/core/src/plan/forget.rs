//! Which replicas are gone: told to stop, and no longer on their host as far as that host says.
//! Looked at before anything is placed, as they make room.

use paasta_common::{
    assignment::Want,
    id::{InstanceId, ReplicaId},
    report::Phase,
};

use super::{hosts::HostView, pass::Pass};
use crate::state::Replica;

pub(super) fn forget_gone(pass: &mut Pass<'_>, id: &InstanceId) {
    let state = pass.state;
    for (id, replica) in state.replicas_of(id) {
        if replica.want != Want::Stop || pass.gone.contains(&id) {
            continue;
        }
        let Some(at) = pass.host_at(&replica.host) else {
            continue;
        };
        if !is_gone(id, replica, &pass.hosts[at]) {
            continue;
        }
        if let Some(app) = state.app(&replica.app) {
            let room = &mut pass.hosts[at].room;
            room.used = room.used.minus(app.spec.resources);
            room.ports.remove(&app.spec.host_port);
        }
        pass.gone.insert(id);
        pass.forgotten.push(id);
    }
}

fn is_gone(id: ReplicaId, replica: &Replica, host: &HostView<'_>) -> bool {
    if host.lost {
        return false;
    }
    match host.report(id) {
        Some(report) => report.phase == Phase::Gone,
        // Silence about a replica tells nothing before the host knows that it should stop: an
        // earlier order to run it may still be on its way.
        None => {
            let known = host
                .observed
                .is_some_and(|o| o.accepted_generation >= replica.want_index);
            host.reported() && known
        }
    }
}
