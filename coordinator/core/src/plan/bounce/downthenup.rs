//! The old app is gone before the new one starts: never two versions at once, and so always a gap.

use super::{Decision, Input};

pub(super) fn decide<T: Clone + Ord>(input: &Input<T>) -> Decision<T> {
    let old = input.old();
    Decision {
        create_app: old.is_empty() && !input.new_app_running,
        tasks_to_drain: old,
    }
}
