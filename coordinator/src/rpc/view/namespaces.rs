//! The namespaces of an instance as the load balancers of the hosts report them.

use paasta_common::{
    endpoints::ProxyProblemKind,
    host::HostInfo,
    id::ReplicaId,
    smartstack::{Namespace, NamespaceOptions},
    spec::InstanceSpec,
};
use paasta_coordinator_core::{
    endpoints::{
        Heard,
        locations::{Balancer, LocationCounts, locations},
        proxies::Standing,
    },
    state::Replica,
};
use paasta_proto::v1;

use super::View;

/// Problems of one namespace that are shown, at most.
const PROBLEMS_SHOWN: usize = 50;

/// A host with a load balancer, and what was heard of it.
pub(super) type Balancing<'a> = (&'a HostInfo, Heard<'a>);

impl View<'_> {
    /// Whether a load balancer sends a replica requests; none where no host that sees it has one, and
    /// where hosts do not report to this coordinator. `balancers` is what [`balancers`](Self::balancers)
    /// returns for its instance.
    pub(super) fn in_load_balancer(
        &self,
        balancers: &[Balancing<'_>],
        id: ReplicaId,
        replica: &Replica,
    ) -> Option<bool> {
        if balancers.is_empty() {
            return None;
        }
        let hosts = balancers.iter().map(|(info, heard)| (*info, Some(*heard)));
        let endpoints = &self.observed.endpoints;
        // What has not passed its check is in none.
        Some(Standing::is_used(endpoints, &replica.instance, id, hosts))
    }

    /// The namespaces of an instance that load balancers serve.
    pub(super) fn namespaces(
        &self,
        spec: &InstanceSpec,
        balancers: &[Balancing<'_>],
    ) -> Vec<v1::NamespaceStatus> {
        if spec.namespaces.is_empty() || !self.leads() {
            return Vec::new();
        }
        let balancers: Vec<Balancer<'_>> = balancers
            .iter()
            .filter_map(|(info, heard)| Some((*info, heard.proxy?)))
            .collect();
        spec.namespaces
            .iter()
            .map(|(name, options)| self.namespace(name, options, &balancers))
            .collect()
    }

    /// The hosts with a load balancer that report to this leader and are not silent; none of them
    /// concerns an instance without namespaces.
    pub(super) fn balancers(&self, spec: &InstanceSpec) -> Vec<Balancing<'_>> {
        if spec.namespaces.is_empty() || !self.leads() {
            return Vec::new();
        }
        self.live()
            .filter(|(_, heard)| heard.proxy.is_some())
            .collect()
    }

    fn namespace(
        &self,
        name: &Namespace,
        options: &NamespaceOptions,
        balancers: &[Balancer<'_>],
    ) -> v1::NamespaceStatus {
        let counted = locations(&self.observed.endpoints, name, balancers);
        let problems = balancers.iter().filter_map(|(info, proxy)| {
            let problem = proxy.problems.get(name)?;
            Some(v1::BalancerProblem {
                host: info.id.to_string(),
                kind: kind(problem.kind).into(),
                detail: problem.detail.clone(),
            })
        });
        v1::NamespaceStatus {
            name: name.to_string(),
            proxy_port: options.proxy_port.unwrap_or_default().into(),
            discover: options.discover.to_string(),
            locations: counted.into_iter().map(location).collect(),
            problems: problems.take(PROBLEMS_SHOWN).collect(),
        }
    }

    /// The hosts that report to this leader and are not silent.
    fn live(&self) -> impl Iterator<Item = (&HostInfo, Heard<'_>)> {
        let known = self.state.hosts().filter(|(_, host)| !host.is_lost());
        known.filter_map(move |(id, host)| {
            let heard = self.observed.hosts.get(id)?;
            (self.now < heard.lease_until).then(|| (&host.info, heard.heard()))
        })
    }
}

fn location((location, counts): (String, LocationCounts)) -> v1::LocationStatus {
    v1::LocationStatus {
        location,
        balancers: counts.balancers,
        up: counts.up,
        down: counts.down,
        maint: counts.maint,
        unanswered: counts.unanswered,
    }
}

fn kind(kind: ProxyProblemKind) -> v1::ProxyProblemKind {
    match kind {
        ProxyProblemKind::PortTaken => v1::ProxyProblemKind::PortTaken,
        ProxyProblemKind::OptionRefused => v1::ProxyProblemKind::OptionRefused,
        ProxyProblemKind::PortShared => v1::ProxyProblemKind::PortShared,
        ProxyProblemKind::Refused => v1::ProxyProblemKind::Refused,
        ProxyProblemKind::Unrecognized => v1::ProxyProblemKind::Unspecified,
    }
}
