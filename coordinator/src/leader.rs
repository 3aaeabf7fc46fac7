//! The leader's loop: wait for a change or for the plan's wake-up, plan, propose, publish the
//! report. It decides nothing itself, and everything it starts dies with the term.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    plan::{plan, plan_scope, report::Report},
    state::{command::Command, outcome::Outcome},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::Alerts,
    desired::Desired,
    machine::ClusterMachine,
    metrics::Metrics,
    observations::Observations,
    propose::{ProposalError, Proposer},
    raft::Consensus,
    troubles,
    witness::Watched,
};

/// Between two plans, at least: changes that come together are planned together.
const PLAN_PAUSE: Duration = Duration::from_millis(20);
/// After a proposal that was refused or failed, at least: the same plan would be refused again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Between two plans, at most: a lost wake-up costs no more than this.
const RESYNC: Duration = Duration::from_secs(5);
/// Commands proposed together, at most; the rest come with the next plan.
const BATCH_MAX: usize = 256;
/// Up to this many replicas everything is planned each time: it takes a few milliseconds.
pub const SMALL_REPLICAS: usize = 5_000;
/// Looking at everything takes at most one part in this many of the leader's time.
const LOOK_SHARE: u32 = 20;
/// The same when time has come for something.
const WAKE_SHARE: u32 = 4;
/// How long a new leader waits to have applied what was acknowledged before it.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A term in which this coordinator leads.
#[derive(Clone)]
pub struct Leadership {
    /// The Raft term.
    pub term: u64,
    /// When it began here.
    pub since: Timestamp,
    /// Cancelled when it ends.
    pub ended: CancellationToken,
}

/// What the loop remembers from plan to plan. Losing it costs one look at everything.
#[derive(Default)]
struct Pace {
    /// When everything was last looked at, and how long that took.
    all_at: Option<(tokio::time::Instant, Duration)>,
    look_at_all: bool,
    /// When time alone may change the plan.
    wake_at: Option<Timestamp>,
}

impl Pace {
    /// Whether everything must be looked at: it never was, time may have changed the plan, or it
    /// is long ago. A large cluster is looked at less often, so that this stays a small part of
    /// the leader's work.
    fn is_due(&self, now: tokio::time::Instant, time: Timestamp) -> bool {
        let Some((at, cost)) = self.all_at else {
            return true;
        };
        let since = now - at;
        let woken = self.wake_at.is_some_and(|at| at <= time) && since >= cost * WAKE_SHARE;
        self.look_at_all || woken || since >= RESYNC.max(cost * LOOK_SHARE)
    }

    fn looked_at_all(&mut self, began: tokio::time::Instant) {
        self.all_at = Some((began, began.elapsed()));
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What the leader's loop works with.
#[derive(Clone)]
pub struct Leader {
    /// Consensus.
    pub consensus: Consensus,
    /// The replicated state.
    pub machine: ClusterMachine,
    /// What agents report.
    pub observations: Observations,
    /// Where plans become commands.
    pub proposer: Proposer,
    /// What the last plan said about everything.
    pub report: Arc<ArcSwap<Report>>,
    /// The present leadership, for the agents' sessions.
    pub leadership: Arc<watch::Sender<Option<Leadership>>>,
    /// Where the desired state comes from.
    pub desired: Desired,
    /// Who tells teams of their instances.
    pub alerts: Alerts,
    /// Up to this many replicas everything is planned each time ([`SMALL_REPLICAS`]).
    pub small_replicas: usize,
    /// Who looks on.
    pub watched: Watched,
    /// What is counted.
    pub metrics: Metrics,
}

impl Leader {
    /// Leads whenever consensus says so, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut status = self.consensus.watch();
        loop {
            let now = status.borrow_and_update().clone();
            if now.is_leader() && self.consensus.linearize(CATCH_UP).await.is_ok() {
                let ended = shutdown.child_token();
                let _on_return = ended.clone().drop_guard();
                let led = self.lead(now.term, ended.clone());
                let lost = async {
                    let other = |status: &crate::raft::RaftStatus| {
                        !status.is_leader() || status.term != now.term
                    };
                    // The sender lives as long as consensus; its end is the end of leading too.
                    let _ = status.wait_for(other).await;
                    ended.cancel();
                };
                tokio::join!(biased; led, async {
                    tokio::select! { biased; () = ended.cancelled() => {}, () = lost => {} }
                    // At once: what was proposed may still be waited for.
                    self.leadership.send_replace(None);
                });
                // What agents said to this leader is no more than history now.
                self.observations.begin(self.proposer.now());
                tracing::info!(term = now.term, "leadership ended");
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY_PAUSE), if status.borrow().is_leader() => {}
            }
        }
    }

