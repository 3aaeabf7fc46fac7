//! Time in a simulation: one virtual clock, and for each host an offset from it that can jump.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use paasta_common::time::Timestamp;
use paasta_process::clock::Clock;

/// When every simulation begins, in milliseconds since 1970: some day in November 2023.
const BEGINNING_MS: i64 = 1_700_000_000_000;

/// The virtual clock, and what one host makes of it. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostClock {
    elapsed_ms: Arc<AtomicU64>,
    /// What it is wrong by all the time.
    skew_ms: i64,
    offset_ms: Arc<AtomicI64>,
    jumped: Arc<AtomicBool>,
}

impl HostClock {
    /// The clock of another host: the same time, an offset of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            elapsed_ms: Arc::clone(&self.elapsed_ms),
            skew_ms: 0,
            offset_ms: Arc::default(),
            jumped: Arc::default(),
        }
    }

    /// The same, wrong all the time.
    pub(crate) fn skewed(&self, skew_ms: i64) -> Self {
        Self {
            skew_ms,
            ..self.beside()
        }
    }

    /// Whether it was ever set.
    pub(crate) fn has_jumped(&self) -> bool {
        self.jumped.load(Ordering::SeqCst)
    }

    /// Sets the virtual time, for all hosts.
    pub(crate) fn set_elapsed(&self, ms: u64) {
        self.elapsed_ms.store(ms, Ordering::SeqCst);
    }

    /// Milliseconds since the simulation began, whatever the hosts think.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms.load(Ordering::SeqCst)
    }

    /// Sets this host's clock wrong, by so many milliseconds.
    pub(crate) fn set_offset(&self, ms: i64) {
        self.jumped.store(true, Ordering::SeqCst);
        self.offset_ms.store(ms, Ordering::SeqCst);
    }

    /// By how much this host's clock is wrong.
    pub(crate) fn offset(&self) -> i64 {
        self.skew_ms + self.offset_ms.load(Ordering::SeqCst)
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed_ms()).unwrap_or(i64::MAX);
        let now = BEGINNING_MS
            .saturating_add(elapsed)
            .saturating_add(self.offset());
        Timestamp(u64::try_from(now).unwrap_or(0))
    }
}
