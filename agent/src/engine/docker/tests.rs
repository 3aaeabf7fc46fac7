//! A whole agent on a daemon that misbehaves in every way: nothing is doubled, nothing that runs is
//! touched, what is stuck holds up nothing else, and all mends itself.

mod adversary;
mod limits;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::Want,
    id::ReplicaId,
    report::{Health, Phase, ReplicaReport, Runtime},
};
use paasta_process::clock::SystemClock;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    agent::{
        Agent, Happened, Order, Parts, View,
        tests::{IMAGE, assignment},
    },
    lanes::Patience,
    watch::Pace,
};
use adversary::{Adversary, Fault, Route};

const LIMIT: Duration = Duration::from_secs(60);

struct World {
    name: String,
    daemon: Adversary,
    agent: Agent,
    generation: u64,
    _dir: tempfile::TempDir,
}

/// The agent's patience in most tests.
const SHORT: Duration = Duration::from_millis(1_200);

impl World {
    fn new(name: &str, limit: Duration, prepare: impl FnOnce(&Adversary)) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // All of them share this machine's ports.
        let first = 18_000 + NEXT.fetch_add(1, Ordering::SeqCst) * 20;
        let dir = tempfile::tempdir().unwrap();
        let daemon = Adversary::start(dir.path());
        prepare(&daemon);
        let sandboxes = dir.path().join("sandboxes").to_string_lossy().into_owned();
        let parts = Parts {
            engine: Arc::new(DockerEngine::new(&daemon.socket, "/nonexistent")),
            clock: Arc::new(SystemClock),
            seed: name.bytes().map(u64::from).sum(),
            settings: HostSettings::new("host1".parse().unwrap(), "127.0.0.1", &sandboxes),
            mounts: Default::default(),
            state_dir: dir.path().to_owned(),
            port_range: (first, first + 19),
            max_parallel: 2,
            patience: Patience::of(limit),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: Default::default(),
            pace: Pace {
                every: Duration::from_millis(250),
                patience: Duration::from_millis(400),
                ..Pace::default()
            },
        };
        Self {
            name: name.to_owned(),
            daemon,
            agent: Agent::start(parts, CancellationToken::new()).unwrap(),
            generation: 0,
            _dir: dir,
        }
    }

    async fn assign(&mut self, replicas: &[(u64, Want)]) {
        self.generation += 1;
        let assignment = assignment(self.generation, replicas, app());
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order { assignment, reply });
        self.agent.handle.inbox.send(order).await.unwrap();
        answer.await.unwrap().unwrap();
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&View) -> bool) {
        let mut view = self.agent.handle.view.clone();
        let waited = timeout(LIMIT, view.wait_for(|view| holds(view))).await;
        let (name, view) = (&self.name, self.agent.handle.view.borrow().clone());
        assert!(waited.is_ok(), "{name}: never {what}: {view:#?}");
    }

    async fn until_replica(&self, id: u64, what: &str, holds: impl Fn(&ReplicaReport) -> bool) {
        let holds = |view: &View| view.reports.get(&ReplicaId(id)).is_some_and(&holds);
        self.until(&format!("r{id} {what}"), holds).await;
    }

    async fn until_healthy(&self, id: u64) {
        self.until_replica(id, "healthy", |report| {
            report.phase == Phase::Running && report.health == Health::Healthy
        })
        .await;
    }

    async fn until_daemon(&self, what: &str, holds: impl Fn(&Adversary) -> bool) {
        let look = async {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            while !holds(&self.daemon) {
                every.tick().await;
            }
        };
        let seen = timeout(LIMIT, look).await;
        let (name, running) = (&self.name, self.daemon.running());
        assert!(seen.is_ok(), "{name}: never {what}; running {running:#?}");
    }

    fn runs(&self, id: u64) -> u64 {
        self.agent.handle.view.borrow().reports[&ReplicaId(id)].run
    }
}

/// Checked at its port, which has nothing to do with the daemon.
fn app() -> AppSpec {
    AppSpec {
        image: IMAGE.to_owned(),
        container_port: 8888,
        health: Some(HealthCheck {
            probe: Probe::Tcp,
            grace_ms: 10_000,
            interval_ms: 200,
            timeout_ms: 200,
            max_consecutive_failures: 1_000,
        }),
        backoff_factor: 2,
        backoff_max_ms: 500,
        ..AppSpec::default()
    }
}

