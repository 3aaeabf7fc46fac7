//! Mounts that lead elsewhere than they say.

use std::{fs, os::unix::fs::symlink};

use paasta_common::app::Volume;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_allowed_directory_keeps_a_run_from_starting() {
    let mut world = World::new();
    let root = world.dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("allowed/data")).unwrap();
    symlink("/etc", root.join("allowed/link")).unwrap();
    let app = AppSpec {
        volumes: vec![Volume {
            container_path: "/data".to_owned(),
            host_path: root.join("allowed/link").to_string_lossy().into_owned(),
            read_only: true,
        }],
        ..unchecked()
    };
    world.stop().await;
    let mut system = SystemConfig::default();
    let allowed = root.join("allowed").to_string_lossy().into_owned();
    system.allowed_extra_volumes = vec![allowed];
    world.shutdown = CancellationToken::new();
    let parts = Parts {
        mounts: Mounts::new(&system),
        ..parts(&world.engine, world.dir.path())
    };
    world.agent = Agent::start(parts, world.shutdown.clone()).unwrap();
    world.assign(&[(1, Want::Run)], app).await;
    world
        .until_report(1, "refused", |report| {
            report.phase == Phase::BackingOff
                && report.message.contains("allowed/link leads to /etc")
                && report.message.contains("allowed_extra_volumes")
        })
        .await;
    assert_eq!(world.running(), BTreeMap::new());
    // Led back to where it may lead, the next try starts.
    fs::remove_file(root.join("allowed/link")).unwrap();
    symlink("data", root.join("allowed/link")).unwrap();
    world.until_phase(1, Phase::Running).await;
}
