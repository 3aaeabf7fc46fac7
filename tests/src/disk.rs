//! Filling the small disk of a host, and never any other: what is written is bounded, and nothing
//! is written where the host has no disk of its own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::statfs::statfs;

use crate::hosts::Host;

const MIB: u64 = 1 << 20;
/// Large blocks first, then what is left in the smallest that a file system gives out.
const BLOCKS: [usize; 2] = [1 << 16, 1 << 12];
/// A file system may find some room when it has written down what it held in memory.
const ROUNDS: usize = 3;

/// A file that takes all the room on a host's disk; dropped, it is gone.
#[derive(Debug)]
pub struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Takes all the room that the host's dockerd has. Refused where that is not a disk of the
    /// host's own with at most `most_mib` MiB; no more than that is ever written.
    pub fn fill(host: &Host, most_mib: u32) -> Result<Self> {
        let data = host.dir.join("data");
        let disk = fs::metadata(&data)?.dev();
        ensure!(
            disk != fs::metadata(&host.dir)?.dev(),
            "{} has no disk of its own: nothing is filled",
            host.name
        );
        let most = u64::from(most_mib) * MIB;
        let size = statfs(&data)?;
        let bytes = size
            .blocks()
            .saturating_mul(u64::try_from(size.block_size())?);
        ensure!(
            bytes <= most,
            "the disk of {} has {} MiB, more than {most_mib}: nothing is filled",
            host.name,
            bytes / MIB
        );
        let filler = Self {
            path: data.join("filler"),
        };
        let mut file = File::create_new(&filler.path)?;
        ensure!(file.metadata()?.dev() == disk, "{} moved", data.display());
        let mut left = most;
        for _ in 0..ROUNDS {
            for block in BLOCKS {
                write_all(&mut file, block, &mut left)?;
            }
            file.sync_all()?;
        }
        Ok(filler)
    }

    /// Gives the room back, and tells how it went, which a drop cannot.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {:?}", self.path))
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes until there is no room.
fn write_all(file: &mut File, block: usize, left: &mut u64) -> Result<()> {
    let zeros = vec![0; block];
    loop {
        let after = left.checked_sub(block as u64);
        *left = after.context("more was written than the disk holds")?;
        match file.write(&zeros) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => bail!("it fails for another reason than lack of room: {error}"),
        }
    }
}
