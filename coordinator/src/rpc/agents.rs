//! The agents' door. The leader serves the session; any other coordinator relays it to the leader,
//! so an agent may speak to whichever coordinator it reaches.

use std::pin::Pin;

use paasta_proto::v1::{
    AgentMessage, CoordinatorMessage, agents_client::AgentsClient, agents_server::Agents,
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
    leader::Leadership,
    sessions::{OUTBOX_MAX, Sessions},
};

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
        let mut answers = AgentsClient::new(channel)
            .session(request)
            .await?
            .into_inner();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => Err(RpcError::Stopping.into()),
                    () = to_agent.closed() => return,
                    next = answers.next() => next.unwrap_or_else(|| Err(leader_lost())),
                };
                let last = next.is_err();
                if to_agent.send(next).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(incoming))))
    }
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
                tokio::spawn(async move {
                    sessions
                        .serve(leadership, request.into_inner(), outbox)
                        .await;
                });
                Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
            }
        }
    }
}
