//! Load balancers in a bounce: what comes counts when they have it in service, what leaves stops
//! when none of them has anything left for it, and neither waits for ever.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    assignment::Want,
    endpoints::{BackendReport, BackendState},
    id::{HostId, ReplicaId},
    smartstack::NamespaceOptions,
    spec::{BounceMethod, DrainMethod, InstanceSpec},
};
use paasta_coordinator_core::plan::{class::Class, report::Awaited};
use world::{
    Proxy, TICK_MS, World,
    build::{app_id, host_id, main_instance, spec},
};

const DRAIN_TIMEOUT_MS: u64 = 60_000;

fn version(number: u32, instances: u32) -> InstanceSpec {
    let mut spec = spec(&main_instance(), number, instances, BounceMethod::Crossover);
    let options = NamespaceOptions {
        proxy_port: Some(20_001),
        // The hosts are in two regions: all of them see it.
        discover: "pool".parse().unwrap(),
        advertise: ["pool".parse().unwrap()].into(),
        ..NamespaceOptions::default()
    };
    spec.namespaces = BTreeMap::from([("hello.main".parse().unwrap(), Arc::new(options))]);
    spec.bounce.check_load_balancer = true;
    let run = Arc::make_mut(&mut spec.run);
    run.drain = DrainMethod::Noop;
    run.drain_timeout_ms = DRAIN_TIMEOUT_MS;
    spec
}

fn backend(state: BackendState, sessions: u32) -> BackendReport {
    BackendReport { state, sessions }
}

/// Three hosts with load balancers run the first version.
fn proxied(instances: u32) -> World {
    let mut world = World::new(3);
    for agent in world.agents.values_mut() {
        agent.proxy = Some(Proxy::default());
    }
    let id = main_instance();
    world.cluster.set(&id, version(1, instances));
    world.until(8, "the first version is happy", |world| {
        world.is_steady(&id)
    });
    world
}

fn proxy(world: &mut World, host: usize) -> &mut Proxy {
    let agent = world.agents.get_mut(&host_id(host)).unwrap();
    agent.proxy.as_mut().unwrap()
}

fn of_want(world: &World, want: Want) -> Vec<ReplicaId> {
    let replicas = world.cluster.state.replicas_of(&main_instance());
    let found = replicas.filter(|(_, replica)| replica.want == want);
    found.map(|(id, _)| id).collect()
}

fn awaited(world: &World) -> Option<(Vec<HostId>, u64)> {
    let mut waiting = world.view(&main_instance()).waiting.iter();
    waiting.find_map(|on| match &on.what {
        Awaited::Proxies {
            hosts, sessions, ..
        } => Some((hosts.clone(), *sessions)),
        _ => None,
    })
}

fn last_event(world: &World) -> String {
    let mut events = world.cluster.state.events();
    events.next_back().unwrap().text.clone()
}

#[test]
fn a_replica_stops_when_the_last_load_balancer_has_nothing_left_for_it() {
    let mut world = proxied(1);
    let old = of_want(&world, Want::Run)[0];
    for host in 1..=3 {
        proxy(&mut world, host)
            .odd
            .insert(old, backend(BackendState::Maint, 2));
    }
    world.cluster.set(&main_instance(), version(2, 1));
    world.until(8, "the old one drains", |world| {
        !of_want(world, Want::Drain).is_empty()
    });
    world.ticks(2);
    assert_eq!(
        of_want(&world, Want::Drain),
        [old],
        "a drain without a method, too"
    );
    let all = vec![host_id(1), host_id(2), host_id(3)];
    assert_eq!(awaited(&world), Some((all, 6)));
    proxy(&mut world, 1).odd.clear();
    proxy(&mut world, 3).odd.clear();
    world.tick();
    assert_eq!(of_want(&world, Want::Drain), [old]);
    assert_eq!(awaited(&world), Some((vec![host_id(2)], 2)));
    proxy(&mut world, 2)
        .odd
        .insert(old, backend(BackendState::Maint, 0));
    world.tick();
    assert_eq!(of_want(&world, Want::Drain), []);
    let id = main_instance();
    world.until(8, "the bounce ends", |world| world.is_steady(&id));
}

