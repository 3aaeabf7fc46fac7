//! What a host says it runs. Written by agents only; held by the leader in memory, never in the
//! replicated log.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    disk::HostDiskLimits,
    id::{AppId, ReplicaId},
    time::Timestamp,
    unrecognized::UnrecognizedWord,
};

/// So many values that this version does not know are named of one report.
const UNRECOGNIZED_MAX: usize = 20;

/// What a host says in one message: everything it runs, or what changed since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Replicas that are not listed do not exist on the host.
    pub complete: bool,
    /// The newest state of each replica.
    pub replicas: Vec<ReplicaReport>,
    /// Whether the container runtime can be worked with.
    pub runtime: Runtime,
    /// The generation of the last accepted assignment; 0 when there was none.
    pub generation: u64,
    /// What the host does about the disk of instances; none when its agent is too old to say.
    #[serde(default)]
    pub disk_limits: Option<HostDiskLimits>,
}

impl HostReport {
    /// What of it this version does not know, each part in words; empty when it knows all.
    pub fn unrecognized(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Runtime::Degraded {
            part: HostPart::Unrecognized(number),
            ..
        } = self.runtime
        {
            found.push(format!("host part {number}"));
        }
        if let Some(HostDiskLimits::Unrecognized(number)) = self.disk_limits {
            found.push(format!("disk limits {number}"));
        }
        for replica in &self.replicas {
            let words = replica.unrecognized();
            found.extend(words.iter().map(|words| format!("{}: {words}", replica.id)));
        }
        found.truncate(UNRECOGNIZED_MAX);
        found
    }
}

/// One replica as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// The replica.
    pub id: ReplicaId,
    /// Its app.
    pub app: AppId,
    /// Where it stands.
    pub phase: Phase,
    /// What its health check says.
    pub health: Health,
    /// When the container of the present run started.
    pub started_at: Option<Timestamp>,
    /// The port on the host.
    pub host_port: Option<u16>,
    /// The container of the present run.
    pub container: Option<String>,
    /// How many containers this replica has had.
    pub run: u64,
    /// Failures in a row; a healthy period clears them.
    pub failures: u32,
    /// When the next start is tried, while backing off.
    pub next_try_at: Option<Timestamp>,
    /// Whether it has left the load balancer and may be stopped.
    pub drained: bool,
    /// Whether the load balancer sees it up, where that is known.
    pub in_load_balancer: Option<bool>,
    /// The last thing worth telling an operator: why it waits, the registry's words.
    pub message: String,
    /// How its last run ended, until it has been well for a while again.
    #[serde(default)]
    pub last_end: Option<RunEnd>,
    /// What is known of its image.
    #[serde(default)]
    pub image: ImageReport,
    /// What befell it since it was placed.
    #[serde(default, skip_serializing_if = "Troubles::is_empty")]
    pub troubles: Troubles,
    /// How often something befell it of which this version does not know the kind.
    #[serde(default)]
    pub other_troubles: u32,
}

impl ReplicaReport {
    /// Whether its phase and its health are known to this version. Where one is not, it is not
    /// known whether the replica serves.
    pub fn is_readable(&self) -> bool {
        !matches!(self.phase, Phase::Unrecognized(_))
            && !matches!(self.health, Health::Unrecognized(_))
    }

    /// What of it this version does not know, each part in words; empty when it knows all.
    pub fn unrecognized(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Phase::Unrecognized(word) = self.phase {
            found.push(format!("phase {word:?}"));
        }
        if let Health::Unrecognized(word) = self.health {
            found.push(format!("health {word:?}"));
        }
        if let Some(ImageProblem::Unrecognized(word)) = self.image.problem {
            found.push(format!("image problem {word:?}"));
        }
        let cause = self.last_end.as_ref().map(|end| end.cause);
        if let Some(EndCause::Unrecognized(word)) = cause {
            found.push(format!("cause {word:?}"));
        }
        match self.other_troubles {
            0 => {}
            1 => found.push("1 trouble of another kind".to_owned()),
            count => found.push(format!("{count} troubles of other kinds")),
        }
        found
    }
}

/// What can befall a replica that somebody may ask about afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// A run ended by itself.
    Exited,
    /// The kernel killed a run for its memory.
    Memory,
    /// The kernel killed a process in a run for its memory, and the run went on.
    ChildMemory,
    /// The health check of a healthy run began to fail.
    CheckFailed,
    /// A run was replaced for its failing health check.
    Unhealthy,
    /// A run was ended because it used more disk than its limit.
    OverDisk,
    /// A run could not be started.
    NotStarted,
    /// Somebody else removed the container of a run.
    Removed,
    /// So many runs in a row failed that it is a crash loop.
    CrashLoop,
}

/// How often each trouble befell a replica; those that never did are not held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Troubles(BTreeMap<Trouble, u32>);

