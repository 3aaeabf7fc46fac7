//! Container operations, a lane for each replica: what is stuck in one lane delays no other. Each
//! operation ends with an answer, if only that there was none in time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_agent_core::{
    actions::{Action, Lane},
    labels::sandbox_name,
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
    engine::{Answer, Engine, EngineError, Tail},
    sandbox::Sandboxes,
};

/// How long making or starting a container may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long looking at one may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long removing one may take, and stopping one beyond its grace.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many of the last lines of a run are kept.
pub const TAIL_LINES: u32 = 1_000;
/// How many bytes of each stream at most.
pub const TAIL_BYTES: usize = 256 << 10;
/// How many bytes of the last words go into the status.
const LAST_WORDS_BYTES: usize = 300;
/// The grace of a container that is reaped.
const REAP_GRACE_MS: u64 = 10_000;

/// Runs operations; the agent decides which.
#[derive(Clone)]
pub struct Lanes {
    engine: Arc<dyn Engine>,
    sandboxes: Sandboxes,
    permits: Arc<Semaphore>,
    inbox: mpsc::Sender<Happened>,
}

impl Lanes {
    /// At most `parallel` operations at a time; what they come to goes to `inbox`.
    pub fn new(
        engine: Arc<dyn Engine>,
        sandboxes: Sandboxes,
        parallel: usize,
        inbox: mpsc::Sender<Happened>,
    ) -> Self {
        Self {
            engine,
            sandboxes,
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
                let sandbox = sandbox_name(replica, run);
                let result = self.end(&name, &identity, &sandbox, grace_ms).await;
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
            Action::Pull { .. } | Action::Probe { .. } | Action::Drain { .. } => None,
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
        sandbox: &str,
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
        // What it wrote is worth a try, not a failure.
        let tail = within(LOOK_TIMEOUT, self.engine.tail(name, TAIL_LINES, TAIL_BYTES)).await;
        let tail = tail.unwrap_or_default();
        let last_words = last_words(&tail);
        let (sandboxes, sandbox) = (self.sandboxes.clone(), sandbox.to_owned());
        if let Err(error) = on_disk(move || sandboxes.keep(&sandbox, &tail)).await {
            tracing::warn!(container = name, %error, "last words were not kept");
        }
        gone_is_fine(within(REMOVE_TIMEOUT, self.engine.remove(name)).await)?;
        Ok(Remains {
            exit_code: ended.as_ref().ok().and_then(|ended| ended.exit_code),
            out_of_memory: ended.is_ok_and(|ended| ended.out_of_memory),
            last_words,
        })
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

/// The end of what it said, complaints first.
fn last_words(tail: &Tail) -> String {
    let bytes = match tail.stderr.is_empty() {
        true => &tail.stdout,
        false => &tail.stderr,
    };
    let end = &bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES)..];
    let text = String::from_utf8_lossy(end);
    let text = text.replace(|c: char| c.is_control() && c != '\n', "");
    text.trim().replace('\n', " | ")
}

async fn on_disk(
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<()> {
    simulated::blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
