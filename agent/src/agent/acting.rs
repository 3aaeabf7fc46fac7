//! What was decided is begun, and how things stand is published.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use paasta_agent_core::{actions::Action, labels::sandbox_name, report::reports};
use paasta_common::report::Runtime;
use paasta_process::simulated;
use tokio::time::Instant;

use super::{View, actor::Actor};

/// Between two looks at the size of the sandboxes.
const TRIM_EVERY: Duration = Duration::from_secs(60);

impl Actor {
    pub(super) fn begin(&mut self, action: Action) {
        match action {
            Action::Pull { image } => self.images.begin(image),
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
            Some(error) => Runtime::Degraded {
                reason: format!("the agent's ledger can not be written: {error}"),
            },
            None => self.runtime.clone(),
        };
        let view = View {
            accepted: self.state.accepted.clone(),
            reports: reports(&self.state),
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

    /// Now and then, holds the sandboxes of dead runs to their budget.
    pub(super) fn trim(&mut self) {
        let now = Instant::now();
        if self.trimmed_at.is_some_and(|at| now < at + TRIM_EVERY) {
            return;
        }
        self.trimmed_at = Some(now);
        let records = self.state.records.iter();
        let alive: BTreeSet<String> = records
            .map(|(id, record)| sandbox_name(*id, record.run))
            .collect();
        let sandboxes = self.sandboxes.clone();
        tokio::spawn(simulated::blocking(move || match sandboxes.trim(&alive) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed sandboxes of dead runs"),
            Err(error) => tracing::warn!(%error, "sandboxes can not be trimmed"),
        }));
    }
}
