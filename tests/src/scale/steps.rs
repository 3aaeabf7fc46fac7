//! The steps of a measurement, each from one moment to the next that is waited for.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    row::{Rest, Row, ms},
    stage::{COORDINATORS, Stage, value},
    usage,
};
use crate::run::eventually;

/// The service that is deployed.
const SERVICE: &str = "scale";
/// Its instance.
const INSTANCE: &str = "i0";
/// How often a step is looked at that takes milliseconds.
const LOOK: Duration = Duration::from_millis(10);
/// Between two attempts to write, while there is no leader.
const PAUSE: Duration = Duration::from_millis(5);
/// After what was begun before, a cluster is left alone for so long.
const SETTLE: Duration = Duration::from_secs(3);
/// Past the lease of a host (10 s) and the time until it is lost (15 s more).
const LOST_AFTER: Duration = Duration::from_secs(28);

/// Starts every agent and waits until the leader has a session with each.
///
/// # Errors
/// When it does not in time.
pub fn register(stage: &mut Stage, row: &mut Row) -> Result<()> {
    let leader = stage.leader()?;
    let before = cpu(stage, leader)?;
    let began = Instant::now();
    stage.fleet.go()?;
    stage.all_connected(leader)?;
    row.registered_ms = ms(began.elapsed());
    let after = cpu(stage, leader)?;
    row.registering_leader_cpu_ms = ms(after.leader - before.leader);
    row.registering_cpu_ms = ms(after.all() - before.all());
    Ok(())
}

/// Watches a cluster at rest that runs nothing.
///
/// # Errors
/// When a process is gone.
pub fn rest(stage: &mut Stage, row: &mut Row) -> Result<()> {
    row.rest = watch(stage)?;
    Ok(())
}

/// Watches a cluster at rest that runs what was deployed.
///
/// # Errors
/// When a process is gone.
pub fn rest_with_replicas(stage: &mut Stage, row: &mut Row) -> Result<()> {
    row.rest_with_replicas = watch(stage)?;
    let client = stage.client(stage.leader()?)?;
    client.page_of_everything()?;
    row.status_page_ms = ms(client.page_of_everything()?);
    Ok(())
}

/// Deploys an instance and waits until all its replicas are healthy.
///
/// # Errors
/// When they are not in time.
pub fn deploy(stage: &mut Stage, row: &mut Row) -> Result<()> {
    let wanted = stage.plan.replicas;
    let client = stage.client(stage.leader()?)?;
    stage.fleet.mark()?;
    // Checked by a command, as most hosts of this machine have no address that serves.
    let fields = format!(
        "instances: {wanted}, cpus: 0.1, mem: 64, healthcheck_mode: cmd, \
         healthcheck_cmd: 'true', healthcheck_interval_seconds: 10"
    );
    stage.cluster.declare_with(SERVICE, 1, &fields, 'a')?;
    let deadline = Instant::now() + stage.plan.patience;
    let desired_ms = loop {
        ensure!(Instant::now() < deadline, "not placed in time");
        if let Ok(status) = client.status(SERVICE, INSTANCE)
            && status.apps.iter().map(|app| app.replicas).sum::<u32>() == wanted
        {
            row.placed_ms = now_ms().saturating_sub(status.desired_since_ms) as f64;
            break status.desired_since_ms;
        }
        thread::sleep(LOOK);
    };
    let report = eventually(stage.plan.patience, "every replica is healthy", || {
        let report = stage.fleet.report(desired_ms)?;
        ensure!(report.healthy == wanted as usize, "{report:?}");
        Ok(report)
    })?;
    row.assigned = report.assigned_after;
    row.healthy = report.healthy_after;
    Ok(())
}

