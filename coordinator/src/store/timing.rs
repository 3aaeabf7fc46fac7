//! How long the disk takes, for a callback.

use std::{fmt, sync::Arc, time::Duration};

/// Hears how long each flush of the log took; by default nobody does.
#[derive(Clone, Default)]
pub struct FlushTimer(Option<Arc<dyn Fn(Duration) + Send + Sync>>);

impl FlushTimer {
    /// A timer that tells `hears`, on the thread that flushes: it must not block.
    pub fn new(hears: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hears)))
    }

    pub(super) fn time<T>(&self, flush: impl FnOnce() -> T) -> T {
        let Some(hears) = &self.0 else {
            return flush();
        };
        let began = std::time::Instant::now();
        let flushed = flush();
        hears(began.elapsed());
        flushed
    }
}

impl fmt::Debug for FlushTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlushTimer")
    }
}
