//! Which terms can be real. A term rises by one with each election, and no member stands for
//! election more often than its timeout allows, so a message with a later term than that comes from
//! a faulty member or a damaged store. It is refused before consensus sees it: a term that was
//! taken is kept for ever, and after the last one there is no election any more.

use std::time::Duration;

use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::Instant;
use tonic::Status;

use super::types::{LogId, SnapshotMeta, TypeConfig, Vote};

/// The largest term of any store: at an election each millisecond it is reached in 8900 years. A
/// store with a later one is refused at start and mended offline.
pub(super) const TERM_MAX: u64 = 1 << 48;

/// How many elections may have gone by unseen while a node was away: a week without a leader, with
/// an election at every chance.
pub const UNSEEN_ELECTIONS: u64 = 1 << 20;

/// The bound on terms for one node, from its start on.
#[derive(Debug)]
pub(super) struct Terms {
    /// The term this node had when it started, and when that was.
    start: (u64, Instant),
    /// How far beyond it any term may be at the start.
    unseen: u64,
    /// The shortest time between two elections of one member.
    pace: Duration,
}

impl Terms {
    pub(super) fn new(term: u64, unseen: u64, pace: Duration) -> Self {
        Self {
            start: (term, Instant::now()),
            unseen,
            pace: pace.max(Duration::from_millis(1)),
        }
    }

    /// The latest term that honest elections of `members` can have reached by now.
    fn latest(&self, members: usize) -> u64 {
        let (term, at) = self.start;
        let rounds = at.elapsed().as_millis() / self.pace.as_millis();
        let since = rounds.saturating_mul(members.max(1) as u128);
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        let latest = term.saturating_add(self.unseen).saturating_add(since);
        match self.unseen {
            u64::MAX => u64::MAX,
            _ => latest.min(TERM_MAX),
        }
    }

    /// Refuses a term that no election can have reached.
    pub(super) fn check(&self, from: u64, term: u64, members: usize) -> Result<(), Status> {
        let latest = self.latest(members);
        if term <= latest {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "coordinator {from} claims term {term}, and no elections can have come past {latest} \
             by now: its store is damaged, or this one is from long ago. If the others have a \
             quorum, remove the coordinator that is alone with its term (`paasta coordinator \
             remove`) and bring its machine back under a new id (`paasta-coordinator rejoin`); if \
             they have none, begin again from the one with the newest state \
             (`paasta-coordinator recover`)"
        )))
    }
}

/// A message of consensus: what it claims must fit together, and be its sender's to claim.
pub(super) trait Claims {
    /// The term that its sender is in.
    fn term(&self) -> Option<u64>;

    /// What does not fit, if anything does not.
    fn flaw(&self, from: u64) -> Option<String>;
}

impl Claims for VoteRequest<TypeConfig> {
    fn term(&self) -> Option<u64> {
        Some(self.vote.leader_id.term)
    }

    fn flaw(&self, from: u64) -> Option<String> {
        let own = asks_for(&self.vote, from, false);
        own.or_else(|| later(self.last_log_id.as_ref(), &self.vote))
    }
}

impl Claims for AppendEntriesRequest<TypeConfig> {
    fn term(&self) -> Option<u64> {
        Some(self.vote.leader_id.term)
    }

    fn flaw(&self, from: u64) -> Option<String> {
        if let Some(flaw) = asks_for(&self.vote, from, true) {
            return Some(flaw);
        }
        let mut before = self.prev_log_id;
        for entry in &self.entries {
            let at = entry.log_id;
            let next = before.map_or(Some(0), |last| last.index().checked_add(1));
            if Some(at.index()) != next {
                return Some(format!("record {} is not the one that follows", at.index()));
            }
            if before.is_some_and(|last| term_of(&last) > term_of(&at)) {
                return Some(format!("record {} is of an earlier term", at.index()));
            }
            before = Some(at);
        }
        later(before.as_ref(), &self.vote)
            .or_else(|| later(self.leader_commit.as_ref(), &self.vote))
    }
}

impl Claims for TransferLeaderRequest<TypeConfig> {
    fn term(&self) -> Option<u64> {
        Some(self.from_leader().leader_id.term)
    }

    fn flaw(&self, from: u64) -> Option<String> {
        let leads = asks_for(self.from_leader(), from, true);
        leads.or_else(|| later(self.last_log_id(), self.from_leader()))
    }
}

/// A snapshot: the vote it is sent under, and what it says of itself.
impl Claims for (Vote, SnapshotMeta) {
    fn term(&self) -> Option<u64> {
        Some(self.0.leader_id.term)
    }

    fn flaw(&self, from: u64) -> Option<String> {
        asks_for(&self.0, from, true).or_else(|| later(self.1.last_log_id.as_ref(), &self.0))
    }
}

