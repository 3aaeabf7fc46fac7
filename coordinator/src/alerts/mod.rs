//! Tells teams that their instances lack replicas, and that they no longer do; that their
//! configuration is broken, and that it is mended (`broken`). The leader looks at
//! every instance again and again; when an alarm begins or ends is decided in
//! `paasta_coordinator_core::plan::alarm` and written to the log first. What is told follows from
//! the replicated state alone: a new leader tells again what is in alarm, as the one before it may
//! have died between the two. So a team may hear of an alarm twice, and never not at all while a
//! delivery succeeds.

mod broken;
mod command;
mod event;
mod output;
mod sensu;
mod webhook;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use paasta_common::{id::InstanceId, time::Timestamp};
use paasta_coordinator_core::{
    plan::{alarm::Watch, report::Report},
    state::{ClusterState, outcome::Outcome},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::{
    broken::{Broken, Look},
    event::Event,
    output::Output,
};
use crate::{machine::ClusterMachine, options::Options, propose::Proposer};

/// Events that wait for one output, at most; then the newest are given up, loudly.
const QUEUE_MAX: usize = 1_024;
/// A new leader tells again of alarms that ended in this time.
const AGAIN_MS: u64 = 10 * 60 * 1_000;

/// Watches instances and tells of them. Cheap to clone.
#[derive(Clone)]
pub struct Alerts {
    machine: ClusterMachine,
    proposer: Proposer,
    report: Arc<ArcSwap<Report>>,
    every: Duration,
    after_ms: u64,
    outputs: Arc<[Output]>,
    soa_dir: Arc<PathBuf>,
}

/// What was told of one instance.
struct Told {
    since: Timestamp,
    /// Whom. An alarm that nobody was told of is told when a team is named.
    team: Option<String>,
    /// What was told, while it is in alarm.
    alarm: Option<Event>,
}

impl Alerts {
    /// Watches as the configuration says what the last plan said.
    pub fn new(
        machine: ClusterMachine,
        proposer: Proposer,
        report: Arc<ArcSwap<Report>>,
        options: &Options,
    ) -> Self {
        let system = &options.system;
        let settings = &system.alerts;
        Self {
            machine,
            proposer,
            report,
            every: Duration::from_secs(settings.check_seconds),
            after_ms: settings.after_seconds.saturating_mul(1_000),
            outputs: output::configured(system).into(),
            soa_dir: Arc::new(options.soa_dir.clone()),
        }
    }

    /// Watches and tells until `ended`. What is still to be told then is the next leader's.
    pub async fn follow(&self, ended: &CancellationToken) {
        let (queues, deliveries): (Vec<_>, Vec<_>) = self
            .outputs
            .iter()
            .map(|output| {
                let (queue, events) = mpsc::channel(QUEUE_MAX);
                (queue, output.deliver(events))
            })
            .unzip();
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = self.watch(&queues) => {}
            _ = join_all(deliveries) => {}
        }
    }

    async fn watch(&self, queues: &[mpsc::Sender<Event>]) {
        let mut watch = Watch::default();
        let mut told = BTreeMap::new();
        let mut broken = Broken::default();
        let begun = self.proposer.now();
        loop {
            tokio::time::sleep(self.every).await;
            let commands = {
                let report = self.report.load();
                let state = self.machine.read();
                watch.look(&state, &report, self.proposer.now(), self.after_ms)
            };
            for result in self.proposer.propose_all(commands).await {
                match result {
                    Ok(Outcome::Refused(reason)) => {
                        tracing::warn!(%reason, "an alarm was not taken note of");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "an alarm was not acknowledged"),
                }
            }
            let mut news = {
                let (state, report) = (self.machine.read(), self.report.load());
                news(&state, &report, &mut told, begun, self.every)
            };
            let look = Look {
                now: self.proposer.now(),
                begun,
                after_ms: self.after_ms,
                every: self.every,
            };
            news.extend(broken.look(&self.machine.read(), &self.soa_dir, look));
            for event in news {
                for (queue, output) in queues.iter().zip(self.outputs.iter()) {
                    if output.wants(&event) && queue.try_send(event.clone()).is_err() {
                        tracing::error!(%output, about = event.about, "too many alerts wait for it: one is given up");
                    }
                }
            }
        }
    }
}

/// What the state says and was not told yet.
fn news(
    state: &ClusterState,
    report: &Report,
    told: &mut BTreeMap<InstanceId, Told>,
    begun: Timestamp,
    every: Duration,
) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, alert) in state.alerts() {
        let team = state.instance(id).and_then(|known| known.spec.team.clone());
        let known =
            |told: &Told| told.since == alert.since && (told.team == team || !alert.critical);
        if told.get(id).is_some_and(known) {
            continue;
        }
        let event = event::replication(state, report, id, alert, every);
        let stale = !alert.critical && begun.since_ms(alert.since) > AGAIN_MS;
        let alarm = event.clone().filter(|_| alert.critical);
        let since = alert.since;
        told.insert(id.clone(), Told { since, team, alarm });
        events.extend(event.filter(|_| !stale));
    }
    // Gone with its instance: what was in alarm is told to be over.
    told.retain(|id, told| {
        let known = state.alerts().contains_key(id);
        if !known && let Some(alarm) = told.alarm.take() {
            events.push(alarm.over("OK: no longer declared or deployed"));
        }
        known
    });
    events
}

#[cfg(test)]
mod tests;
