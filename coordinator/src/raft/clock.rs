//! The time by which the cluster dates what it decides. What is replicated was dated by the leader of
//! then, and is judged by the leader of now; so that no two machines' clocks are compared, a leader
//! goes on with the time of the leader before it, which every coordinator follows all the while, and
//! comes back to its own clock slowly.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use paasta_common::time::Timestamp;
use paasta_process::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

/// A leader whose own clock is further than this from the cluster's time goes by its own at once,
/// milliseconds: it was set to another day, and nobody waits for weeks.
const STEP_MS: u64 = 86_400_000;
/// How much faster or slower than time a leader may go, to come back to its own clock.
const SLEW_PERCENT: u64 = 5;

/// What time it is on one coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// By the cluster's time.
    pub(super) cluster: Timestamp,
    /// By its own clock.
    pub(super) own: Timestamp,
    /// Whether it knows the cluster's time, from a leader or as one.
    pub(super) known: bool,
}

/// The time of the cluster, as this coordinator knows it. Clones are the same.
#[derive(Clone)]
pub struct ClusterClock {
    own: Arc<dyn Clock>,
    /// How far the cluster's time is ahead of the own clock, milliseconds.
    ahead_ms: Arc<AtomicI64>,
    known: Arc<AtomicBool>,
}

impl fmt::Debug for ClusterClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterClock({} ms ahead)", self.ahead_ms())
    }
}

impl Default for ClusterClock {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Clock for ClusterClock {
    fn now(&self) -> Timestamp {
        let now = i128::from(self.own.now().0) + i128::from(self.ahead_ms());
        Timestamp(u64::try_from(now).unwrap_or(0))
    }
}

impl ClusterClock {
    /// The time of a cluster that is not known to have another than this clock.
    pub fn new(own: Arc<dyn Clock>) -> Self {
        Self {
            own,
            ahead_ms: Arc::default(),
            known: Arc::default(),
        }
    }

    /// How far the cluster's time is ahead of this coordinator's clock, milliseconds.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// What time it is here.
    pub(super) fn times(&self) -> Times {
        Times {
            cluster: self.now(),
            own: self.own.now(),
            known: self.is_known(),
        }
    }

    /// How far a clock that shows `own` now is ahead of the cluster's time, milliseconds.
    pub(super) fn ahead_of_cluster(&self, own: Timestamp) -> i64 {
        i64::try_from(i128::from(own.0) - i128::from(self.now().0)).unwrap_or(i64::MAX)
    }

    /// Whether a leader said what time it is, or this coordinator led.
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// The leader's time was `leader` just now.
    pub(super) fn follow(&self, leader: Timestamp) {
        self.known.store(true, Ordering::Relaxed);
        let ahead = i128::from(leader.0) - i128::from(self.own.now().0);
        let ahead = i64::try_from(ahead).unwrap_or_default();
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// This coordinator leads, and has for `span` since this was last called.
    pub(super) fn lead(&self, span: Duration) {
        let ahead = self.ahead_ms();
        if ahead.unsigned_abs() > STEP_MS {
            tracing::warn!(
                ahead_ms = ahead,
                "the cluster's time is days away from this coordinator's clock, and is set to it"
            );
            self.ahead_ms.store(0, Ordering::Relaxed);
            return;
        }
        let most = span.as_millis() as u64 * SLEW_PERCENT / 100;
        let step = i64::try_from(ahead.unsigned_abs().min(most)).unwrap_or_default();
        self.ahead_ms
            .store(ahead - step * ahead.signum(), Ordering::Relaxed);
    }

    /// This coordinator begins to lead: its time is the cluster's. It does not go back behind
    /// `latest`, by which something was dated already; unless that is days ahead.
    pub fn begin(&self, latest: Timestamp) {
        self.known.store(true, Ordering::Relaxed);
        if self.now() < latest && latest.since_ms(self.own.now()) <= STEP_MS {
            self.follow(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use paasta_process::clock::ManualClock;

    use super::*;

    #[test]
    fn a_leader_goes_on_with_the_time_it_followed_and_comes_back_to_its_own_slowly() {
        let own = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let clock = ClusterClock::new(own.clone());
        assert_eq!(clock.now(), Timestamp(1_000_000));
        for ahead in [7_200_000_i64, -600_000] {
            let leader = own.now().0.checked_add_signed(ahead).unwrap();
            clock.follow(Timestamp(leader));
            assert_eq!(clock.now(), Timestamp(leader));
            let second = Duration::from_secs(1);
            own.advance_ms(1_000);
            clock.lead(second);
            let went = clock.now().0 - leader;
            assert_eq!(went, if ahead > 0 { 950 } else { 1_050 });
            for _ in 0..200_000 {
                clock.lead(second);
            }
            assert_eq!(clock.now(), own.now(), "its own in the end");
        }
    }

    #[test]
    fn time_does_not_go_back_behind_what_it_dated() {
        let clock = ClusterClock::new(Arc::new(ManualClock::at(Timestamp(50))));
        clock.begin(Timestamp(40));
        assert_eq!(clock.now(), Timestamp(50));
        clock.begin(Timestamp(90));
        assert_eq!(clock.now(), Timestamp(90));
        clock.begin(Timestamp(50 + STEP_MS + 1));
        assert_eq!(clock.now(), Timestamp(90), "days ahead is wrong");
        clock.follow(Timestamp(50 + 2 * STEP_MS));
        clock.lead(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp(50));
    }
}
