//! What was saved is there after a restart, a crash or damage, or it is said what is not.

mod crash;
mod damage;
mod format;

use std::{os::unix::fs::symlink, sync::Arc};

use paasta_agent_core::state::{Record, Stage, Topic};
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::ReplicaId,
    report::{EndCause, Trouble},
    spec::RunSettings,
    unrecognized::UnrecognizedWord,
};
use paasta_process::chain::chain;

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

fn fail(state: &mut LocalState, id: u64, words: &str) {
    let record = state.records.get_mut(&ReplicaId(id)).unwrap();
    record.say(Topic::End, words);
}

fn try_save(ledger: &mut Ledger, state: &LocalState) -> Result<bool, LedgerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(ledger.save(state))
}

fn save(ledger: &mut Ledger, state: &LocalState) {
    assert!(try_save(ledger, state).unwrap(), "nothing changed");
}

fn reopen(root: &Path) -> (Ledger, Opened) {
    Ledger::open(root, Timestamp(5)).unwrap()
}

/// The head and the body of a file.
fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    let head = u32::from_be_bytes(bytes[12..16].try_into().unwrap());
    bytes[super::format::PREFIX..].split_at(head as usize)
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_saved_is_there_again_and_only_changes_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, opened) = reopen(dir.path());
    assert_eq!((opened.state, opened.damage), (LocalState::default(), None));
    let mut held = state(7, 3, 256 << 10);
    save(&mut ledger, &held);
    assert!(!try_save(&mut ledger, &held).unwrap());
    held.records.remove(&ReplicaId(2));
    fail(&mut held, 3, "dead");
    save(&mut ledger, &held);
    drop(ledger);
    let (mut ledger, opened) = reopen(dir.path());
    assert_eq!((&opened.state, opened.damage), (&held, None));
    assert!(!try_save(&mut ledger, &held).unwrap());
    // What a new process finds out again is worth no write.
    held.records.get_mut(&ReplicaId(3)).unwrap().live.settled = 9;
    assert!(!try_save(&mut ledger, &held).unwrap());
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
    let length = fs::metadata(dir.path().join("ledger")).unwrap().len();
    assert!(length < 300 << 10, "and stored once: {length} bytes");
    assert_eq!(names(dir.path()), ["ledger", "ledger.before", "lock"]);
}

#[test]
fn an_assignment_is_in_both_files_and_a_record_in_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let of = |name| match disk::read(dir.path(), name).unwrap() {
        Found::Whole(contents) => contents,
        other => panic!("{name}: {other:?}"),
    };
    let mut held = state(7, 2, 10);
    save(&mut ledger, &held);
    assert_eq!(of("ledger"), of("ledger.before"));
    let first = held.clone();
    fail(&mut held, 1, "dead");
    save(&mut ledger, &held);
    assert_eq!(
        (of("ledger").state, of("ledger.before").state),
        (held.clone(), first)
    );
    let mut next = held.assignment.clone().unwrap();
    next.fence = fence(8);
    next.replicas.get_mut(&ReplicaId(1)).unwrap().want = Want::Drain;
    held.accept(next).unwrap();
    save(&mut ledger, &held);
    assert_eq!(
        (of("ledger").state, of("ledger.before").state),
        (held.clone(), held)
    );
}

#[test]
fn the_ledger_of_a_newer_agent_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let held = state(7, 1, 10);
    let bytes = super::format::encode(3, &held, Vec::new());
    let (head, body) = parts(&bytes);
    let mut body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let record = &mut body["records"]["1"];
    record["troubles"] = serde_json::json!({"exited": 2, "over_cpu": 3});
    record["last_end"] = serde_json::json!({
        "run": 1, "at": 5, "cause": {"over_cpu": {"used_ms": 9}}, "exit_code": null,
        "signal": null, "out_of_memory": false, "last_words": "",
    });
    let body = serde_json::to_vec(&body).unwrap();
    let prefix = super::format::prefix(super::format::FORMAT, head, &body);
    let file = [&prefix[..], head, &body].concat();
    fs::write(dir.path().join("ledger"), file).unwrap();
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
fn a_newer_format_is_refused_in_words_and_nothing_is_touched() {
    for file in ["ledger", "ledger.before"] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [&super::format::prefix(2, b"?", b"!")[..], b"?!"].concat();
        fs::write(dir.path().join(file), &bytes).unwrap();
        for refused in [
            Ledger::open(dir.path(), Timestamp(5)).err().unwrap(),
            Ledger::peek(dir.path()).err().unwrap(),
        ] {
            let path = dir.path().join(file).display().to_string();
            let expected = format!(
                "{path} is in format 2, and this agent reads format 1; start the version that wrote it, or remove ledger and ledger.before from this directory: the next assignment then takes over what runs"
            );
            assert_eq!(refused.to_string(), expected);
        }
        assert_eq!(fs::read(dir.path().join(file)).unwrap(), bytes);
    }
}

