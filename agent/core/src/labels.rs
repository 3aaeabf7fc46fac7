//! By what our containers are told from all others, and which of ours is which.

use std::collections::BTreeMap;

use paasta_common::{
    assignment::AssignedReplica,
    id::{HostId, InstanceId, ReplicaId},
};

/// How the names of all our labels begin; an author's labels do not.
pub const LABEL_PREFIX: &str = "paasta_";
/// The service.
pub const SERVICE: &str = "paasta_service";
/// The instance.
pub const INSTANCE: &str = "paasta_instance";
/// The id of the cluster that ordered the container.
pub const CLUSTER: &str = "paasta_cluster";
/// The host whose agent made it: several agents may share a runtime.
pub const HOST: &str = "paasta_host";
/// The replica, `r17`.
pub const REPLICA: &str = "paasta_replica";
/// The number of the run.
pub const RUN: &str = "paasta_run";
/// The app.
pub const APP: &str = "paasta_app";
/// The port on the host, which a container in the host's own network does not show otherwise.
pub const HOST_PORT: &str = "paasta_host_port";

/// The name of the container of a run: the same for every computation, so that a container whose
/// creation was never acknowledged is found instead of doubled.
pub fn container_name(instance: &InstanceId, replica: ReplicaId, run: u64) -> String {
    format!("paasta-{instance}-{replica}-{run}")
}

/// The name of the sandbox directory of a run.
pub fn sandbox_name(replica: ReplicaId, run: u64) -> String {
    format!("{replica}-{run}")
}

/// The labels by which the container of a run is told from every other: a container of its name
/// that has others belongs to somebody else.
pub fn identity(
    cluster_id: &str,
    host: &HostId,
    replica: ReplicaId,
    run: u64,
) -> BTreeMap<String, String> {
    [
        (CLUSTER, cluster_id.to_owned()),
        (HOST, host.to_string()),
        (REPLICA, replica.to_string()),
        (RUN, run.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// All labels of a run.
pub fn labels(
    cluster_id: &str,
    host: &HostId,
    replica: (ReplicaId, &AssignedReplica),
    run: u64,
    host_port: Option<u16>,
) -> BTreeMap<String, String> {
    let (id, replica) = replica;
    let mut labels = identity(cluster_id, host, id, run);
    for (key, value) in [
        (SERVICE, replica.instance.service.to_string()),
        (INSTANCE, replica.instance.instance.to_string()),
        (APP, replica.app.to_string()),
    ] {
        labels.insert(key.to_owned(), value);
    }
    if let Some(port) = host_port {
        labels.insert(HOST_PORT.to_owned(), port.to_string());
    }
    labels
}
