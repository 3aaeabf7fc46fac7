//! Changes of the cluster's members: one at a time, a new voter only when it has the log, and done
//! only when the new configuration is committed and uniform.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{
    ChangeMembers, ServerState,
    async_runtime::watch::WatchReceiver,
    errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError},
    raft::ClientWriteResponse,
};
use tokio::time::{Instant, timeout_at};

use super::{
    error::{MemberError, ProposeError},
    node::Consensus,
    propose::peer,
    types::{Metrics, Node, TypeConfig},
};

/// How many records a node may lack and still count as caught up.
const CAUGHT_UP_RECORDS: u64 = 64;

type Changes = ChangeMembers<u64, Node>;
type Changed =
    Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

impl Consensus {
    /// Adds a node that receives the log without a vote, and waits until it has caught up. Its id
    /// must never have been used in this cluster. It is asked first, and becomes a member by the
    /// store it has. Harmless if it is a member at that address.
    ///
    /// # Errors
    /// A [`MemberError`]. After a timeout the node may be a learner; the call can be repeated.
    pub async fn add_learner(
        &self,
        id: u64,
        address: &str,
        deadline: Duration,
    ) -> Result<(), MemberError> {
        let until = Instant::now() + deadline;
        let _turn = self.begin_change(until).await?;
        let status = self.status();
        let known = status.voters.get(&id).or_else(|| status.learners.get(&id));
        match known {
            Some(known) if known == address => {
                self.ask_newcomer(id, address).await?;
            }
            Some(known) => {
                return Err(MemberError::Taken {
                    id,
                    address: known.clone(),
                });
            }
            None => {
                let node = self.ask_newcomer(id, address).await?;
                self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, node)])), until)
                    .await?;
            }
        }
        self.caught_up(id, until).await
    }

    /// Makes exactly these members the voters. Every new one must be a learner; it is waited for
    /// until it has caught up. Voters that are left out become learners.
    ///
    /// # Errors
    /// A [`MemberError`]. After a timeout the change may be under way; the call can be repeated.
    pub async fn change_voters(
        &self,
        voters: BTreeSet<u64>,
        deadline: Duration,
    ) -> Result<(), MemberError> {
        let until = Instant::now() + deadline;
        let _turn = self.begin_change(until).await?;
        if voters.is_empty() {
            return Err(MemberError::Refused(
                "there must be at least one voter".to_owned(),
            ));
        }
        let status = self.status();
        for id in &voters {
            if status.voters.contains_key(id) {
                continue;
            }
            if !status.learners.contains_key(id) {
                return Err(MemberError::Unknown(*id));
            }
            self.caught_up(*id, until).await?;
        }
        if status.voters.keys().eq(&voters) {
            return Ok(());
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters), until)
            .await
    }

    /// Removes another member for ever; its id must not be used again. The leader cannot remove
    /// itself: it must hand leadership over first.
    ///
    /// # Errors
    /// A [`MemberError`]. After a timeout the change may be under way; the call can be repeated.
    pub async fn remove(&self, id: u64, deadline: Duration) -> Result<(), MemberError> {
        let until = Instant::now() + deadline;
        let _turn = self.begin_change(until).await?;
        let status = self.status();
        let gone = BTreeSet::from([id]);
        if id == status.node_id {
            let why = format!("{id} is the leader; hand leadership over, then remove it");
            return Err(MemberError::Refused(why));
        }
        if status.voters.contains_key(&id) {
            self.change(ChangeMembers::RemoveVoters(gone.clone()), until)
                .await?;
        } else if !status.learners.contains_key(&id) {
            return Err(MemberError::Unknown(id));
        }
        self.change(ChangeMembers::RemoveNodes(gone), until).await
    }

    /// Hands leadership to another voter and waits until it leads.
    ///
    /// # Errors
    /// A [`MemberError`]; on a timeout this node may still lead.
    pub async fn transfer_leader(&self, to: u64, deadline: Duration) -> Result<(), MemberError> {
        let until = Instant::now() + deadline;
        let _turn = self.begin_change(until).await?;
        let status = self.status();
        if to == status.node_id {
            return Ok(());
        }
        if !status.voters.contains_key(&to) {
            return Err(MemberError::Unknown(to));
        }
        self.caught_up(to, until).await?;
        self.raft()
            .trigger()
            .transfer_leader(to)
            .await
            .map_err(|_| MemberError::Stopped)?;
        self.until(until, |metrics| metrics.current_leader == Some(to))
            .await
            .map(drop)
    }

    /// Takes the turn and finishes what an earlier change, or an earlier leader, left half done.
    pub(super) async fn begin_change(
        &self,
        until: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, MemberError> {
        let turn = self
            .change_turn()
            .try_lock()
            .map_err(|_| MemberError::Busy)?;
        // A leader that was just elected cannot change anything before its term has begun.
        self.linearize_until(until).await?;
        self.settle(until).await?;
        Ok(turn)
    }

    /// Proposes a change and waits until its outcome is committed and uniform.
    pub(super) async fn change(&self, changes: Changes, until: Instant) -> Result<(), MemberError> {
        let keep_as_learners = true;
        let changed = self.raft().change_membership(changes, keep_as_learners);
        let changed: Changed = timeout_at(until, changed)
            .await
            .map_err(|_| MemberError::TimedOut)?;
        changed.map_err(refusal)?;
        self.settle(until).await
    }

    /// Waits until the newest configuration is committed, and leaves a joint one.
    async fn settle(&self, until: Instant) -> Result<(), MemberError> {
        self.while_leading(until, is_committed).await?;
        let metrics = self.raft().metrics().borrow_watched().clone();
        if metrics.membership_config.get_joint_config().len() < 2 {
            return Ok(());
        }
        let none = ChangeMembers::AddVoterIds(BTreeSet::new());
        let flattened: Changed = timeout_at(until, self.raft().change_membership(none, true))
            .await
            .map_err(|_| MemberError::TimedOut)?;
        flattened.map_err(refusal)?;
        self.while_leading(until, is_committed).await
    }

    async fn caught_up(&self, id: u64, until: Instant) -> Result<(), MemberError> {
        if id == self.status().node_id {
            return Ok(());
        }
        let goal = self
            .status()
            .last_log
            .unwrap_or(0)
            .saturating_sub(CAUGHT_UP_RECORDS);
        let reached = |metrics: &Metrics| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&id));
            matched.is_some_and(|at| at.is_some_and(|at| at.index() >= goal))
        };
        match self.while_leading(until, reached).await {
            Err(MemberError::TimedOut) => Err(MemberError::NotCaughtUp(id)),
            other => other,
        }
    }

    /// Waits for a state that this node can only see as the leader.
    async fn while_leading(
        &self,
        until: Instant,
        reached: impl Fn(&Metrics) -> bool,
    ) -> Result<(), MemberError> {
        let seen = self.until(until, |metrics| reached(metrics) || !leads(metrics));
        if reached(&seen.await?) {
            return Ok(());
        }
        let leader = self.status().leader;
        Err(MemberError::NotLeader { leader })
    }

    /// Waits for a state of this node and returns it.
    async fn until(
        &self,
        until: Instant,
        reached: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics, MemberError> {
        let mut changes = self.raft().metrics();
        loop {
            let metrics = changes.borrow_watched().clone();
            if reached(&metrics) {
                return Ok(metrics);
            }
            match timeout_at(until, changes.changed()).await {
                Err(_) => return Err(MemberError::TimedOut),
                Ok(Err(_)) => return Err(MemberError::Stopped),
                Ok(Ok(())) => {}
            }
        }
    }
}

