//! What was decided is begun, and how things stand is published.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent_core::{actions::Action, report::reports};
use paasta_common::{
    id::ReplicaId,
    report::{HostPart, Phase, ReplicaReport, Runtime},
};

use super::actor::Actor;
use crate::view::View;

impl Actor {
    pub(super) fn begin(&mut self, action: Action) {
        match action {
            Action::Pull { image } => self.images.begin(image),
            Action::CancelPull { image } => self.images.cancel(&image),
            Action::Probe {
                replica,
                run,
                target,
                timeout_ms,
            } => self.probes.probe(replica, run, target, timeout_ms),
            Action::Drain {
                replica,
                call,
                requests,
            } => self.probes.drain(replica, call, requests),
            action => {
                if let Some(lane) = action.lane()
                    && self.observed.busy.insert(lane.clone())
                {
                    self.lanes.begin(lane, action);
                }
            }
        }
    }

    /// Counts what befell replicas since it was last published.
    fn count(&self, reports: &BTreeMap<ReplicaId, ReplicaReport>) {
        let before = self.published.borrow();
        for (id, report) in reports.iter().filter(|(_, one)| !one.troubles.is_empty()) {
            let more = match before.reports.get(id) {
                Some(known) => report.troubles.since(&known.troubles),
                None => report.troubles.clone(),
            };
            for (trouble, count) in more.iter() {
                self.metrics.befell(trouble, count);
            }
        }
    }

    pub(super) fn publish(&self) {
        let runtime = match &self.ledger_fails {
            Some((since, error)) => Runtime::Degraded {
                reason: format!("the agent's ledger cannot be written: {error}"),
                since: *since,
                part: HostPart::Disk,
            },
            None if self.runtime != Runtime::Ok => self.runtime.clone(),
            // What begins may still succeed: only new replicas are better off elsewhere.
            None => self.engine_disk.runtime(),
        };
        let mut reports = reports(&self.state);
        for (id, report) in &mut reports {
            if report.phase == Phase::Pulling
                && let Some(replica) = self.state.assigned(*id)
            {
                report.image.progress = self.images.progress(&replica.spec.image);
            }
        }
        self.count(&reports);
        let view = View {
            accepted: self.state.accepted.clone(),
            reports,
            runtime,
            disk_limits: self.parts.settings.disk_limits,
        };
        self.published.send_if_modified(|held| {
            let changed = **held != view;
            if changed {
                *held = Arc::new(view);
            }
            changed
        });
    }
}
