//! Log lines that others can cause in any number: one of each kind in a time, with the number of
//! those that were left out.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The most kinds that are kept apart; beyond them the one that was silent for longest is forgotten.
const KINDS_MAX: usize = 64;

/// Lets one line of each kind through in a time.
#[derive(Debug)]
pub struct Throttle<K> {
    every: Duration,
    /// By kind: when a line was let through last, and how many were left out since.
    kinds: BTreeMap<K, (Instant, u64)>,
}

impl<K: Ord + Clone> Throttle<K> {
    /// One line of each kind in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            kinds: BTreeMap::new(),
        }
    }

    /// Whether a line of this kind may be written now: with how many were left out before it.
    /// `None`: it is left out.
    pub fn admit(&mut self, kind: &K, now: Instant) -> Option<u64> {
        if let Some((last, left_out)) = self.kinds.get_mut(kind) {
            if now.saturating_duration_since(*last) < self.every {
                *left_out = left_out.saturating_add(1);
                return None;
            }
            *last = now;
            return Some(std::mem::take(left_out));
        }
        if self.kinds.len() >= KINDS_MAX {
            let oldest = self.kinds.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(kind, _)| kind.clone()) {
                self.kinds.remove(&oldest);
            }
        }
        self.kinds.insert(kind.clone(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn one_line_of_each_kind_in_a_time_and_the_rest_is_counted() {
        let mut throttle = Throttle::new(EVERY);
        let start = Instant::now();
        assert_eq!(throttle.admit(&"a", start), Some(0));
        assert_eq!(throttle.admit(&"b", start), Some(0));
        for _ in 0..1_000 {
            assert_eq!(throttle.admit(&"a", start + EVERY / 2), None);
        }
        assert_eq!(throttle.admit(&"a", start + EVERY), Some(1_000));
        assert_eq!(throttle.admit(&"a", start + EVERY * 2), Some(0));
    }

    #[test]
    fn kinds_are_bounded() {
        let mut throttle = Throttle::new(EVERY);
        let start = Instant::now();
        for kind in 0..1_000_u64 {
            assert_eq!(
                throttle.admit(&kind, start + Duration::from_millis(kind)),
                Some(0)
            );
        }
        assert_eq!(throttle.kinds.len(), KINDS_MAX);
        assert!(throttle.kinds.contains_key(&999));
    }
}
