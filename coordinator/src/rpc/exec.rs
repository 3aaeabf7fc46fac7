//! Commands in containers: checked here, passed to the host's session on the leader, passed on by
//! every other coordinator. What a command writes is in [`crate::exec`].

use std::{pin::Pin, time::Duration};

use paasta_common::id::InstanceId;
use paasta_proto::v1::{
    ExecAnswer, ExecBegin, ExecPlace, ExecRequest, ExecStart, exec_answer, exec_client::ExecClient,
    exec_request, exec_server::Exec,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::{
    admin::AdminService,
    gate::Route,
    peers::forwarded,
    relay::relay,
    status::{RpcError, bad},
};
use crate::{
    audit::Audit,
    caller::current,
    exec::{
        broker::ExecBroker,
        choose::{Wanted, choose},
        permit::{Command, Places, caller, refused},
        pump::{Answers, Pump},
    },
    leader::Leadership,
};

/// Answers that wait for a slow caller, at most.
const ANSWERS_WAITING: usize = 4;
/// How long the caller may take to say what is to run, and the leader to take it.
const OPENING: Duration = Duration::from_secs(10);
/// Bytes of all words of a command, at most.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// The service.
pub struct ExecService {
    /// What is known of instances, and where calls are answered.
    pub admin: AdminService,
    /// The hosts' sessions.
    pub broker: ExecBroker,
    /// Whether this coordinator leads.
    pub leadership: watch::Receiver<Option<Leadership>>,
    /// Cancelled when the coordinator stops.
    pub shutdown: CancellationToken,
    /// Whether exec is on: `coordinator.exec`.
    pub enabled: bool,
    /// What runs, by caller.
    pub places: Places,
    /// The audit log.
    pub audit: Audit,
}

impl ExecService {
    async fn run_here(
        &self,
        mut requests: Streaming<ExecRequest>,
        answers: Answers,
    ) -> Result<(), Status> {
        let Some(leadership) = self.leadership.borrow().clone() else {
            return Err(RpcError::NoLeader.into());
        };
        let start = start_of(&mut requests).await?;
        let (instance, wanted) = parse(&start)?;
        let call = current();
        let principal = caller(self.enabled, call.clone(), &instance).inspect_err(|error| {
            let principal = call.principal.as_ref();
            refused(&self.audit, self.cluster(), principal, &instance, error);
        })?;
        let place = self.places.take(&principal)?;
        let (replica, host) = {
            let state = self.admin.machine.read();
            let observed = self.admin.observations.read();
            choose(&state, &observed, &instance, &wanted)?
        };
        let begin = ExecBegin {
            replica: replica.to_string(),
            command: start.command.clone(),
            terminal: start.terminal,
            principal: principal.short(),
            ..ExecBegin::default()
        };
        let begun = self.broker.begin(&host, begin);
        let (remote, outputs) = begun.ok_or_else(|| RpcError::ExecDenied {
            why: format!(
                "host {host} runs no commands now: agent.exec is not set there, or its agent is away"
            ),
        })?;
        let first = ExecAnswer {
            kind: Some(exec_answer::Kind::Place(ExecPlace {
                replica: replica.to_string(),
                host: host.to_string(),
            })),
        };
        // It is the first: there is room.
        let _ = answers.try_send(Ok(first));
        let pump = Pump {
            remote,
            outputs,
            answers: answers.clone(),
        };
        let shutdown = self.shutdown.clone();
        let log = self.audit.clone();
        let command = Command {
            principal,
            instance,
            replica,
            host,
            words: start.command,
        };
        tokio::spawn(async move {
            let _place = place;
            command.audit(&log, "begins");
            let outcome = tokio::select! {
                biased;
                () = shutdown.cancelled() => moved(&answers),
                () = leadership.ended.cancelled() => moved(&answers),
                outcome = pump.run(requests) => outcome,
            };
            command.audit(&log, &outcome);
        });
        Ok(())
    }

    /// The name of the cluster; empty before it is made.
    fn cluster(&self) -> String {
        let state = self.admin.machine.read();
        let cluster = state.cluster();
        cluster.map_or_else(String::new, |cluster| cluster.name.to_string())
    }

    /// Passes on both ways, as fast as each side takes it.
    async fn relay(
        &self,
        leader: Channel,
        requests: Streaming<ExecRequest>,
        answers: Answers,
    ) -> Result<(), Status> {
        // A caller that breaks off in the middle has sent its last message.
        let requests = requests.map_while(Result::ok);
        let mut leader = ExecClient::new(leader);
        let opened = leader.run(forwarded(Request::new(requests)));
        let opened = timeout(OPENING, opened).await;
        let from_leader = opened.map_err(|_| RpcError::NoLeader)??.into_inner();
        let lost = || RpcError::ExecLost.into();
        relay(from_leader, answers, self.shutdown.clone(), lost);
        Ok(())
    }
}

#[tonic::async_trait]
impl Exec for ExecService {
    type RunStream = Pin<Box<dyn Stream<Item = Result<ExecAnswer, Status>> + Send>>;

    async fn run(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_WAITING);
        match self.admin.gate.route(&request, false).await? {
            Route::Here => self.run_here(request.into_inner(), answers).await?,
            Route::Leader(leader) => self.relay(leader, request.into_inner(), answers).await?,
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// The leadership is over, and with it the command: its agent kills it.
fn moved(answers: &Answers) -> String {
    let status: Status = RpcError::ExecLost.into();
    let words = status.message().to_owned();
    // A caller that takes nothing sees the end of the stream.
    let _ = answers.try_send(Err(status));
    words
}

async fn start_of(requests: &mut Streaming<ExecRequest>) -> Result<ExecStart, Status> {
    let first = timeout(OPENING, requests.message()).await;
    let first =
        first.map_err(|_| bad("start", "the caller has not said what is to run for 10 s"))??;
    match first.and_then(|first| first.kind) {
        Some(exec_request::Kind::Start(start)) => Ok(start),
        _ => Err(bad("start", "the first message must say what is to run").into()),
    }
}

fn parse(start: &ExecStart) -> Result<(InstanceId, Wanted), RpcError> {
    let instance = start.instance.parse::<InstanceId>();
    let instance = instance.map_err(|error| bad("instance", error.to_string()))?;
    let bytes: usize = start.command.iter().map(String::len).sum();
    if start.command.first().is_none_or(String::is_empty) {
        return Err(bad("command", "no program is named"));
    }
    if bytes > COMMAND_BYTES_MAX {
        return Err(bad(
            "command",
            format!("{bytes} bytes are more than 64 KiB"),
        ));
    }
    let replica = match start.replica.as_str() {
        "" => None,
        name => {
            let parsed = name.parse();
            Some(parsed.map_err(|error| bad("replica", format!("{name:?}: {error}")))?)
        }
    };
    let host = match start.host.as_str() {
        "" => None,
        name => {
            let parsed = name.parse();
            Some(parsed.map_err(|error| bad("host", format!("{name:?}: {error}")))?)
        }
    };
    Ok((instance, Wanted { replica, host }))
}
