//! The answering side of the consensus protocol.

use std::{future::Future, sync::Arc, time::Duration};

use openraft::{
    async_runtime::watch::WatchReceiver,
    raft::{TransferLeaderRequest, VoteRequest},
};
use paasta_proto::v1::{
    IntroduceRequest, Introduction, RaftPayload, SnapshotChunk, raft_service_server::RaftService,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    codec::{self, CodecError},
    follow::{Answers, follow},
    handover::Handover,
    identity::Identity,
    lease::Lease,
    receive::Receiver,
    state_machine::read_meta,
    terms::Claims,
    types::{Raft, Snapshot, TypeConfig, Vote},
};
use crate::{
    caller::{Caller, check_sender},
    refusals::{Cause, Refusals},
};

/// The largest message of this service, both ways: the records of one append are bounded to about
/// 1 MiB, or to a single one of at most 4 MiB.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long a message may take here. Callers give up long before.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long it may take to restore the machine from a snapshot that has arrived.
const INSTALL_WAIT: Duration = Duration::from_secs(300);

/// Answers the other coordinators.
#[derive(Clone)]
pub struct RaftRpc {
    pub(super) raft: Raft,
    pub(super) identity: Arc<Identity>,
    pub(super) handover: Arc<Handover>,
    pub(super) receiver: Receiver,
    pub(super) lease: Arc<Lease>,
    pub(super) refusals: Option<Refusals>,
    /// Ends the streams that would not end by themselves.
    pub(super) closing: CancellationToken,
}

impl RaftRpc {
    /// Reads a message, lets `handle` answer it, writes the answer.
    async fn answer<M, A, E, F>(
        &self,
        request: Request<RaftPayload>,
        handle: impl FnOnce(M) -> F,
    ) -> Result<Response<RaftPayload>, Status>
    where
        M: DeserializeOwned + Claims,
        A: Serialize,
        E: std::fmt::Display,
        F: Future<Output = Result<A, E>>,
    {
        let request = self.admitted(request).await?;
        let message: M = codec::decode(&request.data).map_err(|error| unreadable(&error))?;
        self.identity.check_claims(request.from_node, &message)?;
        self.identity.roster.accepted(request.from_node);
        let answer = within(ANSWER_WAIT, handle(message)).await?;
        self.reply(request.from_node, &answer)
    }

    /// The message, if it is for this node and comes from the node that it names.
    async fn admitted(&self, request: Request<RaftPayload>) -> Result<RaftPayload, Status> {
        let (_, extensions, message) = request.into_parts();
        self.admit(Caller::of(&extensions), &message).await?;
        Ok(message)
    }

    /// Refuses a message that is not for this node, or not from the node that it names.
    pub(super) async fn admit(
        &self,
        caller: Option<&Caller>,
        message: &RaftPayload,
    ) -> Result<(), Status> {
        if let Err(error) = check_sender(caller, message.from_node) {
            let words = error.to_string();
            if let Some(refusals) = &self.refusals {
                refusals.call(Cause::ForgedSender, &words);
            }
            return Err(Status::permission_denied(words));
        }
        self.identity.admit(message).await
    }

    fn reply(&self, to: u64, answer: &impl Serialize) -> Result<Response<RaftPayload>, Status> {
        let data = codec::encode(answer).map_err(|error| unreadable(&error))?;
        let reply = self.identity.address(to, None, data);
        reply
            .map(Response::new)
            .ok_or_else(|| Status::unavailable("this node has no cluster"))
    }
}

#[tonic::async_trait]
impl RaftService for RaftRpc {
    type AppendStreamStream = Answers;

    async fn append_stream(
        &self,
        request: Request<Streaming<RaftPayload>>,
    ) -> Result<Response<Answers>, Status> {
        let (_, extensions, messages) = request.into_parts();
        let caller = Caller::of(&extensions).cloned();
        let answers = follow(self.clone(), caller, messages);
        Ok(Response::new(answers))
    }

    async fn vote(&self, request: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        let handle = |mut message: VoteRequest<TypeConfig>| async move {
            if message.leadership_transfer {
                let asks = message.vote.leader_id;
                message.leadership_transfer = self.handover.was_to(asks.voted_for, asks.term).await;
            }
            self.raft.vote(message).await
        };
        self.answer(request, handle).await
    }

    async fn pre_vote(
        &self,
        request: Request<RaftPayload>,
    ) -> Result<Response<RaftPayload>, Status> {
        self.answer(request, |message| self.raft.pre_vote(message))
            .await
    }

    async fn echo(&self, request: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        let request = self.admitted(request).await?;
        self.reply(request.from_node, &self.lease.clock.times())
    }

    async fn transfer_leader(
        &self,
        request: Request<RaftPayload>,
    ) -> Result<Response<RaftPayload>, Status> {
        let handle = |message: TransferLeaderRequest<TypeConfig>| async move {
            let own = self.raft.metrics().borrow_watched().vote;
            // Only the leader that this node follows hands anything over.
            if own == *message.from_leader() {
                self.handover
                    .begins(message.from_leader(), *message.to_node_id());
            }
            self.raft.handle_transfer_leader(message).await
        };
        self.answer(request, handle).await
    }

    async fn introduce(
        &self,
        _: Request<IntroduceRequest>,
    ) -> Result<Response<Introduction>, Status> {
        let identity = &self.identity;
        let empty = identity
            .is_new()
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(Introduction {
            node: identity.node(),
            store: identity.store().to_string(),
            // A name that an `init` left which was cut short binds it to nothing.
            cluster_id: match empty {
                true => String::new(),
                false => identity.cluster().unwrap_or_default(),
            },
            epoch: identity.epoch(),
            empty,
            cluster: identity.cluster_name().to_owned(),
        }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<RaftPayload>, Status> {
        let (_, extensions, chunks) = request.into_parts();
        let caller = Caller::of(&extensions);
        let admit = |head: RaftPayload| async move {
            self.admit(caller, &head).await?;
            Ok(head)
        };
        let (head, file) = self.receiver.receive(chunks, admit).await?;
        let vote: Vote = codec::decode(&head.data).map_err(|error| unreadable(&error))?;
        let meta = read_meta(&file).map_err(|error| Status::data_loss(error.to_string()))?;
        let claims = (vote, meta);
        self.identity.check_claims(head.from_node, &claims)?;
        self.identity.roster.accepted(head.from_node);
        let (vote, meta) = claims;
        let snapshot = Snapshot {
            meta,
            snapshot: file,
        };
        let installing = self.raft.install_full_snapshot(vote, snapshot);
        let answer = within(INSTALL_WAIT, installing).await?;
        self.lease.heard.note();
        self.reply(head.from_node, &answer)
    }
}

async fn within<A, E: std::fmt::Display>(
    limit: Duration,
    answer: impl Future<Output = Result<A, E>>,
) -> Result<A, Status> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| stopped(&error)),
        Err(_) => Err(Status::deadline_exceeded(
            "this coordinator is too slow; check its disk",
        )),
    }
}

pub(super) fn stopped(error: &impl std::fmt::Display) -> Status {
    Status::unavailable(format!(
        "consensus has stopped on this coordinator: {error}"
    ))
}

pub(super) fn unreadable(error: &CodecError) -> Status {
    Status::invalid_argument(error.to_string())
}
