//! From the refs of a git repository to the deployed versions. The latest deploy tag of a group
//! wins; where a group has none, the branch of the seed era speaks. A start or stop counts only
//! while the sha it was made for is the deployed one: a new deploy forgets an earlier stop.

use std::collections::BTreeMap;

use super::{Control, Deployments, Groups, Instance, Version, control_key, instance_key};
use crate::{
    id::{ClusterName, InstanceName, ServiceName},
    spec::DesiredState,
};

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
        let tagged = tags.deploys.get(target.deploy_group.as_str());
        let sha = match tagged {
            Some((_, sha)) => *sha,
            None => match refs.get(&format!("refs/heads/paasta-{branch}")) {
                Some(sha) => sha.as_str(),
                None => continue,
            },
        };
        let (desired_state, force_bounce) = tags.control(&own, sha);
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

/// The tags that matter.
struct Tags<'a> {
    /// The latest deploy of each group: timestamp and sha.
    deploys: BTreeMap<&'a str, (&'a str, &'a str)>,
    /// The controls of each `CLUSTER.INSTANCE`.
    controls: BTreeMap<&'a str, Vec<ControlTag<'a>>>,
}

struct ControlTag<'a> {
    timestamp: &'a str,
    state: DesiredState,
    sha: &'a str,
}

impl<'a> Tags<'a> {
    fn read(refs: &'a BTreeMap<String, String>) -> Self {
        let mut tags = Self {
            deploys: BTreeMap::new(),
            controls: BTreeMap::new(),
        };
        for (name, sha) in refs {
            let Some((subject, timestamp, word)) = parse(name) else {
                continue;
            };
            let state = match word {
                "deploy" => {
                    let latest = tags.deploys.entry(subject).or_insert((timestamp, sha));
                    *latest = (timestamp, sha.as_str()).max(*latest);
                    continue;
                }
                "start" => DesiredState::Start,
                "stop" => DesiredState::Stop,
                _ => continue,
            };
            tags.controls.entry(subject).or_default().push(ControlTag {
                timestamp,
                state,
                sha,
            });
        }
        tags
    }

    /// The latest control made for the deployed `sha`.
    fn control(&self, target: &str, sha: &str) -> (DesiredState, Option<String>) {
        let candidates = self.controls.get(target).into_iter().flatten();
        // At the same second a stop wins over a start: what is stopped can be started again.
        let latest = candidates
            .filter(|tag| tag.sha == sha)
            .max_by_key(|tag| (tag.timestamp, tag.state == DesiredState::Stop));
        match latest {
            Some(tag) => (tag.state, Some(tag.timestamp.to_owned())),
            None => (DesiredState::Start, None),
        }
    }
}

/// `refs/tags/paasta-SUBJECT-YYYYMMDDTHHMMSS-WORD`, taken apart. The subject may hold `-`.
fn parse(name: &str) -> Option<(&str, &str, &str)> {
    let rest = name.strip_prefix("refs/tags/paasta-")?;
    let (rest, word) = rest.rsplit_once('-')?;
    let (subject, timestamp) = rest.rsplit_once('-')?;
    let (date, time) = timestamp.split_once('T')?;
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let fine = digits(date, 8) && digits(time, 6) && !subject.is_empty();
    fine.then_some((subject, timestamp, word))
}
