//! When this node last heard from a leader. A follower that is cut off goes on naming the leader
//! it had: only this tells that it has one.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// When a leader that is obeyed last spoke to this node.
#[derive(Debug)]
pub(super) struct Heard(watch::Sender<Option<Instant>>);

impl Default for Heard {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Heard {
    /// A leader spoke, and was obeyed.
    pub(super) fn note(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// How long ago that was; `None` before the first time.
    pub(super) fn ago(&self) -> Option<Duration> {
        self.0.borrow().map(|at| at.elapsed())
    }

    /// Changes whenever a leader speaks.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Instant>> {
        self.0.subscribe()
    }
}
