//! A leader that loses its way to a majority, each way it can: leadership ends for everything, the
//! agents go on elsewhere, nothing that runs is touched. And links that are slow: consensus works
//! over them, and says so.
#![allow(clippy::print_stdout, reason = "how long each step took is printed")]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{HostState, LinkSpeed, NodeRole};
use paasta_tests::{
    linked::{Cut, Linked},
    proxy::Link,
};
use tokio::time::{Instant, sleep, timeout};

/// Replicas of the one instance, and agents.
const REPLICAS: usize = 6;
const AGENTS: u16 = 3;
/// How long a leader without a majority goes on: its lease, and what a busy machine adds.
const LEASE: Duration = Duration::from_millis(2_100);
const BUSY: Duration = Duration::from_millis(2_000);

/// A cluster over fast links with agents on all coordinators, and replicas that run.
async fn running(lost_after_ms: u64) -> Result<Linked> {
    let mut cluster = Linked::start(3, Link::default(), lost_after_ms).await?;
    for number in 1..=AGENTS {
        // Each asks another one first, so that some sessions are relayed.
        let first = u64::from(number - 1);
        let order: Vec<u64> = (0..3).map(|at| (first + at) % 3 + 1).collect();
        cluster.agent(number, &order)?;
    }
    hosts_connected(&cluster, &[1, 2, 3]).await?;
    cluster.declare("hello", "main: {instances: 6, cpus: 0.1, mem: 64}")?;
    let all_run = || async { (cluster.containers().0 == REPLICAS).then_some(()) };
    cluster.until("the replicas run", all_run).await?;
    Ok(cluster)
}

/// Waits until all agents have a session with the leader, and returns it.
async fn hosts_connected(cluster: &Linked, ids: &[u64]) -> Result<u64> {
    let connected = || async {
        let leader = cluster.leader_of(ids).await?;
        let status = cluster.metastatus(leader).await.ok()?;
        let up = status
            .hosts
            .iter()
            .filter(|host| host.connected && host.state() == HostState::Up);
        (up.count() == usize::from(AGENTS)).then_some(leader)
    };
    cluster.until("every agent has a session", connected).await
}

