//! For how long this node may call itself, or another, the leader without proof. A leader has its
//! proof from a majority that answers, a follower from the leader that speaks to it; without one
//! for a lease, leadership has ended for everything above consensus, whatever consensus itself
//! still holds for possible.
//!
//! A leader that no majority answers also falls silent, before its lease has run out: followers that
//! hear it, and whose answers it does not hear, would wait for it for ever. It speaks again now and
//! then, as it may be the only one that can lead the majority that comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    clock::ClusterClock,
    heard::Heard,
    links::Links,
    pace::Pace,
    types::{Metrics, Raft},
};

/// Turns for which a leader without a majority is silent before it speaks for one. Together they are
/// longer than a follower's lease, its longest wait and the round of votes.
const SILENT_TURNS: u128 = 3;

/// When a leader that no majority answers is silent, at a normal pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    /// So long after the last answer of a majority it begins.
    pub(super) after: Duration,
    /// How long one turn lasts.
    pub(super) turn: Duration,
}

/// Whether this node is a leader that keeps silent. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence(Arc<AtomicBool>);

impl Silence {
    pub(super) fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn keep(&self, so: bool) {
        self.0.store(so, Ordering::Relaxed);
    }
}

/// What the proof of leadership rests on.
#[derive(Debug)]
pub(super) struct Lease {
    /// At a normal pace.
    length: Duration,
    turns: Turns,
    silence: Silence,
    pub(super) pace: Pace,
    pub(super) heard: Heard,
    pub(super) links: Links,
    /// The time of the cluster here.
    pub(super) clock: ClusterClock,
    /// The term in which this node leads, and since when: the proof of a leader that no majority
    /// had the time to answer.
    tenure: Mutex<Option<(u64, Instant)>>,
}

impl Lease {
    pub(super) fn new(
        length: Duration,
        turns: Turns,
        silence: Silence,
        links: Links,
        clock: ClusterClock,
    ) -> Self {
        Self {
            length,
            turns,
            silence,
            pace: links.pace().clone(),
            heard: Heard::default(),
            links,
            clock,
            tenure: Mutex::new(None),
        }
    }

    /// How long it is on the links that there are.
    pub(super) fn length(&self) -> Duration {
        self.pace.stretch(self.length)
    }

    /// How old the proof is by which this node leads, or has a leader; `None` when it never had one.
    pub(super) fn age(&self, metrics: &Metrics) -> Option<Duration> {
        let mut tenure = self.tenure.lock();
        if metrics.state != ServerState::Leader {
            *tenure = None;
            return self.heard.ago();
        }
        let alone = metrics
            .membership_config
            .voter_ids()
            .all(|voter| voter == metrics.id);
        let term = metrics.current_term;
        let began = match *tenure {
            // A leader of one needs nobody; one that was joined by others has time to be answered.
            Some((known, at)) if known == term && !alone => at,
            _ => Instant::now(),
        };
        *tenure = Some((term, began));
        let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        Some(acked.map_or(began.elapsed(), |acked| acked.min(began.elapsed())))
    }

    /// Whether this node leads and has had no answer of a majority for so long that others must
    /// be free to elect another leader.
    fn is_unanswered(&self, metrics: &Metrics) -> bool {
        let after = self.pace.stretch(self.turns.after);
        metrics.state == ServerState::Leader && self.age(metrics).is_some_and(|age| age >= after)
    }

    /// When to look again although nothing was heard: a lease runs out, or a leader falls silent,
    /// or may speak. `None` for one that waits for a leader.
    pub(super) fn look_again(&self, metrics: &Metrics) -> Option<Instant> {
        let age = self.age(metrics)?;
        let left = |span: Duration| span.checked_sub(age).filter(|left| !left.is_zero());
        let ends = left(self.length());
        let next = match metrics.state {
            ServerState::Leader => {
                let silent = left(self.pace.stretch(self.turns.after));
                let turn = self.pace.stretch(self.turns.turn);
                Some(silent.unwrap_or(turn).min(ends.unwrap_or(turn)))
            }
            _ => ends,
        };
        next.map(|next| Instant::now() + next)
    }
}

/// Keeps a leader silent by turns while no majority answers it.
pub(super) struct Hush {
    lost_at: Option<Instant>,
    speaks: bool,
}

impl Hush {
    pub(super) fn new() -> Self {
        Self {
            lost_at: None,
            speaks: true,
        }
    }

    /// Looks at how things stand now.
    pub(super) fn look(&mut self, raft: &Raft, lease: &Lease, metrics: &Metrics) {
        let now = Instant::now();
        let lost = lease.is_unanswered(metrics);
        self.lost_at = lost.then(|| self.lost_at.unwrap_or(now));
        let turn = lease.pace.stretch(lease.turns.turn);
        let speaks = self.lost_at.is_none_or(|at| speaks(now - at, turn));
        if speaks != self.speaks {
            self.speaks = speaks;
            lease.silence.keep(!speaks);
            raft.runtime_config().heartbeat(speaks);
        }
    }
}

/// Whether a leader speaks that has been without a majority for so long since it fell silent.
fn speaks(lost: Duration, turn: Duration) -> bool {
    let turns = lost.as_millis() / turn.as_millis().max(1);
    turns % (SILENT_TURNS + 1) == SILENT_TURNS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_turns_of_silence_and_one_of_speech() {
        let turn = Duration::from_millis(350);
        let at = |ms: u64| speaks(Duration::from_millis(ms), turn);
        for ms in [0, 349, 700, 1_049, 1_400, 2_449] {
            assert!(!at(ms), "{ms}");
        }
        for ms in [1_050, 1_399, 2_450] {
            assert!(at(ms), "{ms}");
        }
        assert!(!speaks(Duration::ZERO, Duration::ZERO));
    }
}
