//! What an operator asks for beside the configuration, when git or yelpsoa-configs is too slow or
//! away: another number of replicas. Told of in status, and gone with the next change of either.

use paasta_common::{spec::InstanceSpec, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::actor::Actor;

/// The most replicas that an operator may ask for, whatever is configured: as many as a test of the
/// planner's speed has.
pub const INSTANCES_MAX: u32 = 10_000;
/// An operator may ask for so many times the configured number at most...
pub const SCALE_FACTOR_MAX: u32 = 10;
/// ... but always for so many.
pub const SCALE_FREE: u32 = 10;

/// An override, with who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What is asked for.
    pub kind: OverrideKind,
    /// Its author.
    pub by: Actor,
    /// When.
    pub since: Timestamp,
    /// The log index at which it was asked for.
    pub index: u64,
}

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// Nothing runs.
    Stop,
    /// The configured number runs, though git says stop.
    Start,
    /// Nothing runs until every replica is gone; then the override is.
    Restart,
    /// So many run.
    Scale {
        /// How many.
        instances: u32,
    },
    /// So many run: what an autoscaler would be told.
    Pin {
        /// How many.
        instances: u32,
    },
}

impl Override {
    /// How many replicas should run.
    pub fn wanted(&self, spec: &InstanceSpec) -> u32 {
        match self.kind {
            OverrideKind::Stop | OverrideKind::Restart => 0,
            OverrideKind::Start => spec.instances,
            OverrideKind::Scale { instances } | OverrideKind::Pin { instances } => instances,
        }
    }

    /// Whether it says anything still after the desired state became `after`.
    pub(super) fn outlasts(before: &InstanceSpec, after: &InstanceSpec) -> bool {
        // The app id covers the version, the restart marker and all that a container can notice.
        before.app_id == after.app_id
            && before.instances == after.instances
            && before.desired_state == after.desired_state
    }
}

impl OverrideKind {
    /// The word used in status and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Scale { .. } => "scale",
            Self::Pin { .. } => "pin",
        }
    }

    /// The number it names, if it names one.
    pub fn instances(self) -> Option<u32> {
        match self {
            Self::Scale { instances } | Self::Pin { instances } => Some(instances),
            Self::Stop | Self::Start | Self::Restart => None,
        }
    }
}

/// The most replicas that an operator may ask for of an instance.
pub fn most(spec: &InstanceSpec) -> u32 {
    let factor = spec.instances.saturating_mul(SCALE_FACTOR_MAX);
    factor.clamp(SCALE_FREE, INSTANCES_MAX)
}
