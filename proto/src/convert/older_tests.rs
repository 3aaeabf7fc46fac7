//! Reports and assignments of a program of 0.1.0, which says and reads each closed set as text only,
//! under the numbers of before.

use std::collections::BTreeMap;

use paasta_common::{
    app::{Constraint, HealthCheck, NetworkMode, Probe},
    assignment::Want,
    report::{EndCause, Health, HostReport, ImageProblem, Phase},
    spec::{DrainMethod, RunSettings},
    time::Timestamp,
};
use prost::Message;

use super::{
    tests::{OPERATORS, assignment, full_app, report},
    words::{cause_to_wire, image_problem_to_wire, operator_to_wire},
    *,
};
use crate::{texts::Texts, v1, words::Words as _};

const NOW: Timestamp = Timestamp(1_700_000_001_000);

/// The fields of 0.1.0 that are words, and those that lead to them.
#[derive(Clone, PartialEq, Message)]
struct OldReport {
    #[prost(bool, tag = "1")]
    complete: bool,
    #[prost(message, repeated, tag = "2")]
    replicas: Vec<OldReplica>,
}

#[derive(Clone, PartialEq, Message)]
struct OldReplica {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    app: String,
    #[prost(string, tag = "3")]
    phase: String,
    #[prost(string, tag = "4")]
    health: String,
    #[prost(message, optional, tag = "14")]
    last_end: Option<OldEnd>,
    #[prost(message, optional, tag = "20")]
    image: Option<OldImage>,
}

#[derive(Clone, PartialEq, Message)]
struct OldEnd {
    #[prost(uint64, tag = "1")]
    run: u64,
    #[prost(string, tag = "3")]
    cause: String,
}

#[derive(Clone, PartialEq, Message)]
struct OldImage {
    #[prost(string, tag = "3")]
    problem: String,
}

#[derive(Clone, PartialEq, Message)]
struct OldAssignment {
    #[prost(btree_map = "string, message", tag = "5")]
    apps: BTreeMap<String, OldApp>,
    #[prost(message, repeated, tag = "6")]
    replicas: Vec<OldAssigned>,
}

#[derive(Clone, PartialEq, Message)]
struct OldApp {
    #[prost(string, tag = "9")]
    net: String,
    #[prost(message, optional, tag = "15")]
    health: Option<OldCheck>,
    #[prost(message, repeated, tag = "19")]
    constraints: Vec<OldConstraint>,
}

#[derive(Clone, PartialEq, Message)]
struct OldCheck {
    #[prost(string, tag = "1")]
    mode: String,
}

#[derive(Clone, PartialEq, Message)]
struct OldConstraint {
    #[prost(string, tag = "2")]
    operator: String,
}

#[derive(Clone, PartialEq, Message)]
struct OldAssigned {
    #[prost(string, tag = "4")]
    want: String,
    #[prost(message, optional, tag = "5")]
    run: Option<OldRun>,
}

#[derive(Clone, PartialEq, Message)]
struct OldRun {
    #[prost(message, optional, tag = "2")]
    drain: Option<OldDrain>,
}

#[derive(Clone, PartialEq, Message)]
struct OldDrain {
    #[prost(string, tag = "1")]
    name: String,
}

/// What a program of 0.1.0 reads of a message.
fn old<T: Message + Default>(mut message: impl Message + Texts) -> T {
    message.write_texts();
    T::decode(&*message.encode_to_vec()).unwrap()
}

/// The same message as a program of 0.1.0 sends it: without the enums.
fn from_old<T: Message + Texts + Default>(old: &impl Message) -> T {
    let mut message = T::decode(&*old.encode_to_vec()).unwrap();
    message.read_texts();
    message
}

fn of(phase: Phase, health: Health, cause: EndCause, problem: Option<ImageProblem>) -> HostReport {
    let mut report = report();
    report.replicas.remove(0);
    let replica = &mut report.replicas[0];
    (replica.phase, replica.health) = (phase, health);
    replica.last_end.as_mut().unwrap().cause = cause;
    replica.image.problem = problem;
    report
}

