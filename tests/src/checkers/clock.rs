//! The clock rule: no decision compares the clocks of two machines. A leader holds a run to be as old
//! as it is, whatever the clock of its host shows.

use std::collections::BTreeMap;

use paasta_common::{
    id::{HostId, ReplicaId},
    time::Timestamp,
};
use paasta_coordinator_core::plan::observed::Observed;

use super::Violation;

/// How far a leader may be off, milliseconds: a report on its way, a step of the simulation, and
/// what an agent that restarts does not know to the moment.
const TOLERANCE_MS: u64 = 1_500;

/// Since when each run is there, in true time, as it was first seen to be.
#[derive(Debug, Default)]
pub struct Births(BTreeMap<(HostId, ReplicaId, u64), u64>);

/// The time by which leaders plan, which goes on from one to the next.
#[derive(Debug, Default)]
pub struct Time(Option<(u64, Timestamp)>);

/// Between two looks at the same time, how far it may be off: the echo that it is learned by, and a
/// leader that goes back to its own clock, in milliseconds and in percent.
const STEP_MS: u64 = 500;
const SLEW_PERCENT: u64 = 10;

impl Time {
    /// Every coordinator is gone, and with them what they knew of the time.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// A leader plans at `now`; in true time it is `now_ms`.
    pub fn planned(&mut self, now: Timestamp, now_ms: u64) -> Option<Violation> {
        let before = self.0.replace((now_ms, now));
        let (then_ms, then) = before?;
        let went = i128::from(now.0) - i128::from(then.0);
        let is = i128::from(now_ms - then_ms);
        let most = i128::from(STEP_MS) + is * i128::from(SLEW_PERCENT) / 100;
        ((went - is).abs() > most).then(|| {
            let what = format!("by its leaders {went} ms went by in {is} ms");
            Violation::new("Clock", what)
        })
    }
}

impl Births {
    /// The run is there.
    pub fn seen(&mut self, host: &HostId, replica: ReplicaId, run: u64, now_ms: u64) {
        let key = (host.clone(), replica, run);
        self.0.entry(key).or_insert(now_ms);
    }

    /// A leader plans with this: how old it holds each run to be. Hosts that `believed` leaves out
    /// had their clock set.
    pub fn planned(
        &self,
        seen: &Observed,
        now: Timestamp,
        now_ms: u64,
        believed: impl Fn(&HostId) -> bool,
    ) -> Option<Violation> {
        let hosts = seen.hosts.iter().filter(|(host, _)| believed(host));
        for (host, heard) in hosts {
            for (id, report) in &heard.replicas {
                let born = self.0.get(&(host.clone(), *id, report.run));
                let (Some(born), Some(started_at)) = (born, report.started_at) else {
                    continue;
                };
                let (held, is) = (now.0.abs_diff(started_at.0), now_ms.saturating_sub(*born));
                let tolerated = TOLERANCE_MS + is * SLEW_PERCENT / 100;
                if held.abs_diff(is) > tolerated || started_at > now.after_ms(TOLERANCE_MS) {
                    let what = format!(
                        "run {} of {id} on {host} is held to be {held} ms old and is {is} ms old",
                        report.run
                    );
                    return Some(Violation::new("Clock", what));
                }
            }
        }
        None
    }
}
