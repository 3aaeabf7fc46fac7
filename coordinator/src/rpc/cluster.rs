//! Making the cluster, and what one coordinator knows of itself.

use std::collections::BTreeMap;

use paasta_common::id::ClusterName;
use paasta_coordinator_core::state::command::{Command, Init};
use paasta_proto::v1::{
    InitRequest, InitResponse, NodeRequest, NodeResponse, cluster_server::Cluster,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::status::RpcError;
use crate::{
    machine::ClusterMachine,
    propose::Proposer,
    raft::{Consensus, InitOutcome, RaftStatus},
};

/// The service.
pub struct ClusterService {
    /// Consensus.
    pub consensus: Consensus,
    /// The replicated state.
    pub machine: ClusterMachine,
    /// The address at which others reach this coordinator.
    pub address: String,
    /// Writes the cluster's identity.
    pub proposer: Proposer,
    /// The cluster named in this coordinator's configuration; an other name is refused.
    pub configured: Option<ClusterName>,
}

impl ClusterService {
    fn checked(&self, request: &InitRequest) -> Result<ClusterName, RpcError> {
        let bad = |field, message: String| RpcError::BadRequest { field, message };
        let name = ClusterName::new(&request.cluster)
            .map_err(|error| bad("cluster", error.to_string()))?;
        if let Some(configured) = &self.configured
            && *configured != name
        {
            let message = format!(
                "this coordinator is configured for cluster {configured}; initialise that, or change `cluster` in its configuration"
            );
            return Err(bad("cluster", message));
        }
        let own = self.consensus.status().node_id;
        if !request.members.contains_key(&own) {
            let message = format!(
                "this coordinator has id {own} and is not among the members; name it as {own}=HOST:PORT"
            );
            return Err(bad("members", message));
        }
        for (id, address) in &request.members {
            if address
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
            {
                return Err(bad(
                    "members",
                    format!("{id}={address}: expected ID=HOST:PORT"),
                ));
            }
        }
        Ok(name)
    }

    fn role(&self, status: &RaftStatus) -> &'static str {
        match status.is_uninitialized() {
            true => "uninitialized",
            false => status.role.as_str(),
        }
    }

    /// Waits until this coordinator has applied the cluster's identity, then tells it.
    async fn identity(&self) -> Result<String, RpcError> {
        let mut applied = self.machine.watch();
        let wait = async {
            loop {
                applied.borrow_and_update();
                if let Some(cluster) = self.machine.read().cluster() {
                    return Ok(cluster.id.clone());
                }
                if applied.changed().await.is_err() {
                    return Err(RpcError::Stopping);
                }
            }
        };
        match tokio::time::timeout(crate::propose::PROPOSAL_DEADLINE, wait).await {
            Ok(identity) => identity,
            Err(_) => Err(RpcError::NoLeader),
        }
    }

    /// The leader writes the identity; elsewhere it arrives through the log.
    async fn write_identity(&self, id: &str, name: &ClusterName) -> Result<(), RpcError> {
        let mut status = self.consensus.watch();
        let settled = status.wait_for(|status| status.leader.is_some());
        let waited = tokio::time::timeout(crate::propose::PROPOSAL_DEADLINE, settled).await;
        if !matches!(waited, Ok(Ok(_))) {
            return Err(RpcError::NoLeader);
        }
        drop(waited);
        if self.consensus.status().is_leader() {
            let command = Command::Init(Init {
                cluster_id: id.to_owned(),
                name: name.clone(),
            });
            self.proposer.propose(command).await?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        let request = request.into_inner();
        let name = self.checked(&request)?;
        let members: BTreeMap<u64, String> = request.members.into_iter().collect();
        let id = Uuid::now_v7().to_string();
        let outcome = self
            .consensus
            .init(&id, members)
            .await
            .map_err(RpcError::from)?;
        let created = matches!(outcome, InitOutcome::Initialized);
        // Also when the cluster existed: an earlier init may have died between the two steps.
        let consensus_id = self.consensus.status().cluster_id.unwrap_or(id);
        if self.machine.read().cluster().is_none() {
            self.write_identity(&consensus_id, &name).await?;
        }
        let cluster_id = self.identity().await?;
        Ok(Response::new(InitResponse {
            cluster_id,
            created,
        }))
    }

    async fn node(&self, _: Request<NodeRequest>) -> Result<Response<NodeResponse>, Status> {
        let status = self.consensus.status();
        let state = self.machine.read();
        let cluster = state.cluster();
        Ok(Response::new(NodeResponse {
            id: status.node_id,
            address: self.address.clone(),
            role: self.role(&status).to_owned(),
            term: status.term,
            leader_id: status.leader.as_ref().map(|leader| leader.id),
            leader_address: status
                .leader
                .as_ref()
                .map(|l| l.address.clone())
                .unwrap_or_default(),
            last_log_index: status.last_log.unwrap_or_default(),
            applied_index: status.applied.unwrap_or_default(),
            cluster_id: cluster.map(|c| c.id.clone()).unwrap_or_default(),
            cluster: cluster.map(|c| c.name.to_string()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }
}
