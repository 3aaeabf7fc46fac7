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

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::problem::{Rule, Severity};

    use crate::{
        build::{Cluster, main_instance},
        state::command::Command,
    };

    fn problem(line: u32) -> Problem {
        Problem {
            file: "hello/marathon-demo.yaml".to_owned(),
            line: Some(line),
            column: None,
            field: "main.mem".to_owned(),
            message: "expected a number".to_owned(),
            severity: Severity::Error,
            rule: Rule::Type,
        }
    }

    #[test]
    fn problems_are_replaced_bounded_and_cleared() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        let set = |scope: &ProblemScope, lines: std::ops::Range<u32>| {
            let problems = lines.map(problem).collect();
            Command::SetProblems(SetProblems {
                scope: scope.clone(),
                problems,
            })
        };
        let service = ProblemScope::Service(id.service.clone());
        let instance = ProblemScope::Instance(id.clone());
        cluster.must(set(&service, 1..3));
        cluster.must(set(&instance, 1..200));
        assert_eq!(cluster.state.problems_of(&id).count(), 2 + PROBLEMS_MAX);
        assert_eq!(cluster.apply(set(&service, 1..3)), Outcome::Unchanged);
        cluster.must(set(&instance, 0..0));
        cluster.must(set(&service, 0..0));
        assert!(cluster.state.problems().is_empty());
        let last = cluster.state.events().next_back().unwrap();
        assert_eq!(
            (last.subject.to_string().as_str(), last.text.as_str()),
            ("hello", "no more problems")
        );
    }
}
