//! A load balancer in a directory of its own, servers that answer, and clients.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paasta_agent::{
    endpoints::ProxyLink,
    proxy::{CONFIG_FILE, MASTER_SOCKET, PID_FILE, Proxy, ProxyParts, ProxyView, api},
    view::View,
};
use paasta_agent_core::proxy::{
    config::ProxySettings,
    wanted::{Server, Service, Wanted, WantedNamespace},
};
use paasta_common::{
    disk::DiskLimits,
    endpoints::{Endpoint, EndpointSet, EndpointState, EndpointVersion, NamespaceSet, ProxyReport},
    id::ReplicaId,
    report::Runtime,
    smartstack::{Namespace, NamespaceOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) proxy: Proxy,
    pub(crate) own: watch::Sender<Arc<View>>,
    pub(crate) wanted: Wanted,
    /// What the coordinators hear.
    pub(crate) answers: watch::Receiver<Arc<ProxyReport>>,
    sets: watch::Sender<Option<Arc<EndpointSet>>>,
    shutdown: CancellationToken,
    number: u64,
    stats: u16,
}

/// What one agent is started as.
type Started = (
    Proxy,
    watch::Sender<Option<Arc<EndpointSet>>>,
    watch::Receiver<Arc<ProxyReport>>,
    CancellationToken,
);

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn name(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn view() -> View {
    View {
        accepted: None,
        reports: BTreeMap::new(),
        runtime: Runtime::Ok,
        disk_limits: DiskLimits::default(),
    }
}

pub(crate) fn version(number: u64) -> EndpointVersion {
    EndpointVersion {
        epoch: 1,
        term: 1,
        number,
    }
}

/// A set of endpoints that comes to these servers.
fn endpoints(wanted: &Wanted, version: EndpointVersion) -> EndpointSet {
    let endpoint = |server: &Server| Endpoint {
        instance: "web.main".parse().unwrap(),
        host: "h1".parse().unwrap(),
        address: server.at.ip().to_string().into(),
        port: server.at.port(),
        state: match server.service {
            Service::Up => EndpointState::Up,
            Service::Drain => EndpointState::Drain,
            Service::Down => EndpointState::Down,
        },
        weight: server.weight,
        backup: server.backup,
    };
    let namespaces = wanted.namespaces.iter();
    let namespaces = namespaces.map(|(name, one)| {
        let servers = one.servers.iter();
        let set = NamespaceSet {
            options: Arc::new(one.options.clone()),
            endpoints: servers
                .map(|(id, server)| (*id, endpoint(server)))
                .collect(),
        };
        (name.clone(), Arc::new(set))
    });
    EndpointSet {
        version,
        namespaces: namespaces.collect(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let found = Command::new("haproxy").arg("-v").output();
        found.expect("haproxy is missing: deploy/demo/install.sh, or apt-get install haproxy");
        // A Unix socket's path is short.
        let dir = tempfile::Builder::new()
            .prefix("px")
            .tempdir_in("/tmp")
            .unwrap();
        for part in ["state", "run"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        let (own, _) = watch::channel(Arc::new(view()));
        let stats = free_port();
        let (proxy, sets, answers, shutdown) = start(dir.path(), stats, &own);
        Self {
            dir,
            proxy,
            own,
            wanted: Wanted::default(),
            answers,
            sets,
            shutdown,
            number: 0,
            stats,
        }
    }

    /// Ends the agent's part, and begins it anew. HAProxy goes on.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.cancel();
        (&mut self.proxy.task).await.unwrap();
        (self.proxy, self.sets, self.answers, self.shutdown) =
            start(self.dir.path(), self.stats, &self.own);
    }

    /// Adds a namespace of mode http without servers.
    pub(crate) fn namespace(&mut self, text: &str, port: u16) {
        let options = NamespaceOptions {
            proxy_port: Some(port),
            timeout_client_ms: 30_000,
            timeout_server_ms: 30_000,
            ..NamespaceOptions::default()
        };
        let servers = BTreeMap::new();
        let namespace = WantedNamespace { options, servers };
        self.wanted.namespaces.insert(name(text), namespace);
    }

    pub(crate) fn of(&mut self, text: &str) -> &mut WantedNamespace {
        self.wanted.namespaces.get_mut(&name(text)).unwrap()
    }

    pub(crate) fn put(&mut self, text: &str, replica: u64, at: SocketAddr, service: Service) {
        let server = Server {
            at,
            service,
            weight: 10,
            backup: false,
        };
        self.of(text).servers.insert(ReplicaId(replica), server);
    }

    pub(crate) fn take_out(&mut self, text: &str, replica: u64) {
        self.of(text).servers.remove(&ReplicaId(replica));
    }

    /// Sends the set.
    pub(crate) fn send(&mut self) -> EndpointVersion {
        self.number += 1;
        let version = version(self.number);
        let set = endpoints(&self.wanted, version);
        self.sets.send_replace(Some(Arc::new(set)));
        version
    }

    /// Sends the set and waits until the load balancer is as wanted.
    pub(crate) async fn settle(&mut self) {
        let version = self.send();
        let settled = |view: &ProxyView| view.version == Some(version) && view.backends.is_empty();
        self.until("settled", settled).await;
    }

    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&ProxyView) -> bool) {
        let view = &mut self.proxy.view;
        let waiting = view.wait_for(|view| holds(view));
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("not {what}: {:?}", view.borrow().as_ref());
        }
    }

    pub(crate) fn view(&self) -> Arc<ProxyView> {
        self.proxy.view.borrow().clone()
    }

    pub(crate) async fn ask(&self, line: &str) -> String {
        api::ask(&self.dir.path().join("run/api.sock"), line)
            .await
            .unwrap()
    }

    pub(crate) async fn ask_master(&self, line: &str) -> String {
        let socket = self.dir.path().join("run").join(MASTER_SOCKET);
        loop {
            // It refuses for a moment while it loads.
            if let Ok(answer) = api::ask(&socket, line).await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("state").join(CONFIG_FILE)).unwrap()
    }

    pub(crate) fn master(&self) -> i32 {
        pid(self.dir.path()).expect("a process id")
    }

    pub(crate) fn set_own(&self, change: impl FnOnce(&mut View)) {
        let mut next = (**self.own.borrow()).clone();
        change(&mut next);
        self.own.send_replace(Arc::new(next));
    }
}

