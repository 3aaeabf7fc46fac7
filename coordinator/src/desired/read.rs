//! Reads a soa directory into a [`Reading`]: declared instances, deployed versions, faults. Blocks
//! on the disk; what the reading changes is decided in `paasta_coordinator_core::desired`.

use std::{collections::BTreeSet, path::Path};

use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, InstanceId, ServiceName},
    problem::{Problem, Rule, Severity},
    soa::{InstanceConfig, SoaDir, SoaError, resolve},
};
use paasta_coordinator_core::desired::{Declared, Reading};

/// Reads everything that is declared for `cluster`.
///
/// # Errors
/// [`SoaError`] when the directory as a whole cannot be read: then nothing is known, and nothing
/// changes. Any smaller fault is in the reading, with whom it concerns.
pub(super) fn read(
    dir: &Path,
    cluster: &ClusterName,
    system: &SystemConfig,
) -> Result<Reading, SoaError> {
    let soa = SoaDir::open(dir)?;
    let listed = soa.services()?;
    read_listed(&soa, &listed, cluster, system)
}

/// Reads these services. One that is not there any more at the end may have been half gone when it
/// was read: nothing is taken for removed on the word of it.
fn read_listed(
    soa: &SoaDir,
    listed: &[ServiceName],
    cluster: &ClusterName,
    system: &SystemConfig,
) -> Result<Reading, SoaError> {
    let mut reading = Reading {
        pools: system.pools.clone(),
        ..Reading::default()
    };
    for service in listed {
        read_service(soa, service, cluster, system, &mut reading);
    }
    let left: BTreeSet<ServiceName> = soa.services()?.into_iter().collect();
    let gone = listed.iter().filter(|service| !left.contains(*service));
    reading.incomplete.extend(gone.cloned());
    Ok(reading)
}

fn read_service(
    soa: &SoaDir,
    service: &ServiceName,
    cluster: &ClusterName,
    system: &SystemConfig,
    reading: &mut Reading,
) {
    let load = soa.load(service, cluster, system);
    if !load.complete {
        reading.incomplete.insert(service.clone());
    }
    let mut problems = load.problems;
    let deployments = match load.instances.is_empty() {
        true => Ok(None),
        false => soa.deployments(service),
    };
    let deployments = deployments.map_err(|problem| problems.push(problem));
    for (name, config) in load.instances {
        let id = InstanceId::new(service.clone(), name);
        let declared = match (config, &deployments) {
            (Err(problems), _) => Declared::Broken { problems },
            // The fault is the service's, said once; every instance keeps its version.
            (Ok(_), Err(())) => Declared::Broken {
                problems: Vec::new(),
            },
            // A file that is not there says nothing: what it said before stays in force.
            (Ok(config), Ok(None)) => Declared::Broken {
                problems: vec![not_deployed(&id, &config)],
            },
            (Ok(config), Ok(Some(known))) => {
                match known.lookup(service, cluster, &id.instance, &config.deploy_group) {
                    None => Declared::NotDeployed {
                        problem: not_deployed(&id, &config),
                    },
                    Some(found) => match resolve(&id, &config, &found, system) {
                        Ok(spec) => Declared::Spec(Box::new(spec)),
                        Err(problems) => Declared::Broken { problems },
                    },
                }
            }
        };
        reading.instances.insert(id, declared);
    }
    if !problems.is_empty() {
        reading.problems.insert(service.clone(), problems);
    }
}

fn not_deployed(id: &InstanceId, config: &InstanceConfig) -> Problem {
    let message = format!(
        "nothing is deployed for deploy group {0:?}; push a tag paasta-{0}-YYYYMMDDTHHMMSS-deploy and run `paasta generate-deployments -s {1}`",
        config.deploy_group, id.service
    );
    Problem {
        file: format!("{}/deployments.json", id.service),
        line: None,
        column: None,
        field: id.instance.to_string(),
        message,
        severity: Severity::Warning,
        rule: Rule::Undeployed,
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
        let reading = read_listed(&soa, &listed, &cluster, &system).unwrap();
        let gone = ServiceName::new("gone").unwrap();
        assert_eq!(reading.incomplete, BTreeSet::from([gone]));
        assert_eq!(reading.instances.len(), 1, "the other one is read");
        drop(dir);
        assert!(read_listed(&soa, &listed, &cluster, &system).is_err());
    }
}
