//! The operator's settings that decide what a container is: one set for the cluster.

use std::collections::BTreeMap;

use paasta_common::{config::ClusterSettings, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::actor::Actor;

/// Of how many coordinators the files are remembered, at most.
pub const FILES_MAX: usize = 64;

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The set.
    pub values: ClusterSettings,
    /// The set before it: what differs by this change alone is told from other changes by it.
    #[serde(default)]
    pub previous: Option<Box<ClusterSettings>>,
    /// Since when it is in force.
    pub since: Timestamp,
    /// Its author.
    pub by: Actor,
    /// Why.
    pub why: String,
    /// The digests of what the coordinators' own files said when it came into force, or when they
    /// were first heard after that. Only a file that was changed since can change the set.
    #[serde(default)]
    pub files: BTreeMap<u64, String>,
}
