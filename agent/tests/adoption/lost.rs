//! A ledger that is deleted, cut short or spoilt: nothing is started, ended or reaped on its
//! account before a complete assignment says what should run, and then everything is taken over.

use std::{fs, path::Path};

use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{
    assignment::{FenceError, Want},
    id::ReplicaId,
    report::Health,
};

use crate::world::{Host, REAP_AGE_MS, assignment, fence};

const BOTH: [(u64, Want); 2] = [(1, Want::Run), (2, Want::Run)];

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let at = at(used);
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn cut_to(path: &Path, length: impl Fn(u64) -> u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length(file.metadata().unwrap().len()))
        .unwrap();
}

#[test]
fn whatever_becomes_of_the_ledger_what_runs_is_taken_over_and_nothing_is_reaped_before() {
    type Damage = fn(&Path);
    const FILES: [&str; 2] = ["ledger", "ledger.before"];
    let damages: [(&str, Damage); 10] = [
        ("all of it deleted", |state| {
            fs::remove_dir_all(state).unwrap()
        }),
        ("the newest file deleted", |state| {
            fs::remove_file(state.join("ledger")).unwrap()
        }),
        ("the file before deleted", |state| {
            fs::remove_file(state.join("ledger.before")).unwrap()
        }),
        ("cut to nothing", |state| {
            cut_to(&state.join("ledger"), |_| 0)
        }),
        ("cut in half", |state| {
            cut_to(&state.join("ledger"), |length| length / 2)
        }),
        ("a bit flipped in front", |state| {
            flip(&state.join("ledger"), |_| 40)
        }),
        ("a bit flipped in the middle", |state| {
            flip(&state.join("ledger"), |used| used / 2)
        }),
        ("a bit flipped in the middle of both", |state| {
            FILES
                .iter()
                .for_each(|file| flip(&state.join(file), |used| used / 2));
        }),
        ("both cut in half", |state| {
            FILES
                .iter()
                .for_each(|file| cut_to(&state.join(file), |length| length / 2));
        }),
        ("both cut to nothing", |state| {
            FILES
                .iter()
                .for_each(|file| cut_to(&state.join(file), |_| 0));
        }),
    ];
    for (what, damage) in damages {
        let host = Host::new();
        let life = host.live();
        assert_eq!(life.order(assignment(fence(2, 3, 7), &BOTH)), Ok(()));
        let well = |id, view: &paasta_agent::agent::View| {
            view.reports
                .get(&ReplicaId(id))
                .is_some_and(|report| report.health == Health::Healthy)
        };
        life.until("both are healthy", |view| well(1, view) && well(2, view));
        let before = host.running();
        assert_eq!(before.len(), 2);
        drop(life);
        damage(&host.state_dir());
        // What an earlier ledger may have accounted for: only an assignment can tell.
        let ours = [
            (labels::CLUSTER, "c1"),
            (labels::HOST, "host1"),
            (labels::REPLICA, "r9"),
            (labels::RUN, "1"),
        ];
        host.put("orphan", &ours, ContainerState::Running);
        host.clock.advance_ms(REAP_AGE_MS * 2);

        let life = host.live();
        let known = life.view().accepted.is_some() && !life.view().reports.is_empty();
        life.ticks(1_000);
        let mut now = host.running();
        assert_eq!(
            now.remove("orphan").is_none(),
            known,
            "{what}: reaped on a guess"
        );
        assert_eq!(now, before, "{what}: touched before an assignment");
        if life.view().accepted.is_some() {
            for older in [fence(2, 3, 6), fence(2, 2, 7), fence(1, 9, 9)] {
                let refused = life.order(assignment(older, &[]));
                assert!(matches!(refused, Err(FenceError::Older { .. })), "{what}");
            }
        }
        assert_eq!(life.order(assignment(fence(2, 3, 8), &BOTH)), Ok(()));
        life.until("taken over", |view| well(1, view) && well(2, view));
        life.until("reaped", |_| !host.running().contains_key("orphan"));
        assert_eq!(
            (host.running(), host.engine.created()),
            (before, 2),
            "{what}"
        );
    }
}

#[test]
fn a_ledger_refuses_older_orders_after_a_restart_and_another_hosts_is_not_used() {
    let host = Host::new();
    let life = host.live();
    assert_eq!(life.order(assignment(fence(2, 3, 7), &BOTH)), Ok(()));
    life.until("accepted", |view| view.generation() == 7);
    life.ticks(50);
    drop(life);
    let life = host.live();
    for older in [fence(2, 3, 6), fence(2, 2, 8), fence(1, 9, 9)] {
        let refused = life.order(assignment(older, &[]));
        assert!(
            matches!(refused, Err(FenceError::Older { .. })),
            "{refused:?}"
        );
    }
    let mut foreign = fence(9, 9, 99);
    foreign.cluster_id = "c2".to_owned();
    let refused = life.order(assignment(foreign, &[]));
    assert!(
        matches!(refused, Err(FenceError::OtherCluster { .. })),
        "{refused:?}"
    );
    // A later term, and a recovered cluster whose log began anew, are newer.
    for newer in [fence(2, 4, 7), fence(3, 1, 1)] {
        assert_eq!(life.order(assignment(newer, &BOTH)), Ok(()));
    }
    life.ticks(50);
    drop(life);
    let refused = host.try_live("host2").err().unwrap();
    assert!(
        refused
            .to_string()
            .contains("is of host host1, this is host2"),
        "{refused}"
    );
}

#[test]
fn an_upgrade_from_version_0_1_touches_nothing_that_runs() {
    let host = Host::new();
    let life = host.live();
    let order = assignment(fence(2, 3, 7), &BOTH);
    assert_eq!(life.order(order), Ok(()));
    let well = |id, run, view: &paasta_agent::agent::View| {
        view.reports
            .get(&ReplicaId(id))
            .is_some_and(|report| report.health == Health::Healthy && report.run == run)
    };
    life.until("both are healthy", |view| {
        well(1, 1, view) && well(2, 1, view)
    });
    host.engine.crash("paasta-hello.main-r1-1", 3);
    life.until("run 2", |view| well(1, 2, view));
    let before = host.running();
    let known = life.view();
    drop(life);
    // The state directory that an agent of version 0.1 left at this point of the same story.
    fs::remove_dir_all(host.state_dir()).unwrap();
    fs::create_dir(host.state_dir()).unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state-0.1.tar.gz");
    let unpacked = std::process::Command::new("tar")
        .args(["-xzf", archive, "-C"])
        .arg(host.state_dir())
        .status();
    assert!(unpacked.unwrap().success());
    assert!(host.state_dir().join("ledger/db").is_file());

    for _ in 0..3 {
        let life = host.live();
        let taken = life.view();
        assert_eq!(taken.accepted, known.accepted);
        let report = &taken.reports[&ReplicaId(1)];
        assert_eq!(
            (report.run, report.failures),
            (2, 1),
            "the count of failures"
        );
        assert_eq!(report.last_end, known.reports[&ReplicaId(1)].last_end);
        // No coordinator is heard from.
        life.ticks(1_000);
        assert!(well(1, 2, &life.view()) && well(2, 1, &life.view()));
        assert_eq!((host.running(), host.engine.created()), (before.clone(), 3));
        let older = life.order(assignment(fence(2, 3, 6), &[]));
        assert!(matches!(older, Err(FenceError::Older { .. })), "{older:?}");
    }
    assert!(host.state_dir().join("ledger").is_file());
    assert!(!host.state_dir().join("ledger.sled").exists());
    assert!(!host.state_dir().join("ledger.mark").exists());
}
