//! A request for every call that a client may make, the dearest that there is of each.

use std::collections::BTreeSet;

use paasta_proto::v1;
use paasta_tests::calls::calls;
use prost::Message;

use super::scene::{HOST, INSTANCE};

/// Calls that no client makes: coordinators among themselves, and agents.
const INTERNAL: [&str; 3] = [
    "paasta.v1.RaftService",
    "paasta.v1.Agents",
    "paasta.v1.Authority",
];
/// As long as a name may be.
const NAME_BYTES: usize = 255;
/// As many names as a request may hold.
const NAMES: usize = 1_000;

/// What the answer must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Answer,
    /// It changes something; what is refused has to be looked for all the same.
    Refusal,
}

/// A call with the requests that are made.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) expected: Expected,
    pub(super) requests: Vec<Vec<u8>>,
}

fn bytes(request: impl Message) -> Vec<u8> {
    request.encode_to_vec()
}

fn asker() -> Option<v1::Asker> {
    Some(v1::Asker {
        request_id: "limits".to_owned(),
        by: "limits@test".to_owned(),
    })
}

/// A name that there is none of, as long as may be: it is compared with every other.
fn unknown() -> String {
    format!("one.{}", "i".repeat(NAME_BYTES - 4))
}

/// Names of instances that there are.
fn names() -> Vec<String> {
    (0..NAMES).map(|at| format!("one.i{}", at % 600)).collect()
}

/// A row for each call.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = reads();
    rows.extend(writes());
    rows
}

fn read(path: &'static str, requests: Vec<Vec<u8>>) -> Row {
    Row {
        path,
        expected: Expected::Answer,
        requests,
    }
}

fn write(path: &'static str, request: Vec<u8>) -> Row {
    Row {
        path,
        expected: Expected::Refusal,
        requests: vec![request],
    }
}

fn reads() -> Vec<Row> {
    let instance = || INSTANCE.to_owned();
    let (service, _) = INSTANCE.split_once('.').unwrap_or_default();
    let mut rows = admin(service);
    rows.extend([
        read("/paasta.v1.Cluster/Node", vec![Vec::new()]),
        read(
            "/paasta.v1.Bounces/BounceStatus",
            vec![
                Vec::new(),
                bytes(v1::BounceStatusRequest { instances: names() }),
            ],
        ),
        read("/paasta.v1.Deploys/Remotes", vec![Vec::new()]),
        read(
            "/paasta.v1.Deploys/History",
            vec![bytes(v1::HistoryRequest {
                instance: instance(),
                limit: 0,
            })],
        ),
        read(
            "/paasta.v1.Logs/Read",
            vec![bytes(v1::LogsRequest {
                service: "one".to_owned(),
                components: vec![
                    v1::LogComponent::Deploy.into(),
                    v1::LogComponent::Monitoring.into(),
                ],
                since_ns: 1,
                ..v1::LogsRequest::default()
            })],
        ),
        read("/paasta.v1.Joining/Hello", vec![Vec::new()]),
        read("/paasta.v1.Members/List", vec![Vec::new()]),
        read("/paasta.v1.Principals/List", vec![Vec::new()]),
        read(
            "/paasta.v1.Principals/Audit",
            vec![bytes(v1::AuditRequest {
                limit: 1_000,
                by: unknown(),
                ..v1::AuditRequest::default()
            })],
        ),
        read("/paasta.v1.Operate/MaintenanceStatus", vec![Vec::new()]),
        read("/paasta.v1.Operate/BrakeStatus", vec![Vec::new()]),
        read(
            "/paasta.v1.Operate/Cleanup",
            vec![bytes(v1::CleanupRequest {
                asker: asker(),
                force: true,
                dry_run: true,
            })],
        ),
        read(
            "/paasta.v1.Operate/CheckReplication",
            vec![
                Vec::new(),
                bytes(v1::CheckReplicationRequest { instances: names() }),
            ],
        ),
        read("/paasta.v1.Revocations/List", vec![Vec::new()]),
        read("/paasta.v1.Settings/Own", vec![Vec::new()]),
        read("/paasta.v1.Settings/Diff", vec![Vec::new()]),
        read("/paasta.v1.Snapshots/Save", vec![Vec::new()]),
        read("/paasta.v1.Tokens/List", vec![Vec::new()]),
    ]);
    rows
}

fn admin(service: &str) -> Vec<Row> {
    let instance = || INSTANCE.to_owned();
    let every = v1::StatusRequest {
        replicas: true,
        ..v1::StatusRequest::default()
    };
    let large = v1::StatusRequest {
        service: service.to_owned(),
        ..every.clone()
    };
    let named = v1::StatusRequest {
        service: "one".to_owned(),
        instances: (0..NAMES).map(|at| format!("i{}", at % 600)).collect(),
        ..every.clone()
    };
    vec![
        read(
            "/paasta.v1.Admin/Status",
            vec![bytes(every), bytes(large), bytes(named)],
        ),
        read("/paasta.v1.Admin/Metastatus", vec![Vec::new()]),
        read("/paasta.v1.Admin/Search", vec![Vec::new()]),
        read("/paasta.v1.Admin/List", vec![Vec::new()]),
        read(
            "/paasta.v1.Admin/Why",
            vec![bytes(v1::WhyRequest {
                instance: instance(),
            })],
        ),
        read("/paasta.v1.Admin/Events", vec![Vec::new()]),
        read("/paasta.v1.Admin/Follow", vec![Vec::new()]),
        read(
            "/paasta.v1.Admin/Describe",
            vec![bytes(v1::DescribeRequest {
                instance: instance(),
                stale: false,
            })],
        ),
    ]
}

