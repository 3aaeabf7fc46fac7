//! Which roles may call which method. What is not in this table may be called by none.

use paasta_identity::Role;

use Role::{Admin, Agent, Coordinator, Deployer, Metrics, Reader};

/// Looking. Coordinators look at each other, and pass on for HTTP clients that prove nothing.
const LOOK: &[Role] = &[Coordinator, Admin, Deployer, Reader];
/// Deploying services.
const DEPLOY: &[Role] = &[Admin, Deployer];
/// Changing the cluster, and reading everything that it holds.
const RULE: &[Role] = &[Admin];
/// Consensus.
const PEERS: &[Role] = &[Coordinator];
/// What says nothing about services.
const EVERY: &[Role] = &[Coordinator, Agent, Admin, Deployer, Reader, Metrics];

/// A method and the roles that may call it.
type Row = (&'static str, &'static [Role]);

/// The methods of each service.
pub const METHODS: &[(&str, &[Row])] = &[
    (
        "paasta.v1.Admin",
        &[
            ("Status", LOOK),
            ("Metastatus", LOOK),
            ("Search", LOOK),
            ("List", LOOK),
            ("Why", LOOK),
            ("Events", LOOK),
            ("Follow", LOOK),
            // The environment of the service is in it.
            ("Describe", DEPLOY),
        ],
    ),
    ("paasta.v1.Agents", &[("Session", &[Agent])]),
    (
        "paasta.v1.Bounces",
        &[
            ("BounceStatus", LOOK),
            ("ResumeBounce", DEPLOY),
            ("RollBack", DEPLOY),
            ("ForceBounce", RULE),
        ],
    ),
    ("paasta.v1.Authority", &[("Key", PEERS)]),
    ("paasta.v1.Cluster", &[("Init", RULE), ("Node", LOOK)]),
    (
        "paasta.v1.Deploys",
        &[
            // A coordinator passes on what a hook with the right secret asked for.
            ("Poke", &[Coordinator, Admin, Deployer]),
            ("Remotes", LOOK),
            ("Override", DEPLOY),
            ("History", LOOK),
        ],
    ),
    ("paasta.v1.Exec", &[("Run", DEPLOY)]),
    (
        "paasta.v1.Joining",
        &[
            ("Hello", EVERY),
            // The token decides. Coordinators pass it on for strangers.
            ("Join", EVERY),
            ("Renew", &[Coordinator, Agent]),
            // The proof decides. Coordinators pass it on for strangers.
            ("RenewLate", &[Coordinator]),
        ],
    ),
    ("paasta.v1.Logs", &[("Read", &[Admin, Deployer, Reader])]),
    (
        "paasta.v1.Members",
        &[
            ("List", LOOK),
            ("Add", RULE),
            ("Promote", RULE),
            ("Remove", RULE),
            ("TransferLeader", RULE),
        ],
    ),
    (
        "paasta.v1.Operate",
        &[
            ("DrainHost", RULE),
            ("UndrainHost", RULE),
            ("RemoveHost", RULE),
            ("MaintenanceStatus", LOOK),
            ("BrakeStatus", LOOK),
            ("ReleaseBrake", RULE),
            ("Cleanup", RULE),
            ("ResetBackoff", DEPLOY),
            ("CheckReplication", LOOK),
        ],
    ),
    (
        "paasta.v1.Principals",
        &[
            ("List", RULE),
            ("Set", RULE),
            ("Remove", RULE),
            ("Audit", RULE),
        ],
    ),
    (
        "paasta.v1.RaftService",
        &[
            ("AppendStream", PEERS),
            ("Vote", PEERS),
            ("PreVote", PEERS),
            ("TransferLeader", PEERS),
            ("Echo", PEERS),
            ("InstallSnapshot", PEERS),
            ("Introduce", PEERS),
        ],
    ),
    (
        "paasta.v1.Revocations",
        &[("Revoke", RULE), ("Restore", RULE), ("List", RULE)],
    ),
    (
        "paasta.v1.Settings",
        &[
            ("Own", &[Coordinator, Admin]),
            ("Diff", &[Coordinator, Admin]),
            ("Apply", RULE),
        ],
    ),
    // The state holds the environment of every service.
    ("paasta.v1.Snapshots", &[("Save", RULE)]),
    (
        "paasta.v1.Tokens",
        &[("Create", RULE), ("List", RULE), ("Revoke", RULE)],
    ),
    (
        "grpc.health.v1.Health",
        &[("Check", EVERY), ("Watch", EVERY)],
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        &[("ServerReflectionInfo", &[Admin, Deployer, Reader])],
    ),
];

/// The methods that a caller without a certificate may call: how it gets one.
pub const OPEN: [&str; 3] = [
    "/paasta.v1.Joining/Hello",
    "/paasta.v1.Joining/Join",
    "/paasta.v1.Joining/RenewLate",
];

