//! A coordinator's consensus and state in a process of its own, with a door for the clients of the
//! measurement. The door speaks the messages of the peer protocol, on another port: `transfer_leader` takes
//! one command, `vote` a list of them, `pre_vote` says who leads.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use paasta_coordinator::{
    codec,
    machine::ClusterMachine,
    raft::{Consensus, ProposeError, RaftOptions},
};
use paasta_proto::v1::{
    IntroduceRequest, Introduction, RaftPayload, SnapshotChunk,
    raft_service_server::{RaftService, RaftServiceServer},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::Empty;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Makes this program a member.
pub(crate) const ARGUMENT: &str = "member";
/// Messages with many commands are larger than most.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

const CLUSTER: &str = "figures";
const DEADLINE: Duration = Duration::from_secs(5);

/// Where a member is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) id: u64,
    pub(crate) data_dir: PathBuf,
    /// For clients.
    pub(crate) door: SocketAddr,
    /// Every member, this one included, and where its peers reach it.
    pub(crate) peers: BTreeMap<u64, SocketAddr>,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) leader: Option<u64>,
    pub(crate) leads: bool,
    pub(crate) applied: u64,
}

/// Runs until it is killed.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let place: Place = serde_json::from_str(args.first().context("the place is given")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(place))
}

async fn serve(place: Place) -> anyhow::Result<()> {
    let address = place.peers[&place.id];
    let options = RaftOptions::new(place.id, address.to_string(), &place.data_dir);
    let machine = ClusterMachine::default();
    let consensus = Consensus::start(options, Arc::new(machine)).await?;
    let listener = TcpListener::bind(address).await?;
    let peers = Server::builder()
        .add_service(consensus.service())
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    let door = RaftServiceServer::new(Door(consensus.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let listener = TcpListener::bind(place.door).await?;
    let clients = Server::builder()
        .add_service(door)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    if place.id == 1 {
        let members = place
            .peers
            .iter()
            .map(|(id, address)| (*id, address.to_string()))
            .collect();
        let members: std::collections::BTreeMap<u64, String> = members;
        tokio::spawn(async move {
            // The others may not listen yet.
            while consensus.init(CLUSTER, members.clone()).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
    }
    tokio::try_join!(peers, clients)?;
    Ok(())
}

struct Door(Consensus);

#[tonic::async_trait]
impl RaftService for Door {
    type AppendStreamStream = Empty<Result<RaftPayload, Status>>;

    async fn append_stream(
        &self,
        _: Request<Streaming<RaftPayload>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn vote(&self, request: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        let commands: Vec<Vec<u8>> =
            codec::decode(&request.into_inner().data).map_err(unreadable)?;
        let mut outcomes = Vec::with_capacity(commands.len());
        for outcome in self.0.propose_many(commands, DEADLINE).await {
            outcomes.push(outcome.map_err(refused)?);
        }
        Ok(answer(codec::encode(&outcomes).map_err(unreadable)?))
    }

    async fn pre_vote(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        let status = self.0.status();
        let standing = Standing {
            leads: status.is_leader(),
            leader: status.leader.map(|leader| leader.id),
            applied: status.applied.unwrap_or(0),
        };
        Ok(answer(codec::encode(&standing).map_err(unreadable)?))
    }

    async fn echo(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn transfer_leader(
        &self,
        request: Request<RaftPayload>,
    ) -> Result<Response<RaftPayload>, Status> {
        let command = request.into_inner().data.to_vec();
        let outcome = self.0.propose(command, DEADLINE).await;
        Ok(answer(outcome.map_err(refused)?))
    }

    async fn introduce(
        &self,
        _: Request<IntroduceRequest>,
    ) -> Result<Response<Introduction>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<RaftPayload>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

fn answer(data: Vec<u8>) -> Response<RaftPayload> {
    Response::new(RaftPayload {
        data: data.into(),
        ..RaftPayload::default()
    })
}

fn refused(error: ProposeError) -> Status {
    Status::unavailable(error.to_string())
}

fn unreadable(error: codec::CodecError) -> Status {
    Status::internal(error.to_string())
}
