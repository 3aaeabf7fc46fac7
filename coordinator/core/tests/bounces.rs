//! The bounce scenarios that PaaSTA's own acceptance tests tell, one tick at a time, and what must
//! happen when a bounce is stuck, goes back, or is overtaken.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use paasta_common::{
    assignment::Want,
    id::AppId,
    spec::{BounceMethod, DesiredState, InstanceSpec, Margin, OnDeadline},
};
use paasta_coordinator_core::{
    plan::report::Awaited,
    state::{
        bounce::BouncePhase,
        command::{Command, ForceBounce, ResumeBounce, RollBack},
        event::EventKind,
    },
};
use world::{
    TICK_MS, World,
    build::{app_id, main_instance, resources, spec, with_app},
};

struct Bounced {
    world: World,
    old: AppId,
    new: AppId,
}

/// Version 1 runs with two happy replicas; version 2 is desired, and none of it will be healthy.
fn bounced(method: BounceMethod) -> Bounced {
    // The method `down` brings nothing, so the first version comes by another.
    let first = if method == BounceMethod::Down {
        BounceMethod::Brutal
    } else {
        method
    };
    bounced_from(
        spec(&main_instance(), 1, 2, first),
        spec(&main_instance(), 2, 2, method),
    )
}

fn bounced_from(before: InstanceSpec, after: InstanceSpec) -> Bounced {
    let mut world = World::new(4);
    let id = main_instance();
    let (old, new) = (before.app_id.clone(), after.app_id.clone());
    world.cluster.set(&id, before);
    world.until(5, "the first version is happy", |world| {
        world.is_steady(&id)
    });
    world.healthy_most.insert(new.clone(), 0);
    world.cluster.set(&id, after);
    Bounced { world, old, new }
}

impl Bounced {
    fn tick(&mut self) -> (usize, usize) {
        self.world.tick();
        (
            self.running(&self.old.clone()),
            self.running(&self.new.clone()),
        )
    }

    fn running(&self, app: &AppId) -> usize {
        match self.world.cluster.state.app(app) {
            Some(_) => self.world.running(app).len(),
            None => 0,
        }
    }

    fn healthy(&mut self, most: usize) {
        self.world.healthy_most.insert(self.new.clone(), most);
    }

    fn finish(&mut self) {
        let id = main_instance();
        self.world
            .until(12, "the bounce ends", |world| world.is_steady(&id));
        assert!(self.world.cluster.state.app(&self.new).is_some());
        let bounce = |kind: EventKind| kind == EventKind::Bounce;
        let last = self
            .world
            .cluster
            .state
            .events()
            .rfind(|event| bounce(event.kind))
            .unwrap();
        assert!(last.text.contains("finished"), "{}", last.text);
    }
}

#[test]
fn upthendown_keeps_the_old_app_until_all_of_the_new_is_happy() {
    let mut it = bounced(BounceMethod::UpThenDown);
    assert_eq!(it.tick(), (2, 2));
    it.healthy(1);
    assert_eq!(it.tick(), (2, 2));
    it.healthy(2);
    assert_eq!(it.tick(), (0, 2));
    it.finish();
}

#[test]
fn crossover_goes_step_by_step() {
    let mut it = bounced(BounceMethod::Crossover);
    assert_eq!(it.tick(), (2, 2));
    it.healthy(1);
    assert_eq!(it.tick(), (1, 2));
    it.healthy(2);
    assert_eq!(it.tick(), (0, 2));
    it.finish();
}

#[test]
fn brutal_changes_both_in_one_tick() {
    let mut it = bounced(BounceMethod::Brutal);
    assert_eq!(it.tick(), (0, 2));
    it.healthy(2);
    it.finish();
}

