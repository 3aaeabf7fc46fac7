//! What is sent has the texts of before under their numbers, and what is read needs no more.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::*;
use crate::{
    DESCRIPTORS,
    v1::{
        LogComponent, LogsRequest, Network, NetworkMode, OperateResponse, OverrideRequest,
        RequestOutcome,
    },
};

/// The fields that were text in 0.1.0, or in a version of after it, and their numbers.
const TEXTS: &[(&str, i32)] = &[
    ("AppSpec.net", 9),
    ("AssignedReplica.want", 4),
    ("BounceStatus.method", 1),
    ("CleanupResponse.outcome", 1),
    ("Constraint.operator", 2),
    ("CoordinatorSettings.state", 3),
    ("CoordinatorStatus.data_space", 22),
    ("CoordinatorStatus.link", 8),
    ("CoordinatorStatus.role", 4),
    ("DrainMethod.name", 1),
    ("Event.kind", 4),
    ("HealthCheck.mode", 1),
    ("ImageReport.problem", 3),
    ("InstanceStatus.bounce_method", 14),
    ("LocationReplication.status", 4),
    ("LogLine.component", 2),
    ("LogLine.level", 3),
    ("LogQuery.streams", 3),
    ("LogRecord.stream", 2),
    ("LogsRequest.components", 3),
    ("Member.role", 3),
    ("MetastatusResponse.writes_space", 20),
    ("NodeResponse.data_space", 22),
    ("NodeResponse.role", 3),
    ("OperateResponse.outcome", 1),
    ("OverrideRequest.action", 3),
    ("OverrideStatus.kind", 1),
    ("RemovedInstance.why", 2),
    ("ReplicaReport.health", 4),
    ("ReplicaReport.phase", 3),
    ("ReplicationStatus.status", 2),
    ("RunEnd.cause", 3),
    ("Waiting.kind", 1),
];

#[test]
fn texts_have_the_numbers_that_they_had() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("they are descriptors");
    let mut found = BTreeSet::new();
    for message in set.file.iter().flat_map(|file| &file.message_type) {
        for field in &message.field {
            let of = field.name().strip_suffix("_word");
            let beside = of.and_then(|of| message.field.iter().find(|field| field.name() == of));
            if let Some(of) = beside {
                assert_eq!(
                    field.label(),
                    of.label(),
                    "{}.{}",
                    message.name(),
                    of.name()
                );
                found.insert((format!("{}.{}", message.name(), of.name()), field.number()));
            }
        }
    }
    let wanted = TEXTS
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number));
    assert_eq!(found, wanted.collect());
}

fn outcome(outcome: i32, text: &str) -> OperateResponse {
    OperateResponse {
        outcome,
        outcome_word: text.to_owned(),
        ..OperateResponse::default()
    }
}

#[test]
fn a_value_is_sent_with_its_word_and_read_from_it() {
    let done = RequestOutcome::Done.into();
    for (sent, wire) in [
        (outcome(done, ""), outcome(done, "done")),
        (outcome(0, ""), outcome(0, "")),
        // What came of a newer program is passed on as it came.
        (outcome(17, "halved"), outcome(17, "halved")),
        (outcome(17, ""), outcome(17, "")),
    ] {
        let mut written = sent.clone();
        written.write_texts();
        assert_eq!(written, wire);
        written.read_texts();
        assert_eq!(written, sent);
    }
    for (wire, read) in [
        (outcome(0, "done"), outcome(done, "")),
        (outcome(0, "halved"), outcome(0, "halved")),
        // The number counts where both are there.
        (outcome(done, "refused"), outcome(done, "")),
    ] {
        let mut message = wire;
        message.read_texts();
        assert_eq!(message, read);
    }
}

#[test]
fn values_are_sent_with_their_words_and_read_from_them() {
    let asked = |components: &[i32], texts: &[&str]| LogsRequest {
        components: components.to_vec(),
        components_word: texts.iter().map(|text| (*text).to_owned()).collect(),
        ..LogsRequest::default()
    };
    let (stdout, deploy) = (LogComponent::Stdout.into(), LogComponent::Deploy.into());
    let mut sent = asked(&[stdout, deploy], &[]);
    sent.write_texts();
    assert_eq!(sent, asked(&[stdout, deploy], &["stdout", "deploy"]));
    sent.read_texts();
    assert_eq!(sent, asked(&[stdout, deploy], &[]));
    let mut read = asked(&[], &["deploy", "oom"]);
    read.read_texts();
    assert_eq!(read, asked(&[deploy], &["oom"]));
    let mut none = asked(&[], &[]);
    none.write_texts();
    none.read_texts();
    assert_eq!(none, asked(&[], &[]));
}

#[test]
fn a_network_is_one_word() {
    for (mode, name, text) in [
        (NetworkMode::Bridge, "", "bridge"),
        (NetworkMode::Host, "", "host"),
        (NetworkMode::None, "", "none"),
        (NetworkMode::Named, "blue", "named:blue"),
    ] {
        let network = Some(Network {
            mode: mode.into(),
            name: name.to_owned(),
        });
        let spec = v1::AppSpec {
            net: network.clone(),
            ..v1::AppSpec::default()
        };
        let mut wire = spec.clone();
        wire.write_texts();
        assert_eq!(wire.net_word, text);
        wire.net = None;
        wire.read_texts();
        assert_eq!(wire, spec);
        let json = serde_json::to_value(&spec).expect("it is JSON");
        assert_eq!((&json["net"], json.get("net_word")), (&text.into(), None));
        let read: v1::AppSpec = serde_json::from_value(json).expect("it reads");
        assert_eq!(read, spec);
    }
    let mut wrong = v1::AppSpec {
        net_word: "blue".to_owned(),
        ..v1::AppSpec::default()
    };
    wrong.read_texts();
    assert_eq!((wrong.net, wrong.net_word.as_str()), (None, "blue"));
    serde_json::from_str::<v1::AppSpec>(r#"{"net": "blue"}"#).expect_err("no network's word");
}

#[test]
fn json_has_words_and_no_texts() {
    let mut asked = OverrideRequest {
        action: v1::OverrideAction::Clear.into(),
        ..OverrideRequest::default()
    };
    asked.write_texts();
    let json = serde_json::to_value(&asked).expect("it is JSON");
    assert_eq!(json["action"], "clear");
    assert_eq!(json.get("action_word"), None);
    let asked = LogsRequest {
        components: vec![LogComponent::Stderr.into(), 17],
        ..LogsRequest::default()
    };
    let json = serde_json::to_value(&asked).expect("it is JSON");
    let words = serde_json::json!(["stderr", "unrecognized-17"]);
    assert_eq!(json["components"], words);
    let read: LogsRequest = serde_json::from_value(json).expect("it reads");
    assert_eq!(read, asked);
}
