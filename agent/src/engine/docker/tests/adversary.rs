//! A daemon that speaks as much of Docker's API as the agent uses and does with it what a test
//! tells it: it hangs, refuses, forgets to answer, answers with nonsense or without end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, UnixListener, UnixStream},
    sync::broadcast,
    task::JoinHandle,
    time::interval,
};

/// dockerd's words.
const NO_QUOTA: &str =
    "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";

/// What is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    Version,
    List,
    Inspect,
    Create,
    Start,
    Stop,
    Remove,
    Logs,
    Events,
    Image,
    Info,
    Other,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes the request and does nothing, for ever.
    Hang,
    /// It does the work and never says so.
    HangAfter,
    /// It says 500 and does nothing.
    Refuse,
    /// It does the work and says 500.
    RefuseAfter,
    /// It does the work and closes the connection.
    CloseAfter,
    /// It does the work and answers with nonsense.
    Garbage,
    /// It does the work, and the answer comes a byte at a time.
    Slow,
    /// It does the work, and the answer has no end.
    Endless,
    /// It says that a removal goes on already; the container is gone at the third look at it.
    GoesOn,
}

/// A container of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) id: String,
    labels: Value,
    image: String,
    port: Option<u16>,
    pub(super) running: bool,
    started: bool,
    finished_at: String,
    /// The limit of its writable layer.
    pub(super) size: Option<String>,
}

/// The storage driver, its file system, and whether it limits writable layers.
pub(super) type Storage = (&'static str, &'static str, bool);

#[derive(Default)]
struct Inner {
    containers: BTreeMap<String, Held>,
    /// What answers on the ports of containers that run.
    servers: BTreeMap<String, JoinHandle<()>>,
    faults: BTreeMap<Route, Fault>,
    /// Containers about which nothing is ever answered.
    stuck: BTreeSet<String>,
    /// Containers that are being removed, by id, and how often they are still seen.
    going: BTreeMap<String, u32>,
    stale_list: Option<Value>,
    mute: bool,
    storage: Storage,
    asked: BTreeMap<Route, u64>,
    created: u64,
}

/// The daemon. Clones are the same.
#[derive(Clone)]
pub(super) struct Adversary {
    pub(super) socket: PathBuf,
    inner: Arc<Mutex<Inner>>,
    events: broadcast::Sender<String>,
    /// Connections that are open.
    pub(super) open: Arc<AtomicUsize>,
    /// Bytes written by endless answers.
    pub(super) poured: Arc<AtomicU64>,
}

struct Request {
    route: Route,
    /// The container or image.
    about: String,
    query: String,
    body: Value,
}

