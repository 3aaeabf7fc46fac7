//! Three coordinators by TLS, as processes on this machine; each has a directory of configuration
//! of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use paasta_common::id::ClusterName;
use paasta_identity::{
    ClientCertificates, Files, Identity, Tls,
    authority::{Authority, Request},
};
use paasta_proto::v1::MetastatusResponse;
use paasta_tests::{
    cluster::{
        binaries::binaries,
        daemon::{Daemon, tail},
        operator::{Operator, Said},
    },
    run::{bounded, eventually, text},
};
use tempfile::TempDir;

const INIT: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);
const COMMAND: Duration = Duration::from_secs(60);
/// Short, but longer than a loaded machine lets a whole process stand still.
const TIMERS: &str =
    "heartbeat_ms: 150, election_timeout_min_ms: 600, election_timeout_max_ms: 1200";

pub(crate) struct Secure {
    dir: TempDir,
    authority: Option<Authority>,
    /// gRPC and HTTP.
    ports: Vec<(u16, u16)>,
    /// The coordinators whose HTTP is on every address of the machine.
    open: BTreeSet<usize>,
    agent_http: String,
    coordinators: BTreeMap<usize, Daemon>,
    agents: Vec<Daemon>,
    binaries: &'static Path,
    /// Without TLS, on loopback.
    plain: bool,
}