#[test]
fn downthenup_never_has_two_versions() {
    let mut it = bounced(BounceMethod::DownThenUp);
    it.healthy(2);
    assert_eq!(it.tick(), (0, 0));
    let id = main_instance();
    let waits = |world: &World| {
        let waiting = &world.view(&id).waiting;
        waiting
            .iter()
            .any(|w| matches!(w.what, Awaited::OldVersionGone { .. }))
    };
    assert!(waits(&it.world));
    while it.world.recorded(&id, &it.old) > 0 {
        assert_eq!(it.world.recorded(&id, &it.new), 0);
        it.tick();
    }
    it.finish();
}

#[test]
fn down_takes_everything_old_and_brings_nothing() {
    let mut it = bounced(BounceMethod::Down);
    assert_eq!(it.tick(), (0, 0));
    it.world.ticks(4);
    assert_eq!((it.running(&it.old), it.running(&it.new)), (0, 0));
    assert!(
        it.world
            .cluster
            .state
            .instance(&main_instance())
            .unwrap()
            .bounce
            .is_none()
    );
    let waiting = &it.world.view(&main_instance()).waiting;
    assert_eq!(waiting[0].what, Awaited::MethodDown { missing: 2 });
}

#[test]
fn a_version_that_is_never_healthy_takes_nothing_down() {
    for method in [BounceMethod::UpThenDown, BounceMethod::Crossover] {
        let mut it = bounced(method);
        for _ in 0..5 {
            assert_eq!(it.tick(), (2, 2), "{method}");
        }
        assert_eq!(it.world.view(&main_instance()).old.happy, 2);
    }
}

#[test]
fn a_slow_drain_is_waited_for_and_a_drain_that_never_ends_is_not() {
    for drain_ms in [Some(3 * TICK_MS), None] {
        let mut it = bounced(BounceMethod::Crossover);
        it.world.drain_ms = drain_ms;
        assert_eq!(it.tick(), (2, 2));
        it.healthy(1);
        assert_eq!(it.tick(), (1, 2));
        assert_eq!(it.world.recorded(&main_instance(), &it.old), 2);
        it.world.ticks(2);
        assert_eq!(it.world.recorded(&main_instance(), &it.old), 2);
        assert!(it.world.last.wake_at.is_some());
        let old = it.old.clone();
        // The drain timeout of the spec is a minute: twelve ticks.
        it.world.until(14, "one old replica is gone", |world| {
            world.recorded(&main_instance(), &old) == 1
        });
        it.healthy(2);
        let id = main_instance();
        it.world
            .until(20, "the bounce ends", |world| world.is_steady(&id));
    }
}

#[test]
fn crossover_with_a_margin_ends_without_any_room_to_spare() {
    let id = main_instance();
    let tight = |version: u32| {
        let mut spec = spec(&id, version, 8, BounceMethod::Crossover);
        spec.bounce.margin = Margin::new(0.5).unwrap();
        with_app(spec, |app| app.resources = resources(4_000, 4_096))
    };
    let mut it = bounced_from(tight(1), tight(2));
    it.healthy(8);
    let mut fewest = 8;
    for _ in 0..20 {
        it.tick();
        let view = it.world.view(&id);
        fewest = fewest.min(view.old.happy + view.new.happy);
    }
    assert!(fewest >= 4, "{fewest} happy");
    assert!(it.world.is_steady(&id));
}

#[test]
fn crossover_without_a_margin_or_room_says_that_it_waits_for_capacity() {
    let id = main_instance();
    let tight = |version| {
        with_app(spec(&id, version, 8, BounceMethod::Crossover), |app| {
            app.resources = resources(4_000, 1)
        })
    };
    let mut it = bounced_from(tight(1), tight(2));
    assert_eq!(it.tick(), (8, 0));
    assert_eq!(it.tick(), (8, 0));
    let waiting = &it.world.view(&id).waiting;
    assert_eq!(
        waiting[0].to_string(),
        "8 replicas cannot be placed: 0 of 4 hosts: 4 lack 4.000 CPUs"
    );
    assert!(waiting[0].deadline.is_some());
}

