//! Each happy new replica lets one old replica go. Where there is no room to spare, a margin under
//! one lets the old ones make room first.

use super::{Decision, Input};

pub(super) fn decide<T: Clone + Ord>(input: &Input<T>) -> Decision<T> {
    let protected = input.margin.of(input.instances) as usize;
    let needed = protected.saturating_sub(input.happy_new.len());
    Decision {
        create_app: !input.new_app_running,
        tasks_to_drain: input.old().into_iter().skip(needed).collect(),
    }
}
