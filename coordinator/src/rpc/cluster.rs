//! Making the cluster, and what one coordinator knows of itself.

use std::{collections::BTreeMap, time::Duration};

use paasta_common::id::ClusterName;
use paasta_coordinator_core::state::command::{Command, Init};
use paasta_proto::v1::{
    InitRequest, InitResponse, NodeRequest, NodeResponse, NodeRole, cluster_client::ClusterClient,
    cluster_server::Cluster,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    peers::{Peers, forwarded, was_forwarded},
    status::{RpcError, bad},
    view::words,
};
use crate::{
    machine::ClusterMachine,
    propose::Proposer,
    raft::{Consensus, InitOutcome, Peer, RaftError, RaftStatus},
    space::Rooms,
};

/// How long making the cluster may take, elections included.
const IDENTITY: Duration = Duration::from_secs(8);
/// Between two tries to write the identity.
const RETRY: Duration = Duration::from_millis(100);

type Identity = Result<String, RpcError>;

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
    /// Channels to the others.
    pub peers: Peers,
    /// The cluster named in this coordinator's configuration; an other name is refused.
    pub configured: Option<ClusterName>,
    /// The room of the data directory.
    pub rooms: Rooms,
}

impl ClusterService {
    fn checked(&self, request: &InitRequest) -> Result<ClusterName, RpcError> {
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

    fn role(&self, status: &RaftStatus) -> NodeRole {
        match status.is_uninitialized() {
            true => NodeRole::Uninitialized,
            false => words::role(status.role),
        }
    }

    /// Sees to it that the cluster's identity is in the log, then tells it. Only the leader can
    /// write it; another coordinator passes the request on.
    async fn identity(&self, id: &str, request: &InitRequest, name: &ClusterName) -> Identity {
        let mut applied = self.machine.watch();
        let mut raft = self.consensus.watch();
        loop {
            applied.borrow_and_update();
            let status = raft.borrow_and_update().clone();
            if let Some(cluster) = self.machine.read().cluster() {
                return match cluster.name == *name {
                    true => Ok(cluster.id.clone()),
                    false => Err(bad(
                        "cluster",
                        format!(
                            "this coordinator is of cluster {}, not of {name}; nothing was changed",
                            cluster.name
                        ),
                    )),
                };
            }
            match status.leader {
                Some(_) if status.is_leader() => self.write_identity(id, name).await,
                Some(leader) => return self.pass_on(&leader, request).await,
                None => {}
            }
            // A leader that is not ready yet refuses: then time alone brings the next try.
            tokio::select! {
                changed = applied.changed() => changed.map_err(|_| RpcError::Stopping)?,
                changed = raft.changed() => changed.map_err(|_| RpcError::Stopping)?,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn write_identity(&self, id: &str, name: &ClusterName) {
        let init = Init {
            cluster_id: id.to_owned(),
            name: name.clone(),
        };
        if let Err(error) = self.proposer.propose(Command::Init(init)).await {
            tracing::info!(%error, "the cluster's identity is not written yet");
        }
    }

    async fn pass_on(&self, leader: &Peer, request: &InitRequest) -> Identity {
        let channel = self.peers.channel(leader)?;
        let request = forwarded(Request::new(request.clone()));
        let answer = ClusterClient::new(channel).init(request).await?;
        Ok(answer.into_inner().cluster_id)
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        let forwarded_here = was_forwarded(&request);
        let request = request.into_inner();
        let name = self.checked(&request)?;
        let members: BTreeMap<u64, String> = request.members.clone().into_iter().collect();
        let known = self.consensus.status().cluster_id;
        let id = known.unwrap_or_else(|| Uuid::now_v7().to_string());
        let outcome = match self.consensus.init(&id, members).await {
            // It may be the very cluster that is asked for, of which this member has not heard.
            Err(RaftError::Elsewhere { member, .. }) if !forwarded_here => {
                let cluster_id = self.pass_on(&member, &request).await?;
                return Ok(Response::new(InitResponse {
                    cluster_id,
                    created: false,
                }));
            }
            outcome => outcome.map_err(RpcError::from)?,
        };
        let created = matches!(outcome, InitOutcome::Initialized);
        // Also when the cluster existed: an earlier init may have died between the two steps.
        let identity = self.identity(&id, &request, &name);
        match tokio::time::timeout(IDENTITY, identity).await {
            Ok(Ok(cluster_id)) => Ok(Response::new(InitResponse {
                cluster_id,
                created,
            })),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(RpcError::NoLeader.into()),
        }
    }

    async fn node(&self, _: Request<NodeRequest>) -> Result<Response<NodeResponse>, Status> {
        let status = self.consensus.status();
        let state = self.machine.read();
        let cluster = state.cluster();
        let mut answer = NodeResponse {
            id: status.node_id,
            address: self.address.clone(),
            role: self.role(&status).into(),
            term: status.term,
            leader_id: status.leader.as_ref().map(|leader| leader.id),
            leader_address: status
                .leader
                .as_ref()
                .map(|l| l.address.clone())
                .unwrap_or_default(),
            last_log_index: status.last_log.unwrap_or_default(),
            applied_index: status.applied.unwrap_or_default(),
            // By its own file: what the state says may still have to be applied.
            cluster_id: status.cluster_id.unwrap_or_default(),
            cluster: cluster.map(|c| c.name.to_string()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: status.epoch,
            store: status.store,
            refused: status.refused_here.unwrap_or_default(),
            ..NodeResponse::default()
        };
        self.rooms.introduce(&mut answer);
        Ok(Response::new(answer))
    }
}