#[test]
fn going_back_in_mid_bounce_lets_what_drains_run_again() {
    let mut it = bounced(BounceMethod::Crossover);
    it.world.drain_ms = None;
    it.healthy(1);
    it.tick();
    assert_eq!(it.tick(), (1, 2));
    let before: Vec<_> = it
        .world
        .cluster
        .state
        .replicas_of(&main_instance())
        .map(|(id, _)| id)
        .collect();
    it.world.cluster.set(
        &main_instance(),
        spec(&main_instance(), 1, 2, BounceMethod::Crossover),
    );
    // At once, in one plan: the drained half of the first version serves again.
    let (old, _) = it.tick();
    assert_eq!(old, 2);
    let after: Vec<_> = it
        .world
        .cluster
        .state
        .replicas_of(&main_instance())
        .map(|(id, _)| id)
        .collect();
    assert!(
        after.iter().all(|id| before.contains(id)),
        "nothing new was placed"
    );
    it.world.drain_ms = Some(0);
    let id = main_instance();
    it.world.until(10, "the first version is back", |world| {
        world.is_steady(&id)
    });
    assert_eq!(it.world.recorded(&id, &it.old), 2);
}

#[test]
fn a_third_version_drains_the_half_started_second_one() {
    let mut it = bounced(BounceMethod::Crossover);
    it.healthy(1);
    it.tick();
    assert_eq!(it.tick(), (1, 2));
    it.world.cluster.set(
        &main_instance(),
        spec(&main_instance(), 3, 2, BounceMethod::Crossover),
    );
    it.tick();
    let id = main_instance();
    it.world.until(10, "the third version is happy", |world| {
        world.is_steady(&id)
    });
    assert_eq!(it.world.recorded(&id, &app_id(&id, 3)), 2);
    // What nothing refers to is forgotten; the last good version is not.
    assert!(it.world.cluster.state.app(&it.new).is_none());
    assert_eq!(it.world.cluster.state.apps().len(), 1);
}

#[test]
fn a_stopped_instance_is_drained_by_every_method_and_comes_back() {
    for method in BounceMethod::ALL {
        let mut it = bounced(method);
        let id = main_instance();
        let mut stopped = spec(&id, 2, 2, method);
        stopped.desired_state = DesiredState::Stop;
        it.world.cluster.set(&id, stopped);
        it.world.until(8, "everything is gone", |world| {
            world.cluster.state.replicas_of(&id).next().is_none()
        });
        it.world.healthy_most.clear();
        it.world.cluster.set(&id, spec(&id, 3, 2, method));
        if method != BounceMethod::Down {
            it.world
                .until(8, "it is back", |world| world.is_steady(&id));
        }
    }
}

#[test]
fn a_lower_count_shrinks_the_old_app_even_before_the_new_one_exists() {
    let id = main_instance();
    let mut it = bounced_from(
        spec(&id, 1, 5, BounceMethod::Crossover),
        spec(&id, 2, 3, BounceMethod::Crossover),
    );
    assert_eq!(it.tick(), (3, 3));
    it.healthy(3);
    it.finish();
}

fn with_deadline(version: u32, then: OnDeadline) -> InstanceSpec {
    let mut spec = spec(&main_instance(), version, 2, BounceMethod::UpThenDown);
    spec.bounce.progress_deadline_ms = 4 * TICK_MS;
    spec.bounce.on_deadline = then;
    spec
}

#[test]
fn a_stuck_bounce_says_so_once_and_goes_on() {
    let then = OnDeadline::GoOn;
    let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
    it.world.ticks(20);
    let state = &it.world.cluster.state;
    let late = state
        .events()
        .filter(|event| event.text.contains("until the deadline"))
        .count();
    assert_eq!(late, 1);
    let waiting = &it.world.view(&main_instance()).waiting;
    assert!(
        waiting
            .iter()
            .any(|waiting| waiting.what == Awaited::Overdue)
    );
    it.healthy(2);
    it.finish();
}

