//! I10, one config error hurts one instance: what cannot be understood changes nothing, neither of
//! the instance it is about nor, which is seen when the others come to be as wanted, of any other.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::id::InstanceId;
use paasta_coordinator_core::state::{ClusterState, command::Command};

use super::Violation;

/// What was read before a file was broken may still take so long to be applied.
const UNDER_WAY_MS: u64 = 8_000;

/// The instances whose files cannot be understood now, and since when.
#[derive(Debug, Default)]
pub struct LastGood {
    hurt: BTreeMap<InstanceId, u64>,
}

impl LastGood {
    /// From now on it is these.
    pub fn hurt(&mut self, now_ms: u64, instances: BTreeSet<InstanceId>) {
        self.hurt.retain(|id, _| instances.contains(id));
        for id in instances {
            self.hurt.entry(id).or_insert(now_ms);
        }
    }

    /// One command was applied: their last good version stays.
    pub fn applied(
        &mut self,
        now_ms: u64,
        before: &ClusterState,
        after: &ClusterState,
        command: &Command,
    ) -> Vec<Violation> {
        let from_files = matches!(
            command,
            Command::RemoveInstances(_) | Command::SetInstance(_)
        );
        let long = self
            .hurt
            .iter()
            .filter(|(_, since)| now_ms > **since + UNDER_WAY_MS);
        let mut found = Vec::new();
        for (id, _) in long.filter(|_| from_files) {
            let wanted = |state: &ClusterState| {
                let known = state.instance(id)?;
                Some((known.declared, known.spec.clone()))
            };
            if wanted(before) != wanted(after) {
                let what = format!("{id} was changed though its file cannot be understood");
                found.push(Violation::new("I10", what));
            }
        }
        found
    }
}
