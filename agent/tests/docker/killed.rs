//! The agent's own program on the real dockerd, killed without warning before and after each call
//! that it makes there. It has no coordinator: what it does is what its ledger says.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paasta_agent::ledger::Ledger;
use paasta_common::{
    app::{AppSpec, Resources},
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::ReplicaId,
    spec::RunSettings,
    time::Timestamp,
};

use crate::world::{SOCKET, World, docker};

const PATIENCE: Duration = Duration::from_secs(60);

/// When to kill the agent: at a call whose request line holds both, before it or after it.
#[derive(Clone, Copy)]
struct Moment {
    method: &'static str,
    path: &'static str,
    after: bool,
}

/// What stands between the agent and dockerd.
#[derive(Default)]
struct Between {
    agent: Option<u32>,
    moment: Option<Moment>,
}

impl Between {
    /// Kills the agent if its moment has come.
    fn strikes(&mut self, request: &str, after: bool) -> bool {
        let hit = self.moment.is_some_and(|moment| {
            let line = request.lines().next().unwrap_or_default();
            let path = line.split([' ', '?']).nth(1).unwrap_or_default();
            line.starts_with(moment.method) && path.ends_with(moment.path) && moment.after == after
        });
        let Some(agent) = self.agent.filter(|_| hit) else {
            return false;
        };
        self.moment = None;
        kill(Pid::from_raw(agent.try_into().unwrap()), Signal::SIGKILL).unwrap();
        true
    }
}

/// Hands every request on, each over a connection of its own.
fn stand_between(socket: &Path) -> Arc<Mutex<Between>> {
    let between = Arc::new(Mutex::new(Between::default()));
    let listener = UnixListener::bind(socket).unwrap();
    let shared = Arc::clone(&between);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            // A connection that breaks is the agent's death, or dockerd's answer to it.
            std::thread::spawn(move || pass_on(stream.unwrap(), &shared).ok());
        }
    });
    between
}

fn pass_on(mut agent: UnixStream, between: &Mutex<Between>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        let count = agent.read(&mut piece)?;
        request.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if count == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").map_or(0, |text| text.parse().unwrap());
    while request.len() < head + length {
        let mut piece = [0; 4096];
        let count = agent.read(&mut piece)?;
        request.extend_from_slice(&piece[..count]);
    }
    if between.lock().unwrap().strikes(&text, false) {
        return Ok(());
    }
    let mut daemon = UnixStream::connect(SOCKET)?;
    let alone = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    daemon.write_all(alone.as_bytes())?;
    daemon.write_all(&request[head..])?;
    let mut piece = [0; 16_384];
    let mut first = true;
    loop {
        let count = daemon.read(&mut piece)?;
        if first && between.lock().unwrap().strikes(&text, true) {
            return Ok(());
        }
        first = false;
        if count == 0 {
            return agent.shutdown(Shutdown::Both);
        }
        agent.write_all(&piece[..count])?;
    }
}

/// The agent's program, its disk, and what it is to do.
struct Host<'a> {
    world: &'a World,
    replica: ReplicaId,
    generation: u64,
    between: Arc<Mutex<Between>>,
    child: Option<Child>,
}

