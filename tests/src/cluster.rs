//! A whole cluster of real processes: coordinators on this machine, agents on hosts with dockerds
//! of their own, a registry, a git remote and a yelpsoa-configs directory; everything speaks TLS, by
//! certificates of an authority of the test's own. Dropped, all of it is gone; a test that fails
//! shows the ends of the logs first.
//!
//! Not here: what a test does with it. Hosts and agents are counted from 1, coordinators too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::Signal;
use paasta_proto::v1::InstanceStatus;

use crate::git::Repository;
use crate::hosts::Hosts;
use crate::pki::Pki;
use crate::registry::Registry;
use crate::run::{bounded, eventually, text};
use crate::tidy::root;

pub mod binaries;
pub mod containers;
pub mod daemon;
pub mod operator;
pub mod release;
pub mod traffic;

use containers::{Container, containers};
use daemon::Daemon;
use operator::Operator;
use release::Service;
use traffic::Traffic;

/// From starting the coordinators to a cluster that has an identity.
const INIT_LIMIT: Duration = Duration::from_secs(30);
/// A daemon obeys SIGTERM within this time.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Coordinator 1 listens on this port of the bridge, the others above it.
const FIRST_PORT: u16 = 7001;
/// The same for its HTTP API.
const FIRST_HTTP_PORT: u16 = 7101;
/// Where an agent serves its metrics.
const AGENT_HTTP_PORT: u16 = 7403;
/// How long a request of HTTP may take.
const PAGE_LIMIT: Duration = Duration::from_secs(5);
/// How old the certificates are: more than a clock of a test is behind ([`skewed`]), and less than
/// half of the life of the operator's.
const CERTIFICATE_AGE: Duration = Duration::from_secs(3 * 3600);
/// The identity of the operator.
const ADMIN: &str = "admin/alice";
/// Where Debian has libfaketime, for programs of several threads.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];
/// Set to anything, it leaves the files of the test where they are.
const KEEP: &str = "PAASTA_TESTS_KEEP_HOSTS";

/// The name of every test's cluster: the `demo` of `marathon-demo.yaml`.
pub const CLUSTER: &str = "demo";

/// What a test wants.
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// 1 to 7 letters and digits, the test's own: hosts are called by it.
    pub prefix: &'static str,
    /// How many hosts, each with an agent.
    pub hosts: usize,
    /// How many coordinators.
    pub coordinators: usize,
}

/// A cluster that is up.
#[derive(Debug)]
pub struct Cluster {
    /// The user of commands.
    pub operator: Operator,
    /// The service `hello`: its configuration, its versions.
    pub service: Service,
    coordinators: Vec<Option<Daemon>>,
    agents: Vec<Option<Daemon>>,
    pki: Pki,
    binaries: &'static Path,
    dir: PathBuf,
    /// The hosts; the last field, because everything above runs on them.
    pub hosts: Hosts,
}

impl Cluster {
    /// Brings everything up; nothing is deployed yet.
    pub fn up(options: ClusterOptions) -> Result<Self> {
        text(&mut bounded(
            Duration::from_secs(600),
            root().join("deploy/demo/install.sh"),
        ))?;
        let binaries = binaries::binaries()?;
        let hosts = Hosts::up(options.prefix, options.hosts)?;
        let registry = Registry::up(&hosts)?;
        let dir = hosts.state().with_extension("cluster");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        for name in ["config", "logs", "data"] {
            fs::create_dir_all(dir.join(name))?;
        }
        let addresses: Vec<String> = (0..options.coordinators)
            .map(|at| format!("{}:{}", hosts.gateway(), usize::from(FIRST_PORT) + at))
            .collect();
        write_config(&dir, &registry, &addresses)?;
        let pki = Pki::aged(&dir.join("tls"), CLUSTER, CERTIFICATE_AGE)?;
        let operator = Operator::new(&binaries.join("paasta"), &dir.join("config"), &addresses)
            .with(pki.files(ADMIN)?);
        let service = Service::create(&dir, operator.clone(), registry, Repository::create(&dir)?)?;
        let mut cluster = Self {
            coordinators: (0..options.coordinators).map(|_| None).collect(),
            agents: (0..options.hosts).map(|_| None).collect(),
            operator,
            service,
            pki,
            binaries,
            dir,
            hosts,
        };
        cluster
            .start()
            .map_err(|error| anyhow!("{error:#}\n{}", cluster.tails()))?;
        Ok(cluster)
    }

