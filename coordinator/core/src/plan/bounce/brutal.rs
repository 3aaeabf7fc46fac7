//! New and old change places at once; downtime is accepted.

use super::{Decision, Input};

pub(super) fn decide<T: Clone + Ord>(input: &Input<T>) -> Decision<T> {
    Decision {
        create_app: !input.new_app_running,
        tasks_to_drain: input.old(),
    }
}
