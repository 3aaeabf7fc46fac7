//! What a node knows about its cluster right now, without openraft's types.

use std::{collections::BTreeMap, fmt, time::Duration};

use openraft::{Instant, ServerState};

use super::{heard::Heard, identity::Identity, types::Metrics};

/// A leader that was not heard from for so long counts as gone: longer than any election.
const LEADER_SILENCE_MAX: Duration = Duration::from_secs(3);

/// A member that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its node id.
    pub id: u64,
    /// `host:port`.
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "coordinator {} at {}", self.id, self.address)
    }
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides, as long as a majority answers it.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It receives the log without a vote; also every node before it is in a cluster.
    Learner,
    /// Consensus has ended here: shut down, or the disk failed.
    Stopped,
}

/// One node's view of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// This node.
    pub node_id: u64,
    /// The cluster it belongs to, once it belongs to one.
    pub cluster_id: Option<String>,
    /// The epoch of that cluster; 0 while it belongs to none.
    pub epoch: u64,
    /// The id of its store.
    pub store: String,
    /// What it is there.
    pub role: Role,
    /// The newest term it knows.
    pub term: u64,
    /// The leader it last heard of. On a node cut off from the rest this may be history.
    pub leader: Option<Peer>,
    /// Index of the last record in its log.
    pub last_log: Option<u64>,
    /// Index of the last record that it knows a majority to hold.
    pub committed: Option<u64>,
    /// Index of the last record applied to its machine.
    pub applied: Option<u64>,
    /// Index of the last record its newest snapshot covers.
    pub snapshot: Option<u64>,
    /// Index of the last record removed from its log.
    pub purged: Option<u64>,
    /// Members with a vote, and where they are.
    pub voters: BTreeMap<u64, String>,
    /// Members without one.
    pub learners: BTreeMap<u64, String>,
    /// Whether a change of members is not complete.
    pub changing: bool,
    /// On a leader: how long ago a majority last answered; `None` before the first time. A leader
    /// of one needs no answer.
    pub since_quorum_ack: Option<Duration>,
    /// On a follower: how long ago a leader last spoke to it; `None` before the first time.
    pub since_heard: Option<Duration>,
    /// On a leader: how long ago each other member last answered; absent before the first time.
    pub answered: BTreeMap<u64, Duration>,
    /// On a leader: the last index each other member is known to have.
    pub matched: BTreeMap<u64, Option<u64>>,
    /// Why each member that takes no part does not: its store, its cluster or what it claims is
    /// wrong. What it once held says nothing then, and is not in `matched`.
    pub refused: BTreeMap<u64, String>,
    /// Why this node itself is refused by the members, in the last refusal.
    pub refused_here: Option<String>,
}

impl Role {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopped => "stopped",
        }
    }
}

impl RaftStatus {
    pub(super) fn from_metrics(metrics: &Metrics, identity: &Identity, heard: &Heard) -> Self {
        let members = metrics.membership_config.membership();
        let voting: Vec<u64> = members.voter_ids().collect();
        let (mut voters, mut learners) = (BTreeMap::new(), BTreeMap::new());
        for (id, node) in members.nodes() {
            let side = if voting.contains(id) {
                &mut voters
            } else {
                &mut learners
            };
            side.insert(*id, node.address.clone());
        }
        let leader = metrics.current_leader.map(|id| {
            let address = members.get_node(&id).map(|node| node.address.clone());
            Peer {
                id,
                address: address.unwrap_or_default(),
            }
        });
        let answered = metrics.heartbeat.iter().flatten();
        let refused = identity.roster.refusals();
        let matched = metrics.replication.iter().flatten();
        let matched = matched.filter(|(id, _)| !refused.contains_key(*id));
        Self {
            node_id: metrics.id,
            cluster_id: identity.cluster(),
            epoch: identity.epoch(),
            store: identity.store().to_string(),
            role: role(metrics),
            term: metrics.current_term,
            leader,
            last_log: metrics.last_log_index,
            committed: metrics.cluster_committed.map(|at| at.index()),
            applied: metrics.last_applied.map(|at| at.index()),
            snapshot: metrics.snapshot.map(|at| at.index()),
            purged: metrics.purged.map(|at| at.index()),
            voters,
            learners,
            changing: members.get_joint_config().len() > 1
                || metrics.membership_config != metrics.committed_membership_config,
            since_quorum_ack: metrics.last_quorum_acked.map(|acked| acked.elapsed()),
            since_heard: heard.ago(),
            answered: answered
                .filter_map(|(id, at)| Some((*id, at.as_ref()?.elapsed())))
                .collect(),
            matched: matched
                .map(|(id, at)| (*id, at.map(|at| at.index())))
                .collect(),
            refused_here: identity
                .roster
                .outside(metrics.id)
                .or_else(|| refused.get(&metrics.id).cloned()),
            refused,
        }
    }

    /// Whether it decides here, as far as this node knows.
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// Whether there is a leader now, as far as this node can tell: it hears one, or leads and is
    /// heard by a majority.
    pub fn has_leader(&self) -> bool {
        let lately = |ago: Duration| ago < LEADER_SILENCE_MAX;
        match self.is_leader() {
            // None yet: it was elected just now.
            true => self.voters.len() < 2 || self.since_quorum_ack.is_none_or(lately),
            false => self.leader.is_some() && self.since_heard.is_some_and(lately),
        }
    }

    /// Whether this node belongs to no cluster yet.
    pub fn is_uninitialized(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether `other` tells a reader of [`watch`](super::Consensus::watch) anything new.
    pub(super) fn differs_in_kind(&self, other: &Self) -> bool {
        (self.role, self.term, &self.leader) != (other.role, other.term, &other.leader)
            || (&self.voters, &self.learners) != (&other.voters, &other.learners)
            || (&self.refused, &self.refused_here) != (&other.refused, &other.refused_here)
            || (self.changing, &self.cluster_id) != (other.changing, &other.cluster_id)
    }
}

fn role(metrics: &Metrics) -> Role {
    if metrics.running_state.is_err() {
        return Role::Stopped;
    }
    match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}
