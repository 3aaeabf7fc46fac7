//! Random lives of small clusters. Every plan on the way is checked for safety, stability and
//! replay by the world; here the way ends with everything healed, and must arrive.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::{collections::BTreeSet, sync::Arc};

use paasta_common::{
    app::Operator,
    assignment::Want,
    host::HostInfo,
    id::{InstanceId, ReplicaId},
    problem::{Problem, Rule, Severity},
    spec::{BounceMethod, DesiredState, InstanceSpec, Margin, OnDeadline},
};
use paasta_coordinator_core::state::{
    ClusterState,
    command::{
        Bounce, BounceStep, Command, DrainHost, DropInstance, ForceBounce, Forget, HostBack,
        HostLost, Place, PlaceReplica, RemoveHost, RemoveInstances, ResumeBounce, RollBack,
        SetProblems, SetWant, UndrainHost,
    },
    invariants,
    problems::ProblemScope,
};
use proptest::{prelude::*, sample::select};
use world::{
    World,
    build::{Cluster, app_id, constraint, host, host_id, register, set, spec},
};

const HOSTS: usize = 5;

/// So many cases, unless PROPTEST_CASES says otherwise. What fails becomes a test with a name.
fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases, ..config },
    }
}

fn instances() -> Vec<InstanceId> {
    ["a.main", "a.side_1", "b_1.main_22"]
        .iter()
        .map(|id| id.parse().unwrap())
        .collect()
}

fn any_instance() -> impl Strategy<Value = InstanceId> {
    select(instances())
}

fn versioned(id: &InstanceId, version: u32, count: u32, method: BounceMethod) -> InstanceSpec {
    let mut spec = spec(id, version, count, method);
    let app = Arc::make_mut(&mut spec.app);
    match version {
        2 => app.constraints = vec![constraint("region", Operator::GroupBy, None)],
        3 => app.constraints = vec![constraint("hostname", Operator::Unique, None)],
        // A port of its own for each instance, so that each can always be whole.
        4 => app.host_port = 31_000 + u16::try_from(id.to_string().len()).unwrap(),
        _ => {}
    }
    spec.bounce.margin = Margin::new(0.3).unwrap();
    spec.bounce.progress_deadline_ms = 30_000;
    spec
}

/// A version determines its app, so that equal ids are equal apps.
fn any_spec(id: InstanceId) -> impl Strategy<Value = InstanceSpec> {
    let methods = select(BounceMethod::ALL.to_vec());
    let deadline = select(vec![
        OnDeadline::GoOn,
        OnDeadline::Hold,
        OnDeadline::Rollback,
    ]);
    let margin = select(vec![0.3, 0.5, 1.0]);
    (1..6_u32, 0..7_u32, methods, deadline, margin, any::<bool>()).prop_map(
        move |(version, count, method, on_deadline, margin, stop)| {
            let mut spec = versioned(&id, version, count, method);
            spec.bounce.margin = Margin::new(margin).unwrap();
            spec.bounce.on_deadline = on_deadline;
            if stop && count == 6 {
                spec.desired_state = DesiredState::Stop;
            }
            spec
        },
    )
}

#[derive(Debug, Clone)]
enum Turn {
    Ticks(usize),
    Deploy(InstanceId, Box<InstanceSpec>),
    Healthy(InstanceId, u32, usize),
    Away(usize, bool),
    Degraded(usize, bool),
    Broken(usize, bool),
    Drain(usize, bool),
    DrainMs(Option<u64>),
    Elect,
    Remove(InstanceId),
    OneReports(usize),
}

fn any_turn() -> impl Strategy<Value = Turn> {
    let deploy = any_instance().prop_flat_map(|id| (Just(id.clone()), any_spec(id)));
    let hosts = 1..=HOSTS;
    prop_oneof![
        4 => (1..4_usize).prop_map(Turn::Ticks),
        4 => deploy.prop_map(|(id, spec)| Turn::Deploy(id, Box::new(spec))),
        2 => (any_instance(), 1..6_u32, 0..4_usize).prop_map(|(i, v, n)| Turn::Healthy(i, v, n)),
        2 => (hosts.clone(), any::<bool>()).prop_map(|(host, away)| Turn::Away(host, away)),
        1 => (hosts.clone(), any::<bool>()).prop_map(|(host, bad)| Turn::Degraded(host, bad)),
        1 => (hosts.clone(), any::<bool>()).prop_map(|(host, bad)| Turn::Broken(host, bad)),
        2 => (hosts.clone(), any::<bool>()).prop_map(|(host, on)| Turn::Drain(host, on)),
        1 => select(vec![None, Some(0), Some(8_000)]).prop_map(Turn::DrainMs),
        1 => Just(Turn::Elect),
        1 => any_instance().prop_map(Turn::Remove),
        1 => hosts.prop_map(Turn::OneReports),
    ]
}

