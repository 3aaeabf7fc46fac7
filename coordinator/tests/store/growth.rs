//! The disk does not fill up: overwritten and purged records make room for new ones.

use std::{fs, path::Path};

use paasta_coordinator::store::Store;

use super::reopen::{append, open, record};

/// What the log may take when about a megabyte of it is live.
const LIMIT_BYTES: u64 = 64 << 20;
/// A million records in all, a thousand at a time, of which one to six thousand stay.
const ROUNDS: u64 = 1000;
const BATCH: u64 = 1000;
const PURGE_EVERY: u64 = 5;

fn bytes_under(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir)
        .expect("listed")
        .map(|entry| entry.expect("listed"));
    entries
        .map(|entry| match entry.metadata().expect("there") {
            meta if meta.is_dir() => bytes_under(&entry.path()),
            meta => meta.len(),
        })
        .sum()
}

#[tokio::test]
async fn appends_and_purges_reuse_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let Store { log, snapshots } = open(dir.path()).expect("empty");
    let mut most = 0;
    for round in 0..ROUNDS {
        let start = round * BATCH;
        append(
            &log,
            (start..start + BATCH)
                .map(|index| record(1, index, 200))
                .collect(),
        )
        .await;
        if round % PURGE_EVERY == PURGE_EVERY - 1 {
            let upto = record(1, start - BATCH, 0).position;
            snapshots
                .write(Some(upto), b"", |to| to.write_all(&[0; 1000]))
                .expect("written");
            log.purge(upto).await.expect("purged");
        }
        most = most.max(bytes_under(dir.path()));
    }
    assert!(most < LIMIT_BYTES, "{most} bytes on disk");
    assert!(
        !dir.path()
            .join("log/blobs")
            .read_dir()
            .is_ok_and(|mut blobs| blobs.next().is_some())
    );
}
