//! Runs that use more disk than their limit, on a real dockerd. Nothing is written but by the
//! containers of these tests, and that is small.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use paasta_agent::engine::{Engine, docker::DockerEngine};
use paasta_common::{
    app::{AppSpec, NetworkMode},
    assignment::Want,
    disk::DiskLimits,
    report::{EndCause, Phase, ReplicaReport, Trouble},
};

use crate::{
    restarted::Daemons,
    truth::{Busybox, pack},
    world::{SOCKET, World},
};

const LIMIT_MB: u64 = 16;
/// The image in a dockerd of its own.
const LIMITED: &str = "localhost/limited:paasta-0123abc";

/// Writes so many MiB to a file of that name, and goes on.
fn writing(image: &Busybox, world: &World, file: &str, mib: u64) -> AppSpec {
    let cmd = format!("dd if=/dev/zero of={file} bs=1M count={mib} && exec sleep 1000");
    let mut app = image.app(world, &cmd);
    app.resources.disk_mb = LIMIT_MB;
    app
}

fn over_disk(report: &ReplicaReport) -> Option<(u64, u64)> {
    match report.last_end.as_ref()?.cause {
        EndCause::OverDisk { used_mb, limit_mb } => Some((used_mb, limit_mb)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_its_disk_limit_is_ended_wherever_it_writes_and_one_below_it_lives() {
    let mut world = World::new(3_600_000);
    let image = Busybox::new(&world, &[], &[]);
    let layer = writing(&image, &world, "/tmp/file", 40);
    let sandbox = writing(&image, &world, "$MESOS_SANDBOX/file", 40);
    let below = writing(&image, &world, "/tmp/file", 4);
    world
        .assign(&[
            (1, Want::Run, layer),
            (2, Want::Run, sandbox),
            (3, Want::Run, below),
        ])
        .await;
    for id in [1, 2] {
        let ended = |report: &ReplicaReport| {
            let end = report.last_end.as_ref();
            over_disk(report).is_some() && end.is_some_and(|end| end.exit_code.is_some())
        };
        let report = world.until(id, "ended for its disk", ended).await;
        let (used_mb, limit_mb) = over_disk(&report).unwrap();
        assert!((40..=44).contains(&used_mb), "{id}: {used_mb} MiB");
        assert_eq!(limit_mb, LIMIT_MB);
        let words = format!("used {used_mb} MiB of disk, its limit is {LIMIT_MB} MiB");
        let said = report.last_end.unwrap().to_string();
        assert!(said.contains(&words), "{id}: {said}");
        assert!(report.message.contains(&words), "{id}: {}", report.message);
        assert!(report.troubles.of(Trouble::OverDisk) >= 1);
        assert_eq!(report.troubles.of(Trouble::Exited), 0);
        // The next run comes after the usual backoff, and fails in the same way.
        world
            .until(id, "ended a second time", |report| {
                report.troubles.of(Trouble::OverDisk) >= 2
            })
            .await;
    }
    let report = world.until(3, "running", |_| true).await;
    assert_eq!(
        (report.phase, report.run, report.failures),
        (Phase::Running, 1, 0),
        "{}",
        report.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_for_the_storage_driver_starts_containers_whatever_the_driver_can() {
    let mut world = World::asleep();
    world.disk_limits = DiskLimits::StorageDriver;
    world.start();
    let image = Busybox::new(&world, &[], &[]);
    let below = writing(&image, &world, "/tmp/file", 4);
    world.assign(&[(1, Want::Run, below)]).await;
    let report = world
        .until(1, "running", |report| report.phase == Phase::Running)
        .await;
    let container = report.container.unwrap();
    let engine = DockerEngine::new(SOCKET, "/nonexistent/config.json");
    let storage = engine.storage().await.unwrap();
    assert!(!storage.driver.is_empty(), "{storage:?}");
    assert!(storage.root.starts_with('/'), "{storage:?}");
    let limit = world.inspect(&container)["HostConfig"]["StorageOpt"]["size"].clone();
    if limit.is_null() {
        // A driver without limits, or a file system without project quotas.
        assert!(
            !storage.can_limit() || storage.driver == "overlay2",
            "{storage:?}"
        );
    } else {
        assert_eq!(limit, format!("{LIMIT_MB}m"));
    }
    assert!(engine.layer_bytes(&container).await.unwrap() < 64 << 20);
}

/// A btrfs file system in a file, unmounted when it is dropped.
struct Btrfs(PathBuf);

impl Btrfs {
    fn mount(file: &Path, at: &Path) -> Self {
        File::create(file).unwrap().set_len(512 << 20).unwrap();
        fs::create_dir(at).unwrap();
        let words = [file, at];
        for (program, options, words) in [
            ("mkfs.btrfs", &["-q"][..], &words[..1]),
            ("mount", &["-o", "loop"][..], &words[..]),
        ] {
            let output = Command::new(program).args(options).args(words).output();
            let output = output.unwrap_or_else(|error| {
                panic!("this test needs {program}: run deploy/demo/install.sh: {error}")
            });
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}, as root: {errors}");
        }
        Self(at.to_owned())
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        // A dockerd mounts its directory on itself, and unmounts it or not.
        let at = self.0.display().to_string();
        let mounts = || fs::read_to_string("/proc/mounts").unwrap();
        let mounted = || {
            mounts()
                .lines()
                .any(|line| line.split(' ').nth(1) == Some(&at))
        };
        for _ in 0..3 {
            if mounted() {
                let _ = Command::new("umount").arg("-l").arg(&at).status();
            }
        }
        assert!(std::thread::panicking() || !mounted(), "{at} stays mounted");
    }
}

/// Tries to write so many MiB to a file of that name, keeps the exit code, and goes on.
fn limited(world: &World, file: &str, mib: u64) -> AppSpec {
    let mut app = world.minimal();
    app.image = LIMITED.to_owned();
    app.health = None;
    app.net = NetworkMode::None;
    app.resources.disk_mb = LIMIT_MB;
    app.cmd = Some(format!(
        "dd if=/dev/zero of={file} bs=1M count={mib}; echo $? >$MESOS_SANDBOX/code; \
         exec sleep 1000"
    ));
    app
}

/// The storage driver of a dockerd of its own keeps its data on btrfs, which has quotas.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_driver_with_quotas_refuses_a_write_over_the_limit_and_the_run_lives() {
    // Short, as the paths of sockets are bounded.
    let dir = tempfile::Builder::new()
        .prefix("pa-")
        .tempdir_in("/tmp")
        .unwrap();
    let _disk = Btrfs::mount(&dir.path().join("disk"), &dir.path().join("data"));
    let daemons = Daemons::start(dir.path(), "btrfs");
    let tar = pack(dir.path(), &[]);
    let (imported, said) = daemons.docker(&["import", &tar.to_string_lossy(), LIMITED]);
    assert!(imported, "{said}");
    let mut world = World::asleep();
    world.disk_limits = DiskLimits::StorageDriver;
    world.socket = dir.path().join("docker.sock").display().to_string();
    world.start();
    let apps = [
        limited(&world, "/tmp/file", 40),
        limited(&world, "/tmp/file", 4),
    ];
    let replicas: Vec<_> = (1..)
        .zip(apps)
        .map(|(id, app)| (id, Want::Run, app))
        .collect();
    world.assign(&replicas).await;
    for (id, code) in [(1, "1\n"), (2, "0\n")] {
        let report = world
            .until(id, "running", |report| report.phase == Phase::Running)
            .await;
        let written = world
            .dir
            .path()
            .join(format!("sandboxes/{}-1/code", report.id));
        crate::truth::until("the write ended", || {
            fs::read_to_string(&written).is_ok_and(|text| text == code)
        })
        .await;
        let container = report.container.unwrap();
        let (_, size) = daemons.docker(&[
            "inspect",
            "--format={{index .HostConfig.StorageOpt \"size\"}}",
            &container,
        ]);
        assert_eq!(size, format!("{LIMIT_MB}m"));
    }
    // Several measurements later both go on, as neither is over its limit.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    for id in [1, 2] {
        let report = world.until(id, "running", |_| true).await;
        assert_eq!(
            (report.phase, report.run, report.failures),
            (Phase::Running, 1, 0),
            "{}",
            report.message
        );
    }
    // No driver counts the sandbox: the agent does.
    let sandbox = limited(&world, "$MESOS_SANDBOX/file", 40);
    world.assign(&[(3, Want::Run, sandbox)]).await;
    world
        .until(3, "ended for its disk", |report| {
            over_disk(report).is_some()
        })
        .await;
    world.stop().await;
}
