//! The disk does not fill up: overwritten and purged records make room for new ones.

use std::{fs, path::Path};

use paasta_coordinator::store::Store;

use super::reopen::{append, open, record};

/// What the log may take when about 1 MB of it is live.
const LIMIT_BYTES: u64 = 64 << 20;

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
    for round in 0..100_u64 {
        let start = round * 500;
        append(
            &log,
            (start..start + 500)
                .map(|index| record(1, index, 1000))
                .collect(),
        )
        .await;
        if start >= 1000 {
            let upto = record(1, start - 1000, 0).position;
            snapshots
                .write(Some(upto), b"", |to| to.write_all(&[0; 1000]))
                .expect("written");
            log.purge(upto).await.expect("purged");
        }
        most = most.max(bytes_under(dir.path()));
    }
    assert!(
        most < LIMIT_BYTES,
        "50 MB written, 1.5 MB live, {most} bytes on disk"
    );
    assert!(
        !dir.path()
            .join("log/blobs")
            .read_dir()
            .is_ok_and(|mut blobs| blobs.next().is_some())
    );
}
