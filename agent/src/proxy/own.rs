//! This host's own replicas: what the agent sees of them counts at once, before any coordinator
//! has heard of it.

use paasta_agent_core::proxy::wanted::{Service, Wanted};
use paasta_common::report::{Health, Phase, ReplicaReport};

use crate::view::View;

/// The wanted set, with those of this host's replicas out of service that cannot serve.
pub(super) fn overlaid(wanted: &Wanted, own: &View) -> Wanted {
    let mut overlaid = wanted.clone();
    let namespaces = overlaid.namespaces.values_mut();
    for (replica, server) in namespaces.flat_map(|namespace| &mut namespace.servers) {
        if let Some(report) = own.reports.get(replica)
            && server.service == Service::Up
            && !serves(report, server.at.port())
        {
            server.service = Service::Down;
        }
    }
    overlaid
}

/// Whether a replica can serve at this port. What is not known of it is left to the coordinators.
fn serves(report: &ReplicaReport, port: u16) -> bool {
    let phase = match report.phase {
        Phase::Running | Phase::Draining | Phase::Unrecognized(_) => true,
        Phase::Accepted
        | Phase::Pulling
        | Phase::Starting
        | Phase::BackingOff
        | Phase::Stopping
        | Phase::Gone => false,
    };
    let health = match report.health {
        Health::Unhealthy => false,
        Health::Unknown | Health::Unchecked | Health::Healthy | Health::Unrecognized(_) => true,
    };
    // A later run has another port: the one that was announced is no more.
    phase && health && report.host_port.is_none_or(|own| own == port)
}
