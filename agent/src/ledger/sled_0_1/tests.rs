//! A ledger that version 0.1 wrote is taken over whole, whenever the upgrade is interrupted.
//!
//! `tests/data/ledger-0.1.tar.gz` is the state directory of an agent of version 0.1, made by its own
//! ledger: three saves, an app of 20 kB in several chunks, and a record in each stage.

use std::process::Command;

use paasta_agent_core::{
    health::Checks,
    state::{Draining, MemoryKills, Stage, Then, Topic},
};
use paasta_common::report::{EndCause, RunEnd, Trouble};

use super::*;
use crate::ledger::{Ledger, disk};

const NOW: Timestamp = Timestamp(9);
const AT: Timestamp = Timestamp(1_700_000_000_000);

fn unpacked() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ledger-0.1.tar.gz");
    let unpacked = Command::new("tar")
        .args(["-xzf", archive, "-C"])
        .arg(dir.path())
        .status();
    assert!(unpacked.unwrap().success());
    dir
}

fn fence(generation: u64) -> Fence {
    Fence {
        cluster_id: "c".to_owned(),
        epoch: 1,
        term: 1,
        generation,
    }
}

/// What version 0.1 saved.
fn expected() -> LocalState {
    let mut spec = AppSpec::default();
    spec.env.insert("BIG".to_owned(), "x".repeat(20_000));
    let spec = Arc::new(spec);
    let replica = |id: u64| AssignedReplica {
        instance: "hello.main".parse().unwrap(),
        app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
        spec: Arc::clone(&spec),
        run: Arc::new(RunSettings::default()),
        want: match id {
            3 => Want::Drain,
            4 => Want::Stop,
            _ => Want::Run,
        },
        tried: match id {
            2 => Tried {
                failures: 3,
                reset: 9,
            },
            _ => Tried::default(),
        },
    };
    let running = |id: u16| Stage::Running {
        container: format!("container{id}"),
        host_port: Some(31_000 + id),
        started_at: AT,
        checks: Checks::new(None, AT),
    };
    let record = |id: u64, run: u64, stage: Stage| Record {
        run,
        stage,
        failures: 0,
        reset: 0,
        ..Record::new(&replica(id))
    };
    let mut one = record(1, 4, running(1));
    one.digest = Some("sha256:1".to_owned());
    one.memory_kills = MemoryKills {
        count: 2,
        last_at: Some(AT),
        outlived: 1,
    };
    let until = Some(AT.after_ms(90_000));
    let mut two = record(2, 7, Stage::Waiting { until });
    two.failures = 5;
    two.troubles.add(Trouble::Exited, 5);
    two.troubles.add(Trouble::CrashLoop, 1);
    two.last_end = Some(RunEnd {
        run: 7,
        at: AT,
        cause: EndCause::Exited,
        exit_code: Some(3),
        signal: None,
        out_of_memory: false,
        memory_kills: 0,
        last_words: "boom".to_owned(),
    });
    two.say(Topic::End, "run 7 exited with code 3");
    let mut three = record(3, 1, running(3));
    three.drain = Some(Draining {
        since: AT,
        safe: true,
        told: true,
        told_at: Some(AT),
    });
    let ending = Stage::Ending {
        host_port: Some(31_004),
        then: Then::Gone,
    };
    let (four, five) = (record(4, 2, ending), record(5, 0, Stage::Pulling));
    // No longer assigned.
    let six = record(6, 2, running(6));
    let records = [one, two, three, four, five, six];
    LocalState {
        accepted: Some(fence(42)),
        assignment: Some(Assignment {
            fence: fence(42),
            host: "h1".parse().unwrap(),
            replicas: (1..=5).map(|id| (ReplicaId(id), replica(id))).collect(),
        }),
        records: (1..).map(ReplicaId).zip(records).collect(),
        ..LocalState::default()
    }
}

fn save(ledger: &mut Ledger, state: &LocalState) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    assert!(runtime.unwrap().block_on(ledger.save(state)).unwrap());
}

