//! Runs that use more disk than their limit, on a real dockerd. Nothing is written but by the
//! containers of these tests, and that is small.

use paasta_agent::engine::{Engine, docker::DockerEngine};
use paasta_common::{
    app::AppSpec,
    assignment::Want,
    disk::DiskLimits,
    report::{EndCause, Phase, ReplicaReport, Trouble},
};

use crate::{
    truth::Busybox,
    world::{SOCKET, World},
};

const LIMIT_MB: u64 = 16;

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
