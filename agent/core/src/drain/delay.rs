//! Methods `noop` and `test`: nobody is told, and after a fixed time, or at once, the replica's
//! connections are held to be finished.

use paasta_common::time::Timestamp;

use super::{Leaving, Look, Method};
use crate::state::{Draining, Live};

pub(super) struct Delay {
    pub(super) delay_ms: u64,
}

impl Method for Delay {
    fn leave(
        &self,
        _: &Leaving<'_>,
        draining: &mut Draining,
        _: &mut Live,
        now: Timestamp,
    ) -> Look {
        let safe_at = draining.since.after_ms(self.delay_ms);
        draining.safe = now >= safe_at;
        Look {
            wake_at: (!draining.safe).then_some(safe_at),
            ..Look::default()
        }
    }

    fn come_back(&self, _: &Leaving<'_>, _: &Draining, _: &mut Live, _: Timestamp) -> Option<Look> {
        None
    }
}
