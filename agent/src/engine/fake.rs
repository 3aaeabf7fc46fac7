//! An engine in memory, for tests and simulations: it does what it is told, and fails as it is
//! told.

mod calls;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use paasta_agent_core::{
    collect::HeldImage,
    disk::Storage,
    labels,
    observed::{ContainerState, Seen},
};
use paasta_common::{container::ContainerSpec, time::Timestamp};
use paasta_process::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

use super::{EngineError, Entries, Entry, Hint, Stream};

/// Hints that wait for a slow reader, at most; more are dropped, as hints may be.
const HINTS_MAX: usize = 64;
/// Deeds kept until somebody asks, at most.
const DEEDS_MAX: usize = 10_000;

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct FakeEngine {
    inner: Arc<Mutex<Inner>>,
    hints: broadcast::Sender<Hint>,
    wrote: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

/// How the engine behaves. Everything off: it works, at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// No call ever returns.
    pub hangs: bool,
    /// Calls naming these containers never return; others do.
    pub stuck: BTreeSet<String>,
    /// Every call is refused with these words.
    pub refuses: Option<String>,
    /// What is asked is done, and the answer is lost.
    pub answers_are_lost: bool,
    /// What is asked is done, and no call that changes anything ever returns.
    pub hangs_after: bool,
    /// Lists show what there was when this began, whatever became of it.
    pub lists_are_late: bool,
    /// Nothing is told of what befalls containers.
    pub hints_are_lost: bool,
    /// Images that the registry does not have.
    pub missing_images: BTreeSet<String>,
    /// Fetches that begin and do not end, of these images.
    pub slow_images: BTreeSet<String>,
    /// How long each call takes.
    pub latency: Duration,
    /// What commands inside containers exit with.
    pub exec_code: i64,
}

/// Something that was done to a container, whatever was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// It was made and has this name.
    Created(String),
    /// It was started.
    Started(String),
    /// It was stopped.
    Stopped(String),
    /// It was removed.
    Removed(String),
}

/// A container of the fake engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeContainer {
    /// What it was made from.
    pub spec: ContainerSpec,
    /// The id.
    pub id: String,
    /// What it does.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Processes in it that were killed for memory.
    pub memory_kills: u32,
    /// Bytes of its writable layer.
    pub layer_bytes: u64,
}

#[derive(Default)]
struct Inner {
    faults: Faults,
    storage: Storage,
    images: BTreeMap<String, HeldImage>,
    /// The working directories that images set.
    working_dirs: BTreeMap<String, String>,
    containers: BTreeMap<String, FakeContainer>,
    /// What each container wrote, by its id.
    written: BTreeMap<String, Vec<Entry>>,
    /// What lists that are late show.
    late_list: Option<BTreeMap<String, FakeContainer>>,
    next: u64,
    pulls: BTreeMap<String, u64>,
    created: u64,
    deeds: Vec<Deed>,
}

