//! One other member: how it is called, and what a call that failed means.

use std::{future::Future, sync::Arc, time::Duration};

use openraft::{
    RPCTypes,
    errors::{RPCError, Timeout, Unreachable},
};
use paasta_proto::v1::{RaftPayload, raft_service_client::RaftServiceClient};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{
    codec, dial::DialError, handover::Handover, identity::Identity, terms::Claims,
    types::TypeConfig,
};
use crate::store::{IoMode, StoreId};

pub(super) type Client = RaftServiceClient<Channel>;

/// One peer as openraft calls it.
#[derive(Clone)]
pub(super) struct PeerClient {
    pub(super) identity: Arc<Identity>,
    pub(super) handover: Arc<Handover>,
    pub(super) peer: u64,
    /// The store it has by the members' configuration; `None` if that does not say.
    pub(super) store: Option<StoreId>,
    pub(super) client: Result<Client, Arc<DialError>>,
    /// How long the answer to an append may take.
    pub(super) append_timeout: Duration,
    /// Of a client for heartbeats: how long the answer to one may take, on fast links.
    pub(super) heartbeat_wait: Option<Duration>,
    pub(super) io: IoMode,
}

impl PeerClient {
    /// Sends one message and waits for its answer, for at most `limit`.
    pub(super) async fn call<A, F>(
        &self,
        what: RPCTypes,
        limit: Duration,
        message: &impl Serialize,
        send: impl FnOnce(Client, Request<RaftPayload>) -> F,
    ) -> Result<A, RPCError<TypeConfig>>
    where
        A: DeserializeOwned + Claims,
        F: Future<Output = Result<Response<RaftPayload>, Status>>,
    {
        let client = self.client()?;
        let data = codec::encode(message).map_err(|error| Unreachable::new(&error))?;
        let mut request = Request::new(self.addressed(data)?);
        request.set_timeout(limit);
        let answer = within(limit, send(client, request)).await;
        let answer = answer.map_err(|status| self.failed(what, limit, &status))?;
        let answer = self.taken(&answer.into_inner())?;
        self.identity.roster.accepted(self.peer);
        Ok(answer)
    }

    /// Reads an answer that comes from the store it should come from and claims what can be true.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn taken<A>(&self, answer: &RaftPayload) -> Result<A, Unreachable<TypeConfig>>
    where
        A: DeserializeOwned + Claims,
    {
        let identity = &self.identity;
        let known = identity.check_sender(self.peer, &answer.from_store);
        known.map_err(|status| Unreachable::new(&status))?;
        let message: A = codec::decode(&answer.data).map_err(|error| Unreachable::new(&error))?;
        let fits = identity.check_claims(self.peer, &message);
        fits.map_err(|status| Unreachable::new(&status))?;
        Ok(message)
    }

    /// The way to it.
    ///
    /// # Errors
    /// If its address can never work.
    pub(super) fn client(&self) -> Result<Client, Unreachable<TypeConfig>> {
        let client = self.client.clone();
        client.map_err(|error| Unreachable::new(&*error))
    }

    /// A message for it.
    ///
    /// # Errors
    /// If this node belongs to no cluster yet.
    pub(super) fn addressed(&self, data: Vec<u8>) -> Result<RaftPayload, Unreachable<TypeConfig>> {
        self.identity
            .address(self.peer, self.store, data)
            .ok_or_else(|| Unreachable::from_string("this node belongs to no cluster yet"))
    }

    /// A failed call, as openraft tells failures apart.
    pub(super) fn failed(
        &self,
        action: RPCTypes,
        timeout: Duration,
        status: &Status,
    ) -> RPCError<TypeConfig> {
        let id = self.identity.node();
        if status.code() == Code::FailedPrecondition {
            self.identity.roster.refused(self.peer, status.message());
        }
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => Timeout {
                action,
                id,
                target: self.peer,
                timeout,
            }
            .into(),
            _ => Unreachable::new(status).into(),
        }
    }
}

/// The answer, or that there was none in time.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let answer = timeout(limit, answer).await;
    answer.unwrap_or_else(|_| Err(no_answer()))
}

/// How a call fails that is given up.
pub(super) fn no_answer() -> Status {
    Status::deadline_exceeded("no answer")
}
