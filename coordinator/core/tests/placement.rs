//! Where the planner puts replicas, and what it says when it cannot.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::collections::BTreeMap;

use paasta_common::{
    app::Operator,
    host::HostInfo,
    id::{HostId, InstanceId},
    report::HostPart,
    spec::{BounceMethod, InstanceSpec},
};
use paasta_coordinator_core::{
    plan::report::{Awaited, WaitingOn},
    state::command::{Command, DrainHost, HostLost},
};
use world::{
    Agent, World,
    build::{constraint, host, host_id, main_instance, register, resources, spec, with_app},
};

fn add_host(world: &mut World, info: HostInfo) {
    world.agents.insert(info.id.clone(), Agent::default());
    world.cluster.must(register(info));
    world.agents_act();
}

fn declare(world: &mut World, id: &str, count: u32, change: impl FnOnce(&mut InstanceSpec)) {
    let id: InstanceId = id.parse().unwrap();
    let mut spec = spec(&id, 1, count, BounceMethod::Crossover);
    change(&mut spec);
    world.cluster.set(&id, spec);
    world.plan();
}

/// How many replicas each host has.
fn on_hosts(world: &World) -> Vec<usize> {
    let state = &world.cluster.state;
    state
        .hosts()
        .map(|(host, _)| state.replicas_on(host).count())
        .collect()
}

fn by_region(world: &World) -> BTreeMap<String, usize> {
    let mut regions = BTreeMap::new();
    for (host, record) in world.cluster.state.hosts() {
        let region = record.info.attribute("region").unwrap_or("none").to_owned();
        *regions.entry(region).or_default() += world.cluster.state.replicas_on(host).count();
    }
    regions
}

