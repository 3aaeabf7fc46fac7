//! What git is asked about: every declared (cluster, instance, deploy group) of a service, of all
//! instance types, taken as leniently as possible, since a fault in an instance's memory limit
//! is no reason to lose its deployed version.

use super::{
    files,
    node::{Map, Node},
    reader::{SoaDir, SoaError},
};
use crate::{
    config::SystemConfig,
    deployments::Target,
    id::{ClusterName, InstanceName, ServiceName},
    problem::Problem,
};

/// The instance types whose files have instances at the top.
const KINDS: [&str; 4] = ["marathon", "adhoc", "chronos", "paasta_native"];

/// The targets of a service.
#[derive(Debug, Default)]
pub struct Targets {
    /// Everything that could be read.
    pub list: Vec<Target>,
    /// Clusters with a file that could not be read: what is known of them must be kept.
    pub unreadable: Vec<ClusterName>,
    /// Why.
    pub problems: Vec<Problem>,
}

impl SoaDir {
    /// Every (cluster, instance, deploy group) that `service` declares.
    ///
    /// # Errors
    /// [`SoaError`] when the service's directory cannot be listed.
    pub fn targets(
        &self,
        service: &ServiceName,
        system: &SystemConfig,
    ) -> Result<Targets, SoaError> {
        let mut targets = Targets::default();
        let files = self.instance_files(service, &KINDS, system)?;
        let general = files::parse(self.path(), &format!("{service}/service.yaml"));
        if let Err(problem) = &general {
            targets.problems.push(problem.clone());
        }
        for (file, cluster) in files {
            match (files::parse(self.path(), &file), &general) {
                (Ok(root), Ok(general)) => {
                    collect(service, &cluster, general, &root, &mut targets.list);
                }
                (Ok(_), Err(_)) => targets.unreadable.push(cluster),
                (Err(problem), _) => {
                    targets.problems.push(problem);
                    targets.unreadable.push(cluster);
                }
            }
        }
        targets.list.sort();
        targets.list.dedup();
        targets.unreadable.dedup();
        Ok(targets)
    }
}

fn collect(
    service: &ServiceName,
    cluster: &ClusterName,
    general: &Node,
    root: &Node,
    list: &mut Vec<Target>,
) {
    let empty = Map::default();
    for (key, entry) in &root.as_map().unwrap_or(&empty).entries {
        let Ok(instance) = InstanceName::new(key) else {
            continue;
        };
        let text = |field: &str| {
            let of = |node: &Node| {
                let value = node.as_map()?.get(field)?;
                value.as_text().map(str::to_owned)
            };
            of(&entry.node).or_else(|| of(general))
        };
        let deploy_group = match text("deploy_group") {
            Some(group) => group
                .replace("{cluster}", cluster.as_str())
                .replace("{instance}", instance.as_str())
                .replace("{service}", service.as_str()),
            None => format!("{cluster}.{instance}"),
        };
        list.push(Target {
            cluster: cluster.clone(),
            deploy_group,
            branch: text("branch"),
            instance,
        });
    }
}
