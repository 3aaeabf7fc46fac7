//! A report with a value that only a newer agent knows is taken, and the rest of it counts.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    disk::HostDiskLimits,
    report::{EndCause, Health, HostPart, HostReport, ImageProblem, Phase, Runtime, Trouble},
    time::Timestamp,
    unrecognized::UnrecognizedWord,
};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

use super::*;
use crate::{DESCRIPTORS, v1};

const NEWER: i32 = 9_999;
const WORD: &str = "w9999";
const NOW: Timestamp = Timestamp(9_000);

/// A report in which every value is known.
fn report() -> v1::Report {
    let replica = v1::ReplicaReport {
        id: 7,
        app: "hello.main.git3f2a9c0d.config94232c5b".to_owned(),
        phase: "running".to_owned(),
        health: "healthy".to_owned(),
        run: 2,
        troubles: vec![
            v1::TroubleCount {
                kind: v1::TroubleKind::TroubleMemory.into(),
                count: 3,
            },
            v1::TroubleCount {
                kind: v1::TroubleKind::TroubleExited.into(),
                count: 2,
            },
        ],
        last_end: Some(v1::RunEnd {
            run: 1,
            cause: "exited".to_owned(),
            exit_code: Some(3),
            ..v1::RunEnd::default()
        }),
        image: Some(v1::ImageReport {
            problem: "denied".to_owned(),
            ..v1::ImageReport::default()
        }),
        ..v1::ReplicaReport::default()
    };
    v1::Report {
        complete: true,
        replicas: vec![replica],
        runtime_degraded: "full".to_owned(),
        generation: 12,
        degraded_part: v1::HostPart::Disk.into(),
        disk_limits: v1::DiskLimits::Watch.into(),
        ..v1::Report::default()
    }
}

fn replica(wire: &mut v1::Report) -> &mut v1::ReplicaReport {
    wire.replicas.first_mut().unwrap()
}

struct Case {
    field: &'static str,
    /// Sets the value of a newer agent.
    set: fn(&mut v1::Report),
    /// What the report says then, and the same field as in the report of before.
    read: fn(&mut HostReport, &HostReport),
    said: &'static str,
}

fn enums() -> Vec<Case> {
    vec![
        Case {
            field: "Report.degraded_part",
            set: |wire| wire.degraded_part = NEWER,
            read: |report, known| {
                let Runtime::Degraded { part, .. } = &report.runtime else {
                    panic!("it is degraded");
                };
                assert_eq!(*part, HostPart::Unrecognized(NEWER));
                report.runtime = known.runtime.clone();
            },
            said: "host part 9999",
        },
        Case {
            field: "Report.disk_limits",
            set: |wire| wire.disk_limits = NEWER,
            read: |report, known| {
                let limits = Some(HostDiskLimits::Unrecognized(NEWER));
                assert_eq!(report.disk_limits, limits);
                report.disk_limits = known.disk_limits;
            },
            said: "disk limits 9999",
        },
        Case {
            field: "TroubleCount.kind",
            set: |wire| replica(wire).troubles[1].kind = NEWER,
            read: |report, known| {
                let replica = &mut report.replicas[0];
                assert_eq!(replica.troubles.of(Trouble::Memory), 3);
                assert_eq!(replica.troubles.of(Trouble::Exited), 0);
                assert_eq!(replica.other_troubles, 2);
                *replica = known.replicas[0].clone();
            },
            said: "r7: 2 troubles of other kinds",
        },
    ]
}

