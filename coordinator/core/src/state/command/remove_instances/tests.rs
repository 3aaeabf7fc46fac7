//! The old rule and the new: patience, the guard's window, and what comes back as it was.

use std::collections::BTreeMap;

use paasta_common::spec::BounceMethod;

use super::*;
use crate::{
    build::{Cluster, app_id, spec},
    state::{
        absence::Removal,
        command::{Absent, Command, DropInstance, ForceBounce, NoteAbsence, SetOverride},
        departed::{DEPARTED_MAX, RECORDS_MAX, REMEMBERED_MS},
        overrides::OverrideKind,
    },
};

const PATIENCE_MS: u64 = 60_000;
const TERM: u64 = 7;

fn ids(count: usize) -> Vec<InstanceId> {
    (0..count)
        .map(|number| format!("s{number}.main").parse().unwrap())
        .collect()
}

/// A cluster that declares so many instances.
fn declared(count: usize) -> (Cluster, Vec<InstanceId>) {
    let mut cluster = Cluster::new(0);
    let all = ids(count);
    for id in &all {
        cluster.set(id, spec(id, 1, 1, BounceMethod::Crossover));
    }
    (cluster, all)
}

fn remove(cluster: &mut Cluster, ids: &[InstanceId], force: bool) -> Outcome {
    let ids = ids.iter().cloned().collect();
    cluster.apply(Command::RemoveInstances(RemoveInstances {
        ids,
        force,
        rule: None,
    }))
}

fn by_rule(cluster: &mut Cluster, ids: &[InstanceId]) -> Outcome {
    let rule = RemovalRule {
        leadership: TERM,
        now: cluster.now,
        guard: RemovalGuard::default(),
    };
    cluster.apply(Command::RemoveInstances(RemoveInstances {
        ids: ids.iter().cloned().collect(),
        force: false,
        rule: Some(rule),
    }))
}

fn note(cluster: &mut Cluster, leadership: u64, absent: &[InstanceId], back: &[InstanceId]) {
    let one = |id: &InstanceId| {
        let waited_ms = match cluster
            .state
            .instance(id)
            .and_then(|one| one.absence.as_ref())
        {
            Some(known) => known.waited_at(leadership, cluster.now),
            None => 0,
        };
        let removal = Removal::Undeclared;
        (id.clone(), Absent { removal, waited_ms })
    };
    let absent: BTreeMap<_, _> = absent.iter().map(one).collect();
    cluster.must(Command::NoteAbsence(NoteAbsence {
        leadership,
        now: cluster.now,
        patience_ms: PATIENCE_MS,
        guard: RemovalGuard::default(),
        absent,
        back: back.iter().cloned().collect(),
    }));
}

fn later(cluster: &mut Cluster, ms: u64) {
    cluster.now = cluster.now.after_ms(ms);
}

fn is_declared(cluster: &Cluster, id: &InstanceId) -> bool {
    cluster.state.instance(id).is_some_and(|one| one.declared)
}

#[test]
fn in_logs_without_a_rule_half_may_go_at_once_and_more_only_by_force() {
    let (mut cluster, all) = declared(4);
    let too_many = |removed| Outcome::Refused(Reason::TooManyRemoved { removed, total: 4 });
    assert_eq!(remove(&mut cluster, &all[..3], false), too_many(3));
    assert!(cluster.state.instances().all(|(_, record)| record.declared));
    assert_eq!(remove(&mut cluster, &all[..2], false), Outcome::Applied);
    assert_eq!(remove(&mut cluster, &all[..2], false), Outcome::Unchanged);
    assert_eq!(remove(&mut cluster, &all[2..3], false), too_many(3));
    assert_eq!(remove(&mut cluster, &all, true), Outcome::Applied);
    assert!(
        cluster
            .state
            .instances()
            .all(|(_, record)| !record.declared)
    );
    assert!(cluster.state.departed().is_empty());
    let unknown = &ids(9)[8..];
    assert_eq!(remove(&mut cluster, unknown, false), Outcome::Unchanged);
}

