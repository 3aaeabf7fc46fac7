//! Golden text at 80 columns: a quiet instance, a bounce with everything going on, one in trouble.

use std::{fs, path::Path};

use paasta_proto::v1::{
    BounceState, Counts, DeadlineAction, DeployStatus, DesiredState, Problem, ReplicaClass,
    ReplicaHealth, ReplicaPhase, ReplicaStatus, Severity, Waiting, WaitingKind,
};
use paasta_proto::words::value;

use super::*;
use crate::render::view_80;

const NOW: u64 = 1_763_903_530_000;

fn counts(happy: u32, starting: u32, running: u32) -> Option<Counts> {
    Some(Counts {
        happy,
        starting,
        running,
        ..Counts::default()
    })
}

fn app(id: &str, desired: bool, happy: u32, starting: u32) -> AppStatus {
    AppStatus {
        app: id.to_owned(),
        desired,
        counts: counts(happy, starting, happy),
        replicas: happy + starting,
        created_at_ms: NOW - 7_200_000,
        ..AppStatus::default()
    }
}

fn replica(id: &str, app: &str, phase: &str, class: &str) -> ReplicaStatus {
    ReplicaStatus {
        id: id.to_owned(),
        app: app.to_owned(),
        host: "host1".to_owned(),
        address: "10.77.0.11".to_owned(),
        host_port: Some(31234),
        phase: value::<ReplicaPhase>(phase).expect("a word"),
        health: ReplicaHealth::Healthy.into(),
        class: value::<ReplicaClass>(class).expect("a word"),
        run: 1,
        started_at_ms: Some(NOW - 125_000),
        ..ReplicaStatus::default()
    }
}

const NEW: &str = "hello.main.git3f2a9c0d.config94232c5b";
const OLD: &str = "hello.main.git11111111.config94232c5b";

fn quiet() -> InstanceStatus {
    InstanceStatus {
        service: "hello".to_owned(),
        instance: "main".to_owned(),
        desired_app: NEW.to_owned(),
        git_sha: "3f2a9c0d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned(),
        desired_state: DesiredState::Start.into(),
        wanted: 3,
        counts: counts(3, 0, 3),
        apps: vec![app(NEW, true, 3, 0)],
        deploy_status: DeployStatus::Running.into(),
        bounce_method: BounceMethod::Crossover.into(),
        desired_since_ms: NOW - 7_200_000,
        ..InstanceStatus::default()
    }
}

fn answer(instances: Vec<InstanceStatus>) -> StatusResponse {
    let cluster = "demo".to_owned();
    StatusResponse {
        cluster,
        instances,
        now_ms: NOW,
        ..StatusResponse::default()
    }
}

fn render(response: &StatusResponse, view: &View) -> String {
    let mut pages = Pages::default();
    pages.page(response, view) + &pages.rest(response, view)
}

/// What the view of a coordinator answers, as `coordinator/src/rpc/view/tests.rs` writes it, and the
/// same at 80 columns.
const GOLDEN: [&str; 2] = ["tests/data/status.json", "tests/data/status.txt"];

#[test]
fn an_answer_of_a_coordinator_in_full() {
    let [answer, golden] = GOLDEN.map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let answer = fs::read_to_string(answer).expect("the file is there");
    let response: StatusResponse = serde_json::from_str(&answer).expect("it is an answer");
    let text = render(&response, &view_80());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &text).expect("the file is written");
    }
    let kept = fs::read_to_string(&golden).expect("the file is there");
    assert_eq!(
        text, kept,
        "run this test with UPDATE_GOLDEN=1, and read the difference"
    );
    // Unhealthy is red, by its class, and happy is not.
    let mut view = view_80();
    view.colour = true;
    let coloured = render(&response, &view);
    // As the columns of a table have it.
    let red = |word: &str| format!("\u{1b}[38;5;1m{word}");
    let classes = response.instances.iter().flat_map(|one| &one.replicas);
    let unhappy = classes.filter(|one| one.class() == ReplicaClass::Unhappy);
    assert_eq!(
        (unhappy.count(), coloured.matches(&red("unhealthy")).count()),
        (1, 1)
    );
    assert_eq!(coloured.matches(&red("image-missing")).count(), 1);
    assert!(!coloured.contains(&red("healthy")), "{coloured}");
}

#[test]
fn a_service_that_goes_on_over_two_pages_has_one_heading() {
    let mut pages = Pages::default();
    let first = pages.page(&answer(vec![quiet()]), &view_80());
    let second = pages.page(&answer(vec![quiet()]), &view_80());
    assert_eq!(first, QUIET);
    assert_eq!(first, format!("\nservice: hello\ncluster: demo\n{second}"));
}

