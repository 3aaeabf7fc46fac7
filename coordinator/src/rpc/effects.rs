//! What each method does, and how to read from a request what it is about. Scopes are checked and
//! calls are recorded by this table, before any service gets a call. Of a method that is not in it
//! nothing is in scope, and every call of it is recorded.

use paasta_proto::v1;

use super::objects::{Read, read};

/// What a method does.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// It shows and changes nothing of services, or is for programs of the cluster only.
    Apart,
    /// It shows: what it names must be in scope, and of the rest its answer shows only what is.
    Shows(Read),
    /// It changes something, or shows everything: it is recorded, and all that it names must be in
    /// scope.
    Changes(Read),
}

use Effect::{Apart, Changes, Shows};

/// The methods of each service.
pub const EFFECTS: &[(&str, &[(&str, Effect)])] = &[
    (
        "paasta.v1.Admin",
        &[
            ("Status", Shows(read::<v1::StatusRequest>)),
            // It shows hosts and numbers.
            ("Metastatus", Apart),
            ("Search", Shows(read::<v1::SearchRequest>)),
            ("List", Shows(read::<v1::ListRequest>)),
            ("Why", Shows(read::<v1::WhyRequest>)),
            ("Events", Shows(read::<v1::EventsRequest>)),
            ("Follow", Shows(read::<v1::FollowRequest>)),
            ("Describe", Shows(read::<v1::DescribeRequest>)),
        ],
    ),
    ("paasta.v1.Agents", &[("Session", Apart)]),
    (
        "paasta.v1.Authority",
        &[("Key", Changes(read::<v1::AuthorityKeyRequest>))],
    ),
    (
        "paasta.v1.Bounces",
        &[
            ("BounceStatus", Shows(read::<v1::BounceStatusRequest>)),
            ("ResumeBounce", Changes(read::<v1::ResumeBounceRequest>)),
            ("RollBack", Changes(read::<v1::RollBackRequest>)),
            ("ForceBounce", Changes(read::<v1::ForceBounceRequest>)),
        ],
    ),
    (
        "paasta.v1.Cluster",
        &[("Init", Changes(read::<v1::InitRequest>)), ("Node", Apart)],
    ),
    (
        "paasta.v1.Deploys",
        &[
            ("Poke", Changes(read::<v1::PokeRequest>)),
            ("Remotes", Shows(read::<v1::RemotesRequest>)),
            ("Override", Changes(read::<v1::OverrideRequest>)),
            ("History", Shows(read::<v1::HistoryRequest>)),
        ],
    ),
    // A stream: its service reads the first message, checks the scope and records it.
    ("paasta.v1.Exec", &[("Run", Apart)]),
    (
        "paasta.v1.Joining",
        &[
            ("Hello", Apart),
            ("Join", Changes(read::<v1::JoinRequest>)),
            ("Renew", Changes(read::<v1::RenewRequest>)),
            ("RenewLate", Changes(read::<v1::RenewLateRequest>)),
        ],
    ),
    (
        "paasta.v1.Logs",
        &[("Read", Shows(read::<v1::LogsRequest>))],
    ),
    (
        "paasta.v1.Members",
        &[
            ("List", Apart),
            ("Add", Changes(read::<v1::AddMemberRequest>)),
            ("Promote", Changes(read::<v1::PromoteMemberRequest>)),
            ("Remove", Changes(read::<v1::RemoveMemberRequest>)),
            ("TransferLeader", Changes(read::<v1::TransferLeaderRequest>)),
        ],
    ),
    (
        "paasta.v1.Operate",
        &[
            ("DrainHost", Changes(read::<v1::DrainHostRequest>)),
            ("UndrainHost", Changes(read::<v1::UndrainHostRequest>)),
            ("RemoveHost", Changes(read::<v1::RemoveHostRequest>)),
            ("MaintenanceStatus", Apart),
            ("BrakeStatus", Apart),
            ("ReleaseBrake", Changes(read::<v1::ReleaseBrakeRequest>)),
            ("Cleanup", Changes(read::<v1::CleanupRequest>)),
            ("ResetBackoff", Changes(read::<v1::ResetBackoffRequest>)),
            (
                "CheckReplication",
                Shows(read::<v1::CheckReplicationRequest>),
            ),
        ],
    ),
    (
        "paasta.v1.Principals",
        &[
            ("List", Apart),
            ("Set", Changes(read::<v1::SetPrincipalRequest>)),
            ("Remove", Changes(read::<v1::RemovePrincipalRequest>)),
            ("Audit", Apart),
        ],
    ),
    (
        "paasta.v1.RaftService",
        &[
            ("AppendStream", Apart),
            ("Vote", Apart),
            ("PreVote", Apart),
            ("TransferLeader", Apart),
            ("Echo", Apart),
            ("InstallSnapshot", Apart),
            ("Introduce", Apart),
        ],
    ),
    (
        "paasta.v1.Revocations",
        &[
            ("Revoke", Changes(read::<v1::RevokeRequest>)),
            ("Restore", Changes(read::<v1::RestoreRequest>)),
            ("List", Apart),
        ],
    ),
    (
        "paasta.v1.Settings",
        &[
            ("Own", Apart),
            ("Diff", Apart),
            ("Apply", Changes(read::<v1::ApplySettingsRequest>)),
        ],
    ),
    (
        "paasta.v1.Snapshots",
        &[("Save", Changes(read::<v1::SaveSnapshotRequest>))],
    ),
    (
        "paasta.v1.Tokens",
        &[
            ("Create", Changes(read::<v1::CreateTokenRequest>)),
            ("List", Apart),
            ("Revoke", Changes(read::<v1::RevokeTokenRequest>)),
        ],
    ),
    (
        "grpc.health.v1.Health",
        &[("Check", Apart), ("Watch", Apart)],
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        &[("ServerReflectionInfo", Apart)],
    ),
];

/// What the method of this path does, `/SERVICE/METHOD`; none for one that is not in the table.
pub fn effect(path: &str) -> Option<Effect> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = EFFECTS.iter().find(|(name, _)| *name == service)?;
    let (_, effect) = methods.iter().find(|(name, _)| *name == method)?;
    Some(*effect)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rpc::roles::METHODS;

    #[test]
    fn every_method_with_a_role_has_an_effect() {
        let roles = METHODS.iter().flat_map(|(service, methods)| {
            let methods = methods.iter();
            methods.map(move |(method, _)| format!("/{service}/{method}"))
        });
        let effects = EFFECTS.iter().flat_map(|(service, methods)| {
            let methods = methods.iter();
            methods.map(move |(method, _)| format!("/{service}/{method}"))
        });
        let roles: BTreeSet<String> = roles.collect();
        assert_eq!(roles, effects.collect());
        assert!(roles.iter().all(|path| effect(path).is_some()));
        for unknown in ["", "/", "paasta.v1.Admin/Status", "/paasta.v1.Admin/Stop"] {
            assert!(effect(unknown).is_none(), "{unknown}");
        }
    }
}
