//! I9, bounded: what the state says of itself, and the log on disk.

use paasta_coordinator_core::state::{ClusterState, invariants};

use super::Violation;

/// What may lie between the snapshot's end and its becoming known, in records: proposals go on
/// while a snapshot is made.
const SLACK: u64 = 150;

/// The bounds of a coordinator's log.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records between two snapshots.
    pub snapshot_every: u64,
    /// Records kept behind a snapshot.
    pub keep_log: u64,
}

impl Bounds {
    /// A log reaches from one index to another.
    pub fn log(&self, whom: &str, purged: u64, last: u64) -> Option<Violation> {
        let kept = last.saturating_sub(purged);
        let most = 2 * self.snapshot_every + self.keep_log + SLACK;
        (kept > most).then(|| {
            let what = format!("{whom} keeps {kept} records, at most {most} may be");
            Violation::new("I9", what)
        })
    }
}

/// The state's own account of what must hold of it; the invariant is the one it names.
pub fn state(state: &ClusterState) -> Vec<Violation> {
    let found = invariants::check(state).into_iter();
    found
        .map(|found| Violation::new(found.invariant, found.what))
        .collect()
}
