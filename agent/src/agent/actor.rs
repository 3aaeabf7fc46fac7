//! The loop: takes in what happened, decides, writes the ledger, begins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use paasta_agent_core::{
    collect::LastUse,
    disk::EngineDisk,
    observed::{Event, Observed, Ports},
    ports::{Wanted, taken, wanted},
    runtime::Judge,
    state::LocalState,
    step::step,
};
use paasta_common::{report::Runtime, time::Timestamp};
use paasta_process::chain::chain;
use rand::{Rng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::parts::Parts;
use crate::{
    images::{Images, collect::LastUseFile},
    inbox::Happened,
    lanes::Lanes,
    ledger::Ledger,
    logs::capture::Captures,
    metrics::Metrics,
    mounts::private::PrivateMounts,
    ports,
    probes::Probes,
    sandbox::Sandboxes,
    view::View,
};

/// Messages taken into one step, at most.
const BATCH_MAX: usize = 1_024;
/// The shortest time from one step to the next: what happens meanwhile is taken in one, as each
/// step looks at every replica.
const PACE_MIN: Duration = Duration::from_millis(10);
/// How long the answer of a check may wait for others, and for the next checks, before there is a
/// step for it.
const ANSWER_REST: Duration = Duration::from_millis(100);
/// The longest rest between two steps.
const REST_MAX: Duration = Duration::from_secs(30);
/// How soon a ledger that could not be written is tried again.
const LEDGER_RETRY: Duration = Duration::from_secs(2);
/// How often the progress of fetches is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Actor {
    pub(super) parts: Parts,
    pub(super) inbox: mpsc::Sender<Happened>,
    pub(super) state: LocalState,
    pub(super) ledger: Ledger,
    /// Since when, and why.
    pub(super) ledger_fails: Option<(Timestamp, String)>,
    pub(super) observed: Observed,
    pub(super) judge: Judge,
    pub(super) runtime: Runtime,
    pub(super) lanes: Lanes,
    pub(super) images: Images,
    pub(super) probes: Probes,
    pub(super) sandboxes: Sandboxes,
    pub(super) mounts: PrivateMounts,
    pub(super) captures: Captures,
    pub(super) last_use: LastUse,
    pub(super) last_use_file: LastUseFile,
    pub(super) chance: StdRng,
    pub(super) published: watch::Sender<Arc<View>>,
    pub(super) steps: Arc<AtomicU64>,
    pub(super) trimmed_at: Option<Instant>,
    pub(super) collected_at: Option<Instant>,
    pub(super) disks: Disks,
    pub(super) engine_disk: EngineDisk,
    pub(super) metrics: Metrics,
}

/// Measurements, as far as the agent remembers them.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// When the last round began.
    pub(super) began: Option<Instant>,
    /// It still goes on.
    pub(super) under_way: bool,
}

/// What became of a step's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// There were none.
    Unchanged,
    /// They are on the disk.
    Written,
    /// They are not.
    Failed,
}

impl Actor {
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Happened>,
        shutdown: CancellationToken,
    ) {
        let mut wake = Instant::now();
        let mut stepped_at: Option<Instant> = None;
        loop {
            let first = tokio::select! {
                // An agent that is told to stop begins nothing more.
                biased;
                () = shutdown.cancelled() => return,
                first = inbox.recv() => first,
                () = sleep_until(wake) => Some(Happened::Nothing),
            };
            let Some(first) = first else { return };
            let may_wait = matches!(first, Happened::Event(Event::Probed { .. }));
            self.take(first);
            if may_wait && self.observed.events.len() < BATCH_MAX {
                wake = wake.min(Instant::now() + ANSWER_REST);
                continue;
            }
            if let Some(at) = stepped_at {
                sleep_until(at + PACE_MIN).await;
            }
            for _ in 1..BATCH_MAX {
                match inbox.try_recv() {
                    Ok(more) => self.take(more),
                    Err(_) => break,
                }
            }
            wake = self.step().await;
            stepped_at = Some(Instant::now());
        }
    }

    /// Decides, writes, begins. Returns when to look again.
    async fn step(&mut self) -> Instant {
        let number = self.steps.load(Ordering::SeqCst) + 1;
        let now = self.parts.clock.now();
        self.observed.step = number;
        self.look_at_runtime(now);
        self.observed.degraded = self.judge.rests() || self.ledger_fails.is_some();
        self.observed.pulling = self.images.pulling();
        self.observed.chance = self.chance.next_u64();
        self.observed.ports = self.ports(now);
        let actions = step(&mut self.state, &self.parts.settings, &self.observed, now);
        self.observed.events.clear();
        self.observed.fresh_listing = false;
        let kept = self.keep().await;
        for action in actions.actions {
            let durable = kept != Kept::Failed || action.lane().is_none();
            if durable {
                self.begin(action);
            }
        }
        // Only now: a list asked for before this shows nothing of what was begun.
        self.steps.store(number, Ordering::SeqCst);
        // What runs is in the ledger: without a change there the same is followed.
        if kept != Kept::Unchanged || number == 1 {
            self.capture();
        }
        self.publish();
        self.trim();
        self.look_at_images();
        self.measure_disks();
        let rest = match (kept, actions.wake_at) {
            (Kept::Failed, _) => LEDGER_RETRY,
            (_, Some(at)) => Duration::from_millis(at.since_ms(now).max(1)),
            (_, None) => REST_MAX,
        };
        let longest = match self.observed.pulling.is_empty() {
            true => REST_MAX,
            false => PROGRESS_EVERY,
        };
        Instant::now() + rest.min(longest)
    }

    /// The ports that runs may get which begin now.
    fn ports(&mut self, now: Timestamp) -> Ports {
        let wanted = wanted(&self.state, now);
        if wanted == Wanted::default() {
            return Ports::default();
        }
        let taken = taken(&self.state.records, &self.observed);
        ports::offer(self.parts.port_range, &wanted, &taken, &mut self.chance)
    }

    /// Writes what changed. What is not written is not acted on.
    async fn keep(&mut self) -> Kept {
        let began = Instant::now();
        let saved = self.ledger.save(&self.state).await;
        let took = began.elapsed();
        let failure = match saved {
            Ok(false) => {
                self.ledger_fails = None;
                return Kept::Unchanged;
            }
            Ok(true) => None,
            Err(error) => Some(chain(&error)),
        };
        if let Some(error) = &failure {
            tracing::error!(
                error,
                "the ledger cannot be written; nothing new is begun until it can"
            );
        }
        self.metrics.kept(took, failure.is_none());
        let now = self.parts.clock.now();
        let since = self.ledger_fails.take().map_or(now, |(since, _)| since);
        self.ledger_fails = failure.map(|error| (since, error));
        match self.ledger_fails {
            None => Kept::Written,
            Some(_) => Kept::Failed,
        }
    }
}
