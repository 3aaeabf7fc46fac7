//! The types openraft is built from.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{runtime::Runtime, state_machine::StateMachine};
use crate::store::StoreId;

/// One command, opaque here: only the [`Machine`](super::Machine) understands it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command(pub Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the machine said to a command, opaque here too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome(pub Vec<u8>);

/// Where a member is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `host:port` of its gRPC endpoint.
    pub address: String,
    /// The id of its store; `None` in a configuration that an older version wrote. Any other store
    /// under the member's id is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
}

openraft::declare_raft_types!(
    /// The choice of types. Leaders are unique per term, because agents obey a term.
    pub TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = Node,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub(super) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(super) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(super) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type Snapshot = openraft::alias::SmSnapshotOf<TypeConfig, StateMachine>;
pub(super) type CommittedLeader = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
pub(super) type Metrics = openraft::RaftMetrics<TypeConfig>;
