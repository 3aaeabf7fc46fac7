//! Container operations, a lane for each replica: what is stuck in one lane delays no other. Each
//! operation ends with an answer, if only that there was none in time.

use std::{
    collections::BTreeMap,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use paasta_agent_core::{
    actions::{Action, Lane},
    labels::{self, sandbox_name},
    observed::{Event, Found, Remains, RunError},
};
use paasta_common::{container::ContainerSpec, id::ReplicaId};
use paasta_process::simulated;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{
    engine::{Answer, Engine, EngineError, Inspected},
    inbox::Happened,
    logs::{RunKey, capture::Captures},
    mounts::private::PrivateMounts,
    sandbox::Sandboxes,
};

/// How long an operation keeps its place among those that go on at the same time.
const PLACE_MAX: Duration = Duration::from_secs(5);
/// The grace of a container that is reaped.
const REAP_GRACE_MS: u64 = 10_000;

/// How long the engine may take for each operation; then it counts as without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Making a container, and starting one.
    pub start: Duration,
    /// Removing one, and stopping one beyond its grace.
    pub remove: Duration,
    /// Looking at one.
    pub look: Duration,
}

impl Patience {
    /// `limit` for what takes longest, less for the rest.
    pub fn of(limit: Duration) -> Self {
        Self {
            start: limit,
            remove: limit / 2,
            look: limit / 6,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(Duration::from_secs(60))
    }
}

/// Runs operations; the agent decides which.
#[derive(Clone)]
pub struct Lanes {
    engine: Arc<dyn Engine>,
    sandboxes: Sandboxes,
    mounts: PrivateMounts,
    captures: Captures,
    patience: Patience,
    places: Arc<Semaphore>,
    inbox: mpsc::Sender<Happened>,
}

impl Lanes {
    /// At most `parallel` operations at a time; what they come to goes to `inbox`.
    pub fn new(
        engine: Arc<dyn Engine>,
        (sandboxes, mounts): (Sandboxes, PrivateMounts),
        captures: Captures,
        (parallel, patience): (usize, Patience),
        inbox: mpsc::Sender<Happened>,
    ) -> Self {
        Self {
            engine,
            sandboxes,
            mounts,
            captures,
            patience,
            places: Arc::new(Semaphore::new(parallel.max(1))),
            inbox,
        }
    }

    /// Begins an operation in its lane. Others than `Run`, `Look`, `End` and `Reap` have none.
    pub fn begin(&self, lane: Lane, action: Action) {
        let lanes = self.clone();
        tokio::spawn(async move {
            let place = Place::new(&lanes.places);
            place.take().await;
            let mut work = pin!(lanes.perform(&place, action));
            let (event, silence) = match timeout(PLACE_MAX, &mut work).await {
                Ok(ended) => ended,
                Err(_slow) => {
                    place.give_up();
                    work.await
                }
            };
            let ended = Happened::LaneEnded {
                lane,
                event,
                silence,
            };
            // When the agent is gone nobody waits for the answer.
            let _ = lanes.inbox.send(ended).await;
        });
    }

    /// What it came to, and what there was instead of an answer when the engine gave none.
    async fn perform(&self, place: &Place, action: Action) -> (Option<Event>, Option<String>) {
        match action {
            Action::Run { replica, run, spec } => {
                let result = self.run(replica, run, &spec).await;
                let silence = match &result {
                    Err(RunError::Unknown(words)) => Some(words.clone()),
                    _ => None,
                };
                let ran = Event::Ran {
                    replica,
                    run,
                    result,
                };
                (Some(ran), silence)
            }
            Action::Look {
                replica,
                run,
                container,
            } => {
                let result = self.look(&container).await;
                let silence = silence(&result);
                let looked = Event::Looked {
                    replica,
                    run,
                    result: result.map_err(|error| error.to_string()),
                };
                (Some(looked), silence)
            }
            Action::End {
                replica,
                run,
                name,
                identity,
                grace_ms,
            } => {
                tracing::info!(%replica, run, container = name, "ending run");
                let run_of = (name.as_str(), &identity);
                let result = self.end(place, run_of, (replica, run), grace_ms).await;
                if result.is_ok() {
                    self.release(replica, run).await;
                }
                let silence = silence(&result);
                let ended = Event::Ended {
                    replica,
                    run,
                    result: result.map_err(|error| error.to_string()),
                };
                (Some(ended), silence)
            }
            Action::Reap {
                container,
                name,
                why,
            } => {
                tracing::warn!(container = name, why, "reaping container");
                let result = self.reap(place, &container).await;
                if let Err(error) = &result {
                    tracing::warn!(container = name, %error, "container was not reaped");
                }
                (None, silence(&result))
            }
            Action::Pull { .. }
            | Action::CancelPull { .. }
            | Action::Probe { .. }
            | Action::Drain { .. } => (None, None),
        }
    }

