//! Leadership goes to a coordinator whose clock is half an hour behind, and then to one whose clock
//! is half an hour ahead: no moment that is shown moves, and deadlines come after the time that
//! passed. The agents are real ones on hosts without a container runtime.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use paasta_proto::v1::{HostState, MaintenanceStatusResponse, MetastatusResponse, WaitingKind};
use paasta_tests::cluster::{binaries::binaries, skewed};
use paasta_tests::run::eventually;

use super::{MEMBERS, PATIENCE, Plane, deployed_repository};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// How wrong the clocks are, seconds.
const SKEW: i64 = 1_800;
/// `removal_patience_seconds`.
const REMOVAL: Duration = Duration::from_secs(8);
/// For how long a host is drained.
const DRAIN: Duration = Duration::from_secs(12);
/// `lease_ms` and `lost_after_ms` together: a host that is silent for so long is lost.
const SILENCE: Duration = Duration::from_secs(6);
/// What looks, elections and a busy machine add to a deadline, at most; a wrong clock would add, or
/// take away, half an hour.
const LATER: Duration = Duration::from_secs(40);
/// What a deadline may seem early, as the test sees its beginning late.
const EARLIER: Duration = Duration::from_secs(3);

/// Agents of hosts without a container runtime; dropped, they are killed.
struct Agents(Vec<Child>);

impl Agents {
    fn start(plane: &Plane) -> Result<Self> {
        let mut agents = Self(Vec::new());
        for host in HOSTS {
            let path = |name: &str| plane.dir.path().join(name).display().to_string();
            let output = File::create(path(&format!("log-{host}")))?;
            let child = Command::new(binaries()?.join("paasta-agent"))
                .arg("run")
                .arg(format!("--config-dir={}", path("config")))
                .arg(format!("--host-id={host}"))
                .arg("--address=127.0.0.1")
                .arg("--http-listen=127.0.0.1:0")
                .arg("--docker-socket=/nonexistent/docker.sock")
                .arg(format!("--state-dir={}", path(&format!("state-{host}"))))
                .arg(format!("--coordinators={}", plane.addresses.join(",")))
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                .spawn()?;
            agents.0.push(child);
        }
        Ok(agents)
    }

