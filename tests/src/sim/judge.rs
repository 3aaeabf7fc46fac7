//! Hears everything that happens and asks the checkers. The first coordinator to apply an index
//! says what stands there; every other one must agree, for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_common::{
    assignment::Fence,
    id::{HostId, InstanceId, ReplicaId},
    time::Timestamp,
};
use paasta_coordinator::codec;
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{ClusterState, command::Envelope},
};

use super::{hosts::REMOVAL_PATIENCE_MS, plant::Plant, shape::Shape, tally::Tally};
use crate::checkers::{
    Violation, clock, disk, i1_acked, i2_placed, i3_fenced, i4_floor, i6_outage, i7_brake,
    i8_waiting, i9_bounded, i10_config, i12_replay, i13_routed,
    i14_reasons::{Reasons, Want},
    links,
};

/// Of how many of the last indexes the whole state is kept, to be compared.
const STATES_KEPT: usize = 400;
/// Of how many violations the first are kept.
const VIOLATIONS_MAX: usize = 20;

/// The judge of one simulation.
pub(crate) struct Judge {
    log: i1_acked::Log,
    states: BTreeMap<u64, Arc<ClusterState>>,
    fences: i3_fenced::Fences,
    bounds: i9_bounded::Bounds,
    configs: i10_config::LastGood,
    overdue: i8_waiting::Deadlines,
    alone: i6_outage::Alone,
    leaderless: links::Leaderless,
    pub(crate) births: clock::Births,
    pub(crate) time: clock::Time,
    reasons: Reasons,
    violations: Vec<Violation>,
    seen: BTreeSet<String>,
    pub(crate) tally: Tally,
    /// Milliseconds since the beginning.
    pub(crate) now_ms: u64,
    replay: bool,
}

impl Judge {
    pub(crate) fn new(shape: &Shape, plant: Option<Plant>) -> Self {
        Self {
            log: i1_acked::Log::default(),
            states: BTreeMap::new(),
            fences: i3_fenced::Fences::default(),
            bounds: i9_bounded::Bounds {
                snapshot_every: shape.snapshot_every,
                keep_log: shape.keep_log,
            },
            configs: i10_config::LastGood::default(),
            overdue: i8_waiting::Deadlines::default(),
            alone: i6_outage::Alone::default(),
            leaderless: links::Leaderless::default(),
            births: clock::Births::default(),
            time: clock::Time::default(),
            reasons: Reasons::new(REMOVAL_PATIENCE_MS),
            violations: Vec::new(),
            seen: BTreeSet::new(),
            tally: Tally::default(),
            now_ms: 0,
            // What was bent on its way, or left things out on purpose, is not made again.
            replay: !shape.partial
                && !matches!(
                    plant,
                    Some(Plant::I4 | Plant::I8 | Plant::I13 | Plant::I14Stops)
                ),
        }
    }

    /// Everything found so far.
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Adds what was found; the same thing once.
    pub(crate) fn blame(&mut self, found: impl IntoIterator<Item = Violation>) {
        for violation in found {
            if self.violations.len() < VIOLATIONS_MAX && self.seen.insert(violation.to_string()) {
                self.violations.push(violation);
            }
        }
    }

    /// A coordinator applied a command. Returns what it is, for the trace.
    pub(crate) fn applied(
        &mut self,
        whom: &str,
        index: u64,
        command: &[u8],
        after: &ClusterState,
    ) -> String {
        let envelope: Option<Envelope> = codec::decode(command).ok();
        let what = envelope.as_ref().map_or_else(String::new, |envelope| {
            let text = format!("{:?}", envelope.command);
            let end = text.floor_char_boundary(160);
            format!("{} {}", envelope.at.0, &text[..end])
        });
        let request = envelope
            .as_ref()
            .and_then(|envelope| envelope.request_id.as_deref());
        match self.log.applied(whom, index, command, request) {
            Ok(true) => self.first(index, envelope.as_ref(), after),
            Ok(false) => self.compare(whom, index, after),
            Err(violation) => self.blame([violation]),
        }
        what
    }

    /// Nobody applied this index before.
    fn first(&mut self, index: u64, envelope: Option<&Envelope>, after: &ClusterState) {
        let after = Arc::new(after.clone());
        let before = self
            .states
            .last_key_value()
            .map(|(_, state)| Arc::clone(state));
        self.states.insert(index, Arc::clone(&after));
        while self.states.len() > STATES_KEPT {
            self.states.pop_first();
        }
        let mut found = i9_bounded::state(&after);
        if let Some(envelope) = envelope {
            self.tally.command(&envelope.command);
        }
        if let (Some(before), Some(envelope)) = (before, envelope) {
            found.extend(i2_placed::placed(&before, &after));
            found.extend(i7_brake::removed(&before, &after, envelope));
            found.extend(self.reasons.applied(self.now_ms, &before, &after, envelope));
            found.extend(
                self.configs
                    .applied(self.now_ms, &before, &after, &envelope.command),
            );
        }
        self.blame(found);
    }