fn take(world: &mut World, turn: Turn) {
    match turn {
        Turn::Ticks(count) => world.ticks(count),
        Turn::Deploy(id, spec) => world.cluster.set(&id, *spec),
        Turn::Healthy(id, version, most) => {
            world.healthy_most.insert(app_id(&id, version), most);
        }
        Turn::Away(number, away) => world.agents.get_mut(&host_id(number)).unwrap().away = away,
        Turn::Degraded(number, bad) => {
            world
                .agents
                .get_mut(&host_id(number))
                .unwrap()
                .runtime_degraded = bad;
        }
        Turn::Broken(number, bad) => {
            world.agents.get_mut(&host_id(number)).unwrap().broken = bad;
        }
        Turn::Drain(number, on) => drain(world, number, on),
        Turn::DrainMs(ms) => world.drain_ms = ms,
        Turn::Elect => world.elect(),
        Turn::Remove(id) => {
            let ids = BTreeSet::from([id]);
            world
                .cluster
                .must(Command::RemoveInstances(RemoveInstances {
                    ids,
                    force: true,
                    rule: None,
                }));
        }
        Turn::OneReports(number) => world.agent_acts(&host_id(number)),
    }
    world.plan();
}

fn drain(world: &mut World, number: usize, on: bool) {
    let host = host_id(number);
    let command = match on {
        true => Command::DrainHost(DrainHost {
            host,
            reason: "test".to_owned(),
            until: None,
        }),
        false => Command::UndrainHost(UndrainHost { host }),
    };
    world.cluster.must(command);
}

/// Everything works again; what an operator would have to do is done.
fn heal(world: &mut World) {
    for number in 1..=HOSTS {
        let agent = world.agents.get_mut(&host_id(number)).unwrap();
        (agent.away, agent.runtime_degraded, agent.broken) = (false, false, false);
        drain(world, number, false);
    }
    world.healthy_most.clear();
    world.drain_ms = Some(0);
    // A version that nothing keeps from being whole: `down` never brings anything, and five
    // replicas with a port of their own need five empty hosts.
    for id in instances() {
        let Some(record) = world
            .cluster
            .state
            .instance(&id)
            .filter(|record| record.declared)
        else {
            continue;
        };
        let mut spec = record.spec.clone();
        if spec.bounce.method == BounceMethod::Down {
            spec.bounce.method = BounceMethod::DownThenUp;
        }
        spec.instances = spec.instances.min(2);
        world.cluster.set(&id, spec);
    }
}

fn resume(world: &mut World, id: &InstanceId) {
    let record = world.cluster.state.instance(id);
    let bounce = record.and_then(|record| record.bounce.as_ref());
    if bounce.is_some_and(|bounce| bounce.is_held()) {
        world.cluster.must(Command::ResumeBounce(ResumeBounce {
            instance: id.clone(),
            reason: String::new(),
        }));
    }
}

/// Found by the property below: what is told to stop does not count as moving any more, in that very
/// plan.
#[test]
fn hosts_that_are_emptied_during_a_revert_are_emptied_at_the_same_pace_before_and_after() {
    let id = &instances()[0];
    let deploy = |version, count, method| {
        let spec = versioned(id, version, count, method);
        Turn::Deploy(id.clone(), Box::new(spec))
    };
    let mut world = World::new(HOSTS);
    let turns = [
        deploy(1, 4, BounceMethod::Brutal),
        deploy(3, 2, BounceMethod::UpThenDown),
        Turn::Ticks(1),
        Turn::Drain(2, true),
        deploy(2, 1, BounceMethod::Brutal),
        Turn::Broken(1, true),
        deploy(1, 4, BounceMethod::Brutal),
        Turn::Drain(3, true),
        Turn::Ticks(1),
    ];
    for turn in turns {
        take(&mut world, turn);
    }
}

