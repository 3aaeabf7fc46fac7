//! What dies: containers, agents, coordinators one by one and all at once, hosts, wires.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use paasta_proto::v1::{HostState, HostStatus, NodeRole, ReplicaClass};
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::containers::Container;
use paasta_tests::http::get;
use paasta_tests::run::{eventually, throughout};

use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER, first_deploy, ids, still};

/// A container that died is replaced within this: a look, a backoff of some seconds, a start.
const RESTART: Duration = Duration::from_secs(40);
/// A leader that died is replaced within this.
const ELECTION: Duration = Duration::from_secs(5);
/// How long no coordinator is there.
const OUTAGE: Duration = Duration::from_secs(30);
/// How long nothing surplus may show up.
const CALM: Duration = Duration::from_secs(10);

#[test]
fn what_dies_is_replaced_and_what_lives_is_left_alone() {
    let (story, mut cluster) = Story::begin("failures", "zdb");
    first_deploy(&mut cluster).unwrap();
    a_container(&story, &cluster).unwrap();
    agents(&story, &mut cluster).unwrap();
    the_leader_in_a_bounce(&story, &mut cluster).unwrap();
    a_frozen_leader(&story, &cluster).unwrap();
    all_coordinators(&story, &mut cluster).unwrap();
    a_host(&story, &mut cluster).unwrap();
    a_wire(&story, &cluster).unwrap();
    story.phase("done");
}

fn a_container(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("kill a container: its replica has a new one, the dead one is removed");
    let before = ids(cluster, MAIN)?;
    let victim = kill_one_container(cluster)?;
    let others: BTreeSet<String> = before
        .iter()
        .filter(|id| **id != victim.id)
        .cloned()
        .collect();
    replaced(cluster, &victim)?;
    cluster.settled(RESTART, MAIN, 3)?;
    let after = ids(cluster, MAIN)?;
    ensure!(
        after.len() == 3 && after.is_superset(&others) && !after.contains(&victim.id),
        "{before:?} became {after:?}"
    );
    told_of_death(cluster, &victim)
}

/// The death is one event, also among what happened to the service, and is counted on its host.
fn told_of_death(cluster: &Cluster, victim: &Container) -> Result<()> {
    let of_death = |text: &str| {
        let lines = text.lines();
        lines
            .filter(|line| line.contains("exited by itself"))
            .count()
    };
    for verb in [
        &["events", "-i", MAIN][..],
        &["logs", "-s", "hello", "-C", "deploy", "--since", "5m"],
    ] {
        eventually(SOON, "the death is shown", || {
            let text = cluster.operator.succeed(verb)?;
            ensure!(of_death(&text) == 1, "{verb:?}: {text}");
            Ok(())
        })?;
    }
    let all = cluster.hosts.all();
    let at = all.iter().position(|host| host.name == victim.host);
    let agent = at.context("a host of ours")? + 1;
    eventually(SOON, "the death is counted", || {
        let page = cluster.agent_page(agent, "/metrics")?;
        let counted = "paasta_agent_troubles_total{kind=\"exited\"} 1";
        ensure!(page.lines().any(|line| line == counted), "{page}");
        Ok(())
    })
}

/// `docker kill` of the first container of `main`.
fn kill_one_container(cluster: &Cluster) -> Result<Container> {
    let victim = cluster.containers(MAIN)?.into_iter().find(Container::runs);
    let victim = victim.context("a container that runs")?;
    let host = cluster
        .hosts
        .all()
        .iter()
        .find(|host| host.name == victim.host);
    host.context("a host of ours")?
        .docker(&["kill", &victim.id])?;
    Ok(victim)
}

/// Waits until the same replica has another container that answers, and nothing of the dead one
/// is left.
fn replaced(cluster: &Cluster, victim: &Container) -> Result<()> {
    eventually(RESTART, "the dead container is replaced", || {
        let found = cluster.containers(MAIN)?;
        ensure!(
            found.iter().all(|one| one.id != victim.id),
            "{} is still there",
            victim.id
        );
        let next = found
            .iter()
            .find(|one| one.replica == victim.replica && one.host == victim.host && one.runs());
        let address = next.and_then(|one| one.address);
        get(
            address.with_context(|| format!("docker has {found:#?}"))?,
            "/status",
        )
        .map(drop)
    })
}

