//! The instances of a team, or of a registration, over the services of a yelpsoa-configs directory.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, InstanceName, ServiceName},
    soa::{InstanceConfig, SoaDir},
};

use super::ServiceArgs;
use crate::cmd::Context;

/// Whose instances are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Owned {
    /// Only instances of this team, by monitoring.yaml; of every service, unless -s names one
    #[arg(short = 'o', long, alias = "team", value_name = "TEAM")]
    pub owner: Option<String>,
    /// Only instances that are announced as this SERVICE.NAMESPACE; of every service, unless -s
    /// names one
    #[arg(short = 'r', long, value_name = "REGISTRATION")]
    pub registration: Option<String>,
}

/// Instances of one service, each with its cluster.
pub(super) type Instances = BTreeSet<(ClusterName, InstanceName)>;

impl Owned {
    /// Whether it chooses anything.
    pub(super) fn is_given(&self) -> bool {
        self.owner.is_some() || self.registration.is_some()
    }

    /// The instances that are meant, by service. A service whose files cannot be read has none.
    ///
    /// # Errors
    /// The directory cannot be read, or no instance is meant.
    pub(super) fn find(
        &self,
        args: &ServiceArgs,
        context: &Context,
    ) -> anyhow::Result<BTreeMap<ServiceName, Instances>> {
        let system = context.system()?;
        let soa = SoaDir::open(context.soa_dir(args.soa_dir.as_deref())?)?;
        let services = match &args.service {
            Some(_) => vec![super::service(args, &system)?.1],
            None => soa.services()?,
        };
        let mut found = BTreeMap::new();
        for service in services {
            let instances = self.of(&soa, &service, &system, context)?;
            if !instances.is_empty() {
                found.insert(service, instances);
            }
        }
        if found.is_empty() {
            let by = |option: &str, value: &Option<String>| {
                value.as_ref().map(|value| format!("{option} {value}"))
            };
            let given = [by("-o", &self.owner), by("-r", &self.registration)];
            let given: Vec<String> = given.into_iter().flatten().collect();
            bail!(
                "no instance in {} matches {}",
                soa.path().display(),
                given.join(" ")
            );
        }
        Ok(found)
    }

    fn of(
        &self,
        soa: &SoaDir,
        service: &ServiceName,
        system: &SystemConfig,
        context: &Context,
    ) -> anyhow::Result<Instances> {
        let mut found = Instances::new();
        for cluster in soa.clusters(service, system)? {
            let load = soa.load(service, &cluster, system);
            if !load.complete {
                context.note(&format!(
                    "{service} in {cluster} cannot be read as a whole: what is faulty in it is \
                     left out; `paasta validate -s {service}` names the faults"
                ));
            }
            let meant = load
                .instances
                .iter()
                .filter(|(_, config)| config.as_ref().is_ok_and(|config| self.means(config)));
            found.extend(meant.map(|(name, _)| (cluster.clone(), name.clone())));
        }
        Ok(found)
    }

    fn means(&self, config: &InstanceConfig) -> bool {
        let of_team = |owner: &String| config.monitoring.team.as_ref() == Some(owner);
        self.owner.as_ref().is_none_or(of_team)
            && self
                .registration
                .as_ref()
                .is_none_or(|name| config.registrations.contains(name))
    }
}
