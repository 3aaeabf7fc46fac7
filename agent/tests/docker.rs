//! The agent on a real dockerd. Every container made here carries a host id of its own, by which
//! it is removed again.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, View},
    engine::{Engine, docker::DockerEngine},
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe, Resources, Ulimit, Volume},
    assignment::{AssignedReplica, Assignment, Fence, Want},
    id::ReplicaId,
    report::{Health, Phase, ReplicaReport},
    spec::RunSettings,
};
use paasta_process::clock::SystemClock;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const SOCKET: &str = "/var/run/docker.sock";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Runs docker and returns what it says; fails the test when docker does.
fn docker(args: &[&str]) -> String {
    let output = Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("these tests need the docker client; install docker.io");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "docker {args:?}: {errors}; is dockerd running?"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The static program of the test image, compiled once.
fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binary = root.join(format!("agent-test-server-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/server.rs");
        let compiled = Command::new("rustc")
            .args(["--edition", "2024", "-C", "opt-level=1"])
            .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
            .args(["--target", "x86_64-unknown-linux-gnu", source, "-o"])
            .arg(&binary)
            .status();
        assert!(
            compiled.unwrap().success(),
            "the test image's program does not compile"
        );
        binary
    })
}

/// A host with an agent and an image of its own; all of it goes with it.
struct World {
    host: String,
    image: String,
    dir: tempfile::TempDir,
    agent: Option<Agent>,
    shutdown: CancellationToken,
    reap_age_ms: u64,
    generation: u64,
    /// Replicas count from here: container names are one space for all that share a dockerd.
    base: u64,
}

