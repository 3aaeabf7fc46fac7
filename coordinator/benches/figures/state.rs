//! The cost of a change in a large cluster, and what that cluster's state takes of memory.

use std::{
    collections::BTreeSet,
    env,
    fs::File,
    io::{BufReader, BufWriter, Write},
    process::Command,
    time::Instant,
};

use anyhow::{Context, ensure};
use paasta_coordinator::codec;
use paasta_coordinator_core::{
    plan::{plan_scope, touched::Scope},
    state::ClusterState,
};

use crate::{
    disk,
    machine::{figure, ms, quantile, resident_mib, verdict},
    world::{Cluster, Shape, all_well, declared, fill, instance, set, wanted},
};

/// Makes this program a process that restores a state and says what it takes.
pub(crate) const ARGUMENT: &str = "restored-state";

const SHAPE: Shape = Shape {
    hosts: 10_000,
    instances: 10_000,
    replicas_each: 100,
    constrained: false,
};
/// Changed instances that are planned, each by itself.
const CHANGES: usize = 50;

/// Runs and prints.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("10,000 hosts, 1,000,000 replicas of 10,000 instances:");
    let before = resident_mib();
    let mut cluster = declared(SHAPE);
    fill(&mut cluster);
    ensure!(
        cluster.state.replica_count() == 1_000_000,
        "everything is placed"
    );
    figure(
        "resident after building it by commands (garbage included)",
        resident_mib() - before,
        "MiB",
    );
    memory(&cluster)?;
    one_change(cluster);
    Ok(())
}

/// The memory of the state alone, in a process that has nothing else: as a coordinator that has
/// restored it from a snapshot.
fn memory(cluster: &Cluster) -> anyhow::Result<()> {
    let dir = disk::directory()?;
    let path = dir.path().join("state");
    let mut file = BufWriter::new(File::create(&path)?);
    let began = Instant::now();
    codec::encode_to(&mut file, &cluster.state)?;
    file.flush()?;
    figure("written out as a snapshot", ms(began.elapsed()), "ms");
    let size = path.metadata()?.len() as f64 / f64::from(1 << 20);
    figure("size of that snapshot", size, "MiB");
    let measured = Command::new(env::current_exe()?)
        .arg(ARGUMENT)
        .arg(&path)
        .output()?;
    let text = String::from_utf8_lossy(&measured.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || {
        numbers
            .next()
            .context("the process says two numbers")?
            .map_err(anyhow::Error::from)
    };
    let (mib, restoring) = (next()?, next()?);
    figure("restored from it", restoring, "ms");
    verdict("memory of the state, restored", mib, "MiB", 1024.0, false);
    Ok(())
}

/// In a process of its own: restores the state of a file and prints what it takes.
pub(crate) fn measure_restored(args: &[String]) -> anyhow::Result<()> {
    let path = args.first().context("the file is named")?;
    let mut file = BufReader::new(File::open(path)?);
    let before = resident_mib();
    let began = Instant::now();
    let state: ClusterState = codec::decode_from(&mut file)?;
    let took = began.elapsed();
    println!("{} {}", resident_mib() - before, ms(took));
    ensure!(state.replica_count() == 1_000_000, "nothing is missing");
    Ok(())
}

/// New versions of instances, one at a time, each planned as the leader does.
fn one_change(mut cluster: Cluster) {
    let observed = all_well(&cluster);
    let mut spans = Vec::new();
    for change in 0..CHANGES {
        let number = change * (SHAPE.instances / CHANGES);
        let id = instance(number);
        cluster.must(set(&id, wanted(SHAPE, number, 2)));
        let changed = Scope {
            instances: BTreeSet::from([id]),
            braked: false,
        };
        let began = Instant::now();
        let planned = plan_scope(&cluster.state, &observed, cluster.now, &changed);
        spans.push(began.elapsed());
        assert!(!planned.commands.is_empty(), "a bounce begins");
    }
    let median = ms(quantile(&mut spans, 0.5));
    verdict(
        "planning one changed instance, median of 50",
        median,
        "ms",
        5.0,
        false,
    );
    figure("  the slowest", ms(quantile(&mut spans, 1.0)), "ms");
}
