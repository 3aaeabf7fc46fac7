//! Which ports of namespaces other programs hold: HAProxy's own check passes a port that is taken,
//! and the reload then fails for all namespaces.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use paasta_agent_core::proxy::config::{Problems, ProxyProblem, ProxyProblemKind};
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