impl Adversary {
    pub(super) fn start(dir: &Path) -> Self {
        let daemon = Self {
            socket: dir.join("docker.sock"),
            inner: Arc::default(),
            events: broadcast::channel(64).0,
            open: Arc::default(),
            poured: Arc::default(),
        };
        let listener = UnixListener::bind(&daemon.socket).unwrap();
        let serving = daemon.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let daemon = serving.clone();
                tokio::spawn(async move {
                    daemon.open.fetch_add(1, Ordering::SeqCst);
                    daemon.serve(stream).await;
                    daemon.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        daemon
    }

    pub(super) fn fail(&self, route: Route, fault: Fault) {
        self.inner.lock().faults.insert(route, fault);
    }

    pub(super) fn fail_all(&self, fault: Fault) {
        use Route::*;
        for route in [
            Version, List, Inspect, Create, Start, Stop, Remove, Logs, Events, Image, Info, Other,
        ] {
            self.fail(route, fault);
        }
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.faults.clear();
        inner.stuck.clear();
        inner.stale_list = None;
        inner.mute = false;
    }

    pub(super) fn stick(&self, name: &str) {
        let mut inner = self.inner.lock();
        let id = inner.containers[name].id.clone();
        inner.stuck.extend([name.to_owned(), id]);
    }

    /// From now on it lists what there is now.
    pub(super) fn list_late(&self) {
        let now = self.list();
        self.inner.lock().stale_list = Some(now);
    }

    pub(super) fn keep_in(&self, storage: Storage) {
        self.inner.lock().storage = storage;
    }

    /// What it has made, by name.
    pub(super) fn held(&self) -> BTreeMap<String, Held> {
        self.inner.lock().containers.clone()
    }

    /// From now on it tells of no event.
    pub(super) fn mute(&self) {
        self.inner.lock().mute = true;
    }

    pub(super) fn asked(&self, route: Route) -> u64 {
        let inner = self.inner.lock();
        inner.asked.get(&route).copied().unwrap_or(0)
    }

    pub(super) fn created(&self) -> u64 {
        self.inner.lock().created
    }

    /// Containers that run, by name.
    pub(super) fn running(&self) -> BTreeMap<String, String> {
        let inner = self.inner.lock();
        let running = inner.containers.iter().filter(|(_, held)| held.running);
        running
            .map(|(name, held)| (name.clone(), held.id.clone()))
            .collect()
    }

    /// The service in a container stops to answer; the container runs on.
    pub(super) fn silence(&self, name: &str) {
        if let Some(server) = self.inner.lock().servers.remove(name) {
            server.abort();
        }
    }

    /// A container ends by itself.
    pub(super) fn crash(&self, name: &str) {
        self.end(name);
        let inner = self.inner.lock();
        let labels = inner.containers[name].labels.clone();
        let event = json!({"Type": "container", "Action": "die",
            "Actor": {"ID": inner.containers[name].id, "Attributes": labels}});
        if !inner.mute {
            // Nobody may listen.
            let _ = self.events.send(format!("{event}\n"));
        }
    }

    fn end(&self, name: &str) {
        let mut inner = self.inner.lock();
        if let Some(held) = inner.containers.get_mut(name)
            && held.running
        {
            held.running = false;
            held.finished_at = jiff::Timestamp::now().to_string();
        }
        if let Some(server) = inner.servers.remove(name) {
            server.abort();
        }
    }

    async fn serve(&self, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        let Some(request) = read(&mut stream).await else {
            return;
        };
        let mut stream = stream.into_inner();
        let fault = {
            let mut inner = self.inner.lock();
            *inner.asked.entry(request.route).or_default() += 1;
            match inner.stuck.contains(&request.about) {
                true => Some(Fault::Hang),
                false => inner.faults.get(&request.route).copied(),
            }
        };
        match fault {
            Some(Fault::Hang) => return hang(&mut stream).await,
            Some(Fault::Refuse) => return refuse(&mut stream).await,
            Some(Fault::GoesOn) => {
                self.inner.lock().going.insert(request.about.clone(), 2);
                let words = format!(
                    "removal of container {} is already in progress",
                    request.about
                );
                let text = json!({ "message": words }).to_string();
                return answer(&mut stream, 409, &text).await;
            }
            None if request.route == Route::Events => return self.tell(&mut stream).await,
            _ => {}
        }
        let (status, body) = self.work(&request).await;
        let text = if status == 204 {
            String::new()
        } else {
            body.to_string()
        };
        match fault {
            Some(Fault::HangAfter) => hang(&mut stream).await,
            Some(Fault::RefuseAfter) => refuse(&mut stream).await,
            Some(Fault::CloseAfter) => {}
            Some(Fault::Garbage) => answer(&mut stream, 200, "}{ \u{0} not json").await,
            Some(Fault::Slow) => drip(&mut stream, &text).await,
            Some(Fault::Endless) => self.pour(&mut stream).await,
            _ => answer(&mut stream, status, &text).await,
        }
    }

    async fn work(&self, request: &Request) -> (u16, Value) {
        let missing = || {
            (
                404,
                json!({"message": format!("no such: {}", request.about)}),
            )
        };
        if request.route == Route::Inspect {
            self.fade(&request.about);
        }
        let name = self.name_of(&request.about);
        match (request.route, name) {
            (Route::Version, _) => (200, json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"})),
            (Route::List, _) => (200, self.list()),
            (Route::Image, _) => (200, json!({"Id": "sha256:1"})),
            (Route::Create, _) => self.create(request),
            (Route::Inspect, Some(name)) => (200, self.inspect(&name)),
            (Route::Start, Some(name)) => (self.run(&name).await, Value::Null),
            (Route::Stop, Some(name)) => {
                self.end(&name);
                (204, Value::Null)
            }
            (Route::Remove, Some(name)) => {
                self.end(&name);
                self.inner.lock().containers.remove(&name);
                (204, Value::Null)
            }
            (Route::Logs, Some(_)) => (200, json!("")),
            (Route::Info, _) => {
                let (driver, backing, _) = self.inner.lock().storage;
                let status = json!([["Backing Filesystem", backing]]);
                (
                    200,
                    json!({"Driver": driver, "DriverStatus": status, "DockerRootDir": "/"}),
                )
            }
            (Route::Other, _) => (501, json!({"message": "not here"})),
            _ => missing(),
        }
    }

    /// A container that is being removed is seen once less, or is gone.
    fn fade(&self, id: &str) {
        let mut inner = self.inner.lock();
        match inner.going.get_mut(id) {
            None => {}
            Some(0) => {
                inner.going.remove(id);
                inner.containers.retain(|_, held| held.id != id);
            }
            Some(left) => *left -= 1,
        }
    }

    fn name_of(&self, about: &str) -> Option<String> {
        let inner = self.inner.lock();
        let mut all = inner.containers.iter();
        all.find(|(name, held)| *name == about || held.id == about)
            .map(|(name, _)| name.clone())
    }

    fn list(&self) -> Value {
        let inner = self.inner.lock();
        if let Some(stale) = &inner.stale_list {
            return stale.clone();
        }
        let one = |(name, held): (&String, &Held)| {
            let state = match (held.running, held.started) {
                (true, _) => "running",
                (false, true) => "exited",
                (false, false) => "created",
            };
            json!({"Id": held.id, "Names": [format!("/{name}")], "Image": held.image,
                "Labels": held.labels, "State": state, "Created": 1_700_000_000, "Ports": []})
        };
        inner.containers.iter().map(one).collect()
    }

    fn inspect(&self, name: &str) -> Value {
        let inner = self.inner.lock();
        let held = &inner.containers[name];
        json!({"Id": held.id, "Name": format!("/{name}"), "Config": {"Labels": held.labels},
            "State": {"Running": held.running, "ExitCode": 1, "OOMKilled": false,
                "FinishedAt": held.finished_at}})
    }

    fn create(&self, request: &Request) -> (u16, Value) {
        let name = request.query.split('&');
        let name = name
            .filter_map(|pair| pair.strip_prefix("name="))
            .next()
            .unwrap();
        let mut inner = self.inner.lock();
        if inner.containers.contains_key(name) {
            return (409, json!({"message": format!("{name} is in use")}));
        }
        let size = request.body.pointer("/HostConfig/StorageOpt/size");
        let size = size.and_then(Value::as_str).map(str::to_owned);
        if size.is_some() && !inner.storage.2 {
            return (400, json!({"message": NO_QUOTA}));
        }
        inner.created += 1;
        let id = format!("{:064x}", inner.created);
        let bindings = request.body.pointer("/HostConfig/PortBindings");
        let port = bindings.and_then(|all| all.as_object()?.values().next()?.get(0));
        let port = port.and_then(|one| one.get("HostPort")?.as_str()?.parse().ok());
        let held = Held {
            id: id.clone(),
            labels: request.body["Labels"].clone(),
            image: request.body["Image"].as_str().unwrap().to_owned(),
            port,
            running: false,
            started: false,
            finished_at: "0001-01-01T00:00:00Z".to_owned(),
            size,
        };
        inner.containers.insert(name.to_owned(), held);
        (201, json!({"Id": id, "Warnings": []}))
    }

    /// A container that runs answers on its port.
    async fn run(&self, name: &str) -> u16 {
        let port = {
            let mut inner = self.inner.lock();
            let Some(held) = inner.containers.get_mut(name) else {
                return 404;
            };
            if held.running {
                return 304;
            }
            (held.running, held.started) = (true, true);
            held.port
        };
        if let Some(port) = port
            && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
        {
            let server = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
            self.inner.lock().servers.insert(name.to_owned(), server);
        }
        204
    }

    async fn tell(&self, stream: &mut UnixStream) {
        let mut events = self.events.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        while let Ok(event) = events.recv().await {
            if stream.write_all(event.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn pour(&self, stream: &mut UnixStream) {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[";
        let mut written = stream.write_all(head.as_bytes()).await;
        let spaces = vec![b' '; 64 << 10];
        while written.is_ok() {
            self.poured.fetch_add(spaces.len() as u64, Ordering::SeqCst);
            written = stream.write_all(&spaces).await;
        }
    }
}

async fn read(stream: &mut BufReader<UnixStream>) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if parts.first().is_some_and(|part| part.starts_with("v1.")) {
        parts.remove(0);
    }
    let (route, about) = match (method, &parts[..]) {
        ("GET", ["version"]) => (Route::Version, ""),
        ("GET", ["events"]) => (Route::Events, ""),
        ("GET", ["containers", "json"]) => (Route::List, ""),
        ("POST", ["containers", "create"]) => (Route::Create, ""),
        ("GET", ["containers", about, "json"]) => (Route::Inspect, *about),
        ("GET", ["containers", about, "logs"]) => (Route::Logs, *about),
        ("POST", ["containers", about, "start"]) => (Route::Start, *about),
        ("POST", ["containers", about, "stop"]) => (Route::Stop, *about),
        ("DELETE", ["containers", about]) => (Route::Remove, *about),
        ("GET", ["info"]) => (Route::Info, ""),
        ("GET", ["images", .., "json"]) => (Route::Image, ""),
        _ => (Route::Other, ""),
    };
    Some(Request {
        route,
        about: about.to_owned(),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

/// Nothing, until the other side has had enough.
async fn hang(stream: &mut UnixStream) {
    let mut byte = [0];
    while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

async fn refuse(stream: &mut UnixStream) {
    answer(stream, 500, r#"{"message": "no space left on device"}"#).await;
}

/// Who does not wait for the answer any more does not get it.
async fn answer(stream: &mut UnixStream, status: u16, body: &str) {
    let length = match status {
        204 | 304 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{length}\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if !length.is_empty() {
        let _ = stream.write_all(body.as_bytes()).await;
    }
}

async fn drip(stream: &mut UnixStream, body: &str) {
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut every = interval(Duration::from_millis(20));
    for byte in text.bytes() {
        every.tick().await;
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
    }
}
