//! What was saved is there after a restart; what is damaged is set aside and said.

use std::sync::Arc;

use paasta_agent_core::state::{Record, Stage, Topic};
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::ReplicaId,
    report::{EndCause, Trouble},
    spec::RunSettings,
    unrecognized::UnrecognizedWord,
};

use super::*;

fn fence(generation: u64) -> Fence {
    Fence {
        cluster_id: "c".to_owned(),
        epoch: 1,
        term: 1,
        generation,
    }
}

fn state(generation: u64, replicas: u64, env_bytes: usize) -> LocalState {
    let mut spec = AppSpec::default();
    spec.env.insert("BIG".to_owned(), "x".repeat(env_bytes));
    let spec = Arc::new(spec);
    let replica = |id| {
        let replica = AssignedReplica {
            instance: "hello.main".parse().unwrap(),
            app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
            spec: Arc::clone(&spec),
            run: Arc::new(RunSettings::default()),
            want: Want::Run,
            tried: Tried::default(),
        };
        (ReplicaId(id), replica)
    };
    let mut state = LocalState::default();
    let replicas = (1..=replicas).map(replica).collect();
    let assignment = Assignment {
        fence: fence(generation),
        host: "h1".parse().unwrap(),
        replicas,
    };
    state.accept(assignment.clone()).unwrap();
    for (id, replica) in &assignment.replicas {
        let mut record = Record::new(replica);
        record.stage = Stage::Starting {
            host_port: Some(31_000),
            attempts: 1,
        };
        state.records.insert(*id, record);
    }
    state
}

fn save(ledger: &mut Ledger, state: &LocalState) {
    let changes = ledger.changes(state).unwrap();
    let written = changes.write().unwrap();
    ledger.saved(written);
}

fn reopen(root: &Path) -> (Ledger, Opened) {
    Ledger::open(root, Timestamp(5)).unwrap()
}

#[test]
fn what_was_saved_is_there_again_and_only_changes_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, opened) = reopen(dir.path());
    assert_eq!((opened.state, opened.damage), (LocalState::default(), None));
    // An app of a quarter of a megabyte does not fit one record.
    let mut held = state(7, 3, 256 << 10);
    save(&mut ledger, &held);
    assert!(ledger.changes(&held).is_none(), "nothing changed");
    held.records.remove(&ReplicaId(2));
    held.records
        .get_mut(&ReplicaId(3))
        .unwrap()
        .say(Topic::End, "dead");
    save(&mut ledger, &held);
    drop(ledger);
    let (ledger, opened) = reopen(dir.path());
    assert_eq!((&opened.state, opened.damage), (&held, None));
    assert!(ledger.changes(&held).is_none());
    let apps: Vec<_> = opened
        .state
        .assignment
        .iter()
        .flat_map(|a| a.replicas.values())
        .collect();
    assert!(
        Arc::ptr_eq(&apps[0].spec, &apps[2].spec),
        "an app is held once"
    );
}

#[test]
fn the_ledger_of_a_newer_agent_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let held = state(7, 1, 10);
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &held);
    let mut record = serde_json::to_value(&held.records[&ReplicaId(1)]).unwrap();
    record["troubles"] = serde_json::json!({"exited": 2, "over_cpu": 3});
    record["last_end"] = serde_json::json!({
        "run": 1, "at": 5, "cause": {"over_cpu": {"used_ms": 9}}, "exit_code": null,
        "signal": null, "out_of_memory": false, "last_words": "",
    });
    let bytes = serde_json::to_vec(&record).unwrap();
    let found = ledger
        .store
        .as_ref()
        .unwrap()
        .db
        .scan_prefix(b"record/")
        .keys()
        .next();
    let key = found.unwrap().unwrap();
    ledger
        .store
        .as_ref()
        .unwrap()
        .db
        .insert(key, content::seal(1, &bytes))
        .unwrap();
    ledger.store.as_ref().unwrap().db.flush().unwrap();
    drop(ledger);
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!(opened.damage, None);
    let record = &opened.state.records[&ReplicaId(1)];
    let cause = record.last_end.as_ref().unwrap().cause;
    assert_eq!(
        cause,
        EndCause::Unrecognized(UnrecognizedWord::new("over-cpu"))
    );
    assert_eq!(record.troubles.of(Trouble::Exited), 2);
    assert_eq!(opened.state.assignment, held.assignment);
}

#[test]
fn two_agents_do_not_share_a_ledger_but_an_operator_may_look_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let held = state(7, 2, 10);
    save(&mut ledger, &held);
    assert!(matches!(
        Ledger::open(dir.path(), Timestamp(5)),
        Err(LedgerError::InUse { .. })
    ));
    assert_eq!(Ledger::peek(dir.path()).unwrap(), held);
    let left = fs::read_dir(dir.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".ledger")
    });
    assert_eq!(left.count(), 0, "no copy is left behind");
}

#[test]
fn what_is_left_of_the_last_user_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &state(7, 2, 10));
    // As a thread of sled or a child of the agent that ended would.
    let left = ledger.store.as_ref().unwrap().db.clone();
    drop(ledger);
    let (sender, reopened) = std::sync::mpsc::sync_channel(1);
    let path = dir.path().to_owned();
    let opening = std::thread::spawn(move || sender.send(reopen(&path)).is_ok());
    let early = reopened.recv_timeout(std::time::Duration::from_millis(300));
    assert!(early.is_err(), "it is held");
    drop(left);
    let (_ledger, opened) = reopened.recv().unwrap();
    assert!(opening.join().unwrap());
    assert_eq!(opened.damage, None);
    assert_eq!(opened.state, state(7, 2, 10));
}