impl Host<'_> {
    fn state_dir(&self) -> PathBuf {
        self.world.dir.path().join("killed")
    }

    /// Writes an assignment into the ledger, as an agent that has accepted it does.
    fn assign(&mut self, want: Want) {
        self.generation += 1;
        let (mut ledger, opened) = Ledger::open(&self.state_dir(), Timestamp(0)).unwrap();
        assert_eq!(opened.damage, None);
        let spec = AppSpec {
            image: self.world.image.clone(),
            resources: Resources {
                cpus_milli: 100,
                mem_mb: 64,
                ..Resources::default()
            },
            backoff_factor: 1,
            backoff_max_ms: 1_000,
            ..AppSpec::default()
        };
        let replica = AssignedReplica {
            instance: "hello_svc.killed".parse().unwrap(),
            app: "hello--svc.killed.git3f2a9c0d.config94232c5b"
                .parse()
                .unwrap(),
            spec: Arc::new(spec),
            run: Arc::new(RunSettings {
                stop_grace_ms: 100,
                ..RunSettings::default()
            }),
            want,
            tried: Tried::default(),
        };
        let mut state = opened.state;
        state
            .accept(Assignment {
                fence: Fence {
                    cluster_id: format!("{}-cluster", self.world.host),
                    epoch: 1,
                    term: 1,
                    generation: self.generation,
                },
                host: self.world.host.parse().unwrap(),
                replicas: [(self.replica, replica)].into(),
            })
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let saved = runtime.unwrap().block_on(ledger.save(&state));
        assert!(saved.unwrap(), "nothing changed");
    }

    fn start(&mut self, moment: Option<Moment>) {
        let child = Command::new(env!("CARGO_BIN_EXE_paasta-agent"))
            .args([
                "run",
                "--address",
                "127.0.0.1",
                "--coordinators",
                "127.0.0.1:1",
            ])
            .args(["--host-id", &self.world.host, "--port-range", "21000-29999"])
            .arg("--docker-socket")
            .arg(self.world.dir.path().join("docker.sock"))
            .arg("--state-dir")
            .arg(self.state_dir())
            .env(
                "PAASTA_SYSTEM_CONFIG_DIR",
                self.state_dir().join("no-such-directory"),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.between.lock().unwrap() = Between {
            agent: Some(child.id()),
            moment,
        };
        self.child = Some(child);
    }

    /// Waits for the agent's death at its moment, or its own.
    fn until_dead(&mut self, what: &str) {
        let child = self.child.as_mut().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "never killed {what}");
            std::thread::yield_now();
            self.world.containers();
        }
        self.child = None;
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The ids of its containers, and whether all of them run.
    fn until_containers(&self, what: &str, holds: impl Fn(&[String], bool) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let ids = self.world.containers();
            let label = format!("label=paasta_host={}", self.world.host);
            let running = docker(&["ps", "-q", "--filter", &label]);
            if holds(&ids, running.lines().count() == ids.len()) {
                return ids;
            }
            assert!(begun.elapsed() < PATIENCE, "never {what}: {ids:?}");
        }
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn killed_before_or_after_any_call_it_goes_on_where_it_was() {
    let world = World::asleep();
    let between = stand_between(&world.dir.path().join("docker.sock"));
    let mut host = Host {
        replica: ReplicaId(world.base),
        world: &world,
        generation: 0,
        between,
        child: None,
    };
    let starting = [
        ("GET", "/containers/json"),
        ("POST", "/containers/create"),
        ("POST", "/start"),
    ];
    let ending = [("GET", "/json"), ("POST", "/stop"), ("DELETE", "")];
    for round in 0..ending.len() * 2 {
        let moment = |of: &[(&'static str, &'static str)]| {
            let (method, path) = of[round / 2 % of.len()];
            Moment {
                method,
                path,
                after: round % 2 == 1,
            }
        };
        let begin = moment(&starting);
        let what = format!("at {} {}, after: {}", begin.method, begin.path, begin.after);
        host.assign(Want::Run);
        host.start(Some(begin));
        host.until_dead(&what);
        let before = host.world.containers();
        assert!(before.len() <= 1, "{what}: {before:?}");
        host.start(None);
        let one = host.until_containers("running", |ids, all| ids.len() == 1 && all);
        assert!(
            before.is_empty() || before == one,
            "{what}: {before:?} became {one:?}"
        );
        host.kill();
        // It stops what runs, however often it has to begin again.
        let end = moment(&ending);
        let what = format!("at {} {}, after: {}", end.method, end.path, end.after);
        host.assign(Want::Stop);
        host.start(Some(end));
        host.until_dead(&what);
        host.start(None);
        host.until_containers("gone", |ids, _| ids.is_empty());
        host.kill();
        // A replica that stopped does not come back: the next round has another.
        host.replica = ReplicaId(host.replica.0 + 1);
    }
}