impl Trouble {
    /// Every trouble.
    pub const ALL: [Self; 9] = [
        Self::Exited,
        Self::Memory,
        Self::ChildMemory,
        Self::CheckFailed,
        Self::Unhealthy,
        Self::OverDisk,
        Self::NotStarted,
        Self::Removed,
        Self::CrashLoop,
    ];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Memory => "memory",
            Self::ChildMemory => "child-memory",
            Self::CheckFailed => "check-failed",
            Self::Unhealthy => "unhealthy",
            Self::OverDisk => "over-disk",
            Self::NotStarted => "not-started",
            Self::Removed => "removed",
            Self::CrashLoop => "crash-loop",
        }
    }
}

impl Troubles {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what an agent wrote of itself, for `#[serde(deserialize_with)]`: kinds that this
    /// version does not know are left out.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        #[serde(untagged)]
        enum Kind {
            Known(Trouble),
            Other(UnrecognizedWord),
        }
        let mut troubles = Self::default();
        for (kind, count) in BTreeMap::<Kind, u32>::deserialize(deserializer)? {
            match kind {
                Kind::Known(trouble) => troubles.add(trouble, count),
                Kind::Other(_) => {}
            }
        }
        Ok(troubles)
    }

    /// How often this one occurred.
    pub fn of(&self, trouble: Trouble) -> u32 {
        self.0.get(&trouble).copied().unwrap_or(0)
    }

    /// Counts more of one.
    pub fn add(&mut self, trouble: Trouble, count: u32) {
        if count > 0 {
            let held = self.0.entry(trouble).or_default();
            *held = held.saturating_add(count);
        }
    }

    /// Counts a health check that began to fail, if it did.
    pub fn add_failed_check(&mut self, before: Health, after: Health) {
        let began = before == Health::Healthy && after == Health::Unhealthy;
        self.add(Trouble::CheckFailed, u32::from(began));
    }

    /// Takes over the counts of `other`, kind by kind; the others stay.
    pub fn set_all(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Those that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Trouble, u32)> + '_ {
        self.0.iter().map(|(trouble, count)| (*trouble, *count))
    }

    /// What occurred beyond what `noted` holds. A count that is lower than the noted one is of a
    /// host that has lost its ledger: all of it is new.
    pub fn since(&self, noted: &Self) -> Self {
        let mut more = Self::default();
        for (trouble, count) in self.iter() {
            let before = noted.of(trouble);
            let before = if before > count { 0 } else { before };
            more.add(trouble, count - before);
        }
        more
    }
}

/// The image of a replica as its host has it, or fails to get it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageReport {
    /// `sha256:...` of what was fetched, once it is here.
    pub digest: Option<String>,
    /// How far the fetch under way has come.
    pub progress: Option<PullProgress>,
    /// Why the last fetch failed; none after one that did not.
    pub problem: Option<ImageProblem>,
}

/// How far the fetch of an image has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PullProgress {
    /// Layers that are here.
    pub layers_done: u32,
    /// Layers known so far.
    pub layers: u32,
    /// Bytes loaded, of the layers whose size is known.
    pub bytes_done: u64,
    /// Bytes of the layers whose size is known.
    pub bytes: u64,
}

/// Why an image cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageProblem {
    /// The registry has no such image.
    Missing,
    /// The registry wants other credentials.
    Denied,
    /// The registry does not answer.
    Unreachable,
    /// Anything else.
    Failed,
    /// One that only a newer agent knows.
    #[serde(untagged)]
    Unrecognized(UnrecognizedWord),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The number of the run.
    pub run: u64,
    /// When it was seen to have ended.
    pub at: Timestamp,
    /// Who or what ended it.
    pub cause: EndCause,
    /// Its exit code; none when the runtime did not say, or it never ran.
    pub exit_code: Option<i64>,
    /// The signal that ended it, `SIGSEGV`, where its exit code says so.
    pub signal: Option<String>,
    /// Whether the kernel killed its main process for its memory.
    pub out_of_memory: bool,
    /// Other processes in it that the kernel killed for their memory.
    #[serde(default)]
    pub memory_kills: u32,
    /// What it wrote last, on one line; at most 300 bytes of it are kept.
    pub last_words: String,
}

/// Who or what ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// It ended by itself, or the kernel ended it.
    Exited,
    /// The agent ended it, as its health check failed too often.
    Unhealthy,
    /// The agent ended it, as it used more disk than its limit.
    OverDisk {
        /// What its writable layer and its sandbox held, MiB, rounded up.
        used_mb: u64,
        /// The limit, MiB.
        limit_mb: u64,
    },
    /// The agent ended it, as it was told to.
    Stopped,
    /// Somebody else removed its container.
    Removed,
    /// It could not be started.
    NotStarted,
    /// One that only a newer agent knows: an end as any other.
    #[serde(untagged)]
    Unrecognized(UnrecognizedWord),
}

