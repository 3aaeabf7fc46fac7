//! The state as a whole: what is stored, what is derived, what is remembered.

use paasta_common::{assignment::Want, id::ReplicaId, spec::BounceMethod};

use super::{
    actor::Actor,
    command::{Command, Forget, Place, PlaceReplica, SetWant},
    outcome::{Outcome, Reason},
    *,
};
use crate::build::{Cluster, app_id, host, host_id, main_instance, register, set, spec};

fn place(id: u64, version: u32, host: usize) -> PlaceReplica {
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

fn with_replicas() -> Cluster {
    let mut cluster = Cluster::new(2);
    cluster.set(
        &main_instance(),
        spec(&main_instance(), 1, 3, BounceMethod::Crossover),
    );
    let replicas = vec![place(1, 1, 1), place(2, 1, 2), place(3, 1, 1)];
    cluster.must(Command::Place(Place { replicas }));
    cluster
}

#[test]
fn a_retried_request_gets_its_first_outcome_and_is_not_done_twice() {
    let mut cluster = Cluster::new(0);
    assert_eq!(
        cluster.request(Some("r1"), register(host(1))),
        Outcome::Applied
    );
    let removed = Command::RemoveHost(command::RemoveHost { host: host_id(1) });
    cluster.must(removed);
    assert_eq!(
        cluster.request(Some("r1"), register(host(1))),
        Outcome::Applied
    );
    assert!(cluster.state.host(&host_id(1)).is_none());
    for number in 0..request::REQUESTS_MAX {
        cluster.request(Some(&format!("other {number}")), register(host(2)));
    }
    assert_eq!(cluster.state.tables.requests.len(), request::REQUESTS_MAX);
    assert_eq!(
        cluster.request(Some("r1"), register(host(1))),
        Outcome::Applied
    );
    assert!(
        cluster.state.host(&host_id(1)).is_some(),
        "forgotten, so it is a new request"
    );
    let long = "x".repeat(request::REQUEST_ID_BYTES_MAX + 1);
    let refused = Outcome::Refused(Reason::RequestIdTooLong);
    assert_eq!(cluster.request(Some(&long), register(host(1))), refused);
}

#[test]
fn nothing_is_done_before_the_cluster_exists() {
    let mut state = ClusterState::new();
    let envelope = Envelope {
        request_id: None,
        at: Timestamp(1),
        by: Actor::claimed("test"),
        command: register(host(1)),
    };
    assert_eq!(
        state.apply(1, &envelope),
        Outcome::Refused(Reason::NotInitialised)
    );
    assert_eq!(state.assignment(&host_id(1), 1), None);
    assert_eq!(state.last_index(), 1);
}

#[test]
fn a_host_is_told_its_whole_set_and_only_changes_of_it_move_its_generation() {
    let mut cluster = with_replicas();
    let placed_at = cluster.index;
    let told = cluster.state.assignment(&host_id(1), 7).unwrap();
    assert_eq!(
        (told.fence.term, told.fence.generation, told.fence.epoch),
        (7, placed_at, 1)
    );
    assert_eq!(
        told.replicas.keys().copied().collect::<Vec<_>>(),
        [ReplicaId(1), ReplicaId(3)]
    );
    assert_eq!(
        told.replicas[&ReplicaId(1)].spec.image,
        "registry/services-hello:paasta-00000001"
    );
    let want = |want, id| {
        let replicas = vec![ReplicaId(id)];
        Command::SetWant(SetWant {
            instance: main_instance(),
            want,
            replicas,
            reason: String::new(),
        })
    };
    cluster.must(want(Want::Drain, 2));
    assert_eq!(cluster.state.assignment(&host_id(1), 7).unwrap(), told);
    let other = cluster.state.assignment(&host_id(2), 7).unwrap();
    assert_eq!(other.fence.generation, cluster.index);
    assert_eq!(other.replicas[&ReplicaId(2)].want, Want::Drain);
    cluster.must(want(Want::Stop, 2));
    cluster.must(Command::Forget(Forget {
        replicas: vec![ReplicaId(2)],
    }));
    let other = cluster.state.assignment(&host_id(2), 7).unwrap();
    assert_eq!(
        (other.fence.generation, other.replicas.len()),
        (cluster.index, 0)
    );
}

#[test]
fn new_run_settings_reach_the_hosts_and_new_counts_do_not() {
    let mut cluster = with_replicas();
    let generation = |cluster: &Cluster| {
        cluster
            .state
            .host(&host_id(1))
            .map(|host| host.generation)
            .unwrap()
    };
    let before = generation(&cluster);
    let mut changed = spec(&main_instance(), 1, 2, BounceMethod::Brutal);
    cluster.set(&main_instance(), changed.clone());
    assert_eq!(generation(&cluster), before);
    Arc::make_mut(&mut changed.run).stop_grace_ms = 10_000;
    cluster.set(&main_instance(), changed.clone());
    assert_eq!(generation(&cluster), cluster.index);
    let told = cluster.state.assignment(&host_id(1), 1).unwrap();
    assert_eq!(told.replicas[&ReplicaId(1)].run.stop_grace_ms, 10_000);
    assert_eq!(
        cluster.apply(set(&main_instance(), changed)),
        Outcome::Unchanged
    );
}

#[test]
fn what_is_stored_is_read_again_with_its_index_and_its_names_shared() {
    let cluster = with_replicas();
    let stored = rmp_serde::to_vec_named(&cluster.state).unwrap();
    let read: ClusterState = rmp_serde::from_slice(&stored).unwrap();
    assert_eq!(read, cluster.state);
    assert_eq!(invariants::check(&read), Vec::new());
    assert_eq!(
        read.used_on(&host_id(1)),
        cluster.state.used_on(&host_id(1))
    );
    let replica = read.replica(ReplicaId(1)).unwrap();
    let (app, _) = read.apps().next().unwrap();
    assert!(std::ptr::eq(replica.app.as_str(), app.as_str()));
    let (_, instance) = read.instances().next().unwrap();
    assert!(Arc::ptr_eq(
        &instance.spec.app,
        &read.app(app).unwrap().spec
    ));
}

#[test]
fn a_field_to_come_and_a_field_that_is_missing_do_not_stop_reading() {
    let mut json = serde_json::to_value(&with_replicas().state).unwrap();
    json["something_new"] = serde_json::json!({"a": 1});
    json.as_object_mut().unwrap().remove("events");
    json["hosts"]["h1"]
        .as_object_mut()
        .unwrap()
        .remove("maintenance");
    let read: ClusterState = serde_json::from_value(json).unwrap();
    assert_eq!(read.replica_count(), 3);
    assert_eq!(read.events().count(), 0);
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let good = with_replicas().state;
    let broken = |change: fn(&mut ClusterState)| {
        let mut state = good.clone();
        change(&mut state);
        invariants::check(&state)
            .into_iter()
            .map(|v| v.invariant)
            .collect::<Vec<_>>()
    };
    assert_eq!(broken(|_| {}), Vec::<&str>::new());
    assert!(broken(|s| s.tables.next_replica = 2).contains(&"I2"));
    assert!(broken(|s| drop(s.tables.hosts.remove(&host_id(1)))).contains(&"I2"));
    assert!(broken(|s| s.tables.apps.clear()).contains(&"I2"));
    assert!(broken(|s| drop(s.tables.replicas.remove(&ReplicaId(3)))).contains(&"I12"));
    assert!(broken(|s| s.tables.cluster = None).contains(&"I3"));
    assert!(
        broken(|s| s
            .tables
            .hosts
            .values_mut()
            .for_each(|host| host.generation = 0))
        .contains(&"I3")
    );
    assert!(
        broken(|s| {
            let unused = app_id(&main_instance(), 9);
            let app = s.tables.apps.values().next().unwrap().clone();
            s.tables.apps.insert(unused, app);
        })
        .contains(&"I9")
    );
    assert!(
        broken(|s| {
            let record = s.tables.instances.values_mut().next().unwrap();
            record.spec.bounce.progress_deadline_ms = 0;
        })
        .contains(&"I8")
    );
    assert!(
        broken(|s| {
            let record = s.tables.instances.values_mut().next().unwrap();
            record.last_good = Some(app_id(&main_instance(), 9));
        })
        .contains(&"I4")
    );
}

#[test]
fn what_is_stored_without_failures_is_as_it_was_before_they_were_remembered() {
    let stored = serde_json::to_value(place(1, 1, 1)).unwrap();
    assert_eq!(
        stored.get("failed_on"),
        None,
        "older coordinators know none"
    );
    let placed: PlaceReplica = serde_json::from_value(stored).unwrap();
    assert_eq!(placed, place(1, 1, 1));
    let mut cluster = with_replicas();
    let record = |cluster: &Cluster| cluster.state.instance(&main_instance()).unwrap().clone();
    let stored = serde_json::to_value(record(&cluster)).unwrap();
    assert_eq!(stored.get("failed"), None);
    let read: instance::Instance = serde_json::from_value(stored).unwrap();
    assert_eq!(read, record(&cluster));
    let id = main_instance();
    cluster.set(&id, spec(&id, 1, 4, BounceMethod::Crossover));
    let moved = PlaceReplica {
        failures: 7,
        failed_on: Some(host_id(2)),
        ..place(4, 1, 1)
    };
    let replicas = vec![moved];
    cluster.must(Command::Place(Place { replicas }));
    let failed = record(&cluster).failed.unwrap();
    assert_eq!(failed.app, app_id(&main_instance(), 1));
    assert_eq!(
        (&failed.hosts[0].host, failed.hosts[0].at),
        (&host_id(2), cluster.now)
    );
}

#[test]
fn events_are_bounded_in_number_and_length() {
    let mut cluster = Cluster::new(1);
    for number in 0..=event::EVENTS_MAX {
        let reason = format!("{number} {}", "ä".repeat(event::EVENT_TEXT_BYTES_MAX));
        let drain = command::DrainHost {
            host: host_id(1),
            reason,
            until: None,
        };
        cluster.must(Command::DrainHost(drain));
    }
    assert_eq!(cluster.state.events().count(), event::EVENTS_MAX);
    let last = cluster.state.events().next_back().unwrap();
    assert!(last.text.len() <= event::EVENT_TEXT_BYTES_MAX);
    assert_eq!((last.index, last.by.claim()), (cluster.index, "test"));
}
