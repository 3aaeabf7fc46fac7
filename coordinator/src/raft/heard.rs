//! When this node last heard from a leader. A follower that is cut off goes on naming the leader
//! it had: only this tells that it has one.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When a leader that is obeyed last spoke to this node.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<Instant>>);

impl Heard {
    /// A leader spoke, and was obeyed.
    pub(super) fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// How long ago that was; `None` before the first time.
    pub(super) fn ago(&self) -> Option<Duration> {
        self.0.lock().map(|at| at.elapsed())
    }
}
