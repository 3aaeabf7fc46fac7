//! The verbs that change hosts and instances, against a coordinator that notes what it is asked.

use paasta_proto::v1::{
    BrakeStatusResponse, CheckReplicationResponse, CleanupResponse, HostMaintenance, HostState,
    LeavingReplica, MaintenanceStatusResponse, RemovalReason, RemovedInstance, ReplicaClass,
    ReplicationLevel, ReplicationStatus, RequestOutcome, SilentHost,
};
use tonic::Status;

use crate::{
    operator::{Operator, Script},
    paasta::{Ran, paasta_with},
};

fn paasta(operator: &Operator, args: &[&str]) -> Ran {
    told(operator, args, "")
}

fn told(operator: &Operator, args: &[&str], stdin: &str) -> Ran {
    let env = [
        ("PAASTA_COORDINATORS", operator.address.as_str()),
        ("USER", "ann"),
        ("SUDO_USER", ""),
    ];
    paasta_with(args, &env, stdin)
}

fn host(name: &str, left: usize) -> HostMaintenance {
    let replica = LeavingReplica {
        id: "r5".to_owned(),
        instance: "hello.main".to_owned(),
        class: ReplicaClass::AtRisk.into(),
        waits_for: "a happy replacement".to_owned(),
        ..LeavingReplica::default()
    };
    HostMaintenance {
        host: name.to_owned(),
        state: HostState::Draining.into(),
        safe: left == 0,
        text: format!("{left} replicas are left"),
        replicas: vec![replica; left],
        ..HostMaintenance::default()
    }
}

fn draining(left: &[usize]) -> Script {
    let answer = |left: &usize| MaintenanceStatusResponse {
        hosts: vec![host("h1", *left)],
        now_ms: 1_000,
    };
    Script {
        maintenance: left.iter().map(answer).collect(),
        ..Script::default()
    }
}

#[test]
fn a_drain_names_its_author_its_reason_and_its_end() {
    let operator = Operator::start(Script::default());
    let args = [
        "maintenance",
        "drain",
        "h1",
        "h2",
        "--for",
        "1h",
        "--reason",
        "new disk",
    ];
    let ran = paasta(&operator, &args).exits(0);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    let asked = operator.asked();
    let what: Vec<&str> = asked.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "drain h1 for 3600000 ms: new disk",
            "drain h2 for 3600000 ms: new disk"
        ]
    );
    assert!(asked[0].asker.by.starts_with("ann@"), "{asked:?}");
    assert_ne!(asked[0].asker.request_id, asked[1].asker.request_id);
}

#[test]
fn a_request_that_has_to_be_repeated_is_the_same_request() {
    let operator = Operator::start(Script::default());
    operator.fail_first(vec![
        Status::unavailable("no leader"),
        Status::unavailable("no leader"),
    ]);
    paasta(&operator, &["maintenance", "undrain", "h1"]).exits(0);
    let asked = operator.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|one| *one == asked[0]), "{asked:?}");
}

#[test]
fn a_backoff_is_reset_everywhere_or_on_one_host() {
    let operator = Operator::start(Script {
        unknown: vec!["h9".to_owned()],
        ..Script::default()
    });
    let ran = paasta(&operator, &["backoff", "reset", "hello.main"]).exits(0);
    assert_eq!(ran.stdout, "reset hello.main on \"\": done\n");
    let reset = ["backoff", "reset", "hello.main", "--host"];
    paasta(&operator, &[&reset[..], &["h1", "--json"]].concat()).exits(0);
    let ran = paasta(&operator, &[&reset[..], &["h9"]].concat()).exits(1);
    assert!(ran.stderr.contains("\"h9\" is not known"), "{ran:?}");
    let whats: Vec<String> = operator.asked().into_iter().map(|one| one.what).collect();
    assert_eq!(whats[1], "reset hello.main on \"h1\"");
}

#[test]
fn one_host_that_is_refused_keeps_no_other_from_being_asked_for() {
    let operator = Operator::start(Script {
        unknown: vec!["h1".to_owned()],
        refused: vec!["h2".to_owned()],
        ..Script::default()
    });
    let ran = paasta(&operator, &["maintenance", "remove", "h1", "h2", "h3"]).exits(1);
    assert!(ran.stderr.contains("\"h1\" is not known"), "{ran:?}");
    assert!(ran.stdout.contains("h2 is up; drain it first"), "{ran:?}");
    assert!(ran.stdout.contains("remove h3: done"), "{ran:?}");
    let json = paasta(&operator, &["--json", "maintenance", "remove", "h3"])
        .exits(0)
        .json();
    assert_eq!(
        (&json[0]["host"], &json[0]["outcome"]),
        (&"h3".into(), &"done".into())
    );
}

#[test]
fn status_says_what_is_left_and_whether_a_host_is_safe() {
    let operator = Operator::start(draining(&[1]));
    let ran = paasta(&operator, &["maintenance", "status"]).exits(1);
    assert!(ran.stdout.contains("UNSAFE"), "{ran:?}");
    assert!(
        ran.stdout
            .contains("r5 of hello.main (at-risk) waits for a happy replacement"),
        "{ran:?}"
    );
    let operator = Operator::start(draining(&[0]));
    paasta(&operator, &["maintenance", "status", "h1"]).exits(0);
    let none = Operator::start(Script::default());
    let ran = paasta(&none, &["maintenance", "status"]).exits(0);
    assert!(ran.stdout.contains("No host is being drained"), "{ran:?}");
}

