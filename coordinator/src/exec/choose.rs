//! The replica in which a command runs: the one that is named, or the best one that runs.

use paasta_common::{
    assignment::Want,
    id::{HostId, InstanceId, ReplicaId},
    report::{Health, Phase, ReplicaReport},
};
use paasta_coordinator_core::{plan::observed::Observed, state::ClusterState};

use crate::rpc::status::RpcError;

/// What the caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only this replica.
    pub replica: Option<ReplicaId>,
    /// Only a replica on this host.
    pub host: Option<HostId>,
}

/// The replica of the instance, with its host. Healthy ones of the desired app go first, then the
/// oldest.
///
/// # Errors
/// [`RpcError::NotFound`] when none runs that is wanted.
pub fn choose(
    state: &ClusterState,
    observed: &Observed,
    instance: &InstanceId,
    wanted: &Wanted,
) -> Result<(ReplicaId, HostId), RpcError> {
    let report = |id: ReplicaId, host: &HostId| -> Option<&ReplicaReport> {
        observed.hosts.get(host)?.replicas.get(&id)
    };
    let ours = state.replicas_of(instance).filter(|(id, replica)| {
        wanted.replica.is_none_or(|wanted| wanted == *id)
            && wanted
                .host
                .as_ref()
                .is_none_or(|host| *host == replica.host)
    });
    let running = ours.filter_map(|(id, replica)| {
        let report = report(id, &replica.host)?;
        let runs = matches!(report.phase, Phase::Running | Phase::Draining);
        let worse = (
            replica.want != Want::Run,
            !matches!(report.health, Health::Healthy | Health::Unchecked),
            id,
        );
        runs.then(|| (worse, id, replica.host.clone()))
    });
    let best = running.min_by(|one, other| one.0.cmp(&other.0));
    let (_, id, host) = best.ok_or_else(|| missing(instance, wanted))?;
    Ok((id, host))
}

fn missing(instance: &InstanceId, wanted: &Wanted) -> RpcError {
    let replica = wanted.replica.map(|id| format!(" {id}"));
    let host = wanted.host.as_ref().map(|host| format!(" on {host}"));
    RpcError::NotFound {
        what: format!(
            "a replica{} of {instance}{} that runs",
            replica.unwrap_or_default(),
            host.unwrap_or_default()
        ),
        hint: format!("; `paasta status -v {instance}` shows replicas"),
    }
}
