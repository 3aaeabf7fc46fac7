//! Which ports of namespaces other programs hold: HAProxy's own check passes a port that is taken,
//! and the reload then fails for all namespaces.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use paasta_agent_core::proxy::config::{Problems, ProxyProblem, ProxyProblemKind, ProxySettings};
use paasta_common::smartstack::Namespace;

/// The namespaces among these whose port cannot be bound on one of the addresses.
pub(super) fn taken(
    addresses: &[IpAddr],
    frontends: impl Iterator<Item = (Namespace, u16)>,
) -> Problems {
    let mut problems = Problems::new();
    for (namespace, port) in frontends {
        let failed = addresses.iter().find_map(|address| {
            let at = SocketAddr::new(*address, port);
            TcpListener::bind(at).err().map(|error| (at, error))
        });
        if let Some((at, error)) = failed {
            let detail = match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "another program listens on {at}: stop it (ss -ltnp 'sport = :{port}' names \
                     it), or choose another proxy_port"
                ),
                _ => format!("{at} cannot be bound: {error}"),
            };
            let kind = ProxyProblemKind::PortTaken;
            problems.insert(namespace, ProxyProblem { kind, detail });
        }
    }
    problems
}

/// What is to be said of addresses that this host does not have, else of statistics that there are
/// none of.
pub(super) fn complaint(
    missing: &BTreeSet<IpAddr>,
    effective: &ProxySettings,
    configured: &ProxySettings,
) -> Option<String> {
    if !missing.is_empty() {
        let each: Vec<String> = missing.iter().map(ToString::to_string).collect();
        return Some(format!(
            "this host has no address {0}, so no client finds a service there: \
             `ip addr add {0}/32 dev lo`, or correct agent.proxy.addresses",
            each.join(", ")
        ));
    }
    let taken = configured.stats.filter(|_| effective.stats.is_none())?;
    Some(format!(
        "another program listens on {taken}, so the load balancer has no statistics: set \
         agent.proxy.stats_port, and restart HAProxy"
    ))
}

/// Whether nothing listens there.
pub(super) fn is_free(at: SocketAddr) -> bool {
    TcpListener::bind(at).is_ok()
}

/// Those of the addresses that this host has.
pub(super) fn usable(addresses: &[IpAddr]) -> (Vec<IpAddr>, BTreeSet<IpAddr>) {
    let has = |address: &&IpAddr| TcpListener::bind(SocketAddr::new(**address, 0)).is_ok();
    let (there, missing): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(has);
    (
        there.into_iter().copied().collect(),
        missing.into_iter().copied().collect(),
    )
}
