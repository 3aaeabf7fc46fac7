//! The one task that owns the host's state. It takes what happened, asks the core for the next
//! step, writes the ledger, begins what is to be done, and publishes how things stand. It never
//! waits for the engine or the network.

mod acting;
mod actor;
mod disks;
mod parts;
mod taking;
mod upkeep;

use std::sync::{Arc, atomic::AtomicU64};

use paasta_agent_core::{
    disk::EngineDisk, observed::Observed, report::reports, runtime::Judge, state::LocalState,
};
use paasta_common::report::Runtime;
use paasta_process::clock::Clock;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use actor::{Actor, Disks};

pub use crate::{
    inbox::{Happened, Order},
    view::View,
};
pub use parts::Parts;

use crate::{
    engine::metered::MeteredEngine,
    exec::{ExecServer, ExecSettings},
    images::{Images, collect::LastUseFile},
    lanes::Lanes,
    ledger::{Damage, Ledger, LedgerError, Opened, Remains},
    logs::{capture::Captures, serve::LogServer, store::LogStore},
    metrics::Metrics,
    mounts::private::PrivateMounts,
    probes::Probes,
    sandbox::Sandboxes,
    watch::Watch,
};

/// Messages that wait for the agent, at most; who sends more waits.
const INBOX_MAX: usize = 4_096;

/// Speaks to a running agent.
#[derive(Clone)]
pub struct Handle {
    /// Takes orders.
    pub inbox: mpsc::Sender<Happened>,
    /// Shows how things stand.
    pub view: watch::Receiver<Arc<View>>,
    /// Answers questions about what runs wrote.
    pub logs: LogServer,
    /// Runs commands for people; off until it is enabled.
    pub exec: ExecServer,
    /// Where is counted what happens.
    pub metrics: Metrics,
    /// The clock that the view's moments are by.
    pub clock: Arc<dyn Clock>,
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
        "the ledger in {path} is of host {ledger}, this is {host}: restore the host id, or remove \
         the containers and the ledger of {ledger} with `paasta-agent reap --left-by {ledger}`"
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
    /// [`StartError`] when the ledger cannot be used.
    pub fn start(parts: Parts, shutdown: CancellationToken) -> Result<Self, StartError> {
        let ledger = Ledger::open(&parts.state_dir, parts.clock.now())?;
        Self::start_with(parts, ledger, Metrics::new(), shutdown)
    }

    /// The same, with an open ledger and with metrics that may be shared: for a process with many
    /// agents.
    ///
    /// # Errors
    /// [`StartError::OtherHost`] when the ledger is another host's.
    pub fn start_with(
        parts: Parts,
        (ledger, opened): (Ledger, Opened),
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let parts = metered(parts, &metrics);
        let state = taken_up(&parts, opened)?;
        let (inbox, received) = mpsc::channel(INBOX_MAX);
        let (published, view) = watch::channel(Arc::new(View {
            accepted: state.accepted.clone(),
            reports: reports(&state),
            runtime: Runtime::Ok,
            disk_limits: parts.settings.disk_limits,
        }));
        let steps = Arc::new(AtomicU64::new(0));
        let watch = watch_of(&parts, &steps, &inbox);
        let sandboxes = Sandboxes::new(&parts.settings.sandboxes, parts.sandbox_budget_bytes);
        let mounts = PrivateMounts::new(parts.mounts.clone(), &parts.state_dir);
        let engine = &parts.engine;
        let clock = Arc::clone(&parts.clock);
        let captures = Captures::new(Arc::clone(engine), log_store(&parts), shutdown.clone());
        let logs = LogServer::new(&captures);
        let exec = exec_server(&parts);
        let last_use_file = LastUseFile::new(&parts.state_dir);
        let actor = Actor {
            lanes: Lanes::new(
                Arc::clone(engine),
                (sandboxes.clone(), mounts.clone()),
                captures.clone(),
                (parts.max_parallel, parts.patience),
                inbox.clone(),
            ),
            inbox: inbox.clone(),
            images: Images::new(Arc::clone(engine), inbox.clone()),
            probes: Probes::new(Arc::clone(engine), inbox.clone(), &parts.settings.address),
            sandboxes,
            mounts,
            captures,
            last_use: last_use_file.read(),
            last_use_file,
            chance: StdRng::seed_from_u64(parts.seed),
            parts,
            state,
            ledger,
            ledger_fails: None,
            observed: Observed::default(),
            judge: Judge::default(),
            runtime: Runtime::Ok,
            published,
            steps,
            trimmed_at: None,
            collected_at: None,
            disks: Disks::default(),
            engine_disk: EngineDisk::default(),
            metrics: metrics.clone(),
        };
        tokio::spawn(watch.run(shutdown.clone()));
        let task = tokio::spawn(actor.run(received, shutdown));
        let handle = Handle {
            inbox,
            view,
            logs,
            exec,
            metrics,
            clock,
        };
        Ok(Self { handle, task })
    }
}

/// The parts, with every call of their engine counted.
fn metered(parts: Parts, metrics: &Metrics) -> Parts {
    let engine = MeteredEngine::new(Arc::clone(&parts.engine), metrics.clone());
    Parts {
        engine: Arc::new(engine),
        ..parts
    }
}

/// Off, until it is set.
fn exec_server(parts: &Parts) -> ExecServer {
    let host = parts.settings.host.clone();
    ExecServer::new(Arc::clone(&parts.engine), host, ExecSettings::default())
}

fn watch_of(parts: &Parts, steps: &Arc<AtomicU64>, inbox: &mpsc::Sender<Happened>) -> Watch {
    Watch {
        engine: Arc::clone(&parts.engine),
        host: parts.settings.host.to_string(),
        step: Arc::clone(steps),
        inbox: inbox.clone(),
        pace: parts.pace,
    }
}

fn log_store(parts: &Parts) -> LogStore {
    let settings = &parts.settings;
    LogStore::new(
        parts.state_dir.join("logs"),
        settings.log_max_bytes,
        settings.log_max_files,
        parts.log_budget_bytes,
    )
}

fn taken_up(parts: &Parts, opened: Opened) -> Result<LocalState, StartError> {
    if let Some(damage) = &opened.damage {
        warn_of(damage);
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

fn warn_of(damage: &Damage) {
    let reason = &damage.reason;
    let set_aside = damage.set_aside.display();
    match damage.remains {
        Remains::SaveBefore => tracing::error!(
            reason, %set_aside,
            "the ledger was damaged and is set aside; the save before it is used: check the disk"
        ),
        Remains::Fence => tracing::error!(
            reason, %set_aside,
            "the ledger was damaged and is set aside; running containers are taken over at the next assignment: check the disk"
        ),
        Remains::Nothing => tracing::error!(
            reason, %set_aside,
            "the ledger was damaged and is set aside, and with it which assignment is the newest; running containers are taken over at the next assignment: check the disk"
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests;
