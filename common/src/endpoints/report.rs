//! What the load balancer of a host reports of its backends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointVersion;
use crate::{id::ReplicaId, smartstack::Namespace};

/// Problems in one report, at most.
pub const PROBLEMS_MAX: usize = 1_000;

/// What a load balancer does with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// It gets requests.
    Up,
    /// It gets none, as its checks or its answers fail.
    Down,
    /// It gets nothing new, as it was taken out of service.
    Maint,
    /// The load balancer does not have it.
    Absent,
    /// Something that only a newer agent knows.
    Unrecognized,
}

/// One backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReport {
    /// What is done with it: the worst over its namespaces.
    pub state: BackendState,
    /// Requests and connections of clients that it has still to finish.
    pub sessions: u32,
}

impl BackendReport {
    /// Whether it gets nothing new and has nothing to finish.
    pub fn is_out(self) -> bool {
        let routed = matches!(self.state, BackendState::Up | BackendState::Unrecognized);
        !routed && self.sessions == 0
    }
}

/// Why a load balancer does not serve a namespace as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProblemKind {
    /// Another program listens on its port.
    PortTaken,
    /// An option of it cannot be used.
    OptionRefused,
    /// Another namespace has the same port.
    PortShared,
    /// The load balancer refused it.
    Refused,
    /// Something that only a newer agent knows.
    Unrecognized,
}

/// A namespace that a load balancer does not serve as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyProblem {
    /// Why.
    pub kind: ProxyProblemKind,
    /// What was found, and what to do.
    pub detail: String,
}

/// What the load balancer of a host reports. A backend that is not listed is as the acknowledged
/// version wants it: in service where it is up, out of service and without sessions where it drains.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyReport {
    /// All of this version is in effect; none before the first set.
    pub version: Option<EndpointVersion>,
    /// Backends that are not listed are as wanted; otherwise only what changed is listed.
    pub complete: bool,
    /// Backends that are not, or not yet, as wanted.
    pub backends: BTreeMap<ReplicaId, BackendReport>,
    /// Backends that were listed before and are as wanted now.
    pub as_wanted: Vec<ReplicaId>,
    /// The namespaces that are not served as wanted; all of them in each report.
    pub problems: BTreeMap<Namespace, ProxyProblem>,
    /// What fails of the load balancer; empty while it works.
    pub degraded: String,
}
