//! I14, nothing healthy stops without a reason that a person would accept: another version is
//! wanted, or fewer, or none; its host is emptied; or an operator said so. What is wanted is told by
//! those who want it, not read from where the cluster reads it.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    assignment::Want as Order,
    id::{InstanceId, ReplicaId},
    time::Timestamp,
};
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{
        ClusterState, Replica,
        command::{Command, Envelope},
        instance::Instance,
    },
};

use super::{
    Violation,
    seen::{serves, there},
};

/// What users want of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Whether it is declared at all.
    pub declared: bool,
    /// Which version.
    pub git_sha: String,
    /// How many replicas; none when it is stopped.
    pub instances: u32,
}

/// What users want and wanted.
#[derive(Debug)]
pub struct Reasons {
    /// How long an instance must be absent before it is removed, milliseconds.
    pub patience_ms: u64,
    known: BTreeMap<InstanceId, Known>,
}

#[derive(Debug)]
struct Known {
    want: Want,
    /// Since when it is declared, or is not; milliseconds.
    since_ms: u64,
    /// Every number that was ever wanted.
    numbers: BTreeSet<u32>,
}

impl Reasons {
    /// Nobody wants anything yet.
    pub fn new(patience_ms: u64) -> Self {
        Self {
            patience_ms,
            known: BTreeMap::new(),
        }
    }

    /// From now on this is wanted.
    pub fn wants(&mut self, now_ms: u64, wants: BTreeMap<InstanceId, Want>) {
        for (id, want) in wants {
            let known = self.known.entry(id).or_insert_with(|| Known {
                want: want.clone(),
                since_ms: now_ms,
                numbers: BTreeSet::new(),
            });
            if known.want.declared != want.declared {
                known.since_ms = now_ms;
            }
            known.numbers.insert(want.instances);
            known.want = want;
        }
    }

    /// One command was applied: what is wanted is not removed, nor what may still come back.
    pub fn applied(
        &self,
        now_ms: u64,
        before: &ClusterState,
        after: &ClusterState,
        envelope: &Envelope,
    ) -> Vec<Violation> {
        if matches!(&envelope.command, Command::RemoveInstances(one) if one.force) {
            return Vec::new();
        }
        let gone = before.instances().filter(|(id, one)| {
            one.declared && !after.instance(id).is_some_and(|after| after.declared)
        });
        let unwanted = |id: &InstanceId| match self.known.get(id) {
            None => None,
            Some(known) if known.want.declared => {
                Some(format!("{id} is removed though it is declared"))
            }
            Some(known) => {
                let absent = now_ms.saturating_sub(known.since_ms);
                let early = absent < self.patience_ms;
                early.then(|| format!("{id} is removed {absent} ms after it was last declared"))
            }
        };
        gone.filter_map(|(id, _)| unwanted(id))
            .map(|what| Violation::new("I14", what))
            .collect()
    }

    /// A leader made this plan.
    pub fn planned(
        &self,
        state: &ClusterState,
        seen: &Observed,
        now: Timestamp,
        plan: &Plan,
    ) -> Vec<Violation> {
        let there = there(state, plan);
        let mut found = Vec::new();
        for command in &plan.commands {
            let Command::SetWant(set) = command else {
                continue;
            };
            let Some(instance) = state.instance(&set.instance) else {
                continue;
            };
            if set.want == Order::Run {
                continue;
            }
            let leaving = set
                .replicas
                .iter()
                .filter_map(|id| Some((*id, state.replica(*id)?)));
            let healthy = leaving
                .filter(|one| there.contains(&one.1.host) && serves(seen, now, instance, *one));
            for (id, replica) in healthy {
                if !self.is_accepted(state, (&set.instance, instance), replica) {
                    let what = format!(
                        "{id} of {} serves and is let go without a reason: {:?}",
                        set.instance, set.reason
                    );
                    found.push(Violation::new("I14", what));
                }
            }
        }
        found
    }

    fn is_accepted(
        &self,
        state: &ClusterState,
        (id, instance): (&InstanceId, &Instance),
        replica: &Replica,
    ) -> bool {
        let Some(known) = self.known.get(id) else {
            return true;
        };
        // Whether it may be removed was judged when it was.
        if !instance.declared {
            return true;
        }
        let host = state.host(&replica.host);
        let emptied = host.is_some_and(|host| host.maintenance.is_some());
        let app = state.app(&replica.app);
        let other_version = app.is_none_or(|app| app.spec.git_sha != known.want.git_sha);
        let by_operator = instance.desired_app() != &instance.spec.app_id;
        // The same containers under another id: an operator had them replaced.
        let once_more = app.is_some_and(|app| {
            replica.app != instance.spec.app_id && app.spec == instance.spec.app
        });
        emptied || other_version || by_operator || once_more || self.too_many(state, id, instance)
    }

    /// Whether more run than are wanted, of a number that somebody wanted.
    fn too_many(&self, state: &ClusterState, id: &InstanceId, instance: &Instance) -> bool {
        let wanted = instance.wanted();
        let said = instance.overridden.is_some()
            || wanted == 0
            || self
                .known
                .get(id)
                .is_some_and(|known| known.numbers.contains(&wanted));
        let runs = |one: &(ReplicaId, &Replica)| {
            one.1.want == Order::Run && one.1.app == *instance.desired_app()
        };
        said && state.replicas_of(id).filter(runs).count() > wanted as usize
    }
}