#[test]
fn two_agents_do_not_share_a_ledger_but_an_operator_may_look_on() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = chain(&Ledger::peek(dir.path()).unwrap_err());
    assert!(
        nothing.contains("cannot read") && nothing.contains("ledger"),
        "{nothing}"
    );
    let (mut ledger, _) = reopen(dir.path());
    let held = state(7, 2, 10);
    save(&mut ledger, &held);
    assert!(matches!(
        Ledger::open(dir.path(), Timestamp(5)),
        Err(LedgerError::InUse { .. })
    ));
    assert_eq!(Ledger::peek(dir.path()).unwrap(), held);
    // Between the two renames of a save.
    fs::rename(dir.path().join("ledger"), dir.path().join("ledger.before")).unwrap();
    assert_eq!(Ledger::peek(dir.path()).unwrap(), held);
}

#[test]
fn a_reader_beside_a_writing_agent_sees_whole_saves_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let mut held = state(7, 20, 10_000);
    save(&mut ledger, &held);
    let root = dir.path().to_owned();
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
    let reader = std::thread::spawn(move || {
        let mut reads = 0_u64;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            assert_eq!(Ledger::peek(&root).unwrap().records.len(), 20);
            reads += 1;
        }
        reads
    });
    for number in 0..200 {
        fail(&mut held, number % 20 + 1, &format!("dead {number}"));
        save(&mut ledger, &held);
    }
    drop(stop);
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn a_full_disk_fails_the_save_in_words_and_the_next_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let mut held = state(7, 2, 10);
    save(&mut ledger, &held);
    let before = held.clone();
    fail(&mut held, 1, "dead");
    // The kernel's device that is always full.
    symlink("/dev/full", dir.path().join("ledger.next")).unwrap();
    let error = chain(&try_save(&mut ledger, &held).unwrap_err());
    assert!(
        error.contains("cannot write") && error.contains("No space left on device"),
        "{error}"
    );
    assert_eq!(Ledger::peek(dir.path()).unwrap(), before);
    // Also when the state is again what the newest file holds: that is not certain any more.
    save(&mut ledger, &before);
    save(&mut ledger, &held);
    drop(ledger);
    assert_eq!(reopen(dir.path()).1.state, held);
}

#[test]
fn a_directory_that_is_gone_fails_the_save_and_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("state");
    let (mut ledger, _) = reopen(&root);
    fs::remove_dir_all(&root).unwrap();
    let error = chain(&try_save(&mut ledger, &state(7, 1, 10)).unwrap_err());
    assert!(
        error.contains("cannot create") && error.contains("ledger.next"),
        "{error}"
    );
    fs::write(&root, b"").unwrap();
    let error = chain(&Ledger::open(&root, Timestamp(5)).err().unwrap());
    assert!(error.contains("cannot create"), "{error}");
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

#[test]
fn a_ledger_in_memory_knows_what_was_saved() {
    let (mut ledger, opened) = Ledger::in_memory();
    assert!(opened.damage.is_none());
    assert!(!try_save(&mut ledger, &opened.state).unwrap());
    let mut state = state(1, 2, 10);
    save(&mut ledger, &state);
    assert!(!try_save(&mut ledger, &state).unwrap());
    fail(&mut state, 1, "exited");
    save(&mut ledger, &state);
    ledger.remove().unwrap();
}
