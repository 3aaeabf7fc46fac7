//! Every word survives the wire, and what is wrong on the wire is named.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::{
        AppSpec, Constraint, DockerArgs, HealthCheck, NetworkMode, Operator, Probe, Resources,
        Ulimit, Volume,
    },
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    disk::{DiskLimits, HostDiskLimits},
    host::HostInfo,
    id::ReplicaId,
    report::{
        EndCause, Health, HostPart, HostReport, ImageProblem, ImageReport, Phase, PullProgress,
        ReplicaReport, RunEnd, Runtime, Trouble, Troubles,
    },
    spec::{DrainMethod, RunSettings},
    time::Timestamp,
};

use super::*;
use crate::v1;

pub(super) const OPERATORS: [Operator; 6] = [
    Operator::Unique,
    Operator::Cluster,
    Operator::GroupBy,
    Operator::Like,
    Operator::Unlike,
    Operator::MaxPer,
];
const APP: &str = "hello.main.git3f2a9c0d.config94232c5b";

pub(super) fn full_app() -> AppSpec {
    AppSpec {
        image: "registry:5000/services-hello:paasta-3f2a9c0d".to_owned(),
        git_sha: "3f2a9c0d".to_owned(),
        resources: Resources {
            cpus_milli: 250,
            mem_mb: 64,
            disk_mb: 1024,
            gpus: 1,
        },
        cpu_burst_milli: 1000,
        cfs_period_us: 100_000,
        cmd: Some("exec serve".to_owned()),
        args: vec!["-v".to_owned()],
        env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        net: NetworkMode::Named("blue".to_owned()),
        container_port: 8888,
        host_port: 31000,
        volumes: vec![Volume {
            container_path: "/nail/etc".to_owned(),
            host_path: "/nail/etc".to_owned(),
            read_only: true,
        }],
        ulimits: BTreeMap::from([(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: Some(2048),
            },
        )]),
        cap_add: vec!["CHOWN".to_owned()],
        health: Some(HealthCheck {
            probe: Probe::Http {
                uri: "/status".to_owned(),
            },
            grace_ms: 60_000,
            interval_ms: 10_000,
            timeout_ms: 10_000,
            max_consecutive_failures: 30,
        }),
        backoff_factor: 2,
        backoff_max_ms: 300_000,
        pool: "default".to_owned(),
        constraints: vec![Constraint {
            attribute: "habitat".to_owned(),
            operator: Operator::GroupBy,
            value: Some("2".to_owned()),
        }],
        docker: DockerArgs {
            add_hosts: vec!["db:10.0.0.1".to_owned()],
            dns: vec!["10.0.0.2".to_owned()],
            dns_options: vec!["ndots:1".to_owned()],
            dns_search: vec!["example.com".to_owned()],
            labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            read_only: true,
            shm_bytes: 1 << 20,
            stop_signal: Some("SIGINT".to_owned()),
            user: Some("nobody".to_owned()),
        },
    }
}

pub(super) fn assignment(generation: u64, ids: &[(u64, Want)]) -> Assignment {
    let (spec, run) = (Arc::new(full_app()), Arc::new(RunSettings::default()));
    let replica = |(id, want): &(u64, Want)| {
        let replica = AssignedReplica {
            instance: "hello.main".parse().unwrap(),
            app: APP.parse().unwrap(),
            spec: Arc::clone(&spec),
            run: Arc::clone(&run),
            want: *want,
            tried: Tried {
                failures: 5,
                reset: 9,
            },
        };
        (ReplicaId(*id), replica)
    };
    Assignment {
        fence: Fence {
            cluster_id: "c1".to_owned(),
            epoch: 1,
            term: 3,
            generation,
        },
        host: "host1".parse().unwrap(),
        replicas: ids.iter().map(replica).collect(),
    }
}

#[test]
fn every_variant_of_an_app_survives_the_wire() {
    let mut apps = vec![full_app(), AppSpec::default()];
    for net in [NetworkMode::Bridge, NetworkMode::Host, NetworkMode::None] {
        apps.push(AppSpec { net, ..full_app() });
    }
    for probe in [
        Probe::Tcp,
        Probe::Https {
            uri: "/".to_owned(),
        },
        Probe::Cmd {
            command: "true".to_owned(),
        },
    ] {
        let mut app = full_app();
        app.health.as_mut().unwrap().probe = probe;
        apps.push(app);
    }
    for operator in OPERATORS {
        let mut app = full_app();
        app.constraints[0].operator = operator;
        apps.push(app);
    }
    for app in apps {
        assert_eq!(app_from_wire(app_to_wire(&app)).unwrap(), app);
    }
}

