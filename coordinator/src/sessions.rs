//! One agent's stream, on the leader: hello, register, welcome, complete report, then assignments
//! out and reports in. What a host must run is read from the replicated state; nothing is decided
//! here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use paasta_common::{
    assignment::Assignment, host::HostInfo, id::HostId, report::HostReport, text::beginning,
    time::Timestamp,
};
use paasta_coordinator_core::{
    claim::claim,
    state::{
        command::{Command, RefuseHost, RegisterHost},
        host::RefusedMachine,
        outcome::Outcome,
    },
};
use paasta_identity::Identity;
use paasta_process::clock::Clock;
use paasta_proto::{convert, v1};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

mod endpoints;
mod owner;

use crate::{
    exec::broker::ExecBroker,
    leader::Leadership,
    logs::broker::LogBroker,
    machine::ClusterMachine,
    observations::Observations,
    propose::Proposer,
    raft::{RaftStatus, Role},
    rpc::status::RpcError,
};

/// Messages that wait for a slow agent, at most; then the session ends and begins anew.
pub const OUTBOX_MAX: usize = 64;
/// How long an agent may take for its hello and for its complete report.
const OPENING: Duration = Duration::from_secs(10);
/// The most characters of a name of another cluster that are repeated in a refusal.
const NAME_SHOWN: usize = 64;
/// How long a leadership that ended may take to know the next leader, to send agents there.
const SUCCESSION: Duration = Duration::from_millis(500);
/// Between two assignments to one host, at least; the first change goes at once.
const COALESCE: Duration = Duration::from_millis(50);

/// What sessions work with.
#[derive(Clone)]
pub struct Sessions {
    /// The replicated state.
    pub machine: ClusterMachine,
    /// Where reports go.
    pub observations: Observations,
    /// Registers hosts.
    pub proposer: Proposer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where answers about logs go.
    pub logs: LogBroker,
    /// Where what commands in containers write goes.
    pub exec: ExecBroker,
    /// How long a host is held to be alive after its last message, milliseconds.
    pub lease_ms: u64,
    /// Cancelled when the coordinator stops.
    pub shutdown: CancellationToken,
    /// Counts the agents that were sent elsewhere, so that they spread.
    pub turns: Arc<AtomicUsize>,
}

/// What a hello says.
struct Greeted {
    info: HostInfo,
    serves_logs: bool,
    takes_proof: bool,
    takes_endpoints: bool,
    runs_commands: bool,
}

type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

struct Session<'a> {
    shared: &'a Sessions,
    leadership: &'a Leadership,
    host: HostId,
    number: u64,
    outbox: Outbox,
    /// The last assignment sent: the base of the next increment.
    sent: Option<Assignment>,
    /// What is to be asked of the agent about logs; none of one that does not answer.
    asked: Option<mpsc::Receiver<v1::coordinator_message::Kind>>,
    /// What is to be sent to the agent for commands in containers; none of one that runs none.
    commands: Option<mpsc::Receiver<v1::coordinator_message::Kind>>,
    /// Whether it takes proof that this coordinator leads.
    takes_proof: bool,
    /// What its load balancer is to be sent; none of a host without one.
    endpoints: Option<endpoints::Feed>,
    /// Whether the log has what its agent reports and this version does not know.
    noted_unrecognized: bool,
    /// Whether the log has that its agent sends messages of a kind that this version does not know.
    noted_kind: bool,
}

/// The session of a connected agent. Dropping it, also when leadership ends in the middle of a
/// message, ends what is known of the connection.
struct Connection<'a> {
    shared: &'a Sessions,
    host: &'a HostId,
    number: u64,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let Self {
            shared,
            host,
            number,
        } = self;
        shared.observations.disconnect(host, *number);
        shared.logs.disconnect(host, *number);
        shared.exec.disconnect(host, *number);
        tracing::info!(%host, session = number, "agent disconnected");
    }
}

