//! Follows the services' git repositories while this coordinator leads: asks each for its refs in
//! its turn, and replicates which versions they say run. Whose turn it is is decided in
//! `paasta_coordinator_core::remotes`; what refs mean, in `paasta_common::deployments`.
//!
//! deployments.json is written as well, for other readers; nothing here depends on it.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use paasta_common::{
    config::{DeploymentsConfig, SystemConfig},
    id::ServiceName,
    soa::SoaDir,
};
use paasta_coordinator_core::{
    remotes::{Answer, Pace, Remote, Remotes},
    state::{
        actor::Actor,
        command::{Command, SetVersions},
    },
};
use paasta_process::chain::chain;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::ask::{Asked, Question};
use crate::{machine::ClusterMachine, options::Options, propose::Proposer, store::IoMode};

/// Between two looks at which services there are.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// The longest sleep: a lost wake-up costs no more than this.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// The sleep while some are due and there is no room for them.
const NO_ROOM: Duration = Duration::from_millis(500);
/// Tags of which it is remembered who pushed them until they are seen; the oldest goes.
const TOLD_MAX: usize = 10_000;

/// Follows repositories. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    machine: ClusterMachine,
    proposer: Proposer,
    system: Arc<SystemConfig>,
    dir: Arc<PathBuf>,
    remotes: Arc<Mutex<Remotes>>,
    told: Arc<Mutex<Told>>,
    /// Why deployments.json was not written the last time; empty when it was.
    write_error: Arc<Mutex<String>>,
    /// There is something to ask before its time.
    poked: Arc<Notify>,
    /// There are new versions.
    changed: Arc<Notify>,
    /// Hashes of what was asked and answered last, to do nothing about the same again.
    seen: Arc<Mutex<BTreeMap<ServiceName, u64>>>,
    io: IoMode,
}

/// Who pushed which tags, as they said.
#[derive(Default)]
struct Told {
    order: VecDeque<String>,
    by: BTreeMap<String, Actor>,
}

/// How the repositories answer.
pub struct Following {
    /// Whether they are followed at all.
    pub follows: bool,
    /// Each, by service.
    pub remotes: Vec<(ServiceName, Remote)>,
    /// Why deployments.json cannot be written; empty when it can.
    pub write_error: String,
}

/// The repositories with an error or a warning.
#[derive(Debug, Clone, Default)]
pub struct Troubled {
    /// They, by service.
    pub remotes: BTreeMap<ServiceName, Remote>,
    /// How many are followed in all.
    pub total: usize,
}

impl Troubled {
    /// Those that do not answer.
    pub fn failing(&self) -> impl Iterator<Item = (&ServiceName, &Remote)> {
        self.remotes
            .iter()
            .filter(|(_, remote)| remote.failures > 0)
    }
}

impl Repositories {
    /// Follows the repositories of the services in the soa directory of the options.
    pub(super) fn new(machine: ClusterMachine, proposer: Proposer, options: &Options) -> Self {
        let remotes = Remotes::new(pace(&options.system.deployments));
        Self {
            machine,
            proposer,
            system: Arc::new(options.system.clone()),
            dir: Arc::new(options.soa_dir.clone()),
            remotes: Arc::new(Mutex::new(remotes)),
            told: Arc::default(),
            write_error: Arc::default(),
            poked: Arc::default(),
            changed: Arc::default(),
            seen: Arc::default(),
            io: options.raft.io,
        }
    }

    /// Whether git says what runs. A simulation has no git and no other programs.
    pub(super) fn follows(&self) -> bool {
        self.system.deployments.generate && self.io != IoMode::Inline
    }

    /// The file with the secret by which git servers tell of a push; without one they cannot.
    pub fn hook_secret_file(&self) -> Option<&Path> {
        let configured = self.system.deployments.hook_secret_file.as_deref();
        configured.map(Path::new)
    }