async fn cut_leader(how: Cut) -> Result<()> {
    // Lost as soon as it may be: a host that is counted as silent too early is lost here.
    let cluster = running(1_000).await?;
    let old = hosts_connected(&cluster, &[1, 2, 3]).await?;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let (running_before, made_before) = cluster.containers();
    let term = cluster.node(old).await?.term;
    cluster.cut(old, how);
    let began = Instant::now();
    let over = || async {
        let node = cluster.node(old).await.ok()?;
        (node.role() != NodeRole::Leader).then_some(node)
    };
    let node = cluster.until("leadership ends", over).await?;
    let ended = began.elapsed();
    ensure!(
        ended < LEASE + BUSY,
        "{how:?}: leadership ended after {ended:?}"
    );
    let written = || async { cluster.write(*others.first()?, "after the cut").await.ok() };
    cluster
        .until("a write is acknowledged elsewhere", written)
        .await?;
    println!(
        "{how:?}: leadership ended after {ended:?}, first write after {:?}",
        began.elapsed()
    );
    if how != Cut::Mute {
        ensure!(node.role() == NodeRole::NoQuorum, "{how:?}: {node:?}");
        ensure!(node.leader_id.is_none(), "{how:?}: {node:?}");
        let (code, text) = cluster.get(old, "/readyz").await?;
        ensure!(code == 503, "{how:?}: /readyz {code} {text}");
        let (_, page) = cluster.get(old, "/metrics").await?;
        let says = |line: &str| page.lines().any(|one| one == line);
        ensure!(
            says("paasta_raft_role{role=\"leader\"} 0"),
            "{how:?}: {page}"
        );
        ensure!(
            says("paasta_raft_role{role=\"no-quorum\"} 1"),
            "{how:?}: {page}"
        );
        ensure!(says("paasta_raft_has_leader 0"), "{how:?}: {page}");
        ensure!(
            !page.contains("paasta_agent_sessions "),
            "{how:?}: it speaks for the cluster"
        );
        let read = cluster.metastatus(old).await;
        ensure!(read.is_err(), "{how:?}: a read was answered: {read:?}");
        let written = timeout(Duration::from_secs(8), cluster.write(old, "alone")).await;
        ensure!(
            !matches!(written, Ok(Ok(()))),
            "{how:?}: a write was acknowledged"
        );
    }
    let new = hosts_connected(&cluster, &others).await?;
    println!(
        "{how:?}: every agent has a session with {new} after {:?}",
        began.elapsed()
    );
    // For longer than silence is borne with: a host that was counted as silent would be lost.
    let until = began + Duration::from_secs(11);
    while Instant::now() < until {
        if let Some(leader) = cluster.leader_of(&others).await
            && let Ok(status) = cluster.metastatus(leader).await
        {
            ensure!(status.brake.is_empty(), "{how:?}: {}", status.brake);
            let lost = status
                .hosts
                .iter()
                .find(|host| host.state() == HostState::Lost);
            ensure!(lost.is_none(), "{how:?}: {lost:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        cluster.containers() == (running_before, made_before),
        "{how:?}: what ran was touched: {:?} before, {:?} now",
        (running_before, made_before),
        cluster.containers()
    );
    cluster.set_links(Link::default());
    let healed = || async {
        let node = cluster.node(old).await.ok()?;
        (node.term > term && node.leader_id.is_some()).then_some(())
    };
    cluster
        .until("the old leader follows the new one", healed)
        .await?;
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_leads_nothing_any_more() -> Result<()> {
    cut_leader(Cut::Off).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_leader_leads_nothing_any_more() -> Result<()> {
    cut_leader(Cut::Deaf).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_leader_leads_nothing_any_more() -> Result<()> {
    cut_leader(Cut::Mute).await
}

/// The follower still hears its leader, and cannot reach it: what agents say through it leads
/// nowhere, and only the missing proof shows it.
#[tokio::test(flavor = "multi_thread")]
async fn agents_leave_a_follower_whose_relay_leads_nowhere() -> Result<()> {
    let cluster = running(60_000).await?;
    let leader = hosts_connected(&cluster, &[1, 2, 3]).await?;
    let (running_before, made_before) = cluster.containers();
    for follower in (1..=3).filter(|id| *id != leader) {
        cluster.cut_dialled(follower, leader)?;
    }
    let began = Instant::now();
    // The sessions that were relayed are seen to be silent, and then come back by another way.
    let renewed = || async {
        let status = cluster.metastatus(leader).await.ok()?;
        let now = status.now_ms;
        let fresh = |seen: Option<u64>| seen.is_some_and(|seen| now.saturating_sub(seen) < 1_500);
        let all = status
            .hosts
            .iter()
            .all(|host| host.connected && fresh(host.last_seen_ms));
        (all && began.elapsed() > Duration::from_secs(5)).then_some(())
    };
    cluster.until("every agent is heard again", renewed).await?;
    println!("every agent was heard again after {:?}", began.elapsed());
    ensure!(cluster.containers() == (running_before, made_before));
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_of_250_ms_works_with_the_defaults_and_is_named() -> Result<()> {
    let slow = Link::slow(Duration::from_millis(250));
    let began = Instant::now();
    let mut cluster = Linked::start(3, slow, 60_000).await?;
    println!("the cluster was made in {:?}", began.elapsed());
    cluster.agent(1, &[1, 2, 3])?;
    let first = || async { cluster.write(1, "first").await.ok() };
    cluster.until("a first write", first).await?;
    let named = || async {
        let leader = cluster.leader_of(&[1, 2, 3]).await?;
        let status = cluster.metastatus(leader).await.ok()?;
        let slow = status
            .coordinators
            .iter()
            .filter(|one| one.link() == LinkSpeed::Slow);
        (slow.count() == 2 && status.consensus_pace_permille >= 3_000).then_some((leader, status))
    };
    let (leader, status) = cluster.until("slow links are named", named).await?;
    for one in status.coordinators.iter().filter(|one| one.id != leader) {
        let us = one.round_trip_us.context("it was measured")?;
        ensure!((250_000..400_000).contains(&us), "{one:?}");
    }
    let (_, page) = cluster.get(leader, "/metrics").await?;
    let measured = page.lines().filter(|line| {
        line.starts_with("paasta_raft_peer_round_trip_seconds{") && !line.ends_with(" 0")
    });
    ensure!(measured.count() == 2, "{page}");
    // It stays as it is: reads and writes are answered, and nobody stands for election.
    let term = cluster.node(leader).await?.term;
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let began = Instant::now();
        cluster
            .write(1 + number % 3, &format!("write {number}"))
            .await?;
        cluster.metastatus(1 + (number + 1) % 3).await?;
        slowest = slowest.max(began.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
    println!("the slowest write and read together took {slowest:?}");
    ensure!(
        cluster.node(leader).await?.term == term,
        "there was an election"
    );
    // A leader that goes is followed by another one.
    cluster.stop(leader).await?;
    let began = Instant::now();
    let left: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let again = || async { cluster.write(*left.first()?, "after the leader").await.ok() };
    cluster.until("a write without the leader", again).await?;
    println!(
        "over slow links a write was acknowledged {:?} after the leader ended",
        began.elapsed()
    );
    // And when the links are fast again, so is the cluster.
    cluster.set_links(Link::default());
    let fast = || async {
        let leader = cluster.leader_of(&left).await?;
        let status = cluster.metastatus(leader).await.ok()?;
        (status.consensus_pace_permille == 1_000).then_some(())
    };
    cluster.until("the pace is normal again", fast).await?;
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_links_that_are_too_slow_the_leader_steps_down_and_comes_back() -> Result<()> {
    let mut cluster = Linked::start(3, Link::default(), 60_000).await?;
    cluster.agent(1, &[1, 2, 3])?;
    let first = || async { cluster.write(1, "first").await.ok() };
    cluster.until("a first write", first).await?;
    let ids = [1, 2, 3];
    let leader = cluster
        .until("a leader", || cluster.leader_of(&ids))
        .await?;
    cluster.set_links(Link::slow(Duration::from_secs(5)));
    let over = || async {
        let node = cluster.node(leader).await.ok()?;
        (node.role() != NodeRole::Leader).then_some(())
    };
    cluster.until("the leader steps down", over).await?;
    let (code, text) = cluster.get(leader, "/readyz").await?;
    ensure!(code == 503, "/readyz {code} {text}");
    cluster.set_links(Link::default());
    let again = || async { cluster.write(2, "again").await.ok() };
    cluster
        .until("a write when the links are fast again", again)
        .await?;
    cluster.end().await
}

/// On fast links, as measured: from the end of a leader to the first write that is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_is_followed_at_once_on_fast_links() -> Result<()> {
    let mut cluster = Linked::start(3, Link::default(), 60_000).await?;
    cluster.agent(1, &[1, 2, 3])?;
    let first = || async { cluster.write(1, "first").await.ok() };
    cluster.until("a first write", first).await?;
    // Long enough for the links to be measured.
    sleep(Duration::from_secs(3)).await;
    let leader = cluster
        .until("a leader", || cluster.leader_of(&[1, 2, 3]))
        .await?;
    // Cut both ways, as a machine that is gone: nothing says goodbye.
    cluster.cut(leader, Cut::Off);
    let began = Instant::now();
    let left: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let next = || async {
        let new = cluster.leader_of(&left).await?;
        cluster.write(new, "after").await.ok()
    };
    cluster.until("a write without the leader", next).await?;
    let took = began.elapsed();
    println!("on fast links a write was acknowledged {took:?} after the leader was gone");
    // Under a second on a machine of its own; this one may do other things as well.
    ensure!(took < Duration::from_secs(3), "{took:?}");
    cluster.end().await
}