#[test]
fn what_scales_it_and_what_takes_traffic_are_said_when_known() {
    let mut status = quiet();
    status.autoscaling = Some(paasta_proto::v1::Autoscaling {
        min_instances: 2,
        max_instances: 9,
    });
    status.replicas = vec![
        replica("r1", NEW, "running", "happy"),
        replica("r2", NEW, "running", "happy"),
    ];
    status.replicas[0].in_load_balancer = Some(true);
    let text = render(&answer(vec![status]), &view_80());
    assert!(
        text.contains("    Autoscaling:    2 to 9 instances; 3 by max_instances (no autoscaler)\n"),
        "{text}"
    );
    assert!(
        text.contains("    Load balancer:  1 of 2 replicas in, 1 known\n"),
        "{text}"
    );
}

#[test]
fn the_bounds_of_autoscaling_say_where_the_number_comes_from() {
    let mut status = quiet();
    status.autoscaling = Some(paasta_proto::v1::Autoscaling {
        min_instances: 2,
        max_instances: 9,
    });
    let overridden = |kind: OverrideKind, instances| {
        Some(OverrideStatus {
            kind: kind.into(),
            kind_word: String::new(),
            instances,
            by: "ann@desk".to_owned(),
            principal: String::new(),
            claimed: String::new(),
            since_ms: NOW - 60_000,
        })
    };
    for (desired, known, expected) in [
        (
            "start",
            overridden(OverrideKind::Pin, Some(3)),
            "2 to 9 instances; pinned to 3 by ann@desk",
        ),
        (
            "start",
            overridden(OverrideKind::Scale, Some(3)),
            "2 to 9 instances; 3 by the override",
        ),
        ("stop", None, "2 to 9 instances; stopped"),
    ] {
        status.desired_state = value::<DesiredState>(desired).expect("a word");
        status.overridden = known;
        let text = render(&answer(vec![status.clone()]), &view_80());
        // Long ones go on in the next line.
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = format!(" Autoscaling: {expected} ");
        assert!((words.join(" ") + " ").contains(&line), "{line}\n{text}");
    }
}

#[test]
fn a_quiet_instance() {
    assert_eq!(render(&answer(vec![quiet()]), &view_80()), QUIET);
}

#[test]
fn a_bounce_in_full() {
    let mut failing = replica("r12", NEW, "starting", "unhappy");
    failing.run = 4;
    failing.failures = 3;
    failing.host_port = None;
    failing.next_try_at_ms = Some(NOW + 20_000);
    failing.message = "exited with code 1 after 2 s; the last lines were:\nthread main panicked: \u{1b}[31mno database\u{1b}[0m".to_owned();
    let status = InstanceStatus {
        counts: counts(3, 1, 4),
        apps: vec![app(NEW, true, 1, 1), app(OLD, false, 2, 0)],
        bounce: Some(BounceStatus {
            method: BounceMethod::Crossover.into(),
            method_word: String::new(),
            to: NEW.to_owned(),
            from: vec![OLD.to_owned()],
            started_at_ms: NOW - 95_000,
            last_progress_at_ms: NOW - 30_000,
            deadline_ms: Some(NOW + 505_000),
            on_deadline: DeadlineAction::GoOn.into(),
            state: BounceState::Going.into(),
            new_happy: 1,
            new_wanted: 3,
            old_happy: 2,
            old_total: 2,
        }),
        waiting: vec![Waiting {
            kind: WaitingKind::Capacity.into(),
            kind_word: String::new(),
            what: "1 replica finds no host: 0 of 12 hosts fit".to_owned(),
            since_ms: NOW - 40_000,
            deadline_ms: Some(NOW + 505_000),
            then: "the bounce goes on with what it has".to_owned(),
            refusals: [
                ("lack 512 MB memory".to_owned(), 7),
                ("not in pool gpu".to_owned(), 5),
            ]
            .into(),
        }],
        replicas: vec![
            replica("r11", NEW, "running", "happy"),
            failing,
            replica("r7", OLD, "running", "draining"),
            replica("r8", OLD, "placed", "at-risk"),
        ],
        deploy_status: DeployStatus::Bouncing.into(),
        ..quiet()
    };
    assert_eq!(render(&answer(vec![status]), &view_80()), BOUNCE);
}

