//! What the engine shows: a list every few seconds is the truth, its events are hints to look at
//! one container sooner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use paasta_agent_core::observed::{Event, Listing};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{engine::Engine, inbox::Happened, lanes::within};

/// How much sooner than usual a list that failed is asked for again.
const SOONER_AFTER_FAILURE: f64 = 2.5;
/// Until a broken stream of hints is asked for again.
const HINTS_RETRY: Duration = Duration::from_secs(5);
/// A stream of hints is not trusted for longer: one that the engine has forgotten looks like one
/// that has nothing to say.
const HINTS_AGE_MAX: Duration = Duration::from_secs(300);

/// How often and how patiently to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two lists without hints.
    pub every: Duration,
    /// How long a list may take.
    pub patience: Duration,
    /// From one measurement of the disk that runs use to the next.
    pub disks: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            patience: Duration::from_secs(5),
            disks: Duration::from_secs(60),
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
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.look() => {}
            () = self.listen() => {}
        }
    }

    async fn look(&self) {
        loop {
            let asked_at = Instant::now();
            let after_step = self.step.load(Ordering::SeqCst);
            let listed = within(self.pace.patience, self.engine.list(&self.host)).await;
            let failed = listed.is_err();
            let happened = match listed {
                Ok(containers) => Happened::Listed(Listing::new(after_step, containers)),
                Err(error) => {
                    tracing::warn!(%error, "containers cannot be listed");
                    Happened::NotListed(error.to_string())
                }
            };
            if self.inbox.send(happened).await.is_err() {
                return;
            }
            let sooner = if failed { SOONER_AFTER_FAILURE } else { 1.0 };
            sleep_until(asked_at + self.pace.every.div_f64(sooner)).await;
        }
    }

    async fn listen(&self) {
        loop {
            let began = Instant::now();
            let mut hints = self.engine.hints(&self.host);
            while let Ok(Some(hint)) = timeout_at(began + HINTS_AGE_MAX, hints.next()).await {
                let event = Event::Hinted {
                    replica: hint.replica,
                    run: hint.run,
                    memory_kill_at: hint.memory_kill_at,
                };
                if self.inbox.send(Happened::Event(event)).await.is_err() {
                    return;
                }
            }
            sleep_until(began + HINTS_RETRY).await;
        }
    }
}
