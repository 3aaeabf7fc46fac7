//! Agents that are newer than the leader: what it cannot read is neither happy nor stopped for that.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use paasta_common::spec::BounceMethod;
use paasta_coordinator_core::{
    plan::{class::Class, report::Awaited},
    state::{
        command::{Command, SetOverride},
        overrides::OverrideKind,
    },
};
use world::{
    World,
    build::{app_id, main_instance, spec},
};

/// Three happy replicas, and then every agent becomes newer than the leader.
fn upgraded() -> World {
    let mut world = World::new(4);
    let id = main_instance();
    world
        .cluster
        .set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
    world.until(5, "all replicas are happy", |world| world.is_steady(&id));
    newer(&mut world, true);
    world
}

fn newer(world: &mut World, newer: bool) {
    for agent in world.agents.values_mut() {
        agent.newer = newer;
    }
}

#[test]
fn replicas_whose_health_is_not_known_stay_and_are_not_happy() {
    let mut world = upgraded();
    let id = main_instance();
    let before = world.running(&app_id(&id, 1));
    for _ in 0..30 {
        assert_eq!(world.tick(), []);
    }
    assert_eq!(world.running(&app_id(&id, 1)), before);
    let view = world.view(&id);
    let classes = view.replicas.iter().map(|replica| replica.class);
    assert_eq!(classes.collect::<Vec<_>>(), [Class::Unknown; 3]);
    assert!(!world.is_steady(&id));
    let waits = view.waiting.iter().any(
        |waiting| matches!(&waiting.what, Awaited::NotHappyYet { replicas } if replicas.len() == 3),
    );
    assert!(waits, "{:?}", view.waiting);
    newer(&mut world, false);
    world.until(2, "the leader is upgraded", |world| world.is_steady(&id));
    assert_eq!(world.running(&app_id(&id, 1)), before);
}

#[test]
fn a_restart_replaces_them_all_the_same() {
    let mut world = upgraded();
    let id = main_instance();
    world.tick();
    assert_eq!(world.running(&app_id(&id, 1)).len(), 3);
    world.cluster.must(Command::SetOverride(SetOverride {
        instance: id.clone(),
        kind: Some(OverrideKind::Restart),
        only: None,
    }));
    let commands = world.tick();
    let ended = commands
        .iter()
        .any(|command| matches!(command, Command::SetOverride(_)));
    assert!(!ended, "{commands:?}");
    assert_eq!(world.running(&app_id(&id, 1)).len(), 0);
}
