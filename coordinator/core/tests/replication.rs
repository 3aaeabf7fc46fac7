//! The replication check, alarms, and emptying hosts, in a pretended cluster.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::sync::Arc;

use paasta_common::{
    id::InstanceId,
    spec::{BounceMethod, DesiredState},
};
use paasta_coordinator_core::{
    plan::{
        alarm::Watch,
        brake::silent_hosts,
        maintenance::{Emptying, Standing, emptying},
        replication::{Checker, Replication, Verdict},
    },
    state::{
        command::{Command, DrainHost, ReleaseBrake, RemoveInstances},
        event::EventKind,
    },
};
use world::{
    TICK_MS, World,
    build::{app_id, host_id, main_instance, spec},
};

const AFTER_MS: u64 = 60_000;

fn set(world: &mut World, instances: u32, location: Option<&str>, threshold: u32) {
    let id = main_instance();
    let mut wish = spec(&id, 1, instances, BounceMethod::Crossover);
    wish.monitoring.location = location.map(str::to_owned);
    wish.replication_threshold = threshold;
    world.cluster.set(&id, wish);
    world.until(20, "all are happy", |world| world.is_steady(&id));
}

fn check(world: &World, id: &InstanceId) -> Replication {
    let mut checker = Checker::new(&world.cluster.state, &world.last.report);
    checker.check(id).expect("it is declared")
}

/// Of `instances` replicas only the first `happy` are well.
fn only(world: &mut World, happy: usize) {
    world
        .healthy_most
        .insert(app_id(&main_instance(), 1), happy);
    world.tick();
}

#[test]
fn critical_is_strictly_below_the_threshold() {
    let mut world = World::new(4);
    set(&mut world, 4, None, 50);
    for (happy, verdict, percent) in [
        (4, Verdict::Ok, 100),
        (2, Verdict::Ok, 50),
        (1, Verdict::Critical, 25),
        (0, Verdict::Critical, 0),
    ] {
        only(&mut world, happy);
        let found = check(&world, &main_instance());
        assert_eq!(
            (found.verdict, found.whole.percent()),
            (verdict, percent),
            "{found}"
        );
        assert_eq!(found.locations.len(), 0);
    }
}