#[test]
fn a_drain_ends_at_its_deadline_and_the_event_counts_what_was_left() {
    let mut world = proxied(1);
    let old = of_want(&world, Want::Run)[0];
    proxy(&mut world, 2)
        .odd
        .insert(old, backend(BackendState::Up, 7));
    world.cluster.set(&main_instance(), version(2, 1));
    world.until(8, "the old one drains", |world| {
        !of_want(world, Want::Drain).is_empty()
    });
    let ticks = usize::try_from(DRAIN_TIMEOUT_MS / TICK_MS).unwrap();
    world.ticks(ticks - 2);
    assert_eq!(of_want(&world, Want::Drain), [old]);
    world.until(4, "its time is over", |world| {
        of_want(world, Want::Drain).is_empty()
    });
    let events: Vec<String> = world
        .cluster
        .state
        .events()
        .map(|one| one.text.clone())
        .collect();
    let left = "its drain has timed out with 7 sessions left in the load balancers of 1 host";
    assert!(events.iter().any(|text| text.contains(left)), "{events:?}");
}

#[test]
fn a_silent_host_holds_a_drain_up_no_longer_than_its_lease() {
    let mut world = proxied(1);
    let old = of_want(&world, Want::Run)[0];
    let elsewhere = (1..=3)
        .find(|host| host_id(*host) != world.host_of(old))
        .unwrap();
    proxy(&mut world, elsewhere).mute = true;
    let _ = last_event(&world);
    world.cluster.set(&main_instance(), version(2, 1));
    world.until(10, "the old one drains", |world| {
        !of_want(world, Want::Drain).is_empty()
    });
    world.ticks(2);
    assert_eq!(of_want(&world, Want::Drain), [old]);
    let (hosts, _) = awaited(&world).unwrap();
    assert_eq!(hosts, [host_id(elsewhere)]);
    world.agents.get_mut(&host_id(elsewhere)).unwrap().away = true;
    world.until(3, "its lease ends", |world| {
        of_want(world, Want::Drain).is_empty()
    });
}

#[test]
fn a_new_leader_waits_for_the_answers_again() {
    let mut world = proxied(1);
    let old = of_want(&world, Want::Run)[0];
    proxy(&mut world, 1)
        .odd
        .insert(old, backend(BackendState::Maint, 1));
    world.cluster.set(&main_instance(), version(2, 1));
    world.until(8, "the old one drains", |world| {
        !of_want(world, Want::Drain).is_empty()
    });
    world.elect();
    proxy(&mut world, 1).odd.clear();
    proxy(&mut world, 2).mute = true;
    world.agents_act();
    world.ticks(2);
    assert_eq!(
        of_want(&world, Want::Drain),
        [old],
        "one has not answered this leader"
    );
    proxy(&mut world, 2).mute = false;
    world.until(3, "it answers", |world| {
        of_want(world, Want::Drain).is_empty()
    });
}

#[test]
fn what_comes_counts_when_the_load_balancers_have_it_in_service() {
    let mut world = proxied(2);
    let before = of_want(&world, Want::Run);
    for host in 1..=3 {
        proxy(&mut world, host).mute = true;
    }
    world.cluster.set(&main_instance(), version(2, 2));
    world.tick();
    let new: Vec<ReplicaId> = of_want(&world, Want::Run)
        .into_iter()
        .filter(|id| !before.contains(id))
        .collect();
    world.tick();
    let class = |world: &World, id: ReplicaId| {
        let view = world.view(&main_instance());
        view.replicas.iter().find(|one| one.id == id).unwrap().class
    };
    assert_eq!(class(&world, new[0]), Class::Starting);
    assert_eq!(awaited(&world).unwrap().0.len(), 3);
    assert_eq!(of_want(&world, Want::Drain), [], "nothing happy is new");
    for host in 1..=3 {
        let proxy = proxy(&mut world, host);
        proxy.mute = false;
        proxy.odd.insert(new[0], backend(BackendState::Down, 0));
    }
    world.ticks(2);
    assert_eq!(class(&world, new[0]), Class::Unhappy);
    assert_eq!(class(&world, new[1]), Class::Happy);
    for host in 1..=3 {
        proxy(&mut world, host).odd.clear();
    }
    world.tick();
    let to = app_id(&main_instance(), 2);
    assert!(
        world
            .running(&to)
            .iter()
            .all(|id| class(&world, *id) == Class::Happy)
    );
}

#[test]
fn hosts_that_never_answer_hold_nothing_up_for_ever() {
    let mut world = proxied(1);
    for host in 1..=3 {
        proxy(&mut world, host).mute = true;
    }
    world.cluster.set(&main_instance(), version(2, 1));
    let id = main_instance();
    let ticks = usize::try_from(DRAIN_TIMEOUT_MS / TICK_MS).unwrap();
    world.until(ticks + 12, "the bounce ends", |world| world.is_steady(&id));
}
