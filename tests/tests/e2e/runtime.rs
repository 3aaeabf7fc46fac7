//! What becomes of a host whose dockerd freezes, dies or has no room: what runs goes on where it
//! can, nothing is doubled, and nobody has to do anything but to bring dockerd or room back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use paasta_proto::v1::{HostPart, HostState, HostStatus};
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::containers::{Container, containers};
use paasta_tests::disk::Filler;
use paasta_tests::hosts::Host;
use paasta_tests::http::get;
use paasta_tests::run::{eventually, throughout};

use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER, first_deploy};

/// Three lists without an answer, a report.
const NOTICED: Duration = Duration::from_secs(45);
/// Beyond every answer that the agent waits for while the runtime is degraded.
const FROZEN: Duration = Duration::from_secs(60);
/// Enough for dockerd, the image and some containers; the rest is filled by the test.
const SMALL_DISK_MIB: u32 = 384;
/// Several tries of a start that fails for lack of room.
const FULL: Duration = Duration::from_secs(30);

#[test]
fn a_dockerd_that_freezes_dies_or_is_full_costs_no_more_than_it_must() {
    let (story, mut cluster) = Story::begin("runtime", "zdh");
    first_deploy(&mut cluster).unwrap();
    frozen(&story, &cluster).unwrap();
    killed_and_containers_live(&story, &cluster).unwrap();
    killed_and_containers_die(&story, &cluster).unwrap();
    restarted(&story, &cluster).unwrap();
    full(&story, &mut cluster).unwrap();
    story.phase("done");
}

/// What the host's own dockerd has of `main`.
fn on(host: &Host) -> Result<Vec<Container>> {
    containers([host], MAIN)
}

fn ids(found: &[Container]) -> BTreeSet<String> {
    found.iter().map(|one| one.id.clone()).collect()
}

/// A host with a container of `main` that answers, and that container.
fn victim(cluster: &Cluster) -> Result<(Host, Container)> {
    for host in cluster.hosts.all() {
        let found = on(host)?.into_iter().find(|one| one.address.is_some());
        if let Some(found) = found {
            return Ok((host.clone(), found));
        }
    }
    anyhow::bail!("no container of main answers")
}

fn answers(container: &Container) -> Result<()> {
    get(container.address.context("an address")?, "/status").map(drop)
}

fn host_becomes(
    cluster: &Cluster,
    host: &Host,
    what: &str,
    wanted: impl Fn(&HostStatus) -> bool,
) -> Result<HostStatus> {
    eventually(NOTICED, &format!("{} is {what}", host.name), || {
        let status = cluster.operator.metastatus()?;
        let found = status.hosts.into_iter().find(|one| one.id == host.name);
        let found = found.context("the host is known")?;
        ensure!(wanted(&found), "{found:#?}");
        Ok(found)
    })
}

fn degraded(cluster: &Cluster, host: &Host) -> Result<()> {
    let found = host_becomes(cluster, host, "degraded", |host| {
        !host.runtime_degraded.is_empty()
    })?;
    ensure!(
        found.runtime_degraded.contains("listing containers fails")
            && found.runtime_degraded_since_ms > 1_700_000_000_000
            && found.state() == HostState::Up,
        "{found:#?}"
    );
    Ok(())
}

fn well(cluster: &Cluster, host: &Host) -> Result<()> {
    host_becomes(cluster, host, "well again", |host| {
        host.runtime_degraded.is_empty() && host.connected
    })
    .map(drop)
}

fn frozen(story: &Story, cluster: &Cluster) -> Result<()> {
    let (host, served) = victim(cluster)?;
    story.phase(&format!(
        "freeze dockerd of {}: degraded, no new work, what runs serves and is known to be well",
        host.name
    ));
    let before = ids(&on(&host)?);
    host.signal_dockerd(Signal::SIGSTOP)?;
    degraded(cluster, &host)?;
    cluster
        .service
        .replace("  instances: 3\n", "  instances: 5\n")?;
    let status = cluster.wait_until(BOUNCE, MAIN, "five happy replicas", |status| {
        status.counts.as_ref().map(|counts| counts.happy) == Some(5)
    })?;
    let here = status
        .replicas
        .iter()
        .filter(|one| one.host == host.name)
        .count();
    ensure!(here == before.len(), "new work went to {}", host.name);
    throughout(FROZEN, "it serves and counts", || {
        answers(&served)?;
        let status = cluster.operator.status(MAIN)?;
        let happy = status.counts.as_ref().map(|counts| counts.happy);
        ensure!(happy == Some(5), "{status:#?}");
        Ok(())
    })?;
    host.signal_dockerd(Signal::SIGCONT)?;
    well(cluster, &host)?;
    cluster.settled(BOUNCE, MAIN, 5)?;
    let after = ids(&on(&host)?);
    ensure!(
        after == before,
        "{}: {before:?} became {after:?}",
        host.name
    );
    Ok(())
}

/// SIGKILL, until it is dead, and start.
fn kill_dockerd(cluster: &Cluster, host: &Host) -> Result<()> {
    host.signal_dockerd(Signal::SIGKILL)?;
    degraded(cluster, host)?;
    start_dockerd(cluster, host)
}