    async fn lead(&self, term: u64, ended: CancellationToken) {
        // What was dated already was not dated in the future, whatever this machine's clock shows.
        let latest = self
            .machine
            .read()
            .events()
            .next_back()
            .map(|event| event.at);
        self.consensus.clock().begin(latest.unwrap_or_default());
        let since = self.proposer.now();
        tracing::info!(term, "leading");
        self.observations.begin(since);
        self.leadership.send_replace(Some(Leadership {
            term,
            since,
            ended: ended.clone(),
        }));
        tokio::join!(
            self.plan_on(&ended),
            self.desired.follow(term, &ended),
            self.alerts.follow(&ended),
            troubles::follow(&self.machine, &self.observations, &self.proposer, &ended)
        );
    }

    async fn plan_on(&self, ended: &CancellationToken) {
        let mut applied = self.machine.watch();
        let mut observed = self.observations.watch();
        let mut pace = Pace::default();
        loop {
            applied.borrow_and_update();
            observed.borrow_and_update();
            let accepted = self.plan_once(&mut pace).await;
            let pause = if accepted { PLAN_PAUSE } else { RETRY_PAUSE };
            let wake = self.sleep_for(pace.wake_at).max(pause);
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                changed = applied.changed() => if changed.is_err() { return },
                changed = observed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wake - pause) => {}
            }
        }
    }

    /// Plans and proposes. Says whether every command was accepted.
    async fn plan_once(&self, pace: &mut Pace) -> bool {
        let mut commands = self.plan(pace);
        if commands.is_empty() {
            return true;
        }
        commands.truncate(BATCH_MAX);
        let mut accepted = true;
        for result in self.proposer.propose_all(commands).await {
            match result {
                Ok(outcome) => accepted &= logged(&outcome),
                // Said where the room is watched, and again when there is some.
                Err(ProposalError::NoSpace { .. }) => accepted = false,
                Err(error) => {
                    accepted = false;
                    tracing::warn!(error = %error, "a planned command was not acknowledged");
                }
            }
        }
        // What was not done, or not proposed, is no change that anybody would notice.
        pace.look_at_all |= !accepted;
        accepted
    }

    /// Plans everything, or what changed, and publishes the report.
    fn plan(&self, pace: &mut Pace) -> Vec<Command> {
        let began = tokio::time::Instant::now();
        let state = self.machine.read();
        let now = self.proposer.now();
        let mut touched = self.machine.take_touched();
        touched.add(self.observations.take_touched());
        let touched = touched.scope(&state, &self.report.load());
        let only = touched.as_ref().map(|scope| &scope.instances);
        let observed = self.observations.announce(&state, only, now);
        let small = state.replica_count() <= self.small_replicas;
        let scope = match small || pace.is_due(began, now) {
            true => None,
            false => touched,
        };
        let mut planned = match &scope {
            None => plan(&state, &observed, now),
            Some(scope) => plan_scope(&state, &observed, now, scope),
        };
        if let Some(scope) = scope.filter(|_| planned.partial) {
            let mut report = Report::clone(&self.report.load());
            report.update(planned.report, &scope.instances);
            planned.report = report;
            planned.wake_at = earlier(planned.wake_at, pace.wake_at);
        }
        let commands = planned.commands.len();
        self.metrics
            .planned(!planned.partial, commands, began.elapsed());
        self.watched
            .tell(|w| w.planned(&state, &observed, now, &mut planned));
        pace.wake_at = planned.wake_at;
        if !planned.partial {
            pace.looked_at_all(began);
        }
        // The next plan sees what this one leaves for later.
        pace.look_at_all = planned.commands.len() > BATCH_MAX;
        self.report.store(Arc::new(planned.report));
        planned.commands
    }

    fn sleep_for(&self, wake_at: Option<Timestamp>) -> Duration {
        wake_at.map_or(RESYNC, |at| {
            Duration::from_millis(at.since_ms(self.proposer.now())).min(RESYNC)
        })
    }
}

fn logged(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Applied | Outcome::Unchanged => {}
        Outcome::Refused(reason) => tracing::warn!(%reason, "a planned command was refused"),
        Outcome::Partial { refused } => {
            for replica in refused {
                tracing::warn!(replica = %replica.id, reason = %replica.reason, "a planned placement was refused");
            }
        }
    }
    outcome.is_ok()
}
