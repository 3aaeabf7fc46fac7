//! What the leader has heard from agents since it leads: held in memory, never in the log, lost
//! with the leader and rebuilt from full reports. The shell fills it; the planner reads it.

use std::collections::BTreeMap;

use paasta_common::{
    disk::HostDiskLimits,
    id::{HostId, ReplicaId},
    report::{ReplicaReport, Runtime},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::endpoints::{Endpoints, Heard, proxies::ProxyObserved};

/// Everything heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// When this leader began to lead: nothing that happened before counts as silence.
    pub leader_since: Timestamp,
    /// How patient the planner is.
    pub settings: PlanSettings,
    /// The hosts that opened a session since then; a host that is absent was not heard from.
    pub hosts: BTreeMap<HostId, HostObserved>,
    /// The endpoints of namespaces, in step with the hosts' reports as of the last plan.
    #[serde(default)]
    pub endpoints: Endpoints,
}

/// What was heard from one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostObserved {
    /// Until when the host counts as being there without saying anything more.
    pub lease_until: Timestamp,
    /// When it last said anything.
    pub last_seen: Timestamp,
    /// When it first said anything to this leader.
    pub first_seen_this_term: Timestamp,
    /// Whether its agent has a session now.
    pub connected: bool,
    /// Whether a complete report was received in this term: only then does the absence of a
    /// replica from `replicas` mean anything.
    pub complete_report: bool,
    /// The generation of the newest assignment that the agent says it accepted.
    pub accepted_generation: u64,
    /// How far its clock is ahead of this leader's, in milliseconds, negative when it is behind, by
    /// its last message that said so; the message's time on its way is in it. To be shown: nothing
    /// is decided by it.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// Whether its container runtime can be worked with.
    pub runtime: Runtime,
    /// What it does about the disk of instances; none where it does not say.
    #[serde(default)]
    pub disk_limits: Option<HostDiskLimits>,
    /// The address of another machine that was refused under its id, and when that last was.
    #[serde(default)]
    pub rival: Option<(String, Timestamp)>,
    /// Its replicas, as last reported. A replica reported as gone may be left out.
    pub replicas: BTreeMap<ReplicaId, ReplicaReport>,
    /// What its load balancer answers; none of a host without one.
    #[serde(default)]
    pub proxy: Option<ProxyObserved>,
}

/// How patient the planner is. The defaults suit a cluster on one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanSettings {
    /// The lease that the shell grants, in milliseconds. After an election no host counts as
    /// silent before twice this, and the time to reconnect, has passed.
    pub lease_ms: u64,
    /// How long an agent whose session ended may take to reach another coordinator, in
    /// milliseconds: one that does not answer at all, and a pause before the next.
    pub reconnect_ms: u64,
    /// How long after the end of its lease a host is declared lost, in milliseconds. At least
    /// `lease_ms`, so that hosts which fall silent together are seen to do so (I7).
    pub lost_after_ms: u64,
    /// The percentage of the hosts above which silence is a mass failure: nothing is replaced.
    pub mass_failure_percent: u32,
    /// The number of hosts from which silence can be a mass failure; at least 2.
    pub mass_failure_hosts: u32,
    /// The percentage of the instances that bounce at once by a change that touches many.
    pub paced_percent: u32,
    /// How long a lost host's record is kept, in milliseconds.
    pub lost_host_expiry_ms: u64,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            lease_ms: 10_000,
            reconnect_ms: 2_500,
            lost_after_ms: 15_000,
            mass_failure_percent: 25,
            mass_failure_hosts: 2,
            paced_percent: 10,
            lost_host_expiry_ms: 24 * 60 * 60 * 1_000,
        }
    }
}

impl Observed {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(leader_since: Timestamp, settings: PlanSettings) -> Self {
        Self {
            leader_since,
            settings,
            hosts: BTreeMap::new(),
            endpoints: Endpoints::default(),
        }
    }

    /// From when on every host that lives could have reached this leader. One that had a session
    /// with the leader before leaves it when it had no proof of its leadership for a lease, and then
    /// has to find this one.
    pub fn reachable_from(&self) -> Timestamp {
        self.leader_since
            .after_ms(self.settings.lease_ms)
            .after_ms(self.settings.reconnect_ms)
    }

    /// Until when hosts that were not heard from are waited for after the election (I6): their
    /// silence counts from when they could have been heard.
    pub fn patience_until(&self) -> Timestamp {
        self.reachable_from().after_ms(self.settings.lease_ms)
    }
}

impl HostObserved {
    /// What endpoints need of it.
    #[must_use]
    pub fn heard(&self) -> Heard<'_> {
        Heard {
            complete: self.complete_report,
            replicas: &self.replicas,
            proxy: self.proxy.as_ref(),
        }
    }

    /// A host whose session has just opened.
    #[must_use]
    pub fn new(now: Timestamp, settings: &PlanSettings) -> Self {
        Self {
            lease_until: now.after_ms(settings.lease_ms),
            last_seen: now,
            first_seen_this_term: now,
            connected: true,
            complete_report: false,
            accepted_generation: 0,
            clock_ahead_ms: None,
            runtime: Runtime::Ok,
            disk_limits: None,
            rival: None,
            replicas: BTreeMap::new(),
            proxy: None,
        }
    }
}
