//! Whose a host id is: a second agent under it is refused, an agent whose id was changed names what
//! it left behind, and the command that it names removes that. Before, on the same cluster: how
//! many deaths are shown ([`super::deaths`]).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{HostState, HostStatus};
use paasta_tests::cluster::containers::Container;
use paasta_tests::cluster::{Cluster, ClusterOptions, agent_name};
use paasta_tests::run::{bounded, eventually, text, throughout};

use super::deaths;
use super::scene::{BOUNCE, MAIN, SOON, Story, ids};

/// How long the second agent is looked at: it tries again all the while.
const TRIES: Duration = Duration::from_secs(4);
/// For a command of the agent that stops containers.
const REAP: Duration = Duration::from_secs(60);
const SECOND: &str = "second";

#[test]
fn many_deaths_are_one_event_and_a_host_id_is_one_machines() {
    let story = Story::named("claims");
    story.phase("bring up two hosts and a coordinator");
    let mut cluster = Cluster::up(ClusterOptions {
        prefix: "zcl",
        hosts: 2,
        coordinators: 1,
    })
    .expect("bring up the cluster");
    cluster.service.release().unwrap();
    cluster.settled(BOUNCE, MAIN, 3).unwrap();
    deaths::many_at_once(&story, &mut cluster).unwrap();
    a_second_agent(&story, &mut cluster).unwrap();
    another_id(&story, &mut cluster).unwrap();
    story.phase("done");
}

fn host(cluster: &Cluster, id: &str) -> Result<HostStatus> {
    let status = cluster.operator.metastatus()?;
    let host = status.hosts.into_iter().find(|host| host.id == id);
    host.with_context(|| format!("{id} is unknown"))
}

/// The containers of host `index` that run.
fn on(cluster: &Cluster, index: usize) -> Result<Vec<Container>> {
    let name = &cluster.hosts.host(index).name;
    let all = cluster.containers(MAIN)?;
    Ok(all.into_iter().filter(|one| one.host == *name).collect())
}

fn agent_log(cluster: &Cluster, index: usize) -> Result<String> {
    Ok(fs::read_to_string(cluster.log(&agent_name(index)))?)
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for wanted in words {
        ensure!(text.contains(wanted), "no {wanted:?} in {text}");
    }
    Ok(())
}

fn events(cluster: &Cluster, words: &str) -> Result<usize> {
    let said = cluster.operator.succeed(&["events", "-n", "1000"])?;
    Ok(said.lines().filter(|line| line.contains(words)).count())
}

fn a_second_agent(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("a second agent under the id of the first: refused, and nothing else changes");
    let (first, second) = (
        cluster.hosts.host(1).clone(),
        cluster.hosts.host(2).ip.to_string(),
    );
    let before: BTreeSet<String> = on(cluster, 1)?.into_iter().map(|one| one.id).collect();
    ensure!(!before.is_empty(), "nothing runs on the first host");
    cluster.stop_agent(2)?;
    cluster.start_agent_as(2, &first.name, SECOND)?;
    let holder = first.ip.to_string();
    let refusal = format!(
        "host id {} belongs to another machine, at {holder}",
        first.name
    );
    eventually(SOON, "refused in words", || {
        has(&agent_log(cluster, 2)?, &[&refusal, "agent.host_id"])?;
        let coordinator = fs::read_to_string(cluster.log("coordinator-1"))?;
        has(&coordinator, &["a second machine has this id", &second])
    })?;
    throughout(TRIES, "the first keeps its id and its containers", || {
        let host = host(cluster, &first.name)?;
        ensure!(
            host.connected && host.state() == HostState::Up && host.address == holder,
            "{host:?}"
        );
        let now = ids(cluster, MAIN)?;
        ensure!(now.is_superset(&before), "{before:?} became {now:?}");
        Ok(())
    })?;
    ensure!(host(cluster, &first.name)?.rival_address == second);
    let said = cluster.operator.paasta(&["metastatus"])?.stdout;
    let shown = format!(
        "a second machine is refused under the id of {} ({second})",
        first.name
    );
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    has(&flat, &[&shown])?;
    ensure!(
        events(cluster, "a second machine, at")? == 1,
        "one event for many tries"
    );
    let coordinator = fs::read_to_string(cluster.log("coordinator-1"))?;
    let tries = coordinator.matches(&refusal).count();
    ensure!(tries > 1, "it tried {tries} times");

    story.phase("the first agent stops: when its lease has ended the id is the second one's");
    cluster.stop_agent(1)?;
    eventually(SOON, "the second has the id", || {
        let host = host(cluster, &first.name)?;
        ensure!(host.connected && host.address == second, "{host:?}");
        Ok(())
    })?;
    ensure!(events(cluster, "another machine has its id now")? == 1);
    cluster.start_agent(1)?;
    let refusal = format!(
        "host id {} belongs to another machine, at {second}",
        first.name
    );
    eventually(SOON, "the first is refused now", || {
        has(&agent_log(cluster, 1)?, &[&refusal])
    })?;
    cluster.stop_agent(2)?;
    eventually(SOON, "the first has its id again", || {
        let host = host(cluster, &first.name)?;
        ensure!(host.connected && host.address == holder, "{host:?}");
        Ok(())
    })
}

