//! How long to wait before a run that failed is followed by the next one.

use crate::app::AppSpec;

/// No two runs follow each other faster than this, whatever is configured.
pub const BACKOFF_FLOOR_MS: u64 = 100;

/// Chance shortens a delay by at most one part in this many.
const JITTER_PARTS: u64 = 10;

/// What `chance` is a fraction of.
pub const CHANCE_UNIT: u64 = 1_000;

/// The growing delay of one app: PaaSTA's `backoff_seconds`, `backoff_factor` and
/// `max_launch_delay_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure, milliseconds.
    pub base_ms: u64,
    /// By what it grows with each further one.
    pub factor: u32,
    /// What it never exceeds, milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// The backoff of an app whose first delay is `base_ms`.
    pub fn of(app: &AppSpec, base_ms: u64) -> Self {
        Self {
            base_ms,
            factor: app.backoff_factor,
            max_ms: app.backoff_max_ms,
        }
    }

    /// The delay after `failures` failures in a row, 1 or more, milliseconds. `chance`, from 0 to
    /// [`CHANCE_UNIT`], shortens it by up to a tenth, so that what failed together does not come
    /// back together and the cap holds all the same.
    pub fn delay_ms(&self, failures: u32, chance: u64) -> u64 {
        let base = self.base_ms.max(BACKOFF_FLOOR_MS);
        let growth = u64::from(self.factor.max(1)).saturating_pow(failures.saturating_sub(1));
        let full = base
            .saturating_mul(growth)
            .min(self.max_ms.max(BACKOFF_FLOOR_MS));
        let jitter = u128::from(full / JITTER_PARTS) * u128::from(chance.min(CHANCE_UNIT));
        let jitter = u64::try_from(jitter / u128::from(CHANCE_UNIT)).unwrap_or(0);
        (full - jitter).max(BACKOFF_FLOOR_MS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_grows_by_the_factor_up_to_the_cap() {
        let backoff = Backoff {
            base_ms: 4_000,
            factor: 2,
            max_ms: 300_000,
        };
        let delays: Vec<u64> = (1..=9).map(|n| backoff.delay_ms(n, 0)).collect();
        assert_eq!(
            delays,
            [
                4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000
            ]
        );
        assert_eq!(backoff.delay_ms(1, CHANCE_UNIT), 3_600);
        let constant = Backoff {
            factor: 1,
            ..backoff
        };
        assert_eq!(constant.delay_ms(50, 0), 4_000);
    }

    #[test]
    fn a_backoff_of_nothing_still_waits() {
        let none = Backoff {
            base_ms: 0,
            factor: 0,
            max_ms: 0,
        };
        assert_eq!(none.delay_ms(0, 0), BACKOFF_FLOOR_MS);
        assert_eq!(none.delay_ms(u32::MAX, CHANCE_UNIT), BACKOFF_FLOOR_MS);
    }

    proptest! {
        #[test]
        fn it_never_exceeds_the_cap_nor_shrinks(
            base_ms in 0..10_000_000u64, factor in 0..50u32, max_ms in 0..u64::MAX,
            failures in 1..200u32, chance in 0..=CHANCE_UNIT,
        ) {
            let backoff = Backoff { base_ms, factor, max_ms };
            let delay = backoff.delay_ms(failures, chance);
            prop_assert!(delay <= max_ms.max(BACKOFF_FLOOR_MS));
            prop_assert!(delay >= BACKOFF_FLOOR_MS);
            prop_assert!(backoff.delay_ms(failures + 1, chance) >= delay);
        }
    }
}
