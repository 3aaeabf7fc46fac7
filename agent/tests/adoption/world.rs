//! A host whose agent can be made, left alone for some ticks of a virtual clock, and dropped
//! between any two of them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, StartError, View},
    engine::fake::{FakeContainer, FakeEngine},
    lanes::Patience,
    watch::Pace,
};
use paasta_agent_core::{
    collect::CollectSettings,
    compose::{RunOf, compose},
    observed::ContainerState,
    settings::HostSettings,
};
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::{AssignedReplica, Assignment, Fence, FenceError, Tried, Want},
    container::ContainerSpec,
    id::ReplicaId,
    spec::{DrainMethod, RunSettings},
    time::Timestamp,
};
use paasta_process::{clock::Clock, clock::ManualClock, simulated};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::advance,
};
use tokio_util::sync::CancellationToken;

use crate::engine::{Noted, Notes};

pub(crate) const REAP_AGE_MS: u64 = 300;
const IMAGE: &str = "registry:5000/services-hello:paasta-3f2a9c0d";
const BEGINNING: Timestamp = Timestamp(1_700_000_000_000);

/// A host: its engine and its disk outlive its agents.
pub(crate) struct Host {
    pub(crate) engine: FakeEngine,
    pub(crate) notes: Notes,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: tempfile::TempDir,
}

/// One life of its agent.
pub(crate) struct Life {
    runtime: Runtime,
    agent: Agent,
    clock: Arc<ManualClock>,
}

impl Host {
    pub(crate) fn new() -> Self {
        // Nothing is given to other threads: the ledger is written between two ticks.
        simulated::fix(7);
        let clock = Arc::new(ManualClock::at(BEGINNING));
        Self {
            engine: FakeEngine::new(Arc::clone(&clock) as Arc<dyn Clock>),
            notes: Notes::default(),
            clock,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn live(&self) -> Life {
        self.try_live("host1").unwrap()
    }

    pub(crate) fn try_live(&self, host: &str) -> Result<Life, StartError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            // The world is looked at after each task that had its turn.
            .event_interval(1)
            .build()
            .unwrap();
        let sandboxes = self.dir.path().join("sandboxes");
        let parts = Parts {
            engine: Arc::new(Noted {
                engine: self.engine.clone(),
                notes: Arc::clone(&self.notes),
            }),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            seed: 7,
            settings: HostSettings {
                reap_age_ms: REAP_AGE_MS,
                ..HostSettings::new(
                    host.parse().unwrap(),
                    "127.0.0.1",
                    &sandboxes.to_string_lossy(),
                )
            },
            mounts: Default::default(),
            state_dir: self.state_dir(),
            port_range: (20_000, 29_999),
            max_parallel: 4,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: CollectSettings::default(),
            pace: Pace {
                every: Duration::from_millis(50),
                patience: Duration::from_millis(200),
                ..Pace::default()
            },
        };
        let agent = runtime.block_on(async { Agent::start(parts, CancellationToken::new()) })?;
        Ok(Life {
            runtime,
            agent,
            clock: Arc::clone(&self.clock),
        })
    }

    /// Puts a container there that no agent of this test made.
    pub(crate) fn put(&self, name: &str, labels: &[(&str, &str)], state: ContainerState) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let settings = HostSettings::new("host1".parse().unwrap(), "127.0.0.1", "/sandboxes");
        let replicas = assignment(fence(1, 1, 1), &[(1, Want::Run)]).replicas;
        let run = RunOf {
            number: 1,
            host_port: None,
            image_working_dir: None,
        };
        let spec = compose(&settings, "c1", ReplicaId(1), &replicas[&ReplicaId(1)], run);
        self.engine.put(FakeContainer {
            spec: ContainerSpec {
                name: name.to_owned(),
                labels,
                ..spec
            },
            id: format!("id-of-{name}"),
            state,
            created_at: self.clock.now(),
            exit_code: None,
            ended_at: None,
            memory_kills: 0,
            layer_bytes: 0,
        });
    }

    /// The running containers: the id of each name.
    pub(crate) fn running(&self) -> BTreeMap<String, String> {
        let containers = self.engine.containers().into_iter();
        containers
            .filter(|(_, held)| held.state == ContainerState::Running)
            .map(|(name, held)| (name, held.id))
            .collect()
    }
}

impl Life {
    /// A millisecond passes.
    pub(crate) fn tick(&self) {
        self.clock.advance_ms(1);
        self.runtime.block_on(advance(Duration::from_millis(1)));
    }

    pub(crate) fn ticks(&self, count: u32) {
        for _ in 0..count {
            self.tick();
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.agent.handle.view.borrow())
    }

    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&View) -> bool) {
        for _ in 0..20_000 {
            if holds(&self.view()) {
                return;
            }
            self.tick();
        }
        panic!("never {what}: {:#?}", self.view());
    }

    /// Sends an assignment; what is said to it comes later.
    pub(crate) fn send(&self, assignment: Assignment) -> oneshot::Receiver<Result<(), FenceError>> {
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order { assignment, reply });
        self.agent.handle.inbox.try_send(order).unwrap();
        answer
    }

    pub(crate) fn order(&self, assignment: Assignment) -> Result<(), FenceError> {
        let mut answer = self.send(assignment);
        for _ in 0..1_000 {
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            self.tick();
        }
        panic!("an order was not answered");
    }
}

/// An app that is checked through the engine.
pub(crate) fn app() -> AppSpec {
    AppSpec {
        image: IMAGE.to_owned(),
        container_port: 8888,
        backoff_factor: 1,
        backoff_max_ms: 1_000,
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "true".to_owned(),
            },
            grace_ms: 0,
            interval_ms: 100,
            timeout_ms: 1_000,
            max_consecutive_failures: 4,
        }),
        ..AppSpec::default()
    }
}

pub(crate) fn fence(epoch: u64, term: u64, generation: u64) -> Fence {
    Fence {
        cluster_id: "c1".to_owned(),
        epoch,
        term,
        generation,
    }
}

pub(crate) fn assignment(fence: Fence, replicas: &[(u64, Want)]) -> Assignment {
    let spec = Arc::new(app());
    let run = Arc::new(RunSettings {
        backoff_base_ms: 100,
        stop_grace_ms: 100,
        drain: DrainMethod::Test { delay_ms: 30 },
        drain_timeout_ms: 10_000,
        registrations: vec!["hello.main".to_owned()],
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
        fence,
        host: "host1".parse().unwrap(),
        replicas: replicas.iter().map(replica).collect(),
    }
}