    /// The host is silent from now on.
    fn freeze(&self, at: usize) -> Result<()> {
        let id = i32::try_from(self.0[at].id())?;
        Ok(kill(Pid::from_raw(id), Signal::SIGSTOP)?)
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the cluster says of moments, and when it did.
#[derive(Debug)]
struct Look {
    at: Instant,
    now_ms: u64,
    /// Those that are replicated, milliseconds since 1970.
    kept: BTreeMap<&'static str, u64>,
    /// Since when hosts are degraded, which each leader is told anew.
    told: BTreeMap<String, u64>,
}

impl Look {
    fn take(plane: &Plane, reported: usize) -> Result<Self> {
        let status = plane.operator.status("hello.main")?;
        let drained = maintenance(plane)?;
        let at = Instant::now();
        let drain = drained.hosts.first().context("a host is drained")?;
        let waits = status
            .waiting
            .iter()
            .find(|one| one.kind() == WaitingKind::Capacity);
        let waits = waits.with_context(|| format!("nothing waits: {:?}", status.waiting))?;
        let over = status.overridden.as_ref().context("it is scaled")?;
        let hosts = plane.operator.metastatus()?.hosts;
        let told: BTreeMap<String, u64> = hosts
            .into_iter()
            .filter(|host| host.runtime_degraded_since_ms > 0)
            .map(|host| (host.id, host.runtime_degraded_since_ms))
            .collect();
        ensure!(told.len() == reported, "not all have reported: {told:?}");
        let kept = [
            ("version since", status.desired_since_ms),
            ("override since", over.since_ms),
            ("drain since", drain.since_ms),
            ("drain until", drain.until_ms.unwrap_or_default()),
            ("capacity since", waits.since_ms),
            ("capacity until", waits.deadline_ms.unwrap_or_default()),
        ];
        let none: Vec<_> = kept.iter().filter(|(_, moment)| *moment == 0).collect();
        ensure!(none.is_empty(), "without a moment: {none:?}");
        Ok(Self {
            at,
            now_ms: drained.now_ms,
            kept: kept.into_iter().collect(),
            told,
        })
    }

    /// Fails if a moment has moved since, or time went faster or slower than here.
    fn continues(&self, before: &Self) -> Result<()> {
        ensure!(
            self.kept == before.kept,
            "moved: {self:#?}, from {before:#?}"
        );
        for (host, moment) in &self.told {
            let moved = moment.abs_diff(before.told[host]);
            ensure!(moved < 2_000, "{host} moved by {moved} ms");
        }
        let here = u64::try_from((self.at - before.at).as_millis())?;
        let there = self.now_ms.saturating_sub(before.now_ms);
        ensure!(
            there.abs_diff(here) < 1_000 + here / 20,
            "{there} ms of the cluster's time in {here} ms"
        );
        Ok(())
    }
}

fn maintenance(plane: &Plane) -> Result<MaintenanceStatusResponse> {
    let said = plane
        .operator
        .paasta(&["maintenance", "status", "h1", "--json"])?;
    serde_json::from_str(&said.stdout).with_context(|| super::all(&said))
}

/// A repository of which three instances run the same version.
fn declare(plane: &Plane, instances: &[&str]) -> Result<()> {
    let line = |name: &&str| format!("{name}: {{cpus: 0.1, mem: 64, deploy_group: demo.all}}\n");
    let text: String = instances.iter().map(line).collect();
    plane.write("hello/.new", &text)?;
    let soa = plane.dir.path().join("soa/hello");
    Ok(fs::rename(
        soa.join(".new"),
        soa.join("marathon-demo.yaml"),
    )?)
}

/// Two coordinators that do not lead, the first with a clock that is behind; as indices.
fn skew(plane: &mut Plane) -> Result<[usize; 2]> {
    let leader = plane.leader()?;
    let skews = [(1, -SKEW), (2, SKEW)];
    for (step, skew) in skews {
        let at = (leader + step) % MEMBERS;
        plane.kill(at)?;
        plane.run_under(at, &skewed(&format!("{skew:+}s"))?)?;
        eventually(PATIENCE, "the wrong clock is shown", || {
            let status = plane.operator.metastatus()?;
            ensure!(plane.leader()? == leader, "another leads");
            let shown = status.coordinators.iter().find_map(|one| {
                let it = one.id == at as u64 + 1;
                it.then_some(one.clock_ahead_ms).flatten()
            });
            let wrong = shown.is_some_and(|ms| (ms - skew * 1_000).abs() < 5_000);
            ensure!(wrong, "{shown:?} is not {skew} s");
            Ok(())
        })?;
    }
    Ok(skews.map(|(step, _)| (leader + step) % MEMBERS))
}

fn hand_over(plane: &Plane, to: usize) -> Result<Instant> {
    let id = (to + 1).to_string();
    plane
        .operator
        .succeed(&["coordinator", "transfer-leader", &id])?;
    eventually(PATIENCE, "it leads", || {
        let leader = plane.leader()?;
        ensure!(leader == to, "{leader} leads");
        Ok(Instant::now())
    })
}

fn drain(plane: &Plane, host: &str, time: Duration) -> Result<Instant> {
    let time = format!("{}s", time.as_secs());
    let words = ["maintenance", "drain", host, "--for", &time];
    plane.operator.succeed(&words)?;
    Ok(Instant::now())
}

fn state(status: &MetastatusResponse, host: &str) -> Option<HostState> {
    let host = status.hosts.iter().find(|one| one.id == host);
    host.map(|host| host.state())
}

/// Waits for three ends, and how long each took: the removal, the drain, the loss of the host that
/// is silent.
fn ends(plane: &Plane, begins: [Instant; 3]) -> Result<[Duration; 3]> {
    let mut took = [None; 3];
    eventually(PATIENCE, "removed, undrained, lost", || {
        let status = plane.operator.metastatus()?;
        let over = [
            plane.operator.status("hello.gone").is_err(),
            state(&status, "h2") == Some(HostState::Up),
            state(&status, "h3") == Some(HostState::Lost),
        ];
        for at in (0..3).filter(|at| over[*at]) {
            took[at].get_or_insert(begins[at].elapsed());
        }
        match took {
            [Some(removed), Some(drained), Some(lost)] => Ok([removed, drained, lost]),
            _ => bail!("{took:?}"),
        }
    })
}

#[test]
fn a_leader_with_a_wrong_clock_moves_no_moment_and_no_deadline() -> Result<()> {
    let mut plane = Plane::start(&format!(
        "coordinator: {{lost_after_ms: 3000, removal_patience_seconds: {}}}\n",
        REMOVAL.as_secs()
    ))?;
    let repository = plane.dir.path().join("hello.git");
    deployed_repository(&repository, "demo.all")?;
    plane.write(
        "hello/service.yaml",
        &format!("git_url: file://{}\n", repository.display()),
    )?;
    declare(&plane, &["main", "other", "gone"])?;
    let agents = Agents::start(&plane)?;
    let wrong = skew(&mut plane)?;
    eventually(PATIENCE, "deployed, with hosts", || {
        let waits = plane.operator.status("hello.gone")?.waiting;
        ensure!(!waits.is_empty(), "it waits for nothing");
        let hosts = plane.operator.metastatus()?.hosts;
        ensure!(hosts.len() == HOSTS.len(), "{hosts:?}");
        Ok(())
    })?;
    let scale = ["emergency-scale", "-s", "hello", "-i", "main", "-n", "2"];
    plane.operator.succeed(&scale)?;
    drain(&plane, "h1", Duration::from_secs(3_600))?;
    let looks = |reported| eventually(PATIENCE, "all is shown", || Look::take(&plane, reported));
    let before = looks(3)?;
    hand_over(&plane, wrong[0])?;
    looks(3)?.continues(&before)?;
    // From one wrong clock to the other.
    declare(&plane, &["main", "other"])?;
    eventually(PATIENCE, "the removal waits", || {
        let waits = plane.operator.status("hello.gone")?.waiting;
        ensure!(
            waits.iter().any(|one| one.kind() == WaitingKind::Removal),
            "not yet"
        );
        Ok(())
    })?;
    let missed = Instant::now();
    let drained = drain(&plane, "h2", DRAIN)?;
    agents.freeze(2)?;
    let silent = hand_over(&plane, wrong[1])?;
    let took = ends(&plane, [missed, drained, silent])?;
    // The third has not reported to this leader.
    looks(2)?.continues(&before)?;
    for (took, wanted) in took.into_iter().zip([REMOVAL, DRAIN, SILENCE]) {
        ensure!(
            took + EARLIER >= wanted && took <= wanted + LATER,
            "{took:?}, not {wanted:?}"
        );
    }
    Ok(())
}
