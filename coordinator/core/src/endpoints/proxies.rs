//! What load balancers answer about the endpoints: which hosts have an endpoint in service, and
//! which may still send requests to one that leaves.

use std::collections::BTreeMap;

use paasta_common::{
    endpoints::{BackendReport, BackendState, EndpointState, ProxyProblem, ProxyReport},
    host::HostInfo,
    id::{HostId, InstanceId, ReplicaId},
    smartstack::Namespace,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Announced, Endpoints, Entry, Heard, Sight};

/// Backends that are remembered of one host, at most; further ones count as not answered.
pub const BACKENDS_MAX: usize = 20_000;
/// Hosts that are named, at most.
pub const HOSTS_NAMED_MAX: usize = 16;

/// What the load balancer of one host answered to this leader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyObserved {
    /// All changes up to this number are in effect; 0 before the first answer.
    pub acknowledged: u64,
    /// The number of the last message that was sent.
    pub sent: u64,
    /// Up to this number nothing is left to send.
    pub looked: u64,
    /// Backends that are not as wanted.
    pub backends: BTreeMap<ReplicaId, BackendReport>,
    /// Namespaces that are not served as wanted.
    pub problems: BTreeMap<Namespace, ProxyProblem>,
    /// What fails of it; empty while it works.
    pub degraded: String,
}

impl ProxyObserved {
    /// The number up to which all changes that concern the host are in effect there.
    #[must_use]
    pub fn reached(&self) -> u64 {
        match self.acknowledged >= self.sent {
            true => self.looked.max(self.acknowledged),
            false => self.acknowledged,
        }
    }

    /// Takes in a report. `leader` is epoch and term of this leader: what was acknowledged to
    /// another one says nothing of what this one sent. Returns the replicas of which it says
    /// something new.
    pub fn take(&mut self, report: ProxyReport, leader: (u64, u64)) -> Vec<ReplicaId> {
        let ours = report
            .version
            .filter(|version| (version.epoch, version.term) == leader);
        self.acknowledged = ours.map_or(0, |version| version.number);
        self.problems = report.problems;
        self.degraded = report.degraded;
        let mut news = Vec::new();
        if report.complete {
            let gone = self.backends.keys();
            news.extend(gone.filter(|id| !report.backends.contains_key(id)));
            self.backends
                .retain(|id, _| report.backends.contains_key(id));
        }
        for id in report.as_wanted {
            if self.backends.remove(&id).is_some() {
                news.push(id);
            }
        }
        for (id, backend) in report.backends {
            let room = self.backends.len() < BACKENDS_MAX || self.backends.contains_key(&id);
            if room && self.backends.insert(id, backend) != Some(backend) {
                news.push(id);
            }
        }
        news
    }
}

/// How one replica stands in the load balancers of the hosts that see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Hosts that choose from it and whose load balancer works.
    pub observers: u32,
    /// Of these, the ones that have it in service.
    pub up: u32,
    /// Of these, the ones that have not answered since it became an endpoint.
    pub unanswered: u32,
    /// Hosts that may still send requests to it although it leaves, or still finish some.
    pub busy: u32,
    /// Sessions that these have still to finish, as far as they answered.
    pub sessions: u64,
    /// Some of the hosts that have not answered, or are busy.
    pub hosts: Vec<HostId>,
    /// When it became what it is.
    pub at: Timestamp,
}

/// An entry of a replica, with its namespace.
type Named<'e> = (&'e Namespace, &'e Announced, &'e Entry);

impl Standing {
    /// Of a replica, among hosts that are not lost and not silent, each with what was heard of it.
    /// None where it is no endpoint.
    pub fn of<'a>(
        endpoints: &Endpoints,
        instance: &InstanceId,
        id: ReplicaId,
        hosts: impl Iterator<Item = (&'a HostInfo, Option<Heard<'a>>)>,
    ) -> Option<Self> {
        let (mut standing, entries) = Self::begin(endpoints, instance, id)?;
        for host in hosts {
            standing.look(&entries, id, host);
        }
        Some(standing)
    }

    /// Whether the load balancer of one of these hosts sends a replica requests, or finishes some:
    /// [`of`](Self::of) up to the first one that does.
    pub fn is_used<'a>(
        endpoints: &Endpoints,
        instance: &InstanceId,
        id: ReplicaId,
        mut hosts: impl Iterator<Item = (&'a HostInfo, Option<Heard<'a>>)>,
    ) -> bool {
        let Some((mut standing, entries)) = Self::begin(endpoints, instance, id) else {
            return false;
        };
        hosts.any(|host| {
            standing.look(&entries, id, host);
            standing.up > 0 || standing.busy > 0
        })
    }

    /// Before the first host; none of a replica that is no endpoint.
    fn begin<'e>(
        endpoints: &'e Endpoints,
        instance: &InstanceId,
        id: ReplicaId,
    ) -> Option<(Self, Vec<Named<'e>>)> {
        let entries: Vec<Named<'e>> = endpoints.named(instance, id).collect();
        let standing = Self {
            at: entries.iter().map(|(_, _, entry)| entry.at()).max()?,
            ..Self::default()
        };
        Some((standing, entries))
    }

    fn look(
        &mut self,
        entries: &[Named<'_>],
        id: ReplicaId,
        (info, heard): (&HostInfo, Option<Heard<'_>>),
    ) {
        let Some((_, _, first)) = entries.first() else {
            return;
        };
        let seen = entries.iter().filter_map(|(name, announced, entry)| {
            let options = announced.options(name)?;
            Some((entry.seen_from(info, options)?, entry.since()))
        });
        let mut near = false;
        let mut since = None;
        for (sight, number) in seen {
            near |= sight == Sight::Near;
            since = since.max(Some(number));
        }
        if let Some(since) = since {
            self.count((info, heard), (id, first.state()), (near, since));
        }
    }

    fn count(
        &mut self,
        (info, heard): (&HostInfo, Option<Heard<'_>>),
        (id, state): (ReplicaId, EndpointState),
        (near, since): (bool, u64),
    ) {
        let reported = heard.filter(|heard| heard.complete);
        let Some(proxy) = reported.map(|heard| heard.proxy) else {
            // It has not reported to this leader: its load balancer may have the replica.
            return self.pending(state, &info.id);
        };
        let Some(proxy) = proxy else { return };
        let answered = proxy.reached() >= since;
        let backend = proxy.backends.get(&id).copied();
        match state {
            EndpointState::Up if near && proxy.degraded.is_empty() => {
                self.observers += 1;
                match (answered, backend.map(|one| one.state)) {
                    (false, _) => {
                        self.unanswered += 1;
                        self.name(&info.id);
                    }
                    (true, None | Some(BackendState::Up)) => self.up += 1,
                    (true, Some(_)) => {}
                }
            }
            EndpointState::Drain => match (answered, backend) {
                (true, None) => {}
                (true, Some(backend)) if backend.is_out() => {}
                (_, backend) => {
                    self.sessions += backend.map_or(0, |one| u64::from(one.sessions));
                    self.pending(state, &info.id);
                }
            },
            EndpointState::Up | EndpointState::Down | EndpointState::Keep => {}
        }
    }

    fn pending(&mut self, state: EndpointState, host: &HostId) {
        if state == EndpointState::Drain {
            self.busy += 1;
            self.name(host);
        }
    }

    fn name(&mut self, host: &HostId) {
        if self.hosts.len() < HOSTS_NAMED_MAX {
            self.hosts.push(host.clone());
        }
    }
}
