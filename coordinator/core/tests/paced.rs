//! A change that touches many instances bounces a few of them at a time, deploys go before it, and
//! what it breaks stops it.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::collections::BTreeSet;

use paasta_common::{
    app::Volume,
    id::{AppId, InstanceId},
    spec::{BounceMethod, InstanceSpec},
};
use paasta_coordinator_core::{
    plan::{pace::at_once, report::Awaited},
    state::{
        command::{Command, Extent, RollBack, SetInstance, SetOverride},
        overrides::OverrideKind,
    },
};
use world::{
    World,
    build::{app_id, resources, spec, with_app},
};

fn ids(count: usize) -> Vec<InstanceId> {
    (0..count)
        .map(|number| format!("s{number}.main").parse().unwrap())
        .collect()
}

fn small(id: &InstanceId, version: u32) -> InstanceSpec {
    with_app(spec(id, version, 1, BounceMethod::Crossover), |app| {
        app.resources = resources(100, 64);
    })
}

/// The same version with one more volume.
fn mounted(id: &InstanceId, version: u32) -> InstanceSpec {
    let git = format!("{version:08x}");
    InstanceSpec {
        app_id: AppId::compose(id, &git, "00000002").unwrap(),
        ..with_app(small(id, version), |app| {
            app.volumes = vec![Volume {
                container_path: "/etc/ssl".to_owned(),
                host_path: "/etc/ssl".to_owned(),
                read_only: true,
            }];
        })
    }
}

fn change(world: &mut World, id: &InstanceId, spec: InstanceSpec, extent: Extent) {
    world.cluster.must(Command::SetInstance(SetInstance {
        id: id.clone(),
        spec: Box::new(spec),
        cause: Default::default(),
        extent,
    }));
}

/// So many instances that run, wholly happy.
fn running(hosts: usize, count: usize) -> (World, Vec<InstanceId>) {
    let mut world = World::new(hosts);
    let all = ids(count);
    for id in &all {
        world.cluster.set(id, small(id, 1));
    }
    world.until(10, "all run", |world| {
        all.iter().all(|id| world.is_steady(id))
    });
    (world, all)
}

fn going(world: &World) -> usize {
    let paced = world.cluster.state.paced().values();
    paced.filter(|one| one.going).count()
}

/// Ticks until the instance is steady; looks at every plan on the way.
fn ticks_until(world: &mut World, id: &InstanceId, look: impl Fn(&World)) -> usize {
    for ticks in 0..40 {
        if world.is_steady(id) {
            return ticks;
        }
        world.tick();
        look(world);
    }
    panic!("{id} is not steady: {:?}", world.view(id));
}

#[test]
fn a_deploy_takes_its_usual_time_while_three_hundred_instances_get_a_volume() {
    let (mut world, all) = running(12, 300);
    world.cluster.set(&all[0], small(&all[0], 2));
    let usual = ticks_until(&mut world, &all[0], |_| {});
    assert!(usual > 1, "a bounce takes time");

    for (at, id) in all.iter().enumerate() {
        let version = if at == 0 { 2 } else { 1 };
        change(&mut world, id, mounted(id, version), Extent::Settings);
    }
    assert_eq!(at_once(&world.cluster.state, 10), 30);
    world.plan();
    assert_eq!(going(&world), 30);
    let last = &all[299];
    let view = world.view(last).clone();
    let turn = view
        .waiting
        .iter()
        .find(|on| matches!(on.what, Awaited::Turn(_)));
    let turn = turn.expect("it is said why");
    assert!(turn.deadline.is_some_and(|at| at > world.now()), "{turn:?}");
    assert!(
        turn.to_string()
            .contains("30 bounce now, at most 30 at once"),
        "{turn}"
    );

    // Deployed last, of an instance whose turn is far away.
    world.cluster.set(last, mounted(last, 2));
    let paced = |world: &World| {
        assert!(going(world) <= 30, "{} bounce at once", going(world));
    };
    let took = ticks_until(&mut world, last, paced);
    assert!(took <= usual, "{took} ticks instead of {usual}");
    assert!(going(&world) > 0, "the change is not through yet");
    world.until(120, "all are through", |world| {
        paced(world);
        world.cluster.state.paced().is_empty() && all.iter().all(|id| world.is_steady(id))
    });
    let mounted = |id: &InstanceId| {
        let desired = world.cluster.state.instance(id).unwrap().desired_app();
        let app = &world.cluster.state.app(desired).unwrap().spec;
        app.volumes.len() == 1
    };
    assert!(all.iter().all(mounted));
}

