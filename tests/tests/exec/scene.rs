//! Three coordinators and two agents on the machine's dockerd, everything by TLS.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use paasta_identity::Files;
use paasta_tests::{
    cluster::{binaries::binaries, daemon::Daemon},
    image,
    loopback::{Loopback, LoopbackOptions},
    run::{bounded, eventually, text},
};
use tempfile::TempDir;

const COMMAND: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(90);
/// The agent that runs commands, and the one that does not.
pub(crate) const ON: &str = "exec-on";
pub(crate) const OFF: &str = "exec-off";
pub(crate) const WEB: &str = "web.i0";
/// How long a command may run, seconds.
const COMMAND_SECONDS: u64 = 60;

pub(crate) struct Scene {
    pub(crate) cluster: Loopback,
    agents: Vec<Daemon>,
    program: PathBuf,
    dir: TempDir,
}

/// Coordinators with TLS.
pub(crate) fn coordinators(settings: &str) -> Result<Loopback> {
    Loopback::up(LoopbackOptions {
        tls: true,
        settings,
        ..LoopbackOptions::new("exec", &[0; 3])
    })
}

impl Scene {
    pub(crate) fn up() -> Result<Self> {
        let sha = "c".repeat(40);
        let tag = format!("registry.invalid:5000/services-web:paasta-{sha}");
        let tools = ["cat", "sleep", "stty", "true"];
        let mut programs = vec![(PathBuf::from("/bin/sh"), "/bin/sh".to_owned())];
        programs.extend(tools.map(|name| {
            let path = format!("/bin/{name}");
            (PathBuf::from(&path), path)
        }));
        let programs: Vec<(PathBuf, &str)> = programs
            .iter()
            .map(|(from, to)| (from.clone(), to.as_str()))
            .collect();
        image::build(&tag, &programs)?;
        let cluster = coordinators("exec: true")?;
        let mut scene = Self {
            cluster,
            agents: Vec::new(),
            program: binaries()?.join("paasta"),
            dir: tempfile::tempdir()?,
        };
        for (at, host) in [ON, OFF].into_iter().enumerate() {
            let agent = scene.agent(host, 32_000 + 500 * at, host == ON)?;
            scene.agents.push(agent);
        }
        let fields = "instances: 2, cpus: 0.1, mem: 64, cmd: exec sleep 100000, constraints: [[hostname, UNIQUE]]";
        scene.cluster.declare_with("web", 1, fields, 'c')?;
        scene.settled()?;
        let grant = [
            "auth", "grant", "ci", "--role", "deployer", "--scope", "web",
        ];
        scene.cluster.operator.succeed(&grant)?;
        Ok(scene)
    }

    fn agent(&self, host: &str, port: usize, exec: bool) -> Result<Daemon> {
        let pki = self.cluster.pki().context("TLS")?;
        let etc = self.dir.path().join(format!("etc-{host}"));
        fs::create_dir_all(&etc)?;
        let coordinators: Vec<String> = (1..=3)
            .map(|id| format!("\"{}\"", self.cluster.address(id)))
            .collect();
        let text = format!(
            "cluster: demo\ndocker_registry: registry.invalid:5000\nagent:\n  host_id: {host}\n  address: 127.0.0.1\n  coordinators: [{}]\n  http_listen: off\n  state_dir: {}\n  port_range: [{port}, {}]\n  cpus: 2\n  mem_mb: 2048\n  disk_mb: 10000\n  exec: {exec}\n  exec_max_seconds: {COMMAND_SECONDS}\n  {}\n",
            coordinators.join(", "),
            self.dir.path().join(host).display(),
            port + 400,
            pki.section(&format!("agent/{host}"))?,
        );
        fs::write(etc.join("paasta.yaml"), text)?;
        let words = [
            binaries()?.join("paasta-agent").display().to_string(),
            "run".to_owned(),
            format!("--config-dir={}", etc.display()),
        ];
        let log = self.dir.path().join(format!("{host}.log"));
        Daemon::start(host, &format!("exec/{host}"), &words, &log)
    }

