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
    config::{ClusterSettings, SystemConfig},
    deployments::Deployments,
    id::{AppId, ClusterName, InstanceId, ServiceName},
    problem::{Problem, Rule, Severity},
    soa::{InstanceConfig, SoaDir, SoaError, resolve},
};
use paasta_coordinator_core::{
    desired::{Declared, Reading},
    state::{settings::Settings, versions::Versions},
};

/// What makes an instance of a declaration: the cluster and its settings.
pub(super) struct Resolver {
    cluster: ClusterName,
    /// This coordinator's configuration, with the settings of the cluster in it.
    system: SystemConfig,
    /// The same with the settings of before.
    before: Option<SystemConfig>,
}

impl Resolver {
    /// Of `cluster`, whatever this coordinator's own files say of it.
    pub(super) fn new(own: &SystemConfig, cluster: ClusterName, settings: &Settings) -> Self {
        let with = |values: &ClusterSettings| SystemConfig {
            cluster: Some(cluster.clone()),
            ..values.over(own)
        };
        Self {
            system: with(&settings.values),
            before: settings.previous.as_deref().map(with),
            cluster,
        }
    }
}

/// Reads everything that is declared for the cluster.
///
/// # Errors
/// [`SoaError`] when the directory as a whole cannot be read: then nothing is known, and nothing
/// changes. Any smaller fault is in the reading, with whom it concerns.
pub(super) fn read(
    dir: &Path,
    resolver: &Resolver,
    versions: Option<&BTreeMap<ServiceName, Arc<Versions>>>,
) -> Result<Reading, SoaError> {
    let soa = SoaDir::open(dir)?;
    let listed = soa.services()?;
    read_listed(&soa, &listed, resolver, versions)
}

