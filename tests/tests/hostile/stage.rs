//! The cluster under test with its hosts, its clients and its service, and what must hold of them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use paasta_agent::engine::fake::FakeEngine;
use paasta_tests::hostile::{
    arena::{Arena, MEMBERS},
    clients::Clients,
    hosts::{HollowHost, Names},
    referee::{Referee, look},
    report::Row,
};
use tempfile::TempDir;

use super::faults::Fault;

/// Hosts that run replicas.
const HOSTS: usize = 4;
/// Hosts that run none: the reason of their drains is a register.
const REGISTERS: usize = 3;
/// Replicas of the service, and as many must serve all the time.
const REPLICAS: usize = 6;
/// The interval of their health check: a container that is younger is not happy.
const HAPPY_AFTER_MS: u64 = 1_000;
/// From the end of a fault until writes and reads are answered again.
const SERVED_LIMIT: Duration = Duration::from_secs(30);
/// From there until the bounce that began with the fault is over.
const BOUNCED_LIMIT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

const INSTANCES: &str = r#"
main:
  cpus: 0.1
  mem: 64
  instances: 6
  pool: work
  bounce_method: crossover
  healthcheck_mode: cmd
  healthcheck_cmd: "true"
  healthcheck_interval_seconds: 1
  healthcheck_grace_period_seconds: 1
"#;

/// All of it.
pub(crate) struct Stage {
    pub(crate) arena: Arena,
    /// Calls of the clients that were judged so far.
    pub(crate) calls: usize,
    clients: Clients,
    referee: Referee,
    engines: Vec<FakeEngine>,
    version: u32,
    _hosts: Vec<HollowHost>,
    _dir: TempDir,
}

impl Stage {
    /// A cluster with a version that runs, and clients at work.
    pub(crate) async fn set() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let arena = Arena::up(dir.path(), "hostile").await?;
        let names = MEMBERS
            .into_iter()
            .map(|id| (arena.name(id), arena.address(id)));
        let names = Names(names.collect());
        let agents = dir.path().join("agents");
        let mut hosts = Vec::new();
        for at in 1..=HOSTS {
            hosts.push(HollowHost::start(
                &format!("work-{at}"),
                "work",
                &agents,
                &names,
            )?);
        }
        let registers: Vec<String> = (1..=REGISTERS).map(|at| format!("register-{at}")).collect();
        for register in &registers {
            hosts.push(HollowHost::start(register, "registers", &agents, &names)?);
        }
        let engines: Vec<FakeEngine> = hosts.iter().map(|host| host.engine.clone()).collect();
        let channels = MEMBERS.into_iter().map(|id| arena.channel(id));
        let channels: Vec<_> = channels.collect::<Result<_>>()?;
        let mut stage = Self {
            clients: Clients::start(registers, &channels),
            referee: Referee::watch(engines.clone(), HAPPY_AFTER_MS),
            arena,
            calls: 0,
            engines,
            version: 0,
            _hosts: hosts,
            _dir: dir,
        };
        declare(&stage.arena.soa())?;
        stage.deploy()?;
        stage.wait_bounced().await.map_err(|error| {
            anyhow!(
                "{error:#}: the first version does not run\n{}",
                stage.arena.tails()
            )
        })?;
        stage.referee.expect(REPLICAS);
        Ok(stage)
    }

    /// Lets a fault happen in the middle of a bounce, and judges what was seen.
    pub(crate) async fn play(&mut self, fault: Fault) -> Result<Row> {
        let (began, mark) = (Instant::now(), self.clients.mark());
        let before = self.arena.term().await;
        self.deploy()?;
        fault.happen(&mut self.arena, &self.clients).await?;
        let served = self.clients.progress(SERVED_LIMIT).await;
        ensure!(
            served,
            "no writes and reads within {SERVED_LIMIT:?} of its end"
        );
        self.wait_bounced().await?;
        self.arena.check_running()?;
        let elections = self.arena.term().await.saturating_sub(before);
        let kept = elections == 0 || !fault.deposes_nobody();
        ensure!(kept, "{elections} elections: the leader lost its office");
        self.calls = self
            .clients
            .check()
            .map_err(|(register, refused)| anyhow!("{register}: {refused}"))?;
        let (fewest, faults) = self.referee.verdict();
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        let span = self.clients.since(mark);
        println!("{}: well again after {:?}", fault.name(), began.elapsed());
        Ok(Row::new(
            fault.name(),
            elections,
            span,
            fewest,
            began.elapsed(),
        ))
    }

    /// Where the coordinators are.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let all = MEMBERS.into_iter();
        all.map(|id| self.arena.address(id).to_string()).collect()
    }

    /// From now on every health check fails.
    pub(crate) fn fail_checks(&self) {
        for engine in &self.engines {
            engine.faults(|faults| faults.exec_code = 1);
        }
    }

    /// Ends the clients in good order.
    pub(crate) async fn end(self) {
        self.clients.stop().await;
    }

    /// Asks for the next version.
    fn deploy(&mut self) -> Result<()> {
        self.version += 1;
        let sha = self.sha();
        let entry = serde_json::json!({
            "docker_image": format!("services-hello:paasta-{sha}"),
            "desired_state": "start",
            "force_bounce": null,
        });
        let file = serde_json::json!({ "v1": { "hello:paasta-demo.main": entry } });
        let path = self.arena.soa().join("hello/deployments.json");
        replace(&path, &file.to_string())
    }

    fn sha(&self) -> String {
        format!("{:040x}", 0xabc0_0000_u64 + u64::from(self.version))
    }

    /// Until the newest version runs, whole and alone.
    async fn wait_bounced(&self) -> Result<()> {
        let sha = self.sha();
        let deadline = Instant::now() + BOUNCED_LIMIT;
        loop {
            let seen = look(&self.engines, HAPPY_AFTER_MS);
            let containers = self.engines.iter().flat_map(|engine| engine.containers());
            let new = containers
                .filter(|(_, one)| one.spec.image.ends_with(&sha))
                .count();
            if (seen.running, seen.serving, new) == (REPLICAS, REPLICAS, REPLICAS) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the bounce is not over within {BOUNCED_LIMIT:?}: {seen:?}, {new} of the newest version"
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

fn declare(soa: &Path) -> Result<()> {
    let dir = soa.join("hello");
    fs::create_dir_all(&dir)?;
    replace(&dir.join("service.yaml"), "description: says hello\n")?;
    replace(&dir.join("marathon-demo.yaml"), INSTANCES)
}

/// Whole, as git does: a reader sees the file of before or this one.
fn replace(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, text)?;
    fs::rename(&next, path).with_context(|| format!("cannot write {}", path.display()))
}
