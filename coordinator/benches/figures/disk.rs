//! A directory on the disk that is measured, and what making a write durable costs there.

use std::{
    fs::File,
    io::{Seek, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::machine::quantile;

/// Writes that are measured.
const WRITES: usize = 300;
/// How often they are measured.
const ROUNDS: usize = 3;
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

/// What one durable write of a small record costs, median.
#[derive(Clone, Copy)]
pub(crate) struct Fsync {
    /// At the end of a file, which grows with it.
    pub(crate) appended: Duration,
    /// Within a file that was made long before, as logs that prepare their space do.
    pub(crate) prepared: Duration,
}

/// Measures both. What else the machine does makes them dearer: the lowest of a few is nearest to
/// the truth.
pub(crate) fn fsync(dir: &Path) -> anyhow::Result<Fsync> {
    let mut best: Option<Fsync> = None;
    for _ in 0..ROUNDS {
        let found = Fsync {
            appended: durable_writes(dir, 0)?,
            prepared: durable_writes(dir, WRITES)?,
        };
        best = Some(match best {
            None => found,
            Some(best) => Fsync {
                appended: best.appended.min(found.appended),
                prepared: best.prepared.min(found.prepared),
            },
        });
    }
    best.context("there is at least one round")
}

fn durable_writes(dir: &Path, prepared: usize) -> anyhow::Result<Duration> {
    let mut file = File::create(dir.join("fsync"))?;
    file.write_all(&vec![1; prepared * BYTES])?;
    file.sync_all()?;
    file.rewind()?;
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
