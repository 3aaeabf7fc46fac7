//! Reads a soa directory into a [`Reading`]: declared instances, deployed versions, faults. Blocks
//! on the disk. Where git is followed, what it said last counts, and deployments.json only for a
//! service of which it has not said anything yet. What the reading changes is decided in
//! `paasta_coordinator_core::desired`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use paasta_common::{
    config::SystemConfig,
    deployments::Deployments,
    id::{ClusterName, InstanceId, ServiceName},
    problem::{Problem, Rule, Severity},
    soa::{InstanceConfig, SoaDir, SoaError, resolve},
};
use paasta_coordinator_core::{
    desired::{Declared, Reading},
    state::versions::Versions,
};

/// Reads everything that is declared for `cluster`.
///
/// # Errors
/// [`SoaError`] when the directory as a whole cannot be read: then nothing is known, and nothing
/// changes. Any smaller fault is in the reading, with whom it concerns.
pub(super) fn read(
    dir: &Path,
    cluster: &ClusterName,
    system: &SystemConfig,
    versions: Option<&BTreeMap<ServiceName, Arc<Versions>>>,
) -> Result<Reading, SoaError> {
    let soa = SoaDir::open(dir)?;
    let listed = soa.services()?;
    read_listed(&soa, &listed, cluster, system, versions)
}

/// Reads these services. One that is not there any more at the end may have been half gone when it
/// was read: nothing is taken for removed on the word of it.
fn read_listed(
    soa: &SoaDir,
    listed: &[ServiceName],
    cluster: &ClusterName,
    system: &SystemConfig,
    versions: Option<&BTreeMap<ServiceName, Arc<Versions>>>,
) -> Result<Reading, SoaError> {
    let mut reading = Reading {
        pools: system.pools.clone(),
        ..Reading::default()
    };
    for service in listed {
        let from = Source {
            soa,
            cluster,
            system,
            follows: versions.is_some(),
            versions: versions.and_then(|all| all.get(service)),
        };
        from.read_service(service, &mut reading);
    }
    let left: BTreeSet<ServiceName> = soa.services()?.into_iter().collect();
    let gone = listed.iter().filter(|service| !left.contains(*service));
    reading.incomplete.extend(gone.cloned());
    Ok(reading)
}

/// Where what is to be known of a service comes from.
struct Source<'a> {
    soa: &'a SoaDir,
    cluster: &'a ClusterName,
    system: &'a SystemConfig,
    /// Whether git is followed.
    follows: bool,
    /// What git said last.
    versions: Option<&'a Arc<Versions>>,
}

impl Source<'_> {
    fn read_service(&self, service: &ServiceName, reading: &mut Reading) {
        let load = self.soa.load(service, self.cluster, self.system);
        if !load.complete {
            reading.incomplete.insert(service.clone());
        }
        let mut problems = load.problems;
        let deployments = match load.instances.is_empty() {
            true => Ok(None),
            false => self.deployments(service),
        };
        let deployments = deployments.map_err(|problem| problems.push(problem));
        for (name, config) in load.instances {
            let id = InstanceId::new(service.clone(), name);
            if let Ok(config) = &config {
                let group = config.deploy_group.clone();
                reading.deploy_groups.insert(id.clone(), group);
            }
            let declared = match (config, &deployments) {
                (Err(problems), _) => Declared::Broken { problems },
                // The fault is the service's, said once; every instance keeps its version.
                (Ok(_), Err(())) => Declared::Broken {
                    problems: Vec::new(),
                },
                // A file that is not there says nothing: what it said before stays in force.
                (Ok(config), Ok(None)) => Declared::Broken {
                    problems: vec![self.not_deployed(&id, &config)],
                },
                (Ok(config), Ok(Some(known))) => self.declared(&id, &config, known),
            };
            reading.instances.insert(id, declared);
        }
        if !problems.is_empty() {
            reading.problems.insert(service.clone(), problems);
        }
    }

    fn deployments(&self, service: &ServiceName) -> Result<Option<Deployments>, Problem> {
        match self.versions {
            Some(versions) => Ok(Some(versions.deployments.clone())),
            None => self.soa.deployments(service),
        }
    }

    fn declared(&self, id: &InstanceId, config: &InstanceConfig, known: &Deployments) -> Declared {
        let group = &config.deploy_group;
        match known.lookup(&id.service, self.cluster, &id.instance, group) {
            None => Declared::NotDeployed {
                problem: self.not_deployed(id, config),
            },
            Some(found) => match resolve(id, config, &found, self.system) {
                Ok(spec) => Declared::Spec(Box::new(spec)),
                Err(problems) => Declared::Broken { problems },
            },
        }
    }

    fn not_deployed(&self, id: &InstanceId, config: &InstanceConfig) -> Problem {
        let (group, service) = (&config.deploy_group, &id.service);
        let then = match self.follows {
            true => String::new(),
            false => format!(", and run `paasta generate-deployments -s {service}`"),
        };
        let message = format!(
            "nothing is deployed for deploy group {group:?}; mark a commit with `paasta mark-for-deployment -s {service} -l {group} -k SHA`{then}"
        );
        Problem {
            file: format!("{service}/deployments.json"),
            line: None,
            column: None,
            field: id.instance.to_string(),
            message,
            severity: Severity::Warning,
            rule: Rule::Undeployed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_vanishes_while_it_is_read_is_not_taken_for_removed() {
        let dir = tempfile::tempdir().unwrap();
        for service in ["web", "gone"] {
            fs::create_dir(dir.path().join(service)).unwrap();
            let file = dir.path().join(service).join("marathon-prod.yaml");
            fs::write(file, "main: {mem: 64}\n").unwrap();
        }
        let (soa, system) = (SoaDir::open(dir.path()).unwrap(), SystemConfig::default());
        let cluster = ClusterName::new("prod").unwrap();
        let listed = soa.services().unwrap();
        fs::remove_dir_all(dir.path().join("gone")).unwrap();
        let reading = read_listed(&soa, &listed, &cluster, &system, None).unwrap();
        let gone = ServiceName::new("gone").unwrap();
        assert_eq!(reading.incomplete, BTreeSet::from([gone]));
        assert_eq!(reading.instances.len(), 1, "the other one is read");
        drop(dir);
        assert!(read_listed(&soa, &listed, &cluster, &system, None).is_err());
    }
}
