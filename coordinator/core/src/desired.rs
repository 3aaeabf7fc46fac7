//! What has to change in the replicated state so that it says what the configuration says. Reading
//! the configuration is the shell's; what a change leads to is [`crate::plan`]'s.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    id::{InstanceId, ServiceName},
    overcommit::Pools,
    problem::Problem,
    spec::InstanceSpec,
};

mod cause;
mod versions;

pub use versions::versions;

use crate::state::{
    ClusterState,
    command::{Command, RemoveInstances, SetInstance, SetPools, SetProblems},
    problems::{PROBLEMS_MAX, ProblemScope},
};

/// The configuration of a cluster as it was read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Every declared instance of the services that could be read.
    pub instances: BTreeMap<InstanceId, Declared>,
    /// Services of which it is not known what they declare: what is known of them stays (I10).
    pub incomplete: BTreeSet<ServiceName>,
    /// The operator's word on the pools.
    pub pools: Pools,
    /// The deploy group of each: whose tags say which version it runs.
    pub deploy_groups: BTreeMap<InstanceId, String>,
    /// What is wrong with the files of a service as a whole.
    pub problems: BTreeMap<ServiceName, Vec<Problem>>,
}

/// One declared instance: what is known of what it should be.
#[derive(Debug, Clone)]
pub enum Declared {
    /// It should be this.
    Spec(Box<InstanceSpec>),
    /// That cannot be told: the last good state stays (I10).
    Broken {
        /// Why, unless that is said of the whole service.
        problems: Vec<Problem>,
    },
    /// Nothing is deployed for it. If something was, its deploy ref was taken away: it goes the way
    /// of what is no longer declared.
    NotDeployed {
        /// How to deploy it.
        problem: Problem,
    },
}

impl Declared {
    /// What is wrong with it, and warnings.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Spec(_) => &[],
            Self::Broken { problems } => problems,
            Self::NotDeployed { problem } => std::slice::from_ref(problem),
        }
    }
}

/// Why an instance is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is not declared any more.
    Undeclared,
    /// It is declared, and no version is deployed for it any more.
    Undeployed,
}

impl Removal {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::Undeployed => "undeployed",
        }
    }
}

/// The commands that make the state say what was read; none when it does already. The removal of
/// instances is one command, and the last one: it may be refused as a whole.
pub fn changes(state: &ClusterState, reading: &Reading) -> Vec<Command> {
    let mut commands = problems(state, reading);
    if *state.pools() != reading.pools {
        let pools = reading.pools.clone();
        commands.push(Command::SetPools(SetPools { pools }));
    }
    for (id, declared) in &reading.instances {
        let Declared::Spec(spec) = declared else {
            continue;
        };
        let known = state.instance(id);
        if known.is_none_or(|known| !known.declared || known.spec != **spec) {
            let spec = spec.clone();
            let cause = cause::cause(state, reading, id, &spec);
            commands.push(Command::SetInstance(SetInstance {
                id: id.clone(),
                spec,
                cause,
            }));
        }
    }
    let ids: BTreeSet<InstanceId> = removals(state, reading).into_keys().collect();
    if !ids.is_empty() {
        commands.push(Command::RemoveInstances(RemoveInstances {
            ids,
            force: false,
        }));
    }
    commands
}

/// The instances that are recorded as declared and that the reading removes.
pub fn removals(state: &ClusterState, reading: &Reading) -> BTreeMap<InstanceId, Removal> {
    let removal = |id: &InstanceId| match reading.instances.get(id) {
        Some(Declared::Spec(_) | Declared::Broken { .. }) => None,
        Some(Declared::NotDeployed { .. }) => Some(Removal::Undeployed),
        None if reading.incomplete.contains(&id.service) => None,
        None => Some(Removal::Undeclared),
    };
    let declared = state.instances().filter(|(_, known)| known.declared);
    declared
        .filter_map(|(id, _)| Some((id.clone(), removal(id)?)))
        .collect()
}

fn problems(state: &ClusterState, reading: &Reading) -> Vec<Command> {
    let mut wanted: BTreeMap<ProblemScope, &[Problem]> = BTreeMap::new();
    for (service, problems) in &reading.problems {
        wanted.insert(ProblemScope::Service(service.clone()), problems);
    }
    for (id, declared) in &reading.instances {
        wanted.insert(ProblemScope::Instance(id.clone()), declared.problems());
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