    /// Resolves when there are new versions.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How the repositories answer.
    pub fn following(&self) -> Following {
        let remotes = self.remotes.lock();
        let each = remotes
            .iter()
            .map(|(service, remote)| (service.clone(), remote.clone()));
        Following {
            follows: self.follows(),
            remotes: each.collect(),
            write_error: self.write_error.lock().clone(),
        }
    }

    /// Asks the repository of `service` next; `by` says that they pushed these tags. False when
    /// there is no such service.
    pub fn poke(&self, service: &ServiceName, tags: &[String], by: &Actor) -> bool {
        {
            let mut told = self.told.lock();
            for tag in tags {
                told.remember(tag, by);
            }
        }
        let known = self.remotes.lock().poke(service);
        self.poked.notify_one();
        known
    }

    /// The repositories with an error or a warning, and how many there are in all.
    pub fn troubled(&self) -> Troubled {
        let remotes = self.remotes.lock();
        let in_trouble = |remote: &Remote| remote.failures > 0 || !remote.warning.is_empty();
        let found = remotes.iter().filter(|(_, remote)| in_trouble(remote));
        Troubled {
            remotes: found
                .map(|(service, remote)| (service.clone(), remote.clone()))
                .collect(),
            total: remotes.iter().count(),
        }
    }

    /// Follows them until `ended`. Nothing is said of them by one that does not lead.
    pub(super) async fn follow(&self, ended: &CancellationToken) {
        if !self.follows() {
            return ended.cancelled().await;
        }
        self.ask_in_turn(ended).await;
        *self.remotes.lock() = Remotes::new(pace(&self.system.deployments));
    }

