//! What services write, read by an operator: followed while containers, an agent and a host go and
//! come, and asked for afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_tests::cluster::containers::Container;
use paasta_tests::cluster::{Cluster, ClusterOptions};
use paasta_tests::run::eventually;
use serde_json::Value;

use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER};

/// A container that died is replaced, a host that was cut off is back, within this.
const RETURN: Duration = Duration::from_secs(60);

#[test]
fn what_is_written_is_followed_through_everything_that_dies() {
    let story = Story::named("logs");
    story.phase("bring up two hosts, three coordinators, two agents");
    let options = ClusterOptions {
        prefix: "zlg",
        hosts: 2,
        coordinators: 3,
    };
    let mut cluster = Cluster::up(options).expect("bring up the cluster");
    cluster.service.release().unwrap();
    cluster.settled(BOUNCE, MAIN, 3).unwrap();
    cluster.settled(BOUNCE, WORKER, 1).unwrap();
    what_was(&story, &cluster).unwrap();
    let follower = Follower::start(&cluster).unwrap();
    a_container(&story, &cluster, &follower).unwrap();
    an_agent(&story, &mut cluster, &follower).unwrap();
    a_host(&story, &cluster, &follower).unwrap();
    story.phase("done");
}

/// `paasta logs -f --json` of both instances, into files.
struct Follower {
    child: Child,
    out: PathBuf,
    notes: PathBuf,
}

/// A line as a program reads it.
#[derive(Clone, Debug)]
struct Line {
    replica: String,
    run: u64,
    host: String,
    message: String,
}

