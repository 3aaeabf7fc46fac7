//! A whole agent with an engine in memory: what is assigned comes to run, and what goes wrong
//! stays where it went wrong.

mod checks;
mod disks;
mod drains;
mod mounts;

use std::{collections::BTreeMap, path::Path, time::Duration};

use paasta_agent_core::{
    collect::{CollectSettings, HeldImage},
    observed::ContainerState,
    settings::HostSettings,
};
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::{AssignedReplica, Assignment, Fence, FenceError, Tried, Want},
    config::SystemConfig,
    id::ReplicaId,
    report::{Health, Phase, ReplicaReport},
    spec::RunSettings,
    time::Timestamp,
};
use paasta_process::clock::SystemClock;
use tokio::{sync::oneshot, time::timeout};

use super::*;
use crate::{
    engine::{Stream, fake::FakeEngine},
    lanes::Patience,
    mounts::Mounts,
    watch::Pace,
};

pub(crate) const IMAGE: &str = "registry:5000/services-hello:paasta-3f2a9c0d";
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent, its engine, and the directory it keeps.
pub(crate) struct World {
    pub(crate) engine: FakeEngine,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) agent: Agent,
    shutdown: CancellationToken,
    generation: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let engine = FakeEngine::new(Arc::new(SystemClock));
        let dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let agent = start(&engine, dir.path(), &shutdown);
        Self {
            engine,
            dir,
            agent,
            shutdown,
            generation: 0,
        }
    }

    /// Stops the agent, not its containers, and starts another on the same directory.
    async fn restart(&mut self) {
        self.stop().await;
        self.start();
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        (&mut self.agent.task).await.unwrap();
    }

    fn start(&mut self) {
        self.shutdown = CancellationToken::new();
        self.agent = start(&self.engine, self.dir.path(), &self.shutdown);
    }

    async fn assign(&mut self, replicas: &[(u64, Want)], app: AppSpec) {
        self.generation += 1;
        let assignment = assignment(self.generation, replicas, app);
        assert_eq!(self.order(assignment).await, Ok(()));
    }

    async fn order(&self, assignment: Assignment) -> Result<(), FenceError> {
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order { assignment, reply });
        self.agent.handle.inbox.send(order).await.unwrap();
        timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&View) -> bool) {
        let mut view = self.agent.handle.view.clone();
        let waited = timeout(PATIENCE, view.wait_for(|view| holds(view))).await;
        assert!(
            waited.is_ok(),
            "never {what}: {:#?}",
            self.agent.handle.view.borrow()
        );
    }

    pub(crate) async fn until_report(
        &self,
        id: u64,
        what: &str,
        mut holds: impl FnMut(&ReplicaReport) -> bool,
    ) {
        let holds = |view: &View| view.reports.get(&ReplicaId(id)).is_some_and(&mut holds);
        self.until(what, holds).await;
    }

    async fn until_phase(&self, id: u64, phase: Phase) {
        self.until_report(id, &format!("r{id} {phase:?}"), |report| {
            report.phase == phase
        })
        .await;
    }

    fn running(&self) -> BTreeMap<String, String> {
        let containers = self.engine.containers().into_iter();
        containers
            .filter(|(_, held)| held.state == ContainerState::Running)
            .map(|(name, held)| (name, held.id))
            .collect()
    }
}

fn start(engine: &FakeEngine, dir: &Path, shutdown: &CancellationToken) -> Agent {
    Agent::start(parts(engine, dir), shutdown.clone()).unwrap()
}

fn parts(engine: &FakeEngine, dir: &Path) -> Parts {
    let sandboxes = dir.join("sandboxes").to_string_lossy().into_owned();
    Parts {
        engine: Arc::new(engine.clone()),
        clock: Arc::new(SystemClock),
        seed: 7,
        settings: HostSettings::new("host1".parse().unwrap(), "127.0.0.1", &sandboxes),
        mounts: Default::default(),
        state_dir: dir.to_owned(),
        port_range: (20_000, 29_999),
        max_parallel: 4,
        patience: Patience::default(),
        sandbox_budget_bytes: 1 << 20,
        log_budget_bytes: 1 << 20,
        collect: Default::default(),
        pace: Pace {
            every: Duration::from_millis(50),
            patience: Duration::from_millis(200),
            ..Pace::default()
        },
    }
}

