//! What a node knows about its cluster right now, without openraft's types.

use std::{collections::BTreeMap, fmt, time::Duration};

use openraft::{Instant as _, ServerState};

use super::{
    builds::SnapshotTrouble, identity::Identity, lease::Lease, links::Link, types::Metrics,
};

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
    /// It decides: a majority answers it.
    Leader,
    /// It was elected and no majority has answered it for a lease: it decides nothing.
    NoQuorum,
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
    /// The leader, as long as there is proof of it: a majority that answers this node, or its voice.
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
    /// How long this node leads, or has a leader, without proof of it.
    pub lease: Duration,
    /// On a leader: how old its proof is, since when no majority has answered. A leader of one needs
    /// no answer.
    pub since_quorum_ack: Option<Duration>,
    /// On a follower: how long ago a leader last spoke to it; `None` before the first time.
    pub since_heard: Option<Duration>,
    /// On a leader: how long ago each other member last answered; absent before the first time.
    pub answered: BTreeMap<u64, Duration>,
    /// Why its newest snapshot is older than it should be, if it is.
    pub snapshot_trouble: Option<SnapshotTrouble>,
    /// On a leader: the last index each other member is known to have.
    pub matched: BTreeMap<u64, Option<u64>>,
    /// Why each member that takes no part does not: its store, its cluster or what it claims is
    /// wrong. What it once held says nothing then, and is not in `matched`.
    pub refused: BTreeMap<u64, String>,
    /// Why this node itself is refused by the members, in the last refusal.
    pub refused_here: Option<String>,
    /// How far its own clock is ahead of the cluster's time, milliseconds.
    pub clock_ahead_ms: i64,
    /// How many times longer than configured its timeouts are, in thousandths.
    pub pace_permille: u32,
    /// The links to the other members, as this node measures them.
    pub links: BTreeMap<u64, Link>,
}

impl Role {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::NoQuorum => "no-quorum",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopped => "stopped",
        }
    }
}

impl RaftStatus {
    /// Every member with its address: those with a vote, then those without.
    pub fn addresses(&self) -> impl Iterator<Item = (u64, &str)> {
        let members = self.voters.iter().chain(&self.learners);
        members.map(|(id, address)| (*id, address.as_str()))
    }

    pub(super) fn from_metrics(metrics: &Metrics, identity: &Identity, lease: &Lease) -> Self {
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
        let (age, length) = (lease.age(metrics), lease.length());
        let proven = age.is_some_and(|age| age < length);
        let role = match role(metrics) {
            Role::Leader if !proven => Role::NoQuorum,
            role => role,
        };
        let led_by = metrics.current_leader.filter(|_| proven);
        let leader = led_by.map(|id| {
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
            role,
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
            lease: length,
            since_quorum_ack: age.filter(|_| matches!(role, Role::Leader | Role::NoQuorum)),
            since_heard: lease.heard.ago(),
            snapshot_trouble: None,
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
            clock_ahead_ms: -lease.clock.ahead_ms(),
            pace_permille: lease.pace.permille(),
            links: lease.links.all(),
        }
    }

    /// That of a store that has just been made; the unit tests set what they are about.
    #[cfg(test)]
    pub(crate) fn blank() -> Self {
        Self {
            node_id: 1,
            cluster_id: None,
            epoch: 0,
            store: String::new(),
            role: Role::Learner,
            term: 0,
            leader: None,
            last_log: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            voters: BTreeMap::new(),
            learners: BTreeMap::new(),
            changing: false,
            lease: Duration::from_secs(1),
            since_quorum_ack: None,
            since_heard: None,
            snapshot_trouble: None,
            answered: BTreeMap::new(),
            matched: BTreeMap::new(),
            refused: BTreeMap::new(),
            refused_here: None,
            clock_ahead_ms: 0,
            pace_permille: 1_000,
            links: BTreeMap::new(),
        }
    }

    /// Whether it decides here: a majority has answered it within the lease.
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// Whether there is a leader now, as far as this node can tell: it hears one, or leads and is
    /// answered by a majority.
    pub fn has_leader(&self) -> bool {
        self.leader.is_some()
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
