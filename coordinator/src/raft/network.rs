//! The calling side of the consensus protocol.
//!
//! Two connections per peer: one for everything small, and one for snapshots, whose bytes must not
//! stand in the way of a heartbeat.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures_util::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use openraft::{
    OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use paasta_proto::v1::raft_service_client::RaftServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::{
    codec,
    dial::{Dial, DialError, Keepalive},
    handover::Handover,
    identity::Identity,
    options::RaftOptions,
    pace::stretched,
    peer::{Client, PeerClient, within},
    replicate::{Answer, replicate},
    runtime::put_off_deadline,
    send,
    service::MAX_MESSAGE_BYTES,
    types::{Node, Snapshot, TypeConfig, Vote},
};
use crate::store::{IoMode, SnapshotFile};

/// Makes the clients, and keeps the connections they share.
pub(super) struct Network {
    identity: Arc<Identity>,
    handover: Arc<Handover>,
    dial: Arc<dyn Dial>,
    keepalive: Keepalive,
    append_timeout: Duration,
    /// After which the answer to a heartbeat proves nothing any more, on fast links.
    lease: Duration,
    io: IoMode,
    /// By peer and purpose; one each, so bounded by the members.
    channels: BTreeMap<(u64, Purpose), (String, Channel)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Messages,
    Snapshots,
}

impl Network {
    pub(super) fn new(
        options: &RaftOptions,
        identity: Arc<Identity>,
        handover: Arc<Handover>,
    ) -> Self {
        Self {
            identity,
            handover,
            dial: Arc::clone(&options.dial),
            keepalive: options.keepalive,
            append_timeout: options.append_timeout,
            lease: Duration::from_millis(options.election_timeout_max_ms),
            io: options.io,
            channels: BTreeMap::new(),
        }
    }

    fn client(&mut self, peer: u64, node: &Node, purpose: Purpose) -> PeerClient {
        PeerClient {
            identity: Arc::clone(&self.identity),
            handover: Arc::clone(&self.handover),
            peer,
            store: node.store,
            client: self
                .channel(peer, node, purpose)
                .map(limited)
                .map_err(Arc::new),
            append_timeout: self.append_timeout,
            heartbeat_wait: None,
            io: self.io,
        }
    }

    fn channel(&mut self, peer: u64, node: &Node, purpose: Purpose) -> Result<Channel, DialError> {
        if let Some((address, channel)) = self.channels.get(&(peer, purpose))
            && *address == node.address
        {
            return Ok(channel.clone());
        }
        let channel = self.dial.dial(peer, &node.address, &self.keepalive)?;
        self.channels
            .insert((peer, purpose), (node.address.clone(), channel.clone()));
        Ok(channel)
    }
}

fn limited(channel: Channel) -> Client {
    RaftServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Node) -> PeerClient {
        self.client(target, node, Purpose::Messages)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Node) -> PeerClient {
        PeerClient {
            heartbeat_wait: Some(self.lease),
            ..self.client(target, node, Purpose::Messages)
        }
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Node) -> PeerClient {
        self.client(target, node, Purpose::Snapshots)
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        message: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        // openraft itself appends by streams only, heartbeats as well; this is one of one request.
        let requests = stream::iter([message]);
        let mut answers = replicate(self.clone(), requests, self.append_timeout).await?;
        match answers.next().await {
            Some(answer) => Ok(answer?.into()),
            None => Err(Unreachable::from_string("the stream ended without an answer").into()),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Answer>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let limit = self.heartbeat_wait.map(stretched);
        let opening = replicate(self.clone(), requests, limit.unwrap_or(self.append_timeout));
        Box::pin(async move {
            // openraft would give a heartbeat no more time than there is between two of them.
            if let Some(limit) = limit {
                put_off_deadline(Instant::now() + limit);
            }
            let answers: BoxStream<'s, Answer> = opening.await?;
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        message: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let send = |mut client: Client, request| async move { client.vote(request).await };
        self.call(RPCTypes::Vote, stretched(option.hard_ttl()), &message, send)
            .await
    }

    async fn pre_vote(
        &mut self,
        message: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let send = |mut client: Client, request| async move { client.pre_vote(request).await };
        self.call(RPCTypes::Vote, stretched(option.hard_ttl()), &message, send)
            .await
    }

    async fn transfer_leader(
        &mut self,
        message: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.handover
            .begins(message.from_leader(), *message.to_node_id());
        let send =
            |mut client: Client, request| async move { client.transfer_leader(request).await };
        self.call(
            RPCTypes::TransferLeader,
            stretched(option.hard_ttl()),
            &message,
            send,
        )
        .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.client()?;
        let data = codec::encode(&vote).map_err(|error| Unreachable::new(&error))?;
        let head = self.addressed(data)?;
        let limit = option.hard_ttl();
        let sending = within(
            limit,
            send::snapshot(client, head, snapshot.snapshot, self.io),
        );
        let answer = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            answer = sending => answer,
        };
        let answer =
            answer.map_err(|status| self.failed(RPCTypes::InstallSnapshot, limit, &status))?;
        let answer = self.taken(&answer)?;
        self.identity.roster.accepted(self.peer);
        Ok(answer)
    }
}
