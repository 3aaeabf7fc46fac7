//! Disks without room: ext4 file systems of 96 MiB, one for each coordinator, really filled.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{CoordinatorStatus, DataSpace};
use paasta_tests::{
    http,
    loopback::{Loopback, LoopbackOptions, SmallDisk},
    run::eventually,
};

/// Of such a file system a quarter is the reserve, at most 24 MiB.
const DISK_MIB: u64 = 96;
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(90);

fn cluster(name: &'static str) -> Loopback {
    let up = Loopback::up(LoopbackOptions {
        name,
        disks_mib: &[DISK_MIB; 3],
        settings: "snapshot_every: 100",
        files: None,
        git: false,
    });
    up.unwrap()
}

fn disk(cluster: &Loopback, id: usize) -> &SmallDisk {
    cluster.disks[id - 1].as_ref().unwrap()
}

fn coordinator(cluster: &Loopback, id: usize) -> Result<CoordinatorStatus> {
    let all = cluster.operator.metastatus()?.coordinators;
    let one = all.into_iter().find(|one| one.id == id as u64);
    one.context("it is no member")
}

fn wait_space(cluster: &Loopback, id: usize, space: DataSpace) -> Result<()> {
    eventually(SOON, &format!("coordinator {id} says {space:?}"), || {
        let said = coordinator(cluster, id)?.data_space();
        ensure!(said == space, "it says {said:?}");
        Ok(())
    })
}

fn wait_instances(cluster: &Loopback, count: u32) -> Result<()> {
    eventually(SOON, &format!("there are {count} instances"), || {
        let found = cluster.operator.metastatus()?;
        let (known, error) = (found.instances, found.desired_error);
        ensure!(known == count, "there are {known}; {error}");
        Ok(())
    })
}

fn wait_caught_up(cluster: &Loopback, id: usize, leader: usize) -> Result<()> {
    eventually(SOON, &format!("coordinator {id} has caught up"), || {
        let of = |id| cluster.metric(id, "paasta_raft_applied_index");
        let (own, leaders) = (of(id)?, of(leader)?);
        ensure!(own >= leaders, "it is at {own}, the leader at {leaders}");
        Ok(())
    })
}

#[test]
fn a_follower_without_room_goes_on_without_snapshots_and_mends_itself() {
    let cluster = cluster("snapshots");
    cluster.declare("one", 20, 'a').unwrap();
    wait_instances(&cluster, 20).unwrap();
    let leader = cluster.leader(SOON).unwrap();
    let full = leader % 3 + 1;
    disk(&cluster, full).fill(5 * MIB).unwrap();
    wait_space(&cluster, full, DataSpace::Full).unwrap();
    let said = cluster.operator.paasta(&["metastatus"]).unwrap();
    assert!(
        said.stdout.contains("Data Directories") && said.stdout.contains("is nearly full"),
        "{said:?}"
    );
    assert_ne!(said.code, Some(0), "{said:?}");
    eventually(SOON, "there is an event", || {
        let events = cluster.operator.succeed(&["events"])?;
        let line = format!("coordinator {full}: ");
        ensure!(events.contains(&line), "{events}");
        Ok(())
    })
    .unwrap();

    // One of three does not hold the others back, and the log needs little.
    cluster.declare("one", 400, 'a').unwrap();
    wait_instances(&cluster, 400).unwrap();
    wait_caught_up(&cluster, full, leader).unwrap();
    eventually(SOON, "its snapshot fails", || {
        let failing = cluster.metric(full, "paasta_snapshot_failing")?;
        ensure!(failing == 1.0, "{failing}");
        Ok(())
    })
    .unwrap();
    eventually(SOON, "it is well", || {
        http::get(cluster.http(full), "/healthz")
    })
    .unwrap();
    let stale = eventually(SOON, "its snapshot is known", || {
        cluster.metric(full, "paasta_raft_snapshot_index")
    })
    .unwrap();
    eventually(SOON, "it is told of", || {
        let one = coordinator(&cluster, full)?;
        ensure!(one.snapshot_error.contains("leaves"), "{one:?}");
        Ok(())
    })
    .unwrap();

    disk(&cluster, full).give_back().unwrap();
    eventually(SOON * 2, "a snapshot is written again", || {
        let failing = cluster.metric(full, "paasta_snapshot_failing")?;
        let newest = cluster.metric(full, "paasta_raft_snapshot_index")?;
        ensure!(failing == 0.0 && newest > stale, "{failing}, {newest}");
        Ok(())
    })
    .unwrap();
    wait_space(&cluster, full, DataSpace::Ok).unwrap();
    let log = cluster.logged(full).unwrap();
    assert!(!log.contains("consensus has ended"), "{log}");
}

