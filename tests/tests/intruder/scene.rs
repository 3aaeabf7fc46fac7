//! A cluster with something to gain, and the intruder's container.

use std::{collections::BTreeSet, fs, net::TcpListener, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use paasta_agent::session::{Dial, PlainDial, TlsDial};
use paasta_common::app::Resources;
use paasta_tests::{
    cluster::{binaries::binaries, daemon::Daemon},
    hostile::hosts::HollowHost,
    image,
    intruder::{Attack, Attempt},
    loopback::{Loopback, LoopbackOptions},
    run::{bounded, eventually, text},
};
use tempfile::TempDir;

const COMMAND: Duration = Duration::from_secs(120);
const INTRUSION: Duration = Duration::from_secs(400);
const LIMIT: Duration = Duration::from_secs(60);
const COORDINATORS: usize = 3;
const IMAGE: &str = "paasta-tests-intruder";

/// Three coordinators, the hosts h1 and h2, and with TLS a real agent of the host h3.
pub(crate) struct Scene {
    pub(crate) cluster: Loopback,
    agent: Option<(Daemon, u16)>,
    _hosts: Vec<HollowHost>,
    _runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

/// What must not change: hosts with their states, the leader, and what runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct View {
    hosts: Vec<String>,
    leader: usize,
    happy: Vec<(String, u32)>,
}

impl Scene {
    pub(crate) fn up(tls: bool) -> Result<Self> {
        let cluster = Loopback::up(LoopbackOptions {
            tls,
            ..LoopbackOptions::new("intruder", &[0; COORDINATORS])
        })?;
        let dir = tempfile::tempdir()?;
        let runtime = tokio::runtime::Runtime::new()?;
        let _entered = runtime.enter();
        let addresses: Vec<String> = (1..=COORDINATORS)
            .map(|id| cluster.address(id).to_string())
            .collect();
        let mut hosts = Vec::new();
        for (id, pool) in [("h1", "default"), ("h2", "idle")] {
            let dial: Arc<dyn Dial> = match cluster.pki() {
                Some(pki) => Arc::new(TlsDial(pki.tls(&format!("agent/{id}"))?)),
                None => Arc::new(PlainDial),
            };
            let capacity = Resources {
                cpus_milli: 8_000,
                mem_mb: 16_384,
                disk_mb: 100_000,
                gpus: 0,
            };
            let way = (addresses.clone(), dial);
            hosts.push(HollowHost::start_dialling(
                id,
                pool,
                dir.path(),
                way,
                capacity,
            )?);
        }
        drop(_entered);
        let fields = "instances: 1, cpus: 0.1, mem: 64, env: {SECRET: s3cret-of-web}";
        cluster.declare_with("web", 1, fields, 'a')?;
        // No host of ours is in its pool.
        let fields = "instances: 1, cpus: 0.1, mem: 64, pool: evil, env: {SECRET: s3cret-of-bait}";
        cluster.declare_with("bait", 1, fields, 'b')?;
        let mut scene = Self {
            cluster,
            agent: None,
            _hosts: hosts,
            _runtime: runtime,
            _dir: dir,
        };
        if tls {
            scene.agent = Some(scene.start_agent()?);
        }
        eventually(LIMIT, "web.i0 runs, bait.i0 is known", || {
            scene.cluster.operator.status("bait.i0")?;
            let happy = scene.happy("web.i0")?;
            ensure!(happy == 1, "{happy} happy");
            Ok(())
        })?;
        Ok(scene)
    }

    /// A real agent, with HTTP on every address.
    fn start_agent(&self) -> Result<(Daemon, u16)> {
        let pki = self.cluster.pki().context("only with TLS")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let etc = self._dir.path().join("etc");
        fs::create_dir_all(&etc)?;
        let text = format!(
            "cluster: demo\nagent:\n  host_id: h3\n  address: 127.0.0.1\n  coordinators: [\"{}\"]\n  http_listen: 0.0.0.0:{port}\n  docker_socket: /nonexistent/docker.sock\n  state_dir: {}\n  {}\n",
            self.cluster.address(1),
            self._dir.path().join("h3").display(),
            pki.section("agent/h3")?,
        );
        fs::write(etc.join("paasta.yaml"), text)?;
        let program = binaries()?.join("paasta-agent");
        let words = [
            program.display().to_string(),
            "run".to_owned(),
            format!("--config-dir={}", etc.display()),
        ];
        let log = self._dir.path().join("agent.log");
        let daemon = Daemon::start("agent h3", "intruder-h3", &words, &log)?;
        eventually(LIMIT, "h3 is connected", || {
            let hosts = self.cluster.operator.metastatus()?.hosts;
            let found = hosts.iter().find(|host| host.id == "h3");
            ensure!(
                found.is_some_and(|host| host.connected),
                "{}",
                daemon.tail()
            );
            Ok(())
        })?;
        Ok((daemon, port))
    }

    fn happy(&self, id: &str) -> Result<u32> {
        let status = self.cluster.operator.status(id)?;
        Ok(status.counts.context("counts")?.happy)
    }

    pub(crate) fn look(&self) -> Result<View> {
        let status = self.cluster.operator.metastatus()?;
        let hosts = status.hosts.iter();
        let mut hosts: Vec<String> = hosts
            .map(|host| format!("{} {:?} {}", host.id, host.state(), host.connected))
            .collect();
        hosts.sort();
        Ok(View {
            hosts,
            leader: self.cluster.leader(LIMIT)?,
            happy: ["web.i0", "bait.i0"]
                .into_iter()
                .map(|id| Ok((id.to_owned(), self.happy(id)?)))
                .collect::<Result<_>>()?,
        })
    }

    fn ports(&self) -> (Vec<u16>, Vec<u16>) {
        let ids = 1..=COORDINATORS;
        let grpc = ids.clone().map(|id| self.cluster.address(id).port());
        let http = ids.map(|id| self.cluster.http(id).port());
        let agent = self.agent.iter().map(|(_, port)| *port);
        (grpc.collect(), http.chain(agent).collect())
    }

    /// The daemons listen on no other ports than those that the intruder tries.
    pub(crate) fn every_port_is_tried(&self) -> Result<()> {
        let (grpc, http) = self.ports();
        let known: BTreeSet<u16> = grpc.into_iter().chain(http).collect();
        let mut pids: Vec<u32> = (1..=COORDINATORS)
            .map(|id| self.cluster.pid(id))
            .collect::<Result<_>>()?;
        pids.extend(self.agent.iter().map(|(daemon, _)| daemon.pid()));
        let all = text(bounded(COMMAND, "ss").args(["-Hltnup"]))?;
        let mut found = BTreeSet::new();
        for line in all.lines() {
            let ours = |pid: &u32| line.contains(&format!("pid={pid},"));
            if pids.iter().any(ours) {
                let local = line.split_ascii_whitespace().nth(4).context("an address")?;
                let port = local.rsplit(':').next().context("a port")?;
                found.insert(port.parse::<u16>()?);
            }
        }
        ensure!(
            found == known,
            "{found:?} are listened on, {known:?} are tried"
        );
        Ok(())
    }

    /// Whether the attempt reads what every process of the machine may read on loopback, or whether
    /// a process is well.
    pub(crate) fn may_be_read(&self, network: &str, attempt: &Attempt) -> bool {
        let last = self.cluster.http(COORDINATORS).port();
        let loopback = format!("127.0.0.1:{last}/");
        network == "host"
            && attempt.attack == Attack::Http
            && attempt.address.starts_with(&loopback)
            && !attempt.address.ends_with("/marathon_app")
    }

    /// Runs the intruder in a container; returns what it tried.
    pub(crate) fn intrude(&self, image: &str, network: &str) -> Result<Vec<Attempt>> {
        let host = match network {
            "host" => "127.0.0.1",
            _ => "gateway",
        };
        let list = |ports: Vec<u16>| {
            let all: Vec<String> = ports.iter().map(|port| format!("{host}:{port}")).collect();
            all.join(",")
        };
        let (grpc, http) = self.ports();
        let mut command = bounded(INTRUSION, "docker");
        command.args(["run", "--rm", "--label", IMAGE, "--network", network]);
        command.args(["--tmpfs", "/tmp", image, "/intruder"]);
        command.args(["--grpc", &list(grpc), "--http", &list(http)]);
        if let Some(pki) = self.cluster.pki() {
            let pin = pki.pin().context("an authority has a pin")?.to_bytes();
            let hex: Vec<String> = pin.iter().map(|byte| format!("{byte:02x}")).collect();
            command.args(["--pin", &hex.concat()]);
        }
        let said = text(&mut command)?;
        let attempts = said.lines().map(serde_json::from_str);
        attempts
            .collect::<Result<_, _>>()
            .with_context(|| format!("the intruder says {said}"))
    }
}

/// An image with the intruder, and nothing else.
pub(crate) fn image() -> Result<String> {
    image::build(IMAGE, &[(binaries()?.join("intruder"), "/intruder")])?;
    Ok(IMAGE.to_owned())
}
