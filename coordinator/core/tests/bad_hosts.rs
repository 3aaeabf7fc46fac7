//! Hosts on which an app fails while others are good: each replica ends on a good one, whatever was
//! tried first, and where there is none nothing goes round and nothing is left out. And hosts with a
//! wrong clock, which are no bad hosts.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::collections::BTreeSet;

use paasta_common::{assignment::Want, spec::BounceMethod};
use paasta_coordinator_core::{
    plan::report::Awaited,
    state::{
        command::{Command, ResetBackoff},
        failed::{AVOIDED_MS, FAILED_HOSTS_MAX},
    },
};
use proptest::prelude::*;
use world::{
    World,
    build::{app_id, host_id, main_instance, spec},
};

fn wish(world: &mut World, version: u32, instances: u32) {
    let id = main_instance();
    let spec = spec(&id, version, instances, BounceMethod::Crossover);
    world.cluster.set(&id, spec);
}

fn set_broken(world: &mut World, numbers: impl IntoIterator<Item = usize>, broken: bool) {
    for number in numbers {
        let agent = world.agents.get_mut(&host_id(number)).unwrap();
        (agent.broken, agent.worn) = (broken, true);
    }
}

/// The hosts that have a replica that is to run, each as often as it has.
fn used(world: &World) -> Vec<usize> {
    let number = |host: &str| host.trim_start_matches('h').parse().unwrap();
    let replicas = world.cluster.state.replicas_of(&main_instance());
    replicas
        .filter(|(_, replica)| replica.want == Want::Run)
        .map(|(_, replica)| number(replica.host.as_str()))
        .collect()
}

fn avoided(world: &World) -> Option<usize> {
    let waiting = &world.view(&main_instance()).waiting;
    waiting.iter().find_map(|wait| match &wait.what {
        Awaited::Avoided { hosts } => Some(hosts.len()),
        _ => None,
    })
}

fn moves(world: &World) -> u64 {
    world.cluster.state.next_replica().0
}

/// A clock two hours off is told of once, and once more when it is right; nothing else follows.
#[test]
fn a_clock_far_off_is_told_of_once_and_decides_nothing() {
    let mut world = World::new(3);
    wish(&mut world, 1, 3);
    world.until(5, "all replicas are happy", |world| {
        world.is_steady(&main_instance())
    });
    let told = |world: &World| {
        let events = world.cluster.state.events();
        let texts = events.filter(|event| event.text.contains("clock"));
        texts.map(|event| event.text.clone()).collect::<Vec<_>>()
    };
    let set = |world: &mut World, ahead_ms: i64| {
        world.agents.get_mut(&host_id(1)).unwrap().clock_ahead_ms = Some(ahead_ms);
        let commands: Vec<Command> = (0..3).flat_map(|_| world.tick()).collect();
        let other = |command: &&Command| !matches!(command, Command::NoteClock(_));
        assert_eq!(commands.iter().find(other), None);
        assert!(world.is_steady(&main_instance()));
    };
    for ahead_ms in [0, 3_000, -60_000] {
        set(&mut world, ahead_ms);
        assert!(told(&world).is_empty(), "{ahead_ms} is only shown");
    }
    for ahead_ms in [-7_200_000, -61_000, -59_000, 61_000] {
        set(&mut world, ahead_ms);
        assert_eq!(told(&world).len(), 1, "{ahead_ms}: the same trouble");
    }
    assert!(
        told(&world)[0].contains("7200 s behind"),
        "{:?}",
        told(&world)
    );
    set(&mut world, 50);
    assert_eq!(told(&world).len(), 2);
    assert!(told(&world)[1].contains("right clock again"));
}

#[test]
fn more_bad_hosts_than_are_remembered_are_not_gone_through() {
    let mut world = World::new(FAILED_HOSTS_MAX + 4);
    wish(&mut world, 1, 3);
    world.until(5, "all are happy", |world| {
        world.is_steady(&main_instance())
    });
    let good = used(&world)[1];
    let bad = (1..=FAILED_HOSTS_MAX + 4).filter(|number| *number != good);
    set_broken(&mut world, bad, true);
    let before = moves(&world);
    world.tick();
    world.until(40, "all are where one was", |world| {
        world.is_steady(&main_instance())
    });
    assert_eq!(used(&world), [good; 3]);
    // Each tried one other host first, and then went where its like is happy.
    assert_eq!(moves(&world) - before, 4);
}

#[test]
fn where_every_host_is_bad_each_is_tried_and_nothing_is_left_out() {
    let mut world = World::new(4);
    set_broken(&mut world, 1..=4, true);
    wish(&mut world, 1, 2);
    world.ticks(60);
    assert_eq!((used(&world).len(), moves(&world)), (2, 5));
    let known = avoided(&world).expect("it is told where none goes");
    wish(&mut world, 1, 5);
    world.ticks(60);
    assert_eq!(
        used(&world).len(),
        5,
        "known to be bad is better than nowhere"
    );
    assert!(known >= 2 && avoided(&world) >= Some(known));
    // One that is mended is found when what is known of it has aged.
    let mended = (1..=4).find(|number| !used(&world).contains(number));
    let mended = mended.unwrap_or(1);
    set_broken(&mut world, [mended], false);
    world.cluster.now = world.now().after_ms(AVOIDED_MS);
    world.until(60, "all are on the good one", |world| {
        world.is_steady(&main_instance())
    });
    assert_eq!(used(&world), [mended; 5]);
    assert_eq!(avoided(&world), None);
}

