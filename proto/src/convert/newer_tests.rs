//! A report with a value that only a newer agent knows is taken, and the rest of it counts.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    disk::HostDiskLimits,
    report::{EndCause, Health, HostPart, HostReport, ImageProblem, Phase, Runtime, Trouble},
    time::Timestamp,
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
        phase: v1::ReplicaPhase::Running.into(),
        health: v1::ReplicaHealth::Healthy.into(),
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
            cause: v1::EndCause::Exited.into(),
            exit_code: Some(3),
            ..v1::RunEnd::default()
        }),
        image: Some(v1::ImageReport {
            problem: v1::ImageProblem::Denied.into(),
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
    /// Sets the value of a newer agent: a number, or else a text where it may be one.
    set: fn(&mut v1::Report, bool),
    /// What the report says then, and the same field as in the report of before.
    read: fn(&mut HostReport, &HostReport),
    /// What is said of a number, and of a text.
    said: [&'static str; 2],
}

fn enums() -> Vec<Case> {
    vec![
        Case {
            field: "Report.degraded_part",
            set: |wire, _| wire.degraded_part = NEWER,
            read: |report, known| {
                let Runtime::Degraded { part, .. } = &report.runtime else {
                    panic!("it is degraded");
                };
                assert_eq!(*part, HostPart::Unrecognized(NEWER));
                report.runtime = known.runtime.clone();
            },
            said: ["host part 9999"; 2],
        },
        Case {
            field: "Report.disk_limits",
            set: |wire, _| wire.disk_limits = NEWER,
            read: |report, known| {
                let limits = Some(HostDiskLimits::Unrecognized(NEWER));
                assert_eq!(report.disk_limits, limits);
                report.disk_limits = known.disk_limits;
            },
            said: ["disk limits 9999"; 2],
        },
        Case {
            field: "TroubleCount.kind",
            set: |wire, _| replica(wire).troubles[1].kind = NEWER,
            read: |report, known| {
                let replica = &mut report.replicas[0];
                assert_eq!(replica.troubles.of(Trouble::Memory), 3);
                assert_eq!(replica.troubles.of(Trouble::Exited), 0);
                assert_eq!(replica.other_troubles, 2);
                *replica = known.replicas[0].clone();
            },
            said: ["r7: 2 troubles of other kinds"; 2],
        },
    ]
}

/// Sets a word: to a number, or to a text without one.
fn newer(number: bool, value: &mut i32, text: &mut String) {
    match number {
        true => *value = NEWER,
        false => (*value, *text) = (0, WORD.to_owned()),
    }
}

/// Words.
fn words() -> Vec<Case> {
    vec![
        Case {
            field: "ReplicaReport.phase",
            set: |wire, number| {
                let replica = replica(wire);
                newer(number, &mut replica.phase, &mut replica.phase_word);
            },
            read: |report, known| {
                let replica = &mut report.replicas[0];
                assert!(matches!(replica.phase, Phase::Unrecognized(_)));
                replica.phase = known.replicas[0].phase;
            },
            said: ["r7: phase 9999", "r7: phase \"w9999\""],
        },
        Case {
            field: "ReplicaReport.health",
            set: |wire, number| {
                let replica = replica(wire);
                newer(number, &mut replica.health, &mut replica.health_word);
            },
            read: |report, known| {
                let replica = &mut report.replicas[0];
                assert!(matches!(replica.health, Health::Unrecognized(_)));
                replica.health = known.replicas[0].health;
            },
            said: ["r7: health 9999", "r7: health \"w9999\""],
        },
        Case {
            field: "RunEnd.cause",
            set: |wire, number| {
                let end = replica(wire).last_end.as_mut().unwrap();
                newer(number, &mut end.cause, &mut end.cause_word);
            },
            read: |report, known| {
                let end = report.replicas[0].last_end.as_mut().unwrap();
                let EndCause::Unrecognized(word) = end.cause else {
                    panic!("{end:?}");
                };
                let said = format!(
                    "run 1 ended: cause {word:?}, which this version does not know, exit code 3"
                );
                assert_eq!(end.to_string(), said);
                end.cause = known.replicas[0].last_end.as_ref().unwrap().cause;
            },
            said: ["r7: cause 9999", "r7: cause \"w9999\""],
        },
        Case {
            field: "ImageReport.problem",
            set: |wire, number| {
                let image = replica(wire).image.as_mut().unwrap();
                newer(number, &mut image.problem, &mut image.problem_word);
            },
            read: |report, known| {
                let image = &mut report.replicas[0].image;
                assert!(matches!(image.problem, Some(ImageProblem::Unrecognized(_))));
                image.problem = known.replicas[0].image.problem;
            },
            said: ["r7: image problem 9999", "r7: image problem \"w9999\""],
        },
    ]
}

/// Every field with a value of a newer agent.
fn cases() -> Vec<Case> {
    let mut cases = enums();
    cases.extend(words());
    cases
}

#[test]
fn a_value_of_a_newer_agent_is_taken_and_the_rest_of_its_report_counts() {
    let known = report_from_wire(report(), NOW).unwrap();
    assert_eq!(known.unrecognized(), Vec::<String>::new());
    for number in [true, false] {
        for case in cases() {
            let mut wire = report();
            (case.set)(&mut wire, number);
            let mut read = report_from_wire(wire.clone(), NOW).unwrap();
            let said = case.said[usize::from(!number)];
            assert_eq!(read.unrecognized(), [said], "{}", case.field);
            if case.field != "TroubleCount.kind" {
                // It is passed on as it came.
                let again = report_from_wire(report_to_wire(&read, NOW), NOW).unwrap();
                assert_eq!(again, read, "{}", case.field);
            }
            (case.read)(&mut read, &known);
            assert_eq!(read, known, "{}", case.field);
        }
    }
}

#[test]
fn all_of_them_at_once_are_taken() {
    let mut wire = report();
    for case in cases() {
        (case.set)(&mut wire, true);
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
    let table: BTreeSet<String> = cases().iter().map(|case| case.field.to_owned()).collect();
    assert_eq!(fields, table);
}
