//! I10, one config error hurts one instance: what cannot be understood changes nothing, neither of
//! the instance it is about nor, which is seen when the others come to be as wanted, of any other.

use std::collections::BTreeSet;

use paasta_common::id::InstanceId;
use paasta_coordinator_core::state::{ClusterState, command::Command};

use super::Violation;

/// The instances whose files cannot be understood now.
#[derive(Debug, Default)]
pub struct LastGood {
    hurt: BTreeSet<InstanceId>,
}

impl LastGood {
    /// From now on it is these.
    pub fn hurt(&mut self, instances: BTreeSet<InstanceId>) {
        self.hurt = instances;
    }

    /// One command was applied: their last good version stays.
    pub fn applied(
        &mut self,
        before: &ClusterState,
        after: &ClusterState,
        command: &Command,
    ) -> Vec<Violation> {
        let is_removal = matches!(command, Command::RemoveInstances(_));
        let mut found = Vec::new();
        for id in self.hurt.iter().filter(|_| is_removal) {
            let declared =
                |state: &ClusterState| state.instance(id).is_some_and(|one| one.declared);
            if declared(before) && !declared(after) {
                let what = format!("{id} was removed because its file cannot be understood");
                found.push(Violation::new("I10", what));
            }
        }
        found
    }
}
