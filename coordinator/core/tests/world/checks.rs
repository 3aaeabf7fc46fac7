//! What must hold of every plan, told from the state before and after it was applied.

use paasta_common::{
    assignment::Want,
    id::{InstanceId, ReplicaId},
    spec::BounceMethod,
};
use paasta_coordinator_core::{
    plan::{
        Plan,
        class::Class,
        plan, plan_scope,
        report::{Awaited, InstanceReport, WaitingOn},
        touched::Scope,
    },
    state::{ClusterState, instance::Instance, invariants},
};

use super::World;

/// Planning again with the same reports yields nothing; planning the same twice yields the same
/// bytes, also from a copy of the state that was stored and read (I12).
pub(super) fn plan_is_stable(world: &World, made: &Plan) {
    let again = plan(&world.cluster.state, &world.observed, world.now());
    assert!(
        again.commands.is_empty(),
        "after {:#?}\ncame {:#?}",
        made.commands,
        again.commands
    );
    let stored = rmp_serde::to_vec_named(&world.cluster.state).unwrap();
    let read: ClusterState = rmp_serde::from_slice(&stored).unwrap();
    assert_eq!(read, world.cluster.state);
    let from_copy = plan(&read, &world.observed, world.now());
    assert_eq!(
        serde_json::to_string(&from_copy).unwrap(),
        serde_json::to_string(&again).unwrap()
    );
    assert!(
        again.wake_at.is_none_or(|at| at > world.now()),
        "{:?}",
        again.wake_at
    );
    let all = world.cluster.state.instances().map(|(id, _)| id.clone());
    let all = Scope {
        instances: all.collect(),
        braked: again.report.brake.is_some(),
    };
    let named = plan_scope(&world.cluster.state, &world.observed, world.now(), &all);
    assert!(named.partial);
    let whole = Plan {
        partial: false,
        ..named
    };
    assert_eq!(whole, again);
}

/// Planning only what changed says the same as planning everything, unless it is time to look at
/// everything.
pub(super) fn plan_follows_change(world: &World, made: &Plan) {
    let state = &world.cluster.state;
    if world.last.wake_at.is_some_and(|at| at <= world.now()) {
        return;
    }
    let Some(scope) = world.cluster.touched.scope(state, &world.last.report) else {
        return;
    };
    let part = plan_scope(state, &world.observed, world.now(), &scope);
    assert_eq!(part.commands, made.commands, "looked at {scope:?} only");
    let mut report = part.report;
    if part.partial {
        let newer = std::mem::replace(&mut report, world.last.report.clone());
        report.update(newer, &scope.instances);
    }
    assert_eq!(report.brake, made.report.brake);
    assert!(report.instances.keys().eq(made.report.instances.keys()));
}

/// By our own act no instance falls under its floor (I4) or comes over its ceiling.
pub(super) fn plan_is_safe(before: &ClusterState, after: &ClusterState, made: &Plan) {
    assert_eq!(invariants::check(after), Vec::new());
    for (id, report) in &made.report.instances {
        let (Some(was), Some(is)) = (before.instance(id), after.instance(id)) else {
            continue;
        };
        // Until every host has reported nobody is sent away, so a lowered count may be exceeded.
        let awaited = |waiting: &WaitingOn| matches!(waiting.what, Awaited::HostsToReport { .. });
        // And nothing is cleaned up while the brake is on.
        let braked = made.report.brake.is_some() && !is.declared;
        if !braked && !report.waiting.iter().any(awaited) {
            ceiling(after, id, is);
        }
        if is.declared && was.desired_app() == is.desired_app() {
            floor(after, report, is);
        }
    }
}

fn wants_run(state: &ClusterState, id: ReplicaId) -> bool {
    state
        .replica(id)
        .is_some_and(|replica| replica.want == Want::Run)
}

fn ceiling(after: &ClusterState, id: &InstanceId, instance: &Instance) {
    let counts = after.replicas_of(id).filter(|(_, replica)| {
        let host = after.host(&replica.host);
        replica.app == *instance.desired_app()
            && replica.want == Want::Run
            && host.is_some_and(|host| host.takes_work())
    });
    let count = counts.count();
    assert!(count <= instance.wanted() as usize, "{id}: {count} run");
}

fn floor(after: &ClusterState, report: &InstanceReport, instance: &Instance) {
    let wanted = instance.wanted() as usize;
    let of = |app_is_desired: bool| {
        report.replicas.iter().filter(move |replica| {
            (replica.app == *instance.desired_app()) == app_is_desired && replica.want == Want::Run
        })
    };
    let left = |classes: &[Class], app_is_desired: bool| {
        of(app_is_desired).any(|r| classes.contains(&r.class) && !wants_run(after, r.id))
    };
    let stays = |classes: &[Class], app_is_desired: bool| {
        of(app_is_desired)
            .filter(|r| classes.contains(&r.class) && wants_run(after, r.id))
            .count()
    };
    let serving = [Class::Happy, Class::AtRisk, Class::Unknown];
    if left(&serving, true) {
        assert!(
            stays(&serving, true) >= wanted,
            "a new replica left too early: {report:#?}"
        );
    }
    let alive = [
        Class::Happy,
        Class::AtRisk,
        Class::Unknown,
        Class::Starting,
        Class::Unhappy,
    ];
    let happy_new = stays(&[Class::Happy], true);
    if !left(&alive, false) {
        return;
    }
    match instance.spec.bounce.method {
        BounceMethod::UpThenDown => {
            assert!(
                happy_new == wanted,
                "an old replica left too early: {report:#?}"
            );
        }
        BounceMethod::Crossover => {
            let needed = instance.spec.bounce.margin.of(instance.wanted()) as usize;
            let kept = stays(&alive, false);
            assert!(
                happy_new + kept >= needed,
                "{happy_new} + {kept} < {needed}: {report:#?}"
            );
        }
        BounceMethod::Brutal | BounceMethod::DownThenUp | BounceMethod::Down => {}
    }
}
