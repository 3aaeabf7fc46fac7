//! Fifty hollow hosts with three real coordinators, over TLS: they register, rest, take a deploy, and
//! lose the leader. Bounds are wide: what is slow on a loaded machine is no failure, what is wrong is.

use std::time::Duration;

use paasta_tests::scale::{Plan, measure, row::Row};

const HOSTS: u32 = 50;
const REPLICAS: u32 = 100;
/// The most memory of one host in a debug build, KiB, with its share of the process.
const HOST_KIB_MAX: f64 = 3_072.0;
/// Records at rest are of the coordinators themselves, such as a disk that fills; renewals of 50
/// hosts would be 60 in this time.
const RECORDS_MAX: u64 = 5;
/// A new leader takes a few seconds at most, on a loaded machine as well.
const NEXT_WRITE_MAX_MS: f64 = 15_000.0;

#[test]
fn a_fleet_rests_without_writes_and_outlives_its_leader() -> anyhow::Result<()> {
    let row = measure(Plan {
        hosts: HOSTS,
        replicas: REPLICAS,
        rest: Duration::from_secs(4),
        tls: true,
        patience: Duration::from_secs(60),
    })?;
    let shown = format!("{row:#?}");
    assert!(row.rest.raft_records < RECORDS_MAX, "at rest: {shown}");
    assert!(row.rest.host_kib < HOST_KIB_MAX, "{shown}");
    let replicas = REPLICAS as usize;
    let counts = (row.assigned.count, row.healthy.count);
    assert_eq!(counts, (replicas, replicas), "{shown}");
    // A container takes as long as Docker takes for one.
    assert!(row.healthy.p50_ms > row.assigned.p50_ms + 200, "{shown}");
    assert!(row.next_write_ms < NEXT_WRITE_MAX_MS, "{shown}");
    assert_eq!((row.hosts_lost, row.containers_touched), (0, 0), "{shown}");
    let table = Row::table(&[row]);
    assert!(table.starts_with("| hosts | 50 |"), "{table}");
    Ok(())
}