    /// Waits until both replicas run, one on each host.
    pub(crate) fn settled(&self) -> Result<()> {
        eventually(LIMIT, "a replica runs on each host", || {
            self.replica_on(ON)?;
            self.replica_on(OFF)?;
            let status = self.cluster.operator.status(WEB)?;
            let happy = status.counts.context("counts")?.happy;
            ensure!(happy == 2, "{}", self.cluster.operator.why(WEB));
            Ok(())
        })
        .with_context(|| self.agents.iter().map(Daemon::tail).collect::<String>())
    }

    /// The replica on a host, with that host.
    pub(crate) fn replica_on(&self, host: &str) -> Result<(String, String)> {
        let status = self.cluster.operator.status(WEB)?;
        let found = status.replicas.into_iter().find(|one| one.host == host);
        let found = found.with_context(|| format!("no replica on {host}"))?;
        Ok((found.id, found.host))
    }

    /// `paasta exec` of `ROLE/NAME` on the host that runs commands, asking one coordinator.
    pub(crate) fn exec(&self, identity: &str, id: usize, words: &[&str]) -> Result<Command> {
        self.exec_with(identity, id, &["-H", ON], words)
    }

    pub(crate) fn exec_with(
        &self,
        identity: &str,
        id: usize,
        options: &[&str],
        words: &[&str],
    ) -> Result<Command> {
        let mut command = self.paasta(identity, &self.cluster.address(id).to_string())?;
        command
            .args(["exec", WEB])
            .args(options)
            .arg("--")
            .args(words);
        Ok(command)
    }

    fn paasta(&self, identity: &str, coordinators: &str) -> Result<Command> {
        let Files {
            ca,
            certificate,
            key,
        } = self.cluster.pki().context("TLS")?.files(identity)?;
        let mut command = Command::new(&self.program);
        command.arg("--config-dir").arg(self.dir.path());
        command.arg("--tls-ca").arg(ca);
        command
            .arg("--tls-cert")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key);
        command.args(["--coordinators", coordinators]);
        Ok(command)
    }

    /// The same as a line for a shell, without the options of the command.
    pub(crate) fn line(&self, identity: &str) -> Result<String> {
        let mut command = self.paasta(identity, &self.cluster.address(2).to_string())?;
        command.args(["exec", WEB, "-H", ON]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<&str> = words.filter_map(|word| word.to_str()).collect();
        Ok(words.join(" "))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn container(&self) -> Result<String> {
        let (replica, _) = self.replica_on(ON)?;
        let status = self.cluster.operator.status(WEB)?;
        let found = status.replicas.into_iter().find(|one| one.id == replica);
        found
            .and_then(|one| one.container)
            .context("it has no container")
    }

    /// The command lines of the processes in the container.
    pub(crate) fn processes(&self) -> Result<String> {
        let container = self.container()?;
        text(bounded(COMMAND, "docker").args(["top", &container, "-eo", "pid,args"]))
    }

    pub(crate) fn kill_container(&self) -> Result<()> {
        let container = self.container()?;
        text(bounded(COMMAND, "docker").args(["kill", &container])).map(drop)
    }

    pub(crate) fn transfer_leader(&self) -> Result<()> {
        let words = ["coordinator", "transfer-leader"];
        self.cluster.operator.succeed(&words).map(drop)
    }

    /// Resident memory of the coordinators and agents together, KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        let mut pids: Vec<u32> = (1..=3)
            .map(|id| self.cluster.pid(id))
            .collect::<Result<_>>()?;
        pids.extend(self.agents.iter().map(Daemon::pid));
        let mut total = 0;
        for pid in pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|line| line.split_ascii_whitespace().next());
            total += number.context("VmRSS")?.parse::<u64>()?;
        }
        Ok(total)
    }

    /// What all coordinators have logged.
    pub(crate) fn logs(&self) -> Result<String> {
        (1..=3).map(|id| self.cluster.logged(id)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.agents.clear();
        for host in [ON, OFF] {
            let _ = remove_containers(host);
        }
        if std::thread::panicking() {
            for host in [ON, OFF] {
                let log = paasta_tests::cluster::daemon::tail(&self.file(&format!("{host}.log")));
                let _ = std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes());
            }
        }
    }
}

fn remove_containers(host: &str) -> Result<()> {
    let label = format!("label=paasta_host={host}");
    let all = text(bounded(COMMAND, "docker").args(["ps", "-aq", "--filter", &label]))?;
    for container in all.lines() {
        text(bounded(COMMAND, "docker").args(["rm", "-f", container]))?;
    }
    Ok(())
}
