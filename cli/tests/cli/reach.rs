//! Getting to a coordinator that can answer, and giving up in time when there is none.

use std::time::{Duration, Instant};

use paasta_proto::v1::{NodeResponse, NodeRole};
use tonic::Status;

use crate::{
    fake::{Fake, Script, mute, nobody},
    paasta::{paasta, paasta_with},
};

/// Room for starting a process on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

fn ready() -> Fake {
    Fake::start(Script {
        page: 10,
        ..Script::default()
    })
}

#[test]
fn nobody_there_is_3_within_the_timeout() {
    let addresses = format!("{},{}", nobody(), nobody());
    let begun = Instant::now();
    let ran = paasta(&["list", "--coordinators", &addresses, "--timeout", "1s"]).exits(3);
    assert!(
        begun.elapsed() < Duration::from_secs(1) + SLACK,
        "{:?}",
        begun.elapsed()
    );
    for address in addresses.split(',') {
        assert!(ran.stderr.contains(&format!("{address}: ")), "{ran:?}");
    }
    assert!(
        ran.stderr.contains("refused") && ran.stderr.contains("Next: "),
        "{ran:?}"
    );
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_coordinator_that_never_answers_is_given_up_in_time() {
    let (_listener, address) = mute();
    let begun = Instant::now();
    let ran = paasta(&["status", "--coordinators", &address, "--timeout", "1s"]).exits(3);
    assert!(
        begun.elapsed() < Duration::from_secs(1) + SLACK,
        "{:?}",
        begun.elapsed()
    );
    assert!(ran.stderr.contains("no answer in time"), "{ran:?}");
}

#[test]
fn the_next_one_is_asked_when_the_first_is_away_mute_or_without_a_leader() {
    let fake = ready();
    let leaderless = Fake::start(Script {
        always: Some(Status::unavailable("no leader")),
        ..Script::default()
    });
    let fresh = Fake::start(Script {
        always: Some(Status::failed_precondition("no cluster")),
        ..Script::default()
    });
    let (_listener, mute) = mute();
    for bad in [
        nobody(),
        mute,
        leaderless.address.clone(),
        fresh.address.clone(),
    ] {
        let addresses = format!("{bad},{}", fake.address);
        paasta(&["list", "--coordinators", &addresses, "--timeout", "4s"]).exits(0);
    }
    assert_eq!((leaderless.calls(), fresh.calls()), (1, 1));
}

#[test]
fn an_election_is_waited_for() {
    let first = vec![
        Status::unavailable("no leader"),
        Status::unavailable("no leader"),
    ];
    let fake = Fake::start(Script {
        first,
        page: 10,
        ..Script::default()
    });
    paasta(&["list", "--coordinators", &fake.address]).exits(0);
    assert_eq!(fake.calls(), 3);
}

#[test]
fn without_a_leader_the_answer_names_the_next_step() {
    let always = Some(Status::unavailable("there is no leader now"));
    let node = NodeResponse {
        id: 4,
        role: NodeRole::Candidate.into(),
        ..NodeResponse::default()
    };
    let fake = Fake::start(Script {
        always,
        node,
        ..Script::default()
    });
    let status = paasta(&["status", "--coordinators", &fake.address, "--timeout", "1s"]).exits(2);
    for words in [
        "no leader: 1 of 1 coordinators answers",
        "4 at ",
        "candidate",
        "What runs on the hosts goes on",
        "--stale",
    ] {
        assert!(status.stderr.contains(words), "{words}: {status:?}");
    }
    let meta = paasta(&[
        "metastatus",
        "--coordinators",
        &fake.address,
        "--timeout",
        "1s",
    ])
    .exits(2);
    assert!(meta.stdout.contains("candidate"), "{meta:?}");
}

#[test]
fn a_refusal_is_final() {
    let always = Some(Status::permission_denied("readers may not"));
    let fake = Fake::start(Script {
        always,
        ..Script::default()
    });
    let other = ready();
    let addresses = format!("{},{}", fake.address, other.address);
    let ran = paasta(&["list", "--coordinators", &addresses]).exits(1);
    assert!(ran.stderr.contains("readers may not"), "{ran:?}");
    assert_eq!((fake.calls(), other.calls()), (1, 0));
}

#[test]
fn no_cluster_yet_is_said_at_once() {
    let always = Some(Status::failed_precondition(
        "run `paasta cluster init` once",
    ));
    let fake = Fake::start(Script {
        always,
        ..Script::default()
    });
    let begun = Instant::now();
    let ran = paasta(&["list", "--coordinators", &fake.address, "--timeout", "1h"]).exits(1);
    assert!(begun.elapsed() < SLACK);
    assert!(ran.stderr.contains("paasta cluster init"), "{ran:?}");
}

#[test]
fn the_addresses_come_from_the_flag_then_the_environment_then_the_configuration() {
    let fake = ready();
    let dir = tempfile::tempdir().expect("a directory");
    let yaml = format!(
        "cluster: demo\ncli:\n  coordinators: [\"{}\"]\n",
        fake.address
    );
    std::fs::write(dir.path().join("paasta.yaml"), yaml).expect("write the configuration");
    let config = dir.path().to_str().expect("a path in UTF-8");
    paasta(&["list", "--config-dir", config]).exits(0);
    let away = nobody();
    let env = [("PAASTA_COORDINATORS", away.as_str())];
    paasta_with(
        &["list", "--config-dir", config, "--timeout", "1s"],
        &env,
        "",
    )
    .exits(3);
    paasta_with(&["list", "--coordinators", &fake.address], &env, "").exits(0);
    let none = paasta(&["list"]).exits(1);
    assert!(none.stderr.contains("--coordinators"), "{none:?}");
}