#[test]
fn a_held_bounce_places_nothing_until_it_is_resumed() {
    let then = OnDeadline::Hold;
    let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
    it.world.ticks(8);
    let id = main_instance();
    let bounce = it
        .world
        .cluster
        .state
        .instance(&id)
        .unwrap()
        .bounce
        .clone()
        .unwrap();
    assert!(matches!(bounce.phase, BouncePhase::Held { .. }));
    // Even healthy replicas do not end it now.
    it.healthy(2);
    assert_eq!(it.tick(), (2, 2));
    it.world.cluster.must(resume());
    assert_eq!(it.tick(), (0, 2));
    it.finish();
}

#[test]
fn a_held_bounce_ends_with_a_new_version() {
    let then = OnDeadline::Hold;
    let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
    it.world.ticks(8);
    it.world
        .cluster
        .set(&main_instance(), with_deadline(3, then));
    let id = main_instance();
    it.world.until(8, "the third version is happy", |world| {
        world.is_steady(&id)
    });
    assert_eq!(it.world.recorded(&id, &app_id(&id, 3)), 2);
}

#[test]
fn a_bounce_rolls_itself_back_to_the_last_good_app() {
    let then = OnDeadline::Rollback;
    let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
    let id = main_instance();
    it.world.tick();
    assert_eq!(it.world.recorded(&id, &it.new), 2);
    let new = it.new.clone();
    it.world.until(12, "the bad version is gone", |world| {
        world.recorded(&id, &new) == 0
    });
    assert!(it.world.is_steady(&id));
    let record = it.world.cluster.state.instance(&id).unwrap();
    assert_eq!(
        (record.desired_app(), &record.spec.app_id),
        (&it.old, &it.new)
    );
    let waiting = &it.world.view(&id).waiting;
    assert!(
        matches!(waiting[0].what, Awaited::Pinned { .. }),
        "{waiting:?}"
    );
    // A new version ends the pin.
    it.world.cluster.set(&id, with_deadline(3, then));
    it.world.until(8, "the third version is happy", |world| {
        world.is_steady(&id)
    });
    assert!(it.world.cluster.state.instance(&id).unwrap().pin.is_none());
}

#[test]
fn a_wholly_happy_version_is_not_given_up_for_old_replicas_that_linger() {
    for then in [OnDeadline::Hold, OnDeadline::Rollback] {
        let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
        it.world.healthy_most.clear();
        it.world.drain_ms = None;
        it.world.ticks(10);
        let id = main_instance();
        let record = it.world.cluster.state.instance(&id).unwrap();
        assert_eq!(record.desired_app(), &it.new, "{then:?}");
        let bounce = record.bounce.as_ref().expect("the old replicas drain yet");
        assert!(
            matches!(bounce.phase, BouncePhase::Overdue { .. }),
            "{bounce:?}"
        );
        it.world
            .until(12, "the drain's own deadline ends it", |world| {
                world.is_steady(&id)
            });
    }
}

#[test]
fn an_operator_can_go_back_by_hand_and_forth_again() {
    let mut it = bounced(BounceMethod::UpThenDown);
    it.tick();
    let id = main_instance();
    it.world.cluster.must(Command::RollBack(RollBack {
        instance: id.clone(),
        app: None,
        reason: "pages are slow".to_owned(),
    }));
    it.world
        .until(5, "the first version alone", |world| world.is_steady(&id));
    assert_eq!(it.world.recorded(&id, &it.old), 2);
    it.world.healthy_most.clear();
    it.world.cluster.must(resume());
    it.world
        .until(8, "the second version alone", |world| world.is_steady(&id));
    assert_eq!(it.world.recorded(&id, &it.new), 2);
}

