//! Which versions of a service are deployed, as its git repository said last. Replicated, so that
//! every leader knows it: also one whose soa directory is another, and while git is away.

use std::collections::BTreeMap;

use paasta_common::deployments::Deployments;
use serde::{Deserialize, Serialize};

use super::actor::Actor;

/// The most bytes of one service's versions as text: 1,000 instances have room.
pub const VERSIONS_BYTES_MAX: usize = 512 * 1024;

/// The versions of a service, in this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// By deploy group and instance.
    pub deployments: Deployments,
    /// The tag that counts, by deploy group for deploys and by `control:CLUSTER.INSTANCE` for
    /// starts and stops.
    pub sources: BTreeMap<String, Source>,
}

/// A tag that says what runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// Its name, without `refs/tags/`.
    pub tag: String,
    /// The author, as far as a caller named one.
    pub by: Actor,
}