#[test]
fn each_location_is_judged_and_named() {
    let mut world = World::new(4);
    set(&mut world, 4, Some("region"), 60);
    let found = check(&world, &main_instance());
    assert_eq!(found.verdict, Verdict::Ok);
    let shares: Vec<_> = found
        .locations
        .iter()
        .map(|(n, s)| (n.as_str(), s.available, s.expected))
        .collect();
    assert_eq!(shares, [("east", 2, 2), ("west", 2, 2)]);
    // One in the east falls ill: three of four is fine, one of two is not.
    let ill = world
        .cluster
        .state
        .replicas_on(&host_id(1))
        .map(|(id, _)| id)
        .next();
    let instances = &mut world.last.report.instances;
    let report = instances.get_mut(&main_instance()).expect("planned");
    Arc::make_mut(report)
        .replicas
        .iter_mut()
        .filter(|replica| Some(replica.id) == ill)
        .for_each(|replica| replica.class = paasta_coordinator_core::plan::class::Class::Unhappy);
    let found = check(&world, &main_instance());
    assert_eq!(found.verdict, Verdict::Critical);
    assert!(found.is_short_in("east") && !found.is_short_in("west"));
    let text = found.to_string();
    for line in [
        "- Service hello.main has 3 out of 4 expected instances in the whole cluster (OK: 75%)\n",
        "- Service hello.main has 1 out of 2 expected instances in east (CRITICAL: 50%)\n",
        "- Service hello.main has 2 out of 2 expected instances in west (OK: 100%)\n",
        "`paasta why hello.main`",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(
        found.summary(),
        "CRITICAL: 3 of 4 replicas available, 1 of 2 in east (threshold 60%)"
    );
}

#[test]
fn rounding_hides_no_lack() {
    // Fewer replicas than locations: each location may be without, the whole may not.
    let mut world = World::new(4);
    set(&mut world, 1, Some("region"), 50);
    assert_eq!(check(&world, &main_instance()).verdict, Verdict::Ok);
    only(&mut world, 0);
    assert_eq!(check(&world, &main_instance()).verdict, Verdict::Critical);
    // Five over two locations: 2 and 2 are what each must have, and five is what all must have.
    let mut world = World::new(4);
    set(&mut world, 5, Some("region"), 90);
    let found = check(&world, &main_instance());
    assert_eq!(
        found.verdict,
        Verdict::Ok,
        "an uneven spread is no lack: {found}"
    );
    only(&mut world, 4);
    assert_eq!(check(&world, &main_instance()).verdict, Verdict::Critical);
}

#[test]
fn nothing_is_expected_of_what_is_stopped_and_names_are_exact() {
    let mut world = World::new(4);
    let longer: InstanceId = "hello.main2".parse().expect("an id");
    world
        .cluster
        .set(&longer, spec(&longer, 1, 3, BounceMethod::Crossover));
    set(&mut world, 3, None, 50);
    only(&mut world, 0);
    let found = check(&world, &main_instance());
    assert_eq!(
        (found.verdict, found.whole.available),
        (Verdict::Critical, 0)
    );
    assert_eq!(check(&world, &longer).whole.available, 3);
    let mut stopped = spec(&main_instance(), 1, 3, BounceMethod::Crossover);
    stopped.desired_state = DesiredState::Stop;
    world.cluster.set(&main_instance(), stopped);
    world.tick();
    let found = check(&world, &main_instance());
    assert_eq!(
        (found.verdict, found.whole.expected, found.whole.percent()),
        (Verdict::Ok, 0, 100)
    );
}

#[test]
fn no_host_for_it_is_critical_and_a_lost_location_still_counts() {
    let mut world = World::new(4);
    let elsewhere: InstanceId = "gpu.main".parse().expect("an id");
    let wish = world::build::with_app(spec(&elsewhere, 1, 1, BounceMethod::Crossover), |app| {
        app.pool = "gpu".to_owned();
    });
    world.cluster.set(&elsewhere, wish);
    set(&mut world, 4, Some("region"), 50);
    let found = check(&world, &elsewhere);
    assert!(
        found.nowhere && found.verdict == Verdict::Critical,
        "{found}"
    );
    for number in [2, 4] {
        world.agents.get_mut(&host_id(number)).expect("a host").away = true;
    }
    world.until(10, "they are silent", |world| silent(world) == 2);
    let hosts = [2, 4].map(host_id).into();
    world
        .cluster
        .must(Command::ReleaseBrake(ReleaseBrake { hosts }));
    let id = main_instance();
    world.until(10, "all are replaced", |world| {
        world.view(&id).new.happy == 4
    });
    let found = check(&world, &id);
    assert_eq!(found.verdict, Verdict::Critical);
    assert!(
        found.is_short_in("west") && !found.is_short_in("east"),
        "{found}"
    );
}

#[test]
fn a_new_leader_raises_no_alarm_before_everybody_spoke() {
    let mut world = World::new(4);
    set(&mut world, 4, None, 90);
    world.elect();
    world.plan();
    assert_eq!(check(&world, &main_instance()).verdict, Verdict::Unknown);
    let mut watch = Watch::default();
    assert_eq!(look(&mut world, &mut watch), 0);
    world.ticks(2);
    assert_eq!(check(&world, &main_instance()).verdict, Verdict::Ok);
}

/// Looks once and applies what comes of it. Says how many alarms changed.
fn look(world: &mut World, watch: &mut Watch) -> usize {
    let commands = watch.look(
        &world.cluster.state,
        &world.last.report,
        world.now(),
        AFTER_MS,
    );
    let count = commands.len();
    for command in commands {
        world.cluster.must(command);
    }
    count
}

fn alarms(world: &World) -> Vec<String> {
    let events = world.cluster.state.events();
    events
        .filter(|event| event.kind == EventKind::Alert)
        .map(|event| event.text.clone())
        .collect()
}

#[test]
fn an_alarm_needs_patience_and_is_raised_and_cleared_once() {
    let mut world = World::new(4);
    set(&mut world, 4, None, 50);
    let mut watch = Watch::default();
    only(&mut world, 1);
    // A dip shorter than the patience is not told of, nor does it count for the next one.
    for _ in 0..6 {
        assert_eq!(look(&mut world, &mut watch), 0);
        world.tick();
    }
    only(&mut world, 4);
    assert_eq!(look(&mut world, &mut watch), 0);
    only(&mut world, 1);
    let begun = world.now();
    while world.now().since_ms(begun) < AFTER_MS {
        assert_eq!(look(&mut world, &mut watch), 0, "too early");
        world.tick();
    }
    assert_eq!(look(&mut world, &mut watch), 1);
    for _ in 0..3 {
        world.tick();
        assert_eq!(look(&mut world, &mut watch), 0, "said once");
    }
    // A new leader knows that it was said.
    watch = Watch::default();
    for _ in 0..30 {
        world.tick();
        assert_eq!(look(&mut world, &mut watch), 0);
    }
    only(&mut world, 4);
    assert_eq!(
        look(&mut world, &mut watch),
        0,
        "one good look is not enough"
    );
    world.tick();
    assert_eq!(look(&mut world, &mut watch), 1);
    let said = alarms(&world);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("CRITICAL: 1 of 4") && said[1].starts_with("OK: 4 of 4"),
        "{said:?}"
    );
}