#[test]
fn nothing_goes_before_its_patience_is_over() {
    let (mut cluster, all) = declared(4);
    let one = &all[..1];
    let early = Outcome::Refused(Reason::AbsentTooShort {
        instance: all[0].clone(),
    });
    assert_eq!(by_rule(&mut cluster, one), early, "nobody missed it");
    note(&mut cluster, TERM, one, &[]);
    later(&mut cluster, PATIENCE_MS - 1);
    assert_eq!(by_rule(&mut cluster, one), early);
    note(&mut cluster, TERM, &[], one);
    later(&mut cluster, 1);
    assert_eq!(by_rule(&mut cluster, one), early, "it was back");
    note(&mut cluster, TERM, one, &[]);
    later(&mut cluster, PATIENCE_MS);
    assert_eq!(by_rule(&mut cluster, one), Outcome::Applied);
    assert!(!is_declared(&cluster, &all[0]));
    let texts: Vec<&str> = cluster
        .state
        .events()
        .map(|one| one.text.as_str())
        .collect();
    assert!(
        texts
            .iter()
            .any(|text| text.contains("unless it comes back within 60 s")),
        "{texts:?}"
    );
    assert!(
        texts
            .last()
            .unwrap()
            .contains("no longer declared for 60 s: draining"),
        "{texts:?}"
    );
}

#[test]
fn an_election_keeps_what_was_waited_and_no_two_clocks_are_compared() {
    let (mut cluster, all) = declared(4);
    let one = &all[..1];
    note(&mut cluster, TERM - 1, one, &[]);
    later(&mut cluster, 40_000);
    note(&mut cluster, TERM - 1, one, &[]);
    // The clock of the next leader is two hours ahead: what it says of the other is nothing.
    later(&mut cluster, 7_200_000);
    assert!(matches!(by_rule(&mut cluster, one), Outcome::Refused(_)));
    note(&mut cluster, TERM, one, &[]);
    let absence = cluster
        .state
        .instance(&all[0])
        .unwrap()
        .absence
        .clone()
        .unwrap();
    assert_eq!(absence.waited_ms, 40_000);
    assert_eq!(absence.until.since_ms(cluster.now), 20_000);
    later(&mut cluster, 19_999);
    assert!(matches!(by_rule(&mut cluster, one), Outcome::Refused(_)));
    later(&mut cluster, 1);
    assert_eq!(by_rule(&mut cluster, one), Outcome::Applied);
}

#[test]
fn the_guard_counts_a_window_whatever_the_pieces() {
    let (mut cluster, all) = declared(10);
    for (at, id) in all.iter().enumerate() {
        note(&mut cluster, TERM, std::slice::from_ref(id), &[]);
        later(&mut cluster, PATIENCE_MS);
        let outcome = by_rule(&mut cluster, std::slice::from_ref(id));
        match at {
            0..5 => assert_eq!(outcome, Outcome::Applied, "{id}"),
            // Refused from the moment at which the sum is more than half.
            _ => assert!(
                matches!(
                    outcome,
                    Outcome::Refused(Reason::RemovalsHeldBack { total: 10, .. })
                ),
                "{id}: {outcome:?}"
            ),
        }
        // What has gone is dropped, and counts all the same.
        if at < 5 {
            cluster.must(Command::DropInstance(DropInstance { id: id.clone() }));
        }
    }
    let held = cluster.state.held_back().unwrap();
    assert_eq!((held.removed, held.total), (10, 10));
    let said = cluster
        .state
        .events()
        .filter(|one| one.text.contains("held back"));
    assert_eq!(said.count(), 1, "it is said once");
    // What comes back counts no more.
    for id in &all[..5] {
        cluster.set(id, spec(id, 1, 1, BounceMethod::Crossover));
    }
    note(&mut cluster, TERM, &[], &all[6..]);
    assert!(cluster.state.held_back().is_none());
    assert_eq!(by_rule(&mut cluster, &all[5..6]), Outcome::Applied);
}

#[test]
fn all_together_go_none() {
    let (mut cluster, all) = declared(10);
    for id in &all {
        note(&mut cluster, TERM, std::slice::from_ref(id), &[]);
        later(&mut cluster, 500);
    }
    later(&mut cluster, PATIENCE_MS);
    // Not even the first ones.
    assert!(matches!(
        by_rule(&mut cluster, &all[..1]),
        Outcome::Refused(_)
    ));
    assert!(all.iter().all(|id| is_declared(&cluster, id)));
    let rule = RemovalRule {
        leadership: 0,
        now: cluster.now,
        guard: RemovalGuard::default(),
    };
    let meant = RemoveInstances {
        ids: all.iter().cloned().collect(),
        force: true,
        rule: Some(rule),
    };
    cluster.must(Command::RemoveInstances(meant));
    assert!(all.iter().all(|id| !is_declared(&cluster, id)));
    assert!(cluster.state.held_back().is_none());
}