pub(crate) fn assignment(generation: u64, ids: &[(u64, Want)], app: AppSpec) -> Assignment {
    let spec = Arc::new(app);
    let run = Arc::new(RunSettings {
        backoff_base_ms: 100,
        stop_grace_ms: 100,
        registrations: vec!["hello.main".to_owned()],
        ..RunSettings::default()
    });
    let replica = |(id, want): &(u64, Want)| {
        let replica = AssignedReplica {
            instance: "hello.main".parse().unwrap(),
            app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
            spec: Arc::clone(&spec),
            run: Arc::clone(&run),
            want: *want,
            tried: Tried::default(),
        };
        (ReplicaId(*id), replica)
    };
    Assignment {
        fence: Fence {
            cluster_id: "c1".to_owned(),
            epoch: 1,
            term: 1,
            generation,
        },
        host: "host1".parse().unwrap(),
        replicas: ids.iter().map(replica).collect(),
    }
}

pub(crate) fn unchecked() -> AppSpec {
    AppSpec {
        image: IMAGE.to_owned(),
        container_port: 8888,
        backoff_factor: 1,
        backoff_max_ms: 1_000,
        ..AppSpec::default()
    }
}

fn checked_by_command() -> AppSpec {
    AppSpec {
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "true".to_owned(),
            },
            grace_ms: 0,
            interval_ms: 100,
            timeout_ms: 1_000,
            max_consecutive_failures: 4,
        }),
        ..unchecked()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_assigned_runs_from_one_fetch_and_what_is_not_any_more_goes() {
    let mut world = World::new();
    world
        .assign(
            &[(1, Want::Run), (2, Want::Run), (3, Want::Run)],
            checked_by_command(),
        )
        .await;
    for id in 1..=3 {
        world
            .until_report(id, "healthy", |report| report.health == Health::Healthy)
            .await;
    }
    assert_eq!(
        world.engine.pulls(),
        BTreeMap::from([(IMAGE.to_owned(), 1)])
    );
    let sandbox = world.dir.path().join("sandboxes/r1-1");
    assert!(sandbox.is_dir());
    world
        .engine
        .say("paasta-hello.main-r1-1", Stream::Stdout, "hello");
    world
        .assign(&[(1, Want::Stop), (3, Want::Run)], checked_by_command())
        .await;
    world.until_phase(1, Phase::Gone).await;
    world
        .until("forgotten", |view| {
            !view.reports.contains_key(&ReplicaId(2))
        })
        .await;
    assert_eq!(
        world.running().keys().collect::<Vec<_>>(),
        ["paasta-hello.main-r3-1"]
    );
    let words = world.dir.path().join("logs/hello.main/r1-1/stdout.1");
    let words = std::fs::read_to_string(words).unwrap();
    assert!(words.ends_with("Z hello\n"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_container_is_replaced_and_its_last_words_are_told() {
    let mut world = World::new();
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world.until_phase(1, Phase::Running).await;
    let port = world.agent.handle.view.borrow().reports[&ReplicaId(1)].host_port;
    let (out, err) = (Stream::Stdout, Stream::Stderr);
    world.engine.say("paasta-hello.main-r1-1", out, "hello");
    world
        .engine
        .say("paasta-hello.main-r1-1", err, "and goodbye");
    world.engine.crash("paasta-hello.main-r1-1", 3);
    world
        .until_report(1, "run 2", |report| {
            report.run == 2 && report.phase == Phase::Running
        })
        .await;
    let report = world.agent.handle.view.borrow().reports[&ReplicaId(1)].clone();
    assert_eq!(report.failures, 1);
    assert!(report.message.contains("exit code 3"), "{}", report.message);
    assert!(report.message.contains("and goodbye"), "{}", report.message);
    assert_ne!(report.host_port, port);
    assert_eq!(
        world.running().keys().collect::<Vec<_>>(),
        ["paasta-hello.main-r1-2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_agent_touches_no_container() {
    let mut world = World::new();
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], unchecked())
        .await;
    for id in 1..=2 {
        world.until_phase(id, Phase::Running).await;
    }
    let before = world.running();
    world.restart().await;
    assert_eq!(world.agent.handle.view.borrow().generation(), 1);
    // A crash after the restart shows that it watches them again.
    world.engine.crash("paasta-hello.main-r1-1", 1);
    world
        .until_report(1, "run 2", |report| report.run == 2)
        .await;
    world.until_phase(1, Phase::Running).await;
    assert_eq!(
        world.running()["paasta-hello.main-r2-1"],
        before["paasta-hello.main-r2-1"]
    );
    assert_eq!(world.engine.created(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_damaged_ledger_running_containers_are_taken_over() {
    let mut world = World::new();
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], unchecked())
        .await;
    for id in 1..=2 {
        world.until_phase(id, Phase::Running).await;
    }
    let before = world.running();
    world.stop().await;
    std::fs::write(world.dir.path().join("ledger"), b"").unwrap();
    let path = world.dir.path().join("ledger.before");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
    world.start();
    let older = assignment(0, &[], unchecked());
    assert!(
        world.order(older).await.is_err(),
        "the fence outlives the ledger"
    );
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], unchecked())
        .await;
    for id in 1..=2 {
        world.until_phase(id, Phase::Running).await;
    }
    assert_eq!((world.running(), world.engine.created()), (before, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_container_delays_no_other() {
    let mut world = World::new();
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], unchecked())
        .await;
    for id in 1..=2 {
        world.until_phase(id, Phase::Running).await;
    }
    world.engine.faults(|faults| {
        faults.stuck.insert("paasta-hello.main-r1-1".to_owned());
    });
    world
        .assign(
            &[(1, Want::Stop), (2, Want::Stop), (3, Want::Run)],
            unchecked(),
        )
        .await;
    world.until_phase(2, Phase::Gone).await;
    world.until_phase(3, Phase::Running).await;
    assert_eq!(
        world.agent.handle.view.borrow().reports[&ReplicaId(1)].phase,
        Phase::Stopping
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_degraded_and_nothing_is_evicted_for_it() {
    let mut world = World::new();
    world.assign(&[(1, Want::Run)], checked_by_command()).await;
    world
        .until_report(1, "healthy", |report| report.health == Health::Healthy)
        .await;
    let before = world.running();
    world.engine.faults(|faults| faults.hangs = true);
    world
        .until("degraded", |view| view.runtime != Runtime::Ok)
        .await;
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], checked_by_command())
        .await;
    world.engine.faults(|faults| faults.hangs = false);
    world
        .until("well again", |view| view.runtime == Runtime::Ok)
        .await;
    world.until_phase(2, Phase::Running).await;
    assert_eq!(
        world.running()["paasta-hello.main-r1-1"],
        before["paasta-hello.main-r1-1"]
    );
    assert_eq!(
        world.agent.handle.view.borrow().reports[&ReplicaId(1)].run,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_is_lost_is_found_and_not_doubled() {
    let mut world = World::new();
    world.engine.faults(|faults| faults.answers_are_lost = true);
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world
        .until_report(1, "made", |report| report.message.contains("no answer"))
        .await;
    world
        .engine
        .faults(|faults| faults.answers_are_lost = false);
    world.until_phase(1, Phase::Running).await;
    assert_eq!(world.engine.created(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_waits_with_the_registrys_words() {
    let mut world = World::new();
    world.engine.faults(|faults| {
        faults.missing_images.insert(IMAGE.to_owned());
    });
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world.until_phase(1, Phase::BackingOff).await;
    let message = world.agent.handle.view.borrow().reports[&ReplicaId(1)]
        .message
        .clone();
    assert!(message.starts_with("image missing: "), "{message}");
    assert!(message.contains("not found"), "{message}");
    world.engine.faults(|faults| faults.missing_images.clear());
    world.until_phase(1, Phase::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_tells_how_far_it_is_and_is_called_off_when_nobody_waits() {
    let mut world = World::new();
    world.engine.faults(|faults| {
        faults.slow_images.insert(IMAGE.to_owned());
    });
    world
        .assign(&[(1, Want::Run), (2, Want::Run)], unchecked())
        .await;
    for id in 1..=2 {
        world
            .until_report(id, "half way", |report| {
                let progress = report.image.progress.unwrap_or_default();
                report.phase == Phase::Pulling
                    && (progress.layers_done, progress.layers) == (1, 2)
                    && (progress.bytes_done, progress.bytes) == (10, 20)
            })
            .await;
    }
    world.assign(&[], unchecked()).await;
    world
        .until("forgotten", |view| view.reports.is_empty())
        .await;
    world.engine.faults(|faults| faults.slow_images.clear());
    world.assign(&[(3, Want::Run)], unchecked()).await;
    world
        .until_report(3, "running", |report| {
            report.phase == Phase::Running
                && report.image.digest == Some(format!("sha256:{IMAGE}"))
                && report.image.progress.is_none()
        })
        .await;
    assert_eq!(
        world.engine.pulls(),
        BTreeMap::from([(IMAGE.to_owned(), 2)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_nothing_needs_are_removed_and_those_in_use_stay() {
    let registry = "registry:5000";
    let held = |name: &str| HeldImage {
        id: format!("sha256:{name}"),
        names: vec![name.to_owned()],
        digests: Vec::new(),
        bytes: 1_000,
        created_at: Timestamp(1),
    };
    let old = format!("{registry}/services-hello:paasta-0000000");
    let (mut world, stranger) = (World::new(), "stranger:1");
    world.stop().await;
    world.engine.put_image(held(&old));
    world.engine.put_image(held(stranger));
    let collect = CollectSettings {
        registry: registry.to_owned(),
        budget_bytes: 0,
        min_age_ms: 0,
        keep_per_service: 0,
    };
    world.shutdown = CancellationToken::new();
    let parts = Parts {
        collect,
        ..parts(&world.engine, world.dir.path())
    };
    world.agent = Agent::start(parts, world.shutdown.clone()).unwrap();
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world.until_phase(1, Phase::Running).await;
    let engine = world.engine.clone();
    let gone = move || !engine.image_names().contains(&old);
    let removed = async {
        while !gone() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, removed).await.unwrap();
    assert_eq!(world.engine.image_names(), [IMAGE, stranger]);
    let report = world.agent.handle.view.borrow().reports[&ReplicaId(1)].clone();
    assert_eq!((report.phase, report.run), (Phase::Running, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_takes_the_replica_down_and_then_replaces_it() {
    let mut world = World::new();
    world.assign(&[(1, Want::Run)], checked_by_command()).await;
    world
        .until_report(1, "healthy", |report| report.health == Health::Healthy)
        .await;
    world.engine.faults(|faults| faults.exec_code = 1);
    world
        .until_report(1, "down", |report| report.health == Health::Unhealthy)
        .await;
    assert_eq!(
        world.agent.handle.view.borrow().reports[&ReplicaId(1)].run,
        1
    );
    world
        .until_report(1, "replaced", |report| report.run == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_orders_are_refused_and_another_hosts_ledger_is_not_used() {
    let mut world = World::new();
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world.assign(&[], unchecked()).await;
    let older = assignment(1, &[(1, Want::Run)], unchecked());
    assert!(matches!(
        world.order(older).await,
        Err(FenceError::Older { .. })
    ));
    world.stop().await;
    let mut settings = HostSettings::new("host2".parse().unwrap(), "127.0.0.1", "/sandboxes");
    settings.reap_age_ms = 0;
    let parts = Parts {
        engine: Arc::new(world.engine.clone()),
        clock: Arc::new(SystemClock),
        seed: 7,
        settings,
        mounts: Default::default(),
        state_dir: world.dir.path().to_owned(),
        port_range: (1, 2),
        max_parallel: 1,
        patience: Patience::default(),
        sandbox_budget_bytes: 0,
        log_budget_bytes: 1 << 20,
        collect: Default::default(),
        pace: Pace::default(),
    };
    let refused = Agent::start(parts, CancellationToken::new()).err().unwrap();
    assert!(refused.to_string().contains("host1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_container_of_the_same_name_is_never_ended() {
    let mut world = World::new();
    let mut other = World::new();
    other.engine.faults(|faults| faults.exec_code = 0);
    other.assign(&[(1, Want::Run)], unchecked()).await;
    other.until_phase(1, Phase::Running).await;
    let (name, mut stranger) = other.engine.containers().pop_first().unwrap();
    stranger
        .spec
        .labels
        .insert("paasta_cluster".to_owned(), "another".to_owned());
    stranger.id = "stranger".to_owned();
    world.engine.put(stranger.clone());
    world.assign(&[(1, Want::Run)], unchecked()).await;
    world.until_phase(1, Phase::Running).await;
    assert_eq!(world.engine.containers()[&name], stranger);
    assert_eq!(
        world.agent.handle.view.borrow().reports[&ReplicaId(1)].run,
        2
    );
    world.assign(&[(1, Want::Stop)], unchecked()).await;
    world.until_phase(1, Phase::Gone).await;
    assert_eq!(
        world.engine.containers(),
        BTreeMap::from([(name, stranger)])
    );
}
