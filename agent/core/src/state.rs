//! What the ledger holds: the assignment this host obeys and how far each replica has come. It is
//! written before anything is done about it.

use std::collections::BTreeMap;

use paasta_common::{
    assignment::{AssignedReplica, Assignment, Fence, FenceError, Want},
    id::{AppId, InstanceId, ReplicaId},
    report::{RunEnd, Troubles},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{disk::Measured, health::Checks, images::Refetches, labels::container_name};

/// The longest message kept with a replica, bytes.
pub const MESSAGE_MAX: usize = 600;

/// All that this host remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LocalState {
    /// The newest fence ever obeyed. It outlives the assignment when a ledger is damaged.
    pub accepted: Option<Fence>,
    /// What the host must run.
    pub assignment: Option<Assignment>,
    /// How far each replica has come.
    pub records: BTreeMap<ReplicaId, Record>,
    /// The images whose last fetch failed; a new process starts without it.
    #[serde(skip)]
    pub images: Refetches,
}

/// One replica on this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The instance it serves.
    pub instance: InstanceId,
    /// Its app.
    pub app: AppId,
    /// Milliseconds from SIGTERM to SIGKILL, kept for a replica that is no longer assigned.
    pub stop_grace_ms: u64,
    /// The number of the present or last run; 0 before the first.
    pub run: u64,
    /// Where it stands.
    pub stage: Stage,
    /// Failures in a row; a healthy period clears them.
    pub failures: u32,
    /// The last thing worth telling an operator.
    pub message: String,
    /// What the message is about: it goes when that succeeds.
    #[serde(default)]
    pub topic: Topic,
    /// What the kernel killed in the present run for memory.
    #[serde(default)]
    pub memory_kills: MemoryKills,
    /// Present while it leaves the load balancer.
    pub drain: Option<Draining>,
    /// The digest of the image of the last run.
    #[serde(default)]
    pub digest: Option<String>,
    /// The working directory that the image of the present run sets.
    #[serde(default)]
    pub image_working_dir: Option<String>,
    /// How the last run ended; a healthy period clears it.
    #[serde(default)]
    pub last_end: Option<RunEnd>,
    /// What befell it since it was placed here.
    #[serde(
        default,
        skip_serializing_if = "Troubles::is_empty",
        deserialize_with = "Troubles::known"
    )]
    pub troubles: Troubles,
    /// The last order to forget its failures that was carried out, as [`paasta_common::assignment::Tried`] names it.
    #[serde(default)]
    pub reset: u64,
    /// What a new process finds out again.
    #[serde(skip)]
    pub live: Live,
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has no container; the next run begins at the time given, or at once.
    Waiting {
        /// The end of the backoff.
        until: Option<Timestamp>,
    },
    /// Its image is being fetched.
    Pulling,
    /// The container is being made and started.
    Starting {
        /// The port drawn for it.
        host_port: Option<u16>,
        /// How often that was asked for.
        attempts: u32,
    },
    /// The container runs.
    Running {
        /// The engine's id of it.
        container: String,
        /// Its port.
        host_port: Option<u16>,
        /// Since when.
        started_at: Timestamp,
        /// Its health.
        checks: Checks,
    },
    /// The run is over; its container is being stopped and removed.
    Ending {
        /// Its port, held until it is gone.
        host_port: Option<u16>,
        /// What comes next.
        then: Then,
    },
    /// Nothing of the replica is left.
    Gone,
}

/// What follows the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The next run.
    Retry {
        /// Not before.
        until: Timestamp,
    },
    /// Nothing.
    Gone,
}

/// A replica on its way out of the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Since when.
    pub since: Timestamp,
    /// It may be stopped.
    pub safe: bool,
    /// The service itself, or its host's hacheck, was told, so it must be told again when the drain is called off.
    pub told: bool,
    /// When.
    #[serde(default)]
    pub told_at: Option<Timestamp>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Nothing in particular.
    #[default]
    Other,
    /// Fetching the image.
    Image,
    /// A port of the host.
    Port,
    /// Making and starting the container.
    Start,
    /// Looking at the container.
    Look,
    /// A process in the container that was killed for its memory.
    Memory,
    /// The health check.
    Check,
    /// Leaving the load balancer.
    Drain,
    /// Stopping and removing the container.
    Removal,
    /// How the last run ended.
    End,
}

