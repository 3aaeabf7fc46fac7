//! Which wants may follow which.

use paasta_common::spec::BounceMethod;

use super::*;
use crate::{
    build::{Cluster, app_id, host_id, main_instance, spec},
    state::command::{Command, DrainHost, Forget, Place, PlaceReplica},
};

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(2);
    let id = main_instance();
    cluster.set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
    let replica = |number: usize| PlaceReplica {
        id: ReplicaId(number as u64),
        instance: main_instance(),
        app: app_id(&main_instance(), 1),
        host: host_id(number),
        failures: 0,
        failed_on: None,
    };
    cluster.must(Command::Place(Place {
        replicas: vec![replica(1), replica(2)],
    }));
    cluster
}

fn set_want(cluster: &mut Cluster, want: Want, ids: &[u64]) -> Outcome {
    let replicas = ids.iter().map(|id| ReplicaId(*id)).collect();
    let reason = "test".to_owned();
    cluster.apply(Command::SetWant(SetWant {
        instance: main_instance(),
        want,
        replicas,
        reason,
    }))
}

fn refused(id: u64, reason: Reason) -> Outcome {
    Outcome::Partial {
        refused: vec![RefusedReplica {
            id: ReplicaId(id),
            reason,
        }],
    }
}

#[test]
fn a_replica_drains_runs_again_and_stops_for_good() {
    let mut cluster = cluster();
    assert_eq!(
        set_want(&mut cluster, Want::Drain, &[1, 2]),
        Outcome::Applied
    );
    let since = cluster.now;
    cluster.now = since.after_ms(1_000);
    assert_eq!(
        set_want(&mut cluster, Want::Drain, &[1]),
        Outcome::Unchanged
    );
    assert_eq!(
        cluster.state.replica(ReplicaId(1)).unwrap().want_since,
        since
    );
    assert_eq!(set_want(&mut cluster, Want::Run, &[1]), Outcome::Applied);
    assert_eq!(set_want(&mut cluster, Want::Stop, &[2]), Outcome::Applied);
    let stopping = refused(2, Reason::AlreadyStopping { id: ReplicaId(2) });
    assert_eq!(set_want(&mut cluster, Want::Run, &[2]), stopping);
    assert_eq!(set_want(&mut cluster, Want::Drain, &[2]), stopping);
    let unknown = refused(9, Reason::UnknownReplica { id: ReplicaId(9) });
    assert_eq!(set_want(&mut cluster, Want::Stop, &[9]), unknown);
}

#[test]
fn only_as_many_as_are_wanted_run_again_and_only_where_work_is_taken() {
    let mut cluster = cluster();
    set_want(&mut cluster, Want::Drain, &[1, 2]);
    cluster.set(
        &main_instance(),
        spec(&main_instance(), 1, 1, BounceMethod::Crossover),
    );
    let enough = refused(2, Reason::EnoughReplicas { wanted: 1 });
    assert_eq!(set_want(&mut cluster, Want::Run, &[1, 2]), enough);
    set_want(&mut cluster, Want::Drain, &[1]);
    let drain = DrainHost {
        host: host_id(1),
        reason: String::new(),
        until: None,
    };
    cluster.must(Command::DrainHost(drain));
    assert!(!set_want(&mut cluster, Want::Run, &[1]).is_ok());
    cluster.set(
        &main_instance(),
        spec(&main_instance(), 2, 1, BounceMethod::Crossover),
    );
    let old = refused(
        2,
        Reason::AppNotDesired {
            app: app_id(&main_instance(), 1),
        },
    );
    assert_eq!(set_want(&mut cluster, Want::Run, &[2]), old);
}

#[test]
fn only_what_was_stopped_is_forgotten() {
    let mut cluster = cluster();
    set_want(&mut cluster, Want::Stop, &[1]);
    let replicas = vec![ReplicaId(1), ReplicaId(2)];
    let outcome = cluster.apply(Command::Forget(Forget { replicas }));
    assert_eq!(
        outcome,
        refused(2, Reason::NotStopping { id: ReplicaId(2) })
    );
    assert!(cluster.state.replica(ReplicaId(1)).is_none());
    assert_eq!(cluster.state.used_on(&host_id(1)), Default::default());
}