#[test]
fn a_forced_bounce_replaces_every_replica_and_keeps_the_floor() {
    let mut it = bounced(BounceMethod::Crossover);
    let id = main_instance();
    it.world.healthy_most.clear();
    it.world
        .until(8, "the second version alone", |world| world.is_steady(&id));
    let before = it.world.running(&it.new);
    it.world.cluster.must(Command::ForceBounce(ForceBounce {
        instance: id.clone(),
        reason: "a leak".to_owned(),
    }));
    // The world checks after each tick that no more than crossover allows is taken away.
    it.world.until(12, "every replica is another one", |world| {
        world.is_steady(&id)
            && before
                .iter()
                .all(|old| world.cluster.state.replica(*old).is_none())
    });
    let record = it.world.cluster.state.instance(&id).unwrap();
    assert_eq!(record.desired_app().git(), it.new.git());
    assert_eq!(it.world.recorded(&id, &record.desired_app().clone()), 2);
    let waiting = &it.world.view(&id).waiting;
    assert!(waiting.is_empty(), "nothing is waited for: {waiting:?}");
}

fn resume() -> Command {
    Command::ResumeBounce(ResumeBounce {
        instance: main_instance(),
        reason: "it was looked at".to_owned(),
    })
}

#[test]
fn a_new_leader_in_mid_bounce_drains_nobody_before_the_hosts_report() {
    let mut it = bounced(BounceMethod::Crossover);
    it.tick();
    it.healthy(2);
    it.world.elect();
    it.world.plan();
    assert_eq!((it.running(&it.old), it.running(&it.new)), (2, 2));
    let waits = |what: &Awaited| matches!(what, Awaited::HostsToReport { .. });
    assert!(
        it.world
            .view(&main_instance())
            .waiting
            .iter()
            .any(|w| waits(&w.what))
    );
    assert_eq!(it.tick(), (0, 2));
    it.finish();
}

#[test]
fn a_new_leader_that_has_heard_of_the_new_app_only_drains_none_of_the_old() {
    let mut it = bounced(BounceMethod::Crossover);
    it.tick();
    it.healthy(2);
    it.world.elect();
    for replica in it.world.running(&it.new) {
        let host = it.world.host_of(replica);
        it.world.agent_acts(&host);
    }
    it.world.plan();
    assert_eq!(it.world.view(&main_instance()).new.happy, 2);
    assert_eq!((it.running(&it.old), it.running(&it.new)), (2, 2));
    assert_eq!(it.tick(), (0, 2));
}

#[test]
fn a_deadline_does_not_strike_while_a_new_leader_waits_for_reports() {
    let then = OnDeadline::Hold;
    let mut it = bounced_from(with_deadline(1, then), with_deadline(2, then));
    it.world.ticks(3);
    it.healthy(2);
    it.world.elect();
    it.world.cluster.now = it.world.now().after_ms(3 * TICK_MS);
    it.world.plan();
    let record = it.world.cluster.state.instance(&main_instance()).unwrap();
    let bounce = record.bounce.clone().unwrap();
    assert!(bounce.progress_deadline <= it.world.now());
    assert_eq!(bounce.phase, BouncePhase::Running);
    // The reports show that all is well, so it never strikes.
    assert_eq!(it.tick(), (0, 2));
    it.finish();
}

#[test]
fn replicas_of_an_old_app_are_never_replaced() {
    let mut it = bounced(BounceMethod::UpThenDown);
    it.tick();
    let victim = *it.world.running(&it.old).first().unwrap();
    let host = it.world.host_of(victim);
    it.world.agents.get_mut(&host).unwrap().away = true;
    it.world.until(12, "the host is lost", |world| {
        world.cluster.state.host(&host).unwrap().is_lost()
    });
    it.world.tick();
    assert_eq!(it.running(&it.old), 1);
    assert_eq!(
        it.world.cluster.state.replica(victim).unwrap().want,
        Want::Stop
    );
}
