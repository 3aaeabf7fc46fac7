//! Findings of made-up answers: what is a warning, what is critical, in which words.

use crate::v1::{CoordinatorStatus, HostState, HostStatus};
use crate::words::value;

use super::*;

fn coordinator(id: u64, leader: bool) -> CoordinatorStatus {
    let role = MemberRole::Voter.into();
    CoordinatorStatus {
        id,
        leader,
        role,
        ..CoordinatorStatus::default()
    }
}

fn host(state: &str) -> HostStatus {
    HostStatus {
        id: "h1".to_owned(),
        state: value::<HostState>(state).expect("a word"),
        ..HostStatus::default()
    }
}

#[test]
fn differing_settings_are_a_warning_with_the_way_out() {
    let mut response = fine();
    assert!(settings(&response).is_none());
    response.settings_drift.push(SettingsDrift {
        id: 2,
        keys: vec!["docker_registry".to_owned(), "volumes".to_owned()],
    });
    let found = settings(&response).expect("a finding");
    assert_eq!((found.subject, found.level), ("Settings", Level::Warning));
    assert_eq!(
        found.text,
        "the files differ from what is in force: coordinator 2 (docker_registry, volumes); \
         see `paasta settings diff`"
    );
}

fn fine() -> MetastatusResponse {
    let amounts = |cpus_milli| Resources {
        cpus_milli,
        mem_mb: 1024,
        disk_mb: 10,
        gpus: 0,
    };
    MetastatusResponse {
        coordinators: vec![
            coordinator(1, true),
            coordinator(2, false),
            coordinator(3, false),
        ],
        hosts: vec![host("up"), host("draining")],
        capacity: Some(Resources {
            mem_mb: 4096,
            disk_mb: 100,
            ..amounts(8000)
        }),
        used: Some(amounts(2400)),
        ..MetastatusResponse::default()
    }
}

#[test]
fn clocks_that_are_off_are_named_the_worst_first() {
    let mut response = fine();
    let clocks = |response: &MetastatusResponse| {
        let mut found = findings(response, &BTreeSet::new()).into_iter();
        found.rfind(|one| one.subject == "Clocks")
    };
    response.hosts[0].clock_ahead_ms = Some(1_900);
    assert_eq!(clocks(&response), None);
    response.hosts[0].clock_ahead_ms = Some(-3_000);
    let found = clocks(&response).expect("a finding");
    assert_eq!(found.level, Level::Ok);
    assert!(found.text.starts_with("h1 3s behind"), "{}", found.text);
    response.hosts[1].id = "h2".to_owned();
    response.hosts[1].clock_ahead_ms = Some(7_200_000);
    let found = clocks(&response).expect("a finding");
    assert_eq!(found.level, Level::Warning);
    assert!(found.text.starts_with("h2 2h"), "{}", found.text);
    assert!(found.text.contains("h1 3s behind"), "{}", found.text);
}

#[test]
fn slow_links_are_named_with_their_figures() {
    let mut response = fine();
    response.consensus_pace_permille = 3_155;
    let set = |one: &mut CoordinatorStatus, us, link: LinkSpeed| {
        (one.round_trip_us, one.link) = (Some(us), link.into());
    };
    set(&mut response.coordinators[1], 252_400, LinkSpeed::Slow);
    let found = findings(&response, &BTreeSet::new()).remove(0);
    let words = "slow links to 2 (252 ms): elections take 3.1 times as long";
    assert!(found.text.contains(words), "{}", found.text);
    assert_eq!(found.level, Level::Ok);
    set(&mut response.coordinators[2], 900_000, LinkSpeed::TooSlow);
    let found = findings(&response, &BTreeSet::new()).remove(0);
    assert!(
        found.text.contains("heartbeat_ms to 3 (900 ms)"),
        "{}",
        found.text
    );
    assert_eq!(found.level, Level::Warning);
}

