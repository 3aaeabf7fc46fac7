//! I12, replayable: the same state, observations and time make the same plan, byte for byte, and
//! the same log makes the same state.

use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed, plan},
    state::ClusterState,
};

use super::Violation;

/// A leader made this plan; making it again must come to the same.
pub fn same_plan(
    state: &ClusterState,
    seen: &Observed,
    now: Timestamp,
    made: &Plan,
) -> Option<Violation> {
    let again = plan(state, seen, now);
    let bytes = |plan: &Plan| serde_json::to_string(&(&plan.commands, plan.wake_at));
    match (bytes(made), bytes(&again)) {
        (Ok(made), Ok(again)) if made == again => None,
        (made, again) => {
            let what = format!("planned {made:?} and then {again:?} from the same");
            Some(Violation::new("I12", what))
        }
    }
}

/// Two coordinators at the same index.
pub fn same_state(
    whom: &str,
    index: u64,
    known: &ClusterState,
    state: &ClusterState,
) -> Option<Violation> {
    (known != state).then(|| {
        let what = format!("{whom} has another state at index {index} than the first one there");
        Violation::new("I12", what)
    })
}