fn reports() -> Vec<HostReport> {
    let phases = [
        Phase::Accepted,
        Phase::Pulling,
        Phase::Starting,
        Phase::Running,
        Phase::BackingOff,
        Phase::Draining,
        Phase::Stopping,
        Phase::Gone,
    ];
    let healths = [
        Health::Unknown,
        Health::Unchecked,
        Health::Healthy,
        Health::Unhealthy,
    ];
    let problems = [
        None,
        Some(ImageProblem::Missing),
        Some(ImageProblem::Denied),
        Some(ImageProblem::Unreachable),
        Some(ImageProblem::Failed),
    ];
    let causes = EndCause::ALL;
    let reports = phases.into_iter().enumerate().map(|(at, phase)| {
        let health = healths[at % healths.len()];
        of(
            phase,
            health,
            causes[at % causes.len()],
            problems[at % problems.len()],
        )
    });
    reports.collect()
}

#[test]
fn an_older_coordinator_reads_the_words_of_a_report() {
    for report in reports() {
        let read: OldReport = old(report_to_wire(&report, NOW));
        let (said, replica) = (&read.replicas[0], &report.replicas[0]);
        assert_eq!(said.phase, replica.phase.as_str());
        assert_eq!(said.health, replica.health.as_str());
        let end = replica.last_end.as_ref().unwrap();
        assert_eq!(said.last_end.as_ref().unwrap().cause, end.cause.as_str());
        let problem = replica.image.problem.as_ref();
        let problem = problem.map_or("", |problem| problem.as_str());
        assert_eq!(said.image.as_ref().unwrap().problem, problem);
    }
}

#[test]
fn the_report_of_an_older_agent_is_read_by_its_words() {
    for report in reports() {
        let said: OldReport = old(report_to_wire(&report, NOW));
        let read = report_from_wire(from_old(&said), NOW).unwrap();
        let (read, replica) = (&read.replicas[0], &report.replicas[0]);
        assert_eq!((read.phase, read.health), (replica.phase, replica.health));
        assert_eq!(read.image.problem, replica.image.problem);
        let cause = |end: &Option<paasta_common::report::RunEnd>| end.as_ref().unwrap().cause;
        assert_eq!(cause(&read.last_end), cause(&replica.last_end));
        assert_eq!(read.unrecognized(), Vec::<String>::new());
    }
}