    fn start(&mut self) -> Result<()> {
        for id in 1..=self.coordinators.len() {
            self.start_coordinator(id)?;
        }
        eventually(INIT_LIMIT, "the cluster is made", || self.init())?;
        for index in 1..=self.agents.len() {
            self.start_agent(index)?;
        }
        Ok(())
    }

    /// From now on the coordinators ask git what runs; until then the tests write deployments.json.
    pub fn follow_git(&mut self) -> Result<()> {
        let file = self.dir.join("config/paasta.yaml");
        let before = fs::read_to_string(&file)?;
        let after = before.replace("generate: false", "generate: true\n  every_seconds: 2");
        ensure!(before != after, "git is followed already");
        fs::write(&file, after)?;
        for id in 1..=self.coordinators.len() {
            self.stop_coordinator(id)?;
            self.start_coordinator(id)?;
        }
        Ok(())
    }

    /// `paasta cluster init`; returns what it says.
    pub fn init(&self) -> Result<String> {
        let members: Vec<String> = (1..=self.coordinators.len())
            .map(|id| format!("{id}={}", self.coordinator_address(id)))
            .collect();
        let mut words = vec!["cluster", "init", "--cluster", CLUSTER];
        for member in &members {
            words.extend(["--member", member]);
        }
        self.operator.succeed(&words)
    }

    /// `IP:PORT` of a coordinator.
    pub fn coordinator_address(&self, id: usize) -> String {
        format!(
            "{}:{}",
            self.hosts.gateway(),
            usize::from(FIRST_PORT) + id - 1
        )
    }

    /// `IP:PORT` of a coordinator's HTTP API.
    fn coordinator_http(&self, id: usize) -> String {
        let port = usize::from(FIRST_HTTP_PORT) + id - 1;
        format!("{}:{port}", self.hosts.gateway())
    }

    /// `IP:PORT` of an agent's metrics.
    fn agent_http(&self, index: usize) -> String {
        format!("{}:{AGENT_HTTP_PORT}", self.hosts.host(index).ip)
    }

    /// `GET path` from coordinator `id`, by the operator's certificate.
    pub fn coordinator_page(&self, id: usize, path: &str) -> Result<String> {
        self.page("coordinator", &self.coordinator_http(id), path)
    }

    /// `GET path` from the agent of host `index`, by the operator's certificate.
    pub fn agent_page(&self, index: usize, path: &str) -> Result<String> {
        self.page("agent", &self.agent_http(index), path)
    }

    fn page(&self, role: &str, address: &str, path: &str) -> Result<String> {
        let (ip, port) = address.split_once(':').context("expected IP:PORT")?;
        let name = format!("{role}.{CLUSTER}.paasta.internal");
        let files = self.pki.files(ADMIN)?;
        text(
            bounded(PAGE_LIMIT, "curl")
                .args(["-fsS", "--resolve", &format!("{name}:{port}:{ip}")])
                .arg("--cacert")
                .arg(files.ca)
                .arg("--cert")
                .arg(files.certificate)
                .arg("--key")
                .arg(files.key)
                .arg(format!("https://{name}:{port}{path}")),
        )
    }

