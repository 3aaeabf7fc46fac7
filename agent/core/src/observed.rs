//! What the shell sees and hears between two steps.

use std::collections::BTreeSet;

use paasta_common::{
    id::{HostId, ReplicaId},
    time::Timestamp,
};

use crate::{actions::Lane, drain::calls::Call, images::PullFailure};

/// Everything a step looks at beside what it remembers.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The number of this step; each step has a greater one.
    pub step: u64,
    /// What ended since the last step, in order.
    pub events: Vec<Event>,
    /// The newest complete list of containers that was got; none before the first.
    pub listing: Option<Listing>,
    /// Whether that list was not yet there at the last step.
    pub fresh_listing: bool,
    /// The engine hangs or fails: nothing new is asked of it.
    pub degraded: bool,
    /// Lanes with an operation under way.
    pub busy: BTreeSet<Lane>,
    /// Images being fetched.
    pub pulling: BTreeSet<String>,
    /// Ports of the host, as far as [`wanted`](crate::ports::wanted) asked for them.
    pub ports: Ports,
    /// Chance, for jitter.
    pub chance: u64,
}

/// What was found of the ports that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// They can be bound; drawn at random.
    pub free: Vec<u16>,
    /// Whether there are no more than these.
    pub spent: bool,
    /// Those of the fixed ports that cannot be bound, though no run of ours holds them.
    pub held: BTreeSet<u16>,
}

/// All containers that carry our labels, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The step after which it was asked for.
    pub after_step: u64,
    /// The containers, those of a run beside each other.
    containers: Vec<Seen>,
}

impl Listing {
    /// What was asked for after the step of this number.
    pub fn new(after_step: u64, mut containers: Vec<Seen>) -> Self {
        containers.sort_by_key(Seen::of_run);
        Self {
            after_step,
            containers,
        }
    }

    /// The containers.
    pub fn containers(&self) -> &[Seen] {
        &self.containers
    }

    /// The containers that say they are of this run: of any cluster and host. Does not look at the
    /// others, as every step asks this of every replica.
    pub fn of_run(&self, replica: ReplicaId, run: u64) -> impl Iterator<Item = &Seen> {
        let key = (Some(replica), run);
        let first = self.containers.partition_point(|seen| seen.of_run() < key);
        let found = self.containers.get(first..).unwrap_or_default();
        found.iter().take_while(move |seen| seen.of_run() == key)
    }
}

/// One container of ours, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The engine's id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// The cluster that ordered it.
    pub cluster_id: String,
    /// The host whose agent made it.
    pub host: Option<HostId>,
    /// The replica; none when the label is missing or spoilt.
    pub replica: Option<ReplicaId>,
    /// The number of its run.
    pub run: u64,
    /// What it does.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its port on the host.
    pub host_port: Option<u16>,
}

impl Seen {
    fn of_run(&self) -> (Option<ReplicaId>, u64) {
        (self.replica, self.run)
    }
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// It runs, or is being restarted by the engine.
    Running,
    /// It is frozen: its processes are there and get no CPU time.
    Paused,
    /// It has ended.
    Exited,
    /// The engine is removing it.
    Removing,
}

impl ContainerState {
    /// Whether its processes are there.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// An image that is on the host, as far as its runs depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalImage {
    /// Its digest, or its id where it has none.
    pub digest: String,
    /// The working directory that the image sets.
    pub working_dir: Option<String>,
}

/// Something that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An image was fetched, or was there; or not, in the registry's words.
    Pulled {
        /// The image.
        image: String,
        /// What is there, or why it could not be fetched.
        result: Result<LocalImage, PullFailure>,
    },
    /// A container was made and started: its id.
    Ran {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// What came of it.
        result: Result<String, RunError>,
    },
    /// The engine says in passing that something befell the container of a run.
    Hinted {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// When the kernel killed a process in it for its memory, if that is what befell it.
        memory_kill_at: Option<Timestamp>,
    },
    /// The container of a run was looked at.
    Looked {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// What was seen, or why nothing.
        result: Result<Found, String>,
    },
    /// A container was stopped and removed.
    Ended {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// What it left, or why it is still there.
        result: Result<Remains, String>,
    },
    /// A probe came back.
    Probed {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// Healthy, or what was seen instead.
        result: Result<(), String>,
    },
    /// What a run uses of the host's disk was measured.
    DiskMeasured {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// Bytes of its writable layer and of its sandbox.
        used_bytes: u64,
    },
    /// A call of a drain came back.
    DrainAnswered {
        /// The replica.
        replica: ReplicaId,
        /// The call.
        call: Call,
        /// Whether every registration gave a success code; or that it could not be asked.
        result: Result<bool, String>,
    },
}

/// What a look at a container shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It runs.
    Running {
        /// It is frozen.
        paused: bool,
        /// Processes in it that the kernel has killed for their memory so far, where that can be
        /// counted.
        memory_kills: Option<u32>,
    },
    /// It has ended.
    Ended {
        /// When, where the engine knows.
        at: Option<Timestamp>,
    },
    /// There is none.
    Missing,
}

/// Why a container does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The engine said no.
    #[error("{0}")]
    Refused(String),
    /// No answer: it may run all the same.
    #[error("no answer from the container runtime: {0}")]
    Unknown(String),
}

/// What a finished run left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remains {
    /// The exit code, where the engine still knew it.
    pub exit_code: Option<i64>,
    /// The name of the signal that the code stands for.
    pub signal: Option<String>,
    /// Whether the engine says that the kernel killed for memory: any process of the container,
    /// at any time.
    pub memory_killed: bool,
    /// When it ended, where the engine says.
    pub ended_at: Option<Timestamp>,
    /// The last lines it wrote.
    pub last_words: String,
}