impl FakeEngine {
    /// An engine without containers and images.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::default(),
            hints: broadcast::channel(HINTS_MAX).0,
            wrote: Arc::default(),
            clock,
        }
    }

    /// Changes how it behaves.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner.lock().faults);
    }

    /// Lets a container's writable layer hold so many bytes. Nothing happens when there is none of
    /// this name.
    pub fn fill_layer(&self, name: &str, bytes: u64) {
        if let Some(container) = self.inner.lock().containers.get_mut(name) {
            container.layer_bytes = bytes;
        }
    }

    /// Sets where and how it keeps images and containers.
    pub fn keep_in(&self, storage: Storage) {
        self.inner.lock().storage = storage;
    }

    /// The containers, by name.
    pub fn containers(&self) -> BTreeMap<String, FakeContainer> {
        self.inner.lock().containers.clone()
    }

    /// How often each image was fetched.
    pub fn pulls(&self) -> BTreeMap<String, u64> {
        self.inner.lock().pulls.clone()
    }

    /// How many containers were ever made.
    pub fn created(&self) -> u64 {
        self.inner.lock().created
    }

    /// What was done to containers since this was last asked.
    pub fn take_deeds(&self) -> Vec<Deed> {
        std::mem::take(&mut self.inner.lock().deeds)
    }

    fn note(&self, deed: Deed) {
        let deeds = &mut self.inner.lock().deeds;
        if deeds.len() < DEEDS_MAX {
            deeds.push(deed);
        }
    }

    /// Puts a container there that the agent did not make.
    pub fn put(&self, container: FakeContainer) {
        let name = container.spec.name.clone();
        self.inner.lock().containers.insert(name, container);
    }

    /// Puts an image there that nobody fetched.
    pub fn put_image(&self, image: HeldImage) {
        let mut inner = self.inner.lock();
        for name in &image.names {
            inner.images.insert(name.clone(), image.clone());
        }
    }

    /// Lets an image set a working directory, whether it is here or not yet.
    pub fn working_dir(&self, image: &str, dir: &str) {
        let dirs = &mut self.inner.lock().working_dirs;
        dirs.insert(image.to_owned(), dir.to_owned());
    }

    /// The names of the images here.
    pub fn image_names(&self) -> Vec<String> {
        self.inner.lock().images.keys().cloned().collect()
    }

    /// Lets a container write a line. Nothing happens when there is none of this name.
    pub fn say(&self, name: &str, stream: Stream, line: &str) {
        let now_ns = self.clock.now().0.saturating_mul(1_000_000);
        let mut inner = self.inner.lock();
        let Some(id) = inner.containers.get(name).map(|held| held.id.clone()) else {
            return;
        };
        let written = inner.written.entry(id).or_default();
        // No two entries of one time: Docker counts nanoseconds.
        let after = written.last().map_or(0, |last| last.at_ns + 1);
        written.push(Entry {
            at_ns: now_ns.max(after),
            stream,
            line: Bytes::copy_from_slice(line.as_bytes()),
            partial: false,
            gap: false,
        });
        drop(inner);
        self.wrote.notify_waiters();
    }

    /// Ends a container's process. Nothing happens when there is none.
    pub fn crash(&self, name: &str, exit_code: i64) {
        let mut inner = self.inner.lock();
        let told = !inner.faults.hints_are_lost;
        if let Some(container) = inner.containers.get_mut(name) {
            container.state = ContainerState::Exited;
            container.exit_code = Some(exit_code);
            container.ended_at = Some(self.clock.now());
            if told {
                self.hint(&container.seen(), None);
            }
        }
    }

    /// Kills a process in a container for its memory, the main one where `main` says so. Nothing
    /// happens when there is none.
    pub fn memory_kill(&self, name: &str, main: bool) {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let told = !inner.faults.hints_are_lost;
        if let Some(container) = inner.containers.get_mut(name) {
            container.memory_kills += 1;
            if told {
                self.hint(&container.seen(), Some(now));
            }
        }
        drop(inner);
        if main {
            self.crash(name, 137);
        }
    }

    /// Pauses a container, or lets it go on. Nothing happens when there is none.
    pub fn pause(&self, name: &str, paused: bool) {
        let mut inner = self.inner.lock();
        let told = !inner.faults.hints_are_lost;
        if let Some(container) = inner.containers.get_mut(name) {
            container.state = match paused {
                true => ContainerState::Paused,
                false => ContainerState::Running,
            };
            if told {
                self.hint(&container.seen(), None);
            }
        }
    }

    /// Gives a container another name. Nothing happens when there is none.
    pub fn rename(&self, name: &str, other: &str) {
        let mut inner = self.inner.lock();
        if let Some(mut container) = inner.containers.remove(name) {
            other.clone_into(&mut container.spec.name);
            inner.containers.insert(other.to_owned(), container);
        }
    }

    /// Ends them all, as a loss of power does.
    pub fn crash_all(&self) {
        for container in self.inner.lock().containers.values_mut() {
            container.state = ContainerState::Exited;
            container.ended_at = Some(self.clock.now());
        }
    }

    fn hint(&self, seen: &Seen, memory_kill_at: Option<Timestamp>) {
        self.wrote.notify_waiters();
        if let Some(replica) = seen.replica {
            let hint = Hint {
                replica,
                run: seen.run,
                memory_kill_at,
            };
            // Nobody may be listening, and that is fine for a hint.
            let _ = self.hints.send(hint);
        }
    }

    /// What every call goes through first.
    async fn gate(&self, container: Option<&str>) -> Result<(), EngineError> {
        let faults = self.inner.lock().faults.clone();
        if !faults.latency.is_zero() {
            tokio::time::sleep(faults.latency).await;
        }
        if faults.hangs || container.is_some_and(|name| faults.stuck.contains(name)) {
            std::future::pending::<()>().await;
        }
        match faults.refuses {
            Some(words) => Err(EngineError::Refused(words)),
            None => Ok(()),
        }
    }

    fn with<T>(
        &self,
        container: &str,
        act: impl FnOnce(&mut FakeContainer) -> T,
    ) -> Result<T, EngineError> {
        let mut inner = self.inner.lock();
        let found = inner
            .containers
            .values_mut()
            .find(|held| held.spec.name == container || held.id == container);
        match found {
            Some(held) => Ok(act(held)),
            None => Err(EngineError::Missing(format!(
                "no such container: {container}"
            ))),
        }
    }

    /// What every call that changed something goes through last.
    async fn answer<T>(&self, value: T) -> Result<T, EngineError> {
        let faults = self.inner.lock().faults.clone();
        if faults.hangs_after {
            std::future::pending::<()>().await;
        }
        match faults.answers_are_lost {
            true => Err(EngineError::Silent("the answer was lost".to_owned())),
            false => Ok(value),
        }
    }

    /// What the container wrote since, and with `follow` what it goes on to write until it ends.
    fn entries(&self, id: String, since_s: u64, follow: bool) -> Entries<'static> {
        let engine = self.clone();
        let next = move |at: usize| {
            let (engine, id) = (engine.clone(), id.clone());
            async move {
                loop {
                    let wrote = engine.wrote.clone();
                    let waiting = wrote.notified();
                    let (found, over) = engine.written(&id, at);
                    match found {
                        Some(entry) => return Some((Ok(entry), at + 1)),
                        None if over || !follow => return None,
                        None => waiting.await,
                    }
                }
            }
        };
        let since_ns = since_s.saturating_mul(1_000_000_000);
        stream::unfold(0, next)
            .filter(move |entry: &Result<Entry, EngineError>| {
                let fits = entry.as_ref().is_ok_and(|entry| entry.at_ns >= since_ns);
                std::future::ready(fits)
            })
            .boxed()
    }

    /// The entry at that place, and whether no more will come.
    fn written(&self, id: &str, at: usize) -> (Option<Entry>, bool) {
        let inner = self.inner.lock();
        let entry = inner.written.get(id).and_then(|all| all.get(at)).cloned();
        let runs = inner
            .containers
            .values()
            .any(|held| held.id == id && held.state.is_alive());
        (entry, !runs)
    }

    fn make(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let mut inner = self.inner.lock();
        if !inner.images.contains_key(&spec.image) {
            return Err(EngineError::Missing(format!(
                "no such image: {}",
                spec.image
            )));
        }
        if let Some(held) = inner.containers.get(&spec.name) {
            return match held.spec.labels == spec.labels {
                true => Ok(held.id.clone()),
                false => Err(EngineError::Refused("the name is taken".to_owned())),
            };
        }
        inner.next += 1;
        inner.created += 1;
        let id = format!("fake{:06}", inner.next);
        let container = FakeContainer {
            spec: spec.clone(),
            id: id.clone(),
            state: ContainerState::Created,
            created_at: self.clock.now(),
            exit_code: None,
            ended_at: None,
            memory_kills: 0,
            layer_bytes: 0,
        };
        inner.containers.insert(spec.name.clone(), container);
        drop(inner);
        self.note(Deed::Created(spec.name.clone()));
        Ok(id)
    }
}

impl FakeContainer {
    fn seen(&self) -> Seen {
        let label = |name: &str| self.spec.labels.get(name).map(String::as_str);
        Seen {
            container: self.id.clone(),
            name: self.spec.name.clone(),
            cluster_id: label(labels::CLUSTER).unwrap_or_default().to_owned(),
            host: label(labels::HOST).and_then(|text| text.parse().ok()),
            replica: label(labels::REPLICA).and_then(|text| text.parse().ok()),
            run: label(labels::RUN)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            state: self.state,
            created_at: self.created_at,
            host_port: label(labels::HOST_PORT).and_then(|text| text.parse().ok()),
        }
    }
}
