//! The verbs that show something, against a coordinator that answers.

use paasta_proto::v1::{
    AppStatus, BounceMethod, CoordinatorStatus, Counts, DeployStatus, DesiredState, HostState,
    HostStatus, InstanceStatus, MemberRole, MetastatusResponse, NodeResponse, NodeRole, Problem,
    ReplicaClass, ReplicaHealth, ReplicaPhase, ReplicaStatus, Severity, Waiting, WaitingKind,
};
use paasta_proto::words::value;

use crate::{
    fake::{Fake, NOW_MS, Script},
    paasta::{paasta, paasta_with},
};

pub(crate) fn instance(service: &str, name: &str, wanted: u32, happy: u32) -> InstanceStatus {
    let app = format!("{service}.{name}.git3f2a9c0d.config94232c5b");
    let counts = Some(Counts {
        happy,
        running: happy,
        ..Counts::default()
    });
    let desired = AppStatus {
        app: app.clone(),
        desired: true,
        counts,
        replicas: happy,
        ..AppStatus::default()
    };
    InstanceStatus {
        service: service.to_owned(),
        instance: name.to_owned(),
        desired_app: app,
        git_sha: "3f2a9c0d00000000000000000000000000000000".to_owned(),
        desired_state: DesiredState::Start.into(),
        wanted,
        counts,
        apps: vec![desired],
        deploy_status: DeployStatus::Running.into(),
        bounce_method: BounceMethod::Crossover.into(),
        desired_since_ms: NOW_MS - 125_000,
        ..InstanceStatus::default()
    }
}

pub(crate) fn world() -> Script {
    let mut waiting = instance("hello", "worker", 2, 1);
    waiting.deploy_status = DeployStatus::Waiting.into();
    waiting.waiting.push(Waiting {
        kind: WaitingKind::Capacity.into(),
        what: "0 of 3 hosts: 3 lack 512 MB memory".to_owned(),
        since_ms: NOW_MS - 40_000,
        ..Waiting::default()
    });
    let mut main = instance("hello", "main", 1, 1);
    main.replicas.push(ReplicaStatus {
        id: "r7".to_owned(),
        app: main.desired_app.clone(),
        host: "host1".to_owned(),
        address: "10.77.0.11".to_owned(),
        host_port: Some(31234),
        phase: ReplicaPhase::Running.into(),
        health: ReplicaHealth::Healthy.into(),
        class: ReplicaClass::Happy.into(),
        run: 1,
        started_at_ms: Some(NOW_MS - 61_000),
        ..ReplicaStatus::default()
    });
    let mut never = instance("new", "main", 1, 0);
    never.desired_app.clear();
    never.git_sha.clear();
    never.apps.clear();
    let mut broken = instance("odd", "main", 1, 1);
    broken.problems.push(Problem {
        file: "odd/marathon-demo.yaml".to_owned(),
        line: Some(3),
        column: Some(8),
        field: "main.mem".to_owned(),
        message: "expected a number".to_owned(),
        severity: Severity::Error.into(),
    });
    Script {
        instances: vec![main, waiting, never, broken],
        page: 1000,
        node: NodeResponse {
            id: 1,
            role: NodeRole::Leader.into(),
            leader_id: Some(1),
            ..NodeResponse::default()
        },
        ..Script::default()
    }
}

pub(crate) fn ask(fake: &Fake, args: &[&str]) -> crate::paasta::Ran {
    paasta_with(args, &[("PAASTA_COORDINATORS", &fake.address)], "")
}

#[test]
fn status_tells_what_is_and_its_exit_code_whether_that_is_good() {
    let fake = Fake::start(world());
    let fine = ask(&fake, &["status", "-s", "hello", "-i", "main"]).exits(0);
    for wanted in [
        "service: hello",
        "3f2a9c0d (desired)",
        "Healthy",
        "Configured and Started",
    ] {
        assert!(fine.stdout.contains(wanted), "{wanted}: {fine:?}");
    }
    assert!(!fine.stdout.contains("10.77.0.11"), "{fine:?}");
    let table = ask(&fake, &["status", "-s", "hello", "-i", "main", "-v"]).exits(0);
    assert!(table.stdout.contains("10.77.0.11:31234"), "{table:?}");
    let all = ask(&fake, &["status"]).exits(2);
    assert!(
        all.stdout.contains(
            "hello.worker  no-room     1/2    3f2a9c0d  40s    0 of 3 hosts: 3 lack 512 MB memory"
        ),
        "{all:?}"
    );
    ask(&fake, &["status", "-s", "hello"]).exits(2);
    let never = ask(&fake, &["status", "-s", "new"]).exits(1);
    assert!(never.stdout.contains("not deployed yet"), "{never:?}");
    let broken = ask(&fake, &["status", "-s", "odd"]).exits(2);
    assert!(
        broken
            .stdout
            .contains("odd/marathon-demo.yaml:3:8: main.mem: expected a number"),
        "{broken:?}"
    );
}

