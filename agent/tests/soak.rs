//! An agent that replaces one replica after the other for weeks needs no more memory for it: the
//! engine is in memory, so that the weeks take seconds. In a process of its own, whose memory is
//! the agent's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, View},
    engine::{Stream, fake::FakeEngine},
    lanes::Patience,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::ReplicaId,
    report::Health,
    spec::RunSettings,
};
use paasta_process::clock::SystemClock;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
/// Replicas at a time.
const AT_ONCE: u64 = 50;
/// After so many replaced replicas memory is measured first.
const WARM: u64 = 500;
const ALL: u64 = 5_000;

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
        max_parallel: 32,
        patience: Patience::default(),
        sandbox_budget_bytes: 1 << 20,
        log_budget_bytes: 1 << 20,
        collect: Default::default(),
        pace: Pace {
            every: Duration::from_millis(50),
            patience: Duration::from_secs(5),
            ..Pace::default()
        },
    }
}

/// Each generation is another version of the app, as after a deploy.
fn assignment(generation: u64) -> Assignment {
    let spec = Arc::new(AppSpec {
        image: format!("registry:5000/services-hello:paasta-{generation:08x}"),
        container_port: 8888,
        env: [("FILLER".to_owned(), "x".repeat(2_000))].into(),
        backoff_factor: 1,
        backoff_max_ms: 1_000,
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "true".to_owned(),
            },
            grace_ms: 0,
            interval_ms: 200,
            timeout_ms: 5_000,
            max_consecutive_failures: 4,
        }),
        ..AppSpec::default()
    });
    let run = Arc::new(RunSettings {
        backoff_base_ms: 100,
        stop_grace_ms: 100,
        registrations: vec!["hello.main".to_owned()],
        ..RunSettings::default()
    });
    let app = format!("hello.main.git{generation:08x}.config{generation:08x}");
    let first = generation * AT_ONCE;
    let replica = |id| {
        let replica = AssignedReplica {
            instance: "hello.main".parse().unwrap(),
            app: app.parse().unwrap(),
            spec: Arc::clone(&spec),
            run: Arc::clone(&run),
            want: Want::Run,
            tried: Tried::default(),
        };
        (ReplicaId(id), replica)
    };
    Assignment {
        fence: Fence {
            cluster_id: "c1".to_owned(),
            epoch: 1,
            term: 1,
            generation,
        },
        host: "host1".parse().unwrap(),
        replicas: (first..first + AT_ONCE).map(replica).collect(),
    }
}

/// Resident memory of this process, bytes.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// With two threads that may block. Each comes to its full stack and heap only by and by, and with
/// the hundred that the default allows that hides what the agent keeps: 3 MB more until 2,500
/// replicas, and then no more.
fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .unwrap()
}

#[test]
fn memory_after_five_thousand_replicas_is_what_it_was_after_five_hundred() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = FakeEngine::new(Arc::new(SystemClock));
        let agent = Agent::start(parts(&engine, dir.path()), CancellationToken::new()).unwrap();
        let mut warm = 0;
        for generation in 1..=ALL / AT_ONCE {
            let assignment = assignment(generation);
            let wanted: BTreeSet<ReplicaId> = assignment.replicas.keys().copied().collect();
            let (reply, answer) = oneshot::channel();
            let order = Happened::Order(Order { assignment, reply });
            agent.handle.inbox.send(order).await.unwrap();
            answer.await.unwrap().unwrap();
            let mut view = agent.handle.view.clone();
            let settled = |view: &Arc<View>| {
                let healthy = view.reports.values();
                view.reports.len() == wanted.len()
                    && healthy.into_iter().all(|one| one.health == Health::Healthy)
                    && view.reports.keys().all(|id| wanted.contains(id))
            };
            let waited = timeout(PATIENCE, view.wait_for(settled)).await;
            assert!(
                waited.is_ok(),
                "never settled: {:#?}",
                agent.handle.view.borrow()
            );
            drop(waited);
            for name in engine.containers().keys() {
                engine.say(name, Stream::Stdout, "hello");
            }
            engine.take_deeds();
            if (generation * AT_ONCE).is_multiple_of(WARM) {
                let now = memory();
                if warm == 0 {
                    warm = now;
                }
                println!("{} replicas: {} kB", generation * AT_ONCE, now >> 10);
            }
        }
        let end = memory();
        assert!(
            end <= warm + warm / 10,
            "{} kB after {WARM} replicas, {} kB after {ALL}",
            warm >> 10,
            end >> 10
        );
    });
}