impl From<ProposeError> for MemberError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::NoQuorum => Self::NoQuorum,
            ProposeError::Stopped => Self::Stopped,
            ProposeError::TimedOut | ProposeError::Uncertain { .. } => Self::TimedOut,
            ProposeError::TooLarge { .. } => Self::Refused(error.to_string()),
        }
    }
}

fn leads(metrics: &Metrics) -> bool {
    metrics.state == ServerState::Leader
}

fn is_committed(metrics: &Metrics) -> bool {
    metrics.membership_config == metrics.committed_membership_config
}

fn refusal(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MemberError {
    let error = match error {
        RaftError::Fatal(_) => return MemberError::Stopped,
        RaftError::APIError(error) => error,
    };
    match error {
        ClientWriteError::ForwardToLeader(forward)
            if forward.reason == ForwardReason::LeaseExpired =>
        {
            MemberError::NoQuorum
        }
        ClientWriteError::ForwardToLeader(forward) => MemberError::NotLeader {
            leader: peer(forward),
        },
        ClientWriteError::LogEntryDiscarded(_) => MemberError::TimedOut,
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
            MemberError::Busy
        }
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(
            missing,
        )) => MemberError::Unknown(missing.node_id),
        ClientWriteError::ChangeMembershipError(other) => MemberError::Refused(other.to_string()),
        ClientWriteError::PreconditionFailed(other) => MemberError::Refused(other.to_string()),
    }
}
