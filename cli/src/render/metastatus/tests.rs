//! Golden text at 80 columns: a cluster with one host away.

use super::*;
use crate::{render::view_80, verdict::cluster::findings};
use paasta_proto::words::value;

const NOW: u64 = 1_763_903_530_000;

fn coordinator(id: u64, leader: bool) -> CoordinatorStatus {
    CoordinatorStatus {
        id,
        address: format!("10.77.0.{}:7000", 10 + id),
        leader,
        role: MemberRole::Voter.into(),
        matched_index: Some(1234),
        ..CoordinatorStatus::default()
    }
}

fn linked(id: u64, round_trip_us: u64, link: LinkSpeed) -> CoordinatorStatus {
    CoordinatorStatus {
        round_trip_us: Some(round_trip_us),
        link: link.into(),
        ..coordinator(id, false)
    }
}

fn host(id: &str, state: &str, seen: u64) -> HostStatus {
    HostStatus {
        id: id.to_owned(),
        address: "10.77.0.11".to_owned(),
        pool: "default".to_owned(),
        state: value::<HostState>(state).expect("a word"),
        capacity: Some(Resources {
            cpus_milli: 4000,
            mem_mb: 8192,
            disk_mb: 50_000,
            gpus: 0,
        }),
        used: Some(Resources {
            cpus_milli: 1200,
            mem_mb: 7800,
            disk_mb: 100,
            gpus: 0,
        }),
        replicas: 3,
        last_seen_ms: Some(NOW - seen),
        ..HostStatus::default()
    }
}

#[test]
fn a_cluster_with_a_host_away() {
    let mut sick = host("host3", "up", 1_000);
    sick.runtime_degraded = "dockerd does not answer".to_owned();
    sick.runtime_degraded_since_ms = NOW - 30_000;
    let response = MetastatusResponse {
        cluster: "demo".to_owned(),
        cluster_id: "0193-55aa".to_owned(),
        epoch: 1,
        now_ms: NOW,
        coordinators: vec![
            coordinator(1, true),
            linked(2, 820, LinkSpeed::Fast),
            linked(3, 1_240, LinkSpeed::Fast),
        ],
        consensus_pace_permille: 3_155,
        hosts: vec![
            host("host1", "up", 500),
            host("host2", "lost", 65_000),
            sick,
        ],
        capacity: Some(Resources {
            cpus_milli: 8000,
            mem_mb: 16_384,
            disk_mb: 100_000,
            gpus: 0,
        }),
        used: Some(Resources {
            cpus_milli: 2400,
            mem_mb: 15_600,
            disk_mb: 200,
            gpus: 0,
        }),
        brake: String::new(),
        writes_space: 0,
        writes_space_word: String::new(),
        term: 4,
        applied_index: 1234,
        instances: 2,
        replicas: 9,
        version: "0.1.0".to_owned(),
        desired_read_at_ms: NOW - 3_000,
        desired_error: String::new(),
        settings_drift: Vec::new(),
        repositories: 0,
        repositories_failing: 0,
        repositories_error: String::new(),
        stale: None,
        pools: vec![PoolStatus {
            name: "default".to_owned(),
            hosts: 2,
            overcommit_cpus_milli: 1_500,
            overcommit_mem_milli: 1_000,
            overcommit_disk_milli: 1_000,
            has: None,
            capacity: host("", "up", 0).capacity,
            used: host("", "up", 0).used,
            overfull: 1,
        }],
    };
    let silent = BTreeSet::from([3]);
    let text = render(&response, &findings(&response, &silent), &view_80());
    let groupings = ["pool".to_owned(), "region".to_owned()];
    let detail = |level| Detail {
        level,
        groupings: &groupings,
    };
    assert_eq!(tables(&response, &silent, &detail(0), &view_80()), "");
    assert_eq!(
        text + &tables(&response, &silent, &detail(3), &view_80()),
        AWAY
    );
}

const AWAY: &str = r#"cluster: demo (id 0193-55aa, epoch 1)
holds:   2 instances, 9 replicas; coordinators run version 0.1.0

Coordinators Status:  CRITICAL - 2 of 3 answer; leader 1 (10.77.0.11:7000), term
                      4, applied 1234; silent: 3 (10.77.0.13:7000); losing one
                      more stops the cluster
Hosts Status:         CRITICAL - 2 up, 1 lost: host2; container runtime in
                      trouble on host3
CPUs Status:          OK - 2.40 / 8.00 in use (30.00%)
Memory Status:        CRITICAL - 15.23 GB / 16.00 GB in use (95.21%); less than
                      10% available
Disk Status:          OK - 0.19 GB / 97.65 GB in use (0.20%)
Desired state Status: OK - read 3s ago
Location Status:      CRITICAL - default, unknown: 2 of 3 hosts up; in use: CPU
                      30.00%, memory 95.21%, disk 0.20%; less than 10% available
                      of memory

COORDINATOR  ADDRESS          ROLE    LOG UP TO  ANSWERS  ROUND TRIP
1            10.77.0.11:7000  leader  1234       yes      -
2            10.77.0.12:7000  voter   1234       yes      0.8 ms
3            10.77.0.13:7000  voter   1234       no       1.2 ms

POOL     HOSTS  OVERCOMMIT               CPU  RAM  DISK  OVERFULL
default  2      cpus 1.5, mem 1, disk 1  30%  95%  0%    1

POOL     REGION   HOSTS  CPU      RAM GB     DISK GB   GPU
default  unknown  2/3    2.4/8.0  15.2/16.0  0.1/97.6  0/0

HOST   ADDRESS     POOL     STATE     REPLICAS  CPU  RAM  DISK  SEEN
host1  10.77.0.11  default  up        3         30%  95%  0%    500ms ago
host2  10.77.0.11  default  lost      3         30%  95%  0%    1m 5s ago
host3  10.77.0.11  default  degraded  3         30%  95%  0%    1s ago
host3: dockerd does not answer (since 30s ago)
"#;
