//! For how long this node may call itself, or another, the leader without proof. A leader has its
//! proof from a majority that answers, a follower from the leader that speaks to it; without one
//! for a lease, leadership has ended for everything above consensus, whatever consensus itself
//! still holds for possible.
//!
//! A leader that no majority answers also falls silent for a while: followers that hear it, and
//! whose answers it does not hear, would wait for it for ever.

use std::time::Duration;

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

/// What the proof of leadership rests on.
#[derive(Debug)]
pub(super) struct Lease {
    /// At a normal pace.
    length: Duration,
    /// How long a leader without a majority is silent, and then speaks, by turns; at a normal pace.
    quiet: Duration,
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
        quiet: Duration,
        pace: Pace,
        links: Links,
        clock: ClusterClock,
    ) -> Self {
        Self {
            length,
            quiet,
            pace,
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

    /// Whether the proof still holds.
    pub(super) fn holds(&self, metrics: &Metrics) -> bool {
        self.age(metrics).is_some_and(|age| age < self.length())
    }

    /// When to look again although nothing was heard: a lease runs out, or a silent leader may
    /// speak. `None` for one that waits for a leader.
    pub(super) fn look_again(&self, metrics: &Metrics) -> Option<Instant> {
        let left = self.length().checked_sub(self.age(metrics)?);
        let left = left.filter(|left| !left.is_zero());
        let quiet = self.pace.stretch(self.quiet);
        match metrics.state {
            ServerState::Leader => Some(Instant::now() + left.unwrap_or(quiet)),
            _ => left.map(|left| Instant::now() + left),
        }
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
        let lost = metrics.state == ServerState::Leader && !lease.holds(metrics);
        let now = Instant::now();
        self.lost_at = lost.then(|| self.lost_at.unwrap_or(now));
        let quiet = lease.pace.stretch(lease.quiet).as_millis().max(1);
        let speaks = match self.lost_at {
            None => true,
            Some(at) => (now - at).as_millis() / quiet % 2 == 1,
        };
        if speaks != self.speaks {
            self.speaks = speaks;
            raft.runtime_config().heartbeat(speaks);
        }
    }
}
