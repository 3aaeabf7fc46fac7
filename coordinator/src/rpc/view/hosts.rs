//! The cluster as a whole: coordinators, hosts, resources.

use std::{collections::BTreeMap, time::Duration};

use paasta_common::{app::Resources, id::HostId, report::Runtime};
use paasta_coordinator_core::state::host::Host;
use paasta_proto::{convert, v1};

use super::{View, words};

/// Every value of [`View::host_state`].
pub(crate) const HOST_STATES: [v1::HostState; 4] = [
    v1::HostState::Up,
    v1::HostState::Unknown,
    v1::HostState::Draining,
    v1::HostState::Lost,
];

/// For how long a refused second machine is shown, milliseconds.
const RIVAL_SHOWN_MS: u64 = 60_000;

/// The hosts of a pool that are not lost, summed up.
#[derive(Default)]
struct Pool {
    hosts: u32,
    has: Resources,
    capacity: Resources,
    used: Resources,
    overfull: u32,
}

impl View<'_> {
    /// The cluster as a whole.
    pub fn metastatus(&self, stale: bool) -> v1::MetastatusResponse {
        let hosts: Vec<v1::HostStatus> = self
            .state
            .hosts()
            .map(|(id, host)| self.host(id, host))
            .collect();
        let (mut capacity, mut used) = (Resources::default(), Resources::default());
        for (id, host) in self.state.hosts().filter(|(_, host)| !host.is_lost()) {
            capacity = capacity.plus(self.state.allocatable(&host.info));
            used = used.plus(self.state.used_on(id));
        }
        let cluster = self.state.cluster();
        v1::MetastatusResponse {
            cluster: self.cluster_name(),
            cluster_id: cluster
                .map(|cluster| cluster.id.clone())
                .unwrap_or_default(),
            epoch: cluster.map_or(0, |cluster| cluster.epoch),
            now_ms: self.now.0,
            coordinators: self.coordinators(),
            hosts,
            capacity: Some(convert::resources_to_wire(capacity)),
            used: Some(convert::resources_to_wire(used)),
            brake: self
                .report
                .brake
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            term: self.raft.term,
            applied_index: self.raft.applied.unwrap_or_default(),
            instances: number(self.state.instances().len()),
            replicas: number(self.state.replica_count()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pools: self.pools(),
            desired_read_at_ms: self.read.at.0,
            desired_error: self.read.error.clone(),
            consensus_pace_permille: self.raft.pace_permille,
            // What is known of the data directories is added by who asks.
            writes_space: v1::DataSpace::Unspecified.into(),
            writes_space_word: String::new(),
            settings_drift: self.drift.to_vec(),
            repositories: number(self.repositories.total),
            repositories_failing: number(self.repositories.failing().count()),
            repositories_error: self
                .repositories
                .failing()
                .find(|(service, _)| self.sight.touches_service(service))
                .map(|(service, remote)| format!("{service}: {}", remote.error))
                .unwrap_or_default(),
            stale: self.stale(stale),
        }
    }

    fn coordinators(&self) -> Vec<v1::CoordinatorStatus> {
        // One that was not heard of for a while is no leader.
        let leader = self.raft.leader.as_ref().filter(|_| self.raft.has_leader());
        let leader = leader.map(|leader| leader.id);
        let voters = self
            .raft
            .voters
            .iter()
            .map(|member| (member, v1::MemberRole::Voter));
        let learners = self
            .raft
            .learners
            .iter()
            .map(|member| (member, v1::MemberRole::Learner));
        let mut all: Vec<v1::CoordinatorStatus> = voters
            .chain(learners)
            .map(|((id, address), role)| v1::CoordinatorStatus {
                id: *id,
                address: address.clone(),
                leader: leader == Some(*id),
                role: role.into(),
                last_answer_ms: match *id == self.raft.node_id {
                    true => Some(0),
                    false => self.raft.answered.get(id).map(milliseconds),
                },
                matched_index: match *id == self.raft.node_id {
                    true => self.raft.last_log,
                    false => self.raft.matched.get(id).copied().flatten(),
                },
                refused: self.raft.refused.get(id).cloned().unwrap_or_default(),
                round_trip_us: self
                    .raft
                    .links
                    .get(id)
                    .map(|link| u64::try_from(link.round_trip.as_micros()).unwrap_or(u64::MAX)),
                clock_ahead_ms: match *id == self.raft.node_id {
                    true => Some(self.raft.clock_ahead_ms),
                    false => self.raft.links.get(id).and_then(|link| link.clock_ahead_ms),
                },
                link: self
                    .raft
                    .links
                    .get(id)
                    .map_or(0, |link| words::speed(link.speed).into()),
                ..v1::CoordinatorStatus::default()
            })
            .collect();
        all.sort_by_key(|coordinator| coordinator.id);
        all
    }

    fn pools(&self) -> Vec<v1::PoolStatus> {
        let named = self.state.pools().keys();
        let mut pools: BTreeMap<&str, Pool> =
            named.map(|name| (name.as_str(), Pool::default())).collect();
        for (id, host) in self.state.hosts().filter(|(_, host)| !host.is_lost()) {
            let pool = pools.entry(&host.info.pool).or_default();
            pool.hosts += 1;
            pool.has = pool.has.plus(host.info.capacity);
            pool.capacity = pool.capacity.plus(self.state.allocatable(&host.info));
            pool.used = pool.used.plus(self.state.used_on(id));
            pool.overfull += u32::from(self.state.is_overfull(id));
        }
        let status = |(name, pool): (&str, Pool)| {
            let overcommit = self.state.overcommit(name);
            v1::PoolStatus {
                name: name.to_owned(),
                hosts: pool.hosts,
                overcommit_cpus_milli: overcommit.cpus_milli,
                overcommit_mem_milli: overcommit.mem_milli,
                overcommit_disk_milli: overcommit.disk_milli,
                has: Some(convert::resources_to_wire(pool.has)),
                capacity: Some(convert::resources_to_wire(pool.capacity)),
                used: Some(convert::resources_to_wire(pool.used)),
                overfull: pool.overfull,
            }
        };
        pools.into_iter().map(status).collect()
    }

    /// How the host stands.
    pub(crate) fn host_state(&self, id: &HostId, host: &Host) -> v1::HostState {
        match self.observed.hosts.get(id) {
            _ if host.is_lost() => v1::HostState::Lost,
            _ if host.maintenance.is_some() => v1::HostState::Draining,
            Some(heard) if heard.lease_until >= self.now => v1::HostState::Up,
            _ => v1::HostState::Unknown,
        }
    }

    fn host(&self, id: &HostId, host: &Host) -> v1::HostStatus {
        let heard = self.observed.hosts.get(id);
        let state = self.host_state(id, host);
        let degraded = heard.and_then(|heard| match &heard.runtime {
            Runtime::Ok => None,
            Runtime::Degraded {
                reason,
                since,
                part,
            } => Some((reason.clone(), since.0, *part)),
        });
        let (runtime_degraded, runtime_degraded_since_ms, part) = degraded.unwrap_or_default();
        v1::HostStatus {
            id: id.to_string(),
            address: host.info.address.clone(),
            pool: host.info.pool.clone(),
            attributes: host.info.attributes.clone(),
            state: state.into(),
            capacity: Some(convert::resources_to_wire(
                self.state.allocatable(&host.info),
            )),
            used: Some(convert::resources_to_wire(self.state.used_on(id))),
            replicas: number(self.state.replicas_on(id).count()),
            last_seen_ms: heard.map(|heard| heard.last_seen.0),
            runtime_degraded,
            runtime_degraded_since_ms,
            degraded_part: convert::host_part_to_wire(part),
            disk_limits: convert::disk_limits_to_wire(heard.and_then(|heard| heard.disk_limits)),
            agent_version: host.info.agent_version.clone(),
            connected: heard.is_some_and(|heard| heard.connected),
            rival_address: heard
                .and_then(|heard| heard.rival.clone())
                .filter(|(_, at)| self.now <= at.after_ms(RIVAL_SHOWN_MS))
                .map(|(address, _)| address)
                .unwrap_or_default(),
            clock_ahead_ms: heard.and_then(|heard| heard.clock_ahead_ms),
        }
    }
}

pub(super) fn milliseconds(span: &Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(in crate::rpc) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
