//! The leader killed with `kill -9`: how long until the next write is acknowledged, by whichever of
//! the others leads then.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    disk::Slower,
    etcd::{self, Etcd},
    machine::{figure, ms, quantile, verdict},
    processes::{Client, PATIENCE, Trio},
    replicated::Coordinators,
};

const KILLS: usize = 20;
/// How long one attempt to write may take before the next.
const ATTEMPT: Duration = Duration::from_millis(1_000);
/// Before an attempt that was refused is repeated.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs and prints.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        println!("leader killed -9, to the next acknowledged write, {KILLS} kills:");
        let mut ours = distribution::<Coordinators>().await?;
        report(Coordinators::NAME, &mut ours);
        let median = ms(quantile(&mut ours, 0.5));
        verdict("median", median, "ms", 1_000.0, false);
        if etcd::is_installed() {
            let mut theirs = distribution::<Etcd>().await?;
            report("etcd (its defaults: election timeout 1 s)", &mut theirs);
            let ratio = ms(quantile(&mut theirs, 0.5)) / median;
            figure("etcd's median over ours", ratio, "times");
        } else {
            println!("  etcd is not installed (Debian: etcd-server): nothing to compare with");
        }
        Ok(())
    })
}

fn report(name: &str, spans: &mut [Duration]) {
    let at = |spans: &mut [Duration], share| ms(quantile(spans, share));
    println!(
        "  {name:45} min {:>6.0}  p25 {:>6.0}  median {:>6.0}  p75 {:>6.0}  p95 {:>6.0}  max {:>6.0} ms",
        at(spans, 0.0),
        at(spans, 0.25),
        at(spans, 0.5),
        at(spans, 0.75),
        at(spans, 0.95),
        at(spans, 1.0)
    );
}

async fn distribution<T: Trio>() -> anyhow::Result<Vec<Duration>> {
    let mut trio = T::start(Slower::NOT).await?;
    let mut spans = Vec::new();
    for _ in 0..KILLS {
        let leader = trio.leader().await?;
        trio.client(leader)?.write(0).await?;
        trio.kill(leader);
        spans.push(next_write(&trio, leader).await?);
        trio.restart(leader).await?;
    }
    Ok(spans)
}

/// From now to the first acknowledgement by any but the killed one.
async fn next_write<T: Trio>(trio: &T, killed: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut attempts = JoinSet::new();
    for member in (0..3).filter(|member| *member != killed) {
        let client = trio.client(member)?;
        attempts.spawn(async move {
            while !matches!(timeout(ATTEMPT, client.write(1)).await, Ok(Ok(()))) {
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let first = timeout(PATIENCE, attempts.join_next()).await;
    first.context("no write was acknowledged again")?;
    Ok(began.elapsed())
}