#[test]
fn instances_in_trouble() {
    let never = InstanceStatus {
        instance: "cron".to_owned(),
        desired_app: String::new(),
        git_sha: String::new(),
        counts: None,
        apps: Vec::new(),
        deploy_status: DeployStatus::NotDeployed.into(),
        desired_since_ms: 0,
        ..quiet()
    };
    let problem = Problem {
        file: "hello/marathon-demo.yaml".to_owned(),
        line: Some(12),
        column: Some(3),
        field: "worker.mem".to_owned(),
        message: "expected a number of MiB that is at least 32, and found the text \"lots\""
            .to_owned(),
        severity: Severity::Error.into(),
    };
    let broken = InstanceStatus {
        instance: "worker".to_owned(),
        desired_state: DesiredState::Stop.into(),
        wanted: 0,
        counts: counts(0, 0, 0),
        apps: Vec::new(),
        deploy_status: DeployStatus::Stopped.into(),
        problems: vec![problem],
        ..quiet()
    };
    let mut response = answer(vec![never, broken]);
    let message = "not a service: there is no service.yaml".to_owned();
    response.problems.push(Problem {
        file: "scratch".to_owned(),
        severity: Severity::Warning.into(),
        message,
        ..Problem::default()
    });
    assert_eq!(render(&response, &view_80()), TROUBLE);
}

#[test]
fn no_line_is_wider_than_asked_for() {
    let mut view = view_80();
    let long = Waiting {
        kind: WaitingKind::Host.into(),
        what: "word ".repeat(100),
        ..Waiting::default()
    };
    let status = InstanceStatus {
        waiting: vec![long],
        ..quiet()
    };
    for width in [60, 80, 120] {
        view.width = Some(width);
        let text = render(&answer(vec![status.clone()]), &view);
        assert!(
            text.lines().all(|line| line.chars().count() <= width),
            "{text}"
        );
    }
}

const BOUNCE: &str = r#"
service: hello
cluster: demo

    instance: main
    Git sha:        3f2a9c0d (desired), since 2025-11-23 11:12:10 (2h ago)
    Desired state:  Bouncing (crossover) and Started
    Health:         Healthy - up with (3/3) replicas. Status: Bouncing
    App:            hello.main.git3f2a9c0d.config94232c5b
    Replicas:       4 running of 3 wanted; 3 happy, 1 starting
    Versions:
      hello.main.git3f2a9c0d.config94232c5b (wanted)
        2 placed: 1 happy, 1 starting; since 2025-11-23 11:12:10 (2h ago)
      hello.main.git11111111.config94232c5b (old)
        2 placed: 2 happy; since 2025-11-23 11:12:10 (2h ago)
    Bounce:         crossover, going for 1m 35s: new 1/3 happy, old 2/2 happy,
                    last step 30s ago, deadline in 8m 25s (then go on)
    Waiting for:
      - capacity: 1 replica finds no host: 0 of 12 hosts fit (for 40s; at most
        8m 25s more; then: the bounce goes on with what it has)
          hosts that refuse: 7 lack 512 MB memory, 5 not in pool gpu
    ID   HOST   ADDRESS           GIT       STATE     UP     RUN  FAILS  NEXT
    r11  host1  10.77.0.11:31234  3f2a9c0d  healthy   2m 5s  1    0      -
    r12  host1  -                 3f2a9c0d  starting  -      4    3      in 20s
    r7   host1  10.77.0.11:31234  11111111  draining  2m 5s  1    0      -
    r8   host1  10.77.0.11:31234  11111111  at-risk   -      1    0      -
    r12: exited with code 1 after 2 s; the last lines were: thread main
        panicked: �[31mno database�[0m
"#;

const QUIET: &str = r#"
service: hello
cluster: demo

    instance: main
    Git sha:        3f2a9c0d (desired), since 2025-11-23 11:12:10 (2h ago)
    Desired state:  Configured and Started
    Health:         Healthy - up with (3/3) replicas. Status: Running
    App:            hello.main.git3f2a9c0d.config94232c5b
    Replicas:       3 running of 3 wanted; 3 happy
"#;

const TROUBLE: &str = r#"
service: hello
cluster: demo

    instance: cron
    Git sha:        None (not deployed yet)
    Replicas:       0 running of 3 wanted; none

    instance: worker
    Git sha:        3f2a9c0d (desired), since 2025-11-23 11:12:10 (2h ago)
    Desired state:  Disabled and Stopped
    Health:         Healthy - up with (0/0) replicas. Status: Stopped
    App:            hello.main.git3f2a9c0d.config94232c5b
    Replicas:       0 running of 0 wanted; none
    Problems of the configuration:
      ✗ hello/marathon-demo.yaml:12:3: worker.mem: expected a number of MiB that
        is at least 32, and found the text "lots"

Problems of the configuration:
  ! scratch: not a service: there is no service.yaml
"#;
