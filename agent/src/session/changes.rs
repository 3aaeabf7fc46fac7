//! What a coordinator has not been told yet: the newest state of each replica that changed.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent_core::report::gone;
use paasta_common::{
    disk::HostDiskLimits,
    id::ReplicaId,
    report::{HostReport, Phase, ReplicaReport, Runtime},
};
use paasta_process::clock::Clock;
use paasta_proto::{convert::report_to_wire, v1};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::ages::Ages;
use crate::view::View;

/// Follows the agent's view for one session.
pub(super) struct Changes {
    view: watch::Receiver<Arc<View>>,
    clock: Arc<dyn Clock>,
    ages: Ages,
    told: BTreeMap<ReplicaId, ReplicaReport>,
    runtime: Runtime,
    generation: u64,
}

impl Changes {
    pub(super) fn new(view: watch::Receiver<Arc<View>>, clock: Arc<dyn Clock>, ages: Ages) -> Self {
        Self {
            view,
            clock,
            ages,
            told: BTreeMap::new(),
            runtime: Runtime::Ok,
            generation: 0,
        }
    }

    /// Everything.
    pub(super) fn complete(&mut self) -> v1::Report {
        let view = Arc::clone(&self.view.borrow_and_update());
        self.told.clone_from(&view.reports);
        let replicas = view.reports.values().cloned().collect();
        self.ages.keep(&view.reports);
        let report = self.report(&view, true, replicas);
        self.to_wire(&report)
    }

    /// The report for the wire: each run as old as it is by a clock that nobody sets.
    fn to_wire(&self, report: &HostReport) -> v1::Report {
        let now = self.clock.now();
        let mut wire = report_to_wire(report, now);
        for (told, replica) in wire.replicas.iter_mut().zip(&report.replicas) {
            told.started_ms_ago = self.ages.of(replica, now);
        }
        wire
    }

    /// Waits for a change, and then until `not_before`; none when the agent is gone. Being
    /// dropped while it waits loses nothing.
    pub(super) async fn next(&mut self, not_before: Instant) -> Option<v1::Report> {
        loop {
            let view = Arc::clone(&self.view.borrow());
            if self.differs(&view) {
                if Instant::now() >= not_before {
                    let replicas = self.difference(&view);
                    self.told.clone_from(&view.reports);
                    self.ages.keep(&view.reports);
                    let report = self.report(&view, false, replicas);
                    return Some(self.to_wire(&report));
                }
                sleep_until(not_before).await;
                continue;
            }
            self.view.changed().await.ok()?;
        }
    }

    fn report(&mut self, view: &View, complete: bool, replicas: Vec<ReplicaReport>) -> HostReport {
        self.runtime = view.runtime.clone();
        self.generation = view.generation();
        HostReport {
            complete,
            replicas,
            runtime: self.runtime.clone(),
            generation: self.generation,
            disk_limits: Some(HostDiskLimits::Known(view.disk_limits)),
        }
    }

    fn differs(&self, view: &View) -> bool {
        self.told != view.reports
            || self.runtime != view.runtime
            || self.generation != view.generation()
    }

    fn difference(&self, view: &View) -> Vec<ReplicaReport> {
        let changed = view
            .reports
            .iter()
            .filter(|(id, report)| self.told.get(id) != Some(report));
        let lost = self
            .told
            .iter()
            .filter(|(id, last)| !view.reports.contains_key(id) && last.phase != Phase::Gone);
        changed
            .map(|(_, report)| report.clone())
            .chain(lost.map(|(_, last)| gone(last)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::report::Health;
    use paasta_proto::v1::ReplicaPhase;

    use super::*;

    fn report(id: u64, phase: Phase) -> (ReplicaId, ReplicaReport) {
        let report = ReplicaReport {
            id: ReplicaId(id),
            app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
            phase,
            health: Health::Unknown,
            started_at: None,
            host_port: None,
            container: None,
            run: 1,
            failures: 0,
            next_try_at: None,
            drained: false,
            in_load_balancer: None,
            message: String::new(),
            image: Default::default(),
            last_end: None,
            troubles: Default::default(),
            other_troubles: 0,
        };
        (ReplicaId(id), report)
    }

    fn view(reports: &[(u64, Phase)]) -> Arc<View> {
        Arc::new(View {
            accepted: None,
            reports: reports
                .iter()
                .map(|(id, phase)| report(*id, *phase))
                .collect(),
            runtime: Runtime::Ok,
            disk_limits: Default::default(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_changed_is_told_the_newest_of_each_and_what_vanished_is_gone() {
        let (sender, receiver) = watch::channel(view(&[(1, Phase::Starting), (2, Phase::Running)]));
        let clock = Arc::new(paasta_process::clock::ManualClock::default());
        let mut changes = Changes::new(receiver, clock, Ages::default());
        let first = changes.complete();
        assert_eq!((first.complete, first.replicas.len()), (true, 2));
        sender.send_replace(view(&[(1, Phase::Running), (2, Phase::Running)]));
        let again = Instant::now() + super::super::COALESCE;
        let next = changes.next(again);
        let sender = &sender;
        let (told, ()) = tokio::join!(next, async move {
            tokio::task::yield_now().await;
            sender.send_replace(view(&[(1, Phase::Draining), (3, Phase::Pulling)]));
        });
        let told = told.unwrap();
        assert!(Instant::now() >= again);
        let phases: Vec<_> = told
            .replicas
            .iter()
            .map(|report| (report.id, report.phase()))
            .collect();
        assert_eq!(
            phases,
            [
                (1, ReplicaPhase::Draining),
                (3, ReplicaPhase::Pulling),
                (2, ReplicaPhase::Gone),
            ]
        );
        assert!(!told.complete);
    }
}