#[test]
fn two_of_five_instances_bounce_at_once() {
    let (mut world, all) = running(2, 5);
    assert_eq!(at_once(&world.cluster.state, 10), 2);
    for id in &all {
        change(&mut world, id, mounted(id, 1), Extent::Settings);
    }
    world.plan();
    assert_eq!(going(&world), 2);
    for id in &all {
        ticks_until(&mut world, id, |world| assert!(going(world) <= 2));
    }
}

#[test]
fn what_a_change_breaks_stops_it() {
    let (mut world, all) = running(4, 40);
    let most = at_once(&world.cluster.state, 10);
    assert_eq!(most, 4);
    for id in &all {
        let mut broken = mounted(id, 1);
        broken.bounce.progress_deadline_ms = 20_000;
        world.healthy_most.insert(broken.app_id.clone(), 0);
        change(&mut world, id, broken, Extent::Many);
    }
    for _ in 0..60 {
        world.tick();
        let touched = all.iter().filter(|id| {
            let new = mounted(id, 1).app_id;
            world.recorded(id, &new) > 0
        });
        assert!(touched.count() <= most);
        let serving = |id: &&InstanceId| world.running(&app_id(id, 1)).len() == 1;
        assert_eq!(all.iter().filter(serving).count(), 40, "the old ones serve");
    }
    let stuck = world
        .view(&all[39])
        .waiting
        .iter()
        .find(|on| matches!(on.what, Awaited::Turn(turns) if turns.stuck == 4));
    let text = stuck.expect("it is said").to_string();
    assert!(text.contains("paasta bounce status"), "{text}");
    // Mended by a version of their own: each deploys at once.
    for id in &all {
        world.cluster.set(id, small(id, 2));
    }
    world.until(20, "all are steady", |world| {
        all.iter().all(|id| world.is_steady(id))
    });
    assert!(world.cluster.state.paced().is_empty());
}

#[test]
fn settings_leave_what_an_operator_asked_for() {
    let (mut world, all) = running(4, 6);
    let [stopped, reverted, own, empty, ..] = &all[..] else {
        panic!("six")
    };
    let stop = |id: &InstanceId| {
        Command::SetOverride(SetOverride {
            instance: id.clone(),
            kind: Some(OverrideKind::Stop),
            only: None,
        })
    };
    for id in [stopped, own, empty] {
        world.cluster.must(stop(id));
    }
    world.cluster.set(reverted, small(reverted, 2));
    world.until(10, "the second version runs", |world| {
        world.is_steady(reverted)
    });
    world.cluster.set(reverted, small(reverted, 3));
    world.until(10, "the third version runs", |world| {
        world.is_steady(reverted)
    });
    let back = app_id(reverted, 3);
    world.cluster.set(reverted, small(reverted, 4));
    world.cluster.must(Command::RollBack(RollBack {
        instance: reverted.clone(),
        app: Some(back.clone()),
        reason: "the fourth is slow".to_owned(),
    }));
    world.until(10, "it is back", |world| world.is_steady(reverted));
    for id in &all {
        let version = if id == reverted { 4 } else { 1 };
        let extent = if id == own {
            Extent::Own
        } else {
            Extent::Settings
        };
        change(&mut world, id, mounted(id, version), extent);
    }
    world.until(40, "all are through", |world| {
        world.cluster.state.paced().is_empty() && all.iter().all(|id| world.is_steady(id))
    });
    let wanted = |id: &InstanceId| world.cluster.state.instance(id).unwrap().wanted();
    assert_eq!(
        (wanted(stopped), wanted(own)),
        (0, 1),
        "its own change ends an override"
    );
    let reverted = world.cluster.state.instance(reverted).unwrap();
    assert_eq!(*reverted.desired_app(), back);
}

#[test]
fn a_change_that_is_taken_back_bounces_nothing_more() {
    let (mut world, all) = running(4, 40);
    for id in &all {
        change(&mut world, id, mounted(id, 1), Extent::Many);
    }
    world.plan();
    let gone: BTreeSet<InstanceId> = {
        let paced = world.cluster.state.paced().iter();
        paced
            .filter(|(_, one)| one.going)
            .map(|(id, _)| id.clone())
            .collect()
    };
    assert_eq!(gone.len(), 4);
    // The leader dies in between.
    world.elect();
    for id in &all {
        change(&mut world, id, small(id, 1), Extent::Many);
    }
    world.until(40, "all are steady", |world| {
        world.cluster.state.paced().is_empty() && all.iter().all(|id| world.is_steady(id))
    });
    let events = world.cluster.state.events();
    let turns = events.filter(|one| one.text.contains("its turn to bounce"));
    assert_eq!(turns.count(), 4);
}
