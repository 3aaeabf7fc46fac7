//! Which hosts are silent: what an operator is shown before declaring them lost. Whether they are
//! too many to be believed is decided with every plan, in `plan::hosts`.

use paasta_common::{id::HostId, time::Timestamp};

use super::{hosts::HostView, observed::Observed};
use crate::state::{ClusterState, host::Host, room::Room};

/// A host whose lease ran out and that was not declared lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentHost {
    /// The host.
    pub host: HostId,
    /// When it last said anything to this leader, if ever.
    pub last_seen: Option<Timestamp>,
    /// How many replicas are recorded there.
    pub replicas: usize,
}

/// The silent hosts, by id.
#[must_use]
pub fn silent_hosts(state: &ClusterState, observed: &Observed, now: Timestamp) -> Vec<SilentHost> {
    let silent = state
        .hosts()
        .filter(|(_, host)| is_silent(host, observed, now));
    silent
        .map(|(id, _)| SilentHost {
            host: id.clone(),
            last_seen: observed.hosts.get(id).map(|heard| heard.last_seen),
            replicas: state.replicas_on(id).count(),
        })
        .collect()
}

/// Whether the host's lease ran out and nobody declared it lost.
pub(super) fn is_silent(host: &Host, observed: &Observed, now: Timestamp) -> bool {
    let heard = observed.hosts.get(&host.info.id);
    let view = HostView::new(host, observed, heard, Room::default(), now);
    view.silent && !view.lost
}