#[test]
fn every_drain_method_and_want_survives_the_wire() {
    let delay_ms = 7;
    let params = "{\"drain\":{}}".to_owned();
    for drain in [
        DrainMethod::Noop,
        DrainMethod::hacheck(delay_ms),
        DrainMethod::Hacheck {
            delay_ms,
            port: 6667,
            expiration_ms: 8,
        },
        DrainMethod::Test { delay_ms },
        DrainMethod::Http { params },
    ] {
        let run = RunSettings {
            drain,
            registrations: vec!["hello.main".to_owned()],
            backoff_base_ms: 1,
            stop_grace_ms: 2,
            drain_timeout_ms: 3,
        };
        assert_eq!(run_from_wire(run_to_wire(&run)).unwrap(), run);
    }
    for want in [Want::Run, Want::Drain, Want::Stop] {
        let wire = want_to_wire(want).into();
        assert_eq!(want_from_wire(wire, "").unwrap(), want);
    }
}

/// A replica of which nothing is known, and one with all that there is.
pub(super) fn report() -> HostReport {
    let bare = ReplicaReport {
        id: ReplicaId(1),
        app: APP.parse().unwrap(),
        phase: Phase::Accepted,
        health: Health::Unknown,
        started_at: None,
        host_port: None,
        container: None,
        run: 0,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        image: ImageReport::default(),
        last_end: None,
        troubles: Troubles::default(),
        other_troubles: 0,
    };
    let full = ReplicaReport {
        phase: Phase::BackingOff,
        health: Health::Unhealthy,
        started_at: Some(Timestamp(5)),
        host_port: Some(31_000),
        container: Some("abc".to_owned()),
        run: 4,
        failures: 3,
        // Still to come when the report is made.
        next_try_at: Some(Timestamp(1_700_000_009_000)),
        drained: true,
        in_load_balancer: Some(false),
        message: "exit code 1".to_owned(),
        image: ImageReport {
            digest: Some("sha256:00".to_owned()),
            progress: Some(PullProgress {
                layers_done: 1,
                layers: 3,
                bytes_done: 10,
                bytes: 30,
            }),
            problem: Some(ImageProblem::Unreachable),
        },
        last_end: Some(RunEnd {
            run: 3,
            at: Timestamp(7),
            cause: EndCause::Exited,
            exit_code: Some(139),
            signal: Some("SIGSEGV".to_owned()),
            out_of_memory: false,
            memory_kills: 2,
            last_words: "boom".to_owned(),
        }),
        troubles: all_troubles(),
        ..bare.clone()
    };
    HostReport {
        complete: true,
        replicas: vec![bare, full],
        runtime: Runtime::Degraded {
            reason: "list timed out".to_owned(),
            since: Timestamp(1_700_000_000_000),
            part: HostPart::Disk,
        },
        generation: 12,
        disk_limits: Some(HostDiskLimits::Known(DiskLimits::Off)),
    }
}

#[test]
fn a_host_and_its_reports_survive_the_wire() {
    let host = HostInfo {
        id: "host1".parse().unwrap(),
        address: "10.0.0.1".to_owned(),
        pool: "default".to_owned(),
        attributes: BTreeMap::from([("habitat".to_owned(), "a".to_owned())]),
        capacity: Resources {
            cpus_milli: 4000,
            mem_mb: 8192,
            disk_mb: 100,
            gpus: 0,
        },
        agent_version: "0.1.0".to_owned(),
        machine: Some("0123456789abcdef0123456789abcdef".parse().unwrap()),
    };
    assert_eq!(host_from_wire(host_to_wire(&host)).unwrap(), host);
    let report = report();
    let now = Timestamp(1_700_000_001_000);
    let wire = report_to_wire(&report, now);
    assert_eq!(report_from_wire(wire.clone(), now).unwrap(), report);
    // Read by a clock that is two hours ahead, every moment is two hours later: as long ago.
    let ahead = 7_200_000;
    let read = report_from_wire(wire.clone(), now.after_ms(ahead)).unwrap();
    let end = |report: &HostReport| report.replicas[1].last_end.clone().unwrap().at;
    assert_eq!(
        read.replicas[1].started_at,
        report.replicas[1].started_at.map(|at| at.after_ms(ahead))
    );
    assert_eq!(end(&read), end(&report).after_ms(ahead));
    let since = |report: &HostReport| match report.runtime {
        Runtime::Degraded { since, .. } => since,
        Runtime::Ok => panic!("it is degraded"),
    };
    assert_eq!(since(&read), since(&report).after_ms(ahead));
    // An agent of before says moments only.
    let mut old = wire;
    old.runtime_degraded_ms_ago = None;
    for replica in &mut old.replicas {
        (replica.started_ms_ago, replica.next_try_in_ms) = (None, None);
        if let Some(end) = &mut replica.last_end {
            end.ms_ago = None;
        }
    }
    assert_eq!(report_from_wire(old, now.after_ms(ahead)).unwrap(), report);
}