    async fn run(
        &self,
        replica: ReplicaId,
        run: u64,
        spec: &ContainerSpec,
    ) -> Result<String, RunError> {
        tracing::info!(%replica, run, container = spec.name, image = spec.image, "starting run");
        let (sandboxes, name) = (self.sandboxes.clone(), sandbox_name(replica, run));
        on_disk(move || sandboxes.prepare(&name))
            .await
            .map_err(|error| RunError::Refused(format!("its sandbox: {error}")))?;
        let (mounts, asked, name) = (
            self.mounts.clone(),
            spec.clone(),
            sandbox_name(replica, run),
        );
        let prepared = on_disk(move || mounts.prepare(&name, &asked).map_err(io::Error::other));
        let prepared = prepared
            .await
            .map_err(|error| RunError::Refused(format!("its mounts: {error}")))?;
        let ran = self.create_and_start(&prepared).await;
        // Without an answer it may start yet, and needs them until its end.
        if !matches!(ran, Err(RunError::Unknown(_))) {
            self.release(replica, run).await;
        }
        ran
    }

    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<String, RunError> {
        let id = within(self.patience.start, self.engine.create(spec))
            .await
            .map_err(run_error)?;
        within(self.patience.start, self.engine.start(&id))
            .await
            .map_err(run_error)?;
        Ok(id)
    }

    /// Takes away the private mounts of a run.
    async fn release(&self, replica: ReplicaId, run: u64) {
        let (mounts, name) = (self.mounts.clone(), sandbox_name(replica, run));
        let released = on_disk(move || {
            mounts.release(&name);
            Ok(())
        });
        if let Err(error) = released.await {
            tracing::warn!(%replica, run, %error, "the private mounts of a run stay");
        }
    }

