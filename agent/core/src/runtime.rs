//! Whether the container engine can be worked with: what its lists and the operations on
//! containers come to.

use std::collections::BTreeMap;

use paasta_common::{
    report::{HostPart, Runtime},
    time::Timestamp,
};

use crate::actions::Lane;

/// Lists that fail in a row until the runtime counts as degraded.
pub const LISTS_MAX: u32 = 3;
/// Lanes without an answer, and no lane with one since, until the runtime counts as degraded. A
/// single container that is stuck says nothing of the engine.
pub const SILENT_LANES_MAX: usize = 3;
/// How long an operation without an answer counts, milliseconds: when nothing more is tried
/// nothing more is learnt.
pub const SILENCE_COUNTS_MS: u64 = 120_000;

/// Judges the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judge {
    lists_failed: u32,
    list_words: String,
    /// The operations without an answer since the last one with one.
    silent: BTreeMap<Lane, (Timestamp, String)>,
    since: Option<Timestamp>,
}

impl Judge {
    /// A list came.
    pub fn listed(&mut self) {
        self.lists_failed = 0;
    }

    /// No list came.
    pub fn list_failed(&mut self, words: String) {
        self.lists_failed = self.lists_failed.saturating_add(1);
        self.list_words = words;
    }

    /// An operation got an answer, be it a refusal.
    pub fn answered(&mut self) {
        self.silent.clear();
    }

    /// An operation got none in time.
    pub fn silent(&mut self, lane: Lane, words: String, now: Timestamp) {
        self.silent.insert(lane, (now, words));
    }

    /// Whether nothing more is asked of the engine for now but lists, which tell when it is back.
    /// Operations that get no answer are no reason: only by trying is it known whether they do.
    pub fn rests(&self) -> bool {
        self.lists_failed >= LISTS_MAX
    }

    /// The verdict.
    pub fn runtime(&mut self, now: Timestamp) -> Runtime {
        self.silent
            .retain(|_, (at, _)| now.since_ms(*at) < SILENCE_COUNTS_MS);
        let reason = if self.rests() {
            format!("listing containers fails: {}", self.list_words)
        } else if self.silent.len() >= SILENT_LANES_MAX {
            let last = self.silent.values().max_by_key(|(at, _)| *at);
            let words = last.map_or("", |(_, words)| words.as_str());
            let count = self.silent.len();
            format!("operations on {count} containers get no answer: {words}")
        } else {
            self.since = None;
            return Runtime::Ok;
        };
        let since = *self.since.get_or_insert(now);
        Runtime::Degraded {
            reason,
            since,
            part: HostPart::Runtime,
        }
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::id::ReplicaId;

    use super::*;

    fn lane(id: u64) -> Lane {
        Lane::Replica(ReplicaId(id))
    }

    fn degraded(since: u64, reason: &str) -> Runtime {
        Runtime::Degraded {
            reason: reason.to_owned(),
            since: Timestamp(since),
            part: HostPart::Runtime,
        }
    }

    #[test]
    fn lists_that_fail_in_a_row_degrade_it_and_one_that_comes_mends_it() {
        let mut judge = Judge::default();
        for at in 1..LISTS_MAX {
            judge.list_failed("nothing within 5s".to_owned());
            assert_eq!(judge.runtime(Timestamp(u64::from(at))), Runtime::Ok);
        }
        judge.listed();
        for _ in 0..LISTS_MAX {
            judge.list_failed("nothing within 5s".to_owned());
        }
        assert!(judge.rests());
        let words = "listing containers fails: nothing within 5s";
        assert_eq!(judge.runtime(Timestamp(7)), degraded(7, words));
        judge.list_failed("garbage".to_owned());
        let words = "listing containers fails: garbage";
        assert_eq!(judge.runtime(Timestamp(9)), degraded(7, words));
        judge.listed();
        assert!(!judge.rests());
        assert_eq!(judge.runtime(Timestamp(10)), Runtime::Ok);
    }

    #[test]
    fn one_stuck_container_is_no_sick_engine_and_several_are_until_one_answers() {
        let mut judge = Judge::default();
        for at in 0..10 {
            judge.silent(lane(1), "nothing".to_owned(), Timestamp(at));
            judge.silent(lane(2), "nothing".to_owned(), Timestamp(at));
        }
        assert_eq!(judge.runtime(Timestamp(10)), Runtime::Ok);
        judge.silent(lane(3), "nothing within 60s".to_owned(), Timestamp(11));
        let words = "operations on 3 containers get no answer: nothing within 60s";
        assert_eq!(judge.runtime(Timestamp(12)), degraded(12, words));
        assert!(!judge.rests(), "it goes on trying");
        judge.answered();
        assert_eq!(judge.runtime(Timestamp(13)), Runtime::Ok);
    }

    #[test]
    fn silence_is_forgotten_when_nothing_is_tried_any_more() {
        let mut judge = Judge::default();
        for id in 1..=3 {
            judge.silent(lane(id), "nothing".to_owned(), Timestamp(id));
        }
        assert!(matches!(
            judge.runtime(Timestamp(4)),
            Runtime::Degraded { .. }
        ));
        assert_eq!(judge.runtime(Timestamp(SILENCE_COUNTS_MS + 1)), Runtime::Ok);
    }
}
