//! What was decided is begun, and how things stand is published.

use std::sync::Arc;

use paasta_agent_core::{actions::Action, report::reports};
use paasta_common::report::{Phase, Runtime};

use super::{View, actor::Actor};

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

    pub(super) fn publish(&self) {
        let runtime = match &self.ledger_fails {
            Some((since, error)) => Runtime::Degraded {
                reason: format!("the agent's ledger can not be written: {error}"),
                since: *since,
            },
            None => self.runtime.clone(),
        };
        let mut reports = reports(&self.state);
        for (id, report) in &mut reports {
            if report.phase == Phase::Pulling
                && let Some(replica) = self.state.assigned(*id)
            {
                report.image.progress = self.images.progress(&replica.spec.image);
            }
        }
        let view = View {
            accepted: self.state.accepted.clone(),
            reports,
            runtime,
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
