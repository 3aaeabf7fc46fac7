//! A host with an agent on the real dockerd, and what is needed to look at it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, View},
    engine::docker::DockerEngine,
    lanes::Patience,
    mounts::Mounts,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe, Resources},
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    disk::DiskLimits,
    id::ReplicaId,
    report::{Health, ReplicaReport, Runtime},
    spec::RunSettings,
};
use paasta_process::clock::SystemClock;
use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use super::image::docker;
use super::image::{import, server};

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SOCKET: &str = "/var/run/docker.sock";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A host with an agent and an image of its own; all of it goes with it.
pub(crate) struct World {
    pub(crate) host: String,
    pub(crate) image: String,
    pub(crate) dir: tempfile::TempDir,
    agent: Option<Agent>,
    shutdown: CancellationToken,
    reap_age_ms: u64,
    /// The size of a log file, and how many are kept.
    logs: (u64, u32),
    /// The socket of its agent's dockerd.
    pub(crate) socket: String,
    /// What is done about the disk of instances.
    pub(crate) disk_limits: DiskLimits,
    /// Other images made for it.
    images: Mutex<Vec<String>>,
    /// Which mounts of the host its containers are given.
    pub(crate) mounts: Mounts,
    generation: u64,
    assigned: Option<Assignment>,
    /// Replicas count from here: container names are one space for all that share a dockerd.
    pub(crate) base: u64,
}

impl World {
    pub(crate) fn new(reap_age_ms: u64) -> Self {
        let mut world = Self::asleep();
        world.reap_age_ms = reap_age_ms;
        world.start();
        world
    }

    /// A host whose containers' logs are rotated at this size, so many files being kept.
    pub(crate) fn with_logs(max_bytes: u64, max_files: u32) -> Self {
        let mut world = Self::asleep();
        world.logs = (max_bytes, max_files);
        world.start();
        world
    }

    /// A host without an agent.
    pub(crate) fn asleep() -> Self {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("agent-test-{}-{number}", std::process::id());
        let image = format!("localhost/{name}:paasta-0123abc");
        let dir = tempfile::tempdir().unwrap();
        import(server(), dir.path(), &image);
        Self {
            host: name,
            image,
            dir,
            agent: None,
            shutdown: CancellationToken::new(),
            reap_age_ms: 3_600_000,
            logs: (10 << 20, 5),
            socket: SOCKET.to_owned(),
            disk_limits: DiskLimits::default(),
            images: Mutex::default(),
            mounts: Mounts::default(),
            generation: 0,
            assigned: None,
            base: u64::from(std::process::id()) * 1_000 + u64::from(number) * 10,
        }
    }

    /// One more image that goes with it.
    pub(crate) fn owns(&self, image: &str) {
        self.images.lock().unwrap().push(image.to_owned());
    }

    pub(crate) fn settings(&self) -> HostSettings {
        let sandboxes = self.dir.path().join("sandboxes").display().to_string();
        HostSettings {
            reap_age_ms: self.reap_age_ms,
            disk_limits: self.disk_limits,
            log_max_bytes: self.logs.0,
            log_max_files: self.logs.1,
            ..HostSettings::new(self.host.parse().unwrap(), "127.0.0.1", &sandboxes)
        }
    }

    /// What it was last told to run.
    pub(crate) fn assignment(&self) -> &Assignment {
        self.assigned.as_ref().unwrap()
    }

