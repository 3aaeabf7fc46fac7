//! What every part of a step looks at, and what it adds to.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    assignment::{AssignedReplica, Assignment},
    backoff::{Backoff, CHANCE_UNIT},
    id::ReplicaId,
    report::{EndCause, RunEnd, Trouble},
    time::Timestamp,
};

use crate::{
    actions::Actions,
    images::Refetches,
    observed::{LocalImage, Observed, Seen},
    scatter::scatter,
    settings::HostSettings,
    state::{Record, Stage, Then, Topic},
};

/// So many failures in a row, without a healthy period between them, are a crash loop.
const CRASH_LOOP_FAILURES: u32 = 5;

/// Nothing in it changes within a step.
pub(super) struct World<'a> {
    pub(super) assignment: Option<&'a Assignment>,
    pub(super) settings: &'a HostSettings,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
}

/// What grows within a step.
pub(super) struct Turn {
    /// Images that are there.
    pub(super) ready: BTreeMap<String, LocalImage>,
    /// Images whose last fetch failed.
    pub(super) refetches: Refetches,
    /// Images asked for in this step.
    pub(super) pulls: BTreeSet<String>,
    /// Ports that are taken.
    pub(super) taken: BTreeSet<u16>,
    pub(super) actions: Actions,
}

impl<'a> World<'a> {
    pub(super) fn assigned(&self, id: ReplicaId) -> Option<&'a AssignedReplica> {
        self.assignment?.replicas.get(&id)
    }

    /// Containers of this cluster and this host, by their labels.
    pub(super) fn ours(&self) -> impl Iterator<Item = &'a Seen> {
        let listing = self.observed.listing.iter();
        listing
            .flat_map(|listing| listing.containers())
            .filter(|seen| self.is_ours(seen))
    }

    fn is_ours(&self, seen: &Seen) -> bool {
        let cluster = self.assignment.map(|held| held.fence.cluster_id.as_str());
        Some(seen.cluster_id.as_str()) == cluster && seen.host.as_ref() == Some(&self.settings.host)
    }

    /// The container of the replica's present run, as listed.
    pub(super) fn seen(&self, id: ReplicaId, record: &Record) -> Option<&'a Seen> {
        let listing = self.observed.listing.as_ref()?;
        let mut found = listing.of_run(id, record.run);
        found.find(|seen| self.is_ours(seen))
    }

    /// Whether the listing was asked for after the last operation on the replica had ended: only
    /// then does it mean something that a container is missing from it.
    pub(super) fn listing_is_newer_than(&self, record: &Record) -> bool {
        let listing = self.observed.listing.as_ref();
        listing.is_some_and(|listing| listing.after_step >= record.live.settled)
    }

    /// The present run has failed: its container goes, and after a while the next one comes.
    pub(super) fn fail_run(
        &self,
        id: ReplicaId,
        record: &mut Record,
        cause: EndCause,
        words: impl Into<String>,
    ) {
        self.fail_run_at(id, record, (cause, words), self.now);
    }

    /// The same of a run that ended a while ago: the delay counts from then.
    pub(super) fn fail_run_at(
        &self,
        id: ReplicaId,
        record: &mut Record,
        (cause, words): (EndCause, impl Into<String>),
        at: Timestamp,
    ) {
        let host_port = match &record.stage {
            Stage::Starting { host_port, .. } | Stage::Running { host_port, .. } => *host_port,
            _ => None,
        };
        record.say(Topic::End, words);
        let then = match self.count_failure(id, record, at) {
            Some(until) => Then::Retry { until },
            None => Then::Gone,
        };
        self.end(record, host_port, then, cause);
    }

    /// A run could not even begin: no port.
    pub(super) fn fail_start(&self, id: ReplicaId, record: &mut Record, cause: impl Into<String>) {
        record.say(Topic::Port, cause);
        let until = self.count_failure(id, record, self.now);
        record.stage = Stage::Waiting { until };
    }

    pub(super) fn end(
        &self,
        record: &mut Record,
        host_port: Option<u16>,
        then: Then,
        cause: EndCause,
    ) {
        match cause {
            EndCause::Unhealthy => record.troubles.add(Trouble::Unhealthy, 1),
            EndCause::OverDisk { .. } => record.troubles.add(Trouble::OverDisk, 1),
            EndCause::NotStarted => record.troubles.add(Trouble::NotStarted, 1),
            EndCause::Removed => record.troubles.add(Trouble::Removed, 1),
            // For what, shows when its remains are looked at.
            EndCause::Exited | EndCause::Stopped | EndCause::Unrecognized(_) => {}
        }
        record.last_end = Some(RunEnd {
            run: record.run,
            at: self.now,
            cause,
            exit_code: None,
            signal: None,
            out_of_memory: false,
            memory_kills: 0,
            last_words: String::new(),
        });
        record.stage = Stage::Ending { host_port, then };
        record.drain = None;
        record.live = crate::state::Live {
            settled: self.observed.step,
            ..crate::state::Live::default()
        };
    }

    fn count_failure(
        &self,
        id: ReplicaId,
        record: &mut Record,
        at: Timestamp,
    ) -> Option<Timestamp> {
        record.failures = record.failures.saturating_add(1);
        if record.failures == CRASH_LOOP_FAILURES {
            record.troubles.add(Trouble::CrashLoop, 1);
        }
        let replica = self.assigned(id)?;
        let backoff = Backoff::of(&replica.spec, replica.run.backoff_base_ms);
        let chance = scatter(id.0 ^ self.observed.chance) % (CHANCE_UNIT + 1);
        Some(at.after_ms(backoff.delay_ms(record.failures, chance)))
    }
}
