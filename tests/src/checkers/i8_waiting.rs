//! I8, nothing waits for ever: what is not as wanted has a reason that is said, a deadline where
//! time is to decide, and an end when that has passed.

use std::collections::BTreeMap;

use paasta_common::{assignment::Want, id::InstanceId, time::Timestamp};
use paasta_coordinator_core::{
    plan::{
        Plan,
        observed::Observed,
        report::{Awaited, InstanceReport, WaitingOn},
    },
    state::{ClusterState, bounce::BouncePhase, command::Command},
};

use super::Violation;

/// How long after its deadline a wait may still be reported: time to notice, to propose, and for a
/// clock that jumps.
const LATE_MS: u64 = 5_000;
/// Plans in a row in which a wait is overdue until it counts.
const LATE_PLANS: u32 = 20;

/// A leader made this plan.
pub fn reasons(state: &ClusterState, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, instance) in state.instances() {
        let Some(report) = plan.report.instances.get(id) else {
            found.push(Violation::new("I8", format!("{id} is not in the report")));
            continue;
        };
        let wanted = instance.wanted() as usize;
        let running = state
            .replicas_of(id)
            .filter(|(_, one)| one.want == Want::Run && one.app == *instance.desired_app());
        let as_wanted = running.count() == wanted
            && state.replicas_of(id).count() == wanted
            && report.new.happy as usize == wanted;
        let moves = plan.commands.iter().any(|command| is_about(command, id));
        if !as_wanted && !moves && report.waiting.is_empty() {
            let what = format!(
                "{id} is not as wanted and waits for nothing: {:?}",
                report.new
            );
            found.push(Violation::new("I8", what));
        }
        let running = instance
            .bounce
            .as_ref()
            .filter(|one| one.phase == BouncePhase::Running);
        let endless = report.waiting.iter().filter(|one| one.deadline.is_none());
        let owed = endless.filter(|one| owes_deadline(&one.what, running.is_some(), report));
        found.extend(owed.map(|one| {
            let what = format!("{id} waits without a deadline: {one}");
            Violation::new("I8", what)
        }));
    }
    found
}

fn is_about(command: &Command, id: &InstanceId) -> bool {
    match command {
        Command::Place(place) => place.replicas.iter().any(|one| one.instance == *id),
        Command::SetWant(set) => set.instance == *id,
        Command::Bounce(bounce) => bounce.instance == *id,
        Command::DropInstance(dropped) => dropped.id == *id,
        Command::Forget(_) | Command::HostLost(_) | Command::HostBack(_) => true,
        _ => false,
    }
}

/// What time alone has to end. During a bounce that runs, that is everything about its replicas.
fn owes_deadline(what: &Awaited, bounces: bool, report: &InstanceReport) -> bool {
    match what {
        Awaited::Draining { .. } | Awaited::HostsToReport { .. } => true,
        Awaited::Capacity { .. } | Awaited::NotHappyYet { .. } | Awaited::OldVersionGone { .. } => {
            bounces && report.bounce.is_some()
        }
        _ => false,
    }
}

/// Deadlines that have passed, for how many plans.
#[derive(Debug, Default)]
pub struct Deadlines(BTreeMap<(InstanceId, u64, &'static str), u32>);

impl Deadlines {
    /// A leader made this plan.
    pub fn planned(&mut self, seen: &Observed, now: Timestamp, plan: &Plan) -> Vec<Violation> {
        let mut found = Vec::new();
        // What a new leader finds overdue it has had no time to end.
        if now.0 < seen.leader_since.0 + LATE_MS {
            return found;
        }
        for (id, report) in &plan.report.instances {
            let reports = seen.settings.lost_after_ms + 3 * seen.settings.lease_ms;
            for wait in &report.waiting {
                let late = |at: &Timestamp| now.0 > at.0 + LATE_MS + reports;
                let Some(at) = wait.deadline.filter(|at| late(at)) else {
                    continue;
                };
                let key = (id.clone(), at.0, kind(wait));
                let times = self.0.entry(key).or_default();
                *times += 1;
                if *times == LATE_PLANS {
                    let over = now.0 - at.0;
                    let what = format!("{id} still waits {over} ms after the deadline: {wait}");
                    found.push(Violation::new("I8", what));
                }
            }
        }
        found
    }
}

fn kind(wait: &WaitingOn) -> &'static str {
    match wait.what {
        Awaited::Capacity { .. } => "capacity",
        Awaited::NotHappyYet { .. } => "not happy yet",
        Awaited::Draining { .. } => "draining",
        Awaited::OldVersionGone { .. } => "old version gone",
        _ => "other",
    }
}
