//! What has to change in the replicated state so that it says what the configuration says. Reading
//! the configuration is the shell's; what a change leads to is [`crate::plan`]'s.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    id::{AppId, InstanceId, ServiceName},
    overcommit::Pools,
    problem::Problem,
    spec::InstanceSpec,
    time::Timestamp,
};

mod absence;
mod cause;
pub mod rest;
mod settings;
mod versions;

pub use absence::{is_due, overdue};
pub use settings::settings;
pub use versions::versions;

pub use crate::state::absence::Removal;

use crate::state::{
    ClusterState,
    command::{Command, Extent, SetInstance, SetPools, SetProblems},
    departed::RemovalGuard,
    instance::Instance,
    problems::{PROBLEMS_MAX, ProblemScope},
};

/// The configuration of a cluster as it was read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Every declared instance of the services that could be read.
    pub instances: BTreeMap<InstanceId, Declared>,
    /// Services of which it is not known what they declare: what is known of them stays (I10).
    pub incomplete: BTreeSet<ServiceName>,
    /// Those of them that were not read at all, as they were being changed: what was said of their
    /// problems stays as well.
    pub unread: BTreeSet<ServiceName>,
    /// The operator's word on the pools.
    pub pools: Pools,
    /// The apps of those that the cluster's settings of before would make another app: what differs
    /// by the settings alone is told from other changes by it.
    pub under_before: BTreeMap<InstanceId, AppId>,
    /// The deploy group of each: whose tags say which version it runs.
    pub deploy_groups: BTreeMap<InstanceId, String>,
    /// What is wrong with the files of a service as a whole.
    pub problems: BTreeMap<ServiceName, Vec<Problem>>,
}

impl Reading {
    /// Leaves out what was read of a service, as it was being changed.
    pub fn leave_out(&mut self, service: &ServiceName) {
        self.instances.retain(|id, _| id.service != *service);
        self.deploy_groups.retain(|id, _| id.service != *service);
        self.problems.remove(service);
        self.incomplete.insert(service.clone());
        self.unread.insert(service.clone());
    }
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

/// How removals are done, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removing {
    /// The Raft term of the leader that reads.
    pub leadership: u64,
    /// Its time: that of its clock when it began to lead, and what has passed since.
    pub now: Timestamp,
    /// How long an instance must be absent from the readings before it is removed, in milliseconds.
    pub patience_ms: u64,
    /// When removals are too many.
    pub guard: RemovalGuard,
}

/// The commands that make the state say what was read; none when it does already, or when time has
/// to pass first. The removal of instances is one command, and the last one: it may be refused as a
/// whole. A change of configuration that touches more than `at_once` instances is one of many.
pub fn changes(
    state: &ClusterState,
    reading: &Reading,
    removing: &Removing,
    at_once: usize,
) -> Vec<Command> {
    let many = count_config_only(state, reading) > at_once;
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
                extent: extent(reading, (id, &spec), known, many),
                spec,
                cause,
            }));
        }
    }
    commands.extend(absence::changes(state, &removals(state, reading), removing));
    commands
}

/// Whether the instance bounces, and not to another version or by a restart.
fn is_config_only(known: &Instance, spec: &InstanceSpec) -> bool {
    known.declared
        && known.spec.app_id != spec.app_id
        && known.spec.app.git_sha == spec.app.git_sha
        && known.spec.force_bounce == spec.force_bounce
        && known.spec.desired_state == spec.desired_state
}

fn count_config_only(state: &ClusterState, reading: &Reading) -> usize {
    let config_only = |(id, declared): (&InstanceId, &Declared)| match declared {
        Declared::Spec(spec) => state
            .instance(id)
            .is_some_and(|known| is_config_only(known, spec)),
        _ => false,
    };
    reading
        .instances
        .iter()
        .filter(|one| config_only(*one))
        .count()
}

fn extent(
    reading: &Reading,
    (id, spec): (&InstanceId, &InstanceSpec),
    known: Option<&Instance>,
    many: bool,
) -> Extent {
    let Some(known) = known.filter(|known| is_config_only(known, spec)) else {
        return Extent::Own;
    };
    match reading.under_before.get(id) == Some(&known.spec.app_id) {
        true => Extent::Settings,
        false if many => Extent::Many,
        false => Extent::Own,
    }
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
        let kept = match scope {
            ProblemScope::Instance(id) => reading.incomplete.contains(&id.service),
            ProblemScope::Service(service) => reading.unread.contains(service),
        };
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
