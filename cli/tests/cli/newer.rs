//! A coordinator that is newer than the command: each value that is not known is shown as such.

use paasta_proto::v1::{
    BounceMethod, BounceStatus, HostState, HostStatus, MetastatusResponse, OverrideStatus, Problem,
    ReplicaStatus, RunEnd, Waiting,
};

use crate::{
    fake::{Fake, NOW_MS, Script},
    paasta::{Ran, paasta_with},
    show::instance,
};

const NEWER: i32 = 17;

fn ask(fake: &Fake, args: &[&str]) -> Ran {
    paasta_with(args, &[("PAASTA_COORDINATORS", &fake.address)], "")
}

fn replica(id: &str, [phase, health, class, want]: [i32; 4]) -> ReplicaStatus {
    ReplicaStatus {
        id: id.to_owned(),
        host: "host1".to_owned(),
        phase,
        health,
        class,
        want,
        run: 2,
        ..ReplicaStatus::default()
    }
}

fn world() -> Script {
    let mut main = instance("hello", "main", 3, 3);
    main.desired_state = NEWER;
    main.deploy_status = NEWER;
    main.bounce = Some(BounceStatus {
        method: BounceMethod::Crossover.into(),
        state: NEWER,
        on_deadline: NEWER,
        deadline_ms: Some(NOW_MS + 60_000),
        started_at_ms: NOW_MS - 60_000,
        ..BounceStatus::default()
    });
    main.overridden = Some(OverrideStatus {
        kind: NEWER,
        by: "ann@desk".to_owned(),
        ..OverrideStatus::default()
    });
    main.waiting.push(Waiting {
        // 17 is known.
        kind: 99,
        what: "something new".to_owned(),
        ..Waiting::default()
    });
    main.problems.push(Problem {
        file: "hello/marathon-demo.yaml".to_owned(),
        message: "too purple".to_owned(),
        severity: NEWER,
        ..Problem::default()
    });
    main.replicas = vec![
        replica("r1", [NEWER; 4]),
        // Running and happy, as far as that is known.
        replica("r2", [5, NEWER, 1, NEWER]),
        replica("r3", [11, 5, 3, 1]),
    ];
    main.replicas[2].unrecognized = vec!["phase \"frozen\"".to_owned()];
    main.replicas[2].last_end = Some(RunEnd {
        run: 1,
        cause: NEWER,
        at_ms: NOW_MS - 5_000,
        ..RunEnd::default()
    });
    main.replicas[2].last_end_text =
        "run 1 ended: cause 17, which this version does not know".to_owned();
    let host = |id: &str, state: i32, part: i32, limits: i32| HostStatus {
        id: id.to_owned(),
        address: "10.77.0.11".to_owned(),
        pool: "default".to_owned(),
        state,
        runtime_degraded: if part > 0 { "hot" } else { "" }.to_owned(),
        degraded_part: part,
        disk_limits: limits,
        connected: true,
        ..HostStatus::default()
    };
    Script {
        instances: vec![main],
        page: 1000,
        metastatus: MetastatusResponse {
            cluster: "demo".to_owned(),
            now_ms: NOW_MS,
            hosts: vec![
                host("host1", NEWER, 0, 1),
                host("host2", HostState::Up.into(), NEWER, NEWER),
            ],
            ..MetastatusResponse::default()
        },
        ..Script::default()
    }
}

fn has(ran: &Ran, lines: &[&str]) {
    for line in lines {
        assert!(ran.stdout.contains(line), "{line}: {ran:?}");
    }
}

#[test]
fn status_shows_what_it_does_not_know() {
    let fake = Fake::start(world());
    let args = ["status", "-s", "hello", "-i", "main", "-v"];
    let status = ask(&fake, &args).exits(2);
    has(
        &status,
        &[
            "and unknown (17)",
            "Status: Unknown (17)",
            "crossover, unknown (17) for 1m",
            "(then unknown (17))",
            "emergency unknown (17) by ann@desk",
            "- unknown (99): something new",
            "severity unknown (17): hello/marathon-demo.yaml: too purple",
            "r3: its host reports what the coordinator does not know: phase",
            "\"frozen\"",
            "cause 17, which this version does not know",
        ],
    );
    for (id, state) in [
        ("r1 ", "unknown (17)"),
        ("r2 ", "unknown (17)"),
        ("r3 ", "unrecognized"),
    ] {
        let row = status
            .stdout
            .lines()
            .find(|line| line.trim().starts_with(id));
        assert!(
            row.is_some_and(|row| row.contains(state)),
            "{id}: {status:?}"
        );
    }
    let why = ask(&fake, &["why", "hello.main"]).exits(2);
    has(&why, &["severity unknown (17)", "phase \"frozen\""]);
}

#[test]
fn programs_get_the_number() {
    let fake = Fake::start(world());
    let args = ["status", "-s", "hello", "--json", "-v"];
    let json = ask(&fake, &args).exits(2).json();
    let one = &json["instances"][0];
    assert_eq!(one["deploy_status"], "unrecognized-17");
    assert_eq!(one["overridden"]["kind"], "unrecognized-17");
    assert_eq!(one["waiting"][0]["kind"], "unrecognized-99");
    assert_eq!(one["problems"][0]["severity"], "unrecognized-17");
    assert_eq!(one["replicas"][0]["phase"], "unrecognized-17");
    assert_eq!(one["replicas"][2]["unrecognized"][0], "phase \"frozen\"");
    let end = &one["replicas"][2]["last_end"];
    assert_eq!(end["cause"], "unrecognized-17");
    assert_eq!(end.get("cause_word"), None, "{end}");
}

#[test]
fn metastatus_shows_what_it_does_not_know() {
    let fake = Fake::start(world());
    let shown = ask(&fake, &["metastatus", "-vvv"]);
    has(
        &shown,
        &[
            "1 in a state that this paasta does not know",
            "a part that this paasta does not know fails on",
            "host2: unknown (17)",
            "unknown (17) on 1 host (host2)",
        ],
    );
    let row = shown.stdout.lines().find(|line| line.starts_with("host1 "));
    assert!(
        row.is_some_and(|row| row.contains("unknown (17)")),
        "{shown:?}"
    );
}
