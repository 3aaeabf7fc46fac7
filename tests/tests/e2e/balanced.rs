//! Clients of two hosts ask the service through the load balancers of their hosts, all the time,
//! while versions change, agents restart and the leader dies. No request fails.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use paasta_proto::v1::InstanceStatus;
use paasta_tests::cluster::Cluster;
use paasta_tests::run::{eventually, text};

use super::scene::{MAIN, SOON, Story, first_deploy, ids};

/// Where the example's smartstack.yaml has it, on every host.
const URL: &str = "http://127.0.0.1:20800/";
/// Bounces under load; the environment's `PAASTA_BALANCED_BOUNCES` may ask for more.
const BOUNCES: usize = 4;
/// For a bounce: as without a load balancer, and a drain that waits for every host's.
const BOUNCE: Duration = Duration::from_secs(120);
/// Requests that a client makes at least between two bounces; fewer would show nothing.
const ASKED_MIN: u64 = 200;
/// Between two requests of a connection: the machine has other things to do.
const PACE: &str = "function delay() return 10 end\n";

#[test]
fn no_request_fails_while_versions_change() {
    let (story, mut cluster) = Story::begin("balanced", "zdx");
    balance(&story, &mut cluster).unwrap();
    let first = first_deploy(&mut cluster).unwrap();
    answers_on_every_host(&cluster, &first).unwrap();
    let clients = [1, 2].map(|host| Client::start(&cluster, host).unwrap());
    let bounced = bounce(&story, &mut cluster);
    let ends = clients.map(|client| client.end().unwrap());
    let count = bounced.unwrap();
    for end in ends {
        story.phase(&format!("{end:?} over {count} bounces"));
        assert!(end.asked > ASKED_MIN * count as u64, "{end:?}");
        assert_eq!(end.failed, 0, "{end:?}");
    }
}

/// Gives each host a load balancer.
fn balance(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("a load balancer on each host");
    for host in 1..=3 {
        let run = cluster.dir().join(format!("proxy-{host}"));
        let lines = format!(
            "agent:\n  proxy:\n    addresses: [127.0.0.1]\n    run_dir: {}\n",
            run.display()
        );
        cluster.configure_agent(host, &lines)?;
        cluster.kill_agent(host)?;
        cluster.start_agent(host)?;
    }
    Ok(())
}

fn answers_on_every_host(cluster: &Cluster, sha: &str) -> Result<()> {
    for host in 1..=3 {
        eventually(SOON, "the load balancer answers", || {
            let mut curl = cluster.hosts.command_in(host, "curl");
            let body = text(curl.args(["-fsS", "--max-time", "2", URL]))?;
            ensure!(body.contains(&sha[..8]), "{body}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Changes the version again and again; returns how often.
fn bounce(story: &Story, cluster: &mut Cluster) -> Result<usize> {
    let asked = std::env::var("PAASTA_BALANCED_BOUNCES");
    let count = asked.map_or(Ok(BOUNCES), |text| text.parse())?;
    for at in 1..=count {
        story.phase(&format!("bounce {at} of {count}"));
        let before = ids(cluster, MAIN)?;
        let sha = cluster.service.release()?;
        let wanted = |status: &InstanceStatus| status.git_sha == sha;
        cluster.wait_until(SOON, MAIN, "the new version", wanted)?;
        match at % 4 {
            2 => restart_agents(story, cluster)?,
            3 => lose_the_leader(story, cluster)?,
            _ => {}
        }
        cluster.settled(BOUNCE, MAIN, 3)?;
        let after = ids(cluster, MAIN)?;
        ensure!(before.is_disjoint(&after), "{before:?} and {after:?}");
    }
    Ok(count)
}

fn restart_agents(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("restart every agent meanwhile");
    for host in 1..=3 {
        cluster.stop_agent(host)?;
        cluster.start_agent(host)?;
    }
    Ok(())
}

fn lose_the_leader(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("kill the leader meanwhile");
    let leader = cluster.leader()?;
    cluster.kill_coordinator(leader)?;
    cluster.start_coordinator(leader)
}

/// What a client asked, and what of it failed: connections, answers that did not come, and other
/// codes than 200.
#[derive(Debug)]
struct Asked {
    asked: u64,
    failed: u64,
    /// The lines that say what failed.
    errors: Vec<String>,
}

/// wrk on a host.
struct Client(Child);

impl Client {
    fn start(cluster: &Cluster, host: usize) -> Result<Self> {
        let pace = cluster.dir().join("pace.lua");
        fs::write(&pace, PACE)?;
        let mut command = cluster.hosts.command_in(host, "wrk");
        // It ends by a signal; this is for a test that has died.
        command.args(["-t1", "-c4", "-d1800s", "--timeout", "10s", "-s"]);
        command.arg(&pace).arg(URL);
        let child = command.stdout(Stdio::piped()).spawn();
        Ok(Self(
            child.context("wrk: deploy/demo/install.sh installs it")?,
        ))
    }

    fn end(mut self) -> Result<Asked> {
        ensure!(
            self.0.try_wait()?.is_none(),
            "the client has ended by itself"
        );
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGINT)?;
        let output = self.0.wait_with_output()?;
        let said = String::from_utf8(output.stdout)?;
        read(&said).with_context(|| format!("what wrk said: {said}"))
    }
}

fn read(said: &str) -> Result<Asked> {
    let numbers = |line: &str| -> Vec<u64> {
        let parts = line.split(|c: char| !c.is_ascii_digit());
        parts.filter_map(|part| part.parse().ok()).collect()
    };
    let asked = said.lines().find(|line| line.contains(" requests in "));
    let asked = asked.and_then(|line| numbers(line).first().copied());
    let mut end = Asked {
        asked: asked.context("no count of requests")?,
        failed: 0,
        errors: Vec::new(),
    };
    for line in said.lines() {
        // Connections, reads, writes and timeouts; then the answers, after "2xx or 3xx".
        let failed = match (line.contains("Socket errors"), line.contains("Non-2xx")) {
            (true, _) => numbers(line).iter().sum(),
            (_, true) => numbers(line).last().copied().unwrap_or(1),
            (false, false) => continue,
        };
        end.failed += failed;
        end.errors.push(line.trim().to_owned());
    }
    Ok(end)
}