fn cluster() -> ClusterName {
    ClusterName::new("demo").expect("a name")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Writes the files of a certificate, over older ones.
fn issue(authority: &Authority, identity: &str, at: &Path, now: SystemTime) -> Result<()> {
    let identity: Identity = format!("paasta://demo/{identity}").parse()?;
    let request = Request::create()?;
    let certificate = authority.issue(request.pem(), &identity, now)?;
    fs::create_dir_all(at)?;
    let key = at.join("key.pem");
    if key.exists() {
        fs::remove_file(&key)?;
    }
    request.write_key(&key)?;
    fs::write(at.join("certificate.pem"), certificate)?;
    Ok(())
}

impl Secure {
    fn empty(seats: usize, authority: Option<Authority>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("paasta-tls-").tempdir()?;
        let ports = (0..seats).map(|_| Ok((free_port()?, free_port()?)));
        let secure = Self {
            ports: ports.collect::<Result<_>>()?,
            open: BTreeSet::new(),
            agent_http: "off".to_owned(),
            dir,
            authority,
            coordinators: BTreeMap::new(),
            agents: Vec::new(),
            binaries: binaries()?,
            plain: false,
        };
        for name in ["etc", "soa", "logs", "tls"] {
            fs::create_dir_all(secure.dir.path().join(name))?;
        }
        fs::write(secure.dir.path().join("etc/paasta.yaml"), "cluster: demo\n")?;
        Ok(secure)
    }

    /// Certificates of everything, and nothing that runs.
    pub(crate) fn prepared() -> Result<Self> {
        let authority = Authority::create(&cluster(), SystemTime::now())?;
        let secure = Self::empty(3, Some(authority))?;
        let authority = secure.authority.as_ref().context("just made")?;
        authority.write(&secure.ca(), &secure.dir.path().join("tls/ca.key"))?;
        for identity in [
            "coordinator/1",
            "coordinator/2",
            "coordinator/3",
            "coordinator/9",
            "agent/h1",
            "admin/alice",
            "admin/zoe",
            "deployer/ci",
            "reader/bob",
            "metrics/m",
        ] {
            secure.issue_at(identity, SystemTime::now())?;
        }
        Ok(secure)
    }

    /// A cluster of three that speaks plain text, on loopback.
    pub(crate) fn plain() -> Result<Self> {
        let mut plain = Self::empty(3, None)?;
        plain.plain = true;
        plain.begin()?;
        Ok(plain)
    }

    /// The directory with everything.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The local socket of a coordinator.
    pub(crate) fn socket(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("run-{id}/admin.sock"))
    }

    /// The audit log of a coordinator.
    pub(crate) fn audit_log(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("data-{id}/audit/audit.jsonl"))
    }

    /// Lays an instance that no version is deployed of.
    pub(crate) fn declare(&self, service: &str) -> Result<()> {
        let at = self.dir.path().join("soa").join(service);
        fs::create_dir_all(&at)?;
        let text = "main:\n  instances: 1\n  deploy_group: demo.all\n";
        Ok(fs::write(at.join("marathon-demo.yaml"), text)?)
    }

    /// A cluster of three.
    pub(crate) fn up() -> Result<Self> {
        Self::prepared()?.begun()
    }

    /// A cluster of three; HTTP of these coordinators, and of agents, is on every address. Returns
    /// the port of agents' HTTP as well. Tokens are in [`Secure::tokens`].
    pub(crate) fn up_with_http(open: &[usize]) -> Result<(Self, u16)> {
        let mut secure = Self::prepared()?;
        let agents = free_port()?;
        secure.open.extend(open);
        secure.agent_http = format!("0.0.0.0:{agents}");
        fs::write(secure.tokens(), "")?;
        secure.begin()?;
        Ok((secure, agents))
    }

    /// The file of the bearer tokens of HTTP, of coordinators and agents.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.dir.path().join("tls/tokens")
    }

    pub(crate) fn http_port(&self, id: usize) -> u16 {
        self.ports[id - 1].1
    }

    /// A cluster of one, its files made by a shell script in the directory where they are expected.
    pub(crate) fn documented(script: &str) -> Result<Self> {
        let mut secure = Self::empty(1, None)?;
        let at = secure.dir.path().join("tls");
        text(
            bounded(COMMAND, "bash")
                .args(["-euc", script])
                .current_dir(&at),
        )?;
        for (identity, name) in [
            ("coordinator/1", "coordinator-1"),
            ("admin/alice", "admin-alice"),
        ] {
            let files = secure.files(identity);
            fs::create_dir_all(&files)?;
            fs::copy(
                at.join(format!("{name}.pem")),
                files.join("certificate.pem"),
            )?;
            fs::copy(at.join(format!("{name}.key")), files.join("key.pem"))?;
        }
        secure.begin()?;
        Ok(secure)
    }

    /// The same, running.
    pub(crate) fn begun(mut self) -> Result<Self> {
        self.begin()?;
        Ok(self)
    }

    fn begin(&mut self) -> Result<()> {
        for id in 1..=self.ports.len() {
            self.start(id)?;
        }
        let members: Vec<String> = self
            .ports
            .iter()
            .enumerate()
            .map(|(at, (grpc, _))| format!("{}=127.0.0.1:{grpc}", at + 1))
            .collect();
        let mut words = vec!["cluster", "init", "--cluster", "demo"];
        for member in &members {
            words.extend(["--member", member.as_str()]);
        }
        eventually(INIT, "the cluster is made", || {
            let said = self.paasta("admin/alice", None, &words)?;
            ensure!(said.code == Some(0), "{said:?}");
            Ok(())
        })
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("tls/ca.pem")
    }

    /// The directory of a certificate's files.
    pub(crate) fn files(&self, identity: &str) -> PathBuf {
        self.dir.path().join("tls").join(identity)
    }

    pub(crate) fn issue_at(&self, identity: &str, now: SystemTime) -> Result<()> {
        let authority = self.authority.as_ref().context("there is no authority")?;
        issue(authority, identity, &self.files(identity), now)
    }

    /// Another authority's certificate for an identity of this cluster.
    pub(crate) fn other_authority(&self, identity: &str) -> Result<PathBuf> {
        let authority = Authority::create(&cluster(), SystemTime::now())?;
        let at = self.files("other");
        if at.exists() {
            fs::remove_dir_all(&at)?;
        }
        fs::create_dir_all(&at)?;
        authority.write(&at.join("ca.pem"), &at.join("ca.key"))?;
        issue(&authority, identity, &at, SystemTime::now())?;
        Ok(at)
    }

    /// TLS of `ROLE/NAME`, for a program of the test's own.
    pub(crate) fn tls(&self, identity: &str) -> Result<Tls> {
        let at = self.files(identity);
        let files = Files {
            ca: self.ca(),
            certificate: at.join("certificate.pem"),
            key: at.join("key.pem"),
        };
        Ok(Tls::read(&files, ClientCertificates::Required)?)
    }

    pub(crate) fn address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.ports[id - 1].0)
    }

    /// A figure of a coordinator's metrics.
    pub(crate) fn metric(&self, id: usize, name: &str) -> Result<f64> {
        let http = ([127, 0, 0, 1], self.ports[id - 1].1).into();
        let page = paasta_tests::http::get(http, "/metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    }

    /// Lays the configuration of a program.
    fn configure(&self, name: &str, section: &str, files: &Path, more: &str) -> Result<PathBuf> {
        let etc = self.dir.path().join(format!("etc-{name}"));
        fs::create_dir_all(&etc)?;
        let tls = match self.plain {
            true => String::new(),
            false => format!(
                "  tls: {{ca: {}, certificate: {}, key: {}}}\n",
                self.ca().display(),
                files.join("certificate.pem").display(),
                files.join("key.pem").display(),
            ),
        };
        let text = format!(
            "cluster: demo\nsoa_dir: {}\nsensu_host: null\n{section}:\n{tls}{more}",
            self.dir.path().join("soa").display(),
        );
        fs::write(etc.join("paasta.yaml"), text)?;
        Ok(etc)
    }

    fn coordinator(&self, id: usize, certificate: &str) -> Result<Vec<String>> {
        let (grpc, http) = self.ports[id - 1];
        let data = self.dir.path().join(format!("data-{id}"));
        let run = self.dir.path().join(format!("run-{id}"));
        fs::create_dir_all(&run)?;
        let host = match self.open.contains(&id) {
            true => "0.0.0.0",
            false => "127.0.0.1",
        };
        // On every address of the machine: TLS is what makes that allowed.
        let listen = if self.plain { "127.0.0.1" } else { "0.0.0.0" };
        let more = format!(
            "  node_id: {id}\n  admin_group: nogroup\n  run_dir: {}\n  listen: {listen}:{grpc}\n  advertise: 127.0.0.1:{grpc}\n  http_listen: {host}:{http}\n  http_tokens_file: {}\n  data_dir: {}\n{}\n",
            run.display(),
            self.tokens().display(),
            data.display(),
            TIMERS
                .split(", ")
                .map(|line| format!("  {line}"))
                .collect::<Vec<_>>()
                .join("\n"),
        );
        let files = self.files(certificate);
        let etc = self.configure(&format!("coordinator-{id}"), "coordinator", &files, &more)?;
        Ok(words(&self.binaries.join("paasta-coordinator"), &etc))
    }

    pub(crate) fn start(&mut self, id: usize) -> Result<()> {
        let words = self.coordinator(id, &format!("coordinator/{id}"))?;
        let log = self.log(&format!("coordinator-{id}"));
        let daemon = Daemon::start(
            &format!("coordinator {id}"),
            &format!("tls-{id}"),
            &words,
            &log,
        )?;
        self.coordinators.insert(id, daemon);
        Ok(())
    }

    pub(crate) fn stop(&mut self, id: usize) -> Result<()> {
        let daemon = self.coordinators.remove(&id).context("it does not run")?;
        daemon.stop(STOP).map(drop)
    }

    fn agent_words(
        &self,
        host: &str,
        certificate: &str,
        coordinators: &[usize],
    ) -> Result<Vec<String>> {
        let addresses: Vec<String> = coordinators.iter().map(|id| self.address(*id)).collect();
        let more = format!(
            "  host_id: {host}\n  address: 127.0.0.1\n  coordinators: [{}]\n  http_listen: {}\n  http_tokens_file: {}\n  docker_socket: /nonexistent/docker.sock\n  state_dir: {}\n",
            addresses.join(", "),
            self.agent_http,
            self.tokens().display(),
            self.dir.path().join(format!("state-{host}")).display(),
        );
        let files = self.files(&format!("agent/{certificate}"));
        let etc = self.configure(&format!("agent-{host}"), "agent", &files, &more)?;
        Ok(words(&self.binaries.join("paasta-agent"), &etc))
    }

    /// Starts the agent of a host with the certificate of one.
    pub(crate) fn agent(
        &mut self,
        host: &str,
        certificate: &str,
        coordinators: &[usize],
    ) -> Result<()> {
        let words = self.agent_words(host, certificate, coordinators)?;
        let (name, log) = (format!("agent {host}"), self.log(&format!("agent-{host}")));
        let daemon = Daemon::start(&name, &format!("tls-{host}"), &words, &log)?;
        self.agents.push(daemon);
        Ok(())
    }

    /// What a coordinator says that must not start.
    pub(crate) fn try_coordinator(&self, id: usize, certificate: &str) -> Result<String> {
        fails(&self.coordinator(id, certificate)?)
    }

    /// What an agent says that must not start.
    pub(crate) fn try_agent(&self, host: &str, certificate: &str) -> Result<String> {
        fails(&self.agent_words(host, certificate, &[1])?)
    }

    /// Gives a coordinator that runs a new certificate.
    pub(crate) fn renew(&self, id: usize) -> Result<()> {
        self.issue_at(&format!("coordinator/{id}"), SystemTime::now())
    }

    /// The certificate that a coordinator serves, in PEM.
    pub(crate) fn served(&self, id: usize) -> Result<String> {
        let mut command = bounded(COMMAND, "sh");
        let line = format!(
            "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509",
            self.address(id)
        );
        text(command.args(["-c", &line]))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("logs/{name}.log"))
    }

    /// Waits until a program has logged the words.
    pub(crate) fn logged(&self, name: &str, words: &str, limit: Duration) -> Result<()> {
        eventually(limit, &format!("{name} logs {words:?}"), || {
            let log = fs::read_to_string(self.log(name))?;
            ensure!(log.contains(words), "{}", tail(&self.log(name)));
            Ok(())
        })
    }

    /// Runs `paasta` with the certificate of `ROLE/NAME`, asking one coordinator or all.
    pub(crate) fn paasta(&self, identity: &str, at: Option<usize>, words: &[&str]) -> Result<Said> {
        self.paasta_with(&self.files(identity), &self.ca(), at, words)
    }

    pub(crate) fn paasta_with(
        &self,
        files: &Path,
        ca: &Path,
        at: Option<usize>,
        words: &[&str],
    ) -> Result<Said> {
        if self.plain {
            return self.operator(at).paasta(words);
        }
        let (certificate, key) = (files.join("certificate.pem"), files.join("key.pem"));
        let path = |path: &Path| path.display().to_string();
        let (ca, certificate, key) = (path(ca), path(&certificate), path(&key));
        let mut all = vec![
            "--tls-ca",
            &ca,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        all.extend(words);
        self.operator(at).paasta(&all)
    }

    /// An operator without a certificate.
    pub(crate) fn operator(&self, at: Option<usize>) -> Operator {
        let asked = match at {
            Some(id) => vec![self.address(id)],
            None => (1..=self.ports.len()).map(|id| self.address(id)).collect(),
        };
        Operator::new(
            &self.binaries.join("paasta"),
            &self.dir.path().join("etc"),
            &asked,
        )
    }

    /// As [`Secure::paasta`], which must succeed.
    pub(crate) fn succeed(&self, identity: &str, id: usize, words: &[&str]) -> Result<String> {
        let said = self.paasta(identity, Some(id), words)?;
        ensure!(
            said.code == Some(0),
            "{identity} at {id}: {words:?}: {said:?}"
        );
        Ok(said.stdout)
    }

    fn metastatus(&self, identity: &str) -> Result<MetastatusResponse> {
        let said = self.paasta(identity, None, &["metastatus", "--json"])?;
        serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))
    }

    pub(crate) fn leader(&self, limit: Duration) -> Result<usize> {
        self.leader_by("admin/alice", limit)
    }

    /// The leader, as an admin of this name is told.
    pub(crate) fn leader_by(&self, identity: &str, limit: Duration) -> Result<usize> {
        eventually(limit, "there is a leader", || {
            let leader = self
                .metastatus(identity)?
                .coordinators
                .into_iter()
                .find(|one| one.leader);
            Ok(usize::try_from(leader.context("none")?.id)?)
        })
    }

    /// Waits until a host has a session with the leader.
    pub(crate) fn connected(&self, host: &str, limit: Duration) -> Result<()> {
        eventually(limit, &format!("{host} has a session"), || {
            let hosts = self.metastatus("admin/alice")?.hosts;
            let found = hosts.iter().find(|one| one.id == host);
            ensure!(found.is_some_and(|one| one.connected), "{hosts:?}");
            Ok(())
        })
    }
}

fn words(program: &Path, etc: &Path) -> Vec<String> {
    let words = [program.display().to_string(), "run".to_owned()];
    let config = ["--config-dir".to_owned(), etc.display().to_string()];
    words.into_iter().chain(config).collect()
}

/// Runs a daemon that must end with an error at once; returns its words.
fn fails(words: &[String]) -> Result<String> {
    let output = bounded(COMMAND, &words[0]).args(&words[1..]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1),
        "{:?}: {said}",
        output.status
    );
    Ok(said)
}

impl Drop for Secure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = fs::read_dir(self.dir.path().join("logs"));
            for log in logs.into_iter().flatten().flatten() {
                // There is nowhere left to say that standard error is gone.
                let _ =
                    std::io::Write::write_all(&mut std::io::stderr(), tail(&log.path()).as_bytes());
            }
        }
    }
}
