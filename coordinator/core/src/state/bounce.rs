//! What is remembered of a bounce: enough to tell how long it has made no progress, whichever
//! coordinator leads.
//! How a bounce decides is [`crate::plan::bounce`].

use std::fmt;

use paasta_common::{
    id::AppId,
    spec::{BounceMethod, BounceSpec},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A bounce under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BounceRecord {
    /// The apps that are leaving.
    pub from: Vec<AppId>,
    /// The app that is coming.
    pub to: AppId,
    /// The method it began with.
    pub method: BounceMethod,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last came closer to its end.
    pub last_progress_at: Timestamp,
    /// The most new replicas ever placed.
    pub placed_most: u32,
    /// The most new replicas ever happy at once.
    pub happy_most: u32,
    /// When the first new replica must be placed; absent without such a deadline.
    #[serde(default)]
    pub start_deadline: Option<Timestamp>,
    /// When it will have made no progress for too long.
    pub progress_deadline: Timestamp,
    /// Whether it goes on.
    pub phase: BouncePhase,
}

/// Whether a bounce goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BouncePhase {
    /// It does.
    Running,
    /// A deadline passed; it goes on trying.
    Overdue {
        /// When that was noticed.
        since: Timestamp,
    },
    /// A deadline passed; nothing new is placed and nothing old leaves until a new version comes
    /// or an operator says so.
    Held {
        /// When that was noticed.
        since: Timestamp,
    },
}

/// The six numbers of a bounce. In words only those that are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BounceCounts {
    /// New replicas that are not yet happy.
    pub to_bring_up: u32,
    /// Old replicas that are happy.
    pub old_happy: u32,
    /// Old replicas that are not.
    pub old_unhappy: u32,
    /// Old replicas that are leaving.
    pub old_draining: u32,
    /// Old replicas on hosts that are being drained.
    pub old_at_risk: u32,
    /// Old apps that still have replicas.
    pub old_apps: u32,
}

impl fmt::Display for BounceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apps = if self.old_apps == 1 {
            "old app"
        } else {
            "old apps"
        };
        let of = [
            (self.to_bring_up, "new to bring up"),
            (self.old_happy, "old happy"),
            (self.old_unhappy, "old unhappy"),
            (self.old_draining, "old draining"),
            (self.old_at_risk, "old at risk"),
            (self.old_apps, apps),
        ];
        let mut before = "";
        for (number, noun) in of.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{before}{number} {noun}")?;
            before = ", ";
        }
        match before {
            "" => f.write_str("nothing left to do"),
            _ => Ok(()),
        }
    }
}

impl BounceRecord {
    pub(super) fn progress(&mut self, spec: &BounceSpec, at: Timestamp) {
        self.last_progress_at = at;
        self.phase = match self.phase {
            held @ BouncePhase::Held { .. } => held,
            BouncePhase::Running | BouncePhase::Overdue { .. } => BouncePhase::Running,
        };
        self.set_deadlines(spec);
    }

    pub(super) fn set_deadlines(&mut self, spec: &BounceSpec) {
        self.progress_deadline = self.last_progress_at.after_ms(spec.progress_deadline_ms);
        self.start_deadline =
            (spec.start_deadline_ms > 0).then(|| self.started_at.after_ms(spec.start_deadline_ms));
    }

    /// The next moment at which it counts as stuck; none when that was already noticed.
    pub fn deadline(&self) -> Option<Timestamp> {
        let start = self.start_deadline.filter(|_| self.placed_most == 0);
        match self.phase {
            BouncePhase::Running => Some(start.map_or(self.progress_deadline, |start| {
                start.min(self.progress_deadline)
            })),
            BouncePhase::Overdue { .. } | BouncePhase::Held { .. } => None,
        }
    }

    /// Whether it waits for an operator or a new version.
    pub fn is_held(&self) -> bool {
        matches!(self.phase, BouncePhase::Held { .. })
    }
}
