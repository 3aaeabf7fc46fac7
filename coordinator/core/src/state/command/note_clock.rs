//! The clock of a host is far off, or right again.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// The clock of a host is far off, or right again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteClock {
    /// The host.
    pub host: HostId,
    /// How far its clock is ahead of the leader's, in milliseconds, negative when it is behind; none
    /// when it is right again.
    pub ahead_ms: Option<i64>,
}

impl NoteClock {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        if host.clock_ahead_ms.is_some() == self.ahead_ms.is_some() {
            return Outcome::Unchanged;
        }
        host.clock_ahead_ms = self.ahead_ms;
        let text = match self.ahead_ms {
            None => "has a right clock again".to_owned(),
            Some(ahead) => {
                let seconds = ahead.unsigned_abs() / 1_000;
                let side = if ahead > 0 { "ahead" } else { "behind" };
                format!(
                    "has a clock {seconds} s {side}: times in its logs are off by that; set its \
                     clock (NTP). Nothing is decided by it"
                )
            }
        };
        let subject = Subject::Host(self.host.clone());
        state.note(context, EventKind::Host, subject, text);
        Outcome::Applied
    }
}