#[test]
fn removal_ends_an_alarm() {
    let mut world = World::new(4);
    set(&mut world, 2, None, 90);
    let id = main_instance();
    world.cluster.set(&id, {
        let mut hasty = world.cluster.state.instance(&id).expect("set").spec.clone();
        hasty.monitoring.alert_after_ms = Some(0);
        hasty
    });
    let mut watch = Watch::default();
    only(&mut world, 0);
    assert_eq!(look(&mut world, &mut watch), 0, "two looks must agree");
    assert_eq!(look(&mut world, &mut watch), 1);
    let ids = [id].into();
    world
        .cluster
        .must(Command::RemoveInstances(RemoveInstances {
            ids,
            force: true,
            rule: None,
        }));
    assert_eq!(look(&mut world, &mut watch), 1);
    assert_eq!(look(&mut world, &mut watch), 0);
    assert!(
        alarms(&world)[1].starts_with("OK: no longer declared"),
        "{:?}",
        alarms(&world)
    );
}

fn drain(world: &mut World, number: usize) {
    let reason = "new disk".to_owned();
    let drain = DrainHost {
        host: host_id(number),
        reason,
        until: None,
    };
    world.cluster.must(Command::DrainHost(drain));
}

fn emptied(world: &World, number: usize) -> Emptying {
    let (state, report) = (&world.cluster.state, &world.last.report);
    emptying(
        state,
        &world.observed,
        report,
        &host_id(number),
        world.now(),
    )
    .expect("registered")
}

#[test]
fn a_host_is_safe_when_it_is_empty_and_says_what_it_waits_for() {
    let mut world = World::new(3);
    set(&mut world, 3, None, 50);
    let before = emptied(&world, 1);
    assert_eq!((before.standing, before.is_safe()), (Standing::Up, false));
    drain(&mut world, 1);
    world.healthy_most.insert(app_id(&main_instance(), 1), 3);
    world.ticks(2);
    let during = emptied(&world, 1);
    assert_eq!(
        (during.standing, during.is_safe(), during.leaving.len()),
        (Standing::Draining, false, 1)
    );
    let waits = &during.leaving[0].waits_for;
    assert!(
        waits.contains("a happy replacement") && waits.contains("to become happy"),
        "{waits}"
    );
    world.healthy_most.clear();
    world.until(6, "it is empty", |world| emptied(world, 1).is_safe());
    assert_eq!(emptied(&world, 1).to_string(), "empty: safe to stop");
    world.agents.get_mut(&host_id(1)).expect("a host").away = true;
    world.until(6, "it is silent", |world| silent(world) == 1);
    assert!(!emptied(&world, 1).is_safe());
}

#[test]
fn a_drain_moves_a_bounded_part_of_an_instance_at_a_time() {
    let mut world = World::new(6);
    set(&mut world, 24, None, 50);
    let (id, app) = (main_instance(), app_id(&main_instance(), 1));
    world.healthy_most.insert(app.clone(), 24);
    for number in [1, 2, 3] {
        drain(&mut world, number);
    }
    world.ticks(4);
    // A quarter of 24, and no more while they are not happy.
    assert_eq!(world.running(&app).len(), 24 + 6);
    world.healthy_most.clear();
    let mut most = 0;
    while !(1..=3).all(|number| emptied(&world, number).is_safe()) {
        world.tick();
        let moving = world.view(&id).new;
        most = most.max(moving.starting + moving.draining);
        assert!(moving.happy + moving.at_risk >= 24, "{moving:?}");
        assert!(world.now().0 < 1_000_000 + 200 * TICK_MS, "it never ends");
    }
    assert!(most <= 6, "{most} replicas moved at once");
    world.until(3, "all is as wanted", |world| world.is_steady(&id));
}

fn silent(world: &World) -> usize {
    silent_hosts(&world.cluster.state, &world.observed, world.now()).len()
}

#[test]
fn a_released_brake_replaces_what_silent_hosts_ran() {
    let mut world = World::new(4);
    set(&mut world, 4, None, 50);
    for number in [1, 2, 3] {
        world.agents.get_mut(&host_id(number)).expect("a host").away = true;
    }
    world.ticks(20);
    assert!(world.last.report.brake.is_some());
    let hosts = silent_hosts(&world.cluster.state, &world.observed, world.now());
    assert_eq!(
        hosts.iter().map(|host| host.replicas).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert!(
        hosts
            .iter()
            .all(|host| host.last_seen.is_some_and(|at| at < world.now()))
    );
    let hosts = hosts.into_iter().map(|host| host.host).collect();
    world
        .cluster
        .must(Command::ReleaseBrake(ReleaseBrake { hosts }));
    world.tick();
    assert!(world.last.report.brake.is_none());
    world.until(6, "all are replaced", |world| {
        world.view(&main_instance()).new.happy == 4
    });
    assert_eq!(silent(&world), 0);
}
