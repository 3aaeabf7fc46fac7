//! Hosts whose clocks are two hours ahead and two hours behind: what they run becomes happy as on
//! the host with a right clock, bounces end, and the skew is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{ReplicaClass, ReplicaPhase};
use paasta_tests::cluster::Cluster;
use paasta_tests::run::eventually;

use super::scene::{BOUNCE, MAIN, SOON, Story};

/// A replica is happy when it has run for so long and its check is good.
const UPTIME: Duration = Duration::from_secs(8);
/// What probes, reports and looks add.
const LATER: Duration = Duration::from_secs(7);
/// What a look may be late.
const LOOK: Duration = Duration::from_millis(1_500);

#[test]
fn clocks_that_are_hours_off_change_nothing() {
    let (story, mut cluster) = Story::begin("clocks", "zck");
    story.phase("start the agents again: one two hours ahead, one two hours behind");
    agents_run(&cluster).unwrap();
    for (index, skew) in [(1, "+7200s"), (2, "-7200s")] {
        cluster.stop_agent(index).unwrap();
        cluster.start_agent_skewed(index, skew).unwrap();
    }
    shown(&cluster).unwrap();
    cluster
        .service
        .replace(
            "  drain_method: hacheck",
            "  bounce_health_params:\n    min_task_uptime: 8\n  drain_method: hacheck",
        )
        .unwrap();
    for version in ["first", "second"] {
        story.phase(&format!(
            "deploy a {version} version: happy on every host alike"
        ));
        let former: BTreeSet<String> = apps(&cluster);
        cluster.service.release().unwrap();
        happy_alike(&cluster, &former).unwrap();
        cluster.settled(BOUNCE, MAIN, 3).unwrap();
    }
    told_once(&cluster).unwrap();
    story.phase("done");
}

/// A signal before an agent listens for it would be an abrupt end.
fn agents_run(cluster: &Cluster) -> Result<()> {
    eventually(SOON, "three connected agents", || {
        let status = cluster.operator.metastatus()?;
        let connected = status.hosts.iter().filter(|host| host.connected).count();
        ensure!(connected == 3, "{:?}", status.hosts);
        Ok(())
    })
}

fn shown(cluster: &Cluster) -> Result<()> {
    eventually(SOON, "the skew is shown", || {
        let status = cluster.operator.metastatus()?;
        let ahead: Vec<i64> = status
            .hosts
            .iter()
            .filter_map(|host| host.clock_ahead_ms)
            .collect();
        let near = |wanted: i64| ahead.iter().any(|one| (one - wanted).abs() < 5_000);
        ensure!(near(7_200_000) && near(-7_200_000) && near(0), "{ahead:?}");
        Ok(())
    })?;
    eventually(SOON, "the leader counts both", || {
        let pages = (1..=3).map(|id| cluster.coordinator_page(id, "/metrics"));
        let pages: Vec<String> = pages.collect::<Result<_>>()?;
        let counted = "paasta_hosts_clock_skewed 2";
        let counts = |page: &String| page.lines().any(|line| line == counted);
        ensure!(pages.iter().any(counts), "no coordinator says {counted}");
        Ok(())
    })?;
    let said = cluster.operator.paasta(&["metastatus", "-v"])?.stdout;
    ensure!(
        said.contains("Clocks Status:") && said.contains("ahead"),
        "{said}"
    );
    Ok(())
}

/// The apps of which there are replicas, or none before the first deploy.
fn apps(cluster: &Cluster) -> BTreeSet<String> {
    let status = cluster.operator.status(MAIN).ok();
    let replicas = status.into_iter().flat_map(|status| status.replicas);
    replicas.map(|one| one.app).collect()
}

/// Every replica of the newest app, none of the `former`, is seen to run, and then to be happy no sooner and not much
/// later than the time it has to run for.
fn happy_alike(cluster: &Cluster, former: &BTreeSet<String>) -> Result<()> {
    let mut ran: BTreeMap<String, Instant> = BTreeMap::new();
    let mut took: BTreeMap<String, (String, Duration)> = BTreeMap::new();
    let until = Instant::now() + BOUNCE;
    while took.len() < 3 && Instant::now() < until {
        let status = cluster.operator.status(MAIN)?;
        let new = status
            .replicas
            .iter()
            .filter(|one| one.app == status.desired_app && !former.contains(&one.app));
        for replica in new {
            if replica.phase() == ReplicaPhase::Running {
                ran.entry(replica.id.clone()).or_insert_with(Instant::now);
            }
            if replica.class() == ReplicaClass::Happy {
                let since = ran.get(&replica.id).context("it ran before")?.elapsed();
                took.entry(replica.id.clone())
                    .or_insert_with(|| (replica.host.clone(), since));
            }
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    eprintln!("from running to happy: {took:?}");
    ensure!(took.len() == 3, "not happy in time: {took:?}");
    for (host, since) in took.values() {
        ensure!(*since + LOOK >= UPTIME, "too early on {host}: {since:?}");
        ensure!(*since <= UPTIME + LATER, "too late on {host}: {since:?}");
    }
    Ok(())
}

/// One event for each host whose clock is far off.
fn told_once(cluster: &Cluster) -> Result<()> {
    let said = cluster.operator.succeed(&["events"])?;
    let count = |words: &str| said.lines().filter(|line| line.contains(words)).count();
    ensure!(count("s ahead: times") == 1, "{said}");
    ensure!(count("s behind: times") == 1, "{said}");
    Ok(())
}