impl Follower {
    fn start(cluster: &Cluster) -> Result<Self> {
        let (out, notes) = (cluster.log("followed"), cluster.log("followed-notes"));
        let mut command = Command::new(cluster.program("paasta"));
        let child = cluster
            .operator
            .connect(&mut command)
            .args(["logs", "-s", "hello", "-i", "main,worker", "-f", "--json"])
            .args(["--component", "stdout,stderr", "-n", "1000"])
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&notes)?)
            .spawn()?;
        Ok(Self { child, out, notes })
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(&self.out)?;
        // The last one may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }

    fn notes(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.notes)?)
    }

    /// Waits for a line.
    fn until(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Result<Line> {
        eventually(RETURN, what, || {
            let found = self.lines()?.into_iter().rev().find(&wanted);
            found.with_context(|| format!("not followed yet; {}", self.notes().unwrap_or_default()))
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(text: &str) -> Result<Line> {
    let value: Value = serde_json::from_str(text).with_context(|| text.to_owned())?;
    let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    ensure!(
        word("cluster") == "demo" && word("service") == "hello" && word("level") == "event",
        "{text}"
    );
    Ok(Line {
        replica: word("replica"),
        run: value["run"].as_u64().unwrap_or_default(),
        host: word("host"),
        message: word("message"),
    })
}

/// The rounds that the worker told of, by replica and run.
fn rounds(lines: &[Line]) -> BTreeMap<(String, u64), Vec<u64>> {
    let mut rounds: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for line in lines {
        if let Some((_, round)) = line.message.split_once(": round ")
            && let Ok(round) = round.parse()
        {
            let run = (line.replica.clone(), line.run);
            rounds.entry(run).or_default().push(round);
        }
    }
    rounds
}

/// No round is missing, none is told twice.
fn contiguous(lines: &[Line]) -> Result<()> {
    for (run, told) in rounds(lines) {
        let wanted: Vec<u64> = (1..).take(told.len()).collect();
        ensure!(told == wanted, "{run:?} told of rounds {told:?}");
    }
    Ok(())
}

fn read(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let words = [&["logs", "-s", "hello"], arguments].concat();
    cluster.operator.succeed(&words)
}

fn what_was(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("what was written is there, from any coordinator, in each form");
    for id in 1..=3 {
        let one = cluster.operator.asking(&cluster.coordinator_address(id));
        let said = one.succeed(&[
            "logs",
            "-s",
            "hello",
            "-i",
            "main",
            "--component",
            "stdout",
            "-r",
        ])?;
        let serving = said
            .lines()
            .filter(|line| line.contains("serving on port 8888"));
        ensure!(serving.count() == 3 && said.lines().count() == 3, "{said}");
    }
    eventually(SOON, "the worker has worked", || {
        let said = read(
            cluster,
            &["-i", "worker", "--component", "stdout", "-n", "2", "--json"],
        )?;
        ensure!(said.lines().count() == 2, "{said}");
        said.lines().try_for_each(|line| parse(line).map(drop))
    })?;
    let text = read(cluster, &["-i", "worker", "-C", "stdout", "-n", "1", "-v"])?;
    ensure!(
        text.contains(" [stdout] [demo] [worker] [zlg-") && text.contains("] - [event] "),
        "{text}"
    );
    let deploys = read(cluster, &["-i", "main", "-C", "deploy", "--json"])?;
    ensure!(deploys.contains("\"component\":\"deploy\""), "{deploys}");
    let late = read(cluster, &["-i", "main", "-C", "stdout", "--since", "1ms"])?;
    ensure!(late.is_empty(), "{late}");
    let host = read(
        cluster,
        &["-C", "stdout", "--host", "zlg-1", "--since", "1h", "--json"],
    )?;
    let hosts: BTreeSet<String> = host
        .lines()
        .map(|line| parse(line).map(|line| line.host))
        .collect::<Result<_>>()?;
    ensure!(hosts == BTreeSet::from(["zlg-1".to_owned()]), "{hosts:?}");
    let unknown = cluster.operator.paasta(&["logs", "-s", "helo"])?;
    ensure!(
        unknown.code == Some(1) && unknown.stderr.contains("did you mean hello?"),
        "{unknown:?}"
    );
    let other = cluster
        .operator
        .paasta(&["logs", "-s", "hello", "-c", "norcal"])?;
    ensure!(
        other.code == Some(1) && other.stderr.contains("\"demo\""),
        "{other:?}"
    );
    Ok(())
}

fn a_container(story: &Story, cluster: &Cluster, follower: &Follower) -> Result<()> {
    story
        .phase("a container dies: what it wrote is kept, what its replica writes next is followed");
    let victim = cluster.containers(MAIN)?.into_iter().find(Container::runs);
    let victim = victim.context("a container that runs")?;
    let is_next = |line: &Line| {
        line.replica == victim.replica && line.run == 2 && line.message.contains("serving on port")
    };
    let host = cluster
        .hosts
        .all()
        .iter()
        .find(|host| host.name == victim.host);
    host.context("a host of ours")?
        .docker(&["kill", &victim.id])?;
    follower.until("the next run is followed", is_next)?;
    let both = read(cluster, &["--replica", &victim.replica, "--json"])?;
    let both: Vec<Line> = both.lines().map(parse).collect::<Result<_>>()?;
    let runs: Vec<u64> = both.iter().map(|line| line.run).collect();
    ensure!(
        runs.first() == Some(&1) && runs.last() == Some(&2),
        "{both:?}"
    );
    cluster.settled(RETURN, MAIN, 3)?;
    Ok(())
}

/// Where the worker is: the number of its host, and its replica.
fn worker(cluster: &Cluster) -> Result<(usize, String)> {
    let found = cluster
        .containers(WORKER)?
        .into_iter()
        .find(Container::runs);
    let found = found.context("a worker that runs")?;
    let number = found.host.rsplit_once('-').context("PREFIX-N")?.1;
    Ok((number.parse()?, found.replica))
}

fn an_agent(story: &Story, cluster: &mut Cluster, follower: &Follower) -> Result<()> {
    story.phase("an agent is killed and comes back: nothing is lost, nothing is told twice");
    let (host, replica) = worker(cluster)?;
    let before = follower.until("the worker is followed", |line| line.replica == replica)?;
    let last = |lines: &[Line]| {
        let rounds = rounds(lines);
        rounds[&(replica.clone(), before.run)].last().copied()
    };
    let told = last(&follower.lines()?).context("a round")?;
    cluster.kill_agent(host)?;
    eventually(SOON, "the reader hears of it", || {
        let notes = follower.notes()?;
        ensure!(notes.contains("went away"), "{notes}");
        Ok(())
    })?;
    cluster.start_agent(host)?;
    eventually(RETURN, "the worker is followed again", || {
        let now = last(&follower.lines()?).context("a round")?;
        ensure!(now >= told + 3, "round {now}; {}", follower.notes()?);
        Ok(())
    })?;
    contiguous(&follower.lines()?)
}

fn a_host(story: &Story, cluster: &Cluster, follower: &Follower) -> Result<()> {
    story.phase(
        "a host is cut off: the other is followed, and what it missed comes when it is back",
    );
    let (host, replica) = worker(cluster)?;
    let told = rounds(&follower.lines()?);
    let (run, told) = told
        .into_iter()
        .rfind(|((of, _), _)| *of == replica)
        .context("rounds of the worker")?;
    cluster.hosts.cut(host)?;
    // Its replica is replaced on the other host after the lease.
    let next = follower.until("the other host is followed", |line| {
        line.replica != replica && line.message.contains(": round 2")
    })?;
    let away = cluster
        .operator
        .paasta(&["logs", "-s", "hello", "-i", "worker"])?;
    let name = &cluster.hosts.host(host).name;
    ensure!(next.host != *name, "{next:?}");
    ensure!(
        away.stdout.contains(": round 1"),
        "one host away hides nothing of the other: {away:?}"
    );
    cluster.hosts.heal(host)?;
    let came = told.len() as u64 + 3;
    eventually(RETURN, "what was missed is told", || {
        let now = rounds(&follower.lines()?);
        let now = now[&run].last().copied();
        ensure!(now >= Some(came), "{now:?}; {}", follower.notes()?);
        Ok(())
    })?;
    contiguous(&follower.lines()?)
}
