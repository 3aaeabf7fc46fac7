//! The state of a host as its sessions and metrics show it.

use std::collections::BTreeMap;

use paasta_common::{
    assignment::Fence,
    disk::DiskLimits,
    id::ReplicaId,
    report::{ReplicaReport, Runtime},
};

/// How things stand, for sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The newest fence obeyed.
    pub accepted: Option<Fence>,
    /// Every replica.
    pub reports: BTreeMap<ReplicaId, ReplicaReport>,
    /// The engine.
    pub runtime: Runtime,
    /// What is done about the disk of instances.
    pub disk_limits: DiskLimits,
}

impl View {
    /// The generation that is obeyed; 0 when there is none.
    pub fn generation(&self) -> u64 {
        self.accepted.as_ref().map_or(0, |fence| fence.generation)
    }
}
