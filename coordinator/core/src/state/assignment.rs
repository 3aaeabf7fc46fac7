//! What a host is told: the complete set of its replicas, fenced.

use std::sync::Arc;

use paasta_common::{
    assignment::{AssignedReplica, Assignment, Fence},
    id::{HostId, ReplicaId},
};

use super::{ClusterState, Replica};

impl ClusterState {
    /// Everything that `host` must run, as a leader of `term` tells it. None while the cluster is
    /// not initialised or the host is not registered.
    pub fn assignment(&self, host: &HostId, term: u64) -> Option<Assignment> {
        let cluster = self.cluster()?;
        let record = self.host(host)?;
        let fence = Fence {
            cluster_id: cluster.id.clone(),
            epoch: cluster.epoch,
            term,
            generation: record.generation,
        };
        let replicas = self
            .replicas_on(host)
            .filter_map(|(id, replica)| self.assigned(id, replica));
        Some(Assignment {
            fence,
            host: record.info.id.clone(),
            replicas: replicas.collect(),
        })
    }

    fn assigned(&self, id: ReplicaId, replica: &Replica) -> Option<(ReplicaId, AssignedReplica)> {
        let assigned = AssignedReplica {
            instance: replica.instance.clone(),
            app: replica.app.clone(),
            spec: Arc::clone(&self.app(&replica.app)?.spec),
            run: Arc::clone(&self.instance(&replica.instance)?.spec.run),
            want: replica.want,
            tried: replica.tried,
        };
        Some((id, assigned))
    }
}
