//! Whatever happens to the files: everything is there, or the store says that it is damaged. Never
//! fewer records, never an older vote.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use paasta_coordinator::store::{Record, Store, StoreError};

use super::reopen::{append, ballot, open, record};

const RECORDS: u64 = 300;

/// A store with records, a vote, a purge and a snapshot; closed.
async fn filled(dir: &Path) -> Vec<Record> {
    filled_up_to(dir).await.0
}

/// The same, and where the bytes of its last record end: what was purged is cleared away at sled's
/// leisure, behind them, and is no loss.
async fn filled_up_to(dir: &Path) -> (Vec<Record>, u64) {
    let Store { log, snapshots } = open(dir).expect("empty");
    log.save_vote(ballot(1)).await.expect("voted");
    for start in (0..RECORDS).step_by(10) {
        append(
            &log,
            (start..start + 10)
                .map(|index| record(1, index, 700))
                .collect(),
        )
        .await;
    }
    let upto = record(1, 40, 0).position;
    snapshots
        .write(Some(upto), b"meta", |to| to.write_all(b"state"))
        .expect("written");
    log.purge(upto).await.expect("purged");
    log.save_vote(ballot(7)).await.expect("voted");
    append(&log, vec![record(7, RECORDS, 700)]).await;
    let end = used_bytes(&dir.join("log/db"));
    let all = log.read(.., None).expect("readable");
    let handle = log.downgrade();
    drop((log, snapshots));
    while !handle.is_closed() {
        std::thread::yield_now();
    }
    (all, end)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Opens a spoiled copy; returns whether it was found damaged.
fn judge(what: &str, good: &Path, expected: &[Record], spoil: impl FnOnce(&Path)) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    copy(good, dir.path());
    spoil(dir.path());
    match open(dir.path()) {
        Ok(Store { log, .. }) => {
            let found = log.read(.., None).expect("what opened is readable");
            assert!(
                found == expected,
                "{what}: {} records are not {}",
                found.len(),
                expected.len()
            );
            assert_eq!(log.vote(), Some(ballot(7)), "{what}");
            false
        }
        Err(StoreError::Damaged { what: found, .. }) => {
            assert!(!found.is_empty());
            let again = open(dir.path()).expect_err("damage stays");
            assert!(
                matches!(again, StoreError::Damaged { .. }),
                "{what}: {again}"
            );
            true
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

fn flip(file: &Path, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], offset)
        .expect("written");
}

fn cut(file: &Path, length: u64) {
    OpenOptions::new()
        .write(true)
        .open(file)
        .expect("opened")
        .set_len(length)
        .expect("cut");
}

/// Where the last byte that is not zero stands.
fn used_bytes(file: &Path) -> u64 {
    let bytes = fs::read(file).expect("read");
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at as u64 + 1)
}

