//! What has to change in the replicated state so that it says what the configuration says. Reading
//! the configuration is the shell's; what a change leads to is [`crate::plan`]'s.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    id::{InstanceId, ServiceName},
    problem::Problem,
    spec::InstanceSpec,
};

use crate::state::{
    ClusterState,
    command::{Command, RemoveInstances, SetInstance, SetProblems},
    problems::{PROBLEMS_MAX, ProblemScope},
};

/// The configuration of a cluster as it was read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Every declared instance of the services that could be read.
    pub instances: BTreeMap<InstanceId, Declared>,
    /// Services of which it is not known what they declare: what is known of them stays (I10).
    pub incomplete: BTreeSet<ServiceName>,
    /// What is wrong with the files of a service as a whole.
    pub problems: BTreeMap<ServiceName, Vec<Problem>>,
}

/// One declared instance.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// What it should be; none when that cannot be told, and then the last good one stays.
    pub spec: Option<InstanceSpec>,
    /// What is wrong with it, and warnings.
    pub problems: Vec<Problem>,
}

/// The commands that make the state say what was read; none when it does already. The removal of
/// instances is one command, and the last one: it may be refused as a whole.
pub fn changes(state: &ClusterState, reading: &Reading) -> Vec<Command> {
    let mut commands = problems(state, reading);
    for (id, declared) in &reading.instances {
        let Some(spec) = &declared.spec else { continue };
        let known = state.instance(id);
        if known.is_none_or(|known| !known.declared || known.spec != *spec) {
            let spec = Box::new(spec.clone());
            commands.push(Command::SetInstance(SetInstance {
                id: id.clone(),
                spec,
            }));
        }
    }
    let gone = |id: &InstanceId| {
        !reading.instances.contains_key(id) && !reading.incomplete.contains(&id.service)
    };
    let ids: BTreeSet<InstanceId> = state
        .instances()
        .filter(|(id, known)| known.declared && gone(id))
        .map(|(id, _)| id.clone())
        .collect();
    if !ids.is_empty() {
        commands.push(Command::RemoveInstances(RemoveInstances {
            ids,
            force: false,
        }));
    }
    commands
}

fn problems(state: &ClusterState, reading: &Reading) -> Vec<Command> {
    let mut wanted: BTreeMap<ProblemScope, &[Problem]> = BTreeMap::new();
    for (service, problems) in &reading.problems {
        wanted.insert(ProblemScope::Service(service.clone()), problems);
    }
    for (id, declared) in &reading.instances {
        wanted.insert(ProblemScope::Instance(id.clone()), &declared.problems);
    }
    let known = state.problems();
    for scope in known.keys() {
        // Of a service that could not be read, an instance's own problems are not known either.
        let kept =
            matches!(scope, ProblemScope::Instance(id) if reading.incomplete.contains(&id.service));
        if !kept {
            wanted.entry(scope.clone()).or_default();
        }
    }
    let differs = |scope: &ProblemScope, problems: &[Problem]| {
        let first = &problems[..problems.len().min(PROBLEMS_MAX)];
        known.get(scope).map_or(&[][..], Vec::as_slice) != first
    };
    wanted
        .into_iter()
        .filter(|(scope, problems)| differs(scope, problems))
        .map(|(scope, problems)| {
            let problems = problems.iter().take(PROBLEMS_MAX).cloned().collect();
            Command::SetProblems(SetProblems { scope, problems })
        })
        .collect()
}

#[cfg(test)]
mod tests;