fn pid(dir: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(dir.join("run").join(PID_FILE)).ok()?;
    text.trim().parse().ok()
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(pid) = pid(self.dir.path()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

fn start(dir: &Path, stats: u16, own: &watch::Sender<Arc<View>>) -> Started {
    let run = dir.join("run");
    let path = |name: &str| run.join(name).to_string_lossy().into_owned();
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let settings = ProxySettings {
        addresses: vec![localhost],
        stats: Some(SocketAddr::new(localhost, stats)),
        max_connections: 1_000,
        threads: 2,
        hard_stop_seconds: 60,
        api_socket: path("api.sock"),
        log_socket: path("log.sock"),
        user: None,
        location: BTreeMap::new(),
    };
    let parts = ProxyParts {
        settings,
        directory: dir.join("state"),
        run_directory: run,
        program: PathBuf::from("/usr/sbin/haproxy"),
    };
    let shutdown = CancellationToken::new();
    let (sets, received) = watch::channel(parts.last_set().map(Arc::new));
    let (standing, answers) = watch::channel(Arc::default());
    let link = ProxyLink {
        sets: received,
        answers: standing,
    };
    let proxy = Proxy::start(parts, link, own.subscribe(), shutdown.clone());
    (proxy, sets, answers, shutdown)
}

/// A server that answers every request with 200 after a delay, until it is dropped, which cuts
/// every connection as SIGKILL does.
pub(crate) struct Answering {
    pub(crate) at: SocketAddr,
    task: JoinHandle<()>,
}

impl Answering {
    pub(crate) async fn start(delay: Duration) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), delay).await
    }

    pub(crate) async fn start_at(at: SocketAddr, delay: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer(stream, delay));
            }
        });
        Self { at, task }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, delay: Duration) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            read.drain(..end + 4);
            tokio::time::sleep(delay).await;
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}

/// One request, and its status; 0 where there was no answer.
pub(crate) async fn get(port: u16) -> u16 {
    let request = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        let head = std::str::from_utf8(&head).ok()?;
        head.split(' ').nth(1)?.parse().ok()
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), request).await;
    answer.ok().flatten().unwrap_or(0)
}

/// Asks until this is the answer. Returns how long that took.
pub(crate) async fn until_status(port: u16, status: u16) -> Duration {
    let began = Instant::now();
    while get(port).await != status {
        assert!(began.elapsed() < PATIENCE, "no {status} at {port}");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

/// wrk, which counts what fails.
pub(crate) struct Load(tokio::process::Child);

impl Load {
    pub(crate) fn start(port: u16, seconds: u64, close: bool) -> Self {
        let mut command = tokio::process::Command::new("wrk");
        command
            .args(["-t2", "-c30", "--timeout", "20s"])
            .arg(format!("-d{seconds}s"));
        if close {
            command.args(["-H", "Connection: close"]);
        }
        command.arg(format!("http://127.0.0.1:{port}/"));
        command
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true);
        Self(
            command
                .spawn()
                .expect("wrk is missing: deploy/demo/install.sh, or apt-get install wrk"),
        )
    }

    pub(crate) fn goes_on(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// What was asked and what failed.
    pub(crate) async fn end(self) -> (u64, u64) {
        let output = self.0.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers = |line: &str| -> Vec<u64> {
            let parts = line.split(|c: char| !c.is_ascii_digit());
            parts.filter_map(|part| part.parse().ok()).collect()
        };
        let (mut asked, mut failed) = (0, 0);
        for line in text.lines() {
            if line.contains(" requests in ") {
                asked = numbers(line)[0];
            }
            if line.contains("Socket errors") || line.contains("Non-2xx") {
                let found: Vec<u64> = numbers(line);
                failed += match line.contains("Non-2xx") {
                    true => *found.last().unwrap(),
                    false => found.iter().sum(),
                };
            }
        }
        assert!(asked > 0, "{text}");
        let lines = text
            .lines()
            .filter(|line| line.contains("errors") || line.contains("Non-2xx"));
        let errors = lines.collect::<Vec<_>>().join(";");
        println!("{asked} requests, {failed} failed {errors}");
        (asked, failed)
    }
}