fn another_id(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("the id of an agent is changed: it names what it leaves, and does not start");
    let former = cluster.hosts.host(2).name.clone();
    let state = agent_name(2);
    let theirs = |cluster: &Cluster| {
        let filter = format!("label=paasta_host={former}");
        cluster.hosts.docker(
            2,
            &["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"],
        )
    };
    let left = theirs(cluster)?;
    ensure!(!left.is_empty(), "{former} left nothing");
    cluster.start_agent_as(2, "renamed", &state)?;
    let ended = cluster.agent_ends(2)?;
    ensure!(!ended.success(), "it started over the ledger of {former}");
    let log = agent_log(cluster, 2)?;
    let command = format!("paasta-agent reap --left-by {former}");
    has(&log, &[&format!("is of host {former}, this is renamed")])?;
    has(&log, &[&format!("had host id {former} before"), &command])?;
    for name in left.lines() {
        has(&log, &[name])?;
    }
    ensure!(theirs(cluster)? == left, "nothing is touched by itself");

    story.phase("the command that it names removes exactly that");
    let reap = |cluster: &Cluster, more: &[&str]| {
        let words = cluster.agent_words(2, "reap", "renamed", &state);
        let mut command = bounded(REAP, &words[0]);
        text(
            command
                .args(&words[1..])
                .args(["--left-by", &former])
                .args(more),
        )
    };
    let dry = reap(cluster, &["--dry-run"])?;
    for name in left.lines() {
        has(&dry, &[&format!("would remove {name}")])?;
    }
    ensure!(theirs(cluster)? == left, "a dry run removes nothing");
    let others = cluster.hosts.docker(2, &["ps", "-aq"])?.lines().count() - left.lines().count();
    let said = reap(cluster, &[])?;
    for name in left.lines() {
        has(&said, &[&format!("removed {name}")])?;
    }
    has(&said, &[&format!("removed the ledger of {former}")])?;
    ensure!(theirs(cluster)?.is_empty(), "{}", theirs(cluster)?);
    let kept = cluster.hosts.docker(2, &["ps", "-aq"])?.lines().count();
    ensure!(kept == others, "{kept} of {others} others are left");

    story.phase("the agent starts under its new id");
    cluster.start_agent_as(2, "renamed", &state)?;
    eventually(SOON, "it is a host of the cluster", || {
        let host = host(cluster, "renamed")?;
        ensure!(host.connected && host.state() == HostState::Up, "{host:?}");
        Ok(())
    })?;
    cluster.wait_until(BOUNCE, MAIN, "three happy replicas", |status| {
        status
            .counts
            .as_ref()
            .is_some_and(|counts| counts.happy == 3)
    })?;
    let named = agent_log(cluster, 2)?.matches(&command).count();
    ensure!(
        named == 2,
        "named {named} times: once in the list, once in the error"
    );
    Ok(())
}
