//! What the load balancers have to say about a replica: whether one that comes is in service in
//! enough of them, and whether one that leaves is out of all of them. Only hosts that are not silent
//! count: their lease bounds the waiting for them.

use std::collections::BTreeSet;

use paasta_common::{
    endpoints::EndpointState,
    host::HostInfo,
    id::{HostId, InstanceId, ReplicaId},
    spec::BounceSpec,
    time::Timestamp,
};

use super::{hosts::HostView, observed::Observed};
use crate::{
    endpoints::{Heard, proxies::Standing},
    state::instance::Instance,
};

/// What holds for all replicas: with it most of them need no look at every host.
#[derive(Default)]
pub(super) struct Proxies {
    /// A host has a load balancer, or has not reported whether it has.
    pub(super) any: bool,
    /// Every host with a load balancer has answered up to here.
    reached: u64,
    /// Replicas of which a host reports something else than what is wanted.
    odd: BTreeSet<ReplicaId>,
    /// A load balancer does not work.
    degraded: bool,
}

/// What load balancers say of a replica that is to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InService {
    /// None has a say: it is in no namespace, or no host that sees it has a load balancer.
    NotAsked,
    /// Enough of them have it.
    Yes,
    /// Some have not answered, and it is not long ago that it became an endpoint.
    Awaited {
        /// Until when they are waited for.
        until: Timestamp,
        /// Some of them.
        hosts: Vec<HostId>,
    },
    /// Some have it, and not enough.
    Partly,
    /// None has it.
    No,
}

/// What load balancers say of a replica that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Leaving {
    /// How many may still send it requests, or still finish some.
    pub(super) busy: u32,
    /// Some of them.
    pub(super) hosts: Vec<HostId>,
    /// What they have to finish, as far as they answered.
    pub(super) sessions: u64,
}