fn agents(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("restart an agent with SIGTERM, another with SIGKILL: no container is touched");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    cluster.stop_agent(1)?;
    cluster.kill_agent(2)?;
    for index in [1, 2] {
        host_becomes(cluster, index, "without an agent", |host| !host.connected)?;
        cluster.start_agent(index)?;
    }
    for index in [1, 2] {
        host_becomes(cluster, index, "up", |host| {
            host.connected && host.state() == HostState::Up
        })?;
    }
    cluster.settled(SOON, MAIN, 3)?;
    throughout(CALM, "the containers are the same", || {
        still(cluster, MAIN, &main)?;
        still(cluster, WORKER, &worker)
    })
}

fn host_becomes(
    cluster: &Cluster,
    index: usize,
    what: &str,
    wanted: impl Fn(&HostStatus) -> bool,
) -> Result<()> {
    let name = &cluster.hosts.host(index).name;
    eventually(BOUNCE, &format!("{name} is {what}"), || {
        let status = cluster.operator.metastatus()?;
        let host = status.hosts.iter().find(|host| host.id == *name);
        ensure!(host.is_some_and(&wanted), "{:#?}", status.hosts);
        Ok(())
    })
}

fn the_leader_in_a_bounce(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("kill -9 the leader in the middle of a bounce: another ends it");
    let before = cluster.operator.status(MAIN)?;
    let leader = cluster.leader()?;
    let traffic = cluster.traffic(MAIN);
    cluster
        .service
        .replace("  instances: 3\n", "  instances: 3\n  mem: 72\n")?;
    cluster.wait_until(BOUNCE, MAIN, "the middle of a bounce", |status| {
        status.desired_app != before.desired_app
            && status
                .bounce
                .as_ref()
                .is_some_and(|bounce| bounce.new_happy > 0)
    })?;
    cluster.kill_coordinator(leader)?;
    let killed = Instant::now();
    let next = eventually(ELECTION, "another leads", || {
        let next = cluster.leader()?;
        ensure!(next != leader, "{leader} is dead and still leads");
        Ok(next)
    })?;
    story.phase(&format!(
        "coordinator {next} serves {:.1?} after the death of {leader}",
        killed.elapsed()
    ));
    let after = cluster.settled(BOUNCE, MAIN, 3)?;
    let seen = traffic.stop()?;
    seen.answered(3)?;
    let made = seen.containers.get(&after.desired_app).map(BTreeSet::len);
    ensure!(
        made == Some(3),
        "{made:?} containers of the new app were made\n{}",
        seen.story()
    );
    cluster.start_coordinator(leader)?;
    catches_up(cluster)
}

/// Every coordinator has applied what the others have.
fn catches_up(cluster: &Cluster) -> Result<()> {
    eventually(SOON, "every coordinator has caught up", || {
        let nodes = cluster.operator.nodes()?;
        let applied: BTreeSet<u64> = nodes.iter().map(|node| node.applied_index).collect();
        let leaders = nodes
            .iter()
            .filter(|node| node.role() == NodeRole::Leader)
            .count();
        ensure!(
            nodes.len() == 3 && leaders == 1 && applied.len() == 1,
            "{nodes:#?}"
        );
        Ok(())
    })
}

fn a_frozen_leader(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("freeze the leader: another serves; thawed, it follows");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let leader = cluster.leader()?;
    cluster.signal_coordinator(leader, Signal::SIGSTOP)?;
    let others = (1..=3).filter(|id| *id != leader);
    for id in others {
        let alone = cluster.operator.asking(&cluster.coordinator_address(id));
        eventually(ELECTION, "another leads", || {
            let status = alone.metastatus()?;
            let next = status.coordinators.iter().find(|one| one.leader);
            ensure!(
                next.is_some_and(|next| next.id != leader as u64),
                "{leader} is frozen: {:#?}",
                status.coordinators
            );
            Ok(())
        })?;
    }
    cluster.signal_coordinator(leader, Signal::SIGCONT)?;
    catches_up(cluster)?;
    cluster.settled(SOON, MAIN, 3)?;
    throughout(CALM, "nothing was started or stopped", || {
        still(cluster, MAIN, &main)?;
        still(cluster, WORKER, &worker)
    })
}

