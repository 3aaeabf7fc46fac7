//! The one place that reads the wall clock, behind a trait, so that everything else can be given
//! another time.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use paasta_common::time::Timestamp;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is set wrongly; the epoch is the nearest that can be said.
        SystemTime::now().into()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves it forward by `ms` milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_past_this_code_and_a_manual_one_moves_by_hand() {
        // 2024-01-01: older than this file.
        assert!(SystemClock.now().0 > 1_704_067_200_000);
        let clock = ManualClock::at(Timestamp(5));
        clock.advance_ms(7);
        assert_eq!(clock.now(), Timestamp(12));
    }
}