fn stuck(world: &World) -> Option<String> {
    let waiting = &world.view(&main_instance()).waiting;
    let stuck = waiting
        .iter()
        .find(|wait| matches!(wait.what, Awaited::OtherHost { .. }));
    stuck.map(ToString::to_string)
}

/// Any change at a host may be the one that it waits for; the world checks with each plan that
/// looking only at what changed finds it.
#[test]
fn one_that_fails_and_has_nowhere_to_go_waits_for_any_host() {
    for (name, close, open) in [
        (
            "away",
            (|world, at| world.agents.get_mut(&host_id(at)).unwrap().away = true)
                as fn(&mut World, usize),
            (|world, at| world.agents.get_mut(&host_id(at)).unwrap().away = false)
                as fn(&mut World, usize),
        ),
        (
            "runtime",
            |world, at| {
                world.agents.get_mut(&host_id(at)).unwrap().runtime_degraded = true;
            },
            |world, at| {
                world.agents.get_mut(&host_id(at)).unwrap().runtime_degraded = false;
            },
        ),
    ] {
        let mut world = World::new(2);
        wish(&mut world, 1, 1);
        world.until(5, "it is happy", |world| world.is_steady(&main_instance()));
        let (bad, other) = (used(&world)[0], 3 - used(&world)[0]);
        close(&mut world, other);
        // Long enough for it to be lost.
        world.ticks(60);
        set_broken(&mut world, [bad], true);
        world.ticks(10);
        assert_eq!(used(&world), [bad], "{name}");
        let said = stuck(&world).unwrap();
        assert!(
            said.contains("0 of 2 hosts: ") && said.contains("1 where it failed"),
            "{said}"
        );
        open(&mut world, other);
        world.until(3, "it has moved", |world| used(world) == [other]);
        world.until(5, "it is happy", |world| world.is_steady(&main_instance()));
        assert_eq!(stuck(&world), None);
    }
}

#[test]
fn what_is_known_ends_with_the_version_and_by_an_operator() {
    let id = main_instance();
    let bad_one = || {
        let mut world = World::new(3);
        wish(&mut world, 1, 2);
        world.until(5, "all are happy", |world| world.is_steady(&id));
        let bad = used(&world)[0];
        set_broken(&mut world, [bad], true);
        world.until(10, "one has moved", |world| {
            !used(world).contains(&bad) && world.is_steady(&id)
        });
        (world, bad)
    };
    let remembered = |world: &World, version| {
        let record = world.cluster.state.instance(&id).unwrap();
        record.failed_hosts(&app_id(&id, version)).count()
    };
    let (mut world, bad) = bad_one();
    assert_eq!(remembered(&world, 1), 1);
    let other = (1..=3).find(|number| *number != bad).map(host_id);
    for (host, left) in [(other, 1), (Some(host_id(bad)), 0)] {
        let instance = id.clone();
        let reset = ResetBackoff { instance, host };
        world.cluster.must(Command::ResetBackoff(reset));
        assert_eq!(remembered(&world, 1), left);
    }
    let (mut world, _) = bad_one();
    wish(&mut world, 1, 3);
    assert_eq!(
        remembered(&world, 1),
        1,
        "their number says nothing of hosts"
    );
    wish(&mut world, 2, 3);
    let record = world.cluster.state.instance(&id).unwrap();
    assert_eq!(record.failed, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// One good host has room for all, whether the others turn bad under them or always were.
    #[test]
    fn every_replica_ends_on_a_good_host(
        bad in prop::collection::btree_set(1..=12_usize, 0..12),
        instances in 1..=8_u32,
        from_the_start in any::<bool>(),
        elect_at in 0..20_usize,
    ) {
        let mut world = World::new(12);
        if from_the_start {
            set_broken(&mut world, bad.clone(), true);
        }
        wish(&mut world, 1, instances);
        world.ticks(3);
        set_broken(&mut world, bad.clone(), true);
        // A new leader knows what the last one did, and waits for its hosts.
        world.ticks(elect_at);
        world.elect();
        let id = main_instance();
        let rounds = 20 + 4 * (bad.len() + 2 * instances as usize);
        world.tick();
        for _ in 0..rounds {
            if world.is_steady(&id) {
                break;
            }
            world.tick();
        }
        prop_assert!(world.is_steady(&id), "{:#?}", world.view(&id));
        let on: BTreeSet<usize> = used(&world).into_iter().collect();
        prop_assert!(on.is_disjoint(&bad), "{on:?} of which {bad:?} are bad");
        // And so they stay.
        let before = moves(&world);
        world.ticks(10);
        prop_assert_eq!(moves(&world), before);
    }
}