fn why(world: &World, id: &InstanceId) -> String {
    let capacity = |what: &Awaited| matches!(what, Awaited::Capacity { .. });
    let waiting = &world.view(id).waiting;
    waiting
        .iter()
        .find(|w| capacity(&w.what))
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn an_instance_is_spread_before_the_load_is_levelled() {
    let mut world = World::new(4);
    declare(&mut world, "a.main", 1, |spec| {
        *spec = with_app(spec.clone(), |app| app.resources = resources(4_000, 1_024));
    });
    assert_eq!(on_hosts(&world), [1, 0, 0, 0]);
    // The loaded host comes last, and still before any host gets its second replica.
    declare(&mut world, "b.main", 3, |_| {});
    assert_eq!(on_hosts(&world), [1, 1, 1, 1]);
    declare(&mut world, "c.main", 5, |_| {});
    assert_eq!(on_hosts(&world), [2, 3, 2, 2]);
}

#[test]
fn group_by_keeps_the_groups_even_and_stays_short_rather_than_uneven() {
    let mut world = World::new(2);
    // East has three hosts, west one, and west has room for two.
    add_host(&mut world, host(3));
    add_host(&mut world, host(5));
    let grouped = |spec: &mut InstanceSpec| {
        *spec = with_app(spec.clone(), |app| {
            app.constraints = vec![constraint("region", Operator::GroupBy, None)];
            app.resources = resources(4_000, 1_024);
        });
    };
    declare(&mut world, "hello.main", 8, grouped);
    let expected = BTreeMap::from([("east".to_owned(), 3), ("west".to_owned(), 2)]);
    assert_eq!(by_region(&world), expected);
    assert_eq!(
        why(&world, &main_instance()),
        "3 replicas cannot be placed: 0 of 4 hosts: 3 against constraint [region, GROUP_BY], 1 lack 4.000 CPUs"
    );
    // A region without any host that takes work is no group to wait for.
    world
        .cluster
        .must(Command::HostLost(HostLost { host: host_id(2) }));
    world.agents.get_mut(&host_id(2)).unwrap().away = true;
    world.tick();
    world.tick();
    assert_eq!(by_region(&world)["east"], 6);
}

#[test]
fn a_docker_disk_that_is_nearly_full_is_a_reason() {
    let mut world = World::new(2);
    for at in [1, 2] {
        let agent = world.agents.get_mut(&host_id(at)).unwrap();
        (agent.runtime_degraded, agent.degraded_part) = (true, HostPart::DockerDisk);
    }
    world.agents_act();
    declare(&mut world, "hello.main", 2, |_| {});
    world.tick();
    assert_eq!(
        why(&world, &main_instance()),
        "2 replicas cannot be placed: 0 of 2 hosts: 2 whose Docker disk is nearly full"
    );
}

#[test]
fn every_reason_is_counted_once_for_each_host() {
    let mut world = World::new(5);
    let mut gpu = host(6);
    gpu.pool = "gpu".to_owned();
    add_host(&mut world, gpu);
    world.agents.get_mut(&host_id(1)).unwrap().runtime_degraded = true;
    world.agents_act();
    let drain = DrainHost {
        host: host_id(2),
        reason: String::new(),
        until: None,
    };
    world.cluster.must(Command::DrainHost(drain));
    world.cluster.must(register(host(9)));
    declare(&mut world, "hello.main", 2, |spec| {
        *spec = with_app(spec.clone(), |app| {
            app.resources.mem_mb = 9_000;
            app.constraints = vec![constraint("hostname", Operator::Unlike, Some("h3"))];
        });
    });
    // The one that has not reported is not waited for any longer.
    world.tick();
    assert_eq!(
        why(&world, &main_instance()),
        "2 replicas cannot be placed: 0 of 7 hosts: 2 lack 9000 MB memory, 1 not reported yet, \
         1 with a degraded container runtime, 1 draining, 1 not in pool default, \
         1 against constraint [hostname, UNLIKE, h3]"
    );
}

#[test]
fn an_empty_cluster_says_so() {
    let mut world = World::new(0);
    declare(&mut world, "hello.main", 1, |_| {});
    assert_eq!(
        why(&world, &main_instance()),
        "1 replica cannot be placed: no host is registered"
    );
}

#[test]
fn one_pass_fills_a_cluster_evenly_and_to_the_brim() {
    let mut world = World::new(40);
    // Eight cores each: 320 in all.
    declare(&mut world, "a.main", 100, |_| {});
    declare(&mut world, "b.main", 100, |_| {});
    declare(&mut world, "c.main", 150, |_| {});
    let counts = on_hosts(&world);
    assert_eq!(counts.iter().sum::<usize>(), 320);
    assert!(counts.iter().all(|count| *count == 8), "{counts:?}");
    let id: InstanceId = "c.main".parse().unwrap();
    assert_eq!(
        why(&world, &id),
        "30 replicas cannot be placed: 0 of 40 hosts: 40 lack 1.000 CPUs"
    );
    // Room that one instance gives up is taken by another in the same plan.
    let gone: HostId = host_id(1);
    assert_eq!(world.cluster.state.used_on(&gone), resources(8_000, 8_192));
    declare(&mut world, "a.main", 60, |_| {});
    world.until(6, "the room is taken", |world| {
        world.view(&id).new.happy == 150
    });
}

/// What runs on each of the four hosts of a cluster whose leader is new, and has heard of `heard`.
fn by_host_after_election(heard: &[usize]) -> (World, Vec<usize>) {
    let mut world = World::new(4);
    world.tick();
    world.elect();
    for number in 1..=4 {
        let away = !heard.contains(&number);
        world.agents.get_mut(&host_id(number)).unwrap().away = away;
    }
    let id = main_instance();
    world
        .cluster
        .set(&id, spec(&id, 1, 4, BounceMethod::Crossover));
    world.agents_act();
    world.plan();
    let placed = on_hosts(&world);
    (world, placed)
}

#[test]
fn a_new_leader_crowds_nothing_onto_the_hosts_that_report_first() {
    let (mut world, placed) = by_host_after_election(&[1]);
    assert_eq!(placed, [0; 4]);
    let waiting = &world.view(&main_instance()).waiting;
    let reports = |on: &&WaitingOn| matches!(on.what, Awaited::HostsToReport { .. });
    let on = waiting.iter().find(reports).expect("it is told");
    assert_eq!(on.deadline, Some(world.now().after_ms(1_000)));
    for agent in world.agents.values_mut() {
        agent.away = false;
    }
    world.agents_act();
    world.plan();
    assert_eq!(on_hosts(&world), [1; 4]);
}

#[test]
fn a_host_that_never_reports_is_not_waited_for() {
    let (mut world, placed) = by_host_after_election(&[1, 2, 3]);
    assert_eq!(placed, [0; 4]);
    world.tick();
    let mut placed = on_hosts(&world);
    assert_eq!(placed.pop(), Some(0));
    placed.sort_unstable();
    assert_eq!(placed, [1, 1, 2]);
}
