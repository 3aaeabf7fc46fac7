//! A cluster whose identities are made by `init` and `join` alone, as processes on this machine.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{ListTokensResponse, MetastatusResponse};
use paasta_tests::{
    cluster::{
        binaries::binaries,
        daemon::{Daemon, tail},
        operator::{Operator, Said},
    },
    run::{bounded, eventually},
};
use tempfile::TempDir;

const COMMAND: Duration = Duration::from_secs(90);
/// Short, but longer than a loaded machine lets a whole process stand still.
const TIMERS: &str =
    "  heartbeat_ms: 150\n  election_timeout_min_ms: 600\n  election_timeout_max_ms: 1200\n";

pub(crate) struct Young {
    dir: TempDir,
    ports: Vec<u16>,
    coordinators: BTreeMap<u64, Daemon>,
    agents: Vec<Daemon>,
    binaries: &'static Path,
    /// How long certificates live, where that is to be short.
    life: Option<Duration>,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn said(command: &mut Command) -> Result<Said> {
    let output = command.output()?;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Young {
    /// Directories, and nothing in them but configuration.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("paasta-join-").tempdir()?;
        for name in ["etc", "soa", "logs"] {
            fs::create_dir_all(dir.path().join(name))?;
        }
        let ports = (0..3).map(|_| free_port()).collect::<Result<_>>()?;
        let young = Self {
            dir,
            ports,
            coordinators: BTreeMap::new(),
            agents: Vec::new(),
            binaries: binaries()?,
            life: None,
        };
        for id in 1..=3 {
            young.configure(id)?;
        }
        Ok(young)
    }

    /// The same, whose certificates live for so long.
    pub(crate) fn with_lives(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }

    pub(crate) fn stop_agents(&mut self) -> Result<()> {
        for agent in self.agents.drain(..) {
            agent.stop(COMMAND)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn address(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.ports[id as usize - 1])
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        (1..=3).map(|id| self.address(id)).collect()
    }

    /// The configuration of a coordinator: it names no cluster but in yelpsoa-configs' place, and no
    /// certificate.
    pub(crate) fn configure(&self, id: u64) -> Result<()> {
        let etc = self.path(&format!("etc-{id}"));
        fs::create_dir_all(&etc)?;
        let text = format!(
            "soa_dir: {}\nsensu_host: null\ncoordinator:\n  node_id: {id}\n  listen: 0.0.0.0:{port}\n  advertise: 127.0.0.1:{port}\n  http_listen: off\n  data_dir: {}\n{TIMERS}",
            self.path("soa").display(),
            self.path(&format!("data-{id}")).display(),
            port = self.ports[id as usize - 1],
        );
        fs::write(etc.join("coordinator.yaml"), text)?;
        Ok(())
    }

    fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    fn init_words(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        ["init", "--cluster", "demo", "--config-dir"]
            .map(str::to_owned)
            .into_iter()
            .chain([path("etc-1"), "--admin-dir".to_owned(), path("admin")])
            .collect()
    }

    pub(crate) fn init(&self) -> Result<Said> {
        let mut command = bounded(COMMAND, self.program("paasta-coordinator"));
        said(command.args(self.init_words()))
    }

    /// Begins an init that is to be killed.
    pub(crate) fn begin_init(&self) -> Result<Child> {
        Ok(Command::new(self.program("paasta-coordinator"))
            .args(self.init_words())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?)
    }

    /// Gives a coordinator an identity.
    pub(crate) fn join_coordinator(&self, id: u64, token: &str) -> Result<Said> {
        let etc = self.path(&format!("etc-{id}"));
        let mut command = bounded(COMMAND, self.program("paasta-coordinator"));
        command.arg("join").arg("--config-dir").arg(etc);
        said(command.args(["--token", token, &self.address(1)]))
    }

    fn agent_command(&self, host: &str) -> Command {
        let etc = self.path(&format!("etc-{host}"));
        let mut command = bounded(COMMAND, self.program("paasta-agent"));
        command.arg("join").arg("--config-dir").arg(etc);
        command
    }

    pub(crate) fn configure_agent(&self, host: &str, more: &str) -> Result<()> {
        let etc = self.path(&format!("etc-{host}"));
        fs::create_dir_all(&etc)?;
        let text = format!(
            "soa_dir: {}\nagent:\n  host_id: {host}\n  address: 127.0.0.1\n  http_listen: off\n  docker_socket: /nonexistent/docker.sock\n  state_dir: {}\n{more}",
            self.path("soa").display(),
            self.path(&format!("state-{host}")).display(),
        );
        fs::write(etc.join("agent.yaml"), text)?;
        Ok(())
    }

    /// Gives a host an identity, by any of these coordinators.
    pub(crate) fn join_agent(&self, host: &str, token: &str, by: &[String]) -> Result<Said> {
        self.configure_agent(host, "")?;
        let mut command = self.agent_command(host);
        said(command.args(["--token", token]).args(by))
    }

    /// The same, under way.
    pub(crate) fn begin_join(&self, host: &str, token: &str) -> Result<Child> {
        self.configure_agent(host, "")?;
        let mut command = self.agent_command(host);
        command.args(["--token", token]).args(self.addresses());
        Ok(command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?)
    }

    pub(crate) fn start(&mut self, id: u64) -> Result<()> {
        let etc = self.path(&format!("etc-{id}"));
        let daemon = self.daemon("paasta-coordinator", &format!("coordinator-{id}"), &etc)?;
        self.coordinators.insert(id, daemon);
        Ok(())
    }

    pub(crate) fn kill(&mut self, id: u64) -> Result<()> {
        self.coordinators
            .remove(&id)
            .context("it does not run")?
            .kill()
    }

    pub(crate) fn start_agent(&mut self, host: &str) -> Result<()> {
        let etc = self.path(&format!("etc-{host}"));
        let daemon = self.daemon("paasta-agent", &format!("agent-{host}"), &etc)?;
        self.agents.push(daemon);
        Ok(())
    }

    fn daemon(&self, program: &str, name: &str, etc: &Path) -> Result<Daemon> {
        let seconds = self.life.map_or(0, |life| life.as_secs());
        let life = match seconds {
            0 => Vec::new(),
            seconds => vec![
                "env".to_owned(),
                format!("PAASTA_CERTIFICATE_LIFE_SECONDS={seconds}"),
            ],
        };
        let words = [
            self.program(program).display().to_string(),
            "run".to_owned(),
            "--config-dir".to_owned(),
            etc.display().to_string(),
        ];
        let words: Vec<String> = life.into_iter().chain(words).collect();
        Daemon::start(name, &format!("join-{name}"), &words, &self.log(name))
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(format!("{name}.log"))
    }

    /// Runs `paasta` with the administrator's files that `init` made.
    pub(crate) fn paasta(&self, words: &[&str]) -> Result<Said> {
        self.paasta_by("admin", words)
    }

    /// Runs `paasta` with the files of a directory.
    pub(crate) fn paasta_by(&self, dir: &str, words: &[&str]) -> Result<Said> {
        let file = |name: &str| self.path(dir).join(name).display().to_string();
        let (ca, certificate, key) = (file("ca.pem"), file("certificate.pem"), file("key.pem"));
        let mut all = vec![
            "--tls-ca",
            &ca,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        all.extend(words);
        self.stranger(&all)
    }

    /// Runs `paasta` without a certificate.
    pub(crate) fn stranger(&self, words: &[&str]) -> Result<Said> {
        let operator = Operator::new(
            &self.program("paasta"),
            &self.path("etc"),
            &self.addresses(),
        );
        operator.paasta_within(COMMAND, words)
    }

    /// The same, which must succeed.
    pub(crate) fn succeed(&self, words: &[&str]) -> Result<String> {
        let said = self.paasta(words)?;
        ensure!(said.code == Some(0), "paasta {words:?}: {said:?}");
        Ok(said.stdout.trim().to_owned())
    }

    pub(crate) fn tokens(&self) -> Result<ListTokensResponse> {
        Ok(serde_json::from_str(
            &self.succeed(&["token", "list", "--json"])?,
        )?)
    }

    pub(crate) fn metastatus(&self) -> Result<MetastatusResponse> {
        let said = self.paasta(&["metastatus", "--json"])?;
        serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))
    }

    pub(crate) fn leader(&self, limit: Duration) -> Result<u64> {
        eventually(limit, "there is a leader", || {
            let coordinators = self.metastatus()?.coordinators;
            let leader = coordinators.into_iter().find(|one| one.leader);
            Ok(leader.context("none")?.id)
        })
    }

    pub(crate) fn connected(&self, host: &str, limit: Duration) -> Result<()> {
        eventually(limit, &format!("{host} has a session"), || {
            let hosts = self.metastatus()?.hosts;
            let found = hosts.iter().find(|one| one.id == host);
            ensure!(found.is_some_and(|one| one.connected), "{hosts:?}");
            Ok(())
        })
    }

    /// Makes a vote of a coordinator that has joined and runs.
    pub(crate) fn vote(&self, id: u64) -> Result<()> {
        let member = format!("{id}={}", self.address(id));
        let id = id.to_string();
        eventually(COMMAND, "it is added", || {
            self.succeed(&["coordinator", "add", &member])
        })?;
        self.succeed(&["coordinator", "promote", &id]).map(drop)
    }
}

impl Drop for Young {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = fs::read_dir(self.path("logs"));
            for log in logs.into_iter().flatten().flatten() {
                // There is nowhere left to say that standard error is gone.
                let _ =
                    std::io::Write::write_all(&mut std::io::stderr(), tail(&log.path()).as_bytes());
            }
        }
    }
}
