//! How many joins of strangers a coordinator takes a second: a signature costs the processor.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// Joins in one period.
const JOINS: u32 = 20;
/// The period.
const PERIOD: Duration = Duration::from_secs(2);

/// Counts the joins of the present period. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct JoinRate(Arc<Mutex<Option<(Instant, u32)>>>);

impl JoinRate {
    /// Whether one more join may be made now.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut period = self.0.lock();
        let now = Instant::now();
        let (since, taken) = match *period {
            Some((since, taken)) if now.duration_since(since) < PERIOD => (since, taken),
            _ => (now, 0),
        };
        *period = Some((since, taken.saturating_add(1)));
        taken < JOINS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_period_has_room_for_so_many() {
        let rate = JoinRate::default();
        let taken = (0..JOINS * 2).filter(|_| rate.take()).count();
        assert_eq!(taken, JOINS as usize);
        tokio::time::advance(PERIOD).await;
        assert!(rate.take());
    }
}
