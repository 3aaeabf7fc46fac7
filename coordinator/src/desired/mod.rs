//! Where the desired state comes from: the leader reads the soa directory whenever it changes, and
//! once in a while in any case, and proposes what differs from the replicated state.

mod ask;
mod read;
pub mod repositories;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, InstanceId, ServiceName},
    time::Timestamp,
};
use paasta_coordinator_core::{
    desired::{Reading, Removal, changes, removals},
    state::{command::Command, outcome::Outcome, versions::Versions},
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use repositories::Repositories;

use crate::{
    machine::ClusterMachine,
    options::Options,
    propose::{ProposalError, Proposer},
    store::IoMode,
    witness::Watched,
};

/// Commands proposed together, at most; the rest follow at once.
const BATCH_MAX: usize = 64;

/// What git said last, by service; none where git is not asked.
type AllVersions = Option<BTreeMap<ServiceName, Arc<Versions>>>;

/// When the soa directory was last read, and what stood in the way.
#[derive(Debug, Clone, Default)]
pub struct LastRead {
    /// When; the epoch when this coordinator never did.
    pub at: Timestamp,
    /// What was wrong with the directory as a whole, or empty.
    pub error: String,
}

/// Follows the soa directory. Cheap to clone.
#[derive(Clone)]
pub struct Desired {
    machine: ClusterMachine,
    proposer: Proposer,
    system: Arc<SystemConfig>,
    dir: Arc<PathBuf>,
    resync: Duration,
    last: Arc<Mutex<LastRead>>,
    /// Why instances that are gone from the directory are not removed; empty when they are.
    refusal: Arc<Mutex<String>>,
    /// Who follows git.
    pub repositories: Repositories,
    io: IoMode,
    watched: Watched,
}

/// What one leadership remembers between readings. Losing it costs one more reading.
#[derive(Default)]
struct Seen {
    fingerprint: watch::Fingerprint,
    versions: AllVersions,
    read_at: Option<tokio::time::Instant>,
    /// A removal that was refused: not proposed again before the directory changes.
    refused: BTreeSet<InstanceId>,
    /// Whether something proposed was not acknowledged.
    again: bool,
}

impl Desired {
    /// Follows the soa directory of the options, as a proposer of what changes in it.
    pub fn new(machine: ClusterMachine, proposer: Proposer, options: &Options) -> Self {
        let repositories = Repositories::new(machine.clone(), proposer.clone(), options);
        Self {
            repositories,
            machine,
            proposer,
            system: Arc::new(options.system.clone()),
            dir: Arc::new(options.soa_dir.clone()),
            resync: options.resync,
            last: Arc::default(),
            refusal: Arc::default(),
            io: options.raft.io,
            watched: options.watched.clone(),
        }
    }

    /// When the directory was last read here, and what stands in the way of what it says.
    pub fn last_read(&self) -> LastRead {
        let mut last = self.last.lock().clone();
        if last.error.is_empty() {
            last.error.clone_from(&self.refusal.lock());
        }
        last
    }

    /// Reads the directory now, and says which instances it removes.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn removals(&self) -> Result<BTreeMap<InstanceId, Removal>, String> {
        let cluster = self.cluster().ok_or("there is no cluster yet")?;
        match self.read(cluster, self.versions()).await {
            Some(reading) => Ok(removals(&self.machine.read(), &reading)),
            None => Err(self.last.lock().error.clone()),
        }
    }

    fn cluster(&self) -> Option<ClusterName> {
        let state = self.machine.read();
        state.cluster().map(|cluster| cluster.name.clone())
    }

    /// Follows the directory, and the repositories of its services, until `ended`.
    pub async fn follow(&self, ended: &CancellationToken) {
        tokio::join!(biased; self.follow_files(ended), self.repositories.follow(ended));
    }

    async fn follow_files(&self, ended: &CancellationToken) {
        let mut notifications = watch::Notifications::begin(&self.dir, self.io);
        let mut seen = Seen::default();
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = self.look(&mut seen) => {}
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = notifications.next() => {}
                () = self.repositories.changed() => {}
            }
        }
    }

    /// Reads and proposes if the directory changed, or it is time.
    async fn look(&self, seen: &mut Seen) {
        let Some(cluster) = self.cluster() else {
            return;
        };
        let dir = Arc::clone(&self.dir);
        let Ok(now) = self.io.run(move || Ok(watch::fingerprint(&dir))).await else {
            return;
        };
        let due = seen.read_at.is_none_or(|at| at.elapsed() >= self.resync);
        let versions = self.versions();
        let changed = now != seen.fingerprint || versions != seen.versions;
        if !changed && !due && !seen.again {
            return;
        }
        if changed {
            seen.refused.clear();
        }
        let Some(mut reading) = self.read(cluster, versions.clone()).await else {
            return;
        };
        self.watched.tell(|w| w.read(&mut reading));
        // Taken before the reading: a change in between is seen by the next look.
        seen.fingerprint = now;
        seen.versions = versions;
        seen.read_at = Some(tokio::time::Instant::now());
        seen.again = !self.propose(&reading, seen).await;
    }

    /// What git said last; nothing where it is not asked.
    fn versions(&self) -> AllVersions {
        match self.repositories.follows() {
            true => Some(self.machine.read().all_versions().clone()),
            false => None,
        }
    }

    async fn read(&self, cluster: ClusterName, versions: AllVersions) -> Option<Reading> {
        let (dir, system) = (Arc::clone(&self.dir), Arc::clone(&self.system));
        let reading = self
            .io
            .run(move || Ok(read::read(&dir, &cluster, &system, versions.as_ref())))
            .await;
        let error = match &reading {
            Ok(Ok(_)) => String::new(),
            Ok(Err(error)) => paasta_process::chain::chain(error),
            Err(error) => format!("reading the soa directory failed: {error}"),
        };
        let mut last = self.last.lock();
        if !error.is_empty() && last.error != error {
            tracing::error!(dir = %self.dir.display(), %error, "the desired state cannot be read; it stays as it is");
        }
        *last = LastRead {
            at: self.proposer.now(),
            error,
        };
        reading.ok()?.ok()
    }

    /// False when something has to be proposed again.
    async fn propose(&self, reading: &Reading, seen: &mut Seen) -> bool {
        let mut commands = changes(&self.machine.read(), reading);
        let removes = |command: &Command| matches!(command, Command::RemoveInstances(_));
        if !commands.iter().any(removes) {
            seen.refused.clear();
            self.refusal.lock().clear();
        }
        commands.retain(|command| match command {
            Command::RemoveInstances(remove) => remove.ids != seen.refused,
            _ => true,
        });
        let mut acknowledged = true;
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(BATCH_MAX));
            let batch = std::mem::replace(&mut commands, rest);
            let results = self.proposer.propose_all(batch.clone()).await;
            for (command, result) in batch.iter().zip(results) {
                match result {
                    Ok(Outcome::Refused(reason)) => {
                        self.refused(command, &reason.to_string(), seen)
                    }
                    Ok(_) if removes(command) => self.refusal.lock().clear(),
                    Ok(_) => {}
                    // `paasta metastatus` shows it; the watch of the room has logged it.
                    Err(error @ ProposalError::NoSpace { .. }) => {
                        *self.refusal.lock() = error.to_string();
                        acknowledged = false;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a change of the desired state was not acknowledged");
                        acknowledged = false;
                    }
                }
            }
        }
        acknowledged
    }

    fn refused(&self, command: &Command, reason: &str, seen: &mut Seen) {
        tracing::error!(reason, "a change of the desired state was refused");
        if let Command::RemoveInstances(remove) = command {
            seen.refused = remove.ids.clone();
            reason.clone_into(&mut self.refusal.lock());
        }
    }
}
