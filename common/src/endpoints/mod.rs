//! The endpoints of namespaces: which replicas serve a namespace, as coordinators send them to the
//! agents whose hosts have a load balancer, and what these load balancers report.
//!
//! [`EndpointUpdate`] is one message, [`Received`] is the agent's side: it assembles a set from
//! parts, applies changes, and keeps the last good set. [`ProxyReport`] is the answer.

mod received;
mod report;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    id::{HostId, InstanceId, ReplicaId},
    smartstack::{Namespace, NamespaceOptions},
};

pub use received::{Received, UpdateError};
pub use report::{
    BackendReport, BackendState, PROBLEMS_MAX, ProxyProblem, ProxyProblemKind, ProxyReport,
};

/// Endpoints in one message, at most: some 100 bytes each.
pub const PART_ENDPOINTS_MAX: usize = 2_000;
/// Namespaces in one message, at most: their options may be some kilobytes each.
pub const PART_NAMESPACES_MAX: usize = 200;
/// Endpoints that an agent takes, at most; one replica counts once for each of its namespaces.
pub const ENDPOINTS_MAX: usize = 200_000;
/// Namespaces that an agent takes, at most.
pub const NAMESPACES_MAX: usize = 20_000;

/// Orders the updates of a cluster. Compared as epoch, then term, then number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct EndpointVersion {
    /// How often the cluster was recovered from a lost quorum.
    pub epoch: u64,
    /// The Raft term of the leader.
    pub term: u64,
    /// What that leader counted; from 1.
    pub number: u64,
}

/// What load balancers are to do with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Send it requests.
    Up,
    /// Send it nothing new; what it has is finished.
    Drain,
    /// Send it nothing: its health check fails.
    Down,
    /// What they did before: its host has not reported to the leader yet. Also a state that only a
    /// newer coordinator knows.
    Keep,
}

/// A replica that serves a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The instance.
    pub instance: InstanceId,
    /// The host that it runs on.
    pub host: HostId,
    /// Where it is reached. Without meaning while `port` is 0.
    pub address: Arc<str>,
    /// The port on that address; 0 when the leader does not know it yet.
    pub port: u16,
    /// What to do with it.
    pub state: EndpointState,
    /// Its share of the requests among the endpoints of the namespace.
    pub weight: u16,
    /// It is in a wider location than the one that clients choose from: used when no other is up.
    pub backup: bool,
}

/// The weight of an endpoint.
pub const WEIGHT: u16 = 1;

/// A namespace with its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NamespaceSet {
    /// Its options.
    pub options: Arc<NamespaceOptions>,
    /// By replica.
    pub endpoints: BTreeMap<ReplicaId, Endpoint>,
}

/// All that the load balancer of one host is to serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointSet {
    /// The last update that is in it.
    pub version: EndpointVersion,
    /// By name.
    pub namespaces: BTreeMap<Namespace, Arc<NamespaceSet>>,
}

/// One message about endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUpdate {
    /// What the set is after it, and for a part, after the last one.
    pub version: EndpointVersion,
    /// What it does to the set.
    pub extent: Extent,
    /// The namespaces in it.
    pub namespaces: BTreeMap<Namespace, NamespaceUpdate>,
}

/// What an update does to a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// It is a part of a whole set, which replaces the one before.
    Part {
        /// Counts from 0 without a gap.
        number: u32,
        /// Another part follows.
        more: bool,
    },
    /// It changes the set.
    Changes {
        /// Namespaces that are gone.
        removed: Vec<Namespace>,
    },
}

/// What an update has of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceUpdate {
    /// Its options.
    pub options: OptionsUpdate,
    /// Endpoints that are new or changed.
    pub endpoints: BTreeMap<ReplicaId, Endpoint>,
    /// In changes: replicas that are no endpoints of it any more.
    pub removed: Vec<ReplicaId>,
}

/// What an update has of the options of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OptionsUpdate {
    /// They are as they were.
    #[default]
    Unchanged,
    /// These.
    Given(Arc<NamespaceOptions>),
    /// Some that this version cannot use, and why: the ones before stay.
    Refused(String),
}

impl EndpointSet {
    /// How many endpoints there are, in all namespaces together.
    pub fn len(&self) -> usize {
        self.namespaces
            .values()
            .map(|one| one.endpoints.len())
            .sum()
    }

    /// Whether there is no endpoint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
