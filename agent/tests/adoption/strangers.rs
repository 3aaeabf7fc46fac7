//! Whose containers are not ours are never touched, however many they are and whatever they look
//! like; ours that nothing accounts for go, dead or alive, when they are old enough (I5).

use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{assignment::Want, id::ReplicaId, report::Phase};

use crate::world::{Host, REAP_AGE_MS, assignment, fence};

/// Puts a thousand there that are not ours, each in its own way.
fn strangers(host: &Host) {
    for number in 0..1_000 {
        let name = format!("stranger{number}");
        let replica = format!("r{number}");
        let ours = [
            (labels::CLUSTER, "c1"),
            (labels::HOST, "host1"),
            (labels::REPLICA, replica.as_str()),
            (labels::RUN, "1"),
        ];
        let but = |key: &'static str, value: &'static str| {
            ours.map(|(known, held)| (known, if known == key { value } else { held }))
        };
        let labels = match number % 8 {
            0 => Vec::new(),
            1 => but(labels::CLUSTER, "c2").to_vec(),
            2 => but(labels::CLUSTER, "c").to_vec(),
            3 => but(labels::CLUSTER, "c1 ").to_vec(),
            4 => but(labels::HOST, "host2").to_vec(),
            5 => but(labels::HOST, "host11").to_vec(),
            6 => ours
                .iter()
                .filter(|(key, _)| *key != labels::CLUSTER)
                .copied()
                .collect(),
            _ => vec![("com.paasta_cluster", "c1"), ("paasta_hosts", "host1")],
        };
        let state = match number % 3 {
            0 => ContainerState::Exited,
            _ => ContainerState::Running,
        };
        host.put(&name, &labels, state);
    }
}

#[test]
fn a_thousand_strangers_live_and_orphans_go_when_they_are_old_enough() {
    let host = Host::new();
    strangers(&host);
    let before = host.engine.containers();
    let life = host.live();
    let ours = |replica| {
        [
            (labels::CLUSTER, "c1"),
            (labels::HOST, "host1"),
            (labels::REPLICA, replica),
            (labels::RUN, "1"),
        ]
    };
    host.put("alive", &ours("r91"), ContainerState::Running);
    host.put("dead", &ours("r92"), ContainerState::Exited);
    host.put("never started", &ours("r93"), ContainerState::Created);
    host.put("spoilt", &ours("ninety-four"), ContainerState::Running);
    let orphans = || host.engine.containers().len() - before.len();
    // They are old enough, but nobody has said what should be here.
    host.clock.advance_ms(REAP_AGE_MS);
    life.ticks(500);
    assert_eq!(orphans(), 4);
    // Nor can be reaped what cannot be listed.
    host.engine
        .faults(|faults| faults.refuses = Some("out of order".to_owned()));
    assert_eq!(
        life.order(assignment(fence(1, 1, 1), &[(1, Want::Run)])),
        Ok(())
    );
    life.ticks(1_000);
    assert_eq!(orphans(), 4);
    host.engine.faults(|faults| faults.refuses = None);
    host.put("young", &ours("r95"), ContainerState::Running);
    let is_there = |name: &str| host.engine.containers().contains_key(name);
    let old = ["alive", "dead", "never started", "spoilt"];
    life.until("the old ones are gone", |_| {
        !old.iter().any(|name| is_there(name))
    });
    assert!(is_there("young"));
    let report =
        |view: &paasta_agent::agent::View| view.reports.get(&ReplicaId(1)).map(|r| r.phase);
    life.until("r1 runs", |view| report(view) == Some(Phase::Running));
    life.until("the young one is gone in its time", |_| !is_there("young"));
    // What ours were called is free again, and not one of the others has changed.
    life.ticks(500);
    let mut after = host.engine.containers();
    after.retain(|name, _| name != "paasta-hello.main-r1-1");
    assert!(after == before, "a stranger was touched");
}
