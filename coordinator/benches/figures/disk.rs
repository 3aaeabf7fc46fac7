//! A directory on the disk that is measured, and what making a write durable costs there.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::machine::quantile;

/// Writes that are measured.
const WRITES: usize = 500;
/// Bytes of each, about those of a small record.
const BYTES: usize = 512;

/// A new directory beside the build, which is not on a memory file system.
pub(crate) fn directory() -> anyhow::Result<TempDir> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(target)?;
    tempfile::Builder::new()
        .prefix("figures-")
        .tempdir_in(target)
        .context("a directory under target/")
}

/// The median cost of appending a record and waiting for the disk.
pub(crate) fn fsync(dir: &Path) -> anyhow::Result<Duration> {
    let mut file = File::create(dir.join("fsync"))?;
    let record = [7_u8; BYTES];
    let mut spans = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        spans.push(began.elapsed());
    }
    Ok(quantile(&mut spans, 0.5))
}