/// Where a replica stands on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted, nothing done yet.
    Accepted,
    /// The image is being pulled.
    Pulling,
    /// The container is being made or started.
    Starting,
    /// The container runs.
    Running,
    /// A run failed; waiting for the next try.
    BackingOff,
    /// Leaving the load balancer.
    Draining,
    /// The container is being stopped and removed.
    Stopping,
    /// Nothing of it is left on the host.
    Gone,
    /// One that only a newer agent knows: the replica may run or not.
    #[serde(untagged)]
    Unrecognized(UnrecognizedWord),
}

/// What the health check of a replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No result yet.
    Unknown,
    /// The app has no check: running is all there is to know.
    Unchecked,
    /// The last results were good.
    Healthy,
    /// The last results were bad.
    Unhealthy,
    /// One that only a newer agent knows: neither good nor bad.
    #[serde(untagged)]
    Unrecognized(UnrecognizedWord),
}

/// Whether the container runtime of a host can be worked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// It answers.
    Ok,
    /// It hangs or fails: no new work, nothing evicted.
    Degraded {
        /// What was tried and what came back.
        reason: String,
        /// Since when, by the host's clock.
        since: Timestamp,
        /// What of the host does not work.
        part: HostPart,
    },
}

/// A part of a host that its agent needs to begin anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPart {
    /// The container runtime.
    #[default]
    Runtime,
    /// The disk of the agent's own state.
    Disk,
    /// The disk on which the container runtime keeps images and containers.
    DockerDisk,
    /// One that only a newer agent knows, by its number on the wire.
    Unrecognized(i32),
}

impl HostPart {
    /// Every part that this version knows.
    pub const ALL: [Self; 3] = [Self::Runtime, Self::Disk, Self::DockerDisk];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Disk => "disk",
            Self::DockerDisk => "docker-disk",
            Self::Unrecognized(_) => "unrecognized",
        }
    }

    /// What it is called.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Runtime => "container runtime".into(),
            Self::Disk => "disk of the agent".into(),
            Self::DockerDisk => "disk of dockerd".into(),
            Self::Unrecognized(number) => {
                format!("part {number}, which this version does not know").into()
            }
        }
    }
}

impl EndCause {
    /// Every cause that this version knows, without amounts.
    pub const ALL: [Self; 6] = [
        Self::Exited,
        Self::Unhealthy,
        Self::OverDisk {
            used_mb: 0,
            limit_mb: 0,
        },
        Self::Stopped,
        Self::Removed,
        Self::NotStarted,
    ];

    /// The word used in status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exited => "exited",
            Self::Unhealthy => "unhealthy",
            Self::OverDisk { .. } => "over-disk",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::NotStarted => "not-started",
            Self::Unrecognized(word) => word.as_str(),
        }
    }
}

/// What a run did that was ended for its disk, both in MiB.
pub fn over_disk(used_mb: u64, limit_mb: u64) -> String {
    format!("used {used_mb} MiB of disk, its limit is {limit_mb} MiB")
}

impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.cause {
            EndCause::Exited if self.out_of_memory => "was killed for its memory",
            EndCause::Exited if self.signal.is_some() => "was killed",
            EndCause::Exited => "exited by itself",
            EndCause::Unhealthy => "was ended for its failing health check",
            EndCause::OverDisk { .. } => "was ended",
            EndCause::Stopped => "was stopped",
            EndCause::Removed => "was removed by another",
            EndCause::NotStarted => "could not be started",
            EndCause::Unrecognized(_) => "ended",
        };
        write!(f, "run {} {what}", self.run)?;
        if let EndCause::Unrecognized(word) = self.cause {
            write!(f, ": cause {word:?}, which this version does not know")?;
        }
        if let EndCause::OverDisk { used_mb, limit_mb } = self.cause {
            write!(f, ": it {}", over_disk(used_mb, limit_mb))?;
        }
        if let Some(signal) = &self.signal {
            write!(f, ", {signal}")?;
        }
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        if self.out_of_memory && self.cause != EndCause::Exited {
            f.write_str(", out of memory")?;
        }
        match self.memory_kills {
            0 => {}
            1 => f.write_str("; a process in it was killed for its memory before")?,
            count => write!(
                f,
                "; {count} processes in it were killed for their memory before"
            )?,
        }
        if !self.last_words.is_empty() {
            write!(f, "; it last wrote: {}", self.last_words)?;
        }
        Ok(())
    }
}

impl Phase {
    /// The word used in status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Accepted => "accepted",
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing-off",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Gone => "gone",
            Self::Unrecognized(word) => word.as_str(),
        }
    }
}

impl ImageProblem {
    /// The word used in status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Unreachable => "registry-unreachable",
            Self::Failed => "failed",
            Self::Unrecognized(word) => word.as_str(),
        }
    }
}

impl Health {
    /// The word used in status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unknown => "unknown",
            Self::Unchecked => "unchecked",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unrecognized(word) => word.as_str(),
        }
    }
}
