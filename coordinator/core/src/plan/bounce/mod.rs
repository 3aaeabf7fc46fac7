//! The bounce methods of PaaSTA as pure functions over task ids: the planner and the dry run of the
//! CLI decide by the same code. What is done with a decision, and when a bounce is over, is
//! `plan::reconcile`.

mod brutal;
mod crossover;
mod down;
mod downthenup;
pub mod dry_run;
mod upthendown;

use paasta_common::spec::{BounceMethod, Margin};

/// What a bounce method looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<T> {
    /// How many replicas of the new app are wanted.
    pub instances: u32,
    /// Whether the new app exists.
    pub new_app_running: bool,
    /// The happy tasks of the new app.
    pub happy_new: Vec<T>,
    /// The happy tasks of old apps that are not draining, the ones to keep longest first.
    pub old_happy: Vec<T>,
    /// The unhappy ones.
    pub old_unhappy: Vec<T>,
    /// The ones on hosts that are being drained.
    pub old_at_risk: Vec<T>,
    /// The fraction of the instances that crossover protects.
    pub margin: Margin,
}

/// What a bounce method says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<T> {
    /// Whether the new app must be created.
    pub create_app: bool,
    /// The old tasks that leave now, in the order of the input.
    pub tasks_to_drain: Vec<T>,
}

impl<T: Clone + Ord> Input<T> {
    /// The old tasks, the ones to keep longest first: happy, then unhappy, then at risk.
    fn old(&self) -> Vec<T> {
        let classes = [&self.old_happy, &self.old_unhappy, &self.old_at_risk];
        classes.into_iter().flatten().cloned().collect()
    }
}

/// Decides one step of a bounce.
#[must_use]
pub fn decide<T: Clone + Ord>(method: BounceMethod, input: &Input<T>) -> Decision<T> {
    match method {
        BounceMethod::Brutal => brutal::decide(input),
        BounceMethod::UpThenDown => upthendown::decide(input),
        BounceMethod::Crossover => crossover::decide(input),
        BounceMethod::DownThenUp => downthenup::decide(input),
        BounceMethod::Down => down::decide(input),
    }
}

#[cfg(test)]
mod tests;
