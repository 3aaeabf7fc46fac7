//! Everything old goes and nothing new comes: how an instance that is no longer declared leaves.

use super::{Decision, Input};

pub(super) fn decide<T: Clone + Ord>(input: &Input<T>) -> Decision<T> {
    Decision {
        create_app: false,
        tasks_to_drain: input.old(),
    }
}
