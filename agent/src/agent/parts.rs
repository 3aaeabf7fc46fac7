//! What an agent is made of.

use std::{path::PathBuf, sync::Arc};

use paasta_agent_core::{collect::CollectSettings, settings::HostSettings};
use paasta_process::clock::Clock;

use crate::{engine::Engine, lanes::Patience, mounts::Mounts, watch::Pace};

/// What an agent is made of.
pub struct Parts {
    /// Runs the containers.
    pub engine: Arc<dyn Engine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seed of all chance but that of reconnecting.
    pub seed: u64,
    /// What decisions depend on.
    pub settings: HostSettings,
    /// Which mounts of the host containers are given.
    pub mounts: Mounts,
    /// The ledger's directory.
    pub state_dir: PathBuf,
    /// Host ports for containers, both ends included.
    pub port_range: (u16, u16),
    /// Container operations at a time.
    pub max_parallel: usize,
    /// How long each may take.
    pub patience: Patience,
    /// Disk for the sandboxes of dead runs, bytes.
    pub sandbox_budget_bytes: u64,
    /// Disk for what all runs wrote, bytes.
    pub log_budget_bytes: u64,
    /// Disk for images, and which of them stay.
    pub collect: CollectSettings,
    /// How often the engine is looked at.
    pub pace: Pace,
}