    /// Where the program `name` is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The configuration directory of every part.
    pub fn config_dir(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// That of the agent of host `index`.
    fn agent_config_dir(&self, index: usize) -> PathBuf {
        let own = self.dir.join(format!("config-{index}"));
        if own.exists() {
            return own;
        }
        self.config_dir()
    }

    /// Gives the agent of host `index` a configuration of its own: what all have, and these lines. It
    /// counts from its next start on.
    pub fn configure_agent(&self, index: usize, lines: &str) -> Result<()> {
        let own = self.dir.join(format!("config-{index}"));
        fs::create_dir_all(&own)?;
        for file in fs::read_dir(self.config_dir())? {
            let file = file?;
            fs::copy(file.path(), own.join(file.file_name()))?;
        }
        fs::write(own.join("zz-own.yaml"), lines)?;
        Ok(())
    }

    /// The directory of what a test of this cluster makes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts coordinator `id`; fails when it runs.
    pub fn start_coordinator(&mut self, id: usize) -> Result<()> {
        ensure!(
            self.coordinators[id - 1].is_none(),
            "coordinator {id} runs already"
        );
        let name = format!("coordinator-{id}");
        let data = self.dir.join("data").join(&name);
        let identity = data.with_extension("identity");
        self.pki.lay(&format!("coordinator/{id}"), &identity)?;
        let words = vec![
            self.program("paasta-coordinator").display().to_string(),
            "run".to_owned(),
            format!("--config-dir={}", self.config_dir().display()),
            format!("--node-id={id}"),
            format!("--listen={}", self.coordinator_address(id)),
            format!("--http-listen={}", self.coordinator_http(id)),
            format!("--data-dir={}", data.display()),
            format!("--soa-dir={}", self.service.soa().display()),
        ];
        let group = format!("{}/{name}", self.hosts.prefix());
        self.coordinators[id - 1] = Some(self.spawn(&name, &group, &words)?);
        Ok(())
    }

    /// Starts the agent of host `index`; fails when it runs.
    pub fn start_agent(&mut self, index: usize) -> Result<()> {
        self.start_agent_under(index, &[])
    }

    /// Starts the agent of host `index` under another host id, with the state directory `state`.
    pub fn start_agent_as(&mut self, index: usize, host_id: &str, state: &str) -> Result<()> {
        let words = self.agent_run_words(index, host_id, state)?;
        self.spawn_agent(index, &[], words)
    }

    /// The same with a wall clock that is wrong by `skew`, as libfaketime has it: `+7200s`. Its
    /// monotonic clock is right.
    pub fn start_agent_skewed(&mut self, index: usize, skew: &str) -> Result<()> {
        self.start_agent_under(index, &skewed(skew)?)
    }

    fn start_agent_under(&mut self, index: usize, under: &[String]) -> Result<()> {
        let host_id = self.hosts.host(index).name.clone();
        let words = self.agent_run_words(index, &host_id, &agent_name(index))?;
        self.spawn_agent(index, under, words)
    }

    /// `paasta-agent VERB` for host `index`, with what every verb takes.
    pub fn agent_words(&self, index: usize, verb: &str, host_id: &str, state: &str) -> Vec<String> {
        let host = self.hosts.host(index);
        vec![
            self.program("paasta-agent").display().to_string(),
            verb.to_owned(),
            format!("--config-dir={}", self.agent_config_dir(index).display()),
            format!("--host-id={host_id}"),
            format!("--address={}", host.ip),
            format!("--docker-socket={}", host.socket.display()),
            format!(
                "--state-dir={}",
                self.dir.join("data").join(state).display()
            ),
        ]
    }

    /// Gives the agent the certificate of its host id, and returns its command line.
    fn agent_run_words(&self, index: usize, host_id: &str, state: &str) -> Result<Vec<String>> {
        let identity = self.dir.join("data").join(state).join("identity");
        self.pki.lay(&format!("agent/{host_id}"), &identity)?;
        let addresses: Vec<String> = (1..=self.coordinators.len())
            .map(|id| self.coordinator_address(id))
            .collect();
        let mut words = self.agent_words(index, "run", host_id, state);
        words.extend([
            format!("--http-listen={}", self.agent_http(index)),
            format!("--coordinators={}", addresses.join(",")),
        ]);
        Ok(words)
    }

    fn spawn_agent(&mut self, index: usize, under: &[String], run: Vec<String>) -> Result<()> {
        ensure!(
            self.agents[index - 1].is_none(),
            "agent {index} runs already"
        );
        let host = self.hosts.host(index);
        let mut words = vec![
            "nsenter".to_owned(),
            format!("--net={}", host.netns.display()),
            "--".to_owned(),
        ];
        words.extend_from_slice(under);
        words.extend(run);
        let group = format!("{}/{}/agent", self.hosts.prefix(), host.name);
        let name = agent_name(index);
        self.agents[index - 1] = Some(self.spawn(&name, &group, &words)?);
        Ok(())
    }

    fn spawn(&self, name: &str, group: &str, words: &[String]) -> Result<Daemon> {
        Daemon::start(name, group, words, &self.log(name))
    }

    /// Ends coordinator `id` in good order.
    pub fn stop_coordinator(&mut self, id: usize) -> Result<()> {
        let daemon = self.coordinators[id - 1].take();
        stop(daemon.with_context(|| format!("coordinator {id} does not run"))?)
    }

    /// SIGKILL to coordinator `id`.
    pub fn kill_coordinator(&mut self, id: usize) -> Result<()> {
        let daemon = self.coordinators[id - 1].take();
        daemon
            .with_context(|| format!("coordinator {id} does not run"))?
            .kill()
    }

    /// Any other signal to coordinator `id`: SIGSTOP, SIGCONT.
    pub fn signal_coordinator(&self, id: usize, signal: Signal) -> Result<()> {
        let daemon = self.coordinators[id - 1].as_ref();
        daemon
            .with_context(|| format!("coordinator {id} does not run"))?
            .signal(signal)
    }

    /// Ends the agent of host `index` in good order.
    pub fn stop_agent(&mut self, index: usize) -> Result<()> {
        let daemon = self.agents[index - 1].take();
        stop(daemon.with_context(|| format!("agent {index} does not run"))?)
    }

    /// Waits until the agent of host `index` ends by itself.
    pub fn agent_ends(&mut self, index: usize) -> Result<ExitStatus> {
        let daemon = self.agents[index - 1].take();
        daemon
            .with_context(|| format!("agent {index} does not run"))?
            .wait(STOP_LIMIT)
    }

    /// SIGKILL to the agent of host `index`.
    pub fn kill_agent(&mut self, index: usize) -> Result<()> {
        let daemon = self.agents[index - 1].take();
        daemon
            .with_context(|| format!("agent {index} does not run"))?
            .kill()
    }

    /// Power loss of host `index`: agent, dockerd and containers die at once.
    pub fn kill_host(&mut self, index: usize) -> Result<()> {
        self.hosts.kill_host(index)?;
        match self.agents[index - 1].take() {
            Some(mut agent) => agent.wait(STOP_LIMIT).map(drop),
            None => Ok(()),
        }
    }

    /// Power on: dockerd and the agent start.
    pub fn start_host(&mut self, index: usize) -> Result<()> {
        self.hosts.start_host(index)?;
        self.start_agent(index)
    }

    /// The coordinator that leads, as the coordinators themselves say.
    pub fn leader(&self) -> Result<usize> {
        let status = self.operator.metastatus()?;
        let leader = status.coordinators.iter().find(|one| one.leader);
        let id = leader.context("no coordinator leads")?.id;
        usize::try_from(id).context("an id of this test")
    }

    /// Waits until `paasta status` of `SERVICE.INSTANCE` is as `wanted`; after `limit` the error
    /// shows the last status and what `paasta why` says.
    pub fn wait_until(
        &self,
        limit: Duration,
        id: &str,
        what: &str,
        mut wanted: impl FnMut(&InstanceStatus) -> bool,
    ) -> Result<InstanceStatus> {
        let result = eventually(limit, &format!("{id}: {what}"), || {
            let status = self.operator.status(id)?;
            if wanted(&status) {
                return Ok(status);
            }
            bail!(
                "the last status:\n{}",
                serde_json::to_string_pretty(&status)?
            )
        });
        result.map_err(|error| anyhow!("{error:#}\npaasta why:\n{}", self.operator.why(id)))
    }

    /// Waits until the instance runs `count` replicas of its desired app, all happy, and nothing
    /// else; also on the hosts' dockerds, where nothing dead is left either.
    pub fn settled(&self, limit: Duration, id: &str, count: u32) -> Result<InstanceStatus> {
        let what = format!("{count} happy replicas of one app");
        let status = self.wait_until(limit, id, &what, |status| {
            let happy = status.counts.as_ref().map(|counts| counts.happy);
            happy == Some(count)
                && status.wanted == count
                && status.bounce.is_none()
                && status.replicas.len() == count as usize
                && status
                    .replicas
                    .iter()
                    .all(|replica| replica.app == status.desired_app)
        })?;
        eventually(limit, &format!("{id}: the containers agree"), || {
            let found = self.containers(id)?;
            let right = found
                .iter()
                .filter(|one| one.runs() && one.app == status.desired_app);
            ensure!(
                right.count() == count as usize && found.len() == count as usize,
                "docker has {found:#?}"
            );
            Ok(())
        })?;
        Ok(status)
    }

    /// Every container of the instance on the hosts that are on.
    pub fn containers(&self, id: &str) -> Result<Vec<Container>> {
        containers(
            self.hosts.all().iter().filter(|host| host.socket.exists()),
            id,
        )
    }

    /// Begins to ask the replicas of the instance, on every host, all the time.
    pub fn traffic(&self, id: &str) -> Traffic {
        Traffic::start(self.hosts.all().to_vec(), self.operator.impatient(), id)
    }

    /// The ends of all logs.
    pub fn tails(&self) -> String {
        let coordinators = (1..=self.coordinators.len()).map(|id| format!("coordinator-{id}"));
        let agents = (1..=self.agents.len()).map(agent_name);
        coordinators
            .chain(agents)
            .map(|name| daemon::tail(&self.log(&name)))
            .collect()
    }

    /// Where the output of a daemon goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(name)
    }
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "the only way to be heard from a drop in a test"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tails());
        }
        self.agents.clear();
        self.coordinators.clear();
        if std::thread::panicking() || std::env::var_os(KEEP).is_some() {
            eprintln!("the files of this test stay in {}", self.dir.display());
        } else if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {error}", self.dir.display());
        }
    }
}

