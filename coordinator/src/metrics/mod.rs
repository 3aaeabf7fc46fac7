//! Every metric of a coordinator, by name. What counts up is held in [`Metrics`] by the part that counts;
//! what can be read off is read when it is asked for ([`page`]).
//!
//! Names follow the conventions of Prometheus: a unit in the name, seconds and bytes, `_total` for
//! what only grows. No label takes more values than there are coordinators, pools or words: never
//! a service, an instance, a replica or a host.

mod cluster;
mod consensus;
mod pulse;

use std::time::Duration;

use paasta_coordinator_core::state::outcome::Outcome;
use paasta_identity::accept::Handshakes;
use paasta_process::{
    accept::Refusals,
    metrics::{Counts, Durations, FAST, Meters, Page},
};
use tokio::sync::watch;

use crate::{
    audit::AuditMeters, propose::ProposalError, raft::RaftStatus,
    refusals::Refusals as CallRefusals, rpc::view::View, store::FlushTimer,
};

/// What a coordinator counts. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    meters: Meters,
    proposals: Counts,
    proposal_seconds: Durations,
    flush_seconds: Durations,
    executor_late: Durations,
    plans: Durations,
    planned: Counts,
    terms: Counts,
    leaders: Counts,
    requests: Counts,
    unrecognized_messages: Counts,
    unrecognized_values: Counts,
    connections: Refusals,
    handshakes: Handshakes,
    audit: AuditMeters,
    refusals: CallRefusals,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let meters = Meters::default();
        Self {
            proposals: meters.counts(
                "paasta_proposals_total",
                "Commands proposed by this coordinator, by outcome: applied, unchanged, refused or failed.",
                &["outcome"],
            ),
            proposal_seconds: meters.durations(
                "paasta_proposal_duration_seconds",
                "From proposing a batch of commands to its last outcome.",
                &[],
                &FAST,
            ),
            flush_seconds: meters.durations(
                "paasta_log_fsync_duration_seconds",
                "Making what was appended to the log durable: one flush for all that wait.",
                &[],
                &FAST,
            ),
            executor_late: meters.durations(
                "paasta_executor_late_seconds",
                "How late a task that sleeps for 5 ms is woken: for so long the threads that answer and replicate were held, or got no processor.",
                &[],
                &pulse::BOUNDS,
            ),
            plans: meters.durations(
                "paasta_plan_duration_seconds",
                "One plan of the leader, by scope: all, or only what changed.",
                &["scope"],
                &FAST,
            ),
            planned: meters.counts(
                "paasta_plan_commands_total",
                "Commands that plans came to.",
                &[],
            ),
            terms: meters.counts(
                "paasta_raft_elections_total",
                "New terms seen by this coordinator: elections, won or not.",
                &[],
            ),
            leaders: meters.counts(
                "paasta_raft_leader_changes_total",
                "How often this coordinator saw another leader than before.",
                &[],
            ),
            requests: meters.counts(
                "paasta_http_requests_total",
                "Answers of the HTTP API, by status code.",
                &["code"],
            ),
            unrecognized_messages: meters.counts(
                "paasta_unrecognized_messages_total",
                "Messages of agents of a kind that this version does not know; they are ignored.",
                &[],
            ),
            unrecognized_values: meters.counts(
                "paasta_unrecognized_values_total",
                "Values in reports of agents that this version does not know; at most 20 of each report are counted.",
                &[],
            ),
            connections: Refusals::new(&meters),
            handshakes: Handshakes::new(&meters),
            audit: AuditMeters::new(&meters),
            refusals: CallRefusals::new(&meters),
            meters,
        }
        .beginning_at_zero()
    }

    /// A counter that never counted is there all the same: a rule can tell zero from absence.
    fn beginning_at_zero(self) -> Self {
        for outcome in ["applied", "unchanged", "refused", "failed"] {
            self.proposals.with_label_values(&[outcome]);
        }
        for scope in ["all", "changed"] {
            self.plans.with_label_values(&[scope]);
        }
        let none: &[&str] = &[];
        for counts in [
            &self.planned,
            &self.terms,
            &self.leaders,
            &self.unrecognized_messages,
            &self.unrecognized_values,
        ] {
            counts.with_label_values(none);
        }
        for durations in [
            &self.proposal_seconds,
            &self.flush_seconds,
            &self.executor_late,
        ] {
            durations.with_label_values(none);
        }
        self
    }

    /// What the audit log counts.
    pub fn audit(&self) -> &AuditMeters {
        &self.audit
    }

    /// Where connections that are refused are counted.
    pub fn connections(&self) -> &Refusals {
        &self.connections
    }

    /// Where TLS handshakes that failed are counted.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Where refused calls and ended connections are counted.
    pub fn refusals(&self) -> &CallRefusals {
        &self.refusals
    }

    /// Hears how long flushes of the log take.
    pub fn flush_timer(&self) -> FlushTimer {
        let seconds = self.flush_seconds.clone();
        FlushTimer::new(move |took| observe(&seconds, &[], took))
    }

    /// A batch of proposals ended.
    pub fn proposed(&self, outcomes: &[Result<Outcome, ProposalError>], took: Duration) {
        observe(&self.proposal_seconds, &[], took);
        for outcome in outcomes {
            let word = match outcome {
                Ok(Outcome::Applied) => "applied",
                Ok(Outcome::Unchanged) => "unchanged",
                Ok(Outcome::Refused(_) | Outcome::Partial { .. }) => "refused",
                Err(_) => "failed",
            };
            self.proposals.with_label_values(&[word]).inc();
        }
    }

    /// A plan was made, of everything or of what changed.
    pub fn planned(&self, everything: bool, commands: usize, took: Duration) {
        let scope = if everything { "all" } else { "changed" };
        observe(&self.plans, &[scope], took);
        let none: &[&str] = &[];
        self.planned.with_label_values(none).inc_by(commands as u64);
    }

    /// A request over HTTP was answered.
    pub fn answered(&self, code: u16) {
        self.requests.with_label_values(&[&code.to_string()]).inc();
    }

    /// A message of a kind that only a newer agent knows was ignored.
    pub fn unrecognized_message(&self) {
        let none: &[&str] = &[];
        self.unrecognized_messages.with_label_values(none).inc();
    }

    /// A report had so many values that only a newer agent knows.
    pub fn unrecognized_values(&self, count: usize) {
        let none: &[&str] = &[];
        let values = self.unrecognized_values.with_label_values(none);
        values.inc_by(count as u64);
    }

    /// Counts elections from now on until consensus ends.
    pub fn follow(
        self,
        mut status: watch::Receiver<RaftStatus>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (mut term, mut leader) = {
            let now = status.borrow_and_update();
            (now.term, now.leader.as_ref().map(|leader| leader.id))
        };
        async move {
            let none: &[&str] = &[];
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update();
                self.terms
                    .with_label_values(none)
                    .inc_by(now.term.saturating_sub(term));
                term = term.max(now.term);
                let led_by = now.leader.as_ref().map(|leader| leader.id);
                if led_by.is_some() && led_by != leader {
                    self.leaders.with_label_values(none).inc();
                    leader = led_by;
                }
            }
        }
    }

    /// The counters and histograms.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }
}

/// The figures of this moment. What is said of the cluster only its leader says, so that a sum
/// over the coordinators is right.
pub fn page(view: &View<'_>) -> Page {
    let mut page = Page::new("coordinator");
    consensus::add(&mut page, view.raft);
    if view.raft.is_leader() {
        cluster::add(&mut page, view);
    }
    page
}

fn observe(durations: &Durations, labels: &[&str], took: Duration) {
    durations
        .with_label_values(labels)
        .observe(took.as_secs_f64());
}

#[cfg(test)]
mod tests;