/// The processes of one run that the kernel killed for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryKills {
    /// How many.
    pub count: u32,
    /// When the last one, by the engine's time.
    pub last_at: Option<Timestamp>,
    /// How many of them the run is known to have outlived.
    pub outlived: u32,
}

/// What is not worth a write: a new process starts without it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Live {
    /// The step that last changed what the engine should show of this replica: a listing asked
    /// for earlier says nothing about what is missing.
    pub settled: u64,
    /// When the next probe goes out.
    pub next_probe_at: Option<Timestamp>,
    /// The probe that is out must be back by then.
    pub probe_due_by: Option<Timestamp>,
    /// Something may have befallen the container: it is to be looked at.
    pub look: bool,
    /// The container is frozen, as the last look showed.
    pub paused: bool,
    /// What its present run uses of the disk.
    pub disk: Measured,
    /// When an engine operation that failed is tried again.
    pub retry_at: Option<Timestamp>,
    /// How far the conversation about its drain has come.
    pub calls: crate::drain::calls::Progress,
}

impl LocalState {
    /// Takes a new assignment.
    ///
    /// # Errors
    /// [`FenceError`] when it is older than what was obeyed before, or of another cluster (I3).
    pub fn accept(&mut self, next: Assignment) -> Result<(), FenceError> {
        if let Some(accepted) = &self.accepted {
            accepted.admits(&next.fence)?;
        }
        self.accepted = Some(next.fence.clone());
        self.assignment = Some(next);
        Ok(())
    }

    /// The cluster this host belongs to, once it has obeyed one.
    pub fn cluster_id(&self) -> Option<&str> {
        self.accepted
            .as_ref()
            .map(|fence| fence.cluster_id.as_str())
    }

    /// The replica as assigned; none when it is to go.
    pub fn assigned(&self, id: ReplicaId) -> Option<&AssignedReplica> {
        self.assignment.as_ref()?.replicas.get(&id)
    }

    /// What should become of the replica. What is not assigned should stop.
    pub fn want(&self, id: ReplicaId) -> Want {
        self.assigned(id).map_or(Want::Stop, |replica| replica.want)
    }
}

impl Record {
    /// A replica that was just assigned.
    pub fn new(replica: &AssignedReplica) -> Self {
        Self {
            instance: replica.instance.clone(),
            app: replica.app.clone(),
            stop_grace_ms: replica.run.stop_grace_ms,
            run: 0,
            stage: Stage::Waiting { until: None },
            failures: replica.tried.failures,
            message: String::new(),
            topic: Topic::Other,
            memory_kills: MemoryKills::default(),
            drain: None,
            digest: None,
            image_working_dir: None,
            last_end: None,
            troubles: Troubles::default(),
            reset: replica.tried.reset,
            live: Live::default(),
        }
    }

    /// The name of the container of the present run.
    pub fn container_name(&self, id: ReplicaId) -> String {
        container_name(&self.instance, id, self.run)
    }

    /// Whether the ledger would hold the same of both.
    pub fn is_kept_as(&self, other: &Self) -> bool {
        // By name, so that what is added to a record is compared too, or left out on purpose.
        let Self {
            instance,
            app,
            stop_grace_ms,
            run,
            stage,
            failures,
            message,
            topic,
            memory_kills,
            drain,
            digest,
            image_working_dir,
            last_end,
            troubles,
            reset,
            live: _,
        } = self;
        *stage == other.stage
            && (*run, *failures, *reset) == (other.run, other.failures, other.reset)
            && (topic, memory_kills) == (&other.topic, &other.memory_kills)
            && *message == other.message
            && *image_working_dir == other.image_working_dir
            && *drain == other.drain
            && *digest == other.digest
            && *last_end == other.last_end
            && *troubles == other.troubles
            && *stop_grace_ms == other.stop_grace_ms
            && *app == other.app
            && *instance == other.instance
    }

    /// What the last message is about has succeeded: it goes, and with failures behind it the
    /// replica says again how its last run ended.
    pub fn succeeded(&mut self, topic: Topic) {
        if self.topic != topic || self.message.is_empty() {
            return;
        }
        match &self.last_end {
            Some(end) if self.failures > 0 => {
                let words = end.to_string();
                self.say(Topic::End, words);
            }
            _ => self.say(Topic::Other, ""),
        }
    }

    /// Keeps what an operator should read, cut to [`MESSAGE_MAX`].
    pub fn say(&mut self, topic: Topic, message: impl Into<String>) {
        self.topic = topic;
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        self.message = message;
    }
}