impl World {
    fn new(reap_age_ms: u64) -> Self {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("agent-test-{}-{number}", std::process::id());
        let image = format!("localhost/{name}:paasta-0123abc");
        let dir = tempfile::tempdir().unwrap();
        import(server(), dir.path(), &image);
        let mut world = Self {
            host: name,
            image,
            dir,
            agent: None,
            shutdown: CancellationToken::new(),
            reap_age_ms,
            generation: 0,
            base: u64::from(std::process::id()) * 1_000 + u64::from(number) * 10,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.shutdown = CancellationToken::new();
        let sandboxes = self
            .dir
            .path()
            .join("sandboxes")
            .to_string_lossy()
            .into_owned();
        let settings = HostSettings {
            reap_age_ms: self.reap_age_ms,
            ..HostSettings::new(self.host.parse().unwrap(), "127.0.0.1", &sandboxes)
        };
        let parts = Parts {
            engine: Arc::new(DockerEngine::new(SOCKET, "/nonexistent/config.json")),
            clock: Arc::new(SystemClock),
            seed: self.base,
            settings,
            state_dir: self.dir.path().join("state"),
            port_range: (21_000, 29_999),
            max_parallel: 4,
            sandbox_budget_bytes: 1 << 20,
            pace: Pace {
                every: Duration::from_millis(500),
                ..Pace::default()
            },
        };
        self.agent = Some(Agent::start(parts, self.shutdown.clone()).unwrap());
    }

    async fn restart(&mut self) {
        self.shutdown.cancel();
        self.agent.take().unwrap().task.await.unwrap();
        self.start();
    }

    fn minimal(&self) -> AppSpec {
        AppSpec {
            image: self.image.clone(),
            resources: Resources {
                cpus_milli: 250,
                mem_mb: 64,
                ..Resources::default()
            },
            container_port: 8888,
            health: Some(HealthCheck {
                probe: Probe::Http {
                    uri: "/status".to_owned(),
                },
                grace_ms: 30_000,
                interval_ms: 1_000,
                timeout_ms: 2_000,
                max_consecutive_failures: 5,
            }),
            backoff_factor: 2,
            backoff_max_ms: 10_000,
            ..AppSpec::default()
        }
    }

    async fn assign(&mut self, replicas: &[(u64, Want, AppSpec)]) {
        self.generation += 1;
        let run = Arc::new(RunSettings {
            backoff_base_ms: 1_000,
            stop_grace_ms: 2_000,
            registrations: vec!["hello.main".to_owned()],
            ..RunSettings::default()
        });
        let replica = |(id, want, spec): &(u64, Want, AppSpec)| {
            let replica = AssignedReplica {
                instance: "hello_svc.main".parse().unwrap(),
                app: "hello--svc.main.git3f2a9c0d.config94232c5b"
                    .parse()
                    .unwrap(),
                spec: Arc::new(spec.clone()),
                run: Arc::clone(&run),
                want: *want,
            };
            (ReplicaId(self.base + *id), replica)
        };
        let assignment = Assignment {
            fence: Fence {
                cluster_id: format!("{}-cluster", self.host),
                epoch: 1,
                term: 1,
                generation: self.generation,
            },
            host: self.host.parse().unwrap(),
            replicas: replicas.iter().map(replica).collect(),
        };
        let (reply, answer) = oneshot::channel();
        let order = Happened::Order(Order { assignment, reply });
        let inbox = &self.agent.as_ref().unwrap().handle.inbox;
        inbox.send(order).await.unwrap();
        answer.await.unwrap().unwrap();
    }

    async fn until(
        &self,
        id: u64,
        what: &str,
        mut holds: impl FnMut(&ReplicaReport) -> bool,
    ) -> ReplicaReport {
        let mut view = self.agent.as_ref().unwrap().handle.view.clone();
        let id = ReplicaId(self.base + id);
        let holds = |view: &Arc<View>| view.reports.get(&id).is_some_and(&mut holds);
        let waited = timeout(PATIENCE, view.wait_for(holds)).await;
        match waited {
            Ok(view) => view.unwrap().reports[&id].clone(),
            Err(_) => panic!(
                "never {what}: {:#?}",
                self.agent.as_ref().unwrap().handle.view.borrow()
            ),
        }
    }

    async fn until_healthy(&self, id: u64) -> ReplicaReport {
        self.until(id, "healthy", |report| report.health == Health::Healthy)
            .await
    }

    fn inspect(&self, container: &str) -> Value {
        let text = docker(&["inspect", container]);
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }

    /// Ids of all containers of this host, dead ones too.
    fn containers(&self) -> Vec<String> {
        let label = format!("label=paasta_host={}", self.host);
        let ids = docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Waits for something that only docker shows.
    async fn until_docker(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let look = async {
            let mut every = tokio::time::interval(Duration::from_millis(200));
            loop {
                every.tick().await;
                if holds(&self.containers()) {
                    return;
                }
            }
        };
        timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("never {what}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        for name in ["paasta_host", "agent_test"] {
            let label = format!("label={name}={}", self.host);
            let ids = docker(&["ps", "-aq", "--filter", &label]);
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                docker(&[&["rm", "-f", "-v"], &ids[..]].concat());
            }
        }
        docker(&["rmi", "-f", &self.image]);
    }
}

/// An image of one program, under two names.
fn import(binary: &Path, dir: &Path, image: &str) {
    let root = dir.join("image");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy(binary, root.join("server")).unwrap();
    std::fs::copy(binary, root.join("bin/sh")).unwrap();
    let tar = dir.join("image.tar");
    let packed = Command::new("tar")
        .arg("-cf")
        .arg(&tar)
        .arg("-C")
        .arg(&root)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let entrypoint = r#"ENTRYPOINT ["/server"]"#;
    docker(&[
        "import",
        "--change",
        entrypoint,
        &tar.to_string_lossy(),
        image,
    ]);
    std::fs::remove_dir_all(&root).unwrap();
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map_or(String::new(), |(_, body)| body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_the_flags_of_paasta() {
    let mut world = World::new(3_600_000);
    let minimal = world.minimal();
    let shared = world.dir.path().join("configs");
    std::fs::create_dir(&shared).unwrap();
    let full = AppSpec {
        resources: Resources {
            cpus_milli: 500,
            mem_mb: 96,
            ..Resources::default()
        },
        cpu_burst_milli: 1_000,
        cfs_period_us: 50_000,
        args: vec!["--verbose".to_owned()],
        env: BTreeMap::from([
            ("PAASTA_SERVICE".to_owned(), "hello_svc".to_owned()),
            ("MARATHON_HOST".to_owned(), "the user's".to_owned()),
        ]),
        volumes: vec![Volume {
            container_path: "/nail/etc".to_owned(),
            host_path: shared.to_string_lossy().into_owned(),
            read_only: true,
        }],
        ulimits: BTreeMap::from([(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: Some(2048),
            },
        )]),
        cap_add: vec!["CHOWN".to_owned()],
        ..minimal.clone()
    };
    let shell = AppSpec {
        cmd: Some("serve in a shell".to_owned()),
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "exit 0".to_owned(),
            },
            ..minimal.health.clone().unwrap()
        }),
        ..minimal.clone()
    };
    let wanted = [
        (1, Want::Run, minimal),
        (2, Want::Run, full),
        (3, Want::Run, shell),
    ];
    world.assign(&wanted).await;
    let mut reports = Vec::new();
    for id in 1..=3 {
        reports.push(world.until_healthy(id).await);
    }
    let inspected: Vec<Value> = reports
        .iter()
        .map(|report| world.inspect(report.container.as_deref().unwrap()))
        .collect();
    for (found, report) in inspected.iter().zip(&reports) {
        the_same_for_all(&world, found, report);
    }
    let cases: [(usize, &str, Value); 17] = [
        (0, "/HostConfig/CpuShares", json!(256)),
        (0, "/HostConfig/CpuPeriod", json!(100_000)),
        (0, "/HostConfig/CpuQuota", json!(25_000)),
        (0, "/HostConfig/Memory", json!(64 << 20)),
        (0, "/HostConfig/MemorySwap", json!(128 << 20)),
        (0, "/Args", json!([])),
        (0, "/HostConfig/Ulimits", json!([])),
        (1, "/HostConfig/CpuShares", json!(512)),
        (1, "/HostConfig/CpuPeriod", json!(50_000)),
        (1, "/HostConfig/CpuQuota", json!(75_000)),
        (1, "/HostConfig/Memory", json!(96 << 20)),
        (1, "/HostConfig/MemorySwap", json!(160 << 20)),
        (1, "/Args", json!(["--verbose"])),
        (
            1,
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ),
        (1, "/HostConfig/CapAdd", json!(["CHOWN"])),
        (2, "/Path", json!("/bin/sh")),
        (2, "/Args", json!(["-c", "serve in a shell"])),
    ];
    for (which, path, expected) in cases {
        assert_eq!(
            inspected[which].pointer(path),
            Some(&expected),
            "{which} {path}"
        );
    }
    let drops = inspected[1]["HostConfig"]["CapDrop"].as_array().unwrap();
    assert!(
        drops.len() == 13 && !drops.contains(&json!("CHOWN")),
        "{drops:?}"
    );
    assert_eq!(
        inspected[0]["HostConfig"]["CapDrop"]
            .as_array()
            .unwrap()
            .len(),
        14
    );
    let mounted = inspected[1]["Mounts"].as_array().unwrap().iter();
    let mut mounted: Vec<_> = mounted
        .map(|mount| {
            (
                mount["Destination"].as_str().unwrap(),
                mount["RW"].as_bool().unwrap(),
            )
        })
        .collect();
    mounted.sort_unstable();
    assert_eq!(
        mounted,
        [("/mnt/mesos/sandbox", true), ("/nail/etc", false)]
    );
    inside(&world, &reports[1]);
}