#[test]
fn every_cause_part_and_disk_limit_survives_the_wire() {
    let now = Timestamp(9_000);
    for cause in EndCause::ALL {
        let cause = match cause {
            EndCause::OverDisk { .. } => EndCause::OverDisk {
                used_mb: 1200,
                limit_mb: 1024,
            },
            other => other,
        };
        let end = RunEnd {
            run: 3,
            at: Timestamp(7),
            cause,
            exit_code: None,
            signal: None,
            out_of_memory: false,
            memory_kills: 0,
            last_words: String::new(),
        };
        let wire = run_end_to_wire(&end, now);
        assert_eq!(run_end_from_wire(wire, now), end);
    }
    for part in HostPart::ALL {
        let limits = DiskLimits::ALL.map(|one| Some(HostDiskLimits::Known(one)));
        for disk_limits in limits.into_iter().chain([None]) {
            let report = HostReport {
                complete: false,
                replicas: Vec::new(),
                runtime: Runtime::Degraded {
                    reason: "full".to_owned(),
                    since: Timestamp(7),
                    part,
                },
                generation: 1,
                disk_limits,
            };
            let wire = report_to_wire(&report, now);
            assert_eq!(report_from_wire(wire, now).unwrap(), report);
        }
    }
}

fn all_troubles() -> Troubles {
    let mut troubles = Troubles::default();
    for (trouble, count) in Trouble::ALL.into_iter().zip(1..) {
        troubles.add(trouble, count);
    }
    troubles
}

#[test]
fn increments_lead_where_a_complete_assignment_leads() {
    let old = assignment(10, &[(1, Want::Run), (2, Want::Run), (3, Want::Run)]);
    let new = assignment(12, &[(1, Want::Run), (2, Want::Drain), (4, Want::Run)]);
    let delta = delta_to_wire(&old, &new);
    let sent: Vec<u64> = delta.replicas.iter().map(|replica| replica.id).collect();
    assert_eq!(
        (sent, delta.removed.clone(), delta.applies_to),
        (vec![2, 4], vec![3], 10)
    );
    assert_eq!(apply_wire(Some(&old), delta).unwrap(), new);
    let complete = assignment_to_wire(&new, true);
    assert_eq!(apply_wire(None, complete.clone()).unwrap(), new);
    let applied = apply_wire(Some(&old), complete).unwrap();
    assert_eq!(applied, new);
    // Specs that did not change are shared with what was held before.
    let (before, after) = (
        &old.replicas[&ReplicaId(1)],
        &applied.replicas[&ReplicaId(4)],
    );
    assert!(Arc::ptr_eq(&before.spec, &after.spec) && Arc::ptr_eq(&before.run, &after.run));
}

#[test]
fn an_increment_to_something_else_is_refused() {
    let (old, new) = (assignment(10, &[]), assignment(12, &[(1, Want::Run)]));
    let delta = delta_to_wire(&old, &new);
    let mut recovered = old.clone();
    recovered.fence.epoch = 2;
    for held in [None, Some(&new), Some(&recovered)] {
        let error = apply_wire(held, delta.clone()).unwrap_err();
        assert_eq!(error.field, "applies_to", "{error}");
    }
}

#[test]
fn what_is_wrong_on_the_wire_is_named() {
    type Break = fn(&mut v1::Assignment);
    let cases: [(&str, Break); 13] = [
        ("fence", |wire| wire.fence = None),
        ("fence.cluster_id", |wire| {
            wire.fence.as_mut().unwrap().cluster_id.clear();
        }),
        ("host", |wire| wire.host = "a b".to_owned()),
        ("replicas[0].app", |wire| wire.apps.clear()),
        ("replicas[1].want", |wire| {
            (wire.replicas[1].want, wire.replicas[1].want_word) = (0, "fly".to_owned());
        }),
        ("replicas[1].want", |wire| wire.replicas[1].want = 17),
        ("replicas[0].want", |wire| wire.replicas[0].want = 0),
        ("apps[hello.main.git3f2a9c0d.config94232c5b].net", |wire| {
            let app = wire.apps.values_mut().next().unwrap();
            app.net.as_mut().unwrap().name.clear();
        }),
        (
            "apps[hello.main.git3f2a9c0d.config94232c5b].health.mode",
            |wire| {
                let app = wire.apps.values_mut().next().unwrap();
                app.health.as_mut().unwrap().mode = 17;
            },
        ),
        (
            "apps[hello.main.git3f2a9c0d.config94232c5b].constraints[0].operator",
            |wire| {
                let app = wire.apps.values_mut().next().unwrap();
                app.constraints[0].operator = 17;
            },
        ),
        ("replicas[0].run.drain.name", |wire| {
            let run = wire.replicas[0].run.as_mut().unwrap();
            run.drain.as_mut().unwrap().name = 17;
        }),
        ("replicas[0].run", |wire| wire.replicas[0].run = None),
        (
            "apps[hello.main.git3f2a9c0d.config94232c5b].host_port",
            |wire| wire.apps.values_mut().next().unwrap().host_port = 70_000,
        ),
    ];
    for (field, spoil) in cases {
        let held = assignment(1, &[(1, Want::Run), (2, Want::Run)]);
        let mut wire = assignment_to_wire(&held, true);
        spoil(&mut wire);
        let error = apply_wire(None, wire).unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
}
