//! A pretended coordinator on a real socket, and an agent that speaks to it.

use std::{net::SocketAddr, sync::Mutex};

use paasta_common::{app::Resources, assignment::Want, report::Runtime};
use paasta_process::metrics::Page;
use paasta_proto::{
    texts::Texts as _,
    v1::{
        ReplicaPhase,
        agents_server::{Agents, AgentsServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

mod endpoints;

use super::*;
use crate::agent::tests::{World, assignment, unchecked};

type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// One session as the coordinator has it.
struct Peer {
    inbox: Streaming<v1::AgentMessage>,
    outbox: Outbox,
}

struct Coordinator {
    peers: mpsc::Sender<Peer>,
}

#[tonic::async_trait]
impl Agents for Coordinator {
    type SessionStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbox, messages) = mpsc::channel(16);
        let inbox = request.into_inner();
        let peer = Peer { inbox, outbox };
        self.peers
            .send(peer)
            .await
            .map_err(|_| Status::unavailable("stopping"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Peer {
    async fn hear(&mut self) -> agent_message::Kind {
        let heard = timeout(PATIENCE, self.inbox.message()).await.unwrap();
        heard.unwrap().unwrap().kind.unwrap()
    }

    /// The next message that is not a renewal.
    async fn report(&mut self) -> v1::Report {
        loop {
            match self.hear().await {
                agent_message::Kind::Report(report) => return report,
                agent_message::Kind::Renewal(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers renewals for so long: each with how long ago a majority answered. Says whether the
    /// agent is still there.
    async fn prove(&mut self, span: Duration, quorum_age_ms: u64) -> bool {
        let until = Instant::now() + span;
        while Instant::now() < until {
            let heard = timeout(PATIENCE, self.inbox.message()).await.unwrap();
            let Ok(Some(message)) = heard else {
                return false;
            };
            if let Some(agent_message::Kind::Renewal(renewal)) = message.kind {
                let seq = renewal.seq;
                let proof = v1::Proof { seq, quorum_age_ms };
                let kind = Some(coordinator_message::Kind::Proof(proof));
                // An agent that has just left is seen to be gone by the next look.
                let _ = self.outbox.send(Ok(v1::CoordinatorMessage { kind })).await;
            }
        }
        true
    }

    /// A renewal comes after the welcome only.
    async fn until_renewed(&mut self) {
        while !matches!(self.hear().await, agent_message::Kind::Renewal(_)) {}
    }

    async fn until_phase(&mut self, id: u64, phase: ReplicaPhase) {
        let is = |report: &v1::ReplicaReport| report.id == id && report.phase() == phase;
        let told = async { while !self.report().await.replicas.iter().any(is) {} };
        timeout(PATIENCE, told)
            .await
            .unwrap_or_else(|_| panic!("r{id} is never {phase:?}"));
    }

    async fn say(&self, kind: coordinator_message::Kind) {
        let message = v1::CoordinatorMessage { kind: Some(kind) };
        self.outbox.send(Ok(message)).await.unwrap();
    }

    async fn assign(&self, wire: v1::Assignment) {
        self.say(coordinator_message::Kind::Assignment(wire)).await;
    }

    /// Hello, complete report, welcome.
    async fn open(&mut self) -> (v1::Hello, v1::Report) {
        self.open_as(false).await
    }

    /// The same, by a coordinator that proves its leadership, or does not.
    async fn open_as(&mut self, proves: bool) -> (v1::Hello, v1::Report) {
        let agent_message::Kind::Hello(hello) = self.hear().await else {
            panic!("no hello");
        };
        let report = self.report().await;
        assert!(report.complete);
        let welcome = v1::Welcome {
            cluster_id: "c1".to_owned(),
            lease_ms: if proves { 1_000 } else { 300 },
            renew_every_ms: 50,
            proves,
        };
        self.say(coordinator_message::Kind::Welcome(welcome)).await;
        (hello, report)
    }
}

/// A coordinator that listens, and its sessions.
async fn coordinator(stop: CancellationToken) -> (SocketAddr, mpsc::Receiver<Peer>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (peers, sessions) = mpsc::channel(16);
    let serving = Server::builder()
        .add_service(AgentsServer::new(Coordinator { peers }))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned());
    tokio::spawn(serving);
    (address, sessions)
}

fn host() -> HostInfo {
    HostInfo {
        id: "host1".parse().unwrap(),
        address: "127.0.0.1".to_owned(),
        pool: "default".to_owned(),
        attributes: Default::default(),
        capacity: Resources::default(),
        agent_version: "0".to_owned(),
        machine: None,
    }
}

fn talk(world: &World, coordinators: &[SocketAddr]) -> CancellationToken {
    talk_with(world, coordinators, None)
}

fn talk_with(
    world: &World,
    coordinators: &[SocketAddr],
    endpoints: Option<EndpointLink>,
) -> CancellationToken {
    let stop = CancellationToken::new();
    let sessions = Sessions {
        agent: world.agent.handle.clone(),
        host: host(),
        boot_id: "boot".to_owned(),
        cluster: None,
        coordinators: coordinators.iter().map(ToString::to_string).collect(),
        dial: Arc::new(PlainDial),
        endpoints,
    };
    tokio::spawn(sessions.run(stop.clone()));
    stop
}

async fn peer(sessions: &mut mpsc::Receiver<Peer>) -> Peer {
    timeout(PATIENCE * 2, sessions.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_obeyed_and_what_comes_of_them_is_told() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let mut peer = peer(&mut sessions).await;
    let (hello, report) = peer.open().await;
    assert_eq!(
        (hello.accepted, hello.host.unwrap().id.as_str()),
        (None, "host1")
    );
    assert_eq!((report.replicas.len(), report.generation), (0, 0));
    let first = assignment(3, &[(1, Want::Run)], unchecked());
    peer.assign(convert::assignment_to_wire(&first, true)).await;
    peer.until_phase(1, ReplicaPhase::Running).await;
    let second = assignment(4, &[(2, Want::Run)], unchecked());
    peer.assign(convert::delta_to_wire(&first, &second)).await;
    let (mut gone, mut running, mut generation) = (false, false, 0);
    while !(gone && running && generation == 4) {
        let report = peer.report().await;
        assert!(!report.complete);
        generation = report.generation;
        gone |= report
            .replicas
            .iter()
            .any(|r| r.id == 1 && r.phase() == ReplicaPhase::Gone);
        running |= report
            .replicas
            .iter()
            .any(|r| r.id == 2 && r.phase() == ReplicaPhase::Running);
    }
    // With nothing to say the lease is renewed all the same.
    while !matches!(peer.hear().await, agent_message::Kind::Renewal(_)) {}
    assert_eq!(world.engine.containers().len(), 1);
}

/// The next session, in which the agent was given replica 1 and runs it.
async fn running_one(sessions: &mut mpsc::Receiver<Peer>) -> Peer {
    let mut first = peer(sessions).await;
    first.open().await;
    let held = assignment(3, &[(1, Want::Run)], unchecked());
    first.assign(convert::assignment_to_wire(&held, true)).await;
    first.until_phase(1, ReplicaPhase::Running).await;
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_that_does_not_fit_leads_to_a_new_session_that_says_what_is_held() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let first = running_one(&mut sessions).await;
    let (missed, next) = (
        assignment(5, &[], unchecked()),
        assignment(6, &[], unchecked()),
    );
    first.assign(convert::delta_to_wire(&missed, &next)).await;
    let mut second = peer(&mut sessions).await;
    let (hello, report) = second.open().await;
    assert_eq!(hello.accepted.unwrap().generation, 3);
    assert_eq!(report.replicas.len(), 1);
    second
        .assign(convert::assignment_to_wire(&next, true))
        .await;
    second.until_phase(1, ReplicaPhase::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_only_a_newer_agent_knows_is_refused_and_what_is_held_stays() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let first = running_one(&mut sessions).await;
    let next = assignment(4, &[(1, Want::Stop)], unchecked());
    let mut newer = convert::assignment_to_wire(&next, true);
    newer.replicas[0].want = 17;
    first.assign(newer).await;
    let mut second = peer(&mut sessions).await;
    let (hello, report) = second.open().await;
    assert_eq!(hello.accepted.unwrap().generation, 3);
    let replica = report.replicas.first().unwrap();
    assert_eq!((replica.phase(), replica.run), (ReplicaPhase::Running, 1));
    assert_eq!(world.engine.containers().len(), 1);
}

/// The assignment of a coordinator of 0.1.0: each closed set as text only.
fn as_text(mut wire: v1::Assignment) -> v1::Assignment {
    wire.write_texts();
    for replica in &mut wire.replicas {
        replica.want = 0;
        let run = replica.run.as_mut().unwrap();
        run.drain.as_mut().unwrap().name = 0;
    }
    for app in wire.apps.values_mut() {
        app.net = None;
        app.health.iter_mut().for_each(|check| check.mode = 0);
        app.constraints.iter_mut().for_each(|one| one.operator = 0);
    }
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_an_older_coordinator_are_obeyed_and_unknown_ones_refused() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let mut first = peer(&mut sessions).await;
    first.open().await;
    let held = assignment(3, &[(1, Want::Run)], unchecked());
    let older = as_text(convert::assignment_to_wire(&held, true));
    assert_eq!(older.replicas[0].want_word, "run");
    first.assign(older).await;
    first.until_phase(1, ReplicaPhase::Running).await;
    let next = assignment(4, &[(1, Want::Stop)], unchecked());
    let mut unknown = as_text(convert::assignment_to_wire(&next, true));
    unknown.replicas[0].want_word = "freeze".to_owned();
    first.assign(unknown).await;
    let mut second = peer(&mut sessions).await;
    let (hello, report) = second.open().await;
    assert_eq!(hello.accepted.unwrap().generation, 3);
    assert_eq!(report.replicas[0].phase(), ReplicaPhase::Running);
    let older = as_text(convert::assignment_to_wire(&next, true));
    second.assign(older).await;
    second.until_phase(1, ReplicaPhase::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_kind_that_only_a_newer_coordinator_knows_is_ignored() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let mut only = running_one(&mut sessions).await;
    for _ in 0..3 {
        let newer = v1::CoordinatorMessage { kind: None };
        only.outbox.send(Ok(newer)).await.unwrap();
    }
    let next = assignment(4, &[(1, Want::Stop)], unchecked());
    only.assign(convert::assignment_to_wire(&next, true)).await;
    only.until_phase(1, ReplicaPhase::Gone).await;
    assert!(sessions.try_recv().is_err(), "there is one session");
    let page = Page::new("agent");
    let counted = world.agent.handle.metrics.meters().text(page).unwrap();
    let line = "paasta_agent_unrecognized_messages_total 3";
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_of_the_past_is_not_obeyed_and_the_next_one_is_tried() {
    let world = World::new();
    let (old, mut of_old) = coordinator(CancellationToken::new()).await;
    let (new, mut of_new) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[new, old]).drop_guard();
    let mut current = peer(&mut of_new).await;
    current.open().await;
    let held = assignment(9, &[(1, Want::Run)], unchecked());
    current
        .assign(convert::assignment_to_wire(&held, true))
        .await;
    current.until_phase(1, ReplicaPhase::Running).await;
    current
        .outbox
        .send(Err(Status::unavailable("deposed")))
        .await
        .unwrap();
    let mut past = peer(&mut of_old).await;
    past.open().await;
    let stale = assignment(8, &[], unchecked());
    past.assign(convert::assignment_to_wire(&stale, true)).await;
    let mut current = peer(&mut of_new).await;
    let (_, report) = current.open().await;
    assert_eq!(
        (report.generation, report.replicas[0].phase()),
        (9, ReplicaPhase::Running)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_coordinator_gone_the_host_goes_on() {
    let world = World::new();
    let stop = CancellationToken::new();
    let (address, mut sessions) = coordinator(stop.clone()).await;
    let _stop = talk(&world, &[address]).drop_guard();
    let mut only = peer(&mut sessions).await;
    only.open().await;
    let held = assignment(1, &[(1, Want::Run)], unchecked());
    only.assign(convert::assignment_to_wire(&held, true)).await;
    only.until_phase(1, ReplicaPhase::Running).await;
    stop.cancel();
    drop((only, sessions));
    world.engine.crash("paasta-hello.main-r1-1", 1);
    world
        .until_report(1, "run 2", |report| report.run == 2)
        .await;
    assert_eq!(world.agent.handle.view.borrow().runtime, Runtime::Ok);
}

#[tokio::test]
async fn plain_text_stays_on_this_machine() {
    for address in ["192.0.2.1:7401", "[2001:db8::1]:7401", "0.0.0.0:7401"] {
        let outside = PlainDial.dial(address, STALE_AFTER).await.unwrap_err();
        assert!(matches!(outside, DialError::Insecure { .. }), "{outside}");
        assert!(
            outside.to_string().contains("`paasta-agent join`"),
            "{outside}"
        );
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    assert!(matches!(
        PlainDial.dial(&address, STALE_AFTER).await,
        Err(DialError::Connect { .. })
    ));
    assert!(matches!(
        PlainDial.dial("nowhere", STALE_AFTER).await,
        Err(DialError::Resolve { .. })
    ));
}

/// The agent dials in turn: a dead coordinator, even one that another names, keeps none of the others
/// from its turn.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_address_is_tried_and_a_named_one_first() {
    /// Only `a:1` listens, at the address that is kept here.
    struct OneListens(SocketAddr, Mutex<Vec<String>>);
    impl Dial for Arc<OneListens> {
        fn dial<'a>(
            &'a self,
            address: &'a str,
            stale_after: Duration,
        ) -> futures_util::future::BoxFuture<'a, Result<tonic::transport::Channel, DialError>>
        {
            self.1.lock().unwrap().push(address.to_owned());
            Box::pin(async move {
                if address != "a:1" {
                    let address = address.to_owned();
                    return Err(DialError::Address { address });
                }
                let dial = PlainDial;
                dial.dial(&self.0.to_string(), stale_after).await
            })
        }
    }
    let world = World::new();
    let (address, mut peers) = coordinator(CancellationToken::new()).await;
    let dialled = Arc::new(OneListens(address, Mutex::default()));
    let sessions = Sessions {
        agent: world.agent.handle.clone(),
        host: host(),
        boot_id: "boot".to_owned(),
        cluster: None,
        coordinators: ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec(),
        dial: Arc::new(Arc::clone(&dialled)),
        endpoints: None,
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(sessions.run(stop.clone()));
    let send_on = async |peers: &mut mpsc::Receiver<Peer>, to: &str| {
        let mut first = peer(peers).await;
        first.open().await;
        let ask = v1::Reconnect {
            reason: "c leads".to_owned(),
            address: to.to_owned(),
        };
        first.say(coordinator_message::Kind::Reconnect(ask)).await;
    };
    // c is named and dead; then nobody is named.
    send_on(&mut peers, "c:1").await;
    send_on(&mut peers, "").await;
    let asked = async {
        while dialled.1.lock().unwrap().len() < 6 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    let expected = ["a:1", "c:1", "b:1", "c:1", "a:1", "b:1"];
    assert_eq!(dialled.1.lock().unwrap()[..6], expected);
}

/// A connection to a coordinator that says nothing any more is given up as fast as the leases of
/// its cluster ask for.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_connection_goes_stale_with_the_lease_that_the_coordinator_chose() {
    struct Noting(Arc<Mutex<Vec<Duration>>>);
    impl Dial for Noting {
        fn dial<'a>(
            &'a self,
            address: &'a str,
            stale_after: Duration,
        ) -> futures_util::future::BoxFuture<'a, Result<tonic::transport::Channel, DialError>>
        {
            self.0.lock().unwrap().push(stale_after);
            Box::pin(async move {
                let dial = PlainDial;
                dial.dial(address, stale_after).await
            })
        }
    }
    let world = World::new();
    let stop = CancellationToken::new();
    let (address, mut peers) = coordinator(stop.clone()).await;
    let noted = Arc::new(Mutex::default());
    let sessions = Sessions {
        agent: world.agent.handle.clone(),
        host: host(),
        boot_id: "boot".to_owned(),
        cluster: None,
        coordinators: vec![address.to_string()],
        dial: Arc::new(Noting(Arc::clone(&noted))),
        endpoints: None,
    };
    let running = tokio::spawn(sessions.run(stop.clone()));
    for _ in 0..2 {
        let mut peer = timeout(PATIENCE, peers.recv()).await.unwrap().unwrap();
        peer.open().await;
        peer.until_renewed().await;
    }
    stop.cancel();
    running.await.unwrap();
    let lease = Duration::from_millis(300);
    assert_eq!(*noted.lock().unwrap(), [STALE_AFTER, lease]);
}

/// The lease is 1 s: what is proven in time keeps the session, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_cannot_prove_its_leadership_is_left_for_the_next_one() {
    let world = World::new();
    let (cut, mut of_cut) = coordinator(CancellationToken::new()).await;
    let (next, mut of_next) = coordinator(CancellationToken::new()).await;
    let _stop = talk(&world, &[cut, next]).drop_guard();
    let mut first = peer(&mut of_cut).await;
    let (hello, _) = first.open_as(true).await;
    assert!(hello.takes_proof);
    assert!(first.prove(Duration::from_secs(2), 20).await);
    assert!(
        of_next.try_recv().is_err(),
        "it stays as long as there is proof"
    );
    // It goes on answering, and no majority answers it.
    let stays = first.prove(PATIENCE, 60_000).await;
    assert!(!stays, "it stays without proof");
    let mut second = peer(&mut of_next).await;
    second.open_as(true).await;
    let silent = async {
        while second
            .inbox
            .message()
            .await
            .is_ok_and(|told| told.is_some())
        {}
    };
    timeout(PATIENCE, silent)
        .await
        .expect("it leaves one that gives no answer");
}
