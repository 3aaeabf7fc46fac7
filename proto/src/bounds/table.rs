//! The bounds, field by field.

/// How much a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// How many values; 1 for a field that holds one.
    pub items: usize,
    /// Bytes of each; 0 where the values are messages or numbers.
    pub bytes: usize,
}

const fn text(bytes: usize) -> Bound {
    Bound { items: 1, bytes }
}

const fn many(items: usize, bytes: usize) -> Bound {
    Bound { items, bytes }
}

/// A name of something: a service, `SERVICE.INSTANCE`, a host, a pool, an address.
const NAME: Bound = text(255);
/// A word of a closed set.
const WORD: Bound = text(64);
/// An app's id: both names, a `_` of which may be written as two bytes, and two hashes.
const APP: Bound = text(512);
/// Several names.
const NAMES: Bound = many(1_000, 255);
/// What an operator gives as the reason.
const REASON: Bound = text(500);
/// What a host says in words; agents cut far below.
const WORDS: Bound = text(4 << 10);

/// How much each field of a request may hold, by `Message.field`; of a map, how many entries, and
/// how long a key or value.
pub const TABLE: &[(&str, Bound)] = &[
    // Operators and authors.
    ("AddMemberRequest.address", NAME),
    ("ApplySettingsRequest.digest", WORD),
    ("Asker.request_id", text(100)),
    ("Asker.by", text(200)),
    ("AuditRequest.by", NAME),
    ("AuditRequest.object", NAME),
    ("BounceStatusRequest.instances", NAMES),
    ("CheckReplicationRequest.instances", NAMES),
    ("CreateTokenRequest.note", REASON),
    ("CreateTokenRequest.principal", APP),
    ("DescribeRequest.instance", NAME),
    ("DrainHostRequest.host", NAME),
    ("DrainHostRequest.reason", REASON),
    ("EventsRequest.instance", NAME),
    ("ExecStdin.data", text(32 << 10)),
    ("ExecStart.instance", NAME),
    ("ExecStart.host", NAME),
    ("ExecStart.replica", NAME),
    ("ExecStart.command", many(1_000, 32 << 10)),
    ("FollowRequest.instance", NAME),
    ("ForceBounceRequest.instance", NAME),
    ("ForceBounceRequest.reason", REASON),
    ("HistoryRequest.instance", NAME),
    ("InitRequest.cluster", NAME),
    ("InitRequest.members", many(64, 255)),
    ("JoinRequest.name", NAME),
    ("JoinRequest.request", WORDS),
    ("JoinRequest.secret", WORD),
    ("JoinRequest.token", WORD),
    ("ListRequest.service", NAME),
    ("ListRequest.page", NAME),
    ("LogsRequest.service", NAME),
    ("LogsRequest.instances", NAMES),
    ("LogsRequest.components", many(16, 0)),
    ("LogsRequest.components_word", many(16, 64)),
    ("LogsRequest.replica", NAME),
    ("LogsRequest.host", NAME),
    ("LogsRequest.cluster", NAME),
    ("MaintenanceStatusRequest.hosts", NAMES),
    ("OverrideRequest.instance", NAME),
    ("OverrideRequest.action_word", WORD),
    ("PokeRequest.service", NAME),
    ("PokeRequest.tags", NAMES),
    ("ReleaseBrakeRequest.hosts", many(10_000, 255)),
    ("RemotesRequest.service", NAME),
    ("RemotesRequest.page", NAME),
    ("RemoveHostRequest.host", NAME),
    ("RestoreRequest.identity", APP),
    ("RevokeRequest.identity", APP),
    ("RevokeRequest.reason", REASON),
    ("RenewLateRequest.certificate", text(16 << 10)),
    ("RenewLateRequest.nonce", WORD),
    ("RenewLateRequest.proof", WORDS),
    ("RenewLateRequest.proven_identity", APP),
    ("RenewLateRequest.proven_key", WORD),
    ("RenewLateRequest.request", WORDS),
    ("RenewRequest.proven_key", WORD),
    ("RenewRequest.request", WORDS),
    ("RemovePrincipalRequest.name", NAME),
    ("ResetBackoffRequest.instance", NAME),
    ("ResetBackoffRequest.host", NAME),
    ("ResumeBounceRequest.instance", NAME),
    ("ResumeBounceRequest.reason", REASON),
    ("RevokeTokenRequest.id", WORD),
    ("RollBackRequest.instance", NAME),
    ("RollBackRequest.reason", REASON),
    ("RollBackRequest.app", APP),
    ("SearchRequest.text", NAME),
    ("SearchRequest.team", NAME),
    ("SearchRequest.page", NAME),
    ("SetPrincipalRequest.name", NAME),
    ("SetPrincipalRequest.scopes", many(64, 127)),
    ("SetPrincipalRequest.note", REASON),
    ("StatusRequest.service", NAME),
    ("StatusRequest.instances", NAMES),
    ("StatusRequest.page", NAME),
    ("UndrainHostRequest.host", NAME),
    ("WhyRequest.instance", NAME),
    // Agents.
    ("ExecData.data", text(64 << 10)),
    ("ExecEnd.problem", WORDS),
    ("Fence.cluster_id", NAME),
    ("Hello.boot_id", NAME),
    ("Hello.cluster", NAME),
    ("Host.id", NAME),
    ("Host.machine", WORD),
    ("Host.address", NAME),
    ("Host.pool", NAME),
    ("Host.attributes", many(1_000, 1 << 10)),
    ("Host.agent_version", NAME),
    ("ImageReport.digest", APP),
    ("ImageReport.problem_word", WORDS),
    ("LogAnswer.records", many(10_000, 0)),
    ("LogAnswer.problem", WORDS),
    ("LogRecord.stream_word", WORD),
    ("LogRecord.instance", NAME),
    ("LogRecord.replica", NAME),
    ("LogRecord.line", text(256 << 10)),
    ("ProxyProblem.name", NAME),
    ("ProxyProblem.detail", WORDS),
    ("ProxyReport.backends", many(10_000, 0)),
    ("ProxyReport.as_wanted", many(10_000, 0)),
    ("ProxyReport.problems", many(1_000, 0)),
    ("ProxyReport.degraded", WORDS),
    ("Report.replicas", many(10_000, 0)),
    ("Report.runtime_degraded", WORDS),
    ("ReplicaReport.app", APP),
    ("ReplicaReport.troubles", many(32, 0)),
    ("ReplicaReport.phase_word", WORD),
    ("ReplicaReport.health_word", WORD),
    ("ReplicaReport.container", APP),
    ("ReplicaReport.message", WORDS),
    ("RunEnd.cause_word", WORD),
    ("RunEnd.signal", WORD),
    ("RunEnd.last_words", WORDS),
    // Coordinators.
    ("RaftPayload.data", text(16 << 20)),
    ("RaftPayload.cluster_id", NAME),
    ("RaftPayload.from_store", WORD),
    ("RaftPayload.to_store", WORD),
    ("SnapshotChunk.data", text(4 << 20)),
];
