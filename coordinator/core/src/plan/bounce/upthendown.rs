//! The old app leaves, all at once, when the new one is wholly happy. A new version that never is
//! leaves the old one untouched.

use super::{Decision, Input};

pub(super) fn decide<T: Clone + Ord>(input: &Input<T>) -> Decision<T> {
    // Equality, as PaaSTA has it: surplus new replicas are trimmed before this is asked.
    let wholly_happy = input.new_app_running && input.happy_new.len() == input.instances as usize;
    match wholly_happy {
        true => Decision {
            create_app: false,
            tasks_to_drain: input.old(),
        },
        false => Decision {
            create_app: !input.new_app_running,
            tasks_to_drain: Vec::new(),
        },
    }
}
