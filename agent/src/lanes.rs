//! Container operations, a lane for each replica: what is stuck in one lane delays no other. Each
//! operation ends with an answer, if only that there was none in time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_agent_core::{
    actions::{Action, Lane},
    labels::{self, sandbox_name},
    observed::{Event, Remains, RunError},
};
use paasta_common::{container::ContainerSpec, id::ReplicaId};
use paasta_process::simulated;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    agent::Happened,
    engine::{Answer, Engine, EngineError, Inspected},
    logs::{RunKey, capture::Captures},
    sandbox::Sandboxes,
};

/// How long making or starting a container may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long looking at one may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long removing one may take, and stopping one beyond its grace.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(30);
/// The grace of a container that is reaped.
const REAP_GRACE_MS: u64 = 10_000;

/// Runs operations; the agent decides which.
#[derive(Clone)]
pub struct Lanes {
    engine: Arc<dyn Engine>,
    sandboxes: Sandboxes,
    captures: Captures,
    permits: Arc<Semaphore>,
    inbox: mpsc::Sender<Happened>,
}

impl Lanes {
    /// At most `parallel` operations at a time; what they come to goes to `inbox`.
    pub fn new(
        engine: Arc<dyn Engine>,
        sandboxes: Sandboxes,
        captures: Captures,
        parallel: usize,
        inbox: mpsc::Sender<Happened>,
    ) -> Self {
        Self {
            engine,
            sandboxes,
            captures,
            permits: Arc::new(Semaphore::new(parallel.max(1))),
            inbox,
        }
    }

    /// Begins an operation in its lane. Others than `Run`, `End` and `Reap` have none.
    pub fn begin(&self, lane: Lane, action: Action) {
        let lanes = self.clone();
        tokio::spawn(async move {
            let event = match lanes.permits.acquire().await {
                Ok(_permit) => lanes.perform(action).await,
                Err(_closed) => None,
            };
            // When the agent is gone nobody waits for the answer.
            let _ = lanes.inbox.send(Happened::LaneEnded { lane, event }).await;
        });
    }

    async fn perform(&self, action: Action) -> Option<Event> {
        match action {
            Action::Run { replica, run, spec } => Some(Event::Ran {
                replica,
                run,
                result: self.run(replica, run, &spec).await,
            }),
            Action::End {
                replica,
                run,
                name,
                identity,
                grace_ms,
            } => {
                tracing::info!(%replica, run, container = name, "ending run");
                let of = (replica, run);
                let result = self.end(&name, &identity, of, grace_ms).await;
                Some(Event::Ended {
                    replica,
                    run,
                    result: result.map_err(|error| error.to_string()),
                })
            }
            Action::Reap {
                container,
                name,
                why,
            } => {
                tracing::warn!(container = name, why, "reaping container");
                if let Err(error) = self.reap(&container).await {
                    tracing::warn!(container = name, %error, "container was not reaped");
                }
                None
            }
            Action::Pull { .. }
            | Action::CancelPull { .. }
            | Action::Probe { .. }
            | Action::Drain { .. } => None,
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
        let id = within(START_TIMEOUT, self.engine.create(spec))
            .await
            .map_err(run_error)?;
        within(START_TIMEOUT, self.engine.start(&id))
            .await
            .map_err(run_error)?;
        Ok(id)
    }

    async fn end(
        &self,
        name: &str,
        identity: &BTreeMap<String, String>,
        of: (ReplicaId, u64),
        grace_ms: u64,
    ) -> Result<Remains, EngineError> {
        let found = match within(LOOK_TIMEOUT, self.engine.inspect(name)).await {
            Err(EngineError::Missing(_)) => return Ok(Remains::default()),
            found => found?,
        };
        if !found.is(identity) {
            tracing::warn!(
                container = name,
                "left alone: another's container of this name"
            );
            return Ok(Remains::default());
        }
        // From here on by id: the name may be given again.
        let name = found.container.as_str();
        if found.running {
            let patience = REMOVE_TIMEOUT + Duration::from_millis(grace_ms);
            gone_is_fine(within(patience, self.engine.stop(name, grace_ms)).await)?;
        }
        let ended = within(LOOK_TIMEOUT, self.engine.inspect(name)).await;
        let last_words = self.last_words(of, &found).await;
        gone_is_fine(within(REMOVE_TIMEOUT, self.engine.remove(name)).await)?;
        Ok(Remains {
            exit_code: ended.as_ref().ok().and_then(|ended| ended.exit_code),
            out_of_memory: ended.is_ok_and(|ended| ended.out_of_memory),
            last_words,
        })
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
        match timeout(LOOK_TIMEOUT, self.captures.finish(&key, &found.container)).await {
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

    async fn reap(&self, container: &str) -> Result<(), EngineError> {
        let patience = REMOVE_TIMEOUT + Duration::from_millis(REAP_GRACE_MS);
        gone_is_fine(within(patience, self.engine.stop(container, REAP_GRACE_MS)).await)?;
        gone_is_fine(within(REMOVE_TIMEOUT, self.engine.remove(container)).await)
    }
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

async fn on_disk(
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<()> {
    simulated::blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