    async fn look(&self, container: &str) -> Result<Found, EngineError> {
        match within(self.patience.look, self.engine.inspect(container)).await {
            Ok(found) if found.running => Ok(Found::Running {
                paused: found.paused,
                memory_kills: found.memory_kills,
            }),
            Ok(found) => Ok(Found::Ended { at: found.ended_at }),
            Err(EngineError::Missing(_)) => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    async fn end(
        &self,
        place: &Place,
        (name, identity): (&str, &BTreeMap<String, String>),
        of: (ReplicaId, u64),
        grace_ms: u64,
    ) -> Result<Remains, EngineError> {
        let Some(found) = self.find(name, identity, of).await? else {
            return Ok(Remains::default());
        };
        // From here on by id: the name may be given again.
        let container = found.container.clone();
        let name = container.as_str();
        let last_words = |found| self.last_words(of, found);
        let (ended, last_words) = if found.running {
            self.stop(place, name, grace_ms).await?;
            let ended = within(self.patience.look, self.engine.inspect(name)).await;
            (ended, last_words(&found).await)
        } else {
            let words = last_words(&found).await;
            (Ok(found), words)
        };
        gone_is_fine(within(self.patience.remove, self.engine.remove(name)).await)?;
        let ended = ended.ok();
        let exit_code = ended.as_ref().and_then(|ended| ended.exit_code);
        Ok(Remains {
            exit_code,
            signal: exit_code.and_then(signal),
            memory_killed: ended.as_ref().is_some_and(|ended| ended.memory_killed),
            ended_at: ended.and_then(|ended| ended.ended_at),
            last_words,
        })
    }

    /// The container of a run: by its name, and when another has given it one that differs, by
    /// its labels.
    async fn find(
        &self,
        name: &str,
        identity: &BTreeMap<String, String>,
        (replica, run): (ReplicaId, u64),
    ) -> Result<Option<Inspected>, EngineError> {
        match within(self.patience.look, self.engine.inspect(name)).await {
            Ok(found) if found.is(identity) => return Ok(Some(found)),
            Ok(_) => tracing::warn!(container = name, "left alone: it is not the run's"),
            Err(EngineError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        let host = identity.get(labels::HOST).map_or("", String::as_str);
        let listed = within(self.patience.look, self.engine.list(host)).await?;
        let of_run = listed.into_iter().filter(|seen| {
            (seen.replica, seen.run) == (Some(replica), run)
                && identity.get(labels::CLUSTER) == Some(&seen.cluster_id)
        });
        for seen in of_run {
            match within(self.patience.look, self.engine.inspect(&seen.container)).await {
                Ok(found) if found.is(identity) => {
                    tracing::warn!(container = found.name, was = name, "was renamed");
                    return Ok(Some(found));
                }
                Ok(_) | Err(EngineError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Captures what is left of its output. Worth a try, not a failure.
    async fn last_words(&self, (replica, run): (ReplicaId, u64), found: &Inspected) -> String {
        let label = |name: &str| found.labels.get(name).map(String::as_str);
        let (service, instance) = (label(labels::SERVICE), label(labels::INSTANCE));
        let named = format!(
            "{}.{}",
            service.unwrap_or_default(),
            instance.unwrap_or_default()
        );
        let Ok(instance) = named.parse() else {
            return String::new();
        };
        let key = RunKey {
            instance,
            replica,
            run,
        };
        match timeout(
            self.patience.look,
            self.captures.finish(&key, &found.container),
        )
        .await
        {
            Ok(Ok(words)) => words,
            Ok(Err(error)) => {
                tracing::warn!(run = %key, error, "the end of its output was not captured");
                String::new()
            }
            Err(_) => {
                tracing::warn!(run = %key, "the end of its output was not captured in time");
                String::new()
            }
        }
    }

    async fn reap(&self, place: &Place, container: &str) -> Result<(), EngineError> {
        self.stop(place, container, REAP_GRACE_MS).await?;
        gone_is_fine(within(self.patience.remove, self.engine.remove(container)).await)
    }

    /// While a container has its grace the engine has nothing to do, and another may have the
    /// place.
    async fn stop(&self, place: &Place, name: &str, grace_ms: u64) -> Result<(), EngineError> {
        place.leave();
        let patience = self.patience.remove + Duration::from_millis(grace_ms);
        let stopped = within(patience, self.engine.stop(name, grace_ms)).await;
        place.take().await;
        gone_is_fine(stopped)
    }
}

/// One of the places for operations that go on at the same time. Who is stuck has none: a lane
/// without an answer must not delay another.
struct Place {
    all: Arc<Semaphore>,
    taken: Mutex<Option<OwnedSemaphorePermit>>,
    given_up: AtomicBool,
}

impl Place {
    fn new(all: &Arc<Semaphore>) -> Self {
        Self {
            all: Arc::clone(all),
            taken: Mutex::new(None),
            given_up: AtomicBool::new(false),
        }
    }

    async fn take(&self) {
        if self.given_up.load(Ordering::SeqCst) {
            return;
        }
        // They are never closed; without a place the work is done all the same.
        let place = Arc::clone(&self.all).acquire_owned().await.ok();
        *self.taken.lock() = place;
    }

    fn leave(&self) {
        *self.taken.lock() = None;
    }

    /// Leaves it for good.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.leave();
    }
}

fn silence<T>(result: &Result<T, EngineError>) -> Option<String> {
    match result {
        Err(EngineError::Silent(words)) => Some(words.clone()),
        _ => None,
    }
}

/// Stops and removes a container that nothing accounts for, by its id.
pub(crate) async fn reap_one(engine: &dyn Engine, container: &str) -> Result<(), EngineError> {
    let remove = Patience::default().remove;
    let stop = remove + Duration::from_millis(REAP_GRACE_MS);
    gone_is_fine(within(stop, engine.stop(container, REAP_GRACE_MS)).await)?;
    gone_is_fine(within(remove, engine.remove(container)).await)
}

/// An answer, or that there was none in time.
pub(crate) async fn within<T>(patience: Duration, answer: Answer<'_, T>) -> Result<T, EngineError> {
    timeout(patience, answer)
        .await
        .unwrap_or_else(|_| Err(EngineError::Silent(format!("nothing within {patience:?}"))))
}

fn gone_is_fine(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::Missing(_)) => Ok(()),
        result => result,
    }
}

fn run_error(error: EngineError) -> RunError {
    match error {
        EngineError::Silent(words) => RunError::Unknown(words),
        EngineError::Missing(words) | EngineError::Refused(words) => RunError::Refused(words),
    }
}

/// The signal that an exit code stands for: the shell's convention, which Docker follows.
fn signal(exit_code: i64) -> Option<String> {
    let number = i32::try_from(exit_code.checked_sub(128)?).ok()?;
    let signal = nix::sys::signal::Signal::try_from(number).ok()?;
    Some(signal.as_str().to_owned())
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    simulated::blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
