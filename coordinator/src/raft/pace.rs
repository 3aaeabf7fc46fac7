//! How much longer than configured this node's consensus waits, for the links it has: the one place
//! that decides it, and the clock arithmetic that carries it out.
//!
//! openraft's timeouts are fixed when it starts. What can change while it runs is how long a
//! duration of it lasts: every span that openraft adds to a moment, sleeps or waits for is
//! multiplied by the node's pace, and every span between two moments is divided by it. So the
//! interval of heartbeats, the lease and the election timeouts keep their proportions. Nothing that
//! has to hold for safety rests on time: reads confirm their leader with a round of heartbeats.

use std::{
    future::Future,
    ops::{Add, AddAssign, Sub, SubAssign},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use openraft_rt::Instant;

/// The pace of a fast network, in thousandths: durations last as long as they say.
const NORMAL: u32 = 1_000;
/// The slowest, in thousandths, by default.
pub const PACE_MAX: u32 = 6_250;

tokio::task_local! {
    /// The pace of the node that the running task belongs to.
    static OWN: Pace;
}

/// How many times longer than configured the waits of one node are. Clones are the same.
#[derive(Clone, Debug)]
pub struct Pace {
    now: Arc<AtomicU32>,
    /// The slowest that it becomes.
    max: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self::up_to(PACE_MAX)
    }
}

impl Pace {
    /// The normal pace, which becomes no slower than this, in thousandths.
    pub(super) fn up_to(max: u32) -> Self {
        Self {
            now: Arc::new(AtomicU32::new(NORMAL)),
            max: max.max(NORMAL),
        }
    }

    /// Sets the pace for the slowest round trip between voters: an interval of heartbeats, of
    /// `heartbeat`, must last longer than it, so that a heartbeat is answered before the next.
    /// Returns the pace in thousandths.
    pub(super) fn suit(&self, round_trip: Duration, heartbeat: Duration) -> u32 {
        let room = heartbeat.mul_f64(0.8).as_secs_f64();
        let times = round_trip.as_secs_f64() / room.max(f64::EPSILON);
        let wanted = (times * f64::from(NORMAL)).clamp(f64::from(NORMAL), f64::from(self.max));
        // Both bounds are of the type.
        let wanted = wanted as u32;
        let now = self.permille();
        // Small changes are left alone, so that the pace does not follow every measurement.
        if wanted.abs_diff(now) * 10 > now || wanted == NORMAL {
            self.now.store(wanted, Ordering::Relaxed);
        }
        self.permille()
    }

    /// The pace in thousandths: 1,000 is as configured.
    pub fn permille(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// How long something that is configured as `span` lasts.
    pub fn stretch(&self, span: Duration) -> Duration {
        times(span, self.permille())
    }

    /// The slowest round trip at which consensus works with heartbeats this far apart.
    pub fn longest_round_trip(heartbeat: Duration) -> Duration {
        times(heartbeat.mul_f64(0.8), PACE_MAX)
    }

    /// Runs `work`, and every task that it starts through openraft's runtime, at this pace.
    pub(super) fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        OWN.scope(self.clone(), work)
    }

    /// The pace of the task that runs.
    pub(super) fn of_task() -> Option<Self> {
        OWN.try_with(Clone::clone).ok()
    }
}

fn own() -> u32 {
    OWN.try_with(Pace::permille).unwrap_or(NORMAL)
}

fn times(span: Duration, permille: u32) -> Duration {
    match permille {
        NORMAL => span,
        _ => (span / NORMAL).saturating_mul(permille),
    }
}

/// A span of openraft's, as long as it lasts here.
pub(super) fn stretched(span: Duration) -> Duration {
    times(span, own())
}

fn shrunk(span: Duration) -> Duration {
    match own() {
        NORMAL => span,
        permille => (span / permille).saturating_mul(NORMAL),
    }
}

/// A moment of openraft's: a true one, with spans between moments at the pace of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(super) tokio::time::Instant);

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0 + stretched(span))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, span: Duration) {
        self.0 += stretched(span);
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0 - stretched(span))
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, span: Duration) {
        self.0 -= stretched(span);
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        shrunk(self.0 - earlier.0)
    }
}

impl Instant for Moment {
    fn now() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(100);

    #[test]
    fn fast_links_change_nothing_and_slow_ones_stretch_up_to_a_bound() {
        let pace = Pace::default();
        for (round_trip_ms, permille) in [(0, 1_000), (79, 1_000), (250, 3_125), (9_000, 6_250)] {
            let got = pace.suit(Duration::from_millis(round_trip_ms), HEARTBEAT);
            assert_eq!(got, permille, "{round_trip_ms} ms");
        }
        assert_eq!(
            Pace::longest_round_trip(HEARTBEAT),
            Duration::from_millis(500)
        );
        assert_eq!(pace.suit(Duration::from_millis(490), HEARTBEAT), 6_250);
        assert_eq!(pace.suit(Duration::from_millis(1), HEARTBEAT), 1_000);
        let fixed = Pace::up_to(NORMAL);
        assert_eq!(fixed.suit(Duration::from_millis(250), HEARTBEAT), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn spans_last_longer_in_the_tasks_of_a_node_and_nowhere_else() {
        let pace = Pace::default();
        pace.suit(Duration::from_millis(160), HEARTBEAT);
        let now = Moment::now();
        let second = Duration::from_secs(1);
        let later = pace.scope(async { Moment::now() + second }).await;
        assert_eq!(later.0 - now.0, 2 * second);
        assert_eq!(pace.scope(async { later - now }).await, second);
        assert_eq!(later - now, 2 * second, "outside, moments are true");
        assert_eq!((now + second) - now, second);
    }
}
