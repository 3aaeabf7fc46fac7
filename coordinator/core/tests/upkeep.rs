//! What keeps an instance as wanted when nothing is being deployed: counts that change, hosts that
//! are lost, found, drained, or silent all at once, and instances that are no longer declared.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::collections::BTreeSet;

use paasta_common::{
    app::Operator,
    assignment::Want,
    id::{HostId, InstanceId, ReplicaId},
    report::HostPart,
    spec::BounceMethod,
};
use paasta_coordinator_core::{
    plan::{
        class::Class,
        report::{Awaited, HostTrouble},
    },
    state::{
        command::{Command, DrainHost, HostLost, RemoveInstances, UndrainHost},
        outcome::Outcome,
    },
};
use world::{
    Agent, World,
    build::{app_id, host_id, main_instance, spec},
};

fn steady(hosts: usize, instances: u32) -> World {
    let mut world = World::new(hosts);
    let id = main_instance();
    world
        .cluster
        .set(&id, spec(&id, 1, instances, BounceMethod::Crossover));
    world.until(5, "all replicas are happy", |world| world.is_steady(&id));
    world
}

fn away(world: &mut World, hosts: &[usize], away: bool) {
    for number in hosts {
        world.agents.get_mut(&host_id(*number)).unwrap().away = away;
    }
}

fn lost(world: &World, number: usize) -> bool {
    world
        .cluster
        .state
        .host(&host_id(number))
        .unwrap()
        .is_lost()
}