    /// From now on users want this.
    pub(crate) fn wants(&mut self, now_ms: u64, wants: BTreeMap<InstanceId, Want>) {
        self.reasons.wants(now_ms, wants);
    }

    fn compare(&mut self, whom: &str, index: u64, state: &ClusterState) {
        if let Some(known) = self.states.get(&index) {
            self.blame(i12_replay::same_state(whom, index, known, state));
        }
    }

    /// A coordinator took its state from a snapshot.
    pub(crate) fn restored(&mut self, whom: &str, state: &ClusterState) {
        self.tally.add("snapshots_restored");
        self.compare(whom, state.last_index(), state);
    }

    /// A leader made a plan.
    pub(crate) fn planned(
        &mut self,
        state: &ClusterState,
        seen: &Observed,
        now: Timestamp,
        plan: &Plan,
        routes: impl Fn(ReplicaId) -> Vec<(HostId, i13_routed::Route)>,
    ) {
        self.tally.add("plans");
        if plan.report.brake.is_some() {
            self.tally.add("braked_plans");
        }
        let mut found = Vec::new();
        if self.replay {
            found.extend(i12_replay::same_plan(state, seen, now, plan));
        }
        found.extend(i4_floor::floor(state, seen, now, plan));
        found.extend(i13_routed::stopped(state, seen, now, plan, routes));
        found.extend(i7_brake::lost(state, seen, now, plan));
        found.extend(self.reasons.planned(state, seen, now, plan));
        found.extend(i8_waiting::reasons(state, plan));
        found.extend(i6_outage::lost_too_early(state, seen, now, plan));
        found.extend(self.overdue.planned(seen, now, plan));
        self.blame(found);
    }

    /// What a coordinator does, and whether it has a way to a majority.
    pub(crate) fn leads(&mut self, whom: &str, has_a_way: bool, leading: i6_outage::Leading) {
        if !has_a_way {
            self.tally.add("looks_without_a_way");
        }
        let found = self.alone.look(self.now_ms, whom, has_a_way, leading);
        self.blame(found);
    }

    /// Whether all coordinators run and reach each other, and whether one leads.
    pub(crate) fn led(&mut self, whole: bool, led: bool) {
        let found = self.leaderless.look(self.now_ms, whole, led);
        self.blame(found);
    }

    /// What time it is by a leader, and how old it holds each run to be. Only where no coordinator's
    /// clock was set.
    pub(crate) fn ages(
        &mut self,
        seen: &Observed,
        now: Timestamp,
        believed: impl Fn(&HostId) -> bool,
    ) {
        let found = self.time.planned(now, self.now_ms);
        self.blame(found);
        let found = self.births.planned(seen, now, self.now_ms, believed);
        self.blame(found);
    }

    /// An agent obeys this fence now.
    pub(crate) fn obeyed(&mut self, whom: &str, fence: &Fence) {
        let found = self.fences.obeyed(whom, fence);
        self.blame(found);
    }

    /// A client was told that its request was done.
    pub(crate) fn acknowledged(&mut self, request: &str) {
        self.tally.add("acknowledged");
        let found = self.log.acknowledged(request);
        self.blame(found);
    }

    /// A coordinator ended by itself, `full` is whether its disk refused the log.
    pub(crate) fn ended(&mut self, whom: &str, full: bool, why: &str) {
        self.tally.add("ended_by_themselves");
        self.blame(disk::ended(whom, full, why));
    }

    /// The log of a coordinator reaches from here to there.
    pub(crate) fn log_on_disk(&mut self, whom: &str, purged: u64, last: u64) {
        let found = self.bounds.log(whom, purged, last);
        self.blame(found);
    }

    /// The files of these instances cannot be understood from now on.
    pub(crate) fn hurt(&mut self, now_ms: u64, instances: BTreeSet<InstanceId>) {
        self.configs.hurt(now_ms, instances);
    }

    /// Looks at a state in which nothing more happens, of each coordinator.
    pub(crate) fn settled(&mut self, whom: &str, state: &ClusterState) {
        let found = self.log.is_whole(whom, state.last_index());
        self.blame(found);
        self.compare(whom, state.last_index(), state);
    }
}
