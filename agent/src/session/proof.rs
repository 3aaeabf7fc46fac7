//! How fresh the proof is that the coordinator of a session leads. It answers each renewal with how
//! long ago a majority answered it; counted from when the renewal was sent, which is earlier than
//! any answer to it, so that no two clocks are compared. A coordinator that is cut off, or a relay to
//! one, has none to give.

use std::{collections::VecDeque, future, time::Duration};

use paasta_proto::v1;
use tokio::time::{Instant, sleep_until};

/// Renewals without an answer that are remembered, at most: the newest.
const ASKED_MAX: usize = 16;

/// The proof of one session.
pub(super) struct Proof {
    /// Whether this coordinator gives any: older ones do not.
    given: bool,
    /// For how long one holds.
    pub(super) lease: Duration,
    /// A majority had answered the coordinator then, or later.
    proven: Instant,
    /// The number of the last renewal, and when it was sent.
    last: (u64, Instant),
    /// The renewals that have no answer yet, the oldest first.
    asked: VecDeque<(u64, Instant)>,
}

impl Proof {
    /// A welcome is a proof: the coordinator makes sure of its majority before it gives one.
    pub(super) fn new(welcome: &v1::Welcome) -> Self {
        let now = Instant::now();
        Self {
            given: welcome.proves,
            lease: Duration::from_millis(welcome.lease_ms.max(1)),
            proven: now,
            last: (0, now),
            asked: VecDeque::new(),
        }
    }

    /// When the next renewal is to be sent; `last` is when anything was.
    pub(super) fn due(&self, last: Instant, every: Duration) -> Instant {
        match self.given {
            true => self.last.1 + every,
            false => last + every,
        }
    }

    /// A renewal is sent. Returns its number.
    pub(super) fn ask(&mut self) -> u64 {
        self.last = (self.last.0 + 1, Instant::now());
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(self.last);
        self.last.0
    }

    /// An answer came.
    pub(super) fn taken(&mut self, answer: &v1::Proof) {
        while let Some((seq, sent)) = self.asked.front().copied() {
            if seq > answer.seq {
                return;
            }
            self.asked.pop_front();
            let age = Duration::from_millis(answer.quorum_age_ms);
            if seq == answer.seq
                && let Some(proven) = sent.checked_sub(age)
            {
                self.proven = self.proven.max(proven);
            }
        }
    }

    /// Returns once there was no proof for a lease.
    pub(super) async fn expired(&self) {
        match self.given {
            true => sleep_until(self.proven + self.lease).await,
            false => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const LEASE: Duration = Duration::from_secs(3);
    const SECOND: Duration = Duration::from_secs(1);

    fn proof(proves: bool) -> Proof {
        Proof::new(&v1::Welcome {
            lease_ms: 3_000,
            proves,
            ..v1::Welcome::default()
        })
    }

    fn answer(seq: u64, quorum_age_ms: u64) -> v1::Proof {
        v1::Proof { seq, quorum_age_ms }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_counts_from_when_it_was_asked_for_less_its_age() {
        let mut proof = proof(true);
        let began = Instant::now();
        advance(SECOND).await;
        assert_eq!(proof.ask(), 1);
        advance(SECOND).await;
        assert_eq!(proof.ask(), 2);
        advance(SECOND / 2).await;
        proof.taken(&answer(1, 400));
        proof.expired().await;
        assert_eq!(began.elapsed(), SECOND + LEASE - Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn old_unknown_and_stale_answers_prove_nothing() {
        let mut proof = proof(true);
        let began = Instant::now();
        advance(SECOND).await;
        proof.ask();
        proof.taken(&answer(0, 0));
        proof.taken(&answer(1, 60_000));
        proof.taken(&answer(1, 0));
        proof.taken(&answer(9, 0));
        proof.expired().await;
        assert_eq!(began.elapsed(), LEASE);
        for _ in 0..100 {
            proof.ask();
        }
        assert_eq!(proof.asked.len(), ASKED_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_gives_no_proof_is_not_left_for_it() {
        let proof = proof(false);
        assert!(timeout(LEASE * 10, proof.expired()).await.is_err());
    }
}