#[test]
fn a_follower_whose_log_has_no_room_ends_and_comes_back() {
    let mut cluster = cluster("log");
    cluster.declare("one", 20, 'a').unwrap();
    wait_instances(&cluster, 20).unwrap();
    let leader = cluster.leader(SOON).unwrap();
    let full = leader % 3 + 1;
    disk(&cluster, full).fill(0).unwrap();
    // Large enough that the log needs blocks that the file system does not have.
    cluster.declare("one", 800, 'a').unwrap();
    let status = cluster.ended(full, SOON).unwrap();
    assert_eq!(status.code(), Some(1));
    let log = cluster.logged(full).unwrap();
    assert!(log.contains("consensus has ended"), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    wait_instances(&cluster, 800).unwrap();

    cluster.start(full).unwrap();
    let status = cluster.ended(full, SOON).unwrap();
    assert_eq!(
        status.code(),
        Some(1),
        "it does not open where it cannot write"
    );
    let log = cluster.logged(full).unwrap();
    assert!(log.contains("make room, it starts by itself"), "{log}");

    disk(&cluster, full).give_back().unwrap();
    cluster.start(full).unwrap();
    eventually(SOON, "it is back", || wait_once(&cluster, full, leader)).unwrap();
    assert!(cluster.runs(full));
}

fn wait_once(cluster: &Loopback, id: usize, leader: usize) -> Result<()> {
    let of = |id| cluster.metric(id, "paasta_raft_applied_index");
    let (own, leaders) = (of(id)?, of(leader)?);
    ensure!(own >= leaders, "it is at {own}, the leader at {leaders}");
    Ok(())
}

#[test]
fn a_leader_without_room_hands_on_and_two_of_three_hold_back_what_can_wait() {
    let cluster = cluster("leader");
    cluster.declare("one", 20, 'a').unwrap();
    wait_instances(&cluster, 20).unwrap();
    let first = cluster.leader(SOON).unwrap();
    disk(&cluster, first).fill(8 * MIB).unwrap();
    let second = eventually(SOON, "another one leads", || {
        let leader = cluster.leader(SOON)?;
        ensure!(leader != first, "{leader} leads still");
        Ok(leader)
    })
    .unwrap();
    cluster.declare("one", 30, 'a').unwrap();
    wait_instances(&cluster, 30).unwrap();

    // Now a majority has its reserve left only.
    let third = 6 - first - second;
    disk(&cluster, third).fill(20 * MIB).unwrap();
    wait_space(&cluster, third, DataSpace::Reserve).unwrap();
    eventually(SOON, "writes are held back", || {
        let said = cluster.operator.metastatus()?.writes_space();
        ensure!(said == DataSpace::Reserve, "{said:?}");
        Ok(())
    })
    .unwrap();
    cluster.declare("one", 60, 'a').unwrap();
    eventually(SOON, "new instances are refused in words", || {
        let found = cluster.operator.metastatus()?;
        ensure!(found.instances == 30, "there are {}", found.instances);
        let error = found.desired_error;
        ensure!(
            error.contains("make room in the data directories"),
            "{error:?}"
        );
        Ok(())
    })
    .unwrap();
    // What mends goes on: less, a saved state, another leader.
    cluster.declare("one", 28, 'a').unwrap();
    wait_instances(&cluster, 28).unwrap();
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("state");
    let words = ["snapshot", "save", &file.display().to_string()];
    cluster.operator.succeed(&words).unwrap();

    cluster.declare("one", 60, 'a').unwrap();
    disk(&cluster, third).give_back().unwrap();
    wait_instances(&cluster, 60).unwrap();
    disk(&cluster, first).give_back().unwrap();
    wait_space(&cluster, first, DataSpace::Ok).unwrap();
}
