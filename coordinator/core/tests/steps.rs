//! What a bounce tells on its way, whom it lets go first, what going back keeps, and what each
//! deadline does with each outcome.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::collections::BTreeSet;

use paasta_common::{
    assignment::Want,
    id::ReplicaId,
    spec::{BounceMethod, InstanceSpec, OnDeadline},
};
use paasta_coordinator_core::state::{bounce::BouncePhase, event::EventKind};
use world::{
    TICK_MS, World,
    build::{app_id, main_instance, resources, spec, with_app},
};

fn version(number: u32, instances: u32) -> InstanceSpec {
    spec(&main_instance(), number, instances, BounceMethod::Crossover)
}

/// The first version runs wholly happy; the second is desired, and so many of it will be happy.
fn bouncing(second: InstanceSpec, happy: usize) -> World {
    let mut world = World::new(4);
    let id = main_instance();
    world.cluster.set(&id, version(1, second.instances));
    world.until(5, "the first version is happy", |world| {
        world.is_steady(&id)
    });
    world.healthy_most.insert(second.app_id.clone(), happy);
    world.cluster.set(&id, second);
    world
}

fn bounce_lines(world: &World) -> Vec<String> {
    let events = world.cluster.state.events();
    let bounces = events.filter(|event| event.kind == EventKind::Bounce);
    bounces.map(|event| event.text.clone()).collect()
}

#[test]
fn every_step_is_a_line_with_its_numbers_and_the_last_one_says_finished() {
    let mut world = bouncing(version(2, 2), 0);
    let id = main_instance();
    let before = bounce_lines(&world).len();
    world.ticks(2);
    world.healthy_most.insert(app_id(&id, 2), 1);
    world.ticks(2);
    world.healthy_most.insert(app_id(&id, 2), 2);
    world.until(8, "the bounce ends", |world| world.is_steady(&id));
    let to = app_id(&id, 2);
    let line = |step: &str, numbers: &str| format!("bounce to {to}: {step} ({numbers})");
    assert_eq!(
        bounce_lines(&world)[before..],
        [
            line(
                "started by crossover",
                "2 new to bring up, 2 old happy, 1 old app"
            ),
            line("1 new happy", "1 new to bring up, 2 old happy, 1 old app"),
            line("2 new happy", "1 old happy, 1 old app"),
            line("finished", "nothing left to do"),
        ]
    );
}

#[test]
fn the_oldest_happy_replicas_are_kept_longest_and_the_unhappy_go_first() {
    let mut world = bouncing(version(2, 4), 0);
    let id = main_instance();
    let old: Vec<ReplicaId> = world.running(&app_id(&id, 1)).into_iter().collect();
    // Of the old app only the first three serve now.
    world.healthy_most.insert(app_id(&id, 1), 3);
    world.ticks(2);
    let kept = |world: &World| -> Vec<ReplicaId> {
        let left = world.running(&app_id(&id, 1));
        old.iter().copied().filter(|id| left.contains(id)).collect()
    };
    for happy in 1..=3 {
        world.healthy_most.insert(app_id(&id, 2), happy);
        world.ticks(2);
        assert_eq!(kept(&world), old[..4 - happy], "{happy} new are happy");
    }
}

#[test]
fn going_back_in_mid_bounce_takes_back_what_drains_and_starts_nothing() {
    let mut world = bouncing(version(2, 3), 0);
    let id = main_instance();
    let first: BTreeSet<ReplicaId> = world.running(&app_id(&id, 1));
    // Nothing that drains is ever done with it.
    world.drain_ms = None;
    world.ticks(2);
    world.healthy_most.insert(app_id(&id, 2), 2);
    world.ticks(2);
    let drains = |world: &World| {
        let want = |id: &ReplicaId| world.cluster.state.replica(*id).unwrap().want;
        first.iter().filter(|id| want(id) == Want::Drain).count()
    };
    assert_eq!(drains(&world), 2, "the bounce is half done");
    world.cluster.set(&id, version(1, 3));
    let next = world.cluster.state.next_replica();
    world.tick();
    assert_eq!(drains(&world), 0);
    assert_eq!(world.running(&app_id(&id, 1)), first);
    world.drain_ms = Some(0);
    world.until(8, "the second version is gone", |world| {
        world.is_steady(&id)
    });
    assert_eq!(world.running(&app_id(&id, 1)), first);
    assert_eq!(
        world.cluster.state.next_replica(),
        next,
        "nothing was started"
    );
}

/// The deadline that strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    Start,
    Progress,
}

/// The second version: one that finds no host, or one that is never healthy.
fn stuck(which: Which, then: OnDeadline) -> InstanceSpec {
    let mut spec = version(2, 2);
    spec.bounce.on_deadline = then;
    match which {
        Which::Start => {
            spec = with_app(spec, |app| app.resources = resources(64_000, 64));
            spec.bounce.start_deadline_ms = 3 * TICK_MS;
            spec.bounce.progress_deadline_ms = 100 * TICK_MS;
        }
        Which::Progress => spec.bounce.progress_deadline_ms = 3 * TICK_MS,
    }
    spec
}

#[test]
fn each_deadline_has_each_outcome_and_strikes_in_time() {
    let id = main_instance();
    let outcomes = [OnDeadline::GoOn, OnDeadline::Hold, OnDeadline::Rollback];
    for (which, then) in [Which::Start, Which::Progress]
        .into_iter()
        .flat_map(|which| outcomes.map(|then| (which, then)))
    {
        let mut world = bouncing(stuck(which, then), 0);
        world.ticks(2);
        let record = world.cluster.state.instance(&id).unwrap();
        assert_eq!(
            record.bounce.as_ref().map(|bounce| bounce.phase),
            Some(BouncePhase::Running),
            "{which:?} {then:?}: not before its time"
        );
        world.ticks(3);
        let record = world.cluster.state.instance(&id).unwrap();
        let phase = record.bounce.as_ref().map(|bounce| bounce.phase);
        let struck = match then {
            OnDeadline::GoOn => matches!(phase, Some(BouncePhase::Overdue { .. })),
            OnDeadline::Hold => matches!(phase, Some(BouncePhase::Held { .. })),
            OnDeadline::Rollback => record.desired_app() == &app_id(&id, 1),
        };
        assert!(struck, "{which:?} {then:?}: {record:#?}");
        // Whatever the outcome, the first version went on serving.
        assert_eq!(world.running(&app_id(&id, 1)).len(), 2);
    }
}
