//! The agents' door. The leader serves the session; any other coordinator relays it to the leader,
//! so an agent may speak to whichever coordinator it reaches.

use std::{pin::Pin, time::Duration};

use paasta_proto::v1::{
    AgentMessage, CoordinatorMessage, Reconnect, agents_client::AgentsClient,
    agents_server::Agents, coordinator_message,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::{
    gate::{Gate, Route},
    peers::forwarded,
    status::{RpcError, leader_lost},
};
use crate::{
    caller::principal,
    leader::Leadership,
    raft::{Peer, RaftStatus},
    sessions::{OUTBOX_MAX, Sessions},
};

/// How long the leader may take to open a stream that is relayed to it.
const OPENING: Duration = Duration::from_secs(3);

/// The service.
pub struct AgentsService {
    gate: Gate,
    sessions: Sessions,
    leadership: watch::Receiver<Option<Leadership>>,
    shutdown: CancellationToken,
}

impl AgentsService {
    /// The service over the sessions of this coordinator.
    pub fn new(
        gate: Gate,
        sessions: Sessions,
        leadership: watch::Receiver<Option<Leadership>>,
    ) -> Self {
        let shutdown = sessions.shutdown.clone();
        Self {
            gate,
            sessions,
            leadership,
            shutdown,
        }
    }

    async fn relay(
        &self,
        channel: Channel,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<<Self as Agents>::SessionStream>, Status> {
        let (to_leader, outgoing) = mpsc::channel(OUTBOX_MAX);
        let (to_agent, incoming) = mpsc::channel(OUTBOX_MAX);
        let shutdown = self.shutdown.clone();
        // Whom it is relayed to: when this coordinator has another leader, or no proof of any, the
        // stream may lead nowhere.
        let mut raft = self.gate.watch();
        let leader = raft.borrow_and_update().leader.clone();
        let mut inbox = request.into_inner();
        tokio::spawn(async move {
            let pump = async {
                while let Ok(Some(message)) = inbox.message().await {
                    if to_leader.send(message).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! { biased; () = shutdown.cancelled() => {}, () = pump => {} }
        });
        let request = forwarded(Request::new(ReceiverStream::new(outgoing)));
        let mut client = AgentsClient::new(channel);
        let opened = tokio::time::timeout(OPENING, client.session(request)).await;
        let mut answers = opened.map_err(|_| RpcError::NoLeader)??.into_inner();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => Err(RpcError::Stopping.into()),
                    () = to_agent.closed() => return,
                    next = succeeded(&mut raft, leader.as_ref()) => Ok(reconnect(next)),
                    next = answers.next() => next.unwrap_or_else(|| Err(leader_lost())),
                };
                let last = !matches!(&next, Ok(next) if !is_farewell(next));
                if to_agent.send(next).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(incoming))))
    }
}

/// Waits until this coordinator has another leader than `leader`, or proof of none; returns it.
async fn succeeded(raft: &mut watch::Receiver<RaftStatus>, leader: Option<&Peer>) -> Option<Peer> {
    let other = |status: &RaftStatus| status.leader.as_ref() != leader;
    let status = raft.wait_for(other).await.ok()?;
    status.leader.clone()
}

/// Sends an agent on from a coordinator that lost the leader it relayed to.
fn reconnect(next: Option<Peer>) -> CoordinatorMessage {
    let ask = Reconnect {
        reason: "the coordinator that relays does not hear that leader any more".to_owned(),
        address: next.map(|leader| leader.address).unwrap_or_default(),
    };
    CoordinatorMessage {
        kind: Some(coordinator_message::Kind::Reconnect(ask)),
    }
}

fn is_farewell(message: &CoordinatorMessage) -> bool {
    matches!(message.kind, Some(coordinator_message::Kind::Reconnect(_)))
}

#[tonic::async_trait]
impl Agents for AgentsService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        match self.gate.route(&request, false).await? {
            Route::Leader(channel) => self.relay(channel, request).await,
            Route::Here => {
                // Leading in consensus comes a moment before the leader's loop is ready.
                let Some(leadership) = self.leadership.borrow().clone() else {
                    return Err(RpcError::NoLeader.into());
                };
                let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
                let sessions = self.sessions.clone();
                let principal = principal();
                tokio::spawn(async move {
                    sessions
                        .serve(leadership, principal, request.into_inner(), outbox)
                        .await;
                });
                Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
            }
        }
    }
}
