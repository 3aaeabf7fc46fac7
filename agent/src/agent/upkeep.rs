//! What the agent sees to beside the replicas: that what they write is captured, and that
//! sandboxes, logs and images keep to their budgets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use paasta_agent_core::{
    collect::{Fate, Stock, judge, note_use},
    images::needed,
    labels::sandbox_name,
    state::{Record, Stage},
};
use paasta_common::id::ReplicaId;
use paasta_process::simulated;
use tokio::time::Instant;

use super::actor::Actor;
use crate::{images::collect, logs::RunKey};

/// Between two looks at the size of sandboxes and logs.
const TRIM_EVERY: Duration = Duration::from_secs(60);

impl Actor {
    /// Follows what the runs write that there are.
    pub(super) fn capture(&self) {
        let (mut running, mut ending) = (BTreeMap::new(), BTreeSet::new());
        for (id, record) in &self.state.records {
            let key = run_key(*id, record);
            match &record.stage {
                Stage::Running { container, .. } => {
                    running.insert(key, container.clone());
                }
                Stage::Ending { .. } => {
                    ending.insert(key);
                }
                _ => {}
            }
        }
        self.captures.keep(&running, &ending);
    }

    /// Now and then, holds the sandboxes and the output of dead runs to their budgets.
    pub(super) fn trim(&mut self) {
        let now = Instant::now();
        if self.trimmed_at.is_some_and(|at| now < at + TRIM_EVERY) {
            return;
        }
        self.trimmed_at = Some(now);
        let records = &self.state.records;
        let alive: BTreeSet<String> = records
            .iter()
            .map(|(id, record)| sandbox_name(*id, record.run))
            .collect();
        let talking: BTreeSet<RunKey> = records
            .iter()
            .map(|(id, record)| run_key(*id, record))
            .collect();
        let starting: BTreeSet<String> = records
            .iter()
            .filter(|(_, record)| matches!(record.stage, Stage::Starting { .. }))
            .map(|(id, record)| sandbox_name(*id, record.run))
            .collect();
        let (sandboxes, logs) = (self.sandboxes.clone(), self.captures.store().clone());
        let mounts = self.mounts.clone();
        let trim = move || {
            match mounts.trim(&starting) {
                Ok(0) => {}
                Ok(runs) => tracing::info!(runs, "took away private mounts that were left over"),
                Err(error) => tracing::warn!(%error, "private mounts cannot be taken away"),
            }
            match sandboxes.trim(&alive) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed sandboxes of dead runs"),
                Err(error) => tracing::warn!(%error, "sandboxes cannot be trimmed"),
            }
            match logs.trim(&talking) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed logs of dead runs"),
                Err(error) => tracing::warn!(%error, "logs cannot be trimmed"),
            }
        };
        tokio::spawn(simulated::blocking(trim));
    }

    /// Now and then, asks what images there are.
    pub(super) fn look_at_images(&mut self) {
        let now = Instant::now();
        let early = self
            .collected_at
            .is_some_and(|at| now < at + collect::EVERY);
        // Before the first assignment nothing is known to be needed, or not to be.
        if early || self.observed.degraded || self.state.assignment.is_none() {
            return;
        }
        self.collected_at = Some(now);
        collect::look(Arc::clone(&self.parts.engine), self.inbox.clone());
    }

    /// Removes the images that exceed the budget. What is needed is known as of now, and what is
    /// chosen from here on is not begun before its removal has ended.
    pub(super) fn collect(&mut self, stock: &Stock) {
        if self.images.going.is_busy() || self.state.assignment.is_none() {
            return;
        }
        let now = self.parts.clock.now();
        let mut needed = needed(&self.state);
        needed.extend(self.images.pulling());
        let settings = &self.parts.collect;
        note_use(&mut self.last_use, stock, &needed, settings, now);
        self.last_use_file.write_soon(&self.last_use);
        let judged = judge(stock, &needed, &self.last_use, settings, now);
        let going = judged.into_iter().filter(|one| one.fate == Fate::Goes);
        let names: Vec<String> = going.flat_map(|one| one.names).collect();
        if !names.is_empty() {
            self.images
                .going
                .begin(Arc::clone(&self.parts.engine), names);
        }
    }
}

fn run_key(id: ReplicaId, record: &Record) -> RunKey {
    RunKey {
        instance: record.instance.clone(),
        replica: id,
        run: record.run,
    }
}