/// What changes something, for a name that there is none of, or with what cannot be.
fn writes() -> Vec<Row> {
    let reason = || "a test".to_owned();
    vec![
        write(
            "/paasta.v1.Bounces/ResumeBounce",
            bytes(v1::ResumeBounceRequest {
                asker: asker(),
                instance: unknown(),
                reason: reason(),
            }),
        ),
        write(
            "/paasta.v1.Bounces/RollBack",
            bytes(v1::RollBackRequest {
                asker: asker(),
                instance: unknown(),
                reason: reason(),
                app: String::new(),
            }),
        ),
        write(
            "/paasta.v1.Bounces/ForceBounce",
            bytes(v1::ForceBounceRequest {
                asker: asker(),
                instance: unknown(),
                reason: reason(),
            }),
        ),
        write("/paasta.v1.Cluster/Init", Vec::new()),
        write("/paasta.v1.Deploys/Poke", Vec::new()),
        write(
            "/paasta.v1.Deploys/Override",
            bytes(v1::OverrideRequest {
                asker: asker(),
                instance: unknown(),
                action: v1::OverrideAction::Stop.into(),
                ..v1::OverrideRequest::default()
            }),
        ),
        write(
            "/paasta.v1.Joining/Join",
            bytes(v1::JoinRequest {
                token: "abcd234".to_owned(),
                secret: vec![7; 16],
                joiner: v1::Joiner::Agent.into(),
                name: "h".repeat(60),
                request: "x".repeat(4 << 10),
            }),
        ),
        write("/paasta.v1.Joining/Renew", Vec::new()),
        write(
            "/paasta.v1.Joining/RenewLate",
            bytes(v1::RenewLateRequest {
                certificate: "x".repeat(4 << 10),
                nonce: vec![7; 32],
                ..v1::RenewLateRequest::default()
            }),
        ),
        write("/paasta.v1.Tokens/Create", Vec::new()),
        // What is refused is in the answer, as for every verb of `Operate`.
        read(
            "/paasta.v1.Tokens/Revoke",
            vec![bytes(v1::RevokeTokenRequest {
                asker: asker(),
                id: "abcd234".to_owned(),
            })],
        ),
        write("/paasta.v1.Members/Add", Vec::new()),
        write("/paasta.v1.Members/Promote", Vec::new()),
        write("/paasta.v1.Members/Remove", Vec::new()),
        write(
            "/paasta.v1.Members/TransferLeader",
            bytes(v1::TransferLeaderRequest { to: 99, wait_ms: 1 }),
        ),
        write(
            "/paasta.v1.Operate/DrainHost",
            bytes(v1::DrainHostRequest {
                asker: asker(),
                host: "h".repeat(60),
                reason: reason(),
                for_ms: 0,
            }),
        ),
        write(
            "/paasta.v1.Operate/UndrainHost",
            bytes(v1::UndrainHostRequest {
                asker: asker(),
                host: "h".repeat(60),
            }),
        ),
        write(
            "/paasta.v1.Exec/Run",
            bytes(v1::ExecRequest {
                kind: Some(v1::exec_request::Kind::Start(v1::ExecStart {
                    instance: unknown(),
                    command: vec!["x".repeat(32 << 10)],
                    ..v1::ExecStart::default()
                })),
            }),
        ),
        write("/paasta.v1.Operate/RemoveHost", Vec::new()),
        write(
            "/paasta.v1.Operate/ReleaseBrake",
            bytes(v1::ReleaseBrakeRequest {
                asker: asker(),
                hosts: (0..NAMES).map(|at| format!("{HOST}{at}")).collect(),
            }),
        ),
        write(
            "/paasta.v1.Operate/ResetBackoff",
            bytes(v1::ResetBackoffRequest {
                asker: asker(),
                instance: unknown(),
                host: String::new(),
            }),
        ),
        write("/paasta.v1.Principals/Set", Vec::new()),
        write("/paasta.v1.Principals/Remove", Vec::new()),
        write(
            "/paasta.v1.Revocations/Revoke",
            bytes(v1::RevokeRequest {
                asker: asker(),
                identity: unknown(),
                ..v1::RevokeRequest::default()
            }),
        ),
        write(
            "/paasta.v1.Revocations/Restore",
            bytes(v1::RestoreRequest {
                asker: asker(),
                identity: unknown(),
                also_before: false,
            }),
        ),
        write("/paasta.v1.Settings/Apply", Vec::new()),
    ]
}

/// A call that is added brings its row.
pub(super) fn complete() {
    let known = calls();
    let ours: BTreeSet<String> = known
        .into_iter()
        .filter(|call| {
            !INTERNAL
                .iter()
                .any(|one| call.starts_with(&format!("/{one}/")))
        })
        .collect();
    let rows: Vec<Row> = rows();
    let rows: BTreeSet<String> = rows.iter().map(|row| row.path.to_owned()).collect();
    let missing: Vec<&String> = ours.difference(&rows).collect();
    assert!(missing.is_empty(), "no row in this file for {missing:?}");
    let unknown: Vec<&String> = rows.difference(&ours).collect();
    assert!(unknown.is_empty(), "there is no {unknown:?}");
}