impl Proxies {
    pub(super) fn new(hosts: &[HostView<'_>]) -> Self {
        let mut proxies = Self {
            reached: u64::MAX,
            ..Self::default()
        };
        for view in hosts.iter().filter(|view| counts(view)) {
            match view.observed.filter(|heard| heard.complete_report) {
                None => {
                    proxies.any = true;
                    proxies.reached = 0;
                }
                Some(heard) => {
                    let Some(proxy) = &heard.proxy else { continue };
                    proxies.any = true;
                    proxies.reached = proxies.reached.min(proxy.reached());
                    proxies.odd.extend(proxy.backends.keys());
                    proxies.degraded |= !proxy.degraded.is_empty();
                }
            }
        }
        proxies
    }

    /// Whether load balancers may have replicas of this instance.
    pub(super) fn may_have(&self, instance: &Instance) -> bool {
        self.any && !instance.spec.namespaces.is_empty()
    }

    /// Whether every one has the replica as wanted, by what holds for all.
    fn all_as_wanted(&self, observed: &Observed, instance: &InstanceId, id: ReplicaId) -> bool {
        let mut entries = observed.endpoints.named(instance, id);
        !self.degraded
            && !self.odd.contains(&id)
            && entries.all(|(_, _, entry)| entry.since() <= self.reached)
    }
}

/// Hosts whose answer is waited for.
fn counts(view: &HostView<'_>) -> bool {
    !view.lost && !view.silent
}

fn standing(
    (hosts, observed): (&[HostView<'_>], &Observed),
    instance: &InstanceId,
    id: ReplicaId,
) -> Option<Standing> {
    let live = hosts.iter().filter(|view| counts(view));
    let heard = live.map(|view| -> (&HostInfo, Option<Heard<'_>>) {
        (
            &view.host.info,
            view.observed.map(super::observed::HostObserved::heard),
        )
    });
    Standing::of(&observed.endpoints, instance, id, heard)
}

/// Whether a replica that is to serve is in service.
pub(super) fn in_service(
    proxies: &Proxies,
    (hosts, observed, now): (&[HostView<'_>], &Observed, Timestamp),
    (instance, id): (&InstanceId, ReplicaId),
    bounce: &BounceSpec,
) -> InService {
    let mut entries = observed.endpoints.named(instance, id);
    let is_up = entries.any(|(_, _, entry)| entry.state() == EndpointState::Up);
    if !proxies.any || !is_up {
        return InService::NotAsked;
    }
    if proxies.all_as_wanted(observed, instance, id) {
        return InService::Yes;
    }
    match standing((hosts, observed), instance, id) {
        None => InService::NotAsked,
        Some(standing) => judge(standing, observed.settings.lease_ms, now, bounce),
    }
}

fn judge(standing: Standing, patience_ms: u64, now: Timestamp, bounce: &BounceSpec) -> InService {
    let Standing {
        observers,
        up,
        unanswered,
        hosts,
        at,
        ..
    } = standing;
    if observers == 0 {
        return InService::NotAsked;
    }
    let needed = |of: u32| bounce.min_fraction_up.of(of).max(1);
    if up >= needed(observers) {
        return InService::Yes;
    }
    let until = at.after_ms(patience_ms);
    if now < until && up + unanswered >= needed(observers) {
        return InService::Awaited { until, hosts };
    }
    // A host without an answer is no observer any more.
    let answered = observers - unanswered;
    match (now >= until, answered) {
        (true, 0) => InService::NotAsked,
        (true, _) if up >= needed(answered) => InService::Yes,
        _ if up > 0 => InService::Partly,
        _ => InService::No,
    }
}

/// Which load balancers may still send requests to a replica that leaves, or still finish some.
pub(super) fn leaving(
    proxies: &Proxies,
    (hosts, observed): (&[HostView<'_>], &Observed),
    (instance, id): (&InstanceId, ReplicaId),
) -> Leaving {
    if !proxies.any {
        return Leaving::default();
    }
    let mut entries = observed.endpoints.named(instance, id);
    if entries.any(|(_, _, entry)| entry.state() != EndpointState::Drain) {
        // Load balancers were not sent that it leaves.
        return Leaving {
            busy: 1,
            ..Leaving::default()
        };
    }
    if proxies.all_as_wanted(observed, instance, id) {
        return Leaving::default();
    }
    let Some(standing) = standing((hosts, observed), instance, id) else {
        return Leaving::default();
    };
    Leaving {
        busy: standing.busy,
        hosts: standing.hosts,
        sessions: standing.sessions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::Margin;

    fn standing(observers: u32, up: u32, unanswered: u32) -> Standing {
        Standing {
            observers,
            up,
            unanswered,
            at: Timestamp(1_000),
            ..Standing::default()
        }
    }

    #[test]
    fn enough_must_have_it_and_a_host_without_an_answer_is_waited_for_so_long() {
        let half = Margin::new(0.5).unwrap();
        let awaited = InService::Awaited {
            until: Timestamp(11_000),
            hosts: Vec::new(),
        };
        let rows = [
            (Margin::ONE, (0, 0, 0), 2_000, InService::NotAsked),
            (Margin::ONE, (3, 3, 0), 2_000, InService::Yes),
            (Margin::ONE, (3, 2, 1), 2_000, awaited.clone()),
            (Margin::ONE, (3, 2, 1), 11_000, InService::Yes),
            (Margin::ONE, (3, 2, 0), 2_000, InService::Partly),
            (Margin::ONE, (3, 1, 1), 11_000, InService::Partly),
            (Margin::ONE, (3, 0, 0), 2_000, InService::No),
            (Margin::ONE, (3, 0, 3), 2_000, awaited),
            (Margin::ONE, (3, 0, 3), 11_000, InService::NotAsked),
            (half, (4, 2, 0), 2_000, InService::Yes),
            (half, (4, 1, 0), 2_000, InService::Partly),
        ];
        for (min_fraction_up, (observers, up, unanswered), now, expected) in rows {
            let bounce = BounceSpec {
                min_fraction_up,
                ..BounceSpec::default()
            };
            let found = judge(
                standing(observers, up, unanswered),
                10_000,
                Timestamp(now),
                &bounce,
            );
            assert_eq!(found, expected, "{observers} {up} {unanswered} {now}");
        }
    }
}
