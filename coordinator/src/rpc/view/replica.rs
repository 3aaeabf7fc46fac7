//! One replica as an operator sees it.

use paasta_common::{
    assignment::Want,
    id::{HostId, ReplicaId},
    report::ReplicaReport,
};
use paasta_coordinator_core::{plan::class::Class, state::Replica};
use paasta_proto::{convert, v1};

use super::{View, namespaces::Balancing, words};

impl View<'_> {
    /// What the host says of the replica, if it said anything since this leader leads.
    pub(super) fn replica_report(&self, id: ReplicaId, host: &HostId) -> Option<&ReplicaReport> {
        self.observed.hosts.get(host)?.replicas.get(&id)
    }

    /// What the replica counted as in the last plan; a replica that is newer is starting.
    pub(super) fn class(&self, id: ReplicaId, replica: &Replica) -> Class {
        // Hosts report to the leader only: here no replica is known to be unhealthy.
        if !self.leads() && replica.want == Want::Run {
            return Class::Unknown;
        }
        let planned = self
            .report
            .instances
            .get(&replica.instance)
            .and_then(|report| {
                let at = report
                    .replicas
                    .binary_search_by_key(&id, |view| view.id)
                    .ok()?;
                report.replicas.get(at)
            });
        match (planned, replica.want) {
            (Some(view), want) if view.want == want => view.class,
            (_, Want::Run) => Class::Starting,
            (_, Want::Drain) => Class::Draining,
            (_, Want::Stop) => Class::Stopping,
        }
    }

    /// A replica; `balancers` is what [`balancers`](Self::balancers) returns for its instance.
    pub(super) fn replica(
        &self,
        id: ReplicaId,
        replica: &Replica,
        balancers: &[Balancing<'_>],
    ) -> v1::ReplicaStatus {
        let report = self.replica_report(id, &replica.host);
        let last_end = report.and_then(|report| report.last_end.as_ref());
        let host = self.state.host(&replica.host);
        let phase = match report {
            _ if host.is_some_and(|host| host.is_lost()) => v1::ReplicaPhase::Lost,
            Some(report) => words::phase(report.phase),
            None => v1::ReplicaPhase::Placed,
        };
        let health = report.map_or(v1::ReplicaHealth::Unknown, |report| {
            words::health(report.health)
        });
        v1::ReplicaStatus {
            id: id.to_string(),
            app: replica.app.to_string(),
            host: replica.host.to_string(),
            address: host
                .map(|host| host.info.address.clone())
                .unwrap_or_default(),
            host_port: report.and_then(|report| report.host_port).map(u32::from),
            phase: phase.into(),
            health: health.into(),
            class: words::class(self.class(id, replica)).into(),
            want: convert::want_to_wire(replica.want).into(),
            started_at_ms: report.and_then(|report| report.started_at).map(|at| at.0),
            container: report.and_then(|report| report.container.clone()),
            run: report.map_or(0, |report| report.run),
            failures: report.map_or(0, |report| report.failures),
            next_try_at_ms: report.and_then(|report| report.next_try_at).map(|at| at.0),
            message: report
                .map(|report| report.message.clone())
                .unwrap_or_default(),
            in_load_balancer: self
                .in_load_balancer(balancers, id, replica)
                .or(report.and_then(|report| report.in_load_balancer)),
            placed_at_ms: replica.placed_at.0,
            image: report.map(|report| convert::image_to_wire(&report.image)),
            last_end: last_end.map(|end| convert::run_end_to_wire(end, self.now)),
            last_end_text: last_end.map(ToString::to_string).unwrap_or_default(),
            unrecognized: report.map(ReplicaReport::unrecognized).unwrap_or_default(),
        }
    }
}
