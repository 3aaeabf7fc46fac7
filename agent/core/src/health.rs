//! One prober, two thresholds: quick for the load balancer, slow for replacing the run, so that a
//! dead replica is out of the load balancer before it is reaped.

use paasta_common::{app::HealthCheck, report::Health, time::Timestamp};
use serde::{Deserialize, Serialize};

/// Failures in a row that take a replica out of the load balancer.
pub const QUICK_FAILURES: u32 = 2;

/// The health of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// What the load balancer should hold of it.
    pub verdict: Health,
    /// Failures in a row that count.
    pub failures_in_row: u32,
    /// Whether a probe has ever succeeded, which ends the grace.
    pub proven: bool,
    /// Since when it is well; for a run without a check, since it started.
    pub well_since: Option<Timestamp>,
}

impl Checks {
    /// A run that just started.
    pub fn new(check: Option<&HealthCheck>, started_at: Timestamp) -> Self {
        let unchecked = check.is_none();
        Self {
            verdict: match unchecked {
                true => Health::Unchecked,
                false => Health::Unknown,
            },
            failures_in_row: 0,
            proven: false,
            well_since: unchecked.then_some(started_at),
        }
    }

    /// Takes the result of a probe.
    pub fn take(&mut self, check: &HealthCheck, started_at: Timestamp, ok: bool, now: Timestamp) {
        if ok {
            self.proven = true;
            self.failures_in_row = 0;
            self.verdict = Health::Healthy;
            self.well_since.get_or_insert(now);
            return;
        }
        if self.in_grace(check, started_at, now) {
            return;
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.well_since = None;
        if self.failures_in_row >= quick(check) {
            self.verdict = Health::Unhealthy;
        }
    }

    /// Whether failures do not count yet.
    pub fn in_grace(&self, check: &HealthCheck, started_at: Timestamp, now: Timestamp) -> bool {
        !self.proven && now < started_at.after_ms(check.grace_ms)
    }

    /// Whether the run should be replaced. Zero as the number of failures means never.
    pub fn is_dead(&self, check: &HealthCheck) -> bool {
        check.max_consecutive_failures > 0 && self.failures_in_row >= check.max_consecutive_failures
    }
}

/// Never slower than the reap.
fn quick(check: &HealthCheck) -> u32 {
    match check.max_consecutive_failures {
        0 => QUICK_FAILURES,
        reap => reap.min(QUICK_FAILURES),
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::app::Probe;
    use proptest::prelude::*;

    use super::*;

    fn check(max: u32) -> HealthCheck {
        HealthCheck {
            probe: Probe::Tcp,
            grace_ms: 60_000,
            interval_ms: 10_000,
            timeout_ms: 10_000,
            max_consecutive_failures: max,
        }
    }

    /// Probes at these times, `+` good and `-` bad, and what is held of the run after each.
    fn run(max: u32, probes: &[(u64, char)]) -> Vec<(Health, bool)> {
        let check = check(max);
        let mut checks = Checks::new(Some(&check), Timestamp(0));
        let mut held = Vec::new();
        for (at, result) in probes {
            checks.take(&check, Timestamp(0), *result == '+', Timestamp(at * 1000));
            held.push((checks.verdict, checks.is_dead(&check)));
        }
        held
    }

    #[test]
    fn failures_in_the_grace_do_not_count_and_the_first_success_ends_it() {
        use Health::{Healthy, Unhealthy, Unknown};
        assert_eq!(
            run(
                3,
                &[
                    (10, '-'),
                    (20, '-'),
                    (30, '-'),
                    (59, '-'),
                    (60, '-'),
                    (70, '-'),
                    (80, '-')
                ]
            ),
            [
                (Unknown, false),
                (Unknown, false),
                (Unknown, false),
                (Unknown, false),
                (Unknown, false),
                (Unhealthy, false),
                (Unhealthy, true),
            ]
        );
        assert_eq!(
            run(
                3,
                &[
                    (5, '+'),
                    (10, '-'),
                    (15, '-'),
                    (20, '+'),
                    (25, '-'),
                    (30, '-'),
                    (35, '-')
                ]
            ),
            [
                (Healthy, false),
                (Healthy, false),
                (Unhealthy, false),
                (Healthy, false),
                (Healthy, false),
                (Unhealthy, false),
                (Unhealthy, true),
            ]
        );
    }

    #[test]
    fn a_reap_after_one_failure_is_no_quicker_than_the_load_balancer() {
        assert_eq!(
            run(1, &[(5, '+'), (10, '-')]),
            [(Health::Healthy, false), (Health::Unhealthy, true)]
        );
        let never = run(0, &[(70, '-'), (80, '-'), (90, '-'), (100, '-')]);
        assert_eq!(never.last(), Some(&(Health::Unhealthy, false)));
    }

    proptest! {
        #[test]
        fn what_is_reaped_was_out_of_the_load_balancer(
            max in 0..6u32, results in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let check = check(max);
            let mut checks = Checks::new(Some(&check), Timestamp(0));
            for (at, ok) in results.into_iter().enumerate() {
                let now = Timestamp(at as u64 * 5_000);
                checks.take(&check, Timestamp(0), ok, now);
                prop_assert!(!checks.is_dead(&check) || checks.verdict == Health::Unhealthy);
                prop_assert!(checks.verdict != Health::Healthy || checks.proven);
                prop_assert_eq!(ok, checks.failures_in_row == 0 && checks.proven
                    && checks.verdict == Health::Healthy && ok);
            }
        }
    }
}