/// Kills the leader, and looks at what comes after it.
///
/// # Errors
/// When there is no write and not every session again in time.
pub fn kill_leader(stage: &mut Stage, row: &mut Row) -> Result<()> {
    let before = stage.fleet.report(0)?;
    let leader = stage.leader()?;
    let others: Vec<usize> = (1..=COORDINATORS).filter(|id| *id != leader).collect();
    let clients = others.iter().map(|id| stage.client(*id));
    let clients: Vec<_> = clients.collect::<Result<_>>()?;
    for client in &clients {
        client
            .write("hollow-00000")
            .context("before the leader is killed")?;
    }
    let began = Instant::now();
    stage.cluster.kill(leader)?;
    let deadline = began + stage.plan.patience;
    while !clients.iter().any(|one| one.write("hollow-00000").is_ok()) {
        ensure!(Instant::now() < deadline, "no write was acknowledged again");
        thread::sleep(PAUSE);
    }
    row.next_write_ms = ms(began.elapsed());
    let successor = stage.leader()?;
    stage.all_connected(successor)?;
    row.back_ms = ms(began.elapsed());
    thread::sleep(LOST_AFTER.saturating_sub(began.elapsed()));
    let (sessions, up) = stage.sessions(successor)?;
    let wanted = u64::from(stage.plan.hosts);
    row.hosts_lost = wanted.saturating_sub(up.min(sessions));
    let after = stage.fleet.report(0)?;
    let touched = |report: &crate::hollow::report::Report| report.created + report.removed;
    row.containers_touched = touched(&after).saturating_sub(touched(&before));
    Ok(())
}

/// Processor time so far.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    leader: Duration,
    /// The other coordinators, each.
    followers: [Duration; COORDINATORS - 1],
    hosts: Duration,
}

impl Cpu {
    fn all(&self) -> Duration {
        self.leader + self.followers.iter().sum::<Duration>() + self.hosts
    }
}

fn cpu(stage: &Stage, leader: usize) -> Result<Cpu> {
    let mut followers = [Duration::ZERO; COORDINATORS - 1];
    let others = (1..=COORDINATORS).filter(|id| *id != leader);
    for (follower, id) in followers.iter_mut().zip(others) {
        *follower = stage.usage(id)?.cpu;
    }
    Ok(Cpu {
        leader: stage.usage(leader)?.cpu,
        followers,
        hosts: usage::of(stage.fleet.pid())?.cpu,
    })
}

/// Plans so far: how many, and how long they took, seconds.
fn plans(page: &str) -> Result<(f64, f64)> {
    let (mut count, mut sum) = (0.0, 0.0);
    for scope in ["all", "changed"] {
        let name = |part: &str| format!("paasta_plan_duration_seconds_{part}{{scope=\"{scope}\"}}");
        count += value(page, &name("count"))?;
        sum += value(page, &name("sum"))?;
    }
    Ok((count, sum))
}

fn watch(stage: &mut Stage) -> Result<Rest> {
    let leader = stage.leader()?;
    let hosts = f64::from(stage.plan.hosts);
    let page = |stage: &Stage| crate::http::get(stage.cluster.http(leader), "/metrics");
    thread::sleep(SETTLE);
    let (began, first, first_page) = (Instant::now(), cpu(stage, leader)?, page(stage)?);
    thread::sleep(stage.plan.rest);
    let (took, last, last_page) = (began.elapsed(), cpu(stage, leader)?, page(stage)?);
    let percent = |from: Duration, to: Duration| {
        100.0 * (to.saturating_sub(from)).as_secs_f64() / took.as_secs_f64()
    };
    let pairs = first.followers.iter().zip(&last.followers);
    let records = |page: &str| value(page, "paasta_raft_last_log_index");
    let ((before, before_s), (after, after_s)) = (plans(&first_page)?, plans(&last_page)?);
    let own = usage::of(stage.fleet.pid())?;
    Ok(Rest {
        seconds: took.as_secs_f64(),
        leader_percent: percent(first.leader, last.leader),
        follower_percent: pairs
            .map(|(from, to)| percent(*from, *to))
            .fold(0.0, f64::max),
        raft_records: (records(&last_page)? - records(&first_page)?) as u64,
        leader_mib: stage.usage(leader)?.resident as f64 / f64::from(1 << 20),
        host_us_per_s: percent(first.hosts, last.hosts) * 10_000.0 / hosts,
        host_kib: own.resident as f64 / 1_024.0 / hosts,
        plan_ms: 1_000.0 * (after_s - before_s) / (after - before).max(1.0),
        plans_per_s: (after - before) / took.as_secs_f64(),
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