fn start_dockerd(cluster: &Cluster, host: &Host) -> Result<()> {
    let all = cluster.hosts.all();
    let index = all.iter().position(|one| one.name == host.name);
    cluster
        .hosts
        .start_host(index.context("a host of ours")? + 1)
}

fn killed_and_containers_live(story: &Story, cluster: &Cluster) -> Result<()> {
    let (host, served) = victim(cluster)?;
    story.phase("kill dockerd, live-restore on: the same containers serve all the time");
    let before = ids(&on(&host)?);
    cluster.hosts.live_restore(true)?;
    kill_dockerd(cluster, &host)?;
    answers(&served)?;
    well(cluster, &host)?;
    cluster.settled(BOUNCE, MAIN, 5)?;
    let after = ids(&on(&host)?);
    ensure!(
        after == before,
        "{}: {before:?} became {after:?}",
        host.name
    );
    answers(&served)
}

fn killed_and_containers_die(story: &Story, cluster: &Cluster) -> Result<()> {
    let (host, served) = victim(cluster)?;
    story.phase("kill dockerd, live-restore off: its containers are ended, new ones come, once");
    cluster.hosts.live_restore(false)?;
    kill_dockerd(cluster, &host)?;
    well(cluster, &host)?;
    cluster.settled(BOUNCE, MAIN, 5)?;
    ensure!(!ids(&on(&host)?).contains(&served.id), "{served:#?}");
    Ok(())
}

fn restarted(story: &Story, cluster: &Cluster) -> Result<()> {
    let (host, served) = victim(cluster)?;
    story.phase("restart dockerd in good order: new containers come, once");
    host.signal_dockerd(Signal::SIGTERM)?;
    eventually(SOON, "dockerd ends", || {
        ensure!(on(&host).is_err(), "it answers");
        Ok(())
    })?;
    // The script starts it only when it is gone altogether.
    eventually(SOON, "dockerd is back", || {
        start_dockerd(cluster, &host)?;
        on(&host).map(drop)
    })?;
    well(cluster, &host)?;
    cluster.settled(BOUNCE, MAIN, 5)?;
    ensure!(!ids(&on(&host)?).contains(&served.id), "{served:#?}");
    Ok(())
}

fn full(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("a host comes back with a small disk of its own");
    cluster.kill_host(3)?;
    cluster.hosts.start_host_with_disk(3, SMALL_DISK_MIB)?;
    cluster.start_host(3)?;
    let host = cluster.hosts.host(3).clone();
    well(cluster, &host)?;
    // One on each host, so that there is one on this one.
    cluster.service.replace(
        "  instances: 5\n",
        "  instances: 3\n  mem: 80\n  constraints: [[hostname, UNIQUE]]\n",
    )?;
    cluster.settled(2 * BOUNCE, MAIN, 3)?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    let before = ids(&cluster.containers(MAIN)?);
    let served = on(&host)?.into_iter().find(|one| one.address.is_some());
    let served = served.context("a container of main on the host")?;

    story.phase("its disk fills: nothing new is placed there, what runs serves");
    let filler = Filler::fill(&host, SMALL_DISK_MIB)?;
    let worker = ids(&cluster.containers(WORKER)?);
    host_becomes(cluster, &host, "without room", |host| {
        host.degraded_part() == HostPart::DockerDisk && host.state() == HostState::Up
    })?;
    let args = "  args: [worker]\n";
    let here = format!(
        "{args}  mem: 40\n  constraints: [[hostname, LIKE, {}]]\n",
        host.name
    );
    cluster.service.replace(args, &here)?;
    eventually(BOUNCE, "the reason is shown", || {
        let why = cluster.operator.why(WORKER);
        ensure!(why.contains("whose Docker disk is nearly full"), "{why}");
        Ok(())
    })?;
    throughout(FULL, "what runs serves and counts", || {
        answers(&served)?;
        let status = cluster.operator.status(MAIN)?;
        let happy = status.counts.as_ref().map(|counts| counts.happy);
        ensure!(happy == Some(3), "{status:#?}");
        let (main, old) = (cluster.containers(MAIN)?, cluster.containers(WORKER)?);
        ensure!(ids(&main) == before, "{before:?} became {main:#?}");
        ensure!(worker.is_subset(&ids(&old)), "{worker:?} became {old:#?}");
        Ok(())
    })?;

    let status = cluster.operator.status(WORKER)?;
    ensure!(
        status.replicas.iter().all(|one| one.host != host.name),
        "{status:#?}"
    );

    story.phase("a bounce does not wait for it");
    cluster
        .service
        .replace(&here, &format!("{args}  mem: 41\n"))?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    let status = cluster.operator.status(WORKER)?;
    ensure!(
        status.replicas.iter().all(|one| one.host != host.name),
        "{status:#?}"
    );

    story.phase("there is room again: it heals by itself");
    filler.remove()?;
    well(cluster, &host)?;
    cluster
        .service
        .replace(&format!("{args}  mem: 41\n"), &here)?;
    cluster.settled(2 * BOUNCE, WORKER, 1)?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    let main = cluster.containers(MAIN)?;
    ensure!(ids(&main) == before, "{before:?} became {main:#?}");
    Ok(())
}