fn the_same_for_all(world: &World, found: &Value, report: &ReplicaReport) {
    let port = report.host_port.unwrap().to_string();
    let name = format!("/paasta-hello_svc.main-{}-1", report.id);
    for (path, expected) in [
        ("/Name", json!(name)),
        ("/Config/Image", json!(world.image)),
        ("/Config/Tty", json!(false)),
        ("/Config/WorkingDir", json!("/mnt/mesos/sandbox")),
        ("/Config/StopTimeout", json!(2)),
        (
            "/Config/Hostname",
            json!(format!("{}-{}-1", world.host, report.id)),
        ),
        ("/Config/Labels/paasta_service", json!("hello_svc")),
        ("/Config/Labels/paasta_instance", json!("main")),
        ("/Config/Labels/paasta_host", json!(world.host)),
        (
            "/Config/Labels/paasta_replica",
            json!(report.id.to_string()),
        ),
        ("/Config/Labels/paasta_run", json!("1")),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/RestartPolicy/Name", json!("no")),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/HostConfig/LogConfig/Config/max-file", json!("5")),
        (
            "/HostConfig/PortBindings",
            json!({"8888/tcp": [{"HostIp": "", "HostPort": port}]}),
        ),
    ] {
        assert_eq!(found.pointer(path), Some(&expected), "{} {path}", report.id);
    }
}

