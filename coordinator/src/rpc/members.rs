//! The coordinators themselves: who they are, and changes of that, one at a time. How a change is
//! made safe is in `crate::raft`; here it is checked that it makes sense, and told in words.

use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt;
use paasta_coordinator_core::state::{
    command::{Command, RevokeIdentity},
    outcome::Outcome,
    revoked::Holder,
};
use paasta_proto::v1::{
    AddMemberRequest, ChangeMembersResponse, ListMembersRequest, ListMembersResponse, Member,
    MemberRole, PromoteMemberRequest, RemoveMemberRequest, TransferLeaderRequest,
    members_client::MembersClient, members_server::Members,
};
use tonic::{Request, Response, Status};

use super::{
    gate::{Gate, Route},
    peers::forwarded,
    status::{RpcError, bad},
};
use crate::{
    machine::ClusterMachine,
    propose::Proposer,
    raft::{Consensus, MemberError, RaftStatus},
};

/// How long a change may take when the request does not say.
const WAIT: Duration = Duration::from_secs(60);
/// The longest that a request may ask for.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// A voter that answered the leader this lately counts as being there.
const LATELY: Duration = Duration::from_secs(5);
/// What passing a call on may cost beyond the change itself.
const PASSING_ON: Duration = Duration::from_secs(5);

type Changed = Result<Response<ChangeMembersResponse>, Status>;

/// The service.
pub struct MembersService {
    /// Where calls are answered.
    pub gate: Gate,
    /// Consensus.
    pub consensus: Consensus,
    /// The replicated state: the cluster's name.
    pub machine: ClusterMachine,
    /// Where TLS is used: revokes what is removed.
    pub revoker: Option<Proposer>,
}

impl MembersService {
    fn list_here(&self) -> ListMembersResponse {
        let status = self.consensus.status();
        let cluster = self.machine.read().cluster().cloned();
        ListMembersResponse {
            cluster: cluster
                .as_ref()
                .map(|c| c.name.to_string())
                .unwrap_or_default(),
            cluster_id: cluster.as_ref().map(|c| c.id.clone()).unwrap_or_default(),
            epoch: cluster.map_or(0, |c| c.epoch),
            members: members(&status),
            term: status.term,
            last_log_index: status.last_log.unwrap_or_default(),
            changing: status.changing,
            answered_by: status.node_id,
            tolerates: u32::try_from(tolerates(&status)).unwrap_or(0),
        }
    }

    fn done(&self, changed: bool, text: String) -> Changed {
        tracing::info!(changed, "{text}");
        Ok(Response::new(ChangeMembersResponse {
            members: Some(self.list_here()),
            changed,
            text,
        }))
    }

    async fn add_here(&self, asked: &AddMemberRequest) -> Changed {
        let (id, address) = (asked.id, asked.address.as_str());
        check_id(id)?;
        check_address(address)?;
        let status = self.consensus.status();
        let known = address_of(&status, id);
        if let Some((other, _)) = status
            .addresses()
            .find(|(other, at)| *at == address && *other != id)
        {
            let message = format!("{address} is the address of coordinator {other}");
            return Err(bad("address", message).into());
        }
        let deadline = wait(asked.wait_ms);
        let added = self.consensus.add_learner(id, address, deadline).await;
        added.map_err(RpcError::from)?;
        let text = match known {
            None => {
                format!("coordinator {id} at {address} was added as a learner and has caught up")
            }
            Some(_) => {
                format!("coordinator {id} at {address} is a member already and has caught up")
            }
        };
        self.done(known.is_none(), text)
    }

    async fn promote_here(&self, asked: &PromoteMemberRequest) -> Changed {
        let id = asked.id;
        check_id(id)?;
        let status = self.consensus.status();
        let mut voters: BTreeSet<u64> = status.voters.keys().copied().collect();
        let changed = voters.insert(id);
        let promoted = self
            .consensus
            .change_voters(voters, wait(asked.wait_ms))
            .await;
        promoted.map_err(RpcError::from)?;
        let text = match changed {
            true => format!("coordinator {id} has a vote now"),
            false => format!("coordinator {id} had a vote already"),
        };
        self.done(changed, text)
    }

