//! Containers that die many times: one event for an instance and a cause, with a count.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::containers::Container;
use paasta_tests::run::{eventually, throughout};

use super::scene::{MAIN, SOON, Story};

/// A run that died is replaced within this, after a backoff of some seconds.
const RESTART: Duration = Duration::from_secs(40);
/// The leader looks every five seconds, and says no more of a kind for ten minutes.
const QUIET: Duration = Duration::from_secs(6);

/// Kills both containers of a host, and one of them again, while no coordinator is there: what one
/// host reports, a new leader learns at once.
pub(crate) fn many_at_once(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("containers die three times while no coordinator runs: one event says three");
    cluster.stop_coordinator(1)?;
    let all = cluster.containers(MAIN)?;
    let with_two =
        |one: &&Container| all.iter().filter(|other| other.host == one.host).count() == 2;
    let mut victims: Vec<Container> = all.iter().filter(with_two).cloned().collect();
    ensure!(victims.len() == 2, "{all:?}");
    for victim in &victims {
        kill(cluster, victim)?;
    }
    for victim in &mut victims {
        *victim = eventually(RESTART, "it is replaced", || replaced(cluster, victim))?;
    }
    kill(cluster, &victims[0])?;
    counted(cluster, 3)?;
    cluster.start_coordinator(1)?;
    let looks: [&[&str]; 2] = [
        &["events", "-i", MAIN],
        &[
            "logs", "-s", "hello", "-i", "main", "-C", "deploy", "--since", "10m",
        ],
    ];
    for verb in looks {
        eventually(SOON, "the deaths are shown", || once(cluster, verb, 3))?;
    }
    story.phase("one more dies: the metric counts on, and no further event comes so soon");
    kill(cluster, &victims[1])?;
    counted(cluster, 4)?;
    throughout(QUIET, "one event", || once(cluster, looks[0], 3))?;
    once(cluster, looks[1], 3)
}

/// Fails unless one line, of `count` deaths, is shown.
fn once(cluster: &Cluster, verb: &[&str], count: u32) -> Result<()> {
    let said = cluster.operator.succeed(verb)?;
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("exited by"))
        .collect();
    let words = format!("{count} runs exited by themselves");
    ensure!(lines.len() == 1 && lines[0].contains(&words), "{said}");
    Ok(())
}

fn kill(cluster: &Cluster, victim: &Container) -> Result<()> {
    let host = cluster
        .hosts
        .all()
        .iter()
        .find(|one| one.name == victim.host);
    let host = host.context("a host of ours")?;
    host.docker(&["kill", &victim.id]).map(drop)
}

/// The next run of the replica.
fn replaced(cluster: &Cluster, victim: &Container) -> Result<Container> {
    let found = cluster.containers(MAIN)?;
    let next = found
        .into_iter()
        .find(|one| one.replica == victim.replica && one.id != victim.id && one.runs());
    next.context("it is not replaced yet")
}

fn counted(cluster: &Cluster, wanted: u64) -> Result<()> {
    eventually(RESTART, "all deaths are counted", || {
        let counted = deaths(cluster)?;
        ensure!(counted == wanted, "{counted} deaths, not {wanted}");
        Ok(())
    })
}

/// How many runs exited, by the metrics of both agents.
fn deaths(cluster: &Cluster) -> Result<u64> {
    let mut sum = 0;
    for index in 1..=2 {
        let page = cluster.agent_page(index, "/metrics")?;
        let counted = "paasta_agent_troubles_total{kind=\"exited\"} ";
        let line = page.lines().find_map(|line| line.strip_prefix(counted));
        sum += line.unwrap_or("0").parse::<u64>()?;
    }
    Ok(sum)
}
