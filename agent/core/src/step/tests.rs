//! A host in miniature: an engine that can fail in every way, and a step at a time.

mod backoff;
mod disk;
mod endings;
mod images;
mod properties;
mod stories;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_common::{
    app::{AppSpec, HealthCheck, Probe, Resources},
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    container::ContainerSpec,
    id::ReplicaId,
    report::ReplicaReport,
    spec::{DrainMethod, RunSettings},
    time::Timestamp,
};

use super::step;
use crate::{
    actions::{Action, Actions},
    images::PullFailure,
    labels,
    observed::{
        ContainerState, Event, Found, Listing, LocalImage, Observed, Ports, Remains, RunError, Seen,
    },
    ports,
    report::reports,
    settings::HostSettings,
    state::LocalState,
};

pub(super) const IMAGE: &str = "registry/services-hello:paasta-3f2a9c0d";

/// Ports offered in one step.
const OFFERED_MAX: usize = 8;

/// The agent's half (state) and the world's half (containers, images, faults).
pub(super) struct Host {
    pub(super) state: LocalState,
    pub(super) settings: HostSettings,
    pub(super) now: Timestamp,
    pub(super) step: u64,
    pub(super) containers: BTreeMap<String, Seen>,
    pub(super) specs: BTreeMap<String, ContainerSpec>,
    pub(super) events: Vec<Event>,
    pub(super) registry_is_up: bool,
    /// Fetches do not end by themselves.
    pub(super) pulls_are_slow: bool,
    pub(super) pulling: BTreeSet<String>,
    /// The engine acts and its answer is lost.
    pub(super) answers_are_lost: bool,
    /// What lists show, whatever there is.
    pub(super) stale: Option<Vec<Seen>>,
    /// When the engine says that what has ended did.
    pub(super) ended_at: Option<Timestamp>,
    pub(super) degraded: bool,
    /// What probes of a replica answer; healthy when absent.
    pub(super) sick: BTreeSet<ReplicaId>,
    /// Containers that exit as soon as they start.
    pub(super) crashing: BTreeSet<ReplicaId>,
    /// Ports that programs hold which are not ours.
    pub(super) held_ports: BTreeSet<u16>,
    pub(super) next_container: u64,
    /// What ended runs leave.
    pub(super) remains: Remains,
    /// Removals that fail, in these words.
    pub(super) removals_fail: Option<String>,
    /// The working directory that the image sets.
    pub(super) image_working_dir: Option<String>,
    pub(super) log: Vec<Action>,
    pub(super) tried: Tried,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            state: LocalState::default(),
            settings: HostSettings::new("host1".parse().unwrap(), "10.0.0.1", "/sandboxes"),
            now: Timestamp(1_000_000_000),
            step: 0,
            containers: BTreeMap::new(),
            specs: BTreeMap::new(),
            events: Vec::new(),
            registry_is_up: true,
            pulls_are_slow: false,
            pulling: BTreeSet::new(),
            answers_are_lost: false,
            stale: None,
            ended_at: None,
            degraded: false,
            sick: BTreeSet::new(),
            crashing: BTreeSet::new(),
            held_ports: BTreeSet::new(),
            next_container: 0,
            remains: Remains {
                exit_code: Some(1),
                ..Remains::default()
            },
            removals_fail: None,
            image_working_dir: None,
            log: Vec::new(),
            tried: Tried::default(),
        }
    }

    pub(super) fn assign(&mut self, replicas: &[(u64, Want)]) {
        self.assign_with(replicas, app(), settings());
    }

    pub(super) fn assign_with(&mut self, replicas: &[(u64, Want)], app: AppSpec, run: RunSettings) {
        let generation = self
            .state
            .accepted
            .as_ref()
            .map_or(1, |held| held.generation + 1);
        let (spec, run) = (Arc::new(app), Arc::new(run));
        let replica = |(id, want): &(u64, Want)| {
            let replica = AssignedReplica {
                instance: "hello.main".parse().unwrap(),
                app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
                spec: Arc::clone(&spec),
                run: Arc::clone(&run),
                want: *want,
                tried: self.tried,
            };
            (ReplicaId(*id), replica)
        };
        let fence = Fence {
            cluster_id: "c1".to_owned(),
            epoch: 1,
            term: 1,
            generation,
        };
        let next = Assignment {
            fence,
            host: self.settings.host.clone(),
            replicas: replicas.iter().map(replica).collect(),
        };
        self.state.accept(next).unwrap();
    }

    /// One step on what there is now; its actions are done at once.
    pub(super) fn tick(&mut self) -> Actions {
        let actions = self.decide();
        for action in &actions.actions {
            self.act(action);
        }
        self.log.extend(actions.actions.clone());
        actions
    }

    pub(super) fn decide(&mut self) -> Actions {
        self.step += 1;
        let observed = Observed {
            step: self.step,
            events: std::mem::take(&mut self.events),
            listing: Some(Listing::new(
                self.step - 1,
                match &self.stale {
                    Some(stale) => stale.clone(),
                    None => self.containers.values().cloned().collect(),
                },
            )),
            fresh_listing: true,
            degraded: self.degraded,
            pulling: self.pulling.clone(),
            ports: self.ports(),
            chance: self.step,
            ..Observed::default()
        };
        step(&mut self.state, &self.settings, &observed, self.now)
    }

    /// As the shell finds them: each of the range that no stranger holds, a few at a time.
    fn ports(&self) -> Ports {
        let wanted = ports::wanted(&self.state, self.now);
        let free = (31_000..31_050).filter(|port| !self.held_ports.contains(port));
        let taken: BTreeSet<u16> = self
            .containers
            .values()
            .filter_map(|seen| seen.host_port)
            .collect();
        let free: Vec<u16> = free.filter(|port| !taken.contains(port)).collect();
        let offered = wanted.drawn.min(OFFERED_MAX);
        Ports {
            spent: free.len() < offered,
            free: free.into_iter().take(offered).collect(),
            held: wanted
                .fixed
                .intersection(&self.held_ports)
                .copied()
                .collect(),
        }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    /// Steps and time until this much has passed, waking whenever the host asks to.
    pub(super) fn live(&mut self, ms: u64) {
        let end = self.now.after_ms(ms);
        while self.now < end {
            let wake = self.tick().wake_at.unwrap_or(end);
            self.now = match self.events.is_empty() {
                true => wake
                    .max(self.now.after_ms(100))
                    .min(self.now.after_ms(5_000))
                    .min(end),
                false => self.now.after_ms(1),
            };
        }
        self.tick();
    }

    /// The agent's process dies and comes back: what is not in the ledger is lost.
    pub(super) fn restart(&mut self) {
        let bytes = serde_json::to_vec(&self.state).unwrap();
        self.state = serde_json::from_slice(&bytes).unwrap();
        self.events.clear();
        self.step = 0;
    }

    pub(super) fn running(&self, id: u64) -> Vec<&Seen> {
        self.containers
            .values()
            .filter(|seen| seen.replica == Some(ReplicaId(id)))
            .filter(|seen| seen.state == ContainerState::Running)
            .collect()
    }

    pub(super) fn report(&self, id: u64) -> ReplicaReport {
        reports(&self.state)[&ReplicaId(id)].clone()
    }

    pub(super) fn crash(&mut self, id: u64) {
        for seen in self.containers.values_mut() {
            let ours = seen.cluster_id == "c1" && seen.replica == Some(ReplicaId(id));
            if ours && seen.state == ContainerState::Running {
                seen.state = ContainerState::Exited;
            }
        }
    }

    /// The engine says in passing that something befell the present run.
    pub(super) fn hint(&mut self, id: u64) {
        let (replica, run) = (ReplicaId(id), self.report(id).run);
        self.events.push(Event::Hinted {
            replica,
            run,
            memory_kill_at: None,
        });
    }

    pub(super) fn runs(&self, id: u64) -> Vec<u64> {
        let of = |action: &Action| match action {
            Action::Run { replica, run, .. } if *replica == ReplicaId(id) => Some(*run),
            _ => None,
        };
        self.log.iter().filter_map(of).collect()
    }

    fn act(&mut self, action: &Action) {
        match action.clone() {
            Action::Pull { image } if self.pulls_are_slow => drop(self.pulling.insert(image)),
            Action::Pull { image } => {
                let result = match self.registry_is_up {
                    true => Ok(LocalImage {
                        digest: "sha256:0".to_owned(),
                        working_dir: self.image_working_dir.clone(),
                    }),
                    false => Err(PullFailure::told("manifest unknown")),
                };
                self.events.push(Event::Pulled { image, result });
            }
            Action::CancelPull { image } => drop(self.pulling.remove(&image)),
            Action::Run { replica, run, spec } => {
                let container = self.create_and_start(&spec);
                let result = match self.answers_are_lost {
                    true => Err(RunError::Unknown("timed out".to_owned())),
                    false => Ok(container),
                };
                self.events.push(Event::Ran {
                    replica,
                    run,
                    result,
                });
            }
            Action::Look {
                replica,
                run,
                container,
            } => self.events.push(Event::Looked {
                replica,
                run,
                result: self.look(&container),
            }),
            Action::End {
                replica,
                run,
                name,
                identity,
                ..
            } => {
                if let Some(words) = self.removals_fail.clone() {
                    let result = Err(words);
                    self.events.push(Event::Ended {
                        replica,
                        run,
                        result,
                    });
                    return;
                }
                let cluster = &identity[labels::CLUSTER];
                self.containers
                    .retain(|_, seen| seen.name != name || seen.cluster_id != *cluster);
                let result = match self.answers_are_lost {
                    true => Err("timed out".to_owned()),
                    false => Ok(self.remains.clone()),
                };
                self.events.push(Event::Ended {
                    replica,
                    run,
                    result,
                });
            }
            Action::Probe { replica, run, .. } => {
                let result = match self.sick.contains(&replica) {
                    true => Err("status 500".to_owned()),
                    false => Ok(()),
                };
                self.events.push(Event::Probed {
                    replica,
                    run,
                    result,
                });
            }
            Action::Drain { replica, call, .. } => self.events.push(Event::DrainAnswered {
                replica,
                call,
                result: Err("connection refused".to_owned()),
            }),
            Action::Reap { container, .. } => {
                self.containers.remove(&container);
            }
        }
    }

    fn look(&self, container: &str) -> Result<Found, String> {
        if self.answers_are_lost {
            return Err("timed out".to_owned());
        }
        Ok(
            match self.containers.get(container).map(|seen| seen.state) {
                None => Found::Missing,
                Some(state) if state.is_alive() => Found::Running {
                    paused: state == ContainerState::Paused,
                    memory_kills: None,
                },
                Some(_) => Found::Ended { at: self.ended_at },
            },
        )
    }

    /// As the real engine: a container of that name and those labels is found, not doubled.
    fn create_and_start(&mut self, spec: &ContainerSpec) -> String {
        let label = |name: &str| spec.labels.get(name).cloned().unwrap_or_default();
        let replica: ReplicaId = label(labels::REPLICA).parse().unwrap();
        let state = match self.crashing.contains(&replica) {
            true => ContainerState::Exited,
            false => ContainerState::Running,
        };
        self.specs.insert(spec.name.clone(), spec.clone());
        if let Some(seen) = self
            .containers
            .values_mut()
            .find(|seen| seen.name == spec.name)
        {
            seen.state = state;
            return seen.container.clone();
        }
        self.next_container += 1;
        let container = format!("id{}", self.next_container);
        let seen = Seen {
            container: container.clone(),
            name: spec.name.clone(),
            cluster_id: label(labels::CLUSTER),
            host: label(labels::HOST).parse().ok(),
            replica: Some(replica),
            run: label(labels::RUN).parse().unwrap(),
            state,
            created_at: self.now,
            host_port: spec.ports.first().map(|port| port.host_port),
        };
        let port = seen.host_port;
        let clash = self.containers.values().any(|other| {
            other.state == ContainerState::Running && other.host_port == port && port.is_some()
        });
        assert!(!clash, "port {port:?} given twice");
        self.containers.insert(container.clone(), seen);
        container
    }
}

pub(super) fn app() -> AppSpec {
    AppSpec {
        image: IMAGE.to_owned(),
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
            grace_ms: 10_000,
            interval_ms: 2_000,
            timeout_ms: 1_000,
            max_consecutive_failures: 5,
        }),
        backoff_factor: 2,
        backoff_max_ms: 60_000,
        ..AppSpec::default()
    }
}

pub(super) fn settings() -> RunSettings {
    RunSettings {
        backoff_base_ms: 1_000,
        drain: DrainMethod::hacheck(3_000),
        registrations: vec!["hello.main".to_owned()],
        stop_grace_ms: 1_000,
        drain_timeout_ms: 30_000,
    }
}
