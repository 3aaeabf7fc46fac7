//! Where the desired state comes from: the leader reads the soa directory whenever it changes, and
//! once in a while in any case, and proposes what differs from the replicated state.

mod ask;
mod preview;
mod read;
pub mod repositories;
pub mod settings;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use paasta_common::{
    config::{ClusterSettings, SystemConfig},
    id::{ClusterName, ServiceName},
    soa::SoaError,
    time::Timestamp,
};
use paasta_coordinator_core::{
    desired::{
        Reading, Removing, changes, is_due,
        rest::{Rest, Verdict},
    },
    plan::pace::at_once,
    state::{
        outcome::{Outcome, Reason},
        settings::Settings,
        versions::Versions,
    },
};
use paasta_proto::v1::{BouncingInstance, RefusedInstance};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use read::Resolver;
use repositories::Repositories;
use settings::FileSettings;

use crate::{
    machine::ClusterMachine,
    options::Options,
    peers::Peers,
    propose::{ProposalError, Proposer},
    store::IoMode,
    witness::Watched,
};

/// Commands proposed together, at most; the rest follow at once.
const BATCH_MAX: usize = 64;
/// Between two looks at a directory that is waited for to come to rest.
const REST_LOOK_EVERY: Duration = Duration::from_millis(250);

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
    removing: Removing,
    paced_percent: u32,
    led: Arc<Mutex<Led>>,
    /// Why the last reading was not proposed for lack of room; empty when it was.
    no_room: Arc<Mutex<String>>,
    /// Who follows git.
    pub repositories: Repositories,
    /// What the coordinators' own files say of the cluster's settings.
    pub settings: FileSettings,
    io: IoMode,
    watched: Watched,
}

/// The present leadership, with a time that no jump of the clock moves.
#[derive(Clone, Copy)]
struct Led {
    term: u64,
    from: Timestamp,
    began: Instant,
}

/// What one leadership remembers between readings. Losing it costs one more reading.
struct Seen {
    /// When it began: times of `rest` count from here.
    began: Instant,
    rest: Rest<watch::Prints>,
    /// How what was read looked.
    fingerprint: watch::Fingerprint,
    versions: AllVersions,
    settings: Option<ClusterSettings>,
    read_at: Option<Instant>,
    /// Whether something proposed was not acknowledged.
    again: bool,
    /// Whether the directory is waited for to come to rest.
    restless: bool,
}