fn levels(response: &MetastatusResponse, silent: &[u64]) -> Vec<(&'static str, Level)> {
    let silent = silent.iter().copied().collect();
    let found = findings(response, &silent).into_iter();
    found
        .filter(|one| one.level > Level::Ok)
        .map(|one| (one.subject, one.level))
        .collect()
}

#[test]
fn a_cluster_that_is_well() {
    let found = findings(&fine(), &BTreeSet::new());
    assert!(!is_unwell(&found));
    assert_eq!(levels(&fine(), &[]), []);
    assert_eq!(found[2].text, "2.40 / 8.00 in use (30.00%)");
    assert!(!found.iter().any(|one| one.subject == "GPUs"));
}

#[test]
fn each_trouble_is_critical() {
    assert_eq!(levels(&fine(), &[3]), [("Coordinators", Level::Critical)]);
    let mut leaderless = fine();
    leaderless.coordinators[0].leader = false;
    let mut lost = fine();
    lost.hosts.push(host("lost"));
    let mut full = fine();
    full.used = Some(Resources {
        cpus_milli: 7201,
        ..Resources::default()
    });
    let mut brake = fine();
    brake.brake = "3 of 8 hosts are silent".to_owned();
    for (response, subject) in [
        (leaderless, "Coordinators"),
        (lost, "Hosts"),
        (full, "CPUs"),
        (brake, "Brake"),
    ] {
        assert_eq!(levels(&response, &[]), [(subject, Level::Critical)]);
        assert!(is_unwell(&findings(&response, &BTreeSet::new())));
    }
}

#[test]
fn what_is_no_danger_yet_is_a_warning() {
    let mut five = fine();
    five.coordinators.push(coordinator(4, false));
    five.coordinators.push(coordinator(5, false));
    assert_eq!(levels(&five, &[5]), [("Coordinators", Level::Warning)]);
    assert_eq!(levels(&five, &[4, 5]), [("Coordinators", Level::Critical)]);
    let mut degraded = fine();
    degraded.hosts[0].runtime_degraded = "dockerd does not answer".to_owned();
    let host = |response: &MetastatusResponse| {
        let findings = findings(response, &BTreeSet::new());
        let found = findings.iter().find(|finding| finding.subject == "Hosts");
        found.unwrap().text.clone()
    };
    assert!(host(&degraded).contains("container runtime in trouble on"));
    let mut full = degraded.clone();
    for (part, words) in [
        (
            i32::from(HostPart::Disk),
            "the agent cannot write its disk on",
        ),
        (
            HostPart::DockerDisk.into(),
            "the Docker disk is nearly full on",
        ),
        (
            9_999,
            "a part that this paasta does not know fails on h1: unknown (9999)",
        ),
    ] {
        full.hosts[0].degraded_part = part;
        assert!(host(&full).contains(words), "{}", host(&full));
        assert!(!host(&full).contains("runtime"), "{}", host(&full));
        assert_eq!(levels(&full, &[]), [("Hosts", Level::Warning)]);
    }
    let mut unread = fine();
    unread.desired_error = "no such directory".to_owned();
    let mut empty = fine();
    empty.hosts.clear();
    let mut unheard = fine();
    (unheard.repositories, unheard.repositories_failing) = (9, 2);
    unheard.repositories_error = "web: no route".to_owned();
    let found = findings(&unheard, &BTreeSet::new());
    assert!(found.iter().any(|one| {
        one.text.starts_with("2 of 9 do not answer") && one.text.contains("web: no route")
    }));
    for (response, subject) in [
        (unheard, "Repositories"),
        (degraded, "Hosts"),
        (unread, "Desired state"),
        (empty, "Hosts"),
    ] {
        assert_eq!(levels(&response, &[]), [(subject, Level::Warning)]);
        assert!(!is_unwell(&findings(&response, &BTreeSet::new())));
    }
}

#[test]
fn a_coordinator_alone_is_no_trouble() {
    let mut alone = fine();
    alone.coordinators.truncate(1);
    assert_eq!(levels(&alone, &[]), []);
}
