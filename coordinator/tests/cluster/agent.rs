//! An agent that speaks the real protocol and pretends: whatever it must run is healthy at the
//! next message, whatever drains is drained, whatever stops is gone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use paasta_common::{
    app::Resources,
    assignment::{AssignedReplica, Assignment, Want},
    endpoints::{BackendReport, BackendState, EndpointState, ProxyReport, Received},
    host::HostInfo,
    id::ReplicaId,
    report::{Health, HostReport, Phase, ReplicaReport, Runtime},
    time::Timestamp,
};
use paasta_proto::{
    convert,
    v1::{
        AgentMessage, CoordinatorMessage, Endpoints, Hello, LogAnswer, LogQuery, LogRecord,
        LogStream, Renewal, Report, RunEnd, TroubleCount, TroubleKind, agent_message::Kind,
        agents_client::AgentsClient, coordinator_message,
    },
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::coordinators::Coordinators;

/// A session that was welcomed, after a hello in the name of `host` and `cluster` and a report of
/// nothing: what the coordinator says, and what is said to it.
pub(crate) async fn welcomed(
    mut client: AgentsClient<Channel>,
    host: &HostInfo,
    cluster: &str,
) -> Result<(Streaming<CoordinatorMessage>, mpsc::Sender<AgentMessage>), Status> {
    let (outbox, messages) = mpsc::channel(16);
    let hello = Hello {
        host: Some(convert::host_to_wire(host)),
        boot_id: "boot".to_owned(),
        cluster: cluster.to_owned(),
        ..Hello::default()
    };
    let report = Report {
        complete: true,
        ..Report::default()
    };
    for kind in [Kind::Hello(hello), Kind::Report(report)] {
        outbox.send(message(kind)).await.expect("there is room");
    }
    let answers = client.session(ReceiverStream::new(messages)).await?;
    let mut answers = answers.into_inner();
    match answers.message().await?.and_then(|first| first.kind) {
        Some(coordinator_message::Kind::Welcome(_)) => Ok((answers, outbox)),
        first => Err(Status::unavailable(format!("not welcome: {first:?}"))),
    }
}

/// How many replicas serve, over all agents of a test, and the fewest since the first three did.
#[derive(Default)]
struct Serving {
    by_host: BTreeMap<String, usize>,
    reached: bool,
    fewest: Option<usize>,
    /// How long each agent takes to do what it is told.
    pause: Duration,
}

/// What an agent keeps while it is away.
pub(crate) struct Kept {
    info: HostInfo,
    held: Arc<Mutex<Option<Assignment>>>,
    serving: Arc<Mutex<Serving>>,
    /// Its reports have words that the coordinators do not know.
    newer: bool,
    sessions: Arc<AtomicUsize>,
    balancer: Option<Balancer>,
}

/// A pretended load balancer, which is as wanted at once. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Balancer(Arc<Mutex<Balanced>>);

#[derive(Default)]
struct Balanced {
    received: Received,
    odd: BTreeMap<ReplicaId, BackendReport>,
    /// The fewest endpoints since it first had three.
    fewest: Option<usize>,
}

impl Balancer {
    /// The endpoints that it has, by replica.
    pub(crate) fn endpoints(&self) -> BTreeMap<ReplicaId, EndpointState> {
        let held = self.0.lock().expect("not poisoned");
        let sets = held.received.set().into_iter();
        let all = sets.flat_map(|set| set.namespaces.values());
        let all = all.flat_map(|one| &one.endpoints);
        all.map(|(id, endpoint)| (*id, endpoint.state)).collect()
    }

    /// It has so many sessions of a replica that leaves; 0 for none, which it reports at the next
    /// message.
    pub(crate) fn finishes(&self, id: ReplicaId, sessions: u32) {
        let state = BackendState::Maint;
        let mut held = self.0.lock().expect("not poisoned");
        match sessions {
            0 => held.odd.remove(&id),
            _ => held.odd.insert(id, BackendReport { state, sessions }),
        };
    }

    pub(crate) fn fewest(&self) -> Option<usize> {
        self.0.lock().expect("not poisoned").fewest
    }

    fn take(&self, wire: Endpoints) {
        let update = convert::endpoints_from_wire(wire).expect("it is read");
        let mut held = self.0.lock().expect("not poisoned");
        held.received
            .take(update)
            .expect("it fits what came before");
        let set = held.received.set().expect("one part is a set here");
        let count = set.len();
        if count >= 3 || held.fewest.is_some() {
            held.fewest = Some(held.fewest.map_or(count, |fewest| fewest.min(count)));
        }
    }

    fn report(&self) -> Kind {
        let held = self.0.lock().expect("not poisoned");
        Kind::ProxyReport(convert::proxy_report_to_wire(&ProxyReport {
            version: held.received.set().map(|set| set.version),
            complete: true,
            backends: held.odd.clone(),
            ..ProxyReport::default()
        }))
    }
}

pub(crate) struct FakeAgent {
    kept: Option<Kept>,
    task: JoinHandle<()>,
}

impl FakeAgent {
    pub(crate) async fn several(cluster: &Coordinators, count: usize) -> Vec<Self> {
        Self::start(cluster, count, false, &[]).await
    }

    /// One for each load balancer, on a host with it.
    pub(crate) async fn balanced(cluster: &Coordinators, balancers: &[Balancer]) -> Vec<Self> {
        Self::start(cluster, balancers.len(), false, balancers).await
    }

    /// One of a later version than the coordinators.
    pub(crate) async fn newer(cluster: &Coordinators) -> Self {
        let mut agents = Self::start(cluster, 1, true, &[]).await;
        agents.remove(0)
    }

    async fn start(
        cluster: &Coordinators,
        count: usize,
        newer: bool,
        balancers: &[Balancer],
    ) -> Vec<Self> {
        let serving = Arc::new(Mutex::new(Serving::default()));
        let mut agents = Vec::new();
        for number in 1..=count {
            let kept = Kept {
                info: info(number),
                held: Arc::default(),
                serving: Arc::clone(&serving),
                newer,
                sessions: Arc::default(),
                balancer: balancers.get(number - 1).cloned(),
            };
            agents.push(Self::come_back(cluster, kept).await);
        }
        cluster.wait_hosts(count).await;
        agents
    }

    pub(crate) async fn come_back(cluster: &Coordinators, kept: Kept) -> Self {
        let addresses = cluster.addresses();
        let worker = Worker {
            info: kept.info.clone(),
            held: Arc::clone(&kept.held),
            serving: Arc::clone(&kept.serving),
            newer: kept.newer,
            sessions: Arc::clone(&kept.sessions),
            balancer: kept.balancer.clone(),
        };
        let task = tokio::spawn(async move {
            for address in addresses.iter().cycle() {
                worker.session(address).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self {
            kept: Some(kept),
            task,
        }
    }

    /// Says nothing more; what it runs goes on running.
    pub(crate) async fn fall_silent(mut self) -> Kept {
        self.task.abort();
        self.kept.take().expect("kept until now")
    }

    /// From now on it and its like take so long to do what they are told.
    pub(crate) fn slow_down(&self, pause: Duration) {
        let kept = self.kept.as_ref().expect("kept until it falls silent");
        kept.serving.lock().expect("not poisoned").pause = pause;
    }

    /// Whether it runs something, and for all of that an order to forget failures is held.
    pub(crate) fn was_told_to_forget(&self) -> bool {
        let kept = self.kept.as_ref().expect("kept until it falls silent");
        let held = kept.held.lock().expect("not poisoned");
        let mut replicas = held
            .iter()
            .flat_map(|held| held.replicas.values())
            .peekable();
        replicas.peek().is_some() && replicas.all(|replica| replica.tried.reset > 0)
    }

    /// How many sessions it began.
    pub(crate) fn sessions(&self) -> usize {
        let kept = self.kept.as_ref().expect("kept until it falls silent");
        kept.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn running(&self) -> usize {
        self.replicas().len()
    }

    pub(crate) fn replicas(&self) -> Vec<u64> {
        let kept = self.kept.as_ref().expect("kept until it falls silent");
        let held = kept.held.lock().expect("not poisoned");
        let runs = held.iter().flat_map(|held| &held.replicas);
        runs.filter(|(_, replica)| replica.want != Want::Stop)
            .map(|(id, _)| id.0)
            .collect()
    }

    /// The fewest replicas that served at once, over all agents, since three did.
    pub(crate) fn fewest_serving(&self) -> usize {
        let kept = self.kept.as_ref().expect("kept until it falls silent");
        kept.serving
            .lock()
            .expect("not poisoned")
            .fewest
            .unwrap_or_default()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Worker {
    info: HostInfo,
    held: Arc<Mutex<Option<Assignment>>>,
    serving: Arc<Mutex<Serving>>,
    newer: bool,
    sessions: Arc<AtomicUsize>,
    balancer: Option<Balancer>,
}

impl Worker {
    async fn session(&self, address: &str) {
        let Ok(mut client) = AgentsClient::connect(format!("http://{address}")).await else {
            return;
        };
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let (outbox, messages) = mpsc::channel(16);
        let accepted = self.held.lock().expect("not poisoned").clone();
        let hello = Hello {
            host: Some(convert::host_to_wire(&self.info)),
            boot_id: "boot".to_owned(),
            accepted: accepted
                .as_ref()
                .map(|held| convert::fence_to_wire(&held.fence)),
            serves_logs: true,
            cluster: "demo".to_owned(),
            takes_proof: false,
            takes_endpoints: self.balancer.is_some(),
            runs_commands: false,
        };
        if let Some(balancer) = &self.balancer {
            balancer
                .0
                .lock()
                .expect("not poisoned")
                .received
                .begin_session();
        }
        for kind in [Kind::Hello(hello), self.report(true)] {
            if outbox.send(message(kind)).await.is_err() {
                return;
            }
        }
        if self.newer {
            // A message of a kind that the coordinators do not know.
            let _ = outbox.send(AgentMessage { kind: None }).await;
        }
        let Ok(answers) = client.session(ReceiverStream::new(messages)).await else {
            return;
        };
        self.converse(answers.into_inner(), outbox).await;
    }

    async fn converse(
        &self,
        mut answers: Streaming<CoordinatorMessage>,
        outbox: mpsc::Sender<AgentMessage>,
    ) {
        loop {
            let next = tokio::time::timeout(Duration::from_millis(200), answers.message()).await;
            let kind = match next {
                Err(_) => match &self.balancer {
                    Some(balancer) => balancer.report(),
                    None => Kind::Renewal(Renewal::default()),
                },
                Ok(Ok(Some(CoordinatorMessage { kind: Some(kind) }))) => match kind {
                    coordinator_message::Kind::Welcome(_) => continue,
                    coordinator_message::Kind::Reconnect(_) => return,
                    coordinator_message::Kind::Assignment(wire) => {
                        let pause = self.serving.lock().expect("not poisoned").pause;
                        tokio::time::sleep(pause).await;
                        let mut held = self.held.lock().expect("not poisoned");
                        let next = convert::apply_wire(held.as_ref(), wire).expect("it applies");
                        if let Some(held) = held.as_ref() {
                            held.fence.admits(&next.fence).expect("fences only grow");
                        }
                        *held = Some(next);
                        drop(held);
                        self.report(true)
                    }
                    coordinator_message::Kind::LogQuery(query) => self.wrote(&query),
                    coordinator_message::Kind::Endpoints(wire) => {
                        let balancer = self.balancer.as_ref().expect("only where there is one");
                        balancer.take(wire);
                        balancer.report()
                    }
                    coordinator_message::Kind::Proof(_)
                    | coordinator_message::Kind::LogMore(_)
                    | coordinator_message::Kind::LogCancel(_)
                    | coordinator_message::Kind::ExecBegin(_)
                    | coordinator_message::Kind::ExecInput(_) => continue,
                },
                Ok(_) => return,
            };
            if outbox.send(message(kind)).await.is_err() {
                return;
            }
        }
    }

    /// A line of each replica of the instances asked for, written in the order of their ids.
    fn wrote(&self, query: &LogQuery) -> Kind {
        let held = self.held.lock().expect("not poisoned");
        let replicas = held.iter().flat_map(|held| &held.replicas);
        let asked = replicas.filter(|(_, replica)| {
            let instance = replica.instance.to_string();
            query.instances.contains(&instance)
        });
        let record = |(id, replica): (&ReplicaId, &AssignedReplica)| LogRecord {
            at_ns: id.0 + 1,
            stream: LogStream::Stdout.into(),
            stream_word: String::new(),
            instance: replica.instance.to_string(),
            replica: id.to_string(),
            run: 1,
            line: format!("{id} says hello").into_bytes(),
            partial: false,
        };
        Kind::LogAnswer(LogAnswer {
            id: query.id,
            records: asked.map(record).collect(),
            caught_up: true,
            ended: !query.follow,
            problem: String::new(),
        })
    }

    fn report(&self, complete: bool) -> Kind {
        let held = self.held.lock().expect("not poisoned");
        let replicas: Vec<ReplicaReport> = held
            .iter()
            .flat_map(|held| &held.replicas)
            .filter(|(_, replica)| replica.want != Want::Stop)
            .map(|(id, replica)| well(*id, replica))
            .collect();
        let serving = replicas
            .iter()
            .filter(|replica| replica.phase == Phase::Running)
            .count();
        self.count(serving);
        let generation = held.as_ref().map_or(0, |held| held.fence.generation);
        let report = HostReport {
            complete,
            replicas,
            runtime: Runtime::Ok,
            generation,
            disk_limits: None,
        };
        let mut wire = convert::report_to_wire(&report, now());
        if self.newer {
            speak_newer(&mut wire);
        }
        Kind::Report(wire)
    }

    fn count(&self, here: usize) {
        let mut serving = self.serving.lock().expect("not poisoned");
        serving.by_host.insert(self.info.id.to_string(), here);
        let total: usize = serving.by_host.values().sum();
        serving.reached |= total >= 3;
        if serving.reached {
            serving.fewest = Some(serving.fewest.map_or(total, |fewest| fewest.min(total)));
        }
    }
}

/// Adds what a later version may report.
fn speak_newer(report: &mut Report) {
    report.disk_limits = 17;
    for replica in &mut report.replicas {
        replica.last_end = Some(RunEnd {
            run: 1,
            at_ms: now().0,
            cause: 17,
            exit_code: Some(3),
            ..RunEnd::default()
        });
        replica.troubles = vec![
            TroubleCount { kind: 17, count: 2 },
            TroubleCount {
                kind: TroubleKind::TroubleExited.into(),
                count: 1,
            },
        ];
    }
}

pub(crate) fn info(number: usize) -> HostInfo {
    HostInfo {
        id: format!("host-{number}").parse().expect("a host id"),
        address: format!("10.0.0.{number}"),
        pool: "default".to_owned(),
        attributes: BTreeMap::new(),
        capacity: Resources {
            cpus_milli: 4000,
            mem_mb: 8192,
            disk_mb: 100_000,
            gpus: 0,
        },
        agent_version: "test".to_owned(),
        machine: None,
    }
}

fn message(kind: Kind) -> AgentMessage {
    AgentMessage { kind: Some(kind) }
}

fn port(id: ReplicaId) -> u16 {
    u16::try_from(31_000 + id.0 % 1000).expect("a port")
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Longer than any app is watched before it counts as happy: a replica is as soon as it is reported,
/// and stays so whatever is reported again.
fn long_ago() -> Timestamp {
    Timestamp(now().0 - 3_600_000)
}

/// A replica that has been well for long, and drains or runs as it should.
pub(crate) fn well(id: ReplicaId, replica: &AssignedReplica) -> ReplicaReport {
    ReplicaReport {
        id,
        app: replica.app.clone(),
        phase: match replica.want {
            Want::Run => Phase::Running,
            _ => Phase::Draining,
        },
        health: Health::Healthy,
        started_at: Some(long_ago()),
        host_port: Some(port(id)),
        container: Some(format!("container-{id}")),
        run: 1,
        failures: 0,
        next_try_at: None,
        drained: replica.want == Want::Drain,
        in_load_balancer: None,
        message: String::new(),
        image: Default::default(),
        last_end: None,
        troubles: Default::default(),
        other_troubles: 0,
    }
}
