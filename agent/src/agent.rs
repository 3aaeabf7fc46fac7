//! The one task that owns the host's state. It takes what happened, asks the core for the next
//! step, writes the ledger, begins what is to be done, and publishes how things stand. It never
//! waits for the engine or the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use paasta_agent_core::{
    actions::{Action, Lane},
    labels::sandbox_name,
    observed::{Event, Listing, Observed},
    report::reports,
    settings::HostSettings,
    state::{LocalState, Stage},
    step::step,
};
use paasta_common::{
    assignment::{Assignment, Fence, FenceError},
    id::ReplicaId,
    report::{ReplicaReport, Runtime},
};
use paasta_process::{chain::chain, clock::Clock, simulated};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::Engine,
    images::Images,
    lanes::Lanes,
    ledger::{Ledger, LedgerError, Opened},
    ports,
    probes::Probes,
    sandbox::Sandboxes,
    watch::{Pace, Watch},
};

/// Messages that wait for the agent, at most; who sends more waits.
const INBOX_MAX: usize = 4_096;
/// Messages taken into one step, at most.
const BATCH_MAX: usize = 1_024;
/// The shortest time from one step to the next: what happens meanwhile is taken in one, as each
/// step looks at every replica.
const PACE_MIN: Duration = Duration::from_millis(10);
/// The longest rest between two steps.
const REST_MAX: Duration = Duration::from_secs(30);
/// How soon a ledger that could not be written is tried again.
const LEDGER_RETRY: Duration = Duration::from_secs(2);
/// Between two looks at the size of the sandboxes.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// What an agent is made of.
pub struct Parts {
    /// Runs the containers.
    pub engine: Arc<dyn Engine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seed of all chance but that of reconnecting.
    pub seed: u64,
    /// What decisions depend on.
    pub settings: HostSettings,
    /// The ledger's directory.
    pub state_dir: PathBuf,
    /// Host ports for containers, both ends included.
    pub port_range: (u16, u16),
    /// Container operations at a time.
    pub max_parallel: usize,
    /// Disk for the sandboxes of dead runs, bytes.
    pub sandbox_budget_bytes: u64,
    /// How often the engine is looked at.
    pub pace: Pace,
}

/// Something that happened.
#[derive(Debug)]
pub enum Happened {
    /// What the core wants to know.
    Event(Event),
    /// A lane is free again.
    LaneEnded {
        /// The lane.
        lane: Lane,
        /// What it came to.
        event: Option<Event>,
    },
    /// The containers.
    Listed(Listing),
    /// The engine can, or can not, be worked with.
    Runtime(Runtime),
    /// A coordinator's order.
    Order(Order),
    /// Time to look.
    Nothing,
}

/// An assignment to obey.
#[derive(Debug)]
pub struct Order {
    /// The whole of it.
    pub assignment: Assignment,
    /// Hears whether it is obeyed.
    pub reply: oneshot::Sender<Result<(), FenceError>>,
}

/// How things stand, for sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The newest fence obeyed.
    pub accepted: Option<Fence>,
    /// Every replica.
    pub reports: BTreeMap<ReplicaId, ReplicaReport>,
    /// The engine.
    pub runtime: Runtime,
}

impl View {
    /// The generation that is obeyed; 0 when there is none.
    pub fn generation(&self) -> u64 {
        self.accepted.as_ref().map_or(0, |fence| fence.generation)
    }
}

/// Speaks to a running agent.
#[derive(Clone)]
pub struct Handle {
    /// Takes orders.
    pub inbox: mpsc::Sender<Happened>,
    /// Shows how things stand.
    pub view: watch::Receiver<Arc<View>>,
}

/// A running agent.
pub struct Agent {
    /// Speaks to it.
    pub handle: Handle,
    /// Ends when it was told to stop, its ledger closed.
    pub task: JoinHandle<()>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its memory.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger is another host's.
    #[error(
        "the ledger in {path} is of host {ledger}, this is {host}; restore the host id or choose another state directory"
    )]
    OtherHost {
        /// Where.
        path: String,
        /// Whose it is.
        ledger: String,
        /// Who asks.
        host: String,
    },
}

