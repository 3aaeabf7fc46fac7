//! Disks without room: ext4 file systems of 96 MiB, one for each coordinator, really filled; and one
//! of 640 MiB, of which less than 10 % is left.

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
/// Of such a one the reserve is 32 MiB, and 10 % are more than one and a half times that.
const LARGER_MIB: u64 = 640;
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(90);

fn cluster(name: &'static str, disks_mib: &[u64]) -> Loopback {
    let up = Loopback::up(LoopbackOptions {
        settings: "snapshot_every: 100",
        ..LoopbackOptions::new(name, disks_mib)
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
    let cluster = cluster("snapshots", &[DISK_MIB; 3]);
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
    let mut cluster = cluster("log", &[DISK_MIB; 3]);
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
    let cluster = cluster("leader", &[DISK_MIB; 3]);
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

/// What `metastatus` finds in the data directories.
fn finding(cluster: &Loopback) -> Result<String> {
    let said = cluster.operator.paasta(&["metastatus"])?;
    let mut lines = said.stdout.lines();
    let found = lines.find(|line| line.contains("Data Directories"));
    let found = found.with_context(|| format!("no line about them: {said:?}"))?;
    Ok(found.to_owned())
}

fn wait_level(cluster: &Loopback, id: usize, wanted: f64) -> Result<()> {
    let what = format!("the metric of coordinator {id} is {wanted}");
    eventually(SOON, &what, || {
        let level = cluster.metric(id, "paasta_data_dir_space_level")?;
        ensure!(level == wanted, "it is {level}");
        Ok(())
    })
}

fn wait_event(cluster: &Loopback, text: &str) -> Result<()> {
    eventually(SOON, "there is an event", || {
        let events = cluster.operator.succeed(&["events"])?;
        ensure!(events.contains(text), "{events}");
        Ok(())
    })
}

#[test]
fn under_ten_percent_a_warning_comes_and_goes_with_room_and_nothing_is_refused() {
    let cluster = cluster("low", &[LARGER_MIB; 3]);
    cluster.declare("one", 20, 'a').unwrap();
    wait_instances(&cluster, 20).unwrap();
    let disk = disk(&cluster, 1);
    let ten_percent = disk.size().unwrap() / 10;
    assert!(ten_percent > 48 * MIB, "{ten_percent} bytes");
    // As near to 10 % as a log that grows by segments of 8 MiB lets a test be.
    disk.fill(ten_percent + 14 * MIB).unwrap();
    wait_level(&cluster, 1, 0.0).unwrap();
    wait_space(&cluster, 1, DataSpace::Ok).unwrap();
    let before = finding(&cluster).unwrap();
    assert!(!before.contains("that of 1 "), "{before}");
    let no_event = cluster.operator.succeed(&["events"]).unwrap();
    assert!(!no_event.contains("coordinator 1: "), "{no_event}");

    disk.fill(ten_percent - 14 * MIB).unwrap();
    wait_space(&cluster, 1, DataSpace::Low).unwrap();
    wait_level(&cluster, 1, 1.0).unwrap();
    let said = finding(&cluster).unwrap();
    assert!(
        said.contains("that of 1 (") && said.contains(" is low"),
        "{said}"
    );
    assert!(said.contains("WARNING"), "{said}");
    wait_event(
        &cluster,
        "MiB are free in its data directory; make room: at the reserve",
    )
    .unwrap();
    let log = cluster.logged(1).unwrap();
    assert!(log.contains("the data directory has little room"), "{log}");
    // It is a warning: all is taken.
    cluster.declare("one", 40, 'a').unwrap();
    wait_instances(&cluster, 40).unwrap();
    let writes = cluster.operator.metastatus().unwrap().writes_space();
    assert!(
        matches!(writes, DataSpace::Ok | DataSpace::Low),
        "{writes:?}"
    );

    disk.give_back().unwrap();
    wait_space(&cluster, 1, DataSpace::Ok).unwrap();
    wait_level(&cluster, 1, 0.0).unwrap();
    wait_event(
        &cluster,
        "MiB are free in its data directory; there is room again",
    )
    .unwrap();
    let after = finding(&cluster).unwrap();
    assert!(!after.contains("that of 1 "), "{after}");
    let log = cluster.logged(1).unwrap();
    assert!(
        log.contains("there is more room in the data directory"),
        "{log}"
    );
}