impl Sessions {
    /// Serves one agent until its stream, the leadership or the coordinator ends.
    pub async fn serve(
        &self,
        leadership: Leadership,
        principal: Option<Identity>,
        mut inbox: Streaming<v1::AgentMessage>,
        outbox: Outbox,
    ) {
        let result = tokio::select! {
            biased;
            () = leadership.ended.cancelled() => Ok(()),
            result = self.converse(&leadership, principal.as_ref(), &mut inbox, &outbox) => result,
        };
        let last = match result {
            Ok(()) => Ok(message(v1::coordinator_message::Kind::Reconnect(
                self.successor().await,
            ))),
            Err(status) => {
                tracing::info!(%status, "agent session ended");
                Err(status)
            }
        };
        // A full outbox means that the agent does not read: it will notice by its keepalive.
        let _ = outbox.try_send(last);
    }

    /// Where the agents of a leadership that ended are to go: to the next leader, or to one of the
    /// others, by turns, when this coordinator cannot know it.
    async fn successor(&self) -> v1::Reconnect {
        let mut raft = self.proposer.consensus().watch();
        let known = |status: &RaftStatus| {
            status.role == Role::NoQuorum || (status.leader.is_some() && !status.is_leader())
        };
        // One that stops will never know; otherwise what is known then will do.
        if !self.shutdown.is_cancelled() {
            let _ = tokio::time::timeout(SUCCESSION, raft.wait_for(known)).await;
        }
        let status = raft.borrow().clone();
        let leader = status
            .leader
            .as_ref()
            .filter(|leader| leader.id != status.node_id)
            .map(|leader| leader.address.clone());
        let reason = match (&leader, status.role) {
            (Some(_), _) => "another coordinator leads".to_owned(),
            (None, Role::NoQuorum) => format!(
                "no majority of the coordinators has answered this one for {} ms",
                status.lease.as_millis()
            ),
            (None, _) => "this coordinator does not lead any more".to_owned(),
        };
        let others = status
            .voters
            .iter()
            .filter(|(id, _)| **id != status.node_id)
            .map(|(_, address)| address);
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let another = others.clone().nth(turn % others.count().max(1));
        v1::Reconnect {
            reason,
            address: leader.or_else(|| another.cloned()).unwrap_or_default(),
        }
    }

    async fn converse(
        &self,
        leadership: &Leadership,
        principal: Option<&Identity>,
        inbox: &mut Streaming<v1::AgentMessage>,
        outbox: &Outbox,
    ) -> Result<(), Status> {
        let Greeted {
            info,
            serves_logs,
            takes_proof,
            takes_endpoints,
            runs_commands,
        } = self.hello(inbox).await?;
        owner::check_host(principal, &info.id)?;
        self.claim(&info).await?;
        self.register(&info).await?;
        let number = self.observations.connect(&info.id, self.clock.now());
        self.observations
            .subscribe(&info.id, number, takes_endpoints);
        let mut session = Session {
            shared: self,
            leadership,
            host: info.id.clone(),
            number,
            outbox: outbox.clone(),
            sent: None,
            asked: serves_logs.then(|| self.logs.connect(&info.id, number)),
            commands: runs_commands.then(|| self.exec.connect(&info.id, number)),
            takes_proof,
            endpoints: takes_endpoints
                .then(|| endpoints::Feed::new(info.clone(), self.epoch(), leadership.term)),
            noted_unrecognized: false,
            noted_kind: false,
        };
        tracing::info!(host = %info.id, session = number, "agent connected");
        let _connection = Connection {
            shared: self,
            host: &info.id,
            number,
        };
        session.run(inbox).await
    }

    /// How often this cluster was recovered.
    fn epoch(&self) -> u64 {
        self.machine.read().cluster().map_or(0, |ours| ours.epoch)
    }