    pub(crate) fn start(&mut self) {
        self.shutdown = CancellationToken::new();
        let parts = Parts {
            engine: Arc::new(DockerEngine::new(&self.socket, "/nonexistent/config.json")),
            clock: Arc::new(SystemClock),
            seed: self.base,
            settings: self.settings(),
            mounts: self.mounts.clone(),
            state_dir: self.dir.path().join("state"),
            port_range: (21_000, 29_999),
            max_parallel: 4,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 100 << 20,
            collect: Default::default(),
            pace: Pace {
                every: Duration::from_millis(500),
                disks: Duration::from_secs(1),
                ..Pace::default()
            },
        };
        self.agent = Some(Agent::start(parts, self.shutdown.clone()).unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        self.agent.take().unwrap().task.await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start();
    }

    pub(crate) fn minimal(&self) -> AppSpec {
        AppSpec {
            image: self.image.clone(),
            resources: Resources {
                cpus_milli: 250,
                mem_mb: 64,
                ..Resources::default()
            },
            container_port: 8888,
            health: Some(HealthCheck {
                probe: Probe::Http {
                    uri: "/status".to_owned(),
                },
                grace_ms: 30_000,
                interval_ms: 1_000,
                timeout_ms: 2_000,
                max_consecutive_failures: 5,
            }),
            backoff_factor: 2,
            backoff_max_ms: 10_000,
            ..AppSpec::default()
        }
    }

    pub(crate) async fn assign(&mut self, replicas: &[(u64, Want, AppSpec)]) {
        self.generation += 1;
        let run = Arc::new(RunSettings {
            backoff_base_ms: 1_000,
            stop_grace_ms: 2_000,
            registrations: vec!["hello.main".to_owned()],
            ..RunSettings::default()
        });
        let replica = |(id, want, spec): &(u64, Want, AppSpec)| {
            let replica = AssignedReplica {
                instance: "hello_svc.main".parse().unwrap(),
                app: "hello--svc.main.git3f2a9c0d.config94232c5b"
                    .parse()
                    .unwrap(),
                spec: Arc::new(spec.clone()),
                run: Arc::clone(&run),
                want: *want,
                tried: Tried::default(),
            };
            (ReplicaId(self.base + *id), replica)
        };
        let assignment = Assignment {
            fence: Fence {
                cluster_id: format!("{}-cluster", self.host),
                epoch: 1,
                term: 1,
                generation: self.generation,
            },
            host: self.host.parse().unwrap(),
            replicas: replicas.iter().map(replica).collect(),
        };
        self.assigned = Some(assignment.clone());
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order { assignment, reply });
        let inbox = &self.agent.as_ref().unwrap().handle.inbox;
        inbox.send(order).await.unwrap();
        answer.await.unwrap().unwrap();
    }

    pub(crate) async fn until(
        &self,
        id: u64,
        what: &str,
        mut holds: impl FnMut(&ReplicaReport) -> bool,
    ) -> ReplicaReport {
        let mut view = self.agent.as_ref().unwrap().handle.view.clone();
        let id = ReplicaId(self.base + id);
        let holds = |view: &Arc<View>| view.reports.get(&id).is_some_and(&mut holds);
        let waited = timeout(PATIENCE, view.wait_for(holds)).await;
        match waited {
            Ok(view) => view.unwrap().reports[&id].clone(),
            Err(_) => panic!(
                "never {what}: {:#?}",
                self.agent.as_ref().unwrap().handle.view.borrow()
            ),
        }
    }

    pub(crate) async fn until_runtime(
        &self,
        what: &str,
        holds: impl Fn(&Runtime) -> bool,
    ) -> Runtime {
        let mut view = self.agent.as_ref().unwrap().handle.view.clone();
        let waited = timeout(PATIENCE, view.wait_for(|view| holds(&view.runtime))).await;
        waited
            .unwrap_or_else(|_| panic!("never {what}"))
            .unwrap()
            .runtime
            .clone()
    }

    pub(crate) async fn until_healthy(&self, id: u64) -> ReplicaReport {
        self.until(id, "healthy", |report| report.health == Health::Healthy)
            .await
    }

    pub(crate) fn inspect(&self, container: &str) -> Value {
        let text = docker(&["inspect", container]);
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }

    /// Ids of all containers of this host, dead ones too.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!("label=paasta_host={}", self.host);
        let ids = docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Waits for something that only docker shows.
    pub(crate) async fn until_docker(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let look = async {
            let mut every = tokio::time::interval(Duration::from_millis(200));
            loop {
                every.tick().await;
                if holds(&self.containers()) {
                    return;
                }
            }
        };
        timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("never {what}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        for name in ["paasta_host", "agent_test"] {
            let label = format!("label={name}={}", self.host);
            let ids = docker(&["ps", "-aq", "--filter", &label]);
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                docker(&[&["rm", "-f", "-v"], &ids[..]].concat());
            }
        }
        docker(&["rmi", "-f", &self.image]);
        for image in self.images.lock().unwrap().iter() {
            docker(&["rmi", "-f", image]);
        }
    }
}

pub(crate) fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // In one piece: the server answers the first that it reads, and closes.
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map_or(String::new(), |(_, body)| body.to_owned())
}
