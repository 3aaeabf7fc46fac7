//! The stream to a coordinator, any of them: hello, a complete report, then changes as they come
//! and orders as they are given. When it breaks, another one is tried after a delay of chance;
//! the agent itself goes on with what it knows.

mod ages;
mod changes;
mod dial;
mod proof;

use std::{sync::Arc, time::Duration};

use paasta_common::{
    assignment::Assignment, endpoints::UpdateError, host::HostInfo, id::ClusterName,
};
use paasta_process::backoff::Retry;
use paasta_proto::{
    convert,
    v1::{self, agent_message, agents_client::AgentsClient, coordinator_message},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::{
    agent::Handle,
    endpoints::{Answers, EndpointLink},
    inbox::{Happened, Order},
    metrics::Metrics,
};
use ages::Ages;
use changes::Changes;
pub use dial::{Dial, DialError, PlainDial, STALE_AFTER, TlsDial, endpoint};
use proof::Proof;

/// Messages that wait for a slow coordinator, at most; then the session begins anew.
const OUTBOX_MAX: usize = 64;
/// The largest message taken, bytes: the complete assignment of a host with thousands of replicas.
const MESSAGE_MAX: usize = 32 << 20;
/// How long connecting, the hello and each message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes within this time go in one message, the newest of each replica. The first goes at once.
pub const COALESCE: Duration = Duration::from_millis(100);
/// How often the lease is renewed before the coordinator has said.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Keeps a session.
pub struct Sessions {
    /// The agent.
    pub agent: Handle,
    /// What is said of the host.
    pub host: HostInfo,
    /// Changes with every boot.
    pub boot_id: String,
    /// The cluster in the configuration; any other one refuses this agent.
    pub cluster: Option<ClusterName>,
    /// `HOST:PORT` of any coordinators.
    pub coordinators: Vec<String>,
    /// Makes connections.
    pub dial: Arc<dyn Dial>,
    /// The host's load balancer; none of a host without one.
    pub endpoints: Option<EndpointLink>,
}

/// What one session keeps.
struct Talk {
    changes: Changes,
    renew_every: Duration,
    proof: Proof,
    answers: Option<Answers>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", said(.0))]
    Status(#[from] Box<tonic::Status>),
    #[error("the coordinator closed the stream")]
    Closed,
    #[error("no {0} within {PATIENCE:?}")]
    Silent(&'static str),
    #[error("the coordinator does not read")]
    Stuck,
    #[error("the coordinator sends {0} out of turn")]
    Protocol(&'static str),
    #[error("the assignment is refused, and what was accepted before stays in force: {0}")]
    Wire(#[from] convert::WireError),
    #[error("a message about endpoints is refused, and the last good set stays: {0}")]
    EndpointWire(convert::WireError),
    #[error("a message about endpoints is refused, and the last good set stays: {0}")]
    Endpoints(#[from] UpdateError),
    #[error("the assignment is for host {0}")]
    OtherHost(String),
    #[error("{0}")]
    Refused(#[from] paasta_common::assignment::FenceError),
    #[error("the agent is stopping")]
    Stopping,
    #[error("the coordinator has not shown for {0:?} that a majority still answers it")]
    NoProof(Duration),
    #[error("the coordinator asks to reconnect: {reason}")]
    Reconnect { reason: String, address: String },
}

impl Sessions {
    /// One session after the other, until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let mut retry = Retry::new();
        let mut turn = 0;
        let mut named: Option<String> = None;
        let mut stale_after = STALE_AFTER;
        let mut last_error = String::new();
        let ages = Ages::default();
        loop {
            let address = match named.take() {
                Some(address) => address,
                None => match self.coordinators.get(turn % self.coordinators.len().max(1)) {
                    Some(address) => {
                        // Only here: while one coordinator names another that is dead, each of the
                        // others must still be dialled.
                        turn += 1;
                        address.clone()
                    }
                    None => return tracing::error!("no coordinator is configured"),
                },
            };
            let mut lease = None;
            let ended = self
                .converse(&address, (stale_after, &ages), &mut lease)
                .await;
            if let Some(lease) = lease {
                retry.reset();
                last_error.clear();
                stale_after = lease;
            }
            match ended {
                Ok(()) => {}
                Err(SessionError::Reconnect {
                    reason,
                    address: to,
                }) => {
                    tracing::info!(coordinator = address, reason, to, "reconnecting");
                    named = Some(to).filter(|to| !to.is_empty());
                }
                Err(error) => {
                    self.note_revoked(&error);
                    // Every coordinator gives the same refusal, again and again: one line.
                    let text = error.to_string();
                    match text == last_error {
                        true => tracing::debug!(coordinator = address, %error, "no session"),
                        false => tracing::warn!(coordinator = address, %error, "no session"),
                    }
                    last_error = text;
                }
            }
            sleep(retry.next_delay()).await;
        }
    }

    /// A host whose identity is revoked keeps what it runs, and says why nothing new comes.
    fn note_revoked(&self, error: &SessionError) {
        let SessionError::Status(status) = error else {
            return;
        };
        if is_revoked(status) && self.agent.metrics.revoked() {
            tracing::error!(
                host = %self.host.id,
                why = status.message(),
                "the identity of this host is revoked: coordinators refuse it; its containers go on"
            );
        }
    }

    /// One session. `lease` is set once the coordinator has welcomed the agent.
    async fn converse(
        &self,
        address: &str,
        (stale_after, ages): (Duration, &Ages),
        lease: &mut Option<Duration>,
    ) -> Result<(), SessionError> {
        let channel = timeout(PATIENCE, self.dial.dial(address, stale_after))
            .await
            .map_err(|_| SessionError::Silent("connection"))??;
        let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
        let mut changes = Changes::new(
            self.agent.view.clone(),
            Arc::clone(&self.agent.clock),
            ages.clone(),
        );
        send(&outbox, agent_message::Kind::Hello(self.hello())).await?;
        send(&outbox, agent_message::Kind::Report(changes.complete())).await?;
        let mut client = AgentsClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let opened = client.session(ReceiverStream::new(messages));
        let opened = timeout(PATIENCE, opened)
            .await
            .map_err(|_| SessionError::Silent("stream"))?;
        let mut inbox = opened.map_err(Box::new)?.into_inner();
        let first = timeout(PATIENCE, next(&mut inbox)).await;
        let welcome = match first.map_err(|_| SessionError::Silent("welcome"))?? {
            Some(coordinator_message::Kind::Welcome(welcome)) => welcome,
            Some(coordinator_message::Kind::Reconnect(ask)) => return Err(reconnect(ask)),
            _ => return Err(SessionError::Protocol("something before the welcome")),
        };
        *lease = Some(Duration::from_millis(welcome.lease_ms));
        self.agent.metrics.welcomed();
        let _parted = Parted(&self.agent.metrics);
        let (lease_ms, cluster) = (welcome.lease_ms, &welcome.cluster_id);
        tracing::info!(
            coordinator = address,
            cluster,
            lease_ms,
            "session with coordinator"
        );
        let renew_every = match welcome.renew_every_ms {
            0 => RENEW_EVERY,
            ms => Duration::from_millis(ms),
        };
        let proof = Proof::new(&welcome);
        let talk = Talk {
            changes,
            renew_every,
            proof,
            answers: self.endpoints.as_ref().map(EndpointLink::begin_session),
        };
        self.talk(&mut inbox, &outbox, talk).await
    }

    async fn talk(
        &self,
        inbox: &mut Streaming<v1::CoordinatorMessage>,
        outbox: &mpsc::Sender<v1::AgentMessage>,
        talk: Talk,
    ) -> Result<(), SessionError> {
        let Talk {
            mut changes,
            renew_every,
            mut proof,
            mut answers,
        } = talk;
        let mut held: Option<Assignment> = None;
        let mut logs = self.agent.logs.session();
        let mut commands = self.agent.exec.session();
        let mut noted_unrecognized = false;
        let mut sent_at = Instant::now();
        // Apart from the above: renewals must not put reports off, nor reports the asking for proof.
        let mut reported_at = sent_at;
        loop {
            tokio::select! {
                // Orders first: reports of what is about to change are stale.
                biased;
                message = next(inbox) => match message? {
                    None => {
                        self.agent.metrics.unrecognized();
                        note_unrecognized(&mut noted_unrecognized);
                    }
                    Some(coordinator_message::Kind::Assignment(wire)) => {
                        self.agent.metrics.heard();
                        held = Some(self.obey(held.as_ref(), wire).await?);
                    }
                    Some(coordinator_message::Kind::Reconnect(ask)) => return Err(reconnect(ask)),
                    Some(coordinator_message::Kind::Welcome(_)) => {
                        return Err(SessionError::Protocol("a second welcome"));
                    }
                    Some(coordinator_message::Kind::LogQuery(asked)) => logs.begin(asked),
                    Some(coordinator_message::Kind::LogMore(more)) => logs.more(&more),
                    Some(coordinator_message::Kind::LogCancel(cancel)) => logs.cancel(cancel.id),
                    Some(coordinator_message::Kind::Proof(answer)) => proof.taken(&answer),
                    Some(coordinator_message::Kind::Endpoints(wire)) => self.endpoints(wire)?,
                    Some(coordinator_message::Kind::ExecBegin(asked)) => commands.begin(asked),
                    Some(coordinator_message::Kind::ExecInput(input)) => commands.input(input),
                },
                () = proof.expired() => return Err(SessionError::NoProof(proof.lease)),
                report = changes.next(reported_at + COALESCE) => {
                    let Some(report) = report else {
                        return Err(SessionError::Stopping);
                    };
                    send(outbox, agent_message::Kind::Report(report)).await?;
                    self.agent.metrics.heard();
                    sent_at = Instant::now();
                    reported_at = sent_at;
                }
                () = sleep_until(proof.due(sent_at, renew_every)) => {
                    let seq = proof.ask();
                    send(outbox, self.renewal(seq)).await?;
                    self.agent.metrics.heard();
                    sent_at = Instant::now();
                }
                kind = beside(&mut answers, &mut commands, &mut logs) => {
                    send(outbox, kind).await?;
                    sent_at = Instant::now();
                }
            }
        }
    }

    /// Takes a message about endpoints. One that does not fit ends the session: the next one begins
    /// with a complete set, and the load balancer keeps the last good one meanwhile.
    fn endpoints(&self, wire: v1::Endpoints) -> Result<(), SessionError> {
        let Some(link) = &self.endpoints else {
            return Err(SessionError::Protocol(
                "endpoints to a host without a load balancer",
            ));
        };
        let update = convert::endpoints_from_wire(wire).map_err(SessionError::EndpointWire)?;
        Ok(link.take(update)?)
    }

    /// Hands an order to the agent. One that does not fit what was sent before, or that is older
    /// than what was obeyed, ends the session: the next one begins with a complete assignment.
    async fn obey(
        &self,
        held: Option<&Assignment>,
        wire: v1::Assignment,
    ) -> Result<Assignment, SessionError> {
        let next = convert::apply_wire(held, wire)?;
        if next.host != self.host.id {
            return Err(SessionError::OtherHost(next.host.to_string()));
        }
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order {
            assignment: next.clone(),
            reply,
        });
        let stopping = |_| SessionError::Stopping;
        self.agent
            .inbox
            .send(order)
            .await
            .map_err(|_| SessionError::Stopping)?;
        answer.await.map_err(stopping)??;
        Ok(next)
    }

    fn renewal(&self, seq: u64) -> agent_message::Kind {
        agent_message::Kind::Renewal(v1::Renewal {
            seq,
            sent_at_ms: self.agent.clock.now().0,
        })
    }

    fn hello(&self) -> v1::Hello {
        let accepted = self
            .agent
            .view
            .borrow()
            .accepted
            .as_ref()
            .map(convert::fence_to_wire);
        v1::Hello {
            host: Some(convert::host_to_wire(&self.host)),
            boot_id: self.boot_id.clone(),
            accepted,
            serves_logs: true,
            cluster: self
                .cluster
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            takes_proof: true,
            takes_endpoints: self.endpoints.is_some(),
            runs_commands: self.agent.exec.is_enabled(),
        }
    }
}

/// What is sent beside reports and renewals: answers of the load balancer, output of commands, and
/// last, so that it holds nothing up, what runs wrote. Being dropped while it waits loses nothing.
async fn beside(
    answers: &mut Option<Answers>,
    commands: &mut crate::exec::Commands,
    logs: &mut crate::logs::serve::Answers,
) -> agent_message::Kind {
    tokio::select! {
        biased;
        answer = next_answer(answers) => answer,
        output = commands.next() => agent_message::Kind::ExecOutput(output),
        answer = logs.next() => agent_message::Kind::LogAnswer(answer),
    }
}

/// The next answer of the load balancer; waits for ever where there is none.
async fn next_answer(answers: &mut Option<Answers>) -> agent_message::Kind {
    match answers {
        Some(answers) => {
            let report = answers.next().await;
            agent_message::Kind::ProxyReport(convert::proxy_report_to_wire(&report))
        }
        None => std::future::pending().await,
    }
}

/// Whether a coordinator refused this agent for its identity: the header is
/// `paasta-refusal: revoked`.
fn is_revoked(status: &tonic::Status) -> bool {
    let refusal = status.metadata().get("paasta-refusal");
    status.code() == tonic::Code::PermissionDenied
        && refusal.is_some_and(|refusal| refusal == "revoked")
}

/// What a coordinator answered, or why it could not be asked.
fn said(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => paasta_process::chain::chain(source),
        None => format!(
            "the coordinator says {:?}: {}",
            status.code(),
            status.message()
        ),
    }
}

/// Says that the session is over, however it ended.
struct Parted<'a>(&'a Metrics);

impl Drop for Parted<'_> {
    fn drop(&mut self) {
        self.0.parted();
    }
}

/// What the next message is; none for a kind that this version does not know.
async fn next(
    inbox: &mut Streaming<v1::CoordinatorMessage>,
) -> Result<Option<coordinator_message::Kind>, SessionError> {
    let message = inbox.message().await.map_err(Box::new)?;
    Ok(message.ok_or(SessionError::Closed)?.kind)
}

/// Logs, once in a session, that a message was ignored.
fn note_unrecognized(noted: &mut bool) {
    if !std::mem::replace(noted, true) {
        tracing::warn!(
            "a newer coordinator sends messages of a kind that this agent does not know; they are \
             ignored and counted by paasta_agent_unrecognized_messages_total"
        );
    }
}

async fn send(
    outbox: &mpsc::Sender<v1::AgentMessage>,
    kind: agent_message::Kind,
) -> Result<(), SessionError> {
    let message = v1::AgentMessage { kind: Some(kind) };
    match outbox.send_timeout(message, PATIENCE).await {
        Ok(()) => Ok(()),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(SessionError::Stuck),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(SessionError::Closed),
    }
}

fn reconnect(ask: v1::Reconnect) -> SessionError {
    SessionError::Reconnect {
        reason: ask.reason,
        address: ask.address,
    }
}

#[cfg(test)]
mod tests;
