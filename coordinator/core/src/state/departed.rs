//! Instances that were removed: what comes back within a day comes back as it was, and how many
//! went lately decides whether more may go.

use std::collections::BTreeMap;

use paasta_common::{id::AppId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{App, ClusterState, instance::Instance};

/// For how long a removed instance is remembered, in milliseconds: a day.
pub const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1_000;
/// Of how many removed instances the records are kept; of the oldest beyond it only the time is.
pub const RECORDS_MAX: usize = 1_000;
/// How many removed instances are remembered at all.
pub const DEPARTED_MAX: usize = 20_000;
/// A removal counts as if it had taken this long at least, in milliseconds.
const SPAN_MIN_MS: u64 = 60_000;

/// A removed instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// When it was removed.
    pub at: Timestamp,
    /// Whether it counts for the guard: what an operator removed by force does not.
    pub counted: bool,
    /// What was known of it; none while its last replicas leave, and when it is long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<Remembered>>,
}

/// What is kept of a removed instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its record.
    pub instance: Instance,
    /// The apps that the record refers to.
    pub apps: BTreeMap<AppId, App>,
}

/// When removals are too many to be meant. All three must hold for them to be held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovalGuard {
    /// More than this percentage of what was declared within the window would be gone.
    pub percent: u32,
    /// What counts together, in milliseconds.
    pub window_ms: u64,
    /// At least so many a minute went or would go, in thousandths.
    pub per_minute_milli: u32,
}

impl Default for RemovalGuard {
    fn default() -> Self {
        Self {
            percent: 50,
            window_ms: 60 * 60 * 1_000,
            per_minute_milli: 100,
        }
    }
}

/// Removals that the guard holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Since when.
    pub since: Timestamp,
    /// How many would be removed within the window, those that are gone already included.
    pub removed: u32,
    /// Of how many.
    pub total: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
}

impl RemovalGuard {
    /// Whether it holds back what is absent at `at`.
    pub fn holds_back(&self, state: &ClusterState, at: Timestamp) -> bool {
        let pending = state.instances().filter(|(_, one)| one.absence.is_some());
        self.refuses(state, at, pending.count()).is_some()
    }

    /// Whether it holds back the removal of `pending` more instances at `at`: how many that would
    /// be within the window, and of how many.
    pub(super) fn refuses(
        &self,
        state: &ClusterState,
        at: Timestamp,
        pending: usize,
    ) -> Option<(u32, u32)> {
        if pending == 0 {
            return None;
        }
        let departed = state.tables.departed.values().filter(|one| one.counted);
        let mut ages: Vec<u64> = departed.map(|one| at.since_ms(one.at)).collect();
        ages.retain(|age| *age <= self.window_ms);
        ages.sort_unstable();
        let declared = state.instances().filter(|(_, one)| one.declared).count();
        let total = (declared + ages.len()) as u64;
        // Each group that ends now, from the smallest: one that went long before the others must
        // not make them slow.
        let groups = (0..=ages.len()).map(|more| {
            let span = more.checked_sub(1).map_or(0, |last| ages[last]);
            ((pending + more) as u64, span.max(SPAN_MIN_MS))
        });
        let (removed, _) = groups.into_iter().rfind(|(removed, span)| {
            let most = removed * 100 > u64::from(self.percent) * total;
            most && removed * SPAN_MIN_MS * 1_000 >= u64::from(self.per_minute_milli) * span
        })?;
        let bounded = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Some((bounded(removed), bounded(total)))
    }
}

impl ClusterState {
    /// The removed instances that are remembered.
    pub fn departed(&self) -> &BTreeMap<paasta_common::id::InstanceId, Departed> {
        &self.tables.departed
    }

    /// The removals that the guard holds back now.
    pub fn held_back(&self) -> Option<&HeldBack> {
        self.tables.held_back.as_ref()
    }

    /// Forgets what departed long ago, and what is beyond the bounds, the oldest first.
    pub(super) fn bound_departed(&mut self, at: Timestamp) {
        let departed = &mut self.tables.departed;
        departed.retain(|_, one| at.since_ms(one.at) < REMEMBERED_MS);
        let mut by_age: Vec<(Timestamp, _)> = departed
            .iter()
            .map(|(id, one)| (one.at, id.clone()))
            .collect();
        by_age.sort();
        let beyond = by_age.len().saturating_sub(DEPARTED_MAX);
        for (_, id) in by_age.drain(..beyond) {
            departed.remove(&id);
        }
        let kept = |id: &_| departed.get(id).is_some_and(|one| one.record.is_some());
        let with_record: Vec<_> = by_age.into_iter().filter(|(_, id)| kept(id)).collect();
        let beyond = with_record.len().saturating_sub(RECORDS_MAX);
        for (_, id) in with_record.into_iter().take(beyond) {
            if let Some(one) = departed.get_mut(&id) {
                one.record = None;
            }
        }
    }
}
