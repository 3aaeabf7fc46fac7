//! A directory on the disk that is measured, and what making a write durable costs there; and a
//! disk that takes longer, for which strace holds up every process when its fsync is done.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{Seek, Write},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::{machine::quantile, processes::is_installed};

/// Writes that are measured.
const WRITES: usize = 300;
/// How often they are measured.
const ROUNDS: usize = 3;
/// Bytes of each, about those of a small record.
const BYTES: usize = 512;

/// Makes this program measure the fsync of a directory.
pub(crate) const ARGUMENT: &str = "fsync";

/// How much longer every fsync takes than on this machine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slower(pub(crate) Duration);

impl Slower {
    /// The disk as it is.
    pub(crate) const NOT: Self = Self(Duration::ZERO);

    /// Whether it can be had here.
    pub(crate) fn is_possible() -> bool {
        is_installed("strace")
    }

    /// Starts the program with this disk. The process that is started is the program itself: the
    /// tracer hangs on from outside and ends with it.
    pub(crate) fn program(self, program: impl AsRef<OsStr>) -> Command {
        if self == Self::NOT {
            return Command::new(program);
        }
        let inject = format!("inject=fdatasync,fsync:delay_exit={}", self.0.as_micros());
        let mut strace = Command::new("strace");
        strace
            .args(["-D", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null"])
            .args(["-e", "trace=fdatasync,fsync", "-e", &inject, "--"])
            .arg(program);
        strace
    }

    /// What one durable write costs a process that has this disk.
    pub(crate) fn fsync(self, dir: &Path) -> anyhow::Result<Fsync> {
        let mut measuring = self.program(env::current_exe()?);
        let said = measuring.arg(ARGUMENT).arg(dir).output()?;
        let said = String::from_utf8(said.stdout)?;
        let mut nanos = said.split_whitespace().map(str::parse::<u64>);
        let mut next = || anyhow::Ok(Duration::from_nanos(nanos.next().context("two times")??));
        Ok(Fsync {
            appended: next()?,
            prepared: next()?,
        })
    }
}

/// Prints what one durable write costs in the directory, both ways.
pub(crate) fn measure(args: &[String]) -> anyhow::Result<()> {
    let found = fsync(Path::new(args.first().context("the directory is given")?))?;
    println!(
        "{} {}",
        found.appended.as_nanos(),
        found.prepared.as_nanos()
    );
    Ok(())
}

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
fn fsync(dir: &Path) -> anyhow::Result<Fsync> {
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
