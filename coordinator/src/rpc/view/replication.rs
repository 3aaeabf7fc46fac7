//! Whether instances have enough replicas.

use std::collections::BTreeSet;

use paasta_common::id::InstanceId;
use paasta_coordinator_core::plan::replication::{Checker, Replication};
use paasta_proto::v1;

use super::{View, not_found, words};
use crate::rpc::status::RpcError;

impl View<'_> {
    /// Counts the named instances, or all that are deployed.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when one of them is not known.
    pub fn replication(
        &self,
        request: &v1::CheckReplicationRequest,
    ) -> Result<v1::CheckReplicationResponse, RpcError> {
        let known = self.known();
        let named: BTreeSet<InstanceId> = request
            .instances
            .iter()
            .map(|name| {
                let id = name.parse().ok().filter(|id| known.contains(id));
                id.ok_or_else(|| not_found(&known, "instance", name))
            })
            .collect::<Result<_, _>>()?;
        let all = match named.is_empty() {
            true => known,
            false => named.clone(),
        };
        let mut checker = Checker::new(self.state, self.report);
        let instances = all.iter().filter_map(|id| match checker.check(id) {
            Some(found) => Some(self.replication_of(&found)),
            None => named.contains(id).then(|| not_deployed(id)),
        });
        Ok(v1::CheckReplicationResponse {
            cluster: self.cluster_name(),
            instances: instances.collect(),
            now_ms: self.now.0,
        })
    }

    fn replication_of(&self, found: &Replication) -> v1::ReplicationStatus {
        let locations = found.locations.iter().map(|(name, share)| {
            let short = found.is_short_in(name);
            v1::LocationReplication {
                location: name.clone(),
                available: share.available,
                expected: share.expected,
                status: match short {
                    true => v1::ReplicationLevel::Critical.into(),
                    false => v1::ReplicationLevel::Ok.into(),
                },
                status_word: String::new(),
            }
        });
        let alert = self.state.alerts().get(&found.instance);
        v1::ReplicationStatus {
            instance: found.instance.to_string(),
            status: words::verdict(found.verdict).into(),
            status_word: String::new(),
            available: found.whole.available,
            expected: found.whole.expected,
            threshold: found.threshold,
            locations: locations.collect(),
            location_attribute: found.attribute.clone().unwrap_or_default(),
            text: found.to_string(),
            alerted_since_ms: alert
                .filter(|alert| alert.critical)
                .map(|alert| alert.since.0),
        }
    }
}

fn not_deployed(id: &InstanceId) -> v1::ReplicationStatus {
    v1::ReplicationStatus {
        instance: id.to_string(),
        status: v1::ReplicationLevel::NotDeployed.into(),
        text: format!("- Service {id} is not deployed; `paasta why {id}` says why\n"),
        ..v1::ReplicationStatus::default()
    }
}
