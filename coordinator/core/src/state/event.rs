//! What happened lately, for `paasta status`, `paasta why` and the audit of administrators' acts:
//! a ring of bounded length, the same on every coordinator.

use std::{collections::VecDeque, fmt};

use paasta_common::{
    id::{HostId, InstanceId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{actor::Actor, command::Context};

/// The most events kept; the oldest goes when another comes.
pub const EVENTS_MAX: usize = 1_000;

/// The most of them that tell of failures: however many runs die, what was done is not pushed out.
pub const FAILURES_MAX: usize = 400;

/// The longest text of an event, in bytes: 1,000 events stay under a megabyte.
pub const EVENT_TEXT_BYTES_MAX: usize = 900;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The log index of the command.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// Its author.
    pub by: Actor,
    /// To what.
    pub subject: Subject,
    /// What kind of thing.
    pub kind: EventKind,
    /// What, in words.
    pub text: String,
}

/// What an event happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The cluster as a whole.
    Cluster,
    /// A host.
    Host(HostId),
    /// An instance.
    Instance(InstanceId),
    /// Part of the configuration, named as a problem's scope is.
    Config(String),
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The cluster itself changed.
    Cluster,
    /// A host joined, was lost, returned, or is being drained.
    Host,
    /// The desired state changed.
    Desired,
    /// Replicas were placed, or a placement was refused.
    Placement,
    /// Replicas must leave, or are gone.
    Replicas,
    /// A step of a bounce.
    Bounce,
    /// The configuration has problems, or no longer.
    Config,
    /// An alarm began or ended.
    Alert,
    /// Runs of an instance died, or failed their checks.
    Failure,
    /// A principal was made, changed or removed.
    Admin,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Host(host) => host.fmt(f),
            Self::Instance(instance) => instance.fmt(f),
            Self::Config(scope) => f.write_str(scope),
        }
    }
}

/// The last [`EVENTS_MAX`] events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct EventRing(VecDeque<Event>);

impl EventRing {
    pub(super) fn push(
        &mut self,
        context: &Context<'_>,
        kind: EventKind,
        subject: Subject,
        mut text: String,
    ) {
        if text.len() > EVENT_TEXT_BYTES_MAX {
            let end = text.floor_char_boundary(EVENT_TEXT_BYTES_MAX);
            text.truncate(end);
        }
        if kind == EventKind::Failure && self.failures() >= FAILURES_MAX {
            let oldest = self.0.iter().position(|event| event.kind == kind);
            oldest.and_then(|at| self.0.remove(at));
        }
        while self.0.len() >= EVENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Event {
            index: context.index,
            at: context.at,
            by: context.by.clone(),
            subject,
            kind,
            text,
        });
    }

    /// How many of them are of failures.
    pub(super) fn failures(&self) -> usize {
        let failures = self.0.iter();
        failures
            .filter(|event| event.kind == EventKind::Failure)
            .count()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
