//! What a step asks the shell to do.

use std::collections::BTreeMap;

use paasta_common::{container::ContainerSpec, id::ReplicaId, time::Timestamp};

use crate::drain::calls::{Call, Request};

/// What to do now, and when to look again if nothing happens before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actions {
    /// In order. Those of one lane are never asked for while that lane is busy.
    pub actions: Vec<Action>,
    /// The next moment at which time alone changes a decision.
    pub wake_at: Option<Timestamp>,
}

impl Actions {
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Operations that must not overlap: those on one replica, or on one orphan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// All of a replica's containers.
    Replica(ReplicaId),
    /// One container that no replica accounts for, by id.
    Container(String),
}

/// One thing to do. Each answers with an event, but for `Reap`, whose success shows in the
/// listing.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the image available. Once per image at a time, however many replicas wait.
    Pull {
        /// The image.
        image: String,
    },
    /// Call the fetch off: nobody waits for the image any more.
    CancelPull {
        /// The image.
        image: String,
    },
    /// Make the container unless one of that name and those labels exists, and start it.
    Run {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// The container.
        spec: Box<ContainerSpec>,
    },
    /// Stop the container if it runs, keep its last words, remove it. Nothing there is success.
    End {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// The container's name.
        name: String,
        /// Labels it must have: one of that name that has others is not ours to end.
        identity: BTreeMap<String, String>,
        /// Milliseconds from SIGTERM to SIGKILL.
        grace_ms: u64,
    },
    /// Look whether the container of a run still runs: a list, or a hint, says that it does not,
    /// and either may be wrong.
    Look {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// The container's id.
        container: String,
    },
    /// Ask whether a run is healthy. No lane: probes never wait for the engine, but for `Cmd`.
    Probe {
        /// The replica.
        replica: ReplicaId,
        /// The run.
        run: u64,
        /// What to ask.
        target: Target,
        /// Milliseconds until it counts as failed.
        timeout_ms: u64,
    },
    /// Speak to who takes part in a drain: the service itself, or its host's hacheck.
    Drain {
        /// The replica.
        replica: ReplicaId,
        /// What for.
        call: Call,
        /// The requests, one for each registration.
        requests: Vec<Request>,
    },
    /// Stop and remove a container that nothing accounts for.
    Reap {
        /// Its id.
        container: String,
        /// Its name.
        name: String,
        /// Why, for the log.
        why: String,
    },
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// GET on a port of this host.
    Http {
        /// The port.
        port: u16,
        /// The path.
        uri: String,
        /// Over TLS, without verifying the certificate.
        tls: bool,
    },
    /// A TCP connection to a port of this host.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A shell command in the container.
    Cmd {
        /// The container's id.
        container: String,
        /// The command.
        command: String,
    },
}

impl Action {
    /// The lane it occupies, if any.
    pub fn lane(&self) -> Option<Lane> {
        match self {
            Self::Run { replica, .. } | Self::End { replica, .. } | Self::Look { replica, .. } => {
                Some(Lane::Replica(*replica))
            }
            Self::Reap { container, .. } => Some(Lane::Container(container.clone())),
            Self::Pull { .. }
            | Self::CancelPull { .. }
            | Self::Probe { .. }
            | Self::Drain { .. } => None,
        }
    }
}