#[test]
fn status_for_programs_has_the_message_itself() {
    let fake = Fake::start(world());
    let json = ask(
        &fake,
        &["status", "-s", "hello", "-i", "main,worker", "--json"],
    )
    .exits(2)
    .json();
    assert_eq!(json["instances"][0]["counts"]["happy"], 1);
    assert_eq!(json["instances"][1]["waiting"][0]["kind"], "capacity");
    assert_eq!(json["now_ms"], NOW_MS);
}

#[test]
fn status_follows_every_page() {
    let instances: Vec<_> = (0..7)
        .map(|n| instance("many", &format!("i{n}"), 1, 1))
        .collect();
    let fake = Fake::start(Script {
        instances,
        page: 2,
        ..Script::default()
    });
    let json = ask(&fake, &["status", "--json"]).exits(0).json();
    let names: Vec<&str> = json["instances"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["instance"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["i0", "i1", "i2", "i3", "i4", "i5", "i6"]);
    assert_eq!(fake.calls(), 4);
    let list = ask(&fake, &["list", "-i"]).exits(0);
    assert_eq!(list.stdout.lines().count(), 7);
    let services = ask(&fake, &["list"]).exits(0);
    assert_eq!(services.stdout.lines().count(), 1, "{services:?}");
}

#[test]
fn unknown_names_get_the_ones_that_were_meant() {
    let fake = Fake::start(world());
    let service = ask(&fake, &["status", "-s", "helo"]).exits(1);
    assert!(service.stderr.contains("no service helo"), "{service:?}");
    assert!(
        service.stderr.contains("did you mean hello?"),
        "{service:?}"
    );
    let one = ask(&fake, &["status", "-s", "hello", "-i", "main,wroker"]).exits(1);
    assert!(
        one.stderr
            .contains("no instance wroker in this cluster; did you mean worker?"),
        "{one:?}"
    );
    assert!(one.stdout.contains("instance: main"), "{one:?}");
    let why = ask(&fake, &["why", "hello.mian"]).exits(1);
    assert!(
        why.stderr
            .contains("hello.mian is not declared in this cluster; did you mean hello.main"),
        "{why:?}"
    );
    ask(&fake, &["list", "-s", "helo"]).exits(1);
}

#[test]
fn why_says_the_reason_first() {
    let fake = Fake::start(world());
    let why = ask(&fake, &["why", "hello.worker"]).exits(2);
    let mut lines = why.stdout.lines();
    assert_eq!(lines.next(), Some("hello.worker is not as wanted:"));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.contains("capacity: 0 of 3 hosts")),
        "{why:?}"
    );
    let fine = ask(&fake, &["why", "hello.main"]).exits(0);
    assert!(
        fine.stdout.starts_with("hello.main is as wanted."),
        "{fine:?}"
    );
    ask(&fake, &["why", "hello"]).exits(1);
}

#[test]
fn events_are_lines() {
    let fake = Fake::start(world());
    let events = ask(&fake, &["events", "-n", "2"]).exits(0);
    assert_eq!(events.stdout.lines().count(), 2);
    assert!(
        events
            .stdout
            .starts_with("2025-11-23 13:12:10 [bounce] hello.main: step 1\n"),
        "{events:?}"
    );
    let json = ask(&fake, &["events", "--json"]).exits(0).json();
    assert_eq!(json["events"].as_array().map(Vec::len), Some(3));
    ask(&fake, &["events", "-n", "1001"]).exits(1);
    let none = ask(&fake, &["events", "--since", "2100-01-01T00:00:00Z"]).exits(0);
    assert_eq!(none.stdout, "");
    let odd = ask(&fake, &["events", "--since", "yesterday"]).exits(1);
    assert!(odd.stderr.contains("how long ago, as 10m"), "{odd:?}");
}

