//! The nonces of this coordinator: each can be used once, for a minute, so that the proof of a late
//! renewal is of now.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// For how long a nonce can be used.
const LIFE: Duration = Duration::from_secs(60);
/// The most nonces that are remembered; the oldest is forgotten.
const NONCES_MAX: usize = 4_096;

/// A nonce.
pub(super) type Nonce = [u8; 32];

/// Nonces that were given out. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Nonces(Arc<Mutex<VecDeque<(Nonce, Instant)>>>);

impl Nonces {
    /// A new one.
    pub(super) fn give(&self, now: Instant) -> Nonce {
        let nonce: Nonce = rand::random();
        let mut given = self.0.lock();
        while given.len() >= NONCES_MAX
            || given
                .front()
                .is_some_and(|(_, at)| now.duration_since(*at) > LIFE)
        {
            given.pop_front();
        }
        given.push_back((nonce, now));
        nonce
    }

    /// Uses one; false where it was not given, or used, or is too old.
    pub(super) fn take(&self, nonce: &[u8], now: Instant) -> bool {
        let mut given = self.0.lock();
        let at = given.iter().position(|(one, _)| one == nonce);
        let found = at.and_then(|at| given.remove(at));
        found.is_some_and(|(_, at)| now.duration_since(at) <= LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_used_once_and_soon() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let nonce = nonces.give(now);
        assert!(!nonces.take(&[0; 32], now));
        assert!(nonces.take(&nonce, now + LIFE));
        assert!(!nonces.take(&nonce, now));
        let old = nonces.give(now);
        assert!(!nonces.take(&old, now + LIFE + Duration::from_secs(1)));
        for _ in 0..NONCES_MAX + 9 {
            nonces.give(now);
        }
        assert_eq!(nonces.0.lock().len(), NONCES_MAX);
    }
}
