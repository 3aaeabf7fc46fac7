//! Clocks of hosts that are far off. Nothing is decided by them: agents say how long ago things
//! were, and leaders count back from their own time. An operator is told, as what hosts write in
//! their logs is dated by them.

use super::pass::Pass;
use crate::state::command::{Command, NoteClock};

/// From so far on a clock is told of, in milliseconds.
const FAR_MS: u64 = 60_000;
/// Below this it counts as right again: less, so that one that stays near the bound is told of once.
const RIGHT_MS: u64 = 30_000;
/// From so far on a clock is shown as skewed, in milliseconds.
pub const SHOWN_MS: u64 = 2_000;

/// Whether a clock is so far off that an event tells of it.
#[must_use]
pub fn far_off(ahead_ms: Option<i64>) -> bool {
    ahead_ms.is_some_and(|ahead| ahead.unsigned_abs() > FAR_MS)
}

/// Whether a clock is shown as skewed.
#[must_use]
pub fn is_skewed(ahead_ms: Option<i64>) -> bool {
    ahead_ms.is_some_and(|ahead| ahead.unsigned_abs() > SHOWN_MS)
}

impl Pass<'_> {
    /// Notes that a host's clock is far off, and that it is right again: once each.
    pub(super) fn look_at_clock(&mut self, at: usize) {
        let view = &self.hosts[at];
        let Some(ahead_ms) = view.observed.and_then(|heard| heard.clock_ahead_ms) else {
            return;
        };
        let noted = view.host.clock_ahead_ms;
        let now_noted = match noted {
            None => far_off(Some(ahead_ms)).then_some(ahead_ms),
            Some(_) => (ahead_ms.unsigned_abs() >= RIGHT_MS).then_some(ahead_ms),
        };
        if now_noted.is_some() != noted.is_some() {
            let host = view.id().clone();
            self.commands.push(Command::NoteClock(NoteClock {
                host,
                ahead_ms: now_noted,
            }));
        }
    }
}
