//! The configuration problems of a service or instance, complete: none clears them.

use paasta_common::problem::Problem;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::Outcome,
    problems::{PROBLEMS_MAX, ProblemScope},
};

/// The configuration problems of a service or instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetProblems {
    /// What they are about.
    pub scope: ProblemScope,
    /// The problems; the first [`PROBLEMS_MAX`] are kept.
    pub problems: Vec<Problem>,
}

impl SetProblems {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let kept: Vec<Problem> = self.problems.iter().take(PROBLEMS_MAX).cloned().collect();
        let before = state
            .tables
            .problems
            .get(&self.scope)
            .map_or(&[][..], Vec::as_slice);
        if before == kept {
            return Outcome::Unchanged;
        }
        let text = match kept.first() {
            None => "no more problems".to_owned(),
            Some(first) if kept.len() == 1 => first.to_string(),
            Some(first) => format!("{first} (and {} more)", kept.len() - 1),
        };
        match kept.is_empty() {
            true => state.tables.problems.remove(&self.scope),
            false => state.tables.problems.insert(self.scope.clone(), kept),
        };
        let subject = Subject::Config(self.scope.to_string());
        state.note(context, EventKind::Config, subject, text);
        Outcome::Applied
    }
}
