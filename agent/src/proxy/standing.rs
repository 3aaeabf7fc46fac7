//! What is said of the load balancer: to the coordinators, and as figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_agent_core::proxy::{
    seen::Seen,
    wanted::{Wanted, wanted},
};
use paasta_common::{
    endpoints::{BackendReport, BackendState, EndpointSet, ProxyReport},
    id::ReplicaId,
};
use tokio::sync::watch;

use super::{Counts, ProxyView};

/// The servers of a set, and its replicas that are none, as their hosts have no IP address.
pub(super) fn servers_of(set: &EndpointSet) -> (Wanted, BTreeSet<ReplicaId>) {
    let (servers, unreachable) = wanted(set);
    if let Some(replica) = unreachable.first() {
        let mut namespaces = set.namespaces.values();
        let endpoint = namespaces.find_map(|one| one.endpoints.get(replica));
        tracing::error!(
            count = unreachable.len(),
            %replica,
            host = endpoint.map(|one| one.host.to_string()),
            address = endpoint.map(|one| one.address.to_string()),
            "addresses of hosts are no IP addresses, and their replicas are not served: set \
             agent.address there"
        );
    }
    (servers, unreachable)
}

/// The same report with these replicas, which the load balancer does not have.
pub(super) fn with_absent(
    mut found: BTreeMap<ReplicaId, BackendReport>,
    absent: &BTreeSet<ReplicaId>,
) -> BTreeMap<ReplicaId, BackendReport> {
    let backend = BackendReport {
        state: BackendState::Absent,
        sessions: 0,
    };
    found.extend(absent.iter().map(|replica| (*replica, backend)));
    found
}

/// The figures with the servers as they are seen.
pub(super) fn counted(seen: &Seen, counts: Counts) -> Counts {
    let mut counts = Counts {
        namespaces: seen.frontends.len() as u64,
        up: 0,
        maint: 0,
        down: 0,
        ..counts
    };
    for server in seen.servers.values().flat_map(|servers| servers.values()) {
        match (server.maint, server.up) {
            (true, _) => counts.maint += 1,
            (false, true) => counts.up += 1,
            (false, false) => counts.down += 1,
        }
    }
    counts
}

/// What the coordinators are to hear.
pub(super) fn answer(view: &ProxyView) -> ProxyReport {
    ProxyReport {
        version: view.version,
        complete: true,
        backends: view.backends.clone(),
        as_wanted: Vec::new(),
        problems: view.problems.clone(),
        degraded: view.degraded.clone().unwrap_or_default(),
    }
}

/// Replaces a value. Receivers wake only when it is another one.
pub(super) fn renew<T: PartialEq>(held: &watch::Sender<Arc<T>>, value: T) {
    held.send_if_modified(|held| {
        let changed = **held != value;
        if changed {
            *held = Arc::new(value);
        }
        changed
    });
}
