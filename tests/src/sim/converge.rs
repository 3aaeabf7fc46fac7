//! When a healed cluster counts as settled: everything is as wanted, or waits for a reason that no
//! patience ends, on paper and on the hosts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{
    assignment::Want,
    id::{InstanceId, ReplicaId},
};
use paasta_coordinator_core::{
    plan::{
        class::Class,
        report::{Awaited, InstanceReport, Report},
    },
    state::{ClusterState, instance::Instance},
};

use super::{
    fleet::{Fleet, Wanted},
    watch::Watch,
    world::{Up, World},
};
use crate::checkers::Violation;

/// What is not settled yet; nothing when all is.
pub(crate) fn unsettled(world: &World, fleet: &Fleet, watch: &Watch) -> Option<Violation> {
    let late = |what| Violation::new("convergence", what);
    let Some((seat, up, status)) = world.leader() else {
        return Some(late("there is no leader".to_owned()));
    };
    for (other, theirs) in world.up() {
        let member =
            status.voters.contains_key(&other.id) || status.learners.contains_key(&other.id);
        if let Some(trouble) = theirs.leader.consensus.status().snapshot_trouble {
            let what = format!("{} has no newer snapshot: {}", other.name, trouble.error);
            return Some(late(what));
        }
        let (index, leaders) = (last_index(&theirs), last_index(&up));
        if member && index != leaders {
            let what = format!("{} is at {index}, {} at {leaders}", other.name, seat.name);
            return Some(late(what));
        }
    }
    let state = up.leader.machine.read();
    let report = up.leader.report.load();
    if let Some(what) = desired(&state, fleet) {
        // One broken file must not keep the others from being read.
        let broken = !fleet.broken.is_empty();
        return Some(Violation::new(
            if broken { "I10" } else { "convergence" },
            what,
        ));
    }
    planned(&state, &report, fleet)
        .or_else(|| on_hosts(world, &state, &report, fleet))
        .map(late)
        .or_else(|| {
            watch
                .orphan()
                .map(|name| Violation::new("I5", format!("{name} is not reaped")))
        })
}

fn last_index(up: &Up) -> u64 {
    up.leader.machine.read().last_index()
}

/// Whether the state says what the files say.
fn desired(state: &ClusterState, fleet: &Fleet) -> Option<String> {
    for (id, wanted) in &fleet.instances {
        if fleet.is_hurt(id) {
            continue;
        }
        let known = state.instance(id);
        let agrees = match known {
            None => !wanted.declared,
            Some(known) => wanted.declared && known.declared && says(known, wanted),
        };
        if !agrees {
            return Some(format!("{id}: the state says {}", summary(known)));
        }
    }
    None
}

fn says(known: &Instance, wanted: &Wanted) -> bool {
    let count = if wanted.stopped { 0 } else { wanted.instances };
    known.wanted() == count && known.spec.app.git_sha == wanted.sha()
}

fn summary(known: Option<&Instance>) -> String {
    match known {
        None => "nothing".to_owned(),
        Some(known) => format!(
            "{} of {}, declared: {}",
            known.wanted(),
            known.desired_app(),
            known.declared
        ),
    }
}

/// Whether the leader's report says that all is as wanted.
fn planned(state: &ClusterState, report: &Report, fleet: &Fleet) -> Option<String> {
    if let Some(brake) = &report.brake {
        return Some(brake.to_string());
    }
    if let Some((host, trouble)) = report.hosts.iter().next() {
        return Some(format!("{host}: {:?}", trouble.trouble));
    }
    for (id, _) in state.instances().filter(|(id, _)| !fleet.is_hurt(id)) {
        let Some(instance) = report.instances.get(id) else {
            return Some(format!("{id} is not in the report"));
        };
        if let Some(why) = waits(instance) {
            return Some(format!("{id}: {why}"));
        }
    }
    None
}

/// What the instance still waits for that patience will end.
fn waits(report: &InstanceReport) -> Option<String> {
    // No patience makes room; what waits for it waits for an operator.
    let short = report
        .waiting
        .iter()
        .any(|one| matches!(one.what, Awaited::Capacity { .. }));
    let ends = |what: &Awaited| match what {
        Awaited::Capacity { .. } | Awaited::ConfigBroken { .. } | Awaited::Overdue => false,
        // Where there is no room, an old version may have to stay, and a bounce be held.
        Awaited::OldVersionGone { .. } | Awaited::Held => !short,
        _ => true,
    };
    if let Some(wait) = report.waiting.iter().find(|one| ends(&one.what)) {
        return Some(wait.to_string());
    }
    let old = report.old.happy + report.old.unhappy + report.old.starting + report.old.at_risk;
    let well = report.new.happy == report.wanted && old == 0;
    (!well && !short).then(|| {
        format!(
            "{} of {} are happy, {old} old",
            report.new.happy, report.wanted
        )
    })
}

/// Whether the hosts run what the leader counts on, and nothing of ours that they should not.
fn on_hosts(world: &World, state: &ClusterState, report: &Report, fleet: &Fleet) -> Option<String> {
    let all = report
        .instances
        .values()
        .flat_map(|instance| &instance.replicas);
    let serving = all.filter(|one| matches!(one.class, Class::Happy | Class::AtRisk));
    let serving: BTreeSet<ReplicaId> = serving.map(|one| one.id).collect();
    for seat in &world.agents {
        let here = state.replicas_on(seat.id());
        let here = here.filter(|(_, replica)| !fleet.is_hurt(&replica.instance));
        let wanted: BTreeSet<ReplicaId> = here
            .filter(|(_, replica)| replica.want == Want::Run)
            .map(|(id, _)| id)
            .collect();
        let mut running = BTreeSet::new();
        for (name, container) in seat.engine.fake.containers() {
            let labels = &container.spec.labels;
            if !labels.contains_key(labels::APP) || is_hurt(labels, fleet) {
                continue;
            }
            let replica = labels.get(labels::REPLICA);
            let replica = replica.and_then(|text| text.parse().ok());
            let Some(id) = replica.filter(|id| wanted.contains(id)) else {
                return Some(format!("{} still has {name}", seat.name));
            };
            if container.state == ContainerState::Running && !running.insert(id) {
                return Some(format!("{} runs {id} twice", seat.name));
            }
        }
        let mut missing = wanted
            .intersection(&serving)
            .filter(|id| !running.contains(id));
        if let Some(id) = missing.next() {
            return Some(format!(
                "{} does not run {id}, which counts as happy",
                seat.name
            ));
        }
    }
    None
}

/// Whether it is a container of an instance whose last good version may be no good at all.
fn is_hurt(labels: &BTreeMap<String, String>, fleet: &Fleet) -> bool {
    let label = |name| labels.get(name).map(String::as_str).unwrap_or_default();
    let id = format!("{}.{}", label(labels::SERVICE), label(labels::INSTANCE));
    id.parse().is_ok_and(|id| fleet.is_hurt(&id))
}

/// Instances that are as wanted, for the summary.
pub(crate) fn satisfied(world: &World) -> (usize, usize) {
    let Some((_, up, _)) = world.leader() else {
        return (0, 0);
    };
    let report = up.leader.report.load();
    let short = |one: &&(&InstanceId, &Arc<InstanceReport>)| {
        one.1
            .waiting
            .iter()
            .any(|wait| matches!(wait.what, Awaited::Capacity { .. }))
    };
    let all: Vec<_> = report.instances.iter().collect();
    (all.len(), all.iter().filter(short).count())
}