    /// Who it is, and what it understands.
    async fn hello(&self, inbox: &mut Streaming<v1::AgentMessage>) -> Result<Greeted, Status> {
        let first = within_opening(inbox, "?").await?;
        let Some(v1::agent_message::Kind::Hello(hello)) = first.kind else {
            return Err(protocol("?", "the first message must be a hello"));
        };
        let host = hello
            .host
            .ok_or_else(|| protocol("?", "hello names no host"))?;
        let info =
            convert::host_from_wire(host).map_err(|error| protocol("?", &error.to_string()))?;
        let Some(ours) = self.machine.read().cluster().cloned() else {
            return Err(RpcError::Uninitialized.into());
        };
        if !hello.cluster.is_empty() && hello.cluster != ours.name.as_str() {
            let theirs = beginning(&hello.cluster, NAME_SHOWN);
            let text = format!(
                "its configuration names cluster {theirs:?}, and this is cluster {}: correct `cluster` or `agent.coordinators` there",
                ours.name
            );
            return Err(protocol(info.id.as_str(), &text));
        }
        if let Some(accepted) = hello.accepted {
            if accepted.cluster_id != ours.id {
                let text = format!(
                    "it belongs to cluster {}, this is {}; to move the host, stop its agent and its containers and remove its state directory",
                    accepted.cluster_id, ours.id
                );
                return Err(protocol(info.id.as_str(), &text));
            }
            if accepted.epoch > ours.epoch {
                let text = "it has obeyed a later recovery of this cluster: this coordinator is a leftover of before";
                return Err(protocol(info.id.as_str(), text));
            }
        }
        Ok(Greeted {
            info,
            serves_logs: hello.serves_logs,
            takes_proof: hello.takes_proof,
            takes_endpoints: hello.takes_endpoints,
            runs_commands: hello.runs_commands,
        })
    }

    /// Refuses a machine under the id of another one whose lease lives, with one event for each.
    async fn claim(&self, info: &HostInfo) -> Result<(), Status> {
        let now = self.clock.now();
        let (taken, noted) = {
            let state = self.machine.read();
            let known = state.host(&info.id);
            let Err(taken) = claim(known, &self.observations.read(), info, now) else {
                return Ok(());
            };
            let refused = RefusedMachine {
                machine: info.machine.clone(),
                address: info.address.clone(),
            };
            let noted = known.is_some_and(|host| host.refused.as_ref() == Some(&refused));
            (taken, noted)
        };
        self.observations.rival(&info.id, &info.address, now);
        if !noted {
            tracing::warn!(host = %info.id, address = info.address, "a second machine has this id");
            let command = Command::RefuseHost(RefuseHost {
                host: info.id.clone(),
                machine: info.machine.clone(),
                address: info.address.clone(),
            });
            // Without the event it is refused all the same; the next try writes it.
            let _ = self.proposer.propose(command).await;
        }
        Err(RpcError::IdTaken(taken).into())
    }

    /// Makes the host known, and up again when it was lost. Only a difference is a write.
    async fn register(&self, info: &HostInfo) -> Result<(), Status> {
        let known = self
            .machine
            .read()
            .host(&info.id)
            .is_some_and(|host| host.info == *info && !host.is_lost());
        if known {
            return Ok(());
        }
        let command = Command::RegisterHost(RegisterHost { info: info.clone() });
        let outcome = self
            .proposer
            .propose(command)
            .await
            .map_err(RpcError::from)?;
        match outcome {
            Outcome::Refused(reason) => Err(protocol(info.id.as_str(), &reason.to_string())),
            _ => Ok(()),
        }
    }
}