/// What the program itself sees.
fn inside(world: &World, report: &ReplicaReport) {
    let port = report.host_port.unwrap();
    let env = get(port, "/env");
    for line in [
        format!("MARATHON_PORT={port}"),
        format!("MARATHON_PORT_8888={port}"),
        "MARATHON_HOST=the user's".to_owned(),
        "HOST=127.0.0.1".to_owned(),
        "PAASTA_SERVICE=hello_svc".to_owned(),
        "MESOS_SANDBOX=/mnt/mesos/sandbox".to_owned(),
    ] {
        assert!(
            env.lines().any(|held| held == line),
            "{line} is not in {env}"
        );
    }
    assert_eq!(get(port, "/write"), "/mnt/mesos/sandbox");
    let note = world
        .dir
        .path()
        .join(format!("sandboxes/{}-1/note", report.id));
    assert_eq!(std::fs::read_to_string(note).unwrap(), "written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_is_replaced_and_a_new_agent_touches_nothing() {
    let mut world = World::new(3_600_000);
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, app.clone()), (2, Want::Run, app.clone())])
        .await;
    let first = world.until_healthy(1).await;
    let other = world.until_healthy(2).await;
    // It answers nothing when it is told to exit.
    get(first.host_port.unwrap(), "/exit/3");
    let failed = world
        .until(1, "failed", |report| report.failures == 1)
        .await;
    assert!(failed.next_try_at.is_some());
    let second = world
        .until(1, "replaced", |report| {
            report.run == 2 && report.health == Health::Healthy
        })
        .await;
    assert!(second.message.contains("exit code 3"), "{}", second.message);
    assert!(
        second.message.contains("told to exit"),
        "{}",
        second.message
    );
    assert_ne!(
        (second.container.as_ref(), second.host_port),
        (first.container.as_ref(), first.host_port)
    );
    let kept = world
        .dir
        .path()
        .join(format!("sandboxes/{}-1/stdout", first.id));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "serving with []\n");
    docker(&["kill", other.container.as_deref().unwrap()]);
    let killed = world
        .until(2, "replaced", |report| {
            report.run == 2 && report.health == Health::Healthy
        })
        .await;
    assert!(
        killed.message.contains("exit code 137"),
        "{}",
        killed.message
    );
    assert_eq!(world.containers().len(), 2, "dead containers are removed");

    let mut before = world.containers();
    world.restart().await;
    for (id, was) in [(1, &second), (2, &killed)] {
        let now = world.until_healthy(id).await;
        assert_eq!(
            (&now.container, now.host_port, now.run),
            (&was.container, was.host_port, 2)
        );
    }
    let mut after = world.containers();
    before.sort();
    after.sort();
    assert_eq!(after, before);

    world
        .assign(&[(1, Want::Stop, app.clone()), (2, Want::Run, app)])
        .await;
    world
        .until(1, "gone", |report| report.phase == Phase::Gone)
        .await;
    assert_eq!(world.containers(), [killed.container.unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_reaped_and_strangers_live() {
    let mut world = World::new(1_000);
    let (host, cluster) = (world.host.clone(), format!("{}-cluster", world.host));
    let run = |labels: &[(&str, &str)]| {
        let mut args = vec!["run".to_owned(), "-d".to_owned()];
        args.extend(["--label".to_owned(), format!("agent_test={}", world.host)]);
        for (name, value) in labels {
            args.extend(["--label".to_owned(), format!("{name}={value}")]);
        }
        args.push(world.image.clone());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        docker(&args)
    };
    let ours = [
        ("paasta_cluster", cluster.as_str()),
        ("paasta_host", host.as_str()),
    ];
    let orphan = run(&[&ours[..], &[("paasta_replica", "r99"), ("paasta_run", "1")]].concat());
    let stranger = run(&[]);
    let other_cluster = run(&[
        ("paasta_cluster", "other"),
        ours[1],
        ("paasta_replica", "r99"),
    ]);
    let other_host = run(&[ours[0], ("paasta_host", "other-host-of-test")]);
    let is_there = |ids: &[String], id: &String| ids.contains(id);
    world.until_docker("listed", |ids| ids.len() == 2).await;
    assert!(
        is_there(&world.containers(), &orphan),
        "not before an assignment is accepted"
    );
    let app = world.minimal();
    world.assign(&[(1, Want::Run, app)]).await;
    let serving = world.until_healthy(1).await.container.unwrap();
    world
        .until_docker("reaped", |ids| !is_there(ids, &orphan))
        .await;
    let all = docker(&["ps", "-q", "--no-trunc"]);
    for alive in [&stranger, &other_cluster, &other_host, &serving] {
        assert!(all.lines().any(|id| id == alive), "{alive} was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_made_is_found_and_a_missing_image_has_the_daemons_words() {
    let mut world = World::new(3_600_000);
    let missing = AppSpec {
        image: "localhost:1/services-none:paasta-0123abc".to_owned(),
        ..world.minimal()
    };
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, missing), (2, Want::Run, app)])
        .await;
    let waiting = world
        .until(1, "waiting", |report| report.phase == Phase::BackingOff)
        .await;
    assert!(
        waiting.message.contains("localhost:1"),
        "{}",
        waiting.message
    );
    let report = world.until_healthy(2).await;
    assert_eq!(report.run, 1, "{}", report.message);
    // Asked once more, as after an answer that was lost: the same container, not a second one.
    let engine = DockerEngine::new(SOCKET, "/nonexistent/config.json");
    let seen = engine.list(&world.host).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].host_port, report.host_port);
    let settings = HostSettings::new(
        world.host.parse().unwrap(),
        "127.0.0.1",
        &world.dir.path().join("sandboxes").to_string_lossy(),
    );
    let replica = AssignedReplica {
        instance: "hello_svc.main".parse().unwrap(),
        app: "hello--svc.main.git3f2a9c0d.config94232c5b"
            .parse()
            .unwrap(),
        spec: Arc::new(world.minimal()),
        run: Arc::new(RunSettings::default()),
        want: Want::Run,
    };
    let run = paasta_agent_core::compose::RunOf {
        number: 1,
        host_port: report.host_port,
    };
    let cluster = format!("{}-cluster", world.host);
    let spec = paasta_agent_core::compose::compose(&settings, &cluster, report.id, &replica, run);
    assert_eq!(
        engine.create(&spec).await.unwrap(),
        report.container.unwrap()
    );
    let mut another = spec;
    another
        .labels
        .insert("paasta_cluster".to_owned(), "other".to_owned());
    assert!(
        engine.create(&another).await.is_err(),
        "a stranger of that name is not taken over"
    );
}
