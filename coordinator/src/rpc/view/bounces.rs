//! How bounces stand: what `paasta bounce status` shows.

use paasta_common::id::InstanceId;
use paasta_coordinator_core::state::bounce::BounceCounts;
use paasta_proto::v1;

use super::View;
use crate::rpc::status::RpcError;

impl View<'_> {
    /// The bounces of the named instances, or of all that bounce or do not run what is configured.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when one of them is not known.
    pub fn bounces(
        &self,
        request: &v1::BounceStatusRequest,
    ) -> Result<v1::BounceStatusResponse, RpcError> {
        let named = request.instances.iter();
        let ids: Vec<InstanceId> = match request.instances.is_empty() {
            false => named
                .map(|name| self.instance_named(name))
                .collect::<Result<_, _>>()?,
            true => self
                .state
                .instances()
                .filter(|(_, known)| known.bounce.is_some() || known.pin.is_some())
                .filter(|(id, _)| self.sight.covers_instance(id))
                .map(|(id, _)| id.clone())
                .collect(),
        };
        Ok(v1::BounceStatusResponse {
            instances: ids.iter().map(|id| self.bounce_of(id)).collect(),
            now_ms: self.now.0,
        })
    }

    fn bounce_of(&self, id: &InstanceId) -> v1::InstanceBounce {
        let status = self.instance(id, false);
        let known = self.state.instance(id);
        let pin = known.and_then(|known| known.pin.as_ref());
        let report = self.report.instances.get(id);
        let line = report
            .and_then(|report| report.bounce.as_ref())
            .map(|bounce| line(&bounce.counts));
        v1::InstanceBounce {
            instance: id.to_string(),
            deploy_status: status.deploy_status,
            desired_app: status.desired_app,
            configured_app: known
                .map(|known| known.spec.app_id.to_string())
                .unwrap_or_default(),
            bounce: status.bounce,
            line,
            waiting: status.waiting,
            pinned: pin.map(|pin| pin.reason.clone()).unwrap_or_default(),
            pinned_since_ms: pin.map_or(0, |pin| pin.since.0),
            rollback_to: self
                .state
                .rollback_to(id)
                .map(|app| app.to_string())
                .unwrap_or_default(),
        }
    }
}

fn line(counts: &BounceCounts) -> v1::BounceLine {
    v1::BounceLine {
        to_bring_up: counts.to_bring_up,
        old_happy: counts.old_happy,
        old_unhappy: counts.old_unhappy,
        old_draining: counts.old_draining,
        old_at_risk: counts.old_at_risk,
        old_apps: counts.old_apps,
    }
}