    async fn remove_here(&self, asked: &RemoveMemberRequest) -> Changed {
        let id = asked.id;
        check_id(id)?;
        if !asked.force {
            check_majority_after(&self.consensus.status(), id)?;
        }
        let removed = self.consensus.remove(id, wait(asked.wait_ms)).await;
        removed.map_err(RpcError::from)?;
        let rights = self.revoke(id).await;
        self.done(
            true,
            format!("coordinator {id} was removed; its id must not be used again{rights}"),
        )
    }

    /// Takes the rights of a removed coordinator's certificate away for as long as that can be valid:
    /// members know who was removed only since they started. Returns the rest of a sentence.
    async fn revoke(&self, id: u64) -> String {
        let Some(proposer) = &self.revoker else {
            return String::new();
        };
        let by_hand = |why: String| {
            format!(
                "; its certificate could not be revoked ({why}): `paasta auth revoke coordinator/{id}` does it"
            )
        };
        let holder = match Holder::new(&format!("coordinator/{id}")) {
            Ok(holder) => holder,
            Err(error) => return by_hand(error.to_string()),
        };
        let command = RevokeIdentity {
            holder,
            whole: true,
            reason: "it was removed from the cluster".to_owned(),
        };
        match proposer.propose(Command::RevokeIdentity(command)).await {
            Ok(Outcome::Refused(reason)) => by_hand(reason.to_string()),
            Ok(_) => String::new(),
            Err(error) => by_hand(error.to_string()),
        }
    }

    async fn transfer_here(&self, asked: &TransferLeaderRequest) -> Changed {
        let status = self.consensus.status();
        let to = match asked.to {
            0 => furthest(&status)
                .ok_or_else(|| MemberError::Refused("no other coordinator has a vote".to_owned()))
                .map_err(RpcError::from)?,
            to => to,
        };
        let handed = self
            .consensus
            .transfer_leader(to, wait(asked.wait_ms))
            .await;
        handed.map_err(RpcError::from)?;
        self.done(
            to != status.node_id,
            match to == status.node_id {
                true => format!("coordinator {to} leads already"),
                false => format!("coordinator {to} leads now"),
            },
        )
    }
}

/// Sends a change to the leader: here, or one step further. It is not sent twice by itself: the
/// caller repeats it, as it may be repeated.
macro_rules! at_leader {
    ($self:ident, $request:ident, $here:ident, $there:ident) => {{
        match $self.gate.route(&$request, false).await? {
            Route::Here => $self.$here($request.get_ref()).await,
            Route::Leader(channel) => {
                let limit = wait($request.get_ref().wait_ms) + PASSING_ON;
                let mut passed_on = forwarded(Request::new($request.into_inner()));
                passed_on.set_timeout(limit);
                MembersClient::new(channel).$there(passed_on).await
            }
        }
    }};
}

#[tonic::async_trait]
impl Members for MembersService {
    async fn list(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let stale = request.get_ref().stale;
        let here = |_: &ListMembersRequest| Ok(self.list_here());
        let there =
            |leader, request| async move { MembersClient::new(leader).list(request).await }.boxed();
        self.gate.answer(request, stale, here, there).await
    }

    async fn add(&self, request: Request<AddMemberRequest>) -> Changed {
        at_leader!(self, request, add_here, add)
    }

    async fn promote(&self, request: Request<PromoteMemberRequest>) -> Changed {
        at_leader!(self, request, promote_here, promote)
    }

    async fn remove(&self, request: Request<RemoveMemberRequest>) -> Changed {
        at_leader!(self, request, remove_here, remove)
    }

    async fn transfer_leader(&self, request: Request<TransferLeaderRequest>) -> Changed {
        at_leader!(self, request, transfer_here, transfer_leader)
    }
}

