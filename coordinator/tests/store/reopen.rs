//! What was made durable is there after a reopen, whatever was done to the log before.

use std::path::Path;

use paasta_coordinator::store::{
    Ballot, FlushTimer, IoMode, Log, OnVolume, Position, Record, Store, StoreError, StoreId,
    StoreOptions,
};
use tokio::sync::oneshot;

pub(super) fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        node: 1,
        cluster: None,
        fresh: StoreId::from_bits(7),
        io: IoMode::Threaded,
        timer: FlushTimer::default(),
        volume: OnVolume::default(),
    }
}

pub(super) fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(&options(dir))
}

pub(super) fn record(term: u64, index: u64, size: usize) -> Record {
    let body: Vec<u8> = (0..size)
        .map(|byte| (byte as u64 ^ index ^ term) as u8)
        .collect();
    Record {
        position: Position { term, index },
        kind: 1,
        body: body.into(),
    }
}

/// Appends and waits until it is durable.
pub(super) async fn append(log: &Log, records: Vec<Record>) {
    let (sender, durable) = oneshot::channel();
    let done = move |result| sender.send(result).expect("somebody waits");
    log.append(records, done).await.expect("it can be written");
    durable.await.expect("it is called").expect("it is durable");
}

pub(super) fn ballot(term: u64) -> Ballot {
    Ballot {
        term,
        node: 1,
        committed: false,
    }
}

fn all(log: &Log) -> Vec<Record> {
    log.read(.., None).expect("readable")
}

#[tokio::test]
async fn appends_votes_truncations_and_purges_survive() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("empty").log;
    append(&log, (0..20).map(|index| record(1, index, 100)).collect()).await;
    append(&log, vec![record(1, 20, 200_000)]).await;
    log.save_vote(ballot(2)).await.expect("voted");
    log.truncate_after(Some(14)).await.expect("truncated");
    append(&log, vec![record(2, 15, 10), record(2, 16, 0)]).await;
    log.save_committed(Some(Position { term: 2, index: 15 }))
        .expect("noted");
    log.set_cluster("c1", 1).await.expect("joined");
    // Something durable after the note, so that it is durable too.
    append(&log, vec![record(2, 17, 5)]).await;
    let before = all(&log);
    assert_eq!(before.len(), 18);
    drop(log);

    let log = open(dir.path()).expect("sound").log;
    assert_eq!(all(&log), before);
    assert_eq!(log.vote(), Some(ballot(2)));
    assert_eq!(log.last(), Some(Position { term: 2, index: 17 }));
    assert_eq!(log.committed(), Some(Position { term: 2, index: 15 }));
    assert_eq!(log.hard_state().cluster, "c1");
}

#[tokio::test]
async fn a_purge_survives_together_with_its_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let Store { log, snapshots } = open(dir.path()).expect("empty");
    append(&log, (0..3000).map(|index| record(1, index, 20)).collect()).await;
    let upto = Position {
        term: 1,
        index: 2500,
    };
    snapshots
        .write(Some(upto), b"", |_| Ok(()))
        .expect("written");
    log.purge(upto).await.expect("purged");
    append(&log, vec![record(1, 3000, 20)]).await;
    drop((log, snapshots));

    let Store { log, .. } = open(dir.path()).expect("sound");
    assert_eq!(log.purged(), Some(upto));
    assert_eq!(all(&log).len(), 500);

    // A snapshot from elsewhere replaces the whole log.
    let Store { log, snapshots } = {
        drop(log);
        open(dir.path()).expect("sound")
    };
    let beyond = Position {
        term: 4,
        index: 9000,
    };
    snapshots
        .write(Some(beyond), b"", |_| Ok(()))
        .expect("written");
    log.truncate_after(Some(2700)).await.expect("truncated");
    log.purge(beyond).await.expect("purged");
    append(&log, vec![record(4, 9001, 20)]).await;
    drop((log, snapshots));
    let log = open(dir.path()).expect("sound").log;
    assert_eq!(all(&log), vec![record(4, 9001, 20)]);
}

#[tokio::test]
async fn truncating_everything_is_not_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("empty").log;
    append(&log, vec![record(1, 0, 10), record(1, 1, 10)]).await;
    log.truncate_after(None).await.expect("truncated");
    log.save_vote(ballot(3)).await.expect("voted");
    drop(log);
    let log = open(dir.path()).expect("sound").log;
    assert_eq!((log.last(), all(&log).len()), (None, 0));
}

#[tokio::test]
async fn gaps_are_refused_and_reads_are_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("empty").log;
    append(&log, (0..10).map(|index| record(1, index, 1000)).collect()).await;
    assert!(
        log.append(vec![record(1, 12, 1)], |_| {}).await.is_err(),
        "11 is missing"
    );
    assert_eq!(log.read(2..9, Some(2500)).expect("readable").len(), 3);
    assert_eq!(
        log.read(2..9, Some(0)).expect("readable").len(),
        1,
        "never nothing"
    );
    assert_eq!(
        log.read(2..=2, None).expect("readable"),
        vec![record(1, 2, 1000)]
    );
    assert!(log.read(5..5, None).expect("readable").is_empty());
}

#[tokio::test]
async fn a_store_has_one_owner_and_one_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).expect("empty");
    let second = dir.path().to_owned();
    let second = tokio::task::spawn_blocking(move || open(&second))
        .await
        .expect("no panic");
    assert!(
        matches!(second, Err(StoreError::Locked { .. })),
        "{second:?}"
    );
    store.log.set_cluster("ours", 1).await.expect("joined");
    drop(store);
    let other_node = StoreOptions {
        node: 2,
        ..options(dir.path())
    };
    let error = Store::open(&other_node).expect_err("another node's");
    assert!(
        matches!(
            error,
            StoreError::OtherNode {
                stored: 1,
                given: 2,
                ..
            }
        ),
        "{error}"
    );
    let other = StoreOptions {
        cluster: Some("theirs".to_owned()),
        ..options(dir.path())
    };
    let error = Store::open(&other).expect_err("another cluster's");
    assert!(matches!(error, StoreError::OtherCluster { .. }), "{error}");
    assert!(open(dir.path()).is_ok(), "none of this is damage");
}

/// Somebody else's hold on the file of the log, as a child that has not got to its own program has.
fn hold(dir: &Path) -> std::fs::File {
    let file = std::fs::File::open(dir.join("log/db")).expect("a log");
    file.lock().expect("the process that had it lets go");
    file
}

#[tokio::test]
async fn a_log_that_is_about_to_be_let_go_of_is_waited_for_and_never_called_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("empty").log;
    append(&log, vec![record(1, 0, 10)]).await;
    drop(log);
    let held = hold(dir.path());
    let (sender, opened) = std::sync::mpsc::sync_channel(1);
    let path = dir.path().to_owned();
    let opening = std::thread::spawn(move || sender.send(open(&path)));
    let early = opened.recv_timeout(std::time::Duration::from_millis(300));
    assert!(early.is_err(), "it is held");
    drop(held);
    let log = opened.recv().expect("it ends").expect("released").log;
    opening.join().expect("it ends").expect("it is heard");
    assert_eq!(all(&log).len(), 1);
    drop(log);
    let held = hold(dir.path());
    let refused = open(dir.path()).expect_err("held all the time");
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    drop(held);
    open(dir.path()).expect("nothing was marked");
}