impl Agent {
    /// Opens the ledger and begins to act on it, until `shutdown`. Containers outlive the agent.
    ///
    /// # Errors
    /// [`StartError`] when the ledger can not be used.
    pub fn start(parts: Parts, shutdown: CancellationToken) -> Result<Self, StartError> {
        let (ledger, opened) = Ledger::open(&parts.state_dir, parts.clock.now())?;
        let state = taken_up(&parts, opened)?;
        let (inbox, received) = mpsc::channel(INBOX_MAX);
        let (published, view) = watch::channel(Arc::new(View {
            accepted: state.accepted.clone(),
            reports: reports(&state),
            runtime: Runtime::Ok,
        }));
        let steps = Arc::new(AtomicU64::new(0));
        let watch = Watch {
            engine: Arc::clone(&parts.engine),
            host: parts.settings.host.to_string(),
            step: Arc::clone(&steps),
            inbox: inbox.clone(),
            pace: parts.pace,
        };
        let sandboxes = Sandboxes::new(&parts.settings.sandboxes, parts.sandbox_budget_bytes);
        let engine = &parts.engine;
        let actor = Actor {
            lanes: Lanes::new(
                Arc::clone(engine),
                sandboxes.clone(),
                parts.max_parallel,
                inbox.clone(),
            ),
            images: Images::new(Arc::clone(engine), inbox.clone()),
            probes: Probes::new(Arc::clone(engine), inbox.clone()),
            sandboxes,
            chance: StdRng::seed_from_u64(parts.seed),
            parts,
            state,
            ledger,
            ledger_fails: None,
            observed: Observed::default(),
            runtime: Runtime::Ok,
            published,
            steps,
            trimmed_at: None,
        };
        tokio::spawn(watch.run(shutdown.clone()));
        let task = tokio::spawn(actor.run(received, shutdown));
        let handle = Handle { inbox, view };
        Ok(Self { handle, task })
    }
}

fn taken_up(parts: &Parts, opened: Opened) -> Result<LocalState, StartError> {
    if let Some(damage) = &opened.damage {
        let set_aside = damage.set_aside.display();
        tracing::error!(reason = damage.reason, %set_aside, "the ledger was damaged and is set aside; running containers are taken over at the next assignment");
    }
    let held = opened.state.assignment.as_ref().map(|held| &held.host);
    match held {
        Some(ledger) if *ledger != parts.settings.host => Err(StartError::OtherHost {
            path: parts.state_dir.display().to_string(),
            ledger: ledger.to_string(),
            host: parts.settings.host.to_string(),
        }),
        _ => Ok(opened.state),
    }
}

struct Actor {
    parts: Parts,
    state: LocalState,
    ledger: Ledger,
    ledger_fails: Option<String>,
    observed: Observed,
    runtime: Runtime,
    lanes: Lanes,
    images: Images,
    probes: Probes,
    sandboxes: Sandboxes,
    chance: StdRng,
    published: watch::Sender<Arc<View>>,
    steps: Arc<AtomicU64>,
    trimmed_at: Option<Instant>,
}

