//! When a run is probed next, and how.

use paasta_common::{
    app::{HealthCheck, Probe},
    id::ReplicaId,
    time::Timestamp,
};

use crate::{
    actions::{Action, Target},
    health::Checks,
    state::Live,
};

/// While a run has not answered yet its grace is spent at this pace, so that it is used as soon as
/// it is ready, milliseconds.
const EAGER_MS: u64 = 1_000;
/// No run is probed more often, whatever is configured, milliseconds.
const INTERVAL_MIN_MS: u64 = 100;
/// A probe that has no answer this long after its own timeout is lost with whoever sent it.
const LOST_AFTER_MS: u64 = 5_000;

/// What of a run a probe needs to know.
pub(crate) struct Probed<'a> {
    pub(crate) id: ReplicaId,
    pub(crate) run: u64,
    pub(crate) check: &'a HealthCheck,
    pub(crate) checks: &'a Checks,
    pub(crate) container: &'a str,
    pub(crate) host_port: Option<u16>,
    pub(crate) started_at: Timestamp,
}

impl Probed<'_> {
    /// The probe to send now, if one is due, and when to look again.
    pub(crate) fn due(&self, live: &mut Live, now: Timestamp) -> (Option<Action>, Timestamp) {
        let next = *live
            .next_probe_at
            .get_or_insert_with(|| now.after_ms(self.first_delay_ms()));
        if let Some(due_by) = live.probe_due_by
            && now < due_by
        {
            return (None, due_by);
        }
        if now < next {
            return (None, next);
        }
        let after = now.after_ms(self.pace_ms(now));
        live.next_probe_at = Some(after);
        let timeout_ms = self.check.timeout_ms.max(1);
        live.probe_due_by = Some(now.after_ms(timeout_ms.saturating_add(LOST_AFTER_MS)));
        let probe = Action::Probe {
            replica: self.id,
            run: self.run,
            target: self.target(),
            timeout_ms,
        };
        (Some(probe), after)
    }

    fn target(&self) -> Target {
        // Port 0 answers nobody: a check that needs a port fails where there is none.
        let port = self.host_port.unwrap_or(0);
        match &self.check.probe {
            Probe::Http { uri } => Target::Http {
                port,
                uri: uri.clone(),
                tls: false,
            },
            Probe::Https { uri } => Target::Http {
                port,
                uri: uri.clone(),
                tls: true,
            },
            Probe::Tcp => Target::Tcp { port },
            Probe::Cmd { command } => Target::Cmd {
                container: self.container.to_owned(),
                command: command.clone(),
            },
        }
    }

    fn pace_ms(&self, now: Timestamp) -> u64 {
        let interval = self.check.interval_ms.max(INTERVAL_MIN_MS);
        match self.checks.in_grace(self.check, self.started_at, now) {
            true => interval.min(EAGER_MS),
            false => interval,
        }
    }

    /// Replicas that start together, or are all adopted by a new agent, are not probed together.
    fn first_delay_ms(&self) -> u64 {
        let span = match self.checks.proven {
            true => self.check.interval_ms,
            false => self.check.interval_ms.min(EAGER_MS / 2),
        };
        scatter(self.id.0) % span.max(1)
    }
}

/// Spreads numbers that follow each other: multiples of the golden ratio are far apart.
pub(crate) fn scatter(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}
