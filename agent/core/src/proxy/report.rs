//! What the coordinators hear of the load balancer: the servers that are not, or not yet, as
//! wanted. All others are as wanted.

use std::collections::BTreeMap;

use paasta_common::{
    endpoints::{BackendReport, BackendState},
    id::ReplicaId,
};

use super::{
    config::Problems,
    seen::Seen,
    wanted::{ServerName, Service, Wanted},
};

/// The servers that are not as wanted; of one in several namespaces the worst. `loading` is the
/// set that a worker starts with at this moment: what it would still use is not out.
pub fn report(
    wanted: &Wanted,
    problems: &Problems,
    seen: &Seen,
    loading: Option<&Wanted>,
) -> BTreeMap<ReplicaId, BackendReport> {
    let mut found: BTreeMap<ReplicaId, BackendReport> = BTreeMap::new();
    for (namespace, one) in &wanted.namespaces {
        // Where there is no frontend, no client on this host finds the replica here.
        let served = one.options.proxy_port.is_some();
        if !served || problems.contains_key(namespace) && !seen.servers.contains_key(namespace) {
            continue;
        }
        let servers = seen.servers.get(namespace);
        let coming = loading.and_then(|set| set.namespaces.get(namespace));
        for (replica, server) in &one.servers {
            let name: ServerName = server.name(*replica);
            let seen = servers.and_then(|servers| servers.get(&name));
            let state = match seen {
                None => BackendState::Absent,
                Some(seen) if seen.maint => BackendState::Maint,
                Some(seen) if seen.up => BackendState::Up,
                Some(_) => BackendState::Down,
            };
            let sessions = seen.and_then(|seen| seen.sessions);
            let returns = coming
                .and_then(|coming| coming.servers.get(replica))
                .is_some_and(|coming| coming.service == Service::Up);
            let (as_wanted, sessions) = match (server.service, state) {
                (Service::Up, BackendState::Up) => (true, 0),
                (Service::Up, _) => (false, sessions.unwrap_or_default()),
                (_, BackendState::Absent) => (!returns, 0),
                // Not known is not none.
                (_, BackendState::Maint) => match sessions {
                    Some(0) => (!returns, 0),
                    Some(sessions) => (false, sessions),
                    None => (false, 1),
                },
                (_, BackendState::Up | BackendState::Down | BackendState::Unrecognized) => {
                    (false, sessions.unwrap_or_default())
                }
            };
            if !as_wanted {
                let state = match (returns, state) {
                    (true, BackendState::Absent | BackendState::Maint) => BackendState::Up,
                    (_, state) => state,
                };
                let worst = found
                    .entry(*replica)
                    .or_insert(BackendReport { state, sessions: 0 });
                worst.sessions = worst.sessions.saturating_add(sessions);
                worst.state = worse(server.service, worst.state, state);
            }
        }
    }
    found
}

/// Of two states of one server the one that is further from what is wanted.
fn worse(wanted: Service, one: BackendState, other: BackendState) -> BackendState {
    match wanted {
        Service::Up => one.max(other),
        Service::Drain | Service::Down => one.min(other),
    }
}
