//! A namespace as clients in each location find it: how many backends are in service there, by what
//! the load balancers of the location report.

use std::collections::BTreeMap;

use paasta_common::{
    endpoints::{BackendState, EndpointState},
    host::HostInfo,
    id::ReplicaId,
    smartstack::{Namespace, NamespaceOptions},
};

use super::{Endpoints, Entry, Sight, proxies::ProxyObserved};

/// A host that has a load balancer, with what that answered.
pub type Balancer<'a> = (&'a HostInfo, &'a ProxyObserved);

/// A namespace in one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocationCounts {
    /// Hosts with a load balancer that works.
    pub balancers: u32,
    /// Backends that at least half of these have in service.
    pub up: u32,
    /// Backends whose check fails, or that fewer have in service.
    pub down: u32,
    /// Backends that leave.
    pub maint: u32,
    /// Backends that more than half of the hosts have not answered about.
    pub unanswered: u32,
}

/// Counts a namespace in each location that has a load balancer; the name is empty for hosts without
/// the attribute.
#[must_use]
pub fn locations(
    endpoints: &Endpoints,
    name: &Namespace,
    balancers: &[Balancer<'_>],
) -> BTreeMap<String, LocationCounts> {
    let Some(announced) = endpoints.namespaces.get(name) else {
        return BTreeMap::new();
    };
    let Some(options) = announced.options(name) else {
        return BTreeMap::new();
    };
    let mut by_location: BTreeMap<String, Vec<&Balancer<'_>>> = BTreeMap::new();
    for balancer in balancers
        .iter()
        .filter(|(_, proxy)| proxy.degraded.is_empty())
    {
        let location = balancer.0.attribute(options.discover.as_str());
        let location = location.unwrap_or_default().to_owned();
        by_location.entry(location).or_default().push(balancer);
    }
    let counted = by_location.into_iter().map(|(location, balancers)| {
        let mut counts = LocationCounts {
            balancers: u32::try_from(balancers.len()).unwrap_or(u32::MAX),
            ..LocationCounts::default()
        };
        for (id, entry) in announced.entries() {
            counts.add((id, entry), options, &balancers);
        }
        (location, counts)
    });
    counted.collect()
}

impl LocationCounts {
    fn add(
        &mut self,
        (id, entry): (ReplicaId, &Entry),
        options: &NamespaceOptions,
        balancers: &[&Balancer<'_>],
    ) {
        // All hosts of a location see the same.
        let near = balancers
            .first()
            .is_some_and(|(info, _)| entry.seen_from(info, options) == Some(Sight::Near));
        if !near {
            return;
        }
        match entry.state() {
            EndpointState::Drain => self.maint += 1,
            EndpointState::Down => self.down += 1,
            EndpointState::Up | EndpointState::Keep => {
                let (mut up, mut unanswered) = (0, 0);
                for (_, proxy) in balancers {
                    let state = proxy.backends.get(&id).map(|one| one.state);
                    match proxy.reached() >= entry.since() {
                        false => unanswered += 1,
                        true => up += usize::from(matches!(state, None | Some(BackendState::Up))),
                    }
                }
                let half = balancers.len().div_ceil(2);
                match () {
                    () if up >= half => self.up += 1,
                    () if unanswered > balancers.len() / 2 => self.unanswered += 1,
                    () => self.down += 1,
                }
            }
        }
    }
}
