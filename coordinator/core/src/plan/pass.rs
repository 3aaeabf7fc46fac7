//! What one plan carries along from instance to instance: the hosts with what was already put on
//! them, the commands so far, and when to look again.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use paasta_common::{
    app::AppSpec,
    id::{HostId, InstanceId, ReplicaId},
    time::Timestamp,
};

use super::{
    Plan,
    hosts::HostView,
    observed::Observed,
    place::Candidates,
    proxies::Proxies,
    report::{Report, Turns},
};
use crate::{
    fit::rules::rules_key,
    state::{
        ClusterState,
        command::{BATCH_MAX, Command, Forget},
        room::in_step,
    },
};

pub(super) struct Pass<'a> {
    pub(super) state: &'a ClusterState,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    /// By id, as the state has them.
    pub(super) hosts: Vec<HostView<'a>>,
    /// What load balancers answered, as far as it holds for all replicas.
    pub(super) proxies: Proxies,
    /// The hosts about which this plan decided something.
    pub(super) struck: Vec<usize>,
    /// Replicas whose records this plan lets go.
    pub(super) gone: BTreeSet<ReplicaId>,
    pub(super) forgotten: Vec<ReplicaId>,
    pub(super) commands: Vec<Command>,
    pub(super) report: Report,
    /// Until when nothing is placed, as hosts are on their way to this leader.
    pub(super) arriving_until: Option<Timestamp>,
    /// The instances whose turn to bounce comes with this plan.
    pub(super) goes: BTreeSet<InstanceId>,
    /// Instances whose bounce ends with this plan.
    pub(super) ended: BTreeSet<InstanceId>,
    /// Those whose bounce is stuck from now on.
    pub(super) stuck: BTreeSet<InstanceId>,
    /// How it stands with the others.
    pub(super) turns: Turns,
    /// When the next turn comes at the latest; none while too many are stuck.
    pub(super) next_turn_by: Option<Timestamp>,
    next_replica: u64,
    candidates: BTreeMap<String, Rc<Candidates>>,
    wake_at: Option<Timestamp>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(state: &'a ClusterState, observed: &'a Observed, now: Timestamp) -> Self {
        // Both are ordered by host id, so one walk brings them together.
        let mut heard = observed.hosts.iter().peekable();
        let hosts = state.hosts_and_room().map(|(id, host, room)| {
            let heard = in_step(&mut heard, id, |(other, _)| other);
            HostView::new(host, observed, heard.map(|(_, heard)| heard), room, now)
        });
        let hosts: Vec<HostView<'a>> = hosts.collect();
        Self {
            state,
            observed,
            now,
            proxies: Proxies::new(&hosts),
            hosts,
            struck: Vec::new(),
            gone: BTreeSet::new(),
            forgotten: Vec::new(),
            commands: Vec::new(),
            report: Report::default(),
            arriving_until: None,
            goes: BTreeSet::new(),
            ended: BTreeSet::new(),
            stuck: BTreeSet::new(),
            turns: Turns::default(),
            next_turn_by: None,
            next_replica: state.next_replica().0,
            candidates: BTreeMap::new(),
            wake_at: None,
        }
    }

    /// Asks to be called again at `at`.
    pub(super) fn wake(&mut self, at: Timestamp) {
        if at > self.now {
            self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
        }
    }

    pub(super) fn host_at(&self, id: &HostId) -> Option<usize> {
        self.hosts.binary_search_by(|view| view.id().cmp(id)).ok()
    }

    /// The instances with replicas on hosts that this plan decided about.
    pub(super) fn struck_instances(&self) -> BTreeSet<InstanceId> {
        let hosts = self.struck.iter().map(|at| self.hosts[*at].id());
        let replicas = hosts.flat_map(|host| self.state.replicas_on(host));
        replicas
            .map(|(_, replica)| replica.instance.clone())
            .collect()
    }

    pub(super) fn new_replica_id(&mut self) -> ReplicaId {
        let id = ReplicaId(self.next_replica);
        self.next_replica += 1;
        id
    }

    /// The hosts that an app's pool and constraints allow: the same for many apps.
    pub(super) fn candidates(&mut self, spec: &AppSpec) -> Rc<Candidates> {
        let key = rules_key(spec);
        if let Some(known) = self.candidates.get(&key) {
            return Rc::clone(known);
        }
        let found = Rc::new(Candidates::find(spec, &self.hosts));
        self.candidates.insert(key, Rc::clone(&found));
        found
    }

    pub(super) fn say_forgotten(&mut self) {
        for replicas in self.forgotten.chunks(BATCH_MAX) {
            self.commands.push(Command::Forget(Forget {
                replicas: replicas.to_vec(),
            }));
        }
    }

    pub(super) fn finish(self, partial: bool) -> Plan {
        Plan {
            commands: self.commands,
            report: self.report,
            wake_at: self.wake_at,
            partial,
        }
    }
}