/// Every drain method, network and check, with its word.
type Words = (
    (DrainMethod, &'static str),
    (NetworkMode, &'static str),
    (Probe, &'static str),
);

fn every_word() -> [Words; 4] {
    let uri = || "/".to_owned();
    let named = NetworkMode::Named("blue".to_owned());
    let params = "{}".to_owned();
    [
        (
            (DrainMethod::Noop, "noop"),
            (NetworkMode::Bridge, "bridge"),
            (Probe::Http { uri: uri() }, "http"),
        ),
        (
            (DrainMethod::hacheck(7), "hacheck"),
            (NetworkMode::Host, "host"),
            (Probe::Https { uri: uri() }, "https"),
        ),
        (
            (DrainMethod::Test { delay_ms: 7 }, "test"),
            (NetworkMode::None, "none"),
            (Probe::Tcp, "tcp"),
        ),
        (
            (DrainMethod::Http { params }, "http"),
            (named, "named:blue"),
            (Probe::Cmd { command: uri() }, "cmd"),
        ),
    ]
}

/// An app with this network and check, and every operator.
fn app(net: NetworkMode, probe: Probe) -> v1::AppSpec {
    let mut app = full_app();
    app.net = net;
    let check = app.health.clone().unwrap();
    app.health = Some(HealthCheck { probe, ..check });
    let constraint = app.constraints[0].clone();
    app.constraints = OPERATORS
        .map(|operator| Constraint {
            operator,
            ..constraint.clone()
        })
        .to_vec();
    app_to_wire(&app)
}

fn old_app(net: &str, mode: &str) -> OldApp {
    let constraint = |operator| OldConstraint {
        operator: operator_to_wire(operator).word().to_owned(),
    };
    OldApp {
        net: net.to_owned(),
        health: Some(OldCheck {
            mode: mode.to_owned(),
        }),
        constraints: OPERATORS.map(constraint).to_vec(),
    }
}

fn old_assigned(want: Want, drain: &str) -> OldAssigned {
    let name = drain.to_owned();
    OldAssigned {
        want: want_to_wire(want).word().to_owned(),
        run: Some(OldRun {
            drain: Some(OldDrain { name }),
        }),
    }
}

/// An assignment with each word of an order somewhere, and the same as text.
fn orders() -> (v1::Assignment, OldAssignment) {
    let wants = [Want::Run, Want::Drain, Want::Stop, Want::Run];
    let ids: Vec<(u64, Want)> = (0..).zip(wants).collect();
    let mut wire = assignment_to_wire(&assignment(1, &ids), true);
    wire.apps.clear();
    let mut text = OldAssignment::default();
    for ((drain, net, probe), (replica, want)) in every_word()
        .into_iter()
        .zip(wire.replicas.iter_mut().zip(wants))
    {
        replica.app = format!("hello.main.git3f2a9c0d.config0000000{}", replica.id);
        replica.run = Some(run_to_wire(&RunSettings {
            drain: drain.0,
            ..RunSettings::default()
        }));
        wire.apps.insert(replica.app.clone(), app(net.0, probe.0));
        text.apps
            .insert(replica.app.clone(), old_app(net.1, probe.1));
        text.replicas.push(old_assigned(want, drain.1));
    }
    (wire, text)
}

#[test]
fn an_older_agent_reads_the_words_of_an_assignment() {
    let (wire, text) = orders();
    assert_eq!(old::<OldAssignment>(wire), text);
}

#[test]
fn the_assignment_of_an_older_coordinator_is_read_by_its_words() {
    let (wire, text) = orders();
    let read: v1::Assignment = from_old(&text);
    let mut merged = wire.clone();
    for (replica, said) in merged.replicas.iter_mut().zip(&read.replicas) {
        replica.want = said.want;
        let drain = replica.run.as_mut().unwrap().drain.as_mut().unwrap();
        drain.name = said.run.clone().unwrap().drain.unwrap().name;
    }
    for (id, app) in &mut merged.apps {
        let said = &read.apps[id];
        app.net.clone_from(&said.net);
        app.health.as_mut().unwrap().mode = said.health.as_ref().unwrap().mode;
        for (constraint, said) in app.constraints.iter_mut().zip(&said.constraints) {
            constraint.operator = said.operator;
        }
    }
    assert_eq!(merged, wire);
    apply_wire(None, merged).unwrap();
}

#[test]
fn words_are_those_of_status_and_of_0_1() {
    for cause in EndCause::ALL {
        assert_eq!(cause_to_wire(cause).unwrap().word(), cause.as_str());
    }
    for problem in [
        ImageProblem::Missing,
        ImageProblem::Denied,
        ImageProblem::Unreachable,
        ImageProblem::Failed,
    ] {
        let word = image_problem_to_wire(problem).unwrap().word();
        assert_eq!(word, problem.as_str());
    }
    let operators = OPERATORS.map(|operator| operator_to_wire(operator).word());
    let said = ["UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER"];
    assert_eq!(operators, said);
}

#[test]
fn an_order_that_is_only_a_text_and_unknown_is_named_by_it() {
    let text = OldAssigned {
        want: "pause".to_owned(),
        run: None,
    };
    let read: v1::AssignedReplica = from_old(&text);
    let error = want_from_wire(read.want, &read.want_word).unwrap_err();
    assert_eq!(
        error.to_string(),
        "want: \"pause\" is not one of run, drain, stop"
    );
}