fn members(status: &RaftStatus) -> Vec<Member> {
    let mut members: Vec<Member> = status
        .addresses()
        .map(|(id, at)| member(status, id, at))
        .collect();
    members.sort_by_key(|member| member.id);
    members
}

fn member(status: &RaftStatus, id: u64, address: &str) -> Member {
    let own = id == status.node_id;
    let leads = status.leader.as_ref().is_some_and(|leader| leader.id == id);
    let matched_index = match own {
        true => status.last_log,
        false => status.matched.get(&id).copied().flatten(),
    };
    let role = match (leads, status.voters.contains_key(&id)) {
        (true, _) => MemberRole::Leader,
        (false, true) => MemberRole::Voter,
        (false, false) => MemberRole::Learner,
    };
    let last_answer_ms = match own {
        true => status.is_leader().then_some(0),
        false => status
            .answered
            .get(&id)
            .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
    };
    Member {
        id,
        address: address.to_owned(),
        role: role.into(),
        role_word: String::new(),
        matched_index,
        lag: matched_index.map(|at| status.last_log.unwrap_or(at).saturating_sub(at)),
        last_answer_ms,
        snapshot_index: status.snapshot.filter(|_| own),
        refused: status.refused.get(&id).cloned().unwrap_or_default(),
    }
}

fn address_of(status: &RaftStatus, id: u64) -> Option<&str> {
    status
        .addresses()
        .find(|(known, _)| *known == id)
        .map(|(_, at)| at)
}

/// The voter beside this one that has most of the log.
fn furthest(status: &RaftStatus) -> Option<u64> {
    let others = status.voters.keys().filter(|id| **id != status.node_id);
    others
        .copied()
        .max_by_key(|id| status.matched.get(id).copied().flatten())
}

/// Whether a voter is there: this one, or one that answered the leader lately.
fn answers(status: &RaftStatus, id: u64) -> bool {
    id == status.node_id || status.answered.get(&id).is_some_and(|ago| *ago < LATELY)
}

/// How many more voters may fail: those that are silent have failed already. Only the leader knows
/// which are; another coordinator counts them all as being there.
fn tolerates(status: &RaftStatus) -> usize {
    let voters = status.voters.len();
    let there = match status.is_leader() {
        true => status
            .voters
            .keys()
            .filter(|id| answers(status, **id))
            .count(),
        false => voters,
    };
    there.saturating_sub(voters / 2 + 1)
}

/// Refuses to take away a voter that is there when those left could not agree on anything.
pub(super) fn check_majority_after(status: &RaftStatus, gone: u64) -> Result<(), RpcError> {
    if !status.voters.contains_key(&gone) {
        return Ok(());
    }
    let left: Vec<u64> = status
        .voters
        .keys()
        .copied()
        .filter(|id| *id != gone)
        .collect();
    let answering = left.iter().filter(|id| answers(status, **id)).count();
    if answering * 2 > left.len() {
        return Ok(());
    }
    let why = format!(
        "without coordinator {gone}, {} voters are left of which {answering} answer: no majority. \
         Remove one that is dead first, or bring it back",
        left.len()
    );
    Err(MemberError::Refused(why).into())
}

fn wait(asked_ms: u64) -> Duration {
    match asked_ms {
        0 => WAIT,
        ms => Duration::from_millis(ms).min(WAIT_MAX),
    }
}

fn check_id(id: u64) -> Result<(), RpcError> {
    match id {
        0 => Err(bad("id", "a coordinator's id is a number from 1")),
        _ => Ok(()),
    }
}

fn check_address(address: &str) -> Result<(), RpcError> {
    let parts = address.rsplit_once(':');
    match parts.filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
    {
        Some(_) => Ok(()),
        None => Err(bad("address", format!("{address:?}: expected HOST:PORT"))),
    }
}

#[cfg(test)]
mod tests;