/// What to put before a program, so that its wall clock is wrong by `skew`, as libfaketime has it:
/// `-1800s`. Its monotonic clock is right.
pub fn skewed(skew: &str) -> Result<[String; 4]> {
    let library = FAKETIME.iter().find(|path| Path::new(path).exists());
    let library = library.context("libfaketime is missing: run deploy/demo/install.sh")?;
    Ok([
        "env".to_owned(),
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME={skew}"),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
    ])
}

/// What the agent of host `index` is called: its log and its state directory.
pub fn agent_name(index: usize) -> String {
    format!("agent-{index}")
}

fn stop(daemon: Daemon) -> Result<()> {
    let status = daemon.stop(STOP_LIMIT)?;
    ensure!(status.success(), "after SIGTERM: {status}");
    Ok(())
}

fn write_config(dir: &Path, registry: &Registry, coordinators: &[String]) -> Result<()> {
    let registry = registry.address();
    let coordinators = coordinators.join(", ");
    let soa = dir.join("soa");
    let soa = soa.display();
    let text = format!(
        "cluster: {CLUSTER}
docker_registry: {registry}
volumes: []
soa_dir: {soa}
coordinator:
  lost_after_ms: 6000
deployments:
  generate: false
agent:
  coordinators: [{coordinators}]
  disk_look_seconds: 5
cli:
  coordinators: [{coordinators}]
"
    );
    fs::write(dir.join("config/paasta.yaml"), text).context("cannot write the configuration")
}