impl Seen {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            rest: Rest::default(),
            fingerprint: watch::Fingerprint::new(),
            versions: None,
            settings: None,
            read_at: None,
            again: false,
            restless: false,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Desired {
    /// Follows the soa directory of the options, as a proposer of what changes in it.
    pub fn new(
        machine: ClusterMachine,
        proposer: Proposer,
        peers: Peers,
        options: &Options,
    ) -> Self {
        let settings = FileSettings::new(machine.clone(), proposer.clone(), peers, &options.system);
        let repositories = Repositories::new(machine.clone(), proposer.clone(), options);
        Self {
            repositories,
            settings,
            machine,
            proposer,
            system: Arc::new(options.system.clone()),
            dir: Arc::new(options.soa_dir.clone()),
            resync: options.resync,
            last: Arc::default(),
            removing: Removing {
                leadership: 0,
                now: Timestamp::default(),
                patience_ms: options.removal_patience_ms,
                guard: options.removal_guard,
            },
            paced_percent: options.plan.paced_percent,
            led: Arc::new(Mutex::new(Led {
                term: 0,
                from: Timestamp::default(),
                began: Instant::now(),
            })),
            no_room: Arc::default(),
            io: options.raft.io,
            watched: options.watched.clone(),
        }
    }

    /// When the directory was last read here, and what stands in the way of what it says.
    pub fn last_read(&self) -> LastRead {
        let mut last = self.last.lock().clone();
        if last.error.is_empty() {
            last.error.clone_from(&self.no_room.lock());
        }
        last
    }

    /// How removals are done by the present leadership here.
    pub fn removing(&self) -> Removing {
        let led = *self.led.lock();
        Removing {
            leadership: led.term,
            now: led.from.after(led.began.elapsed()),
            ..self.removing
        }
    }

    fn cluster(&self) -> Option<ClusterName> {
        let state = self.machine.read();
        state.cluster().map(|cluster| cluster.name.clone())
    }

    /// Follows the directory, and the repositories of its services, as the leader of `term` and
    /// until `ended`.
    pub async fn follow(&self, term: u64, ended: &CancellationToken) {
        *self.led.lock() = Led {
            term,
            from: self.proposer.now(),
            began: Instant::now(),
        };
        tokio::join!(
            biased;
            self.settings.follow(ended),
            self.follow_files(ended),
            self.repositories.follow(ended)
        );
    }

    async fn follow_files(&self, ended: &CancellationToken) {
        let mut notifications = watch::Notifications::begin(&self.dir, self.io);
        let mut seen = Seen::new();
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = self.look(&mut seen) => {}
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(REST_LOOK_EVERY), if seen.restless => {}
                () = notifications.next(), if !seen.restless => {}
                () = self.repositories.changed() => {}
            }
        }
    }

    /// Reads and proposes if the directory changed and is at rest, or it is time.
    async fn look(&self, seen: &mut Seen) {
        let Some(cluster) = self.cluster() else {
            return;
        };
        let Some(settings) = self.in_force() else {
            // They are adopted in a moment.
            seen.restless = true;
            return;
        };
        let versions = self.versions();
        let Some(looks) = self.fingerprint(&versions).await else {
            return;
        };
        let now_ms = seen.now_ms();
        seen.rest.look(now_ms, looks.clone());
        let restless = match seen.rest.verdict(now_ms) {
            Verdict::Wait(_) => {
                seen.restless = true;
                return;
            }
            Verdict::But(restless) => restless,
            Verdict::Quiet => BTreeSet::new(),
        };
        seen.restless = false;
        let since = |span| seen.read_at.is_none_or(|at| at.elapsed() >= span);
        let due = since(self.resync) || is_due(&self.machine.read(), &self.removing());
        let changed = looks != seen.fingerprint
            || versions != seen.versions
            || seen.settings.as_ref() != Some(&settings.values);
        // What never rests must not have everything else read all the time.
        let hurried = !restless.is_empty() && !since(watch::LOOK_EVERY);
        if hurried || (!changed && !due && !seen.again) {
            return;
        }
        let read = self.read(cluster, versions.clone(), &settings).await;
        let Some(mut reading) = read else {
            return;
        };
        let Some(after) = self.fingerprint(&versions).await else {
            return;
        };
        let differs = |name: &&String| looks.get(*name) != after.get(*name);
        let torn: BTreeSet<&String> = looks.keys().chain(after.keys()).filter(differs).collect();
        for name in restless.iter().chain(torn.iter().copied()) {
            if let Ok(service) = ServiceName::new(name) {
                reading.leave_out(&service);
            }
        }
        self.watched.tell(|w| w.read(&mut reading));
        // As it looked before the reading: a change in between is seen by the next look.
        seen.fingerprint = looks.clone();
        seen.fingerprint
            .retain(|name, _| !restless.contains(name) && !torn.contains(name));
        seen.versions = versions;
        seen.settings = Some(settings.values);
        seen.read_at = Some(Instant::now());
        seen.again = !self.propose(&reading).await;
    }

    /// How the directory looks; nothing when that cannot be told.
    async fn fingerprint(&self, versions: &AllVersions) -> Option<watch::Fingerprint> {
        let (dir, versions) = (Arc::clone(&self.dir), versions.clone());
        let look = move || {
            let by_git = |service: &str| {
                let known = versions.as_ref();
                let service = ServiceName::new(service).ok();
                known
                    .zip(service)
                    .is_some_and(|(known, service)| known.contains_key(&service))
            };
            Ok(watch::fingerprint(&dir, &by_git))
        };
        self.io.run(look).await.ok()
    }

    /// What git said last; nothing where it is not asked.
    fn versions(&self) -> AllVersions {
        match self.repositories.follows() {
            true => Some(self.machine.read().all_versions().clone()),
            false => None,
        }
    }

    /// The settings of the cluster; none before there are any.
    fn in_force(&self) -> Option<Settings> {
        self.machine.read().settings().cloned()
    }

    async fn read(
        &self,
        cluster: ClusterName,
        versions: AllVersions,
        settings: &Settings,
    ) -> Option<Reading> {
        let reading = self.read_with(cluster, versions, settings).await;
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

    /// Reads the directory as if these settings were in force.
    async fn read_with(
        &self,
        cluster: ClusterName,
        versions: AllVersions,
        settings: &Settings,
    ) -> std::io::Result<Result<Reading, SoaError>> {
        let dir = Arc::clone(&self.dir);
        let resolver = Resolver::new(&self.system, cluster, settings);
        self.io
            .run(move || Ok(read::read(&dir, &resolver, versions.as_ref())))
            .await
    }

    /// What would bounce, and what could not run, if these settings were in force.
    ///
    /// # Errors
    /// Why the directory cannot be read.
    pub async fn preview(
        &self,
        values: &ClusterSettings,
    ) -> Result<(Vec<BouncingInstance>, Vec<RefusedInstance>), String> {
        let cluster = self.cluster().ok_or("there is no cluster yet")?;
        let mut settings = self.in_force().ok_or("there are no settings yet")?;
        settings.values = values.clone();
        let reading = self.read_with(cluster, self.versions(), &settings).await;
        let reading = match reading {
            Ok(Ok(reading)) => reading,
            Ok(Err(error)) => return Err(paasta_process::chain::chain(&error)),
            Err(error) => return Err(error.to_string()),
        };
        Ok(preview::preview(&self.machine.read(), &reading))
    }

    /// False when something has to be proposed again.
    async fn propose(&self, reading: &Reading) -> bool {
        let mut commands = {
            let state = self.machine.read();
            let at_once = at_once(&state, self.paced_percent);
            changes(&state, reading, &self.removing(), at_once)
        };
        self.no_room.lock().clear();
        let held_before = self.machine.read().held_back().is_some();
        let mut acknowledged = true;
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(BATCH_MAX));
            let batch = std::mem::replace(&mut commands, rest);
            for result in self.proposer.propose_all(batch).await {
                match result {
                    Ok(Outcome::Refused(reason)) => {
                        tracing::warn!(%reason, "a change of the desired state was refused");
                    }
                    Ok(_) => {}
                    // `paasta metastatus` shows it; the watch of the room has logged it.
                    Err(error @ ProposalError::NoSpace { .. }) => {
                        *self.no_room.lock() = error.to_string();
                        acknowledged = false;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a change of the desired state was not acknowledged");
                        acknowledged = false;
                    }
                }
            }
        }
        let held = self.machine.read().held_back().copied();
        if let Some(held) = held.filter(|_| !held_before) {
            let reason = Reason::from(held);
            tracing::error!(%reason, "removals are held back");
        }
        acknowledged
    }
}
