//! When a run is probed next, and how.

use paasta_common::{
    app::{HealthCheck, Probe},
    id::ReplicaId,
    time::Timestamp,
};

use crate::{
    actions::{Action, Target},
    health::Checks,
    scatter::{GOLDEN, scatter},
    state::Live,
};

/// While a run has not answered yet its grace is spent at this pace, so that it is used as soon as
/// it is ready, milliseconds.
const EAGER_MS: u64 = 1_000;
/// Probes go out in tenths of a second, milliseconds.
const SLOT_MS: u64 = 100;
/// No run is probed more often, whatever is configured, milliseconds.
const INTERVAL_MIN_MS: u64 = 100;
/// A probe that has no answer this long after its own timeout is lost with the task that sent it.
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
            .get_or_insert_with(|| self.first_after(now));
        if let Some(due_by) = live.probe_due_by
            && now < due_by
        {
            return (None, due_by);
        }
        if now < next {
            return (None, next);
        }
        let after = self.next_after(now);
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

    /// A new run is asked soon; one that a new agent finds keeps the moments it had.
    fn first_after(&self, now: Timestamp) -> Timestamp {
        match self.checks.proven {
            true => in_phase(self.id, now, self.pace_ms(now)),
            false => {
                let span = self.check.interval_ms.clamp(1, EAGER_MS / 2);
                now.after_ms(scatter(self.id.0) % span)
            }
        }
    }

    /// From a probe that is late, or was eager, to the next is half an interval at least.
    fn next_after(&self, now: Timestamp) -> Timestamp {
        let pace = self.pace_ms(now);
        in_phase(self.id, now.after_ms(pace / 2), pace)
    }
}

/// Moments are apart by so much at least: what is due within one is done in one step, as each step
/// looks at the whole host.
fn slot_ms(interval_ms: u64) -> u64 {
    (interval_ms / 10).clamp(1, SLOT_MS)
}

/// The next moment that is the replica's own: each has one in every interval, so that replicas
/// that start together, or are all found by a new agent, are not probed together, now or later.
fn in_phase(id: ReplicaId, from: Timestamp, interval_ms: u64) -> Timestamp {
    // Multiples of the golden ratio, as a part of the interval: those of ids that follow each
    // other fill it evenly.
    let part = u128::from(id.0.wrapping_mul(GOLDEN));
    let phase = (part * u128::from(interval_ms)) >> 64;
    let phase = u64::try_from(phase).unwrap_or(0);
    let phase = phase - phase % slot_ms(interval_ms);
    let into = from.0 % interval_ms;
    from.after_ms((phase + interval_ms - into) % interval_ms)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const REPLICAS: u64 = 500;

    fn check() -> HealthCheck {
        HealthCheck {
            probe: Probe::Tcp,
            grace_ms: 60_000,
            interval_ms: 10_000,
            timeout_ms: 1_000,
            max_consecutive_failures: 30,
        }
    }

    /// When each replica is probed until `end`, if its probes are answered at once.
    fn probed(proven: bool, start: u64, end: u64) -> BTreeMap<u64, Vec<u64>> {
        let check = check();
        let mut checks = Checks::new(Some(&check), Timestamp(start));
        checks.proven = proven;
        let mut times: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for id in 1..=REPLICAS {
            let probed = Probed {
                id: ReplicaId(id),
                run: 1,
                check: &check,
                checks: &checks,
                container: "c",
                host_port: Some(31_000),
                started_at: Timestamp(start),
            };
            let (mut live, mut now) = (Live::default(), Timestamp(start));
            while now.0 < end {
                let (action, again) = probed.due(&mut live, now);
                if action.is_some() {
                    times.entry(id).or_default().push(now.0);
                    live.probe_due_by = None;
                }
                now = again.max(now.after_ms(1));
            }
        }
        times
    }

    #[test]
    fn the_probes_of_a_full_host_are_spread_over_the_interval() {
        let times = probed(true, 1_700_000_000_000, 1_700_000_060_000);
        let mut tenths: BTreeMap<u64, usize> = BTreeMap::new();
        for (id, times) in &times {
            assert_eq!(times.len(), 6, "r{id} once in each interval");
            for pair in times.windows(2) {
                assert_eq!(pair[1] - pair[0], 10_000, "r{id}");
            }
            for at in times {
                *tenths.entry(at / 100).or_default() += 1;
            }
        }
        // 500 in 10 s are 5 in a tenth of a second.
        let most = tenths.values().max();
        assert!(most <= Some(&10), "{most:?} in a tenth of a second");
    }

    #[test]
    fn a_new_agent_probes_at_the_moments_of_the_one_before_it() {
        let first = probed(true, 1_700_000_000_000, 1_700_000_040_000);
        let second = probed(true, 1_700_000_013_579, 1_700_000_040_000);
        for (id, times) in second {
            assert!(first[&id].ends_with(&times), "r{id}");
        }
    }

    #[test]
    fn a_new_run_is_asked_within_half_a_second_and_then_each_second() {
        for (id, times) in probed(false, 1_700_000_000_000, 1_700_000_010_000) {
            assert!(times[0] < 1_700_000_000_500, "r{id}");
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                assert!((500..=1_500).contains(&gap), "r{id}: {gap} ms");
            }
        }
    }
}