#[test]
fn waiting_shows_progress_until_the_host_is_safe_or_time_is_up() {
    let operator = Operator::start(draining(&[2, 1, 0]));
    let ran = paasta(&operator, &["maintenance", "drain", "h1", "--wait"]).exits(0);
    for left in [
        "2 replicas are left",
        "1 replicas are left",
        "0 replicas are left",
    ] {
        assert!(ran.stdout.contains(left), "{ran:?}");
    }
    let stuck = Operator::start(draining(&[1]));
    let args = ["maintenance", "drain", "h1", "--wait", "--within", "1500ms"];
    let ran = paasta(&stuck, &args).exits(1);
    assert_eq!(
        ran.stdout.matches("1 replicas are left").count(),
        1,
        "{ran:?}"
    );
    assert!(ran.stderr.contains("the drain goes on"), "{ran:?}");
}

fn braked() -> Script {
    let silent = |host: &str| SilentHost {
        host: host.to_owned(),
        last_seen_ms: Some(1_000),
        replicas: 4,
    };
    Script {
        brake: BrakeStatusResponse {
            brake: "2 of 4 hosts are silent at once".to_owned(),
            hosts: vec![silent("h1"), silent("h2")],
            now_ms: 61_000,
        },
        ..Script::default()
    }
}

#[test]
fn the_brake_is_released_for_the_hosts_that_were_shown_and_only_when_meant() {
    let operator = Operator::start(braked());
    let ran = paasta(&operator, &["brake", "status"]).exits(2);
    assert!(ran.stdout.contains("ON - 2 of 4 hosts"), "{ran:?}");
    for answer in ["", "no\n", "y\n"] {
        let ran = told(&operator, &["brake", "release"], answer).exits(1);
        for named in [
            "h1",
            "h2",
            "2 hosts lost",
            "8 replicas",
            "nothing was changed",
        ] {
            assert!(ran.stderr.contains(named), "{named}: {ran:?}");
        }
    }
    assert!(operator.asked().is_empty());
    told(&operator, &["brake", "release"], "yes\n").exits(0);
    paasta(&operator, &["brake", "release", "--yes"]).exits(0);
    let asked = operator.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked.iter().all(|one| one.what == "release h1 h2"),
        "{asked:?}"
    );

    let quiet = Operator::start(Script::default());
    paasta(&quiet, &["brake", "status"]).exits(0);
    let ran = paasta(&quiet, &["brake", "release", "--yes"]).exits(1);
    assert!(ran.stderr.contains("no host is silent"), "{ran:?}");
}

#[test]
fn a_cleanup_shows_what_goes_and_a_refusal_is_1() {
    let gone = RemovedInstance {
        instance: "hello.main".to_owned(),
        why: RemovalReason::Undeclared.into(),
        why_word: String::new(),
        replicas: 3,
        removed_at_ms: None,
    };
    let script = |outcome: RequestOutcome| Script {
        cleanup: CleanupResponse {
            outcome: outcome.into(),
            outcome_word: String::new(),
            text: "`paasta cleanup --force` removes them".to_owned(),
            instances: vec![gone.clone()],
            total: 1,
        },
        ..Script::default()
    };
    let refused = Operator::start(script(RequestOutcome::Refused));
    let ran = paasta(&refused, &["cleanup", "--dry-run"]).exits(1);
    assert!(ran.stdout.contains("hello.main  undeclared  3"), "{ran:?}");
    assert!(
        ran.stdout.contains("REFUSED - `paasta cleanup --force`"),
        "{ran:?}"
    );
    let done = Operator::start(script(RequestOutcome::Done));
    paasta(&done, &["cleanup", "--force"]).exits(0);
    let what: Vec<String> = [refused.asked(), done.asked()]
        .concat()
        .into_iter()
        .map(|one| one.what)
        .collect();
    assert_eq!(
        what,
        [
            "cleanup force false dry-run true",
            "cleanup force true dry-run false"
        ]
    );
}

#[test]
fn replication_is_2_when_an_instance_lacks_replicas() {
    let one = |instance: &str, status: ReplicationLevel| ReplicationStatus {
        instance: instance.to_owned(),
        status: status.into(),
        text: format!("- Service {instance} has some\n"),
        ..ReplicationStatus::default()
    };
    let replication = CheckReplicationResponse {
        instances: vec![
            one("a.main", ReplicationLevel::Ok),
            one("b.main", ReplicationLevel::Critical),
            one("c.main", ReplicationLevel::NotDeployed),
        ],
        ..CheckReplicationResponse::default()
    };
    let operator = Operator::start(Script {
        replication,
        ..Script::default()
    });
    let ran = paasta(&operator, &["check-replication"]).exits(2);
    assert!(
        ran.stdout.contains("b.main: CRITICAL") && !ran.stdout.contains("a.main"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("1 of 3 instances lacks replicas"),
        "{ran:?}"
    );
    let all = paasta(&operator, &["check-replication", "--all"]).exits(2);
    assert!(all.stdout.contains("a.main: OK"), "{all:?}");
    let named = paasta(&operator, &["check-replication", "a.main"]).exits(0);
    assert!(named.stdout.contains("a.main: OK"), "{named:?}");
    paasta(&operator, &["check-replication", "c.main"]).exits(1);
    paasta(&operator, &["check-replication", "d.main"]).exits(1);
    let json = paasta(&operator, &["--json", "check-replication", "-a"])
        .exits(2)
        .json();
    assert_eq!(json["instances"].as_array().map(Vec::len), Some(3));
}
