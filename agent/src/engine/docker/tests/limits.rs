//! The limit of a writable layer reaches dockerd where its driver has one, and is left out elsewhere;
//! a removal that goes on already is waited for.

use paasta_agent_core::compose::{RunOf, compose};

use super::*;

fn spec(run: u64, disk_limit_mb: u64) -> ContainerSpec {
    let held = assignment(1, &[(1, Want::Run)], app());
    let settings = HostSettings::new("host1".parse().unwrap(), "127.0.0.1", "/sandboxes");
    let of = RunOf {
        number: run,
        host_port: None,
        image_working_dir: None,
    };
    let replica = &held.replicas[&ReplicaId(1)];
    ContainerSpec {
        disk_limit_mb,
        ..compose(&settings, "c1", ReplicaId(1), replica, of)
    }
}

#[tokio::test]
async fn a_limit_is_passed_where_the_driver_has_one_and_left_out_where_it_refuses() {
    for (storage, limit_mb, passed, asked) in [
        (("overlay2", "xfs", true), 64, Some("64m"), 2),
        (("btrfs", "", true), 64, Some("64m"), 2),
        // No project quotas: refused once, and not tried again.
        (("overlay2", "xfs", false), 64, None, 3),
        (("overlay2", "extfs", false), 64, None, 2),
        (("zfs", "", true), 0, None, 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Adversary::start(dir.path());
        daemon.keep_in(storage);
        let engine = DockerEngine::new(&daemon.socket, "/nonexistent");
        for run in [1, 2] {
            engine.create(&spec(run, limit_mb)).await.unwrap();
        }
        let (made, looks) = (daemon.asked(Route::Create), daemon.asked(Route::Info));
        // A measurement of the disk forgets nothing of it.
        engine.storage().await.unwrap();
        engine.create(&spec(3, limit_mb)).await.unwrap();
        assert_eq!(daemon.asked(Route::Create), made + 1, "{storage:?}");
        let held = daemon.held();
        let sizes: Vec<_> = held.values().map(|held| held.size.as_deref()).collect();
        assert_eq!(sizes, [passed, passed, passed], "{storage:?}");
        assert_eq!(made, asked, "{storage:?}");
        assert_eq!(looks, u64::from(limit_mb > 0));
    }
}

#[tokio::test]
async fn a_daemon_that_says_nothing_of_its_storage_makes_containers_without_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Adversary::start(dir.path());
    daemon.keep_in(("zfs", "", true));
    let engine = DockerEngine::new(&daemon.socket, "/nonexistent");
    daemon.fail(Route::Info, Fault::Refuse);
    engine.create(&spec(1, 64)).await.unwrap();
    daemon.heal();
    engine.create(&spec(2, 64)).await.unwrap();
    let held = daemon.held();
    let sizes: Vec<_> = held.values().map(|held| held.size.clone()).collect();
    assert_eq!(sizes, [None, Some("64m".to_owned())]);
    let storage = engine.storage().await.unwrap();
    assert!(storage.space.is_some());
    assert_eq!(
        (storage.driver.as_str(), storage.root.as_str()),
        ("zfs", "/")
    );
}

#[tokio::test]
async fn a_removal_that_goes_on_already_is_waited_for_and_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Adversary::start(dir.path());
    let engine = DockerEngine::new(&daemon.socket, "/nonexistent");
    let id = engine.create(&spec(1, 0)).await.unwrap();
    daemon.fail(Route::Remove, Fault::GoesOn);
    engine.remove(&id).await.unwrap();
    assert_eq!(daemon.held().len(), 0);
    assert_eq!(daemon.asked(Route::Remove), 1);
    assert_eq!(daemon.asked(Route::Inspect), 3);
}