impl Claims for VoteResponse<TypeConfig> {
    fn term(&self) -> Option<u64> {
        Some(self.vote.leader_id.term)
    }

    fn flaw(&self, _: u64) -> Option<String> {
        None
    }
}

impl Claims for SnapshotResponse<TypeConfig> {
    fn term(&self) -> Option<u64> {
        Some(self.vote.leader_id.term)
    }

    fn flaw(&self, _: u64) -> Option<String> {
        None
    }
}

impl Claims for StreamAppendResult<TypeConfig> {
    fn term(&self) -> Option<u64> {
        match self {
            Err(StreamAppendError::HigherVote(vote)) => Some(vote.leader_id.term),
            _ => None,
        }
    }

    fn flaw(&self, _: u64) -> Option<String> {
        None
    }
}

impl Claims for TransferLeaderResponse<TypeConfig> {
    fn term(&self) -> Option<u64> {
        None
    }

    fn flaw(&self, _: u64) -> Option<String> {
        None
    }
}

/// Whether a vote is the sender's own: a leader's is committed, a candidate's is not.
fn asks_for(vote: &Vote, from: u64, leads: bool) -> Option<String> {
    let who = vote.leader_id.voted_for;
    if who != from {
        return Some(format!("it speaks for coordinator {who}"));
    }
    match (vote.committed, leads) {
        (false, true) => Some("it was not elected".to_owned()),
        (true, false) => Some("it says that it leads and asks for votes".to_owned()),
        _ => None,
    }
}

/// Nobody has a record of a term after its own.
fn later(at: Option<&LogId>, vote: &Vote) -> Option<String> {
    let (at, own) = (at?, vote.leader_id.term);
    let term = term_of(at);
    (term > own).then(|| {
        format!(
            "record {} is of term {term}, after its own {own}",
            at.index()
        )
    })
}

fn term_of(at: &LogId) -> u64 {
    at.committed_leader_id().term
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(200);

    #[tokio::test(start_paused = true)]
    async fn the_bound_rises_as_fast_as_elections_can_and_no_faster() {
        let terms = Terms::new(7, 10, PACE);
        assert!(terms.check(2, 17, 3).is_ok());
        let refused = terms.check(2, 18, 3).expect_err("one too many");
        assert!(refused.message().contains("past 17"), "{refused}");
        assert!(refused.message().contains("recover"), "{refused}");
        tokio::time::advance(PACE * 10).await;
        assert!(terms.check(2, 17 + 30, 3).is_ok());
        assert!(terms.check(2, 17 + 31, 3).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_term_is_never_reached() {
        let terms = Terms::new(TERM_MAX - 1, UNSEEN_ELECTIONS, PACE);
        tokio::time::advance(Duration::from_secs(1 << 30)).await;
        assert!(terms.check(2, TERM_MAX, 3).is_ok());
        for term in [TERM_MAX + 1, u64::MAX] {
            assert!(terms.check(2, term, 3).is_err(), "{term}");
        }
    }

    #[test]
    fn what_a_message_claims_must_be_its_senders() {
        let vote = |vote| VoteRequest::<TypeConfig>::new(vote, None);
        assert_eq!(vote(Vote::new(3, 2)).flaw(2), None);
        let flaws = [
            (Vote::new(3, 2), 1, "speaks for coordinator 2"),
            (Vote::new_committed(3, 2), 2, "says that it leads"),
        ];
        for (bad, from, why) in flaws {
            let flaw = vote(bad).flaw(from).expect(why);
            assert!(flaw.contains(why), "{flaw}");
        }
        let append = |vote, prev: Option<(u64, u64)>, commit: Option<(u64, u64)>| {
            let at = |(term, index)| {
                super::super::entry::to_log_id(crate::store::Position { term, index })
            };
            AppendEntriesRequest::<TypeConfig> {
                vote,
                prev_log_id: prev.map(at),
                entries: Vec::new(),
                leader_commit: commit.map(at),
            }
        };
        let leads = Vote::new_committed(3, 2);
        assert_eq!(append(leads, Some((3, 9)), Some((2, 5))).flaw(2), None);
        let flaws = [
            (append(Vote::new(3, 2), None, None), "not elected"),
            (
                append(Vote::new_committed(3, 1), None, None),
                "coordinator 1",
            ),
            (append(leads, Some((4, 9)), None), "of term 4"),
            (append(leads, None, Some((u64::MAX, 1))), "of term"),
        ];
        for (bad, why) in flaws {
            let flaw = bad.flaw(2).expect(why);
            assert!(flaw.contains(why), "{flaw}");
        }
    }
}
