//! The last leadership transfer that a leader began. Only a vote for the candidate that the leader
//! named passes over the lease of the leader: the flag alone proves nothing.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::types::Vote;

/// A transfer that a leader began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transfer {
    /// The term of the leader that hands over.
    term: u64,
    /// To which member.
    to: u64,
    at: Instant,
}

/// The last transfer of this node's leader, or of this node as a leader.
#[derive(Debug)]
pub(super) struct Handover {
    last: watch::Sender<Option<Transfer>>,
    /// How long it counts.
    valid: Duration,
    /// How long a vote may arrive before the message of the leader.
    ahead: Duration,
}

impl Handover {
    pub(super) fn new(election_timeout: Duration) -> Self {
        Self {
            last: watch::Sender::new(None),
            valid: election_timeout * 2,
            ahead: election_timeout / 4,
        }
    }

    /// The leader of this vote, which is this node or the one it follows, hands over to `to`.
    pub(super) fn begins(&self, leader: &Vote, to: u64) {
        self.last.send_replace(Some(Transfer {
            term: leader.leader_id.term,
            to,
            at: Instant::now(),
        }));
    }

    /// Whether the leader of the term before `term` named this candidate. Waits a moment for the
    /// message of the leader, as the candidate's may be quicker.
    pub(super) async fn was_to(&self, candidate: u64, term: u64) -> bool {
        let fits = |last: &Option<Transfer>| {
            last.is_some_and(|last| {
                last.to == candidate
                    && last.term.checked_add(1) == Some(term)
                    && last.at.elapsed() < self.valid
            })
        };
        let mut last = self.last.subscribe();
        let told = timeout(self.ahead, last.wait_for(fits)).await;
        matches!(told, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_one_that_was_named_may_pass_over_the_lease_and_only_for_a_while() {
        let handover = Handover::new(Duration::from_millis(400));
        assert!(!handover.was_to(2, 8).await, "nobody hands over");
        handover.begins(&Vote::new_committed(7, 1), 2);
        assert!(handover.was_to(2, 8).await);
        for (candidate, term) in [(3, 8), (2, 9), (2, 7), (2, u64::MAX), (2, 0)] {
            assert!(
                !handover.was_to(candidate, term).await,
                "{candidate} {term}"
            );
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!handover.was_to(2, 8).await, "long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_vote_that_is_quicker_than_the_leader_waits_for_its_word() {
        let handover = Handover::new(Duration::from_millis(400));
        let word = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            handover.begins(&Vote::new_committed(7, 1), 2);
        };
        let (counts, ()) = tokio::join!(handover.was_to(2, 8), word);
        assert!(counts);
    }
}
