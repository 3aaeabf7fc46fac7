//! I7, mass-failure brake: too much silence at once is not believed, and too much removal at once
//! is not done.

use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{
        ClusterState,
        command::{Command, Envelope},
    },
};

use super::{Violation, seen::silent};

/// The part of the hosts whose silence is believed at once, in percent.
const BELIEVED_PERCENT: u64 = 25;
/// The number of hosts whose silence is believed in any case.
const BELIEVED_HOSTS: u64 = 1;

/// A leader made this plan.
pub fn lost(state: &ClusterState, seen: &Observed, now: Timestamp, plan: &Plan) -> Vec<Violation> {
    let (all, silent) = silent(state, seen, now);
    let believed = silent <= BELIEVED_HOSTS || silent * 100 <= BELIEVED_PERCENT * all;
    if believed {
        let early = plan.report.brake.is_some() && !plan.partial;
        let what = format!("the brake is on while only {silent} of {all} hosts are silent");
        return early
            .then(|| Violation::new("I7", what))
            .into_iter()
            .collect();
    }
    let mut found = Vec::new();
    if plan.report.brake.is_none() {
        let what = format!("{silent} of {all} hosts are silent and the report does not say so");
        found.push(Violation::new("I7", what));
    }
    let given_up = plan.commands.iter().filter_map(|command| match command {
        Command::HostLost(lost) => Some(&lost.host),
        Command::RemoveHost(removed) => Some(&removed.host),
        _ => None,
    });
    found.extend(given_up.map(|host| {
        let what = format!("{host} is given up while {silent} of {all} hosts are silent");
        Violation::new("I7", what)
    }));
    found
}

/// One command was applied: without force it does not undeclare more than half of the instances.
pub fn removed(
    before: &ClusterState,
    after: &ClusterState,
    envelope: &Envelope,
) -> Option<Violation> {
    let Command::RemoveInstances(remove) = &envelope.command else {
        return None;
    };
    let declared = |state: &ClusterState| state.instances().filter(|(_, one)| one.declared).count();
    let (was, is) = (declared(before), declared(after));
    let gone = was.saturating_sub(is);
    (!remove.force && gone * 2 > was).then(|| {
        let what = format!("{gone} of {was} instances were removed at once");
        Violation::new("I7", what)
    })
}
