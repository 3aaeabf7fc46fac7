//! Extra volumes on a real dockerd: what a container sees is what was judged, whatever becomes of
//! the path meanwhile, and nothing stays mounted for it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use paasta_agent::{
    engine::{Engine, docker::DockerEngine},
    mounts::{MountError, Mounts, private::PrivateMounts},
};
use paasta_agent_core::compose::{RunOf, compose};
use paasta_common::{
    app::{AppSpec, Volume},
    assignment::{AssignedReplica, Tried, Want},
    config::SystemConfig,
    container::ContainerSpec,
    id::ReplicaId,
    report::ReplicaReport,
    spec::RunSettings,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::world::{SOCKET, World};

/// Seconds of the race; `PAASTA_RACE_SECONDS` makes it longer.
const RACE_SECONDS: u64 = 60;
/// Where the volume is in the container.
const INSIDE: &str = "/data";

/// Directories `allowed/inside` and `outside`, each with a file that says which it is.
fn directories(world: &World) -> PathBuf {
    let root = world.dir.path().canonicalize().unwrap();
    for (directory, text) in [("allowed/inside", "inside"), ("outside", "OUTSIDE")] {
        fs::create_dir_all(root.join(directory)).unwrap();
        fs::write(root.join(directory).join("mark"), text).unwrap();
    }
    root
}

fn allowed(root: &Path) -> Mounts {
    let mut system = SystemConfig {
        allowed_extra_volumes: vec![root.join("allowed").display().to_string()],
        ..SystemConfig::default()
    };
    system.agent.docker_socket = SOCKET.to_owned();
    Mounts::new(&system)
}

fn app(world: &World, path: &Path) -> AppSpec {
    AppSpec {
        volumes: vec![Volume {
            container_path: INSIDE.to_owned(),
            host_path: path.display().to_string(),
            read_only: false,
        }],
        ..world.minimal()
    }
}

fn spec(world: &World, path: &Path, run: u64) -> ContainerSpec {
    let replica = AssignedReplica {
        instance: "hello_svc.main".parse().unwrap(),
        app: "hello--svc.main.git3f2a9c0d.config94232c5b"
            .parse()
            .unwrap(),
        spec: Arc::new(app(world, path)),
        run: Arc::new(RunSettings::default()),
        want: Want::Run,
        tried: Tried::default(),
    };
    let run = RunOf {
        number: run,
        host_port: Some(20_999),
        image_working_dir: None,
    };
    let settings = world.settings();
    let mut spec = compose(&settings, "race", ReplicaId(world.base), &replica, run);
    // Many one after the other: the port may not be free at once.
    spec.ports.clear();
    // The sandbox is made by who runs it.
    spec.mounts.retain(|mount| mount.container_path == INSIDE);
    spec
}

/// What a container sees in the file.
fn seen_in(world: &World, container: &str, file: &str) -> String {
    let pid = world.inspect(container)["State"]["Pid"].as_u64().unwrap();
    let path = format!("/proc/{pid}/root{INSIDE}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn source(prepared: &ContainerSpec) -> PathBuf {
    let mut mounts = prepared.mounts.iter();
    let ours = mounts.find(|one| one.container_path == INSIDE).unwrap();
    PathBuf::from(&ours.host_path)
}

/// Mounts of this machine below the directory.
fn mounted(below: &Path) -> Vec<String> {
    let (table, below) = (
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
        below.display(),
    );
    let below = below.to_string();
    let lines = table.lines().filter(|line| line.contains(&below));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_all_the_time_never_leads_out() {
    let world = World::asleep();
    let root = directories(&world);
    let (path, link) = (root.join("allowed/inside"), root.join("allowed/link"));
    symlink(root.join("outside"), &link).unwrap();
    let private = PrivateMounts::new(allowed(&root), &root.join("state"));
    let engine = DockerEngine::new(SOCKET, "/nonexistent/config.json");
    let (racing, swaps) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let swapper = thread::spawn({
        let (racing, swaps, path, link) = (racing.clone(), swaps.clone(), path.clone(), link);
        move || {
            while racing.load(Ordering::Relaxed) {
                renameat_with(CWD, &path, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let seconds = std::env::var("PAASTA_RACE_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(RACE_SECONDS));
    let (mut judged, mut refused, mut changed, mut containers, mut run) = (0, 0, 0, 0, 0);
    let mut outside = Vec::new();
    while Instant::now() < until {
        run += 1;
        let name = format!("r{}-{run}", world.base);
        let prepared = match private.prepare(&name, &spec(&world, &path, run)) {
            Ok(prepared) => prepared,
            Err(MountError::Outside { .. }) => {
                refused += 1;
                continue;
            }
            Err(MountError::Changed { .. } | MountError::Unknown { .. }) => {
                changed += 1;
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        judged += 1;
        let mark = fs::read_to_string(source(&prepared).join("mark")).unwrap();
        outside.extend((mark != "inside").then_some(run));
        // A container costs a second; most rounds look at the mount alone.
        if judged % 100 == 1 {
            let id = engine.create(&prepared).await.unwrap();
            engine.start(&id).await.unwrap();
            private.release(&name);
            let mark = seen_in(&world, &id, "mark");
            outside.extend((mark != "inside").then_some(run));
            engine.remove(&id).await.unwrap();
            containers += 1;
        }
        private.release(&name);
    }
    racing.store(false, Ordering::Relaxed);
    swapper.join().unwrap();
    let swaps = swaps.load(Ordering::Relaxed);
    println!(
        "{swaps} swaps, {judged} mounts, {containers} containers, {refused} refused, {changed} \
         changed meanwhile"
    );
    assert_eq!(outside, Vec::<u64>::new());
    assert!(judged > 100 && containers > 3 && refused > 100 && swaps > 10_000);
    assert_eq!(mounted(&root), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_keeps_its_volume_and_the_host_keeps_no_mount() {
    let mut world = World::asleep();
    let root = directories(&world);
    symlink("inside", root.join("allowed/link")).unwrap();
    world.mounts = allowed(&root);
    world.start();
    let app = app(&world, &root.join("allowed/link"));
    world.assign(&[(1, Want::Run, app)]).await;
    let first = world.until_healthy(1).await;
    let look = |world: &World, report: &ReplicaReport| {
        let container = report.container.clone().unwrap();
        assert_eq!(seen_in(world, &container, "mark"), "inside");
        let source = &world.inspect(&container)["HostConfig"]["Binds"].to_string();
        assert!(source.contains("state/mounts/r"), "{source}");
        assert_eq!(mounted(&root), Vec::<String>::new());
    };
    look(&world, &first);
    // What leads elsewhere by now is nothing to what runs, nor is a new agent.
    fs::remove_file(root.join("allowed/link")).unwrap();
    symlink(root.join("outside"), root.join("allowed/link")).unwrap();
    world.restart().await;
    let second = world.until_healthy(1).await;
    assert_eq!(first.container, second.container);
    look(&world, &second);
    fs::write(root.join("allowed/inside/later"), "shared").unwrap();
    let container = second.container.unwrap();
    assert_eq!(seen_in(&world, &container, "later"), "shared");
}
