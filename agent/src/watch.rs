//! What the engine shows: a list every few seconds is the truth, its events are hints to look
//! sooner. When lists fail again and again the runtime is degraded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use paasta_agent_core::observed::Listing;
use paasta_common::report::Runtime;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{agent::Happened, engine::Engine, lanes::within};

/// Lists that fail in a row until the runtime counts as degraded.
pub const FAILURES_MAX: u32 = 3;
/// From a hint to the list that follows it, however many hints there are. dockerd tells of a death
/// some 200 ms before its lists show it.
const AFTER_HINT: Duration = Duration::from_millis(250);
/// From that list to one more, for a dockerd that is slower.
const ONCE_MORE: Duration = Duration::from_millis(1_000);
/// Until a broken stream of hints is asked for again.
const HINTS_RETRY: Duration = Duration::from_secs(5);

/// How often and how patiently to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two lists without hints.
    pub every: Duration,
    /// How long a list may take.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            patience: Duration::from_secs(5),
        }
    }
}

/// Looks until told to stop.
pub struct Watch {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The host whose containers are looked for.
    pub host: String,
    /// The number of the last step the agent finished.
    pub step: Arc<AtomicU64>,
    /// Where it goes.
    pub inbox: mpsc::Sender<Happened>,
    /// How often.
    pub pace: Pace,
}

impl Watch {
    /// Runs until cancelled or until nobody listens.
    pub async fn run(self, shutdown: CancellationToken) {
        let hint = Notify::new();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.look(&hint) => {}
            () = self.listen(&hint) => {}
        }
    }

    async fn look(&self, hint: &Notify) {
        let mut failures = 0;
        let mut once_more = None;
        loop {
            let asked_at = Instant::now();
            let after_step = self.step.load(Ordering::SeqCst);
            let listed = within(self.pace.patience, self.engine.list(&self.host)).await;
            let happened = match listed {
                Ok(containers) => {
                    failures = 0;
                    Happened::Listed(Listing {
                        after_step,
                        containers,
                    })
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(failures, %error, "containers can not be listed");
                    let reason = format!("listing containers fails: {error}");
                    match failures >= FAILURES_MAX {
                        true => Happened::Runtime(Runtime::Degraded { reason }),
                        false => Happened::Nothing,
                    }
                }
            };
            if self.inbox.send(happened).await.is_err() {
                return;
            }
            let rest = self
                .pace
                .every
                .div_f64(if failures > 0 { 2.5 } else { 1.0 });
            let rest = once_more
                .take()
                .map_or(rest, |soon: Duration| soon.min(rest));
            tokio::select! {
                () = sleep_until(asked_at + rest) => {}
                () = hint.notified() => {
                    sleep(AFTER_HINT).await;
                    once_more = Some(ONCE_MORE);
                }
            }
        }
    }

    async fn listen(&self, hint: &Notify) {
        loop {
            let mut hints = self.engine.hints(&self.host);
            while hints.next().await.is_some() {
                hint.notify_one();
            }
            sleep(HINTS_RETRY).await;
        }
    }
}