/// The roles that may call the method of this path, `/SERVICE/METHOD`; none for an unknown one.
pub fn allowed(path: &str) -> &'static [Role] {
    let mut parts = path.split('/');
    let (Some(""), Some(service), Some(method), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return &[];
    };
    let methods = METHODS.iter().find(|(name, _)| *name == service);
    let methods = methods.map_or(&[][..], |(_, methods)| methods);
    let row = methods.iter().find(|(name, _)| *name == method);
    row.map_or(&[], |(_, roles)| roles)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of every service that a coordinator serves.
    fn served() -> BTreeSet<String> {
        let sets = [
            paasta_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ];
        let mut served = BTreeSet::new();
        for set in sets {
            let set = FileDescriptorSet::decode(set).unwrap();
            for file in &set.file {
                for service in &file.service {
                    let (package, name) = (file.package(), service.name());
                    let methods = service.method.iter();
                    served.extend(
                        methods.map(|method| format!("/{package}.{name}/{}", method.name())),
                    );
                }
            }
        }
        served
    }

    #[test]
    fn every_method_of_every_service_has_a_row_and_no_row_is_of_another() {
        let served = served();
        assert!(served.len() > 40, "{served:?}");
        for path in &served {
            assert!(!allowed(path).is_empty(), "{path} has no row");
        }
        let rows = METHODS.iter().flat_map(|(service, methods)| {
            let methods = methods.iter();
            methods.map(move |(method, _)| format!("/{service}/{method}"))
        });
        assert_eq!(rows.collect::<BTreeSet<_>>(), served);
    }

    #[test]
    fn what_is_not_in_the_table_is_denied() {
        for path in [
            "",
            "/",
            "//",
            "/paasta.v1.Admin",
            "/paasta.v1.Admin/",
            "/paasta.v1.Admin/status",
            "/paasta.v1.Admin/Status/",
            "//paasta.v1.Admin/Status",
            "paasta.v1.Admin/Status",
            "/paasta.v1.admin/Status",
            "/paasta.v1.Admin/Stop",
            "/paasta.v1.Admin%2FStatus",
        ] {
            assert!(allowed(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn each_role_has_its_own() {
        let may = |role: Role| -> BTreeSet<String> {
            let all = served().into_iter();
            all.filter(|path| allowed(path).contains(&role)).collect()
        };
        let of = |service: &str, paths: &BTreeSet<String>| {
            let begin = format!("/paasta.v1.{service}/");
            paths.iter().filter(|path| path.starts_with(&begin)).count()
        };
        let health = [
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
        ];
        // Late renewals come from strangers, or are passed on by a coordinator.
        let open = OPEN
            .into_iter()
            .filter(|path| *path != "/paasta.v1.Joining/RenewLate");
        let every = health.into_iter().chain(open);
        let every: BTreeSet<String> = every.map(str::to_owned).collect();
        assert_eq!(may(Metrics), every);
        let agent = may(Agent);
        assert_eq!(agent.len(), every.len() + 2, "{agent:?}");
        assert!(agent.contains("/paasta.v1.Joining/Renew"));
        assert!(agent.contains("/paasta.v1.Agents/Session"));
        for role in [Admin, Deployer, Reader] {
            let may = may(role);
            assert_eq!((of("RaftService", &may), of("Agents", &may)), (0, 0));
        }
        assert_eq!(of("RaftService", &may(Coordinator)), 7);
        let writes = [
            "/paasta.v1.Cluster/Init",
            "/paasta.v1.Members/Add",
            "/paasta.v1.Members/Promote",
            "/paasta.v1.Members/Remove",
            "/paasta.v1.Members/TransferLeader",
            "/paasta.v1.Operate/DrainHost",
            "/paasta.v1.Operate/UndrainHost",
            "/paasta.v1.Operate/RemoveHost",
            "/paasta.v1.Operate/ReleaseBrake",
            "/paasta.v1.Operate/Cleanup",
            "/paasta.v1.Bounces/ForceBounce",
            "/paasta.v1.Principals/List",
            "/paasta.v1.Principals/Set",
            "/paasta.v1.Principals/Remove",
            "/paasta.v1.Principals/Audit",
            "/paasta.v1.Revocations/Revoke",
            "/paasta.v1.Revocations/Restore",
            "/paasta.v1.Revocations/List",
            "/paasta.v1.Settings/Apply",
            "/paasta.v1.Snapshots/Save",
            "/paasta.v1.Tokens/Create",
            "/paasta.v1.Tokens/List",
            "/paasta.v1.Tokens/Revoke",
        ];
        let deploys = [
            "/paasta.v1.Bounces/ResumeBounce",
            "/paasta.v1.Bounces/RollBack",
            "/paasta.v1.Deploys/Override",
            "/paasta.v1.Exec/Run",
            "/paasta.v1.Operate/ResetBackoff",
        ];
        for path in writes {
            assert_eq!(allowed(path), [Admin], "{path}");
        }
        for path in deploys {
            assert_eq!(allowed(path), [Admin, Deployer], "{path}");
        }
        assert_eq!(allowed("/paasta.v1.Authority/Key"), [Coordinator]);
        let reads = may(Reader);
        for path in writes.iter().chain(&deploys) {
            assert!(!reads.contains(*path), "{path}");
        }
        assert!(!reads.contains("/paasta.v1.Deploys/Poke"));
        assert!(!reads.contains("/paasta.v1.Admin/Describe"));
    }
}
