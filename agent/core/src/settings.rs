//! What the operator set for this host and what every decision may depend on.

use paasta_common::{disk::DiskLimits, id::HostId};
use serde::{Deserialize, Serialize};

/// How long a container that no ledger accounts for is left alone, by default: an hour, as
/// PaaSTA's cleanup_marathon_orphaned_containers did.
pub const REAP_AGE_MS: u64 = 3_600_000;
/// How long a run must be healthy until earlier failures are forgotten.
pub const HEALTHY_RESET_MS: u64 = 60_000;
/// The largest log file of one container.
pub const LOG_MAX_BYTES: u64 = 10 << 20;
/// How many log files of one container are kept.
pub const LOG_MAX_FILES: u32 = 5;
/// Processes and threads of one container: a fork bomb ends there, a thread pool does not.
pub const PIDS_LIMIT: u64 = 4_096;

/// The host's settings, as far as decisions depend on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSettings {
    /// The host.
    pub host: HostId,
    /// Where its containers' ports are reached.
    pub address: String,
    /// The directory on the host that holds a sandbox for each run.
    pub sandboxes: String,
    /// The age at which an orphan is reaped, milliseconds.
    pub reap_age_ms: u64,
    /// How long a run must be healthy until earlier failures are forgotten, milliseconds.
    pub healthy_reset_ms: u64,
    /// The largest log file of one container, bytes.
    pub log_max_bytes: u64,
    /// How many log files of one container are kept.
    pub log_max_files: u32,
    /// Processes and threads of one container, at most; 0 for no limit.
    pub pids_limit: u64,
    /// What is done about the disk of instances.
    #[serde(default)]
    pub disk_limits: DiskLimits,
    /// Whether setuid programs work inside containers.
    pub new_privileges: bool,
    /// Name servers of containers; empty leaves them to the engine.
    pub dns: Vec<String>,
    /// The domains in which containers look up short names; empty leaves them to the engine.
    pub dns_search: Vec<String>,
}

impl HostSettings {
    /// The defaults for a host.
    pub fn new(host: HostId, address: &str, sandboxes: &str) -> Self {
        Self {
            host,
            address: address.to_owned(),
            sandboxes: sandboxes.to_owned(),
            reap_age_ms: REAP_AGE_MS,
            healthy_reset_ms: HEALTHY_RESET_MS,
            log_max_bytes: LOG_MAX_BYTES,
            log_max_files: LOG_MAX_FILES,
            pids_limit: PIDS_LIMIT,
            disk_limits: DiskLimits::default(),
            new_privileges: false,
            dns: Vec::new(),
            dns_search: Vec::new(),
        }
    }
}
