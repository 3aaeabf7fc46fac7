//! `sim`: runs seeds of the simulation, a process for each, and says how to repeat what failed.

use std::{
    io::{self, Write},
    num::NonZero,
    path::PathBuf,
    process::{Command, ExitCode, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};
use clap::Parser;
use paasta_tests::sim::{Ended, Plant, run};

/// Simulates clusters: real coordinators and agents in virtual time, faults first, then healing.
#[derive(Parser)]
#[command(name = "sim")]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, from the first one on; each in a process of its own.
    #[arg(long)]
    seeds: Option<u64>,
    /// Plants the fault that breaks this invariant, to see it caught: I1 to I10, I12, I13.
    #[arg(long)]
    plant: Option<Plant>,
    /// Tells everything that happens, on standard error.
    #[arg(long)]
    trace: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.seeds {
        Some(seeds) => many(&args, seeds),
        None => one(&args),
    }
}

fn one(args: &Args) -> Result<ExitCode> {
    if args.trace || std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env();
        let filter = filter.unwrap_or_else(|_| "sim=info".into());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .without_time()
            .init();
    }
    let dir = disk().context("no directory for the disks")?;
    let ended =
        run(args.seed, args.plant, dir.path(), args.trace).context("the simulation cannot run")?;
    let mut out = io::stdout().lock();
    report(&mut out, args, &ended)?;
    Ok(match ended.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn report(out: &mut impl Write, args: &Args, ended: &Ended) -> io::Result<()> {
    let seed = args.seed;
    if !ended.violations.is_empty() {
        for line in &ended.last {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "seed {seed}: {}", ended.shape)?;
        for violation in &ended.violations {
            writeln!(out, "VIOLATION {violation}")?;
        }
        let plant = args
            .plant
            .map(|plant| format!(" --plant {plant}"))
            .unwrap_or_default();
        writeln!(
            out,
            "repeat it with: cargo run -q --bin sim -- --seed {seed}{plant}"
        )?;
    }
    writeln!(
        out,
        "seed {seed}: fingerprint {:016x}, {} events in {} virtual s, {}",
        ended.fingerprint,
        ended.lines,
        ended.virtual_ms / 1_000,
        ended.tally
    )
}

/// Memory where there is some that looks like a disk: thousands of syncs are waited for.
fn disk() -> io::Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    match tempfile::Builder::new()
        .prefix("paasta-sim-")
        .tempdir_in(memory)
    {
        Ok(dir) => Ok(dir),
        Err(_) => tempfile::Builder::new().prefix("paasta-sim-").tempdir(),
    }
}

fn many(args: &Args, seeds: u64) -> Result<ExitCode> {
    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(seeds);
    let failed = Mutex::new(Vec::new());
    let out = Mutex::new(io::stdout());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= end {
                        return;
                    }
                    let (text, ok) = match spawn(args, seed) {
                        Ok(output) => (output.stdout, output.status.success()),
                        Err(error) => (format!("seed {seed}: {error:#}\n").into_bytes(), false),
                    };
                    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                    // A reader that went away has seen enough.
                    let _ = out.write_all(&text);
                    if !ok {
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    let mut out = out.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "{} of {seeds} seeds failed: {failed:?}", failed.len())?;
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn spawn(args: &Args, seed: u64) -> Result<Output> {
    // Not its path: a build may replace the file while the seeds run.
    let mut command = Command::new("/proc/self/exe");
    command.arg("--seed").arg(seed.to_string());
    if let Some(plant) = args.plant {
        command.arg("--plant").arg(plant.to_string());
    }
    if args.trace {
        command.arg("--trace");
    }
    command.output().context("a process for it")
}