proptest! {
    #![proptest_config(config(64))]

    /// Safety, stability and replay on the way; progress at its end.
    #[test]
    fn every_life_ends_well(turns in prop::collection::vec(any_turn(), 1..25)) {
        let mut world = World::new(HOSTS);
        for turn in turns {
            take(&mut world, turn);
        }
        heal(&mut world);
        // Long enough for the patience after an election, a drain timeout and a few bounces.
        for _ in 0..60 {
            for id in instances() {
                resume(&mut world, &id);
            }
            world.tick();
        }
        for id in instances() {
            prop_assert!(world.is_steady(&id), "{id}: {:#?}", world.last.report.instances.get(&id));
        }
        prop_assert_eq!(world.last.report.brake.clone(), None);
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let hosts = || (1..8_usize).prop_map(host_id);
    let ids = || prop::collection::vec((0..40_u64).prop_map(ReplicaId), 0..6);
    let apps = || (any_instance(), 0..6_u32).prop_map(|(id, version)| app_id(&id, version));
    let wants = select(vec![Want::Run, Want::Drain, Want::Stop]);
    let text = String::new;
    let place = (
        1..40_u64,
        any_instance(),
        apps(),
        hosts(),
        prop::option::of(hosts()),
    )
        .prop_map(|(id, instance, app, host, failed_on)| PlaceReplica {
            id: ReplicaId(id),
            instance,
            app,
            host,
            failures: 0,
            failed_on,
        });
    let step = prop_oneof![
        (
            prop::collection::vec(apps(), 0..3),
            select(BounceMethod::ALL.to_vec()),
            0..5_u32
        )
            .prop_map(|(from, method, happy)| BounceStep::Start {
                from,
                method,
                happy
            }),
        (0..5_u32).prop_map(|happy| BounceStep::Progress { happy }),
        select(vec![
            OnDeadline::GoOn,
            OnDeadline::Hold,
            OnDeadline::Rollback
        ])
        .prop_map(|then| BounceStep::Expired { then }),
        any::<bool>().prop_map(|wholly_happy| BounceStep::Finish { wholly_happy }),
    ];
    prop_oneof![
        2 => any_host().prop_map(register),
        1 => hosts().prop_map(|host| Command::HostLost(HostLost { host })),
        1 => hosts().prop_map(|host| Command::HostBack(HostBack { host })),
        1 => hosts().prop_map(move |host| {
            Command::DrainHost(DrainHost { host, reason: text(), until: None })
        }),
        1 => hosts().prop_map(|host| Command::UndrainHost(UndrainHost { host })),
        1 => hosts().prop_map(|host| Command::RemoveHost(RemoveHost { host })),
        6 => any_instance()
            .prop_flat_map(|id| (Just(id.clone()), any_spec(id)))
            .prop_map(|(id, spec)| set(&id, spec)),
        1 => (prop::collection::btree_set(any_instance(), 0..3), any::<bool>())
            .prop_map(|(ids, force)| {
                Command::RemoveInstances(RemoveInstances { ids, force, rule: None })
            }),
        1 => any_instance().prop_map(|id| Command::DropInstance(DropInstance { id })),
        1 => (any_instance(), prop::option::of(apps())).prop_map(|(instance, app)| {
            Command::RollBack(RollBack { instance, app, reason: String::new() })
        }),
        1 => any_instance().prop_map(|instance| {
            Command::ResumeBounce(ResumeBounce { instance, reason: String::new() })
        }),
        1 => any_instance().prop_map(|instance| {
            Command::ForceBounce(ForceBounce { instance, reason: String::new() })
        }),
        1 => (any_instance(), 0..60_usize).prop_map(|(id, count)| {
            let problems = vec![problem(); count];
            Command::SetProblems(SetProblems { scope: ProblemScope::Instance(id), problems })
        }),
        8 => prop::collection::vec(place, 0..8)
            .prop_map(|replicas| Command::Place(Place { replicas })),
        4 => (any_instance(), wants, ids()).prop_map(|(instance, want, replicas)| {
            Command::SetWant(SetWant { instance, want, replicas, reason: String::new() })
        }),
        2 => ids().prop_map(|replicas| Command::Forget(Forget { replicas })),
        3 => (any_instance(), apps(), step).prop_map(|(instance, to, step)| {
            Command::Bounce(Bounce { instance, to, step, counts: Default::default() })
        }),
    ]
}

fn any_host() -> impl Strategy<Value = HostInfo> {
    (1..8_usize, 1..9_u64).prop_map(|(number, cores)| {
        let mut info = host(number);
        info.capacity.cpus_milli = cores * 1_000;
        info
    })
}

fn problem() -> Problem {
    Problem {
        file: "a/marathon-demo.yaml".to_owned(),
        line: Some(3),
        column: None,
        field: "main.mem".to_owned(),
        message: "expected a number".to_owned(),
        severity: Severity::Error,
        rule: Rule::Type,
    }
}

proptest! {
    #![proptest_config(config(128))]

    /// Whatever is applied in whatever order, the state stays well formed, and a copy that was
    /// stored half-way and read goes the same way.
    #[test]
    fn any_command_may_come_at_any_time(
        commands in prop::collection::vec(any_command(), 1..80),
        half in 0..80_usize,
    ) {
        let mut cluster = Cluster::new(3);
        let mut copy: Option<Cluster> = None;
        for (at, command) in commands.into_iter().enumerate() {
            cluster.now = cluster.now.after_ms(1_000);
            if at == half {
                let stored = rmp_serde::to_vec_named(&cluster.state).unwrap();
                let state: ClusterState = rmp_serde::from_slice(&stored).unwrap();
                copy = Some(Cluster { state, ..cluster.clone() });
            }
            if let Some(copy) = &mut copy {
                copy.now = cluster.now;
                let outcome = copy.apply(command.clone());
                prop_assert_eq!(outcome, cluster.apply(command));
                prop_assert_eq!(&copy.state, &cluster.state);
            } else {
                cluster.apply(command);
            }
            prop_assert_eq!(invariants::check(&cluster.state), Vec::new());
        }
    }
}
