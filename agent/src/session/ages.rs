//! How old runs are, by a clock that nobody sets: a coordinator counts back from its own time, and a
//! step of this host's clock makes no run older or younger. Only how old a run was when it was first
//! seen, by this agent, is by the host's clock.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{id::ReplicaId, report::ReplicaReport, time::Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

/// When a run was first seen, and how old it was then, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct FirstSeen {
    run: u64,
    age_ms: u64,
    at: Instant,
}

/// The ages of the runs that there are, over all sessions. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Ages(Arc<Mutex<BTreeMap<ReplicaId, FirstSeen>>>);

impl Ages {
    /// Forgets what is not among the reports of the host.
    pub(super) fn keep(&self, reports: &BTreeMap<ReplicaId, ReplicaReport>) {
        self.0.lock().retain(|id, seen| {
            let known = reports.get(id);
            known.is_some_and(|report| report.run == seen.run && report.started_at.is_some())
        });
    }

    /// How old the run of the report is, in milliseconds; none when nothing runs.
    pub(super) fn of(&self, report: &ReplicaReport, now: Timestamp) -> Option<u64> {
        let started_at = report.started_at?;
        let mut seen = self.0.lock();
        let first = seen
            .entry(report.id)
            .and_modify(|seen| {
                if seen.run != report.run {
                    *seen = first_seen(report.run, started_at, now);
                }
            })
            .or_insert_with(|| first_seen(report.run, started_at, now));
        let since = u64::try_from(first.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(first.age_ms.saturating_add(since))
    }
}

fn first_seen(run: u64, started_at: Timestamp, now: Timestamp) -> FirstSeen {
    FirstSeen {
        run,
        age_ms: now.since_ms(started_at),
        at: Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use paasta_common::report::{Health, Phase};

    use super::*;

    fn report(run: u64, started_at: u64) -> ReplicaReport {
        ReplicaReport {
            id: ReplicaId(1),
            app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
            phase: Phase::Running,
            health: Health::Healthy,
            started_at: Some(Timestamp(started_at)),
            host_port: None,
            container: None,
            run,
            failures: 0,
            next_try_at: None,
            drained: false,
            in_load_balancer: None,
            message: String::new(),
            image: Default::default(),
            last_end: None,
            troubles: Default::default(),
            other_troubles: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_clock_makes_no_run_older_or_younger() {
        const HOURS: u64 = 7_200_000;
        let ages = Ages::default();
        let first = report(1, HOURS);
        assert_eq!(ages.of(&first, Timestamp(HOURS + 100)), Some(100));
        tokio::time::advance(Duration::from_secs(5)).await;
        for now in [0, HOURS, 9 * HOURS] {
            assert_eq!(ages.of(&first, Timestamp(now)), Some(5_100), "{now}");
        }
        let second = report(2, 9 * HOURS);
        assert_eq!(ages.of(&second, Timestamp(9 * HOURS)), Some(0));
        ages.keep(&BTreeMap::from([(ReplicaId(1), report(3, 0))]));
        assert!(
            ages.0.lock().is_empty(),
            "another run of it is not this one"
        );
    }
}
