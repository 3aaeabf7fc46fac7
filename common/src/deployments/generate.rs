//! From the refs of a git repository to the deployed versions. The latest deploy tag of a group
//! wins; where a group has none, the branch of the seed era speaks. A start or stop counts only
//! while the sha it was made for is the deployed one: a new deploy forgets an earlier stop.

use std::collections::BTreeMap;

use super::{
    Control, Deployments, Groups, Instance, Version, control_key, instance_key, tags::Tags,
};
use crate::id::{ClusterName, InstanceName, ServiceName};

/// A declared instance, as far as git is concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The cluster.
    pub cluster: ClusterName,
    /// The instance.
    pub instance: InstanceName,
    /// Its deploy group.
    pub deploy_group: String,
    /// Its branch, when it is not `CLUSTER.INSTANCE`.
    pub branch: Option<String>,
}

/// The deployed versions that `refs` (name to sha) give to `targets`. A target without a deploy
/// tag and without a branch gets no entry.
pub fn generate(
    service: &ServiceName,
    targets: &[Target],
    refs: &BTreeMap<String, String>,
) -> Deployments {
    let tags = Tags::read(refs);
    let mut deployments = Deployments::default();
    let mut groups = Groups::default();
    for target in targets {
        let own = format!("{}.{}", target.cluster, target.instance);
        let branch = target.branch.as_deref().unwrap_or(&own);
        let tagged = tags.latest(&target.deploy_group);
        let sha = match tagged {
            Some(deploy) => deploy.sha,
            None => match refs.get(&format!("refs/heads/paasta-{branch}")) {
                Some(sha) => sha.as_str(),
                None => continue,
            },
        };
        let control = tags.control(&own, sha);
        let desired_state = control.map(|tag| tag.state).unwrap_or_default();
        let force_bounce = control.map(|tag| tag.timestamp.to_owned());
        let docker_image = format!("services-{service}:paasta-{sha}");
        deployments.v1.insert(
            instance_key(service, &target.cluster, &target.instance),
            Instance {
                docker_image: docker_image.clone(),
                desired_state,
                force_bounce: force_bounce.clone(),
            },
        );
        // A branch speaks for its own instance, never for the others of a shared group.
        if tagged.is_some() || target.deploy_group == own {
            let git_sha = Some(sha.to_owned());
            let version = Version {
                docker_image,
                git_sha,
            };
            groups
                .deployments
                .insert(target.deploy_group.clone(), version);
            groups.controls.insert(
                control_key(service, &target.cluster, &target.instance),
                Control {
                    desired_state,
                    force_bounce,
                },
            );
        }
    }
    deployments.v2 = Some(groups);
    deployments
}