    async fn ask_in_turn(&self, ended: &CancellationToken) {
        *self.remotes.lock() = Remotes::new(pace(&self.system.deployments));
        self.seen.lock().clear();
        let mut running = JoinSet::new();
        let mut listed: Option<Instant> = None;
        loop {
            if listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    () = self.list() => listed = Some(Instant::now()),
                }
            }
            let due = self.remotes.lock().take_due(self.proposer.now());
            for service in due {
                let this = self.clone();
                running.spawn(async move { this.ask(&service).await });
            }
            tokio::select! {
                biased;
                // Dropping the set ends every git that still runs.
                () = ended.cancelled() => return,
                Some(_) = running.join_next() => {}
                () = self.poked.notified() => {}
                () = tokio::time::sleep(self.sleep()) => {}
            }
        }
    }

    fn sleep(&self) -> Duration {
        let next = self.remotes.lock().wake_at();
        let wait = next.map(|at| at.since_ms(self.proposer.now()));
        // One that is due and found no room waits for an answer, which wakes us too.
        let wait = wait.map_or(SLEEP_MAX, |ms| match ms {
            0 => NO_ROOM,
            ms => Duration::from_millis(ms),
        });
        wait.min(SLEEP_MAX)
    }

    /// Which services there are.
    async fn list(&self) {
        let (dir, known) = (Arc::clone(&self.dir), Arc::clone(&self.remotes));
        let system = Arc::clone(&self.system);
        let listed = self.io.run(move || {
            let Ok(soa) = SoaDir::open(dir.as_path()) else {
                return Ok(None);
            };
            let Ok(services) = soa.services() else {
                return Ok(None);
            };
            let missing = known.lock().missing(&services);
            let url = |service: &ServiceName| {
                let url = soa.service(service).ok()?.repository(service, &system)?;
                Some(url.to_string())
            };
            let new: Vec<(ServiceName, String)> = missing
                .into_iter()
                .map(|service| {
                    let url = url(&service).unwrap_or_default();
                    (service, url)
                })
                .collect();
            Ok(Some((services, new)))
        });
        // A directory that cannot be read changes nothing: `desired` says so.
        let Ok(Some((services, new))) = listed.await else {
            return;
        };
        let now = self.proposer.now();
        {
            let mut remotes = self.remotes.lock();
            remotes.retain(&services);
            for (service, url) in new {
                remotes.add(service, url, now, chance());
            }
        }
        self.forget(&services).await;
    }

    /// Versions of services that are gone, with their last instance, go too.
    async fn forget(&self, services: &[ServiceName]) {
        let gone: Vec<Command> = {
            let state = self.machine.read();
            let used =
                |service: &ServiceName| state.instances().any(|(id, _)| id.service == *service);
            let known = state.all_versions().keys();
            let gone = known.filter(|service| services.binary_search(service).is_err());
            let gone = gone.filter(|service| !used(service)).cloned();
            gone.map(|service| {
                let versions = None;
                Command::SetVersions(SetVersions { service, versions })
            })
            .collect()
        };
        if !gone.is_empty() {
            for result in self.proposer.propose_all(gone).await {
                if let Err(error) = result {
                    tracing::warn!(%error, "versions of a service that is gone stay for now");
                }
            }
        }
    }

    async fn ask(&self, service: &ServiceName) {
        let question = Question {
            service,
            machine: &self.machine,
            proposer: &self.proposer,
            system: &self.system,
            dir: &self.dir,
            io: self.io,
        };
        let told = |tag: &str| self.told.lock().by.get(tag).cloned();
        let last = self.seen.lock().get(service).copied();
        let (url, asked) = question.ask(last, told).await;
        let answer = match asked {
            Ok(Some(Asked {
                hash,
                changed,
                warning,
                written,
            })) => {
                self.seen.lock().insert(service.clone(), hash);
                if changed {
                    self.changed.notify_one();
                }
                self.wrote(service, written);
                Answer::Answered { warning }
            }
            Ok(None) => Answer::Nowhere,
            Err(error) => {
                let timed_out = error.timed_out();
                let error = chain(&error);
                tracing::debug!(%service, error, "a repository does not answer");
                Answer::Failed { error, timed_out }
            }
        };
        self.tell_of(service, &answer);
        let now = self.proposer.now();
        self.remotes
            .lock()
            .done(service, &url, answer, now, chance());
    }

    /// Failing and answering again are told once each, and so is a warning.
    fn tell_of(&self, service: &ServiceName, answer: &Answer) {
        let (before, warned) = {
            let remotes = self.remotes.lock();
            let known = remotes.get(service);
            let warned = known.map(|remote| remote.warning.clone());
            let before = known.is_some_and(|remote| remote.failures > 0);
            (before, warned.unwrap_or_default())
        };
        if let Answer::Answered { warning } = answer
            && !warning.is_empty()
            && *warning != warned
        {
            tracing::warn!(%service, warning, "a repository has tags that count for nothing");
        }
        match answer {
            Answer::Failed { error, .. } if !before => {
                tracing::warn!(%service, error, "a repository does not answer; its last answer stays");
            }
            Answer::Answered { .. } if before => {
                tracing::info!(%service, "a repository answers again");
            }
            Answer::Failed { .. } | Answer::Answered { .. } | Answer::Nowhere => {}
        }
    }

    fn wrote(&self, service: &ServiceName, written: Result<(), String>) {
        let error = written.err().unwrap_or_default();
        let mut known = self.write_error.lock();
        if !error.is_empty() && known.is_empty() {
            tracing::warn!(%service, error, "deployments.json is not written; set deployments.dir, or deployments.write to false");
        }
        *known = error;
    }
}

impl Told {
    fn remember(&mut self, tag: &str, by: &Actor) {
        if self.by.insert(tag.to_owned(), by.clone()).is_some() {
            return;
        }
        self.order.push_back(tag.to_owned());
        while self.order.len() > TOLD_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.by.remove(&oldest);
            }
        }
    }
}

fn pace(config: &DeploymentsConfig) -> Pace {
    Pace {
        every_ms: config.every_seconds * 1_000,
        retry_max_ms: config.retry_max_seconds * 1_000,
        at_once: config.at_once as usize,
    }
}

fn chance() -> u64 {
    rand::rng().random_range(0..1_000)
}