#[test]
fn metastatus_is_2_for_a_cluster_in_trouble() {
    let leader = CoordinatorStatus {
        id: 1,
        leader: true,
        role: MemberRole::Voter.into(),
        ..Default::default()
    };
    let host = |state: &str| HostStatus {
        id: "host1".to_owned(),
        state: value::<HostState>(state).expect("a word"),
        ..Default::default()
    };
    let fine = MetastatusResponse {
        cluster: "demo".to_owned(),
        coordinators: vec![leader],
        hosts: vec![host("up")],
        ..Default::default()
    };
    let fake = Fake::start(Script {
        metastatus: fine.clone(),
        ..Script::default()
    });
    let well = ask(&fake, &["metastatus", "-v"]).exits(0);
    assert!(
        well.stdout.contains("Hosts Status:         OK - 1 up"),
        "{well:?}"
    );
    assert!(well.stdout.contains("COORDINATOR"), "{well:?}");
    let fake = Fake::start(Script {
        metastatus: MetastatusResponse {
            hosts: vec![host("lost")],
            ..fine
        },
        ..Script::default()
    });
    let lost = ask(&fake, &["metastatus"]).exits(2);
    assert!(
        lost.stdout.contains("CRITICAL - 0 up, 1 lost: host1"),
        "{lost:?}"
    );
}

#[test]
fn a_cluster_is_made_once() {
    let fake = Fake::start(world());
    let member = format!("1={}", fake.address);
    let init = ["cluster", "init", "--cluster", "demo", "--member", &member];
    let first = paasta(&init).exits(0);
    assert_eq!(first.stdout, "cluster demo made, id id-of-demo\n");
    let second = paasta(&init).exits(0);
    assert_eq!(
        second.stdout,
        "cluster demo was there already, id id-of-demo\n"
    );
    let stranger = format!("9={}", fake.address);
    let refused = paasta(&[
        "cluster",
        "init",
        "--cluster",
        "demo",
        "--member",
        &stranger,
    ])
    .exits(1);
    assert!(refused.stderr.contains("not among them"), "{refused:?}");
    let twice = paasta(&[
        "cluster",
        "init",
        "--cluster",
        "demo",
        "--member",
        &member,
        "--member",
        &member,
    ]);
    assert!(twice.exits(1).stderr.contains("once"));
}

#[test]
fn every_coordinator_is_asked_what_it_is() {
    let fake = Fake::start(world());
    let json = ask(&fake, &["cluster", "node", "--json"]).exits(0).json();
    assert_eq!(json[0]["node"]["role"], "leader");
    let both = format!("{},{}", fake.address, crate::fake::nobody());
    let text = paasta(&[
        "cluster",
        "node",
        "--coordinators",
        &both,
        "--timeout",
        "1s",
    ])
    .exits(2);
    assert!(text.stdout.contains("refused"), "{text:?}");
}

#[test]
fn events_are_followed_from_one_coordinator_to_the_next() {
    use std::{
        io::BufRead as _,
        process::{Command, Stdio},
    };
    let (one, other) = (Fake::start(world()), Fake::start(world()));
    let both = format!("{},{}", one.address, other.address);
    let mut child = Command::new(env!("CARGO_BIN_EXE_paasta"))
        .args(["events", "-f", "--json", "--coordinators", &both])
        .env("PAASTA_SYSTEM_CONFIG_DIR", "/nonexistent/paasta")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start paasta");
    let out = child.stdout.take().expect("its output is a pipe");
    // Each coordinator tells two, one of them twice, and goes away.
    let lines = std::io::BufReader::new(out).lines().take(9);
    let seen: Vec<u64> = lines
        .map(|line| {
            let event: serde_json::Value =
                serde_json::from_str(&line.expect("a line")).expect("an event");
            event["index"].as_u64().expect("a number")
        })
        .collect();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // The pipe is closed now: it ends by itself.
    assert!(child.wait().expect("it ends").success());
    assert!(one.calls() > 1 && other.calls() > 0, "both were asked");
}

#[test]
fn what_is_read_fits_a_terminal_of_80_columns() {
    let host = |number: u64| HostStatus {
        id: format!("host{number}.rack-with-a-long-name.example.com"),
        address: format!("10.77.0.{number}"),
        pool: "default".to_owned(),
        state: HostState::Up.into(),
        last_seen_ms: Some(NOW_MS - 500),
        ..Default::default()
    };
    let mut script = world();
    script.metastatus = MetastatusResponse {
        hosts: (10..13).map(host).collect(),
        ..Default::default()
    };
    let fake = Fake::start(script);
    let verbs: [&[&str]; 7] = [
        &["status"],
        &["status", "-v"],
        &["why", "hello.worker"],
        &["events"],
        &["metastatus", "-vvv"],
        &["list", "-i"],
        &["cluster", "node"],
    ];
    for verb in verbs {
        let mut args = verb.to_vec();
        args.extend(["--coordinators", &fake.address]);
        let ran = paasta_with(&args, &[("COLUMNS", "80")], "");
        let long: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(
            !ran.stdout.is_empty() && long.is_empty(),
            "{verb:?}: {long:#?}"
        );
        // This is no terminal, whatever its width.
        assert!(!ran.stdout.contains('\u{1b}'), "{verb:?} is coloured");
    }
}
