//! What apply takes and refuses of a placement.

use paasta_common::{app::Operator, spec::BounceMethod};

use super::*;
use crate::{
    build::{
        Cluster, app_id, constraint, host, host_id, main_instance, register, resources, spec,
        with_app,
    },
    fit::Unfit,
    state::command::{Command, DrainHost, HostLost},
};

fn placement(id: u64, version: u32, host: usize) -> PlaceReplica {
    let instance = main_instance();
    let app = app_id(&instance, version);
    PlaceReplica {
        id: ReplicaId(id),
        instance,
        app,
        host: host_id(host),
        failures: 0,
        failed_on: None,
    }
}

/// Places these on hosts, ids from 1, and says what became of each.
fn place(cluster: &mut Cluster, hosts: &[usize]) -> Vec<Option<Reason>> {
    let first = cluster.state.next_replica().0;
    let replicas: Vec<PlaceReplica> = (first..)
        .zip(hosts)
        .map(|(id, host)| placement(id, 1, *host))
        .collect();
    let ids: Vec<ReplicaId> = replicas.iter().map(|replica| replica.id).collect();
    let refused = match cluster.apply(Command::Place(Place { replicas })) {
        Outcome::Applied => Vec::new(),
        Outcome::Partial { refused } => refused,
        other => panic!("{other:?}"),
    };
    let reason = |id| {
        refused
            .iter()
            .find(|r| r.id == id)
            .map(|r| r.reason.clone())
    };
    ids.into_iter().map(reason).collect()
}

fn cluster_with(change: impl FnOnce(&mut paasta_common::app::AppSpec)) -> Cluster {
    let mut cluster = Cluster::new(4);
    let spec = with_app(
        spec(&main_instance(), 1, 9, BounceMethod::Crossover),
        change,
    );
    cluster.set(&main_instance(), spec);
    cluster
}

fn unfit(reason: &Option<Reason>) -> Option<&Unfit> {
    match reason {
        Some(Reason::Unfit(unfit)) => Some(unfit),
        _ => None,
    }
}

#[test]
fn one_that_is_refused_does_not_hold_up_the_others() {
    let mut cluster = cluster_with(|app| app.resources = resources(1_000, 5_000));
    let outcome = place(&mut cluster, &[1, 1, 2]);
    assert_eq!(
        unfit(&outcome[1]),
        Some(&Unfit::Memory {
            wanted_mb: 5_000,
            overcommit_milli: None
        })
    );
    assert_eq!((&outcome[0], &outcome[2]), (&None, &None));
    assert_eq!(cluster.state.replica_count(), 2);
    assert_eq!(cluster.state.used_on(&host_id(1)), resources(1_000, 5_000));
    let refusal = cluster
        .state
        .events()
        .find(|event| event.text.starts_with("not placed"))
        .unwrap();
    assert_eq!(
        refusal.text,
        "not placed on h1: the host does not fit: lack 5000 MB memory"
    );
}

#[test]
fn a_host_must_be_there_and_take_work() {
    let mut cluster = cluster_with(|_| {});
    cluster.must(Command::HostLost(HostLost { host: host_id(1) }));
    let drain = DrainHost {
        host: host_id(2),
        reason: String::new(),
        until: None,
    };
    cluster.must(Command::DrainHost(drain));
    let mut elsewhere = host(3);
    elsewhere.pool = "gpu".to_owned();
    cluster.must(register(elsewhere));
    let outcome = place(&mut cluster, &[1, 2, 3, 9, 4]);
    let found: Vec<Option<&Unfit>> = outcome.iter().map(unfit).collect();
    let pool = Unfit::Pool {
        wanted: "default".to_owned(),
    };
    assert_eq!(
        found,
        [
            Some(&Unfit::Lost),
            Some(&Unfit::Draining),
            Some(&pool),
            Some(&Unfit::Unknown),
            None
        ]
    );
}