fn all_coordinators(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story
        .phase("kill -9 all coordinators for 30 s: nothing changes, a dead container is restarted");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    for id in 1..=3 {
        cluster.kill_coordinator(id)?;
    }
    let dead = Instant::now();
    ensure!(
        cluster.operator.impatient().status(MAIN).is_err(),
        "somebody answered for dead coordinators"
    );
    let victim = kill_one_container(cluster)?;
    replaced(cluster, &victim).context("without a coordinator")?;
    let others: BTreeSet<String> = main.into_iter().filter(|id| *id != victim.id).collect();
    let now = ids(cluster, MAIN)?;
    ensure!(
        now.is_superset(&others) && now.len() == 3,
        "{others:?} became {now:?}"
    );
    throughout(
        OUTAGE.saturating_sub(dead.elapsed()),
        "all is as it was",
        || {
            still(cluster, MAIN, &now)?;
            still(cluster, WORKER, &worker)
        },
    )?;
    story.phase("start the coordinators again: they find everything as it is");
    for id in 1..=3 {
        cluster.start_coordinator(id)?;
    }
    cluster.settled(SOON, MAIN, 3)?;
    cluster.settled(SOON, WORKER, 1)?;
    throughout(CALM, "nothing was started or stopped", || {
        still(cluster, MAIN, &now)?;
        still(cluster, WORKER, &worker)
    })
}

/// Waits until three replicas are happy and none of them is on the host `name`.
fn moved_away(cluster: &Cluster, name: &str) -> Result<()> {
    let what = format!("three happy replicas on other hosts than {name}");
    let status = cluster.wait_until(BOUNCE, MAIN, &what, |status| {
        let happy = status
            .replicas
            .iter()
            .filter(|one| one.class() == ReplicaClass::Happy);
        happy.clone().count() == 3 && happy.clone().all(|one| one.host != name)
    })?;
    for replica in status
        .replicas
        .iter()
        .filter(|one| one.class() == ReplicaClass::Happy)
    {
        let port = replica.host_port.context("a happy replica has a port")?;
        let address = format!("{}:{port}", replica.address).parse()?;
        get(address, "/status").with_context(|| format!("replica {}", replica.id))?;
    }
    Ok(())
}

/// Back to exactly three, and it stays so.
fn no_surplus(cluster: &Cluster) -> Result<()> {
    cluster.settled(BOUNCE, MAIN, 3)?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    throughout(CALM, "no surplus", || {
        still(cluster, MAIN, &main)?;
        still(cluster, WORKER, &worker)
    })
}

fn a_host(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("kill a host: its replicas come up elsewhere");
    let name = cluster.hosts.host(2).name.clone();
    cluster.kill_host(2)?;
    moved_away(cluster, &name)?;
    story.phase("the host comes back: no surplus");
    cluster.start_host(2)?;
    host_becomes(cluster, 2, "up", |host| {
        host.connected && host.state() == HostState::Up
    })?;
    no_surplus(cluster)
}

fn a_wire(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("cut a host off: its replicas come up elsewhere");
    // One that has something to lose.
    let victim = cluster.containers(MAIN)?.into_iter().find(Container::runs);
    let name = victim.context("a container that runs")?.host;
    let index = 1 + cluster
        .hosts
        .all()
        .iter()
        .position(|host| host.name == name)
        .context("a host of ours")?;
    cluster.hosts.cut(index)?;
    moved_away(cluster, &name)?;
    let behind = cluster.containers(MAIN)?;
    ensure!(
        behind.iter().any(|one| one.host == name && one.runs()),
        "a host that is cut off stopped its replicas: {behind:#?}"
    );
    story.phase("heal it: nothing is there twice");
    cluster.hosts.heal(index)?;
    host_becomes(cluster, index, "up", |host| {
        host.connected && host.state() == HostState::Up
    })?;
    no_surplus(cluster)
}