fn on(world: &World, host: &HostId) -> Vec<ReplicaId> {
    world
        .cluster
        .state
        .replicas_on(host)
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn counts_change_without_a_bounce_and_unhappy_replicas_go_first() {
    let mut world = steady(4, 4);
    let id = main_instance();
    world.healthy_most.insert(app_id(&id, 1), 2);
    world
        .cluster
        .set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
    let before = world.running(&app_id(&id, 1));
    world.tick();
    let happy: BTreeSet<ReplicaId> = before.into_iter().take(2).collect();
    assert_eq!(world.running(&app_id(&id, 1)), happy);
    assert!(world.cluster.state.instance(&id).unwrap().bounce.is_none());
    world.healthy_most.clear();
    world
        .cluster
        .set(&id, spec(&id, 1, 6, BounceMethod::Crossover));
    world.until(6, "six are happy", |world| world.is_steady(&id));
    // Some of those that were leaving may have been kept; all the same, nobody is there twice.
    assert_eq!(world.recorded(&id, &app_id(&id, 1)), 6);
}

#[test]
fn a_lost_host_is_replaced_and_leaves_no_surplus_when_it_returns() {
    let mut world = steady(4, 4);
    let id = main_instance();
    let victims = on(&world, &host_id(1));
    assert_eq!(victims.len(), 1);
    away(&mut world, &[1], true);
    world.ticks(2);
    assert!(!lost(&world, 1), "lost before its time");
    world.until(10, "the host is lost", |world| lost(world, 1));
    // In the very plan that declares it lost, its replica is replaced; it is told to stop when the
    // replacement is happy.
    let want = |world: &World| world.cluster.state.replica(victims[0]).unwrap().want;
    assert_eq!(world.recorded(&id, &app_id(&id, 1)), 5);
    assert_eq!(want(&world), Want::Run);
    world.until(5, "four are happy elsewhere", |world| {
        world.view(&id).new.happy == 4
    });
    world.ticks(2);
    assert_eq!(want(&world), Want::Stop);
    away(&mut world, &[1], false);
    world.until(5, "nothing is left on the host", |world| {
        on(world, &host_id(1)).is_empty()
    });
    assert!(world.is_steady(&id));
}

#[test]
fn a_host_that_returns_before_its_replacements_are_happy_goes_on_serving() {
    let mut world = steady(4, 4);
    let id = main_instance();
    let app = app_id(&id, 1);
    let before = world.running(&app);
    // What comes new stays unhealthy.
    world.healthy_most.insert(app.clone(), 4);
    away(&mut world, &[1], true);
    world.until(12, "the host is lost", |world| lost(world, 1));
    world.ticks(3);
    assert_eq!(
        world.running(&app).len(),
        5,
        "four and a replacement on its way"
    );
    away(&mut world, &[1], false);
    world.until(5, "the first four serve", |world| world.is_steady(&id));
    assert_eq!(world.running(&app), before);
    world.ticks(2);
    assert_eq!(world.recorded(&id, &app), 4, "the replacement is gone");
}

#[test]
fn a_lost_replica_without_a_replacement_counts_again_when_its_host_returns() {
    let mut world = steady(3, 3);
    let id = main_instance();
    let full = |version| {
        world::build::with_app(spec(&id, version, 3, BounceMethod::Crossover), |app| {
            app.resources.cpus_milli = 7_000;
        })
    };
    world.cluster.set(&id, full(2));
    world.until(20, "a replica fills each host", |world| {
        world.is_steady(&id)
    });
    let before = world.running(&app_id(&id, 2));
    away(&mut world, &[2], true);
    world.until(12, "the host is lost", |world| lost(world, 2));
    world.ticks(3);
    let waiting = &world.view(&id).waiting;
    let text = waiting
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    assert!(
        text.contains("0 of 3 hosts: 2 lack 7.000 CPUs, 1 lost"),
        "{text}"
    );
    away(&mut world, &[2], false);
    world.until(4, "it is whole again", |world| world.is_steady(&id));
    assert_eq!(world.running(&app_id(&id, 2)), before);
}

#[test]
fn a_lost_hosts_record_expires() {
    let mut world = steady(4, 4);
    away(&mut world, &[1], true);
    world.until(12, "the host is lost", |world| lost(world, 1));
    world.cluster.now = world.now().after_ms(24 * 60 * 60 * 1_000);
    world.tick();
    assert!(world.cluster.state.host(&host_id(1)).is_none());
    assert!(on(&world, &host_id(1)).is_empty());
}

#[test]
fn a_drained_host_is_emptied_one_happy_replacement_at_a_time() {
    let mut world = steady(2, 4);
    let id = main_instance();
    let app = app_id(&id, 1);
    let reason = "new disk".to_owned();
    let drain = DrainHost {
        host: host_id(1),
        reason,
        until: None,
    };
    world.cluster.must(Command::DrainHost(drain));
    // The two replacements come first; while they are not happy, nobody leaves.
    world.healthy_most.insert(app.clone(), 4);
    world.tick();
    assert_eq!(world.running(&app).len(), 6);
    assert_eq!(world.view(&id).new.at_risk, 2);
    world.ticks(2);
    assert_eq!(on(&world, &host_id(1)).len(), 2);
    world.healthy_most.insert(app.clone(), 5);
    world.tick();
    assert_eq!(world.running(&app).len(), 5);
    world.healthy_most.clear();
    world.until(5, "the host is empty", |world| {
        on(world, &host_id(1)).is_empty()
    });
    world.until(3, "four are happy", |world| world.is_steady(&id));
    assert!(matches!(
        world.last.report.hosts[&host_id(1)].trouble,
        HostTrouble::Draining { .. }
    ));
    world
        .cluster
        .must(Command::UndrainHost(UndrainHost { host: host_id(1) }));
    world.tick();
    assert!(world.last.report.hosts.is_empty());
}

#[test]
fn a_maintenance_with_an_end_ends_by_itself() {
    let mut world = steady(3, 3);
    let until = Some(world.now().after_ms(60_000));
    let drain = DrainHost {
        host: host_id(1),
        reason: "reboot".to_owned(),
        until,
    };
    world.cluster.must(Command::DrainHost(drain));
    world.tick();
    assert!(world.last.wake_at.is_some_and(|at| Some(at) <= until));
    world.until(14, "the host takes work again", |world| {
        world
            .cluster
            .state
            .host(&host_id(1))
            .unwrap()
            .maintenance
            .is_none()
    });
}

#[test]
fn many_silent_hosts_are_not_believed_until_an_operator_says_so() {
    let mut world = steady(6, 6);
    let id = main_instance();
    away(&mut world, &[1, 2], true);
    world.ticks(20);
    assert!(!lost(&world, 1) && !lost(&world, 2));
    let brake = world.last.report.brake.clone().unwrap();
    assert_eq!((brake.silent, brake.total), (2, 6));
    assert_eq!(world.recorded(&id, &app_id(&id, 1)), 6);
    assert!(
        world
            .view(&id)
            .waiting
            .iter()
            .any(|w| w.what == Awaited::MassFailureBrake)
    );
    // A version can still be deployed meanwhile, on the hosts that are there.
    world
        .cluster
        .set(&id, spec(&id, 2, 6, BounceMethod::Crossover));
    world.tick();
    assert_eq!(world.running(&app_id(&id, 2)).len(), 6);
    world
        .cluster
        .must(Command::HostLost(HostLost { host: host_id(1) }));
    // One silent host of five is no mass failure any more.
    world.until(12, "both are lost", |world| {
        lost(world, 1) && lost(world, 2)
    });
    world.until(10, "six are happy", |world| world.view(&id).new.happy == 6);
    away(&mut world, &[1, 2], false);
    world.until(8, "all is as wanted", |world| world.is_steady(&id));
}

#[test]
fn hosts_that_come_back_release_the_brake() {
    let mut world = steady(4, 4);
    away(&mut world, &[1, 2, 3], true);
    world.ticks(20);
    assert!(world.last.report.brake.is_some());
    away(&mut world, &[1, 2, 3], false);
    world.ticks(2);
    assert!(world.last.report.brake.is_none());
    assert!(world.is_steady(&main_instance()));
}

#[test]
fn an_election_loses_no_host_before_it_could_have_been_heard_for_a_lease() {
    let mut world = steady(4, 4);
    away(&mut world, &[1], true);
    world.ticks(3);
    world.elect();
    // Without any patience beyond the lease, only the election is a reason to wait.
    world.observed.settings.lost_after_ms = 0;
    let settings = world.observed.settings;
    let patience = world.observed.patience_until();
    let reached_late = settings.lease_ms + settings.reconnect_ms;
    assert_eq!(
        patience,
        world.now().after_ms(reached_late + settings.lease_ms)
    );
    while world.now() < patience {
        assert!(!lost(&world, 1));
        world.tick();
    }
    assert!(lost(&world, 1), "lost when the patience ends");
}

/// Found by the properties: the replacement of a replica whose host was to be drained after all
/// came while another host was silent.
#[test]
fn of_too_many_the_one_that_starts_goes_before_one_that_may_serve() {
    let mut world = steady(5, 5);
    let id = main_instance();
    away(&mut world, &[1], true);
    let silent = on(&world, &host_id(1))[0];
    world.until(10, "its host is silent", |world| {
        world.view(&id).new.unknown == 1
    });
    let (host, reason) = (host_id(5), String::new());
    let until = None;
    world.cluster.must(Command::DrainHost(DrainHost {
        host: host.clone(),
        reason,
        until,
    }));
    world.plan();
    assert_eq!(world.recorded(&id, &app_id(&id, 1)), 6, "one was placed");
    world
        .cluster
        .must(Command::UndrainHost(UndrainHost { host }));
    world.plan();
    let kept = world.running(&app_id(&id, 1));
    assert!(kept.len() == 5 && kept.contains(&silent), "{kept:?}");
}

/// The world checks with each plan that looking only at what changed says the same: when the brake
/// comes off, that concerns instances about which nothing else changed.
#[test]
fn what_was_removed_under_the_brake_leaves_when_it_comes_off() {
    let mut world = World::new(5);
    let id = main_instance();
    away(&mut world, &[1, 2], true);
    world
        .cluster
        .set(&id, spec(&id, 1, 3, BounceMethod::Brutal));
    world.until(12, "the brake is on, and all run elsewhere", |world| {
        world.last.report.brake.is_some() && world.is_steady(&id)
    });
    let ids = BTreeSet::from([id.clone()]);
    let remove = RemoveInstances {
        ids,
        force: true,
        rule: None,
    };
    world.cluster.must(Command::RemoveInstances(remove));
    world.ticks(5);
    assert_eq!(world.recorded(&id, &app_id(&id, 1)), 3, "the brake is on");
    away(&mut world, &[1], false);
    world.until(5, "nothing is left", |world| {
        world.cluster.state.instance(&id).is_none()
    });
}

#[test]
fn under_the_brake_what_was_lost_before_is_not_replaced_either() {
    let mut world = World::new(6);
    let id = main_instance();
    let unique = world::build::with_app(spec(&id, 1, 6, BounceMethod::Crossover), |app| {
        let on_each = world::build::constraint("hostname", Operator::Unique, None);
        app.constraints = vec![on_each];
    });
    world.cluster.set(&id, unique);
    world.until(5, "one on each host", |world| world.is_steady(&id));
    away(&mut world, &[1], true);
    world.until(12, "the host is lost", |world| lost(world, 1));
    away(&mut world, &[2, 3], true);
    world.until(12, "the brake is on", |world| {
        world.last.report.brake.is_some()
    });
    let newcomer = world::build::host(7);
    world.agents.insert(host_id(7), Agent::default());
    world.cluster.must(world::build::register(newcomer));
    world.ticks(2);
    assert!(on(&world, &host_id(7)).is_empty());
    away(&mut world, &[2, 3], false);
    world.until(4, "it is replaced", |world| {
        on(world, &host_id(7)).len() == 1
    });
}

#[test]
fn nothing_new_comes_to_a_host_whose_runtime_hangs_and_nothing_leaves_it() {
    let mut world = steady(2, 2);
    let id = main_instance();
    world.agents.get_mut(&host_id(1)).unwrap().runtime_degraded = true;
    world
        .cluster
        .set(&id, spec(&id, 1, 4, BounceMethod::Crossover));
    world.ticks(3);
    assert_eq!(
        (on(&world, &host_id(1)).len(), on(&world, &host_id(2)).len()),
        (1, 3)
    );
}

/// The disk of dockerd on host 1 fills up, or has room again.
fn fill_docker_disk(world: &mut World, full: bool) {
    let agent = world.agents.get_mut(&host_id(1)).unwrap();
    agent.runtime_degraded = full;
    agent.degraded_part = HostPart::DockerDisk;
}

#[test]
fn nothing_new_comes_to_a_host_whose_docker_disk_is_nearly_full_until_it_has_room() {
    let mut world = steady(2, 2);
    let id = main_instance();
    fill_docker_disk(&mut world, true);
    let wish = |world: &mut World, count| {
        let spec = spec(&id, 1, count, BounceMethod::Crossover);
        world.cluster.set(&id, spec);
        world.ticks(3);
        (on(world, &host_id(1)).len(), on(world, &host_id(2)).len())
    };
    assert_eq!(wish(&mut world, 4), (1, 3));
    fill_docker_disk(&mut world, false);
    world.ticks(1);
    assert_eq!(wish(&mut world, 6), (3, 3));
}

#[test]
fn a_bounce_does_not_wait_for_a_host_whose_docker_disk_is_nearly_full() {
    for method in [
        BounceMethod::Crossover,
        BounceMethod::UpThenDown,
        BounceMethod::Brutal,
        BounceMethod::DownThenUp,
    ] {
        let mut world = World::new(2);
        let id = main_instance();
        world.cluster.set(&id, spec(&id, 1, 2, method));
        world.until(5, "all replicas are happy", |world| world.is_steady(&id));
        assert_eq!(on(&world, &host_id(1)).len(), 1, "{method:?}");
        fill_docker_disk(&mut world, true);
        world.cluster.set(&id, spec(&id, 2, 2, method));
        world.until(20, "the new version is happy", |world| world.is_steady(&id));
        assert_eq!(
            (on(&world, &host_id(1)).len(), on(&world, &host_id(2)).len()),
            (0, 2),
            "{method:?}"
        );
    }
}

fn remove(world: &mut World, ids: &[InstanceId], force: bool) -> Outcome {
    let ids = ids.iter().cloned().collect();
    world
        .cluster
        .apply(Command::RemoveInstances(RemoveInstances {
            ids,
            force,
            rule: None,
        }))
}

#[test]
fn undeclared_instances_are_drained_and_dropped_unless_they_are_most() {
    let mut world = World::new(4);
    let ids: Vec<InstanceId> = ["a.main", "b.main", "c.main"]
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    for id in &ids {
        world
            .cluster
            .set(id, spec(id, 1, 2, BounceMethod::UpThenDown));
    }
    world.until(6, "all run", |world| {
        ids.iter().all(|id| world.is_steady(id))
    });
    assert!(matches!(
        remove(&mut world, &ids, false),
        Outcome::Refused(_)
    ));
    world.ticks(3);
    assert_eq!(world.cluster.state.replica_count(), 6);
    assert_eq!(remove(&mut world, &ids[..1], false), Outcome::Applied);
    world.until(6, "one is dropped", |world| {
        world.cluster.state.instance(&ids[0]).is_none()
    });
    assert_eq!(world.cluster.state.replica_count(), 4);
    assert_eq!(remove(&mut world, &ids, true), Outcome::Applied);
    world.until(6, "all are dropped", |world| {
        world.cluster.state.instances().len() == 0
    });
    assert_eq!(
        (
            world.cluster.state.replica_count(),
            world.cluster.state.apps().len()
        ),
        (0, 0)
    );
}

#[test]
fn an_undeclared_instance_can_be_declared_again_while_it_drains() {
    let mut world = World::new(4);
    let ids: Vec<InstanceId> = ["a.main", "b.main"]
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    for id in &ids {
        world
            .cluster
            .set(id, spec(id, 1, 2, BounceMethod::UpThenDown));
    }
    world.until(6, "all run", |world| {
        ids.iter().all(|id| world.is_steady(id))
    });
    world.drain_ms = None;
    let before = world.running(&app_id(&ids[0], 1));
    remove(&mut world, &ids[..1], false);
    world.tick();
    assert!(world.running(&app_id(&ids[0], 1)).is_empty());
    world
        .cluster
        .set(&ids[0], spec(&ids[0], 1, 2, BounceMethod::UpThenDown));
    world.tick();
    assert_eq!(world.running(&app_id(&ids[0], 1)), before);
}

#[test]
fn a_replica_is_not_forgotten_before_its_host_knows_that_it_should_stop() {
    let mut world = steady(1, 1);
    let id = main_instance();
    world
        .cluster
        .set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
    world.tick();
    // The second replica was placed, but its host has not heard of it; now it is not wanted.
    world
        .cluster
        .set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
    world.plan();
    let stopping = |world: &World| {
        let replicas = world.cluster.state.replicas_of(&id);
        replicas
            .filter(|(_, replica)| replica.want == Want::Stop)
            .count()
    };
    assert_eq!(stopping(&world), 1);
    let kept = world.plan();
    assert!(kept.is_empty(), "{kept:?}");
    world.tick();
    assert_eq!(world.cluster.state.replica_count(), 1);
}

#[test]
fn youth_delays_happiness_and_says_until_when() {
    let mut world = World::new(2);
    let id = main_instance();
    let mut slow = spec(&id, 1, 2, BounceMethod::UpThenDown);
    slow.bounce.min_task_uptime_ms = 60_000;
    world.cluster.set(&id, slow);
    world.ticks(2);
    let view = world.view(&id).clone();
    assert!(
        view.replicas
            .iter()
            .all(|replica| replica.class == Class::Starting)
    );
    assert!(world.last.wake_at.is_some());
    world.until(14, "a minute has passed", |world| world.is_steady(&id));
}

#[test]
fn what_fails_again_and_again_on_one_host_moves_to_another() {
    let mut world = steady(4, 3);
    let id = main_instance();
    let used: Vec<usize> = (1..=4)
        .filter(|number| !on(&world, &host_id(*number)).is_empty())
        .collect();
    let victim = on(&world, &host_id(used[0]))[0];
    world.agents.get_mut(&host_id(used[0])).unwrap().broken = true;
    world.tick();
    world.until(5, "three are happy elsewhere", |world| world.is_steady(&id));
    assert!(world.cluster.state.replica(victim).is_none());
    assert!(on(&world, &host_id(used[0])).is_empty());
    // Where nothing is happy the app is to blame, and moving it would help nobody.
    for number in 1..=4 {
        world.agents.get_mut(&host_id(number)).unwrap().broken = true;
    }
    let before = world.running(&app_id(&id, 1));
    world.ticks(5);
    assert_eq!(world.running(&app_id(&id, 1)), before);
}

#[test]
fn what_fails_everywhere_does_not_go_round_the_hosts() {
    let mut world = steady(5, 3);
    let id = main_instance();
    let used = |world: &World| -> Vec<usize> {
        (1..=5)
            .filter(|number| !on(world, &host_id(*number)).is_empty())
            .collect()
    };
    let well: Vec<usize> = used(&world)[1..].to_vec();
    for number in (1..=5).filter(|number| !well.contains(number)) {
        world.agents.get_mut(&host_id(number)).unwrap().broken = true;
    }
    let first = world.cluster.state.next_replica();
    world.ticks(100);
    // Each has to fail twice as often as all before it: 9, 18, and 36 takes more than its nine.
    let moved = world.cluster.state.next_replica().0 - first.0;
    assert_eq!(moved, 2);
    let ids = world.cluster.state.replicas_of(&id);
    let last = ids.map(|(_, replica)| replica.tried.failures).max();
    assert_eq!(last, Some(18), "its delays go on from there");
}

#[test]
fn two_that_fail_in_turn_do_not_keep_each_other_where_they_are() {
    let mut world = steady(5, 3);
    let id = main_instance();
    let used: Vec<usize> = (1..=5)
        .filter(|number| !on(&world, &host_id(*number)).is_empty())
        .collect();
    for number in &used[..2] {
        world.agents.get_mut(&host_id(*number)).unwrap().broken = true;
    }
    // One of the two is always on its way up again when the other one waits.
    world.agents.get_mut(&host_id(used[1])).unwrap().trying = true;
    world.until(10, "the waiting one has moved", |world| {
        on(world, &host_id(used[0])).is_empty()
    });
    // Both stay broken: where the one failed the other one does not go.
    let first = world.cluster.state.next_replica();
    let other = world.agents.get_mut(&host_id(used[1])).unwrap();
    other.trying = false;
    world.until(10, "both have moved", |world| world.is_steady(&id));
    assert_eq!(world.cluster.state.next_replica().0 - first.0, 1);
    for number in &used[..2] {
        assert_eq!(on(&world, &host_id(*number)), []);
    }
}
