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

/// How much younger a run may be held to be, milliseconds: an engine that does not answer, or an
/// agent that is down, shows it late. A leader then waits longer than it must, which is safe.
const LATE_MS: u64 = 12_000;

/// Since when each run is there, in true time, as it was first seen to be.
#[derive(Debug, Default)]
pub struct Births(BTreeMap<HostId, BTreeMap<(ReplicaId, u64), u64>>);

/// The time by which leaders plan, which goes on from one to the next.
#[derive(Debug, Default)]
pub struct Time(Option<(u64, Timestamp)>);

/// Between two looks at the same time, how far it may be off: the echo that it is learned by, and a
/// leader that goes back to its own clock, in milliseconds and in percent.
const STEP_MS: u64 = 500;
const SLEW_PERCENT: u64 = 10;

impl Time {
    /// No coordinator that knows the time can reach a majority: the next leader cannot know it.
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
    /// These runs are on the host.
    pub fn seen(
        &mut self,
        host: &HostId,
        runs: impl Iterator<Item = (ReplicaId, u64)>,
        now_ms: u64,
    ) {
        let known = self.0.entry(host.clone()).or_default();
        for run in runs {
            known.entry(run).or_insert(now_ms);
        }
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
            let Some(births) = self.0.get(host) else {
                continue;
            };
            for (id, report) in &heard.replicas {
                let born = births.get(&(*id, report.run));
                let (Some(born), Some(started_at)) = (born, report.started_at) else {
                    continue;
                };
                let (held, is) = (now.0.abs_diff(started_at.0), now_ms.saturating_sub(*born));
                let slew = is * SLEW_PERCENT / 100;
                let older = held > is + TOLERANCE_MS + slew;
                let younger = held + LATE_MS + slew < is;
                if older || younger || started_at > now.after_ms(TOLERANCE_MS) {
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
