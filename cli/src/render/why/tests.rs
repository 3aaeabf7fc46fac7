//! Golden text at 80 columns: an instance that waits for room, and why.

use paasta_proto::v1::{
    Counts, DeployStatus, DesiredState, Event, EventKind, InstanceStatus, Waiting, WaitingKind,
};

use super::*;
use crate::render::view_80;

const NOW: u64 = 1_763_903_530_000;

#[test]
fn the_reason_comes_first_and_the_story_last() {
    let waiting = Waiting {
        kind: WaitingKind::Capacity.into(),
        what: "0 of 3 hosts: 3 lack 512 MB memory".to_owned(),
        since_ms: NOW - 40_000,
        ..Waiting::default()
    };
    let status = InstanceStatus {
        service: "hello".to_owned(),
        instance: "main".to_owned(),
        desired_app: "hello.main.git3f2a9c0d.config94232c5b".to_owned(),
        git_sha: "3f2a9c0d".to_owned(),
        desired_state: DesiredState::Start.into(),
        wanted: 3,
        counts: Some(Counts {
            happy: 2,
            running: 2,
            ..Counts::default()
        }),
        deploy_status: DeployStatus::Waiting.into(),
        waiting: vec![waiting],
        ..InstanceStatus::default()
    };
    let event = Event {
        index: 9,
        at_ms: NOW - 60_000,
        by: "coordinator 1".to_owned(),
        principal: String::new(),
        claimed: String::new(),
        kind: EventKind::Host.into(),
        kind_word: String::new(),
        instance: String::new(),
        host: "host2".to_owned(),
        text: "nothing heard for 10 s".to_owned(),
    };
    let response = WhyResponse {
        status: Some(status),
        events: vec![event],
        now_ms: NOW,
    };
    assert_eq!(render(&response, &view_80()), WHY);
}

#[test]
fn an_instance_that_is_as_wanted_says_so() {
    let status = InstanceStatus {
        service: "hello".to_owned(),
        instance: "main".to_owned(),
        desired_app: "hello.main.git3f2a9c0d.config94232c5b".to_owned(),
        ..InstanceStatus::default()
    };
    let response = WhyResponse {
        status: Some(status),
        events: Vec::new(),
        now_ms: NOW,
    };
    assert!(render(&response, &view_80()).starts_with("hello.main is as wanted.\n"));
}

const WHY: &str = r#"hello.main is not as wanted:
  - capacity: 0 of 3 hosts: 3 lack 512 MB memory (for 40s)

    instance: main
    Git sha:        3f2a9c0d (desired)
    Desired state:  Disabled and Started
    Health:         Warning - up with (2/3) replicas. Status: Waiting
    App:            hello.main.git3f2a9c0d.config94232c5b
    Replicas:       2 running of 3 wanted; 2 happy

What happened:
  2025-11-23 13:11:10 [host] host2: nothing heard for 10 s (by coordinator 1)
"#;
