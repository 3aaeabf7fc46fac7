//! When replicas were assigned to hollow hosts, and when they became healthy there.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent::agent::View;
use paasta_common::{id::ReplicaId, report::Health};
use paasta_process::clock::Clock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Times that are kept, at most: later ones are left out.
const TIMES_MAX: usize = 2_000_000;

/// The times of all hosts. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Times>>);

/// Moments, Unix, milliseconds.
#[derive(Debug, Default)]
struct Times {
    assigned: Vec<u64>,
    healthy: Vec<u64>,
}

/// How long something took, over many replicas. All 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// How many replicas.
    pub count: usize,
    /// The median, milliseconds.
    pub p50_ms: u64,
    /// 99 of 100, milliseconds.
    pub p99_ms: u64,
    /// The longest, milliseconds.
    pub max_ms: u64,
}

impl Spans {
    /// Of spans in milliseconds, in any order.
    #[must_use]
    pub fn of(mut ms: Vec<u64>) -> Self {
        ms.sort_unstable();
        let last = ms.len().saturating_sub(1);
        let at = |share: f64| {
            let place = (share * last as f64).ceil() as usize;
            ms.get(place).copied().unwrap_or_default()
        };
        Self {
            count: ms.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

impl Tally {
    /// Forgets all.
    pub fn clear(&self) {
        *self.0.lock() = Times::default();
    }

    /// From `since_ms` (Unix, milliseconds) to when replicas were assigned.
    #[must_use]
    pub fn assigned_after(&self, since_ms: u64) -> Spans {
        after(&self.0.lock().assigned, since_ms)
    }

    /// The same, to when they were healthy first.
    #[must_use]
    pub fn healthy_after(&self, since_ms: u64) -> Spans {
        after(&self.0.lock().healthy, since_ms)
    }

    /// Notes what one host shows, until its agent is gone.
    pub async fn follow(self, mut view: watch::Receiver<Arc<View>>, clock: Arc<dyn Clock>) {
        // Whether a replica was healthy, of those that the host has.
        let mut known: BTreeMap<ReplicaId, bool> = BTreeMap::new();
        while view.changed().await.is_ok() {
            let shown = Arc::clone(&view.borrow_and_update());
            known.retain(|id, _| shown.reports.contains_key(id));
            let now = clock.now().0;
            let mut times = self.0.lock();
            for (id, report) in &shown.reports {
                let healthy = report.health == Health::Healthy;
                let before = known.insert(*id, healthy);
                if before.is_none() && times.assigned.len() < TIMES_MAX {
                    times.assigned.push(now);
                }
                if healthy && before != Some(true) && times.healthy.len() < TIMES_MAX {
                    times.healthy.push(now);
                }
            }
        }
    }
}

/// How many replicas of a host are healthy.
#[must_use]
pub fn healthy(view: &View) -> usize {
    let reports = view.reports.values();
    reports.filter(|one| one.health == Health::Healthy).count()
}

fn after(moments: &[u64], since_ms: u64) -> Spans {
    let spans = moments.iter().map(|at| at.saturating_sub(since_ms));
    Spans::of(spans.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_spans() {
        let spans = Spans::of((1..=100).rev().collect());
        assert_eq!((spans.count, spans.p50_ms), (100, 51));
        assert_eq!((spans.p99_ms, spans.max_ms), (100, 100));
        assert_eq!(Spans::of(vec![7]).p99_ms, 7);
        assert_eq!(Spans::of(Vec::new()), Spans::default());
    }

    #[test]
    fn moments_before_the_beginning_take_no_time() {
        let spans = after(&[90, 110], 100);
        assert_eq!((spans.count, spans.max_ms), (2, 10));
    }
}