/// One replica runs and is left alone, one crashes, one is told to stop and one to start, all while
/// the daemon fails at one thing; then it works again.
async fn meets(route: Route, fault: Fault) {
    let mut world = World::new(&format!("{route:?} {fault:?}"), SHORT, |daemon| {
        // It is asked for but once.
        if route == Route::Events {
            daemon.fail(route, fault);
        }
    });
    let run = |ids: &[u64]| ids.iter().map(|id| (*id, Want::Run)).collect::<Vec<_>>();
    world.assign(&run(&[1, 2, 3])).await;
    for id in 1..=3 {
        world.until_healthy(id).await;
    }
    let quiet = "paasta-hello.main-r1-1".to_owned();
    let before = world.daemon.running();
    let asked = world.daemon.asked(route);
    world.daemon.fail(route, fault);
    world.daemon.crash("paasta-hello.main-r2-1");
    world.assign(&run(&[1, 2, 4])).await;
    if route != Route::Events {
        let asked = |daemon: &Adversary| daemon.asked(route) > asked;
        world.until_daemon("asked", asked).await;
    }
    if route == Route::List {
        let degraded = |view: &View| matches!(view.runtime, Runtime::Degraded { .. });
        let answers = matches!(fault, Fault::Slow);
        if !answers {
            world.until("degraded", degraded).await;
        }
    }
    world.until_healthy(1).await;
    world.daemon.heal();
    for (id, run) in [(1, 1), (2, 2), (4, 1)] {
        world
            .until_replica(id, "healthy again", |report| {
                report.run >= run
                    && report.phase == Phase::Running
                    && report.health == Health::Healthy
            })
            .await;
    }
    world
        .until("well, r3 gone", |view| {
            view.runtime == Runtime::Ok && !view.reports.contains_key(&ReplicaId(3))
        })
        .await;
    let name = &world.name;
    let wanted = [1, 2, 4].map(|id| format!("paasta-hello.main-r{id}-{}", world.runs(id)));
    let running = world.daemon.running();
    let found: Vec<&String> = running.keys().collect();
    assert_eq!(found, wanted.iter().collect::<Vec<_>>(), "{name}");
    assert_eq!(running[&quiet], before[&quiet], "{name}: touched");
    // Nothing is made again and again: once each, once for the crash, and what was refused.
    let created = world.daemon.created();
    assert!(created <= 12, "{name}: {created} made");
    // What was given up is not left open; a list, the stream of events and logs may be.
    world
        .until_daemon("closed", |daemon| daemon.open.load(Ordering::SeqCst) <= 8)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_daemon_fails_at_nothing_is_doubled_or_touched_and_it_mends() {
    use Fault::*;
    let work = [Route::Create, Route::Start, Route::Stop, Route::Remove];
    let looks = [Route::List, Route::Inspect, Route::Image, Route::Logs];
    let mut meetings = Vec::new();
    for fault in [Hang, HangAfter, Refuse, RefuseAfter, CloseAfter, Garbage] {
        meetings.extend(work.map(|route| (route, fault)));
    }
    for fault in [Hang, Refuse, CloseAfter, Garbage, Slow, Endless] {
        meetings.extend(looks.map(|route| (route, fault)));
    }
    meetings.push((Route::Create, Slow));
    meetings.push((Route::Events, Hang));
    // A few at a time: the machine is to be the same for the last as for the first.
    for some in meetings.chunks(12) {
        join_all(some.iter().map(|(route, fault)| meets(*route, *fault))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_degraded_with_a_reason_and_health_is_still_known() {
    let mut world = World::new("all hang", SHORT, |_| {});
    world.assign(&[(1, Want::Run), (2, Want::Run)]).await;
    for id in 1..=2 {
        world.until_healthy(id).await;
    }
    let before = world.daemon.running();
    world.daemon.fail_all(Fault::Hang);
    let said = |view: &View| match &view.runtime {
        Runtime::Degraded { reason, since, .. } => {
            since.0 > 1_700_000_000_000 && reason.contains("listing containers fails: no answer")
        }
        Runtime::Ok => false,
    };
    world.until("degraded", said).await;
    world.daemon.silence("paasta-hello.main-r2-1");
    world
        .until_replica(2, "down", |report| report.health == Health::Unhealthy)
        .await;
    world.until_healthy(1).await;
    let created = world.daemon.created();
    world
        .assign(&[(1, Want::Run), (2, Want::Run), (3, Want::Run)])
        .await;
    world.until("still degraded", said).await;
    assert_eq!(world.daemon.created(), created, "no new work is begun");
    assert_eq!(world.daemon.running(), before, "nothing is evicted");
    world.daemon.heal();
    world.until_healthy(3).await;
    assert_eq!(world.runs(1), 1);
    let (name, id) = before.first_key_value().unwrap();
    assert_eq!(&world.daemon.running()[name], id);
}

/// Three containers about which the daemon never answers are to stop, and one more is to run.
async fn three_stuck(limit: Duration) -> World {
    let mut world = World::new("stuck", limit, |_| {});
    let of = |ids: &[u64], want| ids.iter().map(|id| (*id, want)).collect::<Vec<_>>();
    world.assign(&of(&[1, 2, 3], Want::Run)).await;
    for id in 1..=3 {
        world.until_healthy(id).await;
        world.daemon.stick(&format!("paasta-hello.main-r{id}-1"));
    }
    let all = [of(&[1, 2, 3], Want::Stop), of(&[4], Want::Run)].concat();
    world.assign(&all).await;
    world.until_healthy(4).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn more_stuck_containers_than_there_are_places_delay_no_other() {
    // With all the patience of the world they keep their lanes, but not their places.
    three_stuck(LIMIT * 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_stuck_containers_and_none_that_answers_are_a_degraded_runtime() {
    let world = three_stuck(SHORT).await;
    world
        .until("degraded", |view| view.runtime != Runtime::Ok)
        .await;
    for id in 1..=3 {
        world
            .until_replica(id, "stopping", |report| report.phase == Phase::Stopping)
            .await;
    }
    world.daemon.heal();
    world
        .until("gone", |view| {
            let gone = |id: &u64| view.reports[&ReplicaId(*id)].phase == Phase::Gone;
            view.runtime == Runtime::Ok && [1, 2, 3].iter().all(gone)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_lists_end_nothing_and_lost_events_are_made_up_for() {
    let mut world = World::new("late", SHORT, Adversary::list_late);
    world.assign(&[(1, Want::Run)]).await;
    world.until_healthy(1).await;
    let looks = world.daemon.asked(Route::Inspect);
    world
        .until_daemon("looked at", |daemon| {
            daemon.asked(Route::Inspect) >= looks + 3
        })
        .await;
    assert_eq!(world.runs(1), 1, "missing from lists that are late");
    world.daemon.crash("paasta-hello.main-r1-1");
    world
        .until_replica(1, "run 2", |report| report.run == 2)
        .await;
    world.daemon.heal();
    world.until_healthy(1).await;
    world.daemon.mute();
    world.daemon.crash("paasta-hello.main-r1-2");
    world
        .until_replica(1, "run 3", |report| report.run == 3)
        .await;
    world.until_healthy(1).await;
    assert_eq!(world.daemon.created(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off_and_a_daemon_that_was_mute_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Adversary::start(dir.path());
    let engine = DockerEngine::new(&daemon.socket, "/nonexistent");
    daemon.fail(Route::Version, Fault::Hang);
    assert!(
        timeout(Duration::from_millis(100), engine.list("host1"))
            .await
            .is_err()
    );
    daemon.heal();
    assert_eq!(engine.list("host1").await, Ok(Vec::new()));
    daemon.fail(Route::List, Fault::Endless);
    let Err(EngineError::Silent(words)) = engine.list("host1").await else {
        panic!("a list without end was taken");
    };
    assert!(words.contains("more than 33554432 bytes"), "{words}");
    let poured = daemon.poured.load(Ordering::SeqCst);
    assert!(poured < ANSWER_MAX + (4 << 20), "{poured} bytes were taken");
    daemon.heal();
    assert_eq!(engine.list("host1").await, Ok(Vec::new()));
    let missing = DockerEngine::new(dir.path().join("no.sock"), "/nonexistent");
    let Err(EngineError::Silent(words)) = missing.list("host1").await else {
        panic!("there is no socket");
    };
    assert!(words.contains("is dockerd running?"), "{words}");
}

#[test]
fn what_the_daemon_says_is_kept_within_bounds() {
    let error = Error::DockerResponseServerError {
        status_code: 500,
        message: "é".repeat(10_000),
    };
    let EngineError::Refused(words) = told(error) else {
        panic!("it said no");
    };
    assert!(words.len() <= WORDS_MAX + 3 && words.ends_with("é..."));
}