#[tokio::test]
async fn a_cut_log_is_damaged_or_whole() {
    let good = tempfile::tempdir().expect("a directory");
    let (expected, used) = filled_up_to(good.path()).await;
    assert!(!judge("untouched", good.path(), &expected, |_| {}));
    let mut damaged = 0;
    for length in [
        0,
        100,
        used / 4,
        used / 2,
        used - 2000,
        used - 100,
        used - 1,
    ] {
        let spoil = |dir: &Path| cut(&dir.join("log/db"), length);
        damaged += u32::from(judge(
            &format!("cut to {length}"),
            good.path(),
            &expected,
            spoil,
        ));
    }
    assert!(
        damaged >= 5,
        "only {damaged} of 7 cuts were noticed: did they hit anything?"
    );
    let zero_tail = |dir: &Path| {
        let file = OpenOptions::new()
            .write(true)
            .open(dir.join("log/db"))
            .expect("opened");
        file.write_all_at(&[0; 4096], used - 4096).expect("written");
    };
    assert!(judge("a zeroed tail", good.path(), &expected, zero_tail));
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_is_damage_or_harmless() {
    let good = tempfile::tempdir().expect("a directory");
    let expected = filled(good.path()).await;
    let used = used_bytes(&good.path().join("log/db"));
    let mut damaged = 0;
    for step in 0..40 {
        let offset = used * step / 40 + step * 7;
        let what = format!("bit flipped at {offset} of {used}");
        let spoil = |dir: &Path| flip(&dir.join("log/db"), offset.min(used - 1));
        damaged += u32::from(judge(&what, good.path(), &expected, spoil));
    }
    assert!(damaged > 0, "40 flips and nothing was noticed");
}

/// The sizes of the records of [`journal`]: empty ones, small ones, and one of several pieces.
const SIZES: [usize; 6] = [0, 1, 700, 5_000, 70_000, 30];

/// A store into which records were written one at a time, closed; and where each one's bytes end
/// in its file.
async fn journal(dir: &Path) -> (Vec<Record>, Vec<u64>) {
    let Store { log, snapshots } = open(dir).expect("empty");
    log.save_vote(ballot(7)).await.expect("voted");
    let mut ends = Vec::new();
    for index in 0..24 {
        let size = SIZES[index as usize % SIZES.len()];
        append(&log, vec![record(7, index, size)]).await;
        ends.push(used_bytes(&dir.join("log/db")));
    }
    let all = log.read(.., None).expect("readable");
    let handle = log.downgrade();
    drop((log, snapshots));
    while !handle.is_closed() {
        std::thread::yield_now();
    }
    (all, ends)
}

#[tokio::test]
async fn a_log_cut_at_or_within_any_record_is_damaged() {
    let good = tempfile::tempdir().expect("a directory");
    let (expected, ends) = journal(good.path()).await;
    assert!(ends.is_sorted_by(|one, next| one < next), "{ends:?}");
    let last = ends.len() - 1;
    for (at, end) in ends.iter().enumerate() {
        let before = at.checked_sub(1).map_or(0, |before| ends[before]);
        // The file after the last record holds only what a clean end adds.
        let boundary = (at < last).then_some(*end);
        for length in [Some(before + (end - before) / 2), boundary, Some(end - 1)] {
            let Some(length) = length else { continue };
            let what = format!("record {at} ends at {end}, cut to {length}");
            let spoil = |dir: &Path| cut(&dir.join("log/db"), length);
            assert!(judge(&what, good.path(), &expected, spoil), "{what}");
        }
    }
}

#[tokio::test]
async fn a_bit_flipped_at_or_within_any_record_is_damage_or_harmless() {
    let good = tempfile::tempdir().expect("a directory");
    let (expected, ends) = journal(good.path()).await;
    let mut noticed = 0;
    for (at, end) in ends.iter().enumerate() {
        let before = at.checked_sub(1).map_or(0, |before| ends[before]);
        // The first byte of the record, its middle, its last byte.
        for offset in [before, before + (end - before) / 2, end - 1] {
            let what = format!("record {at} ends at {end}, bit flipped at {offset}");
            let spoil = |dir: &Path| flip(&dir.join("log/db"), offset);
            noticed += usize::from(judge(&what, good.path(), &expected, spoil));
        }
    }
    // What is harmless is bytes between records that nobody reads.
    assert!(
        noticed >= 2 * ends.len(),
        "only {noticed} flips were noticed"
    );
}

#[tokio::test]
async fn missing_and_exchanged_files_are_damage() {
    let good = tempfile::tempdir().expect("a directory");
    let older = tempfile::tempdir().expect("a directory");
    let expected = {
        let expected = filled(good.path()).await;
        copy(good.path(), older.path());
        let Store { log, .. } = open(good.path()).expect("sound");
        log.save_vote(ballot(7)).await.expect("voted");
        append(&log, vec![record(7, RECORDS + 1, 700)]).await;
        let handle = log.downgrade();
        drop(log);
        while !handle.is_closed() {
            std::thread::yield_now();
        }
        [expected, vec![record(7, RECORDS + 1, 700)]].concat()
    };
    let judge = |what, spoil: &dyn Fn(&Path)| judge(what, good.path(), &expected, spoil);
    let from_older = |dir: &Path, name: &str| {
        copy(&older.path().join(name), &dir.join(name));
    };
    assert!(judge("no hardstate", &|dir| fs::remove_file(
        dir.join("hardstate")
    )
    .expect("gone")));
    assert!(judge("no log", &|dir| fs::remove_dir_all(dir.join("log"))
        .expect("gone")));
    assert!(judge("no db", &|dir| fs::remove_file(dir.join("log/db"))
        .expect("gone")));
    assert!(judge("no snapshot", &|dir| {
        fs::remove_dir_all(dir.join("snapshots")).expect("gone");
    }));
    assert!(judge("the log of yesterday", &|dir| {
        fs::remove_dir_all(dir.join("log")).expect("gone");
        from_older(dir, "log");
    }));
}

#[tokio::test]
async fn a_forgotten_vote_is_damage_on_either_side() {
    let good = tempfile::tempdir().expect("a directory");
    let older = tempfile::tempdir().expect("a directory");
    filled(good.path()).await;
    copy(good.path(), older.path());
    let Store { log, .. } = open(good.path()).expect("sound");
    log.save_vote(ballot(9)).await.expect("voted");
    log.set_cluster("settles the vote in the file", 1)
        .await
        .expect("joined");
    let handle = log.downgrade();
    drop(log);
    while !handle.is_closed() {
        std::thread::yield_now();
    }
    for name in ["log", "hardstate"] {
        let dir = tempfile::tempdir().expect("a directory");
        copy(good.path(), dir.path());
        if name == "log" {
            fs::remove_dir_all(dir.path().join("log")).expect("gone");
            copy(&older.path().join("log"), &dir.path().join("log"));
        } else {
            fs::copy(older.path().join(name), dir.path().join(name)).expect("copied");
        }
        let error = open(dir.path()).expect_err("the vote of term 9 was forgotten");
        assert!(
            error.to_string().contains("forgot the vote of term 9"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn torn_slots_of_the_vote_file() {
    let good = tempfile::tempdir().expect("a directory");
    let expected = filled(good.path()).await;
    let tear = |dir: &Path, slot: u64| flip(&dir.join("hardstate"), slot * 4096 + 17);
    for slot in [0, 1] {
        assert!(
            !judge("one torn slot", good.path(), &expected, |dir| tear(
                dir, slot
            )),
            "a torn write of one slot is an ordinary crash"
        );
    }
    let both = |dir: &Path| {
        tear(dir, 0);
        tear(dir, 1);
    };
    assert!(judge("two torn slots", good.path(), &expected, both));
}
