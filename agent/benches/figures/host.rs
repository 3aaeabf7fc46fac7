//! A host of the benchmarks: its image, its assignments, an agent within this process.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, View},
    engine::{Engine, docker::DockerEngine},
    lanes::Patience,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe, Resources},
    assignment::{AssignedReplica, Assignment, Fence, Want},
    id::ReplicaId,
    spec::RunSettings,
};
use paasta_process::clock::SystemClock;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::image::{docker, import, server};

/// dockerd.
pub(crate) const SOCKET: &str = "/var/run/docker.sock";
/// Operations at the same time, the agent's own default.
pub(crate) const PARALLEL: usize = 16;
/// The longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(900);

/// A host; what it runs goes with it.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) base: u64,
    generation: u64,
}

impl Host {
    pub(crate) fn new(part: &str) -> Self {
        let name = format!("agent-bench-{part}-{}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        let image = format!("localhost/{name}:paasta-0123abc");
        import(server(), dir.path(), &image);
        Self {
            engine: Arc::new(DockerEngine::new(SOCKET, "/nonexistent/config.json")),
            base: u64::from(std::process::id()) * 1_000,
            generation: 0,
            name,
            image,
            dir,
        }
    }

    pub(crate) fn settings(&self) -> HostSettings {
        let sandboxes = self.dir.path().join("sandboxes");
        let sandboxes = sandboxes.to_string_lossy().into_owned();
        HostSettings::new(self.name.parse().unwrap(), "127.0.0.1", &sandboxes)
    }

    pub(crate) fn start(&self) -> (Agent, CancellationToken) {
        let shutdown = CancellationToken::new();
        let parts = Parts {
            engine: Arc::clone(&self.engine),
            clock: Arc::new(SystemClock),
            seed: self.base,
            settings: self.settings(),
            mounts: Default::default(),
            state_dir: self.dir.path().join("state"),
            port_range: (23_000, 29_999),
            max_parallel: PARALLEL,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: Default::default(),
            pace: Pace::default(),
        };
        let agent = Agent::start(parts, shutdown.clone()).unwrap();
        (agent, shutdown)
    }

    pub(crate) fn app(&self, checked: bool) -> AppSpec {
        AppSpec {
            image: self.image.clone(),
            resources: Resources {
                cpus_milli: 10,
                mem_mb: 32,
                ..Resources::default()
            },
            container_port: 8888,
            health: checked.then(|| HealthCheck {
                probe: Probe::Http {
                    uri: "/status".to_owned(),
                },
                grace_ms: 60_000,
                interval_ms: 10_000,
                timeout_ms: 10_000,
                max_consecutive_failures: 30,
            }),
            backoff_factor: 2,
            backoff_max_ms: 300_000,
            ..AppSpec::default()
        }
    }

    /// The next assignment: `count` replicas from the id `first` on.
    pub(crate) fn assignment(&mut self, first: u64, count: u64, app: AppSpec) -> Assignment {
        self.generation += 1;
        let (spec, run) = (Arc::new(app), Arc::new(run_settings()));
        let replica = |id| {
            let replica = AssignedReplica {
                instance: "bench.main".parse().unwrap(),
                app: "bench.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
                spec: Arc::clone(&spec),
                run: Arc::clone(&run),
                want: Want::Run,
                tried: Default::default(),
            };
            (ReplicaId(self.base + first + id), replica)
        };
        Assignment {
            fence: Fence {
                cluster_id: format!("{}-cluster", self.name),
                epoch: 1,
                term: 1,
                generation: self.generation,
            },
            host: self.name.parse().unwrap(),
            replicas: (0..count).map(replica).collect::<BTreeMap<_, _>>(),
        }
    }

    /// Removes all containers, behind the agent's back.
    pub(crate) fn clear(&self) {
        let label = format!("label=paasta_host={}", self.name);
        let ids = docker(&["ps", "-aq", "--filter", &label]);
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            docker(&[&["rm", "-f", "-v"], &ids[..]].concat());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.clear();
        docker(&["rmi", "-f", &self.image]);
    }
}

/// PaaSTA's first delay of an instance of ten replicas or more.
fn run_settings() -> RunSettings {
    RunSettings {
        backoff_base_ms: 1_000,
        stop_grace_ms: 1_000,
        registrations: vec!["bench.main".to_owned()],
        ..RunSettings::default()
    }
}

pub(crate) async fn order(agent: &Agent, assignment: Assignment) {
    let (reply, answer) = oneshot::channel();
    let order = Happened::Order(Order { assignment, reply });
    agent.handle.inbox.send(order).await.unwrap();
    answer.await.unwrap().unwrap();
}

pub(crate) async fn until(agent: &Agent, mut holds: impl FnMut(&View) -> bool) {
    let mut view = agent.handle.view.clone();
    let waited = timeout(LIMIT, view.wait_for(|view| holds(view))).await;
    assert!(waited.is_ok(), "not within {LIMIT:?}");
}