/// The closed sets that are text on the wire.
fn words() -> Vec<Case> {
    let word = || UnrecognizedWord::new(WORD);
    assert_eq!(word().as_str(), WORD);
    vec![
        Case {
            field: "ReplicaReport.phase",
            set: |wire| replica(wire).phase = WORD.to_owned(),
            read: |report, known| {
                let phase = Phase::Unrecognized(UnrecognizedWord::new(WORD));
                assert_eq!(report.replicas[0].phase, phase);
                report.replicas[0].phase = known.replicas[0].phase;
            },
            said: "r7: phase \"w9999\"",
        },
        Case {
            field: "ReplicaReport.health",
            set: |wire| replica(wire).health = WORD.to_owned(),
            read: |report, known| {
                let health = Health::Unrecognized(UnrecognizedWord::new(WORD));
                assert_eq!(report.replicas[0].health, health);
                report.replicas[0].health = known.replicas[0].health;
            },
            said: "r7: health \"w9999\"",
        },
        Case {
            field: "RunEnd.cause",
            set: |wire| replica(wire).last_end.as_mut().unwrap().cause = WORD.to_owned(),
            read: |report, known| {
                let end = report.replicas[0].last_end.as_mut().unwrap();
                let cause = EndCause::Unrecognized(UnrecognizedWord::new(WORD));
                assert_eq!(end.cause, cause);
                let said =
                    "run 1 ended: cause \"w9999\", which this version does not know, exit code 3";
                assert_eq!(end.to_string(), said);
                end.cause = known.replicas[0].last_end.as_ref().unwrap().cause;
            },
            said: "r7: cause \"w9999\"",
        },
        Case {
            field: "ImageReport.problem",
            set: |wire| replica(wire).image.as_mut().unwrap().problem = WORD.to_owned(),
            read: |report, known| {
                let problem = ImageProblem::Unrecognized(UnrecognizedWord::new(WORD));
                assert_eq!(report.replicas[0].image.problem, Some(problem));
                report.replicas[0].image.problem = known.replicas[0].image.problem;
            },
            said: "r7: image problem \"w9999\"",
        },
    ]
}

#[test]
fn a_value_of_a_newer_agent_is_taken_and_the_rest_of_its_report_counts() {
    let known = report_from_wire(report(), NOW).unwrap();
    assert_eq!(known.unrecognized(), Vec::<String>::new());
    for case in enums().into_iter().chain(words()) {
        let mut wire = report();
        (case.set)(&mut wire);
        let mut read = report_from_wire(wire.clone(), NOW).unwrap();
        assert_eq!(read.unrecognized(), [case.said], "{}", case.field);
        if case.field != "TroubleCount.kind" {
            // It is passed on as it came.
            let again = report_from_wire(report_to_wire(&read, NOW), NOW).unwrap();
            assert_eq!(again, read, "{}", case.field);
        }
        (case.read)(&mut read, &known);
        assert_eq!(read, known, "{}", case.field);
    }
}

#[test]
fn all_of_them_at_once_are_taken() {
    let mut wire = report();
    for case in enums().into_iter().chain(words()) {
        (case.set)(&mut wire);
    }
    let read = report_from_wire(wire, NOW).unwrap();
    assert_eq!((read.generation, read.replicas.len()), (12, 1));
    assert!(!read.replicas[0].is_readable());
    assert_eq!(read.unrecognized().len(), 7, "{:?}", read.unrecognized());
}

/// The enum fields of a message and of all that it holds.
fn enum_fields(
    messages: &BTreeMap<String, &DescriptorProto>,
    name: &str,
    found: &mut BTreeSet<String>,
) {
    let message = messages[name];
    for field in &message.field {
        match field.r#type() {
            Type::Enum => {
                found.insert(format!("{}.{}", message.name(), field.name()));
            }
            Type::Message => enum_fields(messages, field.type_name(), found),
            _ => {}
        }
    }
}

#[test]
fn the_table_has_every_enum_field_of_a_report() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let messages = set.file.iter().flat_map(|file| &file.message_type);
    let messages: BTreeMap<String, &DescriptorProto> = messages
        .map(|message| (format!(".paasta.v1.{}", message.name()), message))
        .collect();
    let mut fields = BTreeSet::new();
    enum_fields(&messages, ".paasta.v1.Report", &mut fields);
    let table: BTreeSet<String> = enums().iter().map(|case| case.field.to_owned()).collect();
    assert_eq!(fields, table);
}