#[test]
fn a_lost_tail_is_seen_set_aside_and_the_fence_survives() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &state(7, 2, 10));
    drop(ledger);
    let keep = dir.path().join("keep");
    copy_directory(&dir.path().join("ledger"), &keep).unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &state(9, 2, 10));
    drop(ledger);
    // The disk brings back the older ledger, as after a power loss: it opens without an error.
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    fs::rename(&keep, dir.path().join("ledger")).unwrap();
    let (_ledger, opened) = reopen(dir.path());
    let damage = opened.damage.unwrap();
    assert!(
        damage.reason.contains("ends at save 1"),
        "{}",
        damage.reason
    );
    assert!(damage.set_aside.join("db").exists());
    assert_eq!(opened.state.assignment, None);
    assert_eq!(opened.state.accepted, Some(fence(9)));
}

#[test]
fn a_ledger_with_flipped_bits_never_opens_as_if_it_were_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let held = state(7, 20, 20_000);
    save(&mut ledger, &held);
    drop(ledger);
    let whole = dir.path().join("whole");
    copy_directory(&dir.path().join("ledger"), &whole).unwrap();
    let length = fs::metadata(whole.join("db")).unwrap().len() as usize;
    let used = fs::read(whole.join("db"))
        .unwrap()
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap();
    let mut damaged = 0;
    for step in 1..12 {
        fs::remove_dir_all(dir.path().join("ledger")).unwrap();
        copy_directory(&whole, &dir.path().join("ledger")).unwrap();
        let path = dir.path().join("ledger/db");
        let mut bytes = fs::read(&path).unwrap();
        let at = used.min(length - 1) * step / 12;
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let (ledger, opened) = Ledger::open(dir.path(), Timestamp(step as u64)).unwrap();
        match opened.damage {
            None => assert_eq!(opened.state, held, "bit flipped at {at}"),
            Some(_) => {
                damaged += 1;
                assert_eq!(opened.state.accepted, Some(fence(7)));
            }
        }
        drop(ledger);
    }
    assert!(damaged > 0, "no flipped bit was noticed");
}

#[test]
fn a_save_writes_what_changed_however_much_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let mut held = state(7, 1_000, 10);
    let whole = ledger.changes(&held).unwrap();
    assert_eq!(whole.entries(), 1 + 1 + 1_000 + 1_000);
    ledger.saved(whole.write().unwrap());
    held.records
        .get_mut(&ReplicaId(500))
        .unwrap()
        .say(Topic::End, "dead");
    assert_eq!(ledger.changes(&held).unwrap().entries(), 1);
    // What a new process finds out again is worth no write.
    save(&mut ledger, &held);
    held.records.get_mut(&ReplicaId(500)).unwrap().live.settled = 9;
    assert!(ledger.changes(&held).is_none());
    // An assignment moves the fence, and only what is different in it is written.
    let mut next = held.assignment.clone().unwrap();
    next.fence = fence(8);
    next.replicas.get_mut(&ReplicaId(9)).unwrap().want = Want::Drain;
    held.accept(next).unwrap();
    assert_eq!(ledger.changes(&held).unwrap().entries(), 2);
    save(&mut ledger, &held);
    // The last replica takes its app with it, all chunks of it.
    held.accept(Assignment {
        replicas: Default::default(),
        ..held.assignment.clone().unwrap()
    })
    .unwrap();
    held.records.clear();
    assert_eq!(ledger.changes(&held).unwrap().entries(), 1 + 1_000 + 1_000);
    save(&mut ledger, &held);
    drop(ledger);
    assert_eq!(reopen(dir.path()).1.state, held);
}

#[test]
fn a_process_that_dies_between_the_steps_of_a_save_leaves_the_one_before_or_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let (before, after) = (state(7, 3, 200 << 10), state(9, 2, 100 << 10));
    save(&mut ledger, &before);
    let changes = ledger.changes(&after).unwrap();
    let killed = |name: &str| {
        let copy = dir.path().join(name);
        copy_directory(&dir.path().join("ledger"), &copy.join("ledger")).unwrap();
        fs::copy(dir.path().join("ledger.mark"), copy.join("ledger.mark")).unwrap();
        let (_, opened) = Ledger::open(&copy, Timestamp(5)).unwrap();
        assert_eq!(opened.damage, None, "{name}");
        opened.state
    };
    assert_eq!(killed("nothing written"), before);
    changes.db.apply_batch(changes.batch).unwrap();
    let state = killed("in memory");
    assert!(state == before || state == after);
    changes.db.flush().unwrap();
    assert_eq!(killed("flushed"), after);
    changes.mark.write(dir.path()).unwrap();
    assert_eq!(killed("marked"), after);
}

#[test]
fn a_ledger_that_was_removed_is_begun_anew_and_takes_the_first_assignment_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &state(7, 3, 1));
    ledger.remove().unwrap();
    let (mut ledger, opened) = reopen(dir.path());
    assert_eq!((opened.state, opened.damage), (LocalState::default(), None));
    save(&mut ledger, &state(1, 1, 1));
    drop(ledger);
    assert_eq!(reopen(dir.path()).1.state, state(1, 1, 1));
}