impl Actor {
    async fn run(mut self, mut inbox: mpsc::Receiver<Happened>, shutdown: CancellationToken) {
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
            self.take(first);
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

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Event(event) => {
                if let Event::Pulled { image, .. } = &event {
                    self.images.ended(image);
                }
                self.observed.events.push(event);
            }
            Happened::LaneEnded { lane, event } => {
                self.observed.busy.remove(&lane);
                self.observed.events.extend(event);
            }
            Happened::Listed(listing) => {
                self.runtime(Runtime::Ok);
                self.observed.listing = Some(listing);
                self.observed.fresh_listing = true;
            }
            Happened::Runtime(runtime) => self.runtime(runtime),
            Happened::Order(order) => {
                let generation = order.assignment.fence.generation;
                let replicas = order.assignment.replicas.len();
                let accepted = self.state.accept(order.assignment);
                match &accepted {
                    Ok(()) => tracing::info!(generation, replicas, "assignment accepted"),
                    Err(error) => tracing::warn!(%error, "assignment refused"),
                }
                // The session may be gone; the order stands all the same.
                let _ = order.reply.send(accepted);
            }
            Happened::Nothing => {}
        }
    }

    fn runtime(&mut self, runtime: Runtime) {
        match (&self.runtime, &runtime) {
            (Runtime::Ok, Runtime::Degraded { reason }) => {
                tracing::error!(
                    reason,
                    "container runtime degraded: nothing new is begun, nothing is evicted"
                );
            }
            (Runtime::Degraded { .. }, Runtime::Ok) => {
                tracing::info!("container runtime works again");
            }
            _ => {}
        }
        self.runtime = runtime;
    }

    /// Decides, writes, begins. Returns when to look again.
    async fn step(&mut self) -> Instant {
        let number = self.steps.load(Ordering::SeqCst) + 1;
        let now = self.parts.clock.now();
        self.observed.step = number;
        self.observed.degraded = self.runtime != Runtime::Ok || self.ledger_fails.is_some();
        self.observed.pulling.clone_from(self.images.pulling());
        self.observed.chance = self.chance.next_u64();
        let wanted = self.starts_ahead();
        self.observed.free_ports = ports::offer(self.parts.port_range, wanted, &mut self.chance);
        let actions = step(&mut self.state, &self.parts.settings, &self.observed, now);
        self.observed.events.clear();
        self.observed.fresh_listing = false;
        let kept = self.keep().await;
        for action in actions.actions {
            let durable = kept || action.lane().is_none();
            if durable {
                self.begin(action);
            }
        }
        // Only now: a list asked for before this shows nothing of what was begun.
        self.steps.store(number, Ordering::SeqCst);
        self.publish();
        self.trim();
        let rest = match (kept, actions.wake_at) {
            (false, _) => LEDGER_RETRY,
            (true, Some(at)) => Duration::from_millis(at.since_ms(now).max(1)),
            (true, None) => REST_MAX,
        };
        Instant::now() + rest.min(REST_MAX)
    }

    /// How many runs may begin in the next step.
    fn starts_ahead(&self) -> usize {
        let waiting = |stage: &Stage| matches!(stage, Stage::Waiting { .. } | Stage::Pulling);
        let recorded = self
            .state
            .records
            .values()
            .filter(|record| waiting(&record.stage))
            .count();
        let assigned = self
            .state
            .assignment
            .as_ref()
            .map_or(0, |held| held.replicas.len());
        recorded + assigned.saturating_sub(self.state.records.len())
    }

    /// Writes what changed. What is not written is not acted on.
    async fn keep(&mut self) -> bool {
        let Some(changes) = self.ledger.changes(&self.state) else {
            self.ledger_fails = None;
            return true;
        };
        let written = simulated::blocking(move || changes.write()).await;
        let failure = match written {
            Ok(Ok(written)) => {
                self.ledger.saved(written);
                None
            }
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &failure {
            tracing::error!(
                error,
                "the ledger can not be written; nothing new is begun until it can"
            );
        }
        self.ledger_fails = failure;
        self.ledger_fails.is_none()
    }

    fn begin(&mut self, action: Action) {
        match action {
            Action::Pull { image } => self.images.begin(image),
            Action::Probe {
                replica,
                run,
                target,
                timeout_ms,
            } => self.probes.probe(replica, run, target, timeout_ms),
            Action::Drain {
                replica,
                call,
                requests,
            } => self.probes.drain(replica, call, requests),
            action => {
                if let Some(lane) = action.lane()
                    && self.observed.busy.insert(lane.clone())
                {
                    self.lanes.begin(lane, action);
                }
            }
        }
    }

    fn publish(&self) {
        let runtime = match &self.ledger_fails {
            Some(error) => Runtime::Degraded {
                reason: format!("the agent's ledger can not be written: {error}"),
            },
            None => self.runtime.clone(),
        };
        let view = View {
            accepted: self.state.accepted.clone(),
            reports: reports(&self.state),
            runtime,
        };
        self.published.send_if_modified(|held| {
            let changed = **held != view;
            if changed {
                *held = Arc::new(view);
            }
            changed
        });
    }

    /// Now and then, holds the sandboxes of dead runs to their budget.
    fn trim(&mut self) {
        let now = Instant::now();
        if self.trimmed_at.is_some_and(|at| now < at + TRIM_EVERY) {
            return;
        }
        self.trimmed_at = Some(now);
        let records = self.state.records.iter();
        let alive: BTreeSet<String> = records
            .map(|(id, record)| sandbox_name(*id, record.run))
            .collect();
        let sandboxes = self.sandboxes.clone();
        tokio::spawn(simulated::blocking(move || match sandboxes.trim(&alive) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed sandboxes of dead runs"),
            Err(error) => tracing::warn!(%error, "sandboxes can not be trimmed"),
        }));
    }
}

#[cfg(test)]
pub(crate) mod tests;