#[test]
fn only_what_is_desired_is_placed_and_no_more_than_is_wanted() {
    let mut cluster = Cluster::new(4);
    cluster.set(
        &main_instance(),
        spec(&main_instance(), 1, 2, BounceMethod::Crossover),
    );
    let outcome = place(&mut cluster, &[1, 2, 3]);
    assert_eq!(outcome[2], Some(Reason::EnoughReplicas { wanted: 2 }));
    let refused = |cluster: &mut Cluster, replica| match cluster.apply(Command::Place(Place {
        replicas: vec![replica],
    })) {
        Outcome::Partial { refused } => refused[0].reason.clone(),
        other => panic!("{other:?}"),
    };
    let app = app_id(&main_instance(), 2);
    let reason = refused(&mut cluster, placement(9, 2, 3));
    assert_eq!(reason, Reason::AppNotDesired { app });
    let reason = refused(&mut cluster, placement(2, 1, 3));
    assert_eq!(reason, Reason::ReplicaIdUsed { id: ReplicaId(2) });
    let instance: InstanceId = "other.main".parse().unwrap();
    let stray = PlaceReplica {
        instance: instance.clone(),
        ..placement(9, 1, 3)
    };
    assert_eq!(
        refused(&mut cluster, stray),
        Reason::UnknownInstance { instance }
    );
}

#[test]
fn constraints_hold_within_a_batch_and_across_batches() {
    let cases = [
        (
            constraint("hostname", Operator::Unique, None),
            vec![true, false, true, true],
        ),
        (
            constraint("region", Operator::MaxPer, Some("1")),
            vec![true, false, true, false],
        ),
        (
            constraint("region", Operator::Cluster, None),
            vec![true, true, false, true],
        ),
        (
            constraint("region", Operator::Cluster, Some("west")),
            vec![false, false, true, false],
        ),
        (
            constraint("region", Operator::GroupBy, None),
            vec![true, false, true, true],
        ),
        (
            constraint("region", Operator::GroupBy, Some("3")),
            vec![true, false, true, false],
        ),
        (
            constraint("region", Operator::Like, Some("ea.*")),
            vec![true, true, false, true],
        ),
        (
            constraint("region", Operator::Unlike, Some("ea.*")),
            vec![false, false, true, false],
        ),
        // A pattern must match the whole value.
        (
            constraint("region", Operator::Like, Some("ea")),
            vec![false; 4],
        ),
        // What cannot be understood, or names no attribute of the host, holds nowhere ...
        (
            constraint("region", Operator::Like, Some("ea(")),
            vec![false; 4],
        ),
        (
            constraint("region", Operator::MaxPer, Some("many")),
            vec![false; 4],
        ),
        (constraint("rack", Operator::Unique, None), vec![false; 4]),
        // ... except what must not match.
        (
            constraint("rack", Operator::Unlike, Some("r1")),
            vec![true; 4],
        ),
    ];
    for (constraint, expected) in cases {
        for split in [false, true] {
            let mut cluster = cluster_with(|app| app.constraints = vec![constraint.clone()]);
            // East, east again, west, and the other host of the east.
            let hosts = [1, 1, 2, 3];
            let outcome = match split {
                false => place(&mut cluster, &hosts),
                true => hosts
                    .iter()
                    .flat_map(|host| place(&mut cluster, &[*host]))
                    .collect(),
            };
            let placed: Vec<bool> = outcome.iter().map(Option::is_none).collect();
            assert_eq!(
                placed, expected,
                "{constraint:?}, split {split}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_static_port_is_given_once_on_a_host() {
    let mut cluster = cluster_with(|app| app.host_port = 31_000);
    let outcome = place(&mut cluster, &[1, 1, 2]);
    assert_eq!(unfit(&outcome[1]), Some(&Unfit::Port { port: 31_000 }));
    assert_eq!(cluster.state.replica_count(), 2);
    assert_eq!(
        cluster.state.ports_on(&host_id(1)).collect::<Vec<_>>(),
        [31_000]
    );
}
