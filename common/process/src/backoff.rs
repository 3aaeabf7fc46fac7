//! How long to wait before trying again: exponential, with full jitter, so that a thousand
//! clients of one server that came back do not return in step.

use std::time::Duration;

use crate::simulated;

/// The longest first delay.
pub const FIRST: Duration = Duration::from_millis(100);
/// The longest delay of all.
pub const LONGEST: Duration = Duration::from_secs(8);
/// The shortest: a retry is never immediate.
const SHORTEST: Duration = Duration::from_millis(20);

/// The delays of one thing that is tried again and again.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    failures: u32,
}

impl Retry {
    /// No failure so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a failure and says how long to wait: by chance between almost nothing and a bound
    /// that doubles from [`FIRST`] to [`LONGEST`].
    pub fn next_delay(&mut self) -> Duration {
        let delay = delay(self.failures, simulated::chance());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// The delay after `failures` earlier ones, for a chance from 0 to 1.
fn delay(failures: u32, chance: f64) -> Duration {
    let bound = FIRST
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(LONGEST);
    bound.mul_f64(chance.clamp(0.0, 1.0)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_longest() {
        let longest: Vec<u64> = (0..9)
            .map(|failures| delay(failures, 1.0).as_millis() as u64)
            .collect();
        assert_eq!(longest, [100, 200, 400, 800, 1600, 3200, 6400, 8000, 8000]);
        assert_eq!(delay(u32::MAX, 1.0), LONGEST);
        assert_eq!(delay(5, 0.0), SHORTEST);
        assert_eq!(delay(3, 0.5), Duration::from_millis(400));
    }

    #[test]
    fn a_success_begins_anew() {
        let mut retry = Retry::new();
        for _ in 0..10 {
            assert!((SHORTEST..=LONGEST).contains(&retry.next_delay()));
        }
        assert_eq!(retry.failures(), 10);
        retry.reset();
        assert!(retry.next_delay() <= FIRST);
    }
}