#[test]
fn an_interrupted_upgrade_takes_over_the_ledger_of_version_0_1() {
    let dir = unpacked();
    let root = dir.path();
    let looked = Ledger::peek(root).unwrap_err().to_string();
    assert!(
        looked.contains("start this version of the agent once"),
        "{looked}"
    );
    // The process ends before its first save, more than once.
    for _ in 0..3 {
        let (_ledger, opened) = Ledger::open(root, NOW).unwrap();
        assert_eq!(opened.damage, None);
        assert_eq!(opened.state, expected());
        assert!(root.join(DIRECTORY).is_dir() && !root.join(NEWEST).exists());
        assert!(matches!(Ledger::peek(root), Err(LedgerError::Old { .. })));
    }
    let (mut ledger, opened) = Ledger::open(root, NOW).unwrap();
    save(&mut ledger, &opened.state);
    drop(ledger);
    // It ends between the save and the removal.
    assert!(root.join(DIRECTORY).is_dir() && root.join(MARK).is_file());
    let (_ledger, opened) = Ledger::open(root, NOW).unwrap();
    assert_eq!((opened.state, opened.damage), (expected(), None));
    let mut names: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger", disk::BEFORE, "lock"]);
}

#[test]
fn a_damaged_ledger_of_version_0_1_leaves_its_fence() {
    let dir = unpacked();
    let root = dir.path();
    fs::write(root.join("ledger/db"), b"").unwrap();
    let (mut ledger, opened) = Ledger::open(root, NOW).unwrap();
    let damage = opened.damage.unwrap();
    assert_eq!(damage.remains, Remains::Fence);
    assert!(
        damage.reason.contains("it ends at save 0 and"),
        "{}",
        damage.reason
    );
    assert!(damage.set_aside.join("db").is_file());
    let only_fence = LocalState {
        accepted: Some(fence(42)),
        ..LocalState::default()
    };
    assert_eq!(opened.state, only_fence);
    save(&mut ledger, &only_fence);
    drop(ledger);
    assert_eq!(Ledger::open(root, NOW).unwrap().1.state, only_fence);
    assert!(!root.join(MARK).exists());
}

#[test]
fn after_a_downgrade_the_newer_directory_counts() {
    let dir = unpacked();
    let root = dir.path();
    let (ledger, _) = Ledger::open(root, NOW).unwrap();
    drop(ledger);
    // Version 0.1 began anew and wrote a directory beside the one that was set aside.
    let again = unpacked();
    fs::rename(again.path().join(NEWEST), root.join(NEWEST)).unwrap();
    fs::write(root.join(DIRECTORY).join("db"), b"old").unwrap();
    let (_ledger, opened) = Ledger::open(root, NOW).unwrap();
    assert_eq!((opened.state, opened.damage), (expected(), None));
}

#[test]
fn a_copy_that_a_downgrade_left_is_older_than_the_directory() {
    let dir = unpacked();
    let root = dir.path();
    let (mut ledger, opened) = Ledger::open(root, NOW).unwrap();
    let mut older = opened.state;
    older.accepted = Some(fence(1));
    older.assignment = None;
    save(&mut ledger, &older);
    drop(ledger);
    // Only one of the two files was removed before version 0.1 was started again.
    let again = unpacked();
    fs::remove_file(root.join(NEWEST)).unwrap();
    fs::rename(again.path().join(NEWEST), root.join(NEWEST)).unwrap();
    fs::copy(again.path().join(MARK), root.join(MARK)).unwrap();
    let (_ledger, opened) = Ledger::open(root, NOW).unwrap();
    assert_eq!((opened.state, opened.damage), (expected(), None));
}

#[test]
fn a_removed_ledger_takes_that_of_version_0_1_with_it() {
    let dir = unpacked();
    let (ledger, opened) = Ledger::open(dir.path(), NOW).unwrap();
    assert_eq!(opened.state, expected());
    ledger.remove().unwrap();
    let (_ledger, opened) = Ledger::open(dir.path(), NOW).unwrap();
    assert_eq!((opened.state, opened.damage), (LocalState::default(), None));
}

#[test]
fn a_database_that_another_process_closes_is_waited_for() {
    let dir = unpacked();
    let held = sled::open(dir.path().join(NEWEST)).unwrap();
    let (sender, opened) = std::sync::mpsc::sync_channel(1);
    let root = dir.path().to_owned();
    let opening = std::thread::spawn(move || {
        let (_ledger, opened) = Ledger::open(&root, NOW).unwrap();
        sender.send(opened).is_ok()
    });
    let early = opened.recv_timeout(std::time::Duration::from_millis(300));
    assert!(early.is_err(), "it is held");
    drop(held);
    assert_eq!(opened.recv().unwrap().state, expected());
    assert!(opening.join().unwrap());
}
