//! A host as the cluster knows it. Whether it is heard from right now is not here: that is
//! observed, and held by the leader.

use paasta_common::{host::HostInfo, id::MachineId, time::Timestamp};
use serde::{Deserialize, Serialize};

/// A registered host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What it says about itself.
    pub info: HostInfo,
    /// Whether it counts as being there.
    pub standing: HostStanding,
    /// Set while an operator empties the host.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// The log index of the last change to the set of replicas it must run.
    pub generation: u64,
    /// What of it does not work, as was last said; none when all does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it first registered.
    pub registered_at: Timestamp,
    /// How far its clock was ahead of the leader's, in milliseconds, when it was found to be far off;
    /// none while it is not.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// The last machine that was refused under this id; `None` after the id changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedMachine>,
}

/// A machine that was refused under the id of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMachine {
    /// Its id; `None` from an agent of an older version.
    pub machine: Option<MachineId>,
    /// The address of its containers' ports.
    pub address: String,
}

/// Whether a host counts as being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStanding {
    /// It does.
    Up,
    /// It was silent for too long: its replicas are replaced elsewhere.
    Lost {
        /// When that was decided.
        since: Timestamp,
    },
}

/// An operator's wish to empty a host: nothing new is placed there, its replicas are at risk and
/// are replaced, each one leaving only when its replacement is happy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; until an operator ends it when absent.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Host {
    /// Whether it was declared lost.
    pub fn is_lost(&self) -> bool {
        matches!(self.standing, HostStanding::Lost { .. })
    }

    /// Whether new replicas may come here and those here count as staying: up and not draining.
    pub fn takes_work(&self) -> bool {
        !self.is_lost() && self.maintenance.is_none()
    }
}
