//! Snapshots: kept two, whole or refused.

use std::io::Read;

use super::*;

fn at(index: u64) -> Option<Position> {
    Some(Position { term: 2, index })
}

fn write(snapshots: &Snapshots, index: u64, body: &[u8]) -> SnapshotFile {
    snapshots
        .write(at(index), b"meta", |to| to.write_all(body))
        .expect("written")
}

fn body(file: &SnapshotFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.body().read_to_end(&mut bytes).expect("readable");
    bytes
}

fn open(dir: &Path) -> Result<Snapshots, StoreError> {
    Snapshots::open(dir, dir, OnVolume::default())
}

#[test]
fn the_newest_comes_back_and_two_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let snapshots = open(dir.path()).expect("empty");
    assert!(snapshots.current().is_none());
    for index in [5, 9, 12] {
        write(&snapshots, index, &[index as u8; 100_000]);
    }
    assert_eq!(list(dir.path(), FINISHED).expect("listed").len(), KEPT);
    drop(snapshots);
    let current = open(dir.path())
        .expect("sound")
        .current()
        .expect("there is one");
    assert_eq!(
        (current.head().last, &current.head().meta[..]),
        (at(12), &b"meta"[..])
    );
    assert_eq!(body(&current), vec![12; 100_000]);
}

#[test]
fn an_older_snapshot_never_replaces_a_newer_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let snapshots = open(dir.path()).expect("empty");
    write(&snapshots, 9, b"new");
    drop(write(&snapshots, 5, b"old"));
    assert_eq!(body(&snapshots.current().expect("there is one")), b"new");
    assert_eq!(
        fs::read_dir(dir.path()).expect("listed").count(),
        1,
        "the old one is gone"
    );
}

#[test]
fn a_body_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let snapshots = open(dir.path()).expect("empty");
    let failed = snapshots.write(at(1), b"", |_| Err(io::Error::other("no")));
    assert!(failed.is_err());
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
}

#[test]
fn no_byte_of_a_snapshot_can_change_unseen() {
    let dir = tempfile::tempdir().expect("a directory");
    write(&open(dir.path()).expect("empty"), 3, b"a body");
    let path = list(dir.path(), FINISHED)
        .expect("listed")
        .pop()
        .expect("one");
    let good = fs::read(&path).expect("read");
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 0x10;
        fs::write(&path, &bad).expect("written");
        let error = open(dir.path()).expect_err("the change is seen");
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "byte {byte}: {error}"
        );
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).expect("written");
        let error = open(dir.path()).expect_err("the cut is seen");
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{length} bytes: {error}"
        );
    }
}

#[test]
fn a_snapshot_travels_as_bytes() {
    let (here, there) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let (from, to) = (
        open(here.path()).expect("empty"),
        open(there.path()).expect("empty"),
    );
    let sent = write(&from, 7, &[3; 10_000]);
    let mut incoming = to.receive(sent.total_bytes()).expect("started");
    let (mut offset, mut buffer) = (0, [0; 999]);
    while offset < sent.total_bytes() {
        let bytes = sent.read_at(&mut buffer, offset).expect("read");
        incoming.write(&buffer[..bytes]).expect("written");
        offset += bytes as u64;
    }
    let received = incoming.finish().expect("sound");
    assert!(to.current().is_none(), "not before it is adopted");
    to.adopt(received).expect("adopted");
    assert_eq!(body(&to.current().expect("there is one")), vec![3; 10_000]);

    let mut cut = to.receive(sent.total_bytes()).expect("started");
    cut.write(b"PAASTASN and then nothing").expect("written");
    assert!(cut.finish().is_err(), "a part is refused");
    drop(to.receive(sent.total_bytes()).expect("started"));
    assert_eq!(
        fs::read_dir(there.path()).expect("listed").count(),
        1,
        "parts are removed"
    );
}