/// Reads these services. One that is not there any more at the end may have been half gone when it
/// was read: nothing is taken for removed on the word of it.
fn read_listed(
    soa: &SoaDir,
    listed: &[ServiceName],
    resolver: &Resolver,
    versions: Option<&BTreeMap<ServiceName, Arc<Versions>>>,
) -> Result<Reading, SoaError> {
    let mut reading = Reading {
        pools: resolver.system.pools.clone(),
        ..Reading::default()
    };
    for service in listed {
        let from = Source {
            soa,
            cluster: &resolver.cluster,
            system: &resolver.system,
            before: resolver.before.as_ref(),
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
    before: Option<&'a SystemConfig>,
    /// Whether git is followed.
    follows: bool,
    /// What git said last.
    versions: Option<&'a Arc<Versions>>,
}

impl Source<'_> {
    fn read_service(&self, service: &ServiceName, reading: &mut Reading) {
        let load = self.soa.load(service, self.cluster, self.system);
        let mut problems = load.problems;
        let torn = torn::torn(self.soa.path(), service, self.cluster, &load.instances);
        let is_torn = torn.is_some();
        problems.extend(torn);
        if !load.complete || is_torn {
            reading.incomplete.insert(service.clone());
        }
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
                // The fault is the service's, said once: nothing is believed of it.
                _ if is_torn => Declared::Broken {
                    problems: Vec::new(),
                },
                (Err(problems), _) => Declared::Broken { problems },
                // The fault is the service's, said once; every instance keeps its version.
                (Ok(_), Err(())) => Declared::Broken {
                    problems: Vec::new(),
                },
                // A file that is not there says nothing: what it said before stays in force.
                (Ok(config), Ok(None)) => Declared::Broken {
                    problems: vec![self.not_known(&id, &config)],
                },
                (Ok(config), Ok(Some(known))) => {
                    self.declared(&id, &config, known, &mut reading.under_before)
                }
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

    fn declared(
        &self,
        id: &InstanceId,
        config: &InstanceConfig,
        known: &Deployments,
        under_before: &mut BTreeMap<InstanceId, AppId>,
    ) -> Declared {
        let group = &config.deploy_group;
        match known.lookup(&id.service, self.cluster, &id.instance, group) {
            None => Declared::NotDeployed {
                problem: self.not_deployed(id, config),
            },
            Some(found) => match resolve(id, config, &found, self.system) {
                Ok(spec) => {
                    let before = self
                        .before
                        .and_then(|before| resolve(id, config, &found, before).ok());
                    if let Some(before) = before.filter(|before| before.app_id != spec.app_id) {
                        under_before.insert(id.clone(), before.app_id);
                    }
                    Declared::Spec(Box::new(spec))
                }
                Err(problems) => Declared::Broken { problems },
            },
        }
    }

    /// The problem of an instance whose deployed version is not known yet.
    fn not_known(&self, id: &InstanceId, config: &InstanceConfig) -> Problem {
        let service = &id.service;
        if !self.follows {
            return self.not_deployed(id, config);
        }
        let described = self.soa.service(service).ok();
        let named = described.and_then(|one| one.repository(service, self.system));
        let message = match named {
            Some(_) => format!(
                "which version runs is not known: the repository of {service} has not answered \
                 yet; `paasta generate-deployments --status -s {service}` says how it answers"
            ),
            None => format!(
                "which version runs is not known: {service} has no repository; set git_url in \
                 {service}/service.yaml (an operator can set deployments.git_url_template)"
            ),
        };
        Problem {
            message,
            ..self.not_deployed(id, config)
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

mod torn;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn resolver() -> Resolver {
        let settings = Settings {
            values: ClusterSettings::default(),
            previous: None,
            since: Default::default(),
            by: Default::default(),
            why: String::new(),
            files: BTreeMap::new(),
        };
        let cluster = ClusterName::new("prod").unwrap();
        Resolver::new(&SystemConfig::default(), cluster, &settings)
    }

    #[test]
    fn what_vanishes_while_it_is_read_is_not_taken_for_removed() {
        let dir = tempfile::tempdir().unwrap();
        for service in ["web", "gone"] {
            fs::create_dir(dir.path().join(service)).unwrap();
            let file = dir.path().join(service).join("marathon-prod.yaml");
            fs::write(file, "main: {mem: 64}\n").unwrap();
        }
        let (soa, resolver) = (SoaDir::open(dir.path()).unwrap(), resolver());
        let listed = soa.services().unwrap();
        fs::remove_dir_all(dir.path().join("gone")).unwrap();
        let reading = read_listed(&soa, &listed, &resolver, None).unwrap();
        let gone = ServiceName::new("gone").unwrap();
        assert_eq!(reading.incomplete, BTreeSet::from([gone]));
        assert_eq!(reading.instances.len(), 1, "the other one is read");
        drop(dir);
        assert!(read_listed(&soa, &listed, &resolver, None).is_err());
    }

    #[test]
    fn an_empty_file_says_nothing_and_an_explicit_nothing_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join("web").join(name);
        fs::create_dir(dir.path().join("web")).unwrap();
        let (soa, resolver) = (SoaDir::open(dir.path()).unwrap(), resolver());
        let web = ServiceName::new("web").unwrap();
        let file = "marathon-prod.yaml";
        let complete = |name: &str, text: &str| {
            fs::write(path(name), text).unwrap();
            let reading = read(dir.path(), &resolver, None).unwrap();
            let problems = reading.problems.get(&web).into_iter().flatten();
            let named: Vec<&Problem> = problems
                .filter(|one| one.message.contains("is empty"))
                .collect();
            let complete = !reading.incomplete.contains(&web);
            assert_eq!(named.is_empty(), complete, "{name}: {text:?}: {named:?}");
            assert!(named.iter().all(|one| one.file == format!("web/{name}")));
            let believed = reading.instances.values().any(|one| {
                // Nothing is deployed, which is a problem of the instance's own.
                matches!(one, Declared::Broken { problems } if problems.is_empty())
            });
            (complete, believed)
        };
        for text in ["", "\n", "# to be written\n", "---\n"] {
            assert!(!complete(file, text).0, "{text:?}");
        }
        assert!(complete(file, "{}\n").0);
        assert!(complete(file, "_template: {mem: 64}\n").0);
        assert!(complete(file, "main: {mem: 64}\n").0);
        for name in ["service.yaml", "smartstack.yaml", "monitoring.yaml"] {
            assert_eq!(complete(name, ""), (false, true), "{name}");
            assert!(complete(name, "{}\n").0, "{name}");
        }
        assert!(soa.services().unwrap().contains(&web));
    }
}
