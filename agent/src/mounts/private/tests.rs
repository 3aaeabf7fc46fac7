//! Real mounts; as root, as the agent runs.

use std::os::unix::fs::symlink;

use paasta_agent_core::{
    compose::{RunOf, compose},
    settings::HostSettings,
};
use paasta_common::{
    app::{AppSpec, Volume},
    assignment::{AssignedReplica, Tried, Want},
    config::SystemConfig,
    id::ReplicaId,
    spec::RunSettings,
};

use super::*;

struct World {
    dir: tempfile::TempDir,
    private: PrivateMounts,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("allowed/data")).unwrap();
        fs::write(root.join("allowed/data/f"), "data").unwrap();
        fs::write(root.join("allowed/file"), "file").unwrap();
        symlink("data", root.join("allowed/link")).unwrap();
        let mut system = SystemConfig {
            allowed_extra_volumes: vec![root.join("allowed").display().to_string()],
            ..SystemConfig::default()
        };
        system.agent.docker_socket = "/nonexistent/docker.sock".to_owned();
        let private = PrivateMounts::new(Mounts::new(&system), &root.join("state"));
        Self { dir, private }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn spec(&self, paths: &[&str]) -> ContainerSpec {
        let volume = |(n, path): (usize, &&str)| Volume {
            container_path: format!("/in/{n}"),
            host_path: self.path(path).display().to_string(),
            read_only: false,
        };
        let app = AppSpec {
            volumes: paths.iter().enumerate().map(volume).collect(),
            ..AppSpec::default()
        };
        let replica = AssignedReplica {
            instance: "a.b".parse().unwrap(),
            app: "a.b.git3f2a9c0d.config94232c5b".parse().unwrap(),
            spec: Arc::new(app),
            run: Arc::new(RunSettings::default()),
            want: Want::Run,
            tried: Tried::default(),
        };
        let settings = HostSettings::new("h".parse().unwrap(), "127.0.0.1", "/sandboxes");
        let run = RunOf {
            number: 1,
            host_port: None,
            image_working_dir: None,
        };
        compose(&settings, "c", ReplicaId(1), &replica, run)
    }

    fn mounted(&self) -> usize {
        let root = self.path("state").display().to_string();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().filter(|line| line.contains(&root)).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Before the directory goes: what is mounted would go with it.
        let _ = self.private.trim(&BTreeSet::new());
    }
}

#[test]
fn a_run_is_given_what_was_opened_and_nothing_is_left_behind() {
    let world = World::new();
    let spec = world.spec(&["allowed/link", "allowed/file", "allowed/new"]);
    let prepared = world.private.prepare("r1-1", &spec).unwrap();
    let at: Vec<&Path> = prepared
        .mounts
        .iter()
        .map(|one| Path::new(&one.host_path))
        .collect();
    let ours = at
        .iter()
        .filter(|path| path.starts_with(world.path("state/mounts/r1-1")));
    assert_eq!((ours.count(), world.mounted()), (3, 3));
    let by = |n: usize| {
        let inside = format!("/in/{n}");
        let mut all = prepared.mounts.iter();
        Path::new(
            &all.find(|one| one.container_path == inside)
                .unwrap()
                .host_path,
        )
    };
    // The link may lead elsewhere by now: what is mounted is what was judged.
    fs::remove_file(world.path("allowed/link")).unwrap();
    symlink("/etc", world.path("allowed/link")).unwrap();
    assert_eq!(fs::read_to_string(by(0).join("f")).unwrap(), "data");
    assert_eq!(fs::read_to_string(by(1)).unwrap(), "file");
    fs::write(by(2).join("written"), "").unwrap();
    assert!(world.path("allowed/new/written").exists());
    assert_eq!(
        fs::metadata(world.path("state/mounts")).unwrap().mode() & 0o777,
        0o700
    );
    // The same run again, as after an operation without an answer.
    let again = world
        .private
        .prepare("r1-1", &world.spec(&["allowed/data"]))
        .unwrap();
    assert_eq!(world.mounted(), 1);
    let last = again
        .mounts
        .iter()
        .find(|one| one.container_path == "/in/0")
        .unwrap();
    assert_eq!(
        fs::read_to_string(Path::new(&last.host_path).join("f")).unwrap(),
        "data"
    );
    world.private.release("r1-1");
    assert_eq!(world.mounted(), 0);
    assert!(!world.path("state/mounts/r1-1").exists());
    assert!(world.path("allowed/data/f").exists() && world.path("allowed/new/written").exists());
}

#[test]
fn a_refusal_leaves_nothing_mounted() {
    let world = World::new();
    symlink("/etc", world.path("allowed/out")).unwrap();
    let refused = world
        .private
        .prepare("r1-1", &world.spec(&["allowed/data", "allowed/out"]));
    assert!(
        matches!(refused, Err(MountError::Outside { .. })),
        "{refused:?}"
    );
    assert_eq!(world.mounted(), 0);
}

#[test]
fn what_a_killed_agent_left_is_taken_away_but_for_what_may_still_start() {
    let world = World::new();
    for run in ["r1-1", "r2-1"] {
        world
            .private
            .prepare(run, &world.spec(&["allowed/data"]))
            .unwrap();
    }
    let kept = world.private.trim(&BTreeSet::new()).unwrap();
    assert_eq!(
        (kept, world.mounted()),
        (0, 2),
        "this process may need them"
    );
    // The next process knows of none but what its ledger says.
    let next = PrivateMounts {
        held: Arc::default(),
        ..world.private.clone()
    };
    let starting = BTreeSet::from(["r2-1".to_owned()]);
    assert_eq!((next.trim(&starting).unwrap(), world.mounted()), (1, 1));
    assert_eq!(
        (next.trim(&BTreeSet::new()).unwrap(), world.mounted()),
        (1, 0)
    );
    assert_eq!(next.trim(&BTreeSet::new()).unwrap(), 0);
    assert!(world.path("allowed/data/f").exists());
}

#[test]
fn what_is_mounted_below_is_there_and_stays_where_it_was() {
    let world = World::new();
    let below = world.path("allowed/data/below");
    fs::create_dir(&below).unwrap();
    fs::create_dir(world.path("other")).unwrap();
    fs::write(world.path("other/g"), "below").unwrap();
    mount_bind_recursive(world.path("other"), &below).unwrap();
    // As systemd has it: what is shared is unmounted everywhere.
    let shared = MountPropagationFlags::SHARED;
    mount_change(&below, shared).unwrap();
    let prepared = world
        .private
        .prepare("r1-1", &world.spec(&["allowed/data"]))
        .unwrap();
    let at = prepared
        .mounts
        .iter()
        .find(|one| one.container_path == "/in/0")
        .unwrap();
    let inside = fs::read_to_string(Path::new(&at.host_path).join("below/g"));
    world.private.release("r1-1");
    let stays = fs::read_to_string(below.join("g"));
    unmount(&below, UnmountFlags::DETACH).unwrap();
    assert_eq!(
        (inside.unwrap(), stays.unwrap()),
        ("below".to_owned(), "below".to_owned())
    );
    assert_eq!(world.mounted(), 0);
}