#[test]
fn what_goes_slowly_is_meant() {
    let (mut cluster, all) = declared(3);
    for id in &all {
        note(&mut cluster, TERM, std::slice::from_ref(id), &[]);
        later(&mut cluster, PATIENCE_MS);
        assert_eq!(
            by_rule(&mut cluster, std::slice::from_ref(id)),
            Outcome::Applied
        );
        cluster.must(Command::DropInstance(DropInstance { id: id.clone() }));
        later(&mut cluster, 40 * 60_000);
    }
}

#[test]
fn what_returns_within_a_day_is_as_it_was() {
    for (away_ms, remembered) in [(1_000, true), (REMEMBERED_MS, false)] {
        let (mut cluster, all) = declared(4);
        let id = &all[0];
        let declared = |version| spec(id, version, 1, BounceMethod::Crossover);
        cluster.must(Command::SetOverride(SetOverride {
            instance: id.clone(),
            kind: Some(OverrideKind::Stop),
            only: None,
        }));
        let changes = cluster.state.instance(id).unwrap().history.iter().len();
        note(&mut cluster, TERM, std::slice::from_ref(id), &[]);
        later(&mut cluster, PATIENCE_MS);
        assert_eq!(
            by_rule(&mut cluster, std::slice::from_ref(id)),
            Outcome::Applied
        );
        cluster.must(Command::DropInstance(DropInstance { id: id.clone() }));
        assert!(cluster.state.instance(id).is_none());
        later(&mut cluster, away_ms);
        cluster.set(id, declared(1));
        let back = cluster.state.instance(id).unwrap();
        assert_eq!(back.wanted(), u32::from(!remembered), "the emergency stop");
        let now = back.history.iter().len();
        assert_eq!(now > changes, remembered, "{now} changes, {changes} before");
        assert!(cluster.state.departed().is_empty());
    }
}

#[test]
fn a_pinned_app_outlives_a_removal_and_a_new_version_ends_it() {
    for (version, stays) in [(1, true), (2, false)] {
        let (mut cluster, all) = declared(4);
        let id = &all[0];
        cluster.must(Command::ForceBounce(ForceBounce {
            instance: id.clone(),
            reason: "a leak".to_owned(),
        }));
        let pinned = cluster.state.instance(id).unwrap().desired_app().clone();
        note(&mut cluster, TERM, std::slice::from_ref(id), &[]);
        later(&mut cluster, PATIENCE_MS);
        assert_eq!(
            by_rule(&mut cluster, std::slice::from_ref(id)),
            Outcome::Applied
        );
        cluster.must(Command::DropInstance(DropInstance { id: id.clone() }));
        assert!(cluster.state.app(&pinned).is_none());
        cluster.set(id, spec(id, version, 1, BounceMethod::Crossover));
        let desired = cluster.state.instance(id).unwrap().desired_app().clone();
        let wanted = if stays {
            pinned.clone()
        } else {
            app_id(id, version)
        };
        assert_eq!(desired, wanted);
        assert_eq!(cluster.state.app(&pinned).is_some(), stays);
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut cluster = Cluster::new(0);
    let id = ids(1).remove(0);
    cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
    let instance = cluster.state.instance(&id).unwrap().clone();
    for number in 0..DEPARTED_MAX + 10 {
        let departed = Departed {
            at: cluster.now.after_ms(number as u64),
            counted: true,
            record: Some(Box::new(crate::state::departed::Remembered {
                instance: instance.clone(),
                apps: BTreeMap::new(),
            })),
        };
        let id = format!("gone{number}.main").parse().unwrap();
        cluster.state.tables.departed.insert(id, departed);
    }
    let newest = cluster.now.after_ms(DEPARTED_MAX as u64 + 10);
    cluster.state.bound_departed(newest);
    let departed = cluster.state.departed();
    let records = departed.values().filter(|one| one.record.is_some()).count();
    assert_eq!((departed.len(), records), (DEPARTED_MAX, RECORDS_MAX));
    assert!(!departed.contains_key(&"gone0.main".parse().unwrap()));
    cluster.state.bound_departed(newest.after_ms(REMEMBERED_MS));
    assert!(cluster.state.departed().is_empty());
}