impl Session<'_> {
    async fn run(&mut self, inbox: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        self.send(self.welcome())?;
        let first = within_opening(inbox, self.host.as_str()).await?;
        if !matches!(&first.kind, Some(v1::agent_message::Kind::Report(report)) if report.complete)
        {
            return Err(protocol(
                self.host.as_str(),
                "a complete report must follow the hello",
            ));
        }
        self.take(first)?;
        let mut reassigned = self.shared.machine.watch_host(&self.host);
        let mut announced = self.shared.observations.watch_endpoints();
        let silence = Duration::from_millis(self.shared.lease_ms);
        let mut heard = tokio::time::Instant::now();
        loop {
            reassigned.borrow_and_update();
            announced.borrow_and_update();
            // Assignments first: what is to run comes before where it is found.
            let mut sent = self.send_assignment()?;
            sent |= self.send_endpoints()?;
            if sent {
                tokio::time::sleep(COALESCE).await;
            }
            tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return Err(RpcError::Stopping.into()),
                next = tokio::time::timeout_at(heard + silence, inbox.message()) => match next {
                    Err(_) => return Err(protocol(self.host.as_str(), "silent for a whole lease")),
                    Ok(Ok(Some(message))) => {
                        heard = tokio::time::Instant::now();
                        self.take(message)?;
                    }
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(status)) => return Err(status),
                },
                // Only while there is room for assignments: these come first.
                Some(kind) = next_of(&mut self.asked), if self.outbox.capacity() > OUTBOX_MAX / 2 => {
                    self.send(kind)?;
                }
                Some(kind) = next_of(&mut self.commands), if self.outbox.capacity() > OUTBOX_MAX / 2 => {
                    self.send(kind)?;
                }
                changed = reassigned.changed() => if changed.is_err() {
                    return Err(RpcError::Stopping.into());
                },
                changed = announced.changed(), if self.endpoints.is_some() => if changed.is_err() {
                    return Err(RpcError::Stopping.into());
                },
                // There was no room for all of it.
                () = tokio::time::sleep(COALESCE), if self.is_behind() => {}
            }
        }
    }

    fn welcome(&self) -> v1::coordinator_message::Kind {
        let lease_ms = self.shared.lease_ms;
        // A third of the lease, a little different for each session: agents do not fall into step.
        let renew_every_ms = (lease_ms / 3).saturating_sub(self.number % 7 * (lease_ms / 60));
        let cluster_id = self
            .shared
            .machine
            .read()
            .cluster()
            .map(|c| c.id.clone())
            .unwrap_or_default();
        v1::coordinator_message::Kind::Welcome(v1::Welcome {
            cluster_id,
            lease_ms,
            renew_every_ms: renew_every_ms.max(1),
            proves: true,
        })
    }

    fn take(&mut self, message: v1::AgentMessage) -> Result<(), Status> {
        let now = self.shared.clock.now();
        let current = match message.kind {
            Some(v1::agent_message::Kind::Report(report)) => {
                self.clock_said(report.sent_at_ms, now);
                let report = convert::report_from_wire(report, now)
                    .map_err(|error| protocol(self.host.as_str(), &error.to_string()))?;
                self.note_unrecognized(&report);
                self.shared
                    .observations
                    .report(&self.host, self.number, report, now)
            }
            Some(v1::agent_message::Kind::Renewal(renewal)) => {
                self.prove(renewal.seq)?;
                self.clock_said(renewal.sent_at_ms, now);
                self.shared.observations.renew(&self.host, self.number, now)
            }
            Some(v1::agent_message::Kind::LogAnswer(answer)) => {
                self.shared.logs.answer(&self.host, self.number, answer);
                // A message is a message: the host is alive.
                self.shared.observations.renew(&self.host, self.number, now)
            }
            Some(v1::agent_message::Kind::ProxyReport(report)) => {
                self.take_proxy_report(report, now)?
            }
            Some(v1::agent_message::Kind::ExecOutput(output)) => {
                self.shared.exec.output(&self.host, self.number, output);
                self.shared.observations.renew(&self.host, self.number, now)
            }
            None => {
                self.note_kind();
                self.shared.observations.renew(&self.host, self.number, now)
            }
            Some(v1::agent_message::Kind::Hello(_)) => {
                return Err(protocol(
                    self.host.as_str(),
                    "expected a report or a renewal",
                ));
            }
        };
        match current {
            true => Ok(()),
            false => Err(protocol(
                self.host.as_str(),
                "a newer session of this host took over",
            )),
        }
    }

    /// Counts a message of a kind that only a newer agent knows, and logs it once in a session.
    fn note_kind(&mut self) {
        self.shared.proposer.metrics().unrecognized_message();
        if !std::mem::replace(&mut self.noted_kind, true) {
            tracing::warn!(
                host = %self.host,
                "a newer agent sends messages of a kind that this coordinator does not know; they \
                 are ignored and counted by paasta_unrecognized_messages_total"
            );
        }
    }

    /// Counts what a newer agent reports that this version does not know, and logs it once in a
    /// session.
    fn note_unrecognized(&mut self, report: &HostReport) {
        let unrecognized = report.unrecognized();
        if unrecognized.is_empty() {
            return;
        }
        let metrics = self.shared.proposer.metrics();
        metrics.unrecognized_values(unrecognized.len());
        if std::mem::replace(&mut self.noted_unrecognized, true) {
            return;
        }
        let what = unrecognized.join(", ");
        tracing::warn!(
            host = %self.host,
            what,
            "a newer agent reports what this coordinator does not know; the rest of its report counts"
        );
    }

    /// The agent said what its clock shows; 0 when it did not.
    fn clock_said(&self, sent_at_ms: u64, now: Timestamp) {
        if sent_at_ms > 0 {
            let ahead_ms = i64::try_from(i128::from(sent_at_ms) - i128::from(now.0));
            self.shared
                .observations
                .clock(&self.host, self.number, ahead_ms.unwrap_or(i64::MAX));
        }
    }

    /// Answers a renewal with how old the proof is by which this coordinator leads.
    fn prove(&self, seq: u64) -> Result<(), Status> {
        if seq == 0 || !self.takes_proof {
            return Ok(());
        }
        let status = self.shared.proposer.consensus().status();
        // A leadership that ends is told of by a message of its own.
        let Some(age) = status.since_quorum_ack.filter(|_| status.is_leader()) else {
            return Ok(());
        };
        self.send(v1::coordinator_message::Kind::Proof(v1::Proof {
            seq,
            quorum_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        }))
    }

    /// Sends what the host must run if it changed since the last time.
    fn send_assignment(&mut self) -> Result<bool, Status> {
        let next = {
            let state = self.shared.machine.read();
            let sent = self.sent.as_ref().map(|sent| sent.fence.generation);
            let current = state.host(&self.host).map(|host| host.generation);
            if sent.is_some() && sent == current {
                return Ok(false);
            }
            state.assignment(&self.host, self.leadership.term)
        };
        let Some(next) = next else {
            return Err(protocol(
                self.host.as_str(),
                "the host was removed from the cluster",
            ));
        };
        let wire = match &self.sent {
            None => convert::assignment_to_wire(&next, true),
            Some(sent) => convert::delta_to_wire(sent, &next),
        };
        self.send(v1::coordinator_message::Kind::Assignment(wire))?;
        self.sent = Some(next);
        Ok(true)
    }

    fn send(&self, kind: v1::coordinator_message::Kind) -> Result<(), Status> {
        self.outbox
            .try_send(Ok(message(kind)))
            .map_err(|_| protocol(self.host.as_str(), "the agent does not read its messages"))
    }
}

/// The next message; waits for ever when there will be none.
async fn next_of<T>(messages: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match messages {
        Some(messages) => match messages.recv().await {
            Some(message) => Some(message),
            // A newer session took over: this one is about to end.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn within_opening(
    inbox: &mut Streaming<v1::AgentMessage>,
    host: &str,
) -> Result<v1::AgentMessage, Status> {
    match tokio::time::timeout(OPENING, inbox.message()).await {
        Err(_) => Err(protocol(host, "no message within 10 s")),
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(protocol(host, "the agent closed the stream")),
        Ok(Err(status)) => Err(status),
    }
}

fn message(kind: v1::coordinator_message::Kind) -> v1::CoordinatorMessage {
    v1::CoordinatorMessage { kind: Some(kind) }
}

fn protocol(host: &str, message: &str) -> Status {
    RpcError::Session {
        host: host.to_owned(),
        message: message.to_owned(),
    }
    .into()
}
