//! What can go wrong with consensus, for the rest of the coordinator.

use std::{io, path::PathBuf, time::Duration};

use super::status::Peer;
use crate::store::{StoreError, StoreId};

/// Why consensus cannot start, or cannot do as it is told.
#[derive(Debug, thiserror::Error)]
pub enum RaftError {
    /// The store is damaged: this node must never vote again under its id. The text says what the
    /// operator can do.
    #[error("{0}")]
    Damaged(StoreError),
    /// The store cannot be opened for another reason.
    #[error(transparent)]
    Store(StoreError),
    /// The options contradict each other.
    #[error("the consensus settings are wrong: {0}")]
    Options(String),
    /// Somebody took this node for one of another cluster.
    #[error(
        "coordinator {node} belongs to cluster {known}, not to {given}: it cannot serve two; use \
         an empty data directory to join the other one"
    )]
    OtherCluster {
        /// This node.
        node: u64,
        /// Its cluster.
        known: String,
        /// The other one.
        given: String,
    },
    /// A member of the same cluster from before, or after, a recovery of it.
    #[error(
        "coordinator {node} is of epoch {known} of this cluster, not of epoch {given}: the cluster \
         was recovered in between. What is left of the older epoch must not run any more; bring \
         its machine back with an empty store and a new id (`paasta-coordinator rejoin`)"
    )]
    OtherEpoch {
        /// This node.
        node: u64,
        /// Its epoch.
        known: u64,
        /// The other one.
        given: u64,
    },
    /// A member's number with another store than the member has.
    #[error(
        "coordinator {node} has store {given}, and the cluster knows it by store {known}: its data \
         directory was lost, emptied or replaced, and with it what it had voted and acknowledged. \
         It takes no part in the cluster. Bring its old data directory back, or remove it \
         (`paasta coordinator remove {node}`), give the machine a new id (`paasta-coordinator \
         rejoin`) and add that (`paasta coordinator add`)"
    )]
    OtherStore {
        /// The member.
        node: u64,
        /// The store it has by the members' configuration.
        known: StoreId,
        /// The one that is there.
        given: StoreId,
    },
    /// An empty store that is taken for a member's.
    #[error(
        "coordinator {node} has an empty store, and coordinator {from_node} does not name it: it \
         was a member that lost its data directory, or the other one runs an older version. In the \
         first case remove it (`paasta coordinator remove {node}`), give the machine a new id \
         (`paasta-coordinator rejoin`) and add that (`paasta coordinator add`); in the second, \
         upgrade the other coordinators first"
    )]
    NotNamed {
        /// This node.
        node: u64,
        /// The sender.
        from_node: u64,
    },
    /// A member that does not say which store it has.
    #[error(
        "coordinator {node} does not name its store: it runs a version from before the cluster \
         knew its members by their stores; upgrade it again"
    )]
    NoStoreNamed {
        /// The member.
        node: u64,
    },
    /// The store holds a term that nothing honest has made.
    #[error(
        "the store in {dir} holds term {term}, which no elections can have made: a faulty member or \
         a damaged disk did. If the other coordinators have a quorum, remove this one (`paasta \
         coordinator remove`), give the machine a new id (`paasta-coordinator rejoin`) and add \
         that; if they have none, begin again from this store (`paasta-coordinator recover`)"
    )]
    ImpossibleTerm {
        /// The data directory.
        dir: PathBuf,
        /// The term.
        term: u64,
    },
    /// One of the members given to `init` is in a cluster already, which may be this very one.
    #[error("coordinator {} is in a cluster already, id {cluster}", .member.id)]
    Elsewhere {
        /// That member.
        member: Peer,
        /// Its cluster.
        cluster: String,
    },
    /// The members given to `init` do not make sense.
    #[error("no cluster was made of these members: {0}")]
    Members(String),
    /// The store is in order, but the machine could not be rebuilt from it.
    #[error("cannot rebuild the state of the cluster from the store: {0}")]
    Restore(String),
    /// The disk refused.
    #[error("cannot write the coordinator's store: {0}")]
    Disk(io::Error),
    /// It took too long.
    #[error("no answer within {0:?}; try again")]
    TimedOut(Duration),
    /// This node's consensus has ended.
    #[error("consensus has stopped on this node; restart the coordinator and read its log")]
    Stopped,
}

impl From<StoreError> for RaftError {
    fn from(error: StoreError) -> Self {
        match error {
            damaged @ StoreError::Damaged { .. } => Self::Damaged(damaged),
            other => Self::Store(other),
        }
    }
}

/// What came of `init`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitOutcome {
    /// The cluster exists from now on.
    Initialized,
    /// This node is in that cluster already; nothing changed.
    AlreadyInitialized,
}

/// Why a command has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not proposed: only the leader can. Ask it, if it is known.
    #[error("this coordinator is not the leader{}", .leader.as_ref().map_or_else(
        || " and knows none; try again shortly".to_owned(),
        |leader| format!("; ask {leader}"),
    ))]
    NotLeader {
        /// The leader this node last heard of.
        leader: Option<Peer>,
    },
    /// Not proposed: this leader has lost contact with the majority.
    #[error(
        "this coordinator cannot reach a majority of the coordinators: try another one, and check \
         that more than half of them run and reach each other"
    )]
    NoQuorum,
    /// Not proposed: the command is too large.
    #[error("a command of {bytes} bytes is too large (at most {limit}); split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The outcome is unknown: the command may have been applied, or may yet be. Retry under the
    /// same request id.
    #[error("no outcome in time: the change may or may not happen; retrying it is safe")]
    TimedOut,
    /// The outcome is unknown, for the reason given, and waiting longer would not help.
    #[error("the change may or may not happen ({why}); retrying it is safe")]
    Uncertain {
        /// What happened to the leader.
        why: &'static str,
    },
    /// This node's consensus has ended. For a proposal that was already made, the outcome is
    /// unknown.
    #[error("consensus has stopped on this node; restart the coordinator and read its log")]
    Stopped,
}

impl ProposeError {
    /// Whether the command may nevertheless be applied. If not, it certainly never was.
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::TimedOut | Self::Uncertain { .. } | Self::Stopped
        )
    }
}

/// Why the set of members did not change, or is not known to have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Only the leader can.
    #[error("this coordinator is not the leader{}", .leader.as_ref().map_or_else(
        || " and knows none; try again shortly".to_owned(),
        |leader| format!("; ask {leader}"),
    ))]
    NotLeader {
        /// The leader this node last heard of.
        leader: Option<Peer>,
    },
    /// Another change is going on.
    #[error("another change of members is going on; wait for it to end, then try again")]
    Busy,
    /// The node is no member.
    #[error("{0} is not a member of this cluster; `add` it first")]
    Unknown(u64),
    /// The id is taken, by a member at another address. Ids are never reused.
    #[error("{id} is already a member, at {address}; a new node needs a new id")]
    Taken {
        /// The id.
        id: u64,
        /// Where the member with that id is.
        address: String,
    },
    /// A node that is to vote has not received the log yet.
    #[error("{0} did not catch up with the log in time; check that it runs and is reachable")]
    NotCaughtUp(u64),
    /// The change makes no sense.
    #[error("the members cannot be changed so: {0}")]
    Refused(String),
    /// Too late; the change may have begun. It can be repeated.
    #[error("the change of members did not complete in time; look at the status and repeat it")]
    TimedOut,
    /// This leader has lost contact with the majority.
    #[error("this coordinator cannot reach a majority of the coordinators")]
    NoQuorum,
    /// This node's consensus has ended.
    #[error("consensus has stopped on this node; restart the coordinator and read its log")]
    Stopped,
}
