//! Which version of a service runs where: deployments.json, read and generated.
//!
//! Both versions of the format live in one file. Not here: asking git, or writing the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ClusterName, InstanceName, ServiceName},
    problem::{FIELD_MAX, Problem, Rule, Severity},
    spec::DesiredState,
    text::shortened,
};

mod generate;
pub mod tags;

pub use generate::{Target, generate};

/// The name of the file in a service's directory.
pub const FILE: &str = "deployments.json";

/// The deployed version of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The image without its registry, `services-SERVICE:paasta-SHA`.
    pub docker_image: String,
    /// The git sha it was built from.
    pub git_sha: String,
    /// Whether the instance should run.
    pub desired_state: DesiredState,
    /// The restart marker: a new one is a new app.
    pub force_bounce: Option<String>,
}

/// The content of a deployments.json.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deployments {
    /// The first format, by `SERVICE:paasta-CLUSTER.INSTANCE`.
    #[serde(default)]
    v1: BTreeMap<String, Instance>,
    /// The second format; read in preference to the first where it knows the deploy group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v2: Option<Groups>,
}

/// An entry of the first format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    docker_image: String,
    #[serde(default)]
    desired_state: DesiredState,
    #[serde(default)]
    force_bounce: Option<String>,
}

/// The second format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Groups {
    /// By deploy group.
    #[serde(default)]
    deployments: BTreeMap<String, Version>,
    /// By `SERVICE:CLUSTER.INSTANCE`.
    #[serde(default)]
    controls: BTreeMap<String, Control>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    docker_image: String,
    #[serde(default)]
    git_sha: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Control {
    #[serde(default)]
    desired_state: DesiredState,
    #[serde(default)]
    force_bounce: Option<String>,
}

impl Deployments {
    /// Parses the text of the file; `file` is how problems name it. Keys it does not know are
    /// passed over, so that newer writers do not stop older readers.
    ///
    /// # Errors
    /// The place and the reason when it is not JSON or a value has the wrong type.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let place = |number: usize| u32::try_from(number).ok().filter(|number| *number > 0);
        serde_json::from_str(text).map_err(|error| Problem {
            file: file.to_owned(),
            line: place(error.line()),
            column: place(error.column()),
            field: String::new(),
            message: said(&error),
            severity: Severity::Error,
            rule: Rule::Syntax,
        })
    }

    /// The file's text: sorted keys, the same bytes for the same content.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("maps with text keys and plain values are always JSON");
        text.push('\n');
        text
    }

    /// Whether nothing is deployed.
    pub fn is_empty(&self) -> bool {
        let v2 = self.v2.as_ref();
        self.v1.is_empty() && v2.is_none_or(|v2| v2.deployments.is_empty())
    }

    /// The deployed version of an instance; `None` when it was never deployed.
    pub fn lookup(
        &self,
        service: &ServiceName,
        cluster: &ClusterName,
        instance: &InstanceName,
        deploy_group: &str,
    ) -> Option<Deployment> {
        let grouped = self.v2.as_ref().and_then(|v2| {
            let version = v2.deployments.get(deploy_group)?;
            let control = v2.controls.get(&control_key(service, cluster, instance));
            let git_sha = version.git_sha.clone();
            Some(Deployment {
                git_sha: git_sha.unwrap_or_else(|| sha_of(&version.docker_image)),
                docker_image: version.docker_image.clone(),
                desired_state: control.map(|one| one.desired_state).unwrap_or_default(),
                force_bounce: control.and_then(|one| one.force_bounce.clone()),
            })
        });
        // A branch of the seed era has no deploy group: only the first format knows it.
        grouped.or_else(|| {
            let entry = self.v1.get(&instance_key(service, cluster, instance))?;
            Some(Deployment {
                git_sha: sha_of(&entry.docker_image),
                docker_image: entry.docker_image.clone(),
                desired_state: entry.desired_state,
                force_bounce: entry.force_bounce.clone(),
            })
        })
    }

    /// Takes over from `old` what concerns these clusters: their files could not be read, and an
    /// author's slip must not undeploy what runs.
    pub fn keep(&mut self, old: &Self, service: &ServiceName, clusters: &[ClusterName]) {
        let concerns = |key: &str, before: &str| {
            let rest = key.strip_prefix(service.as_str());
            let target = rest.and_then(|rest| rest.strip_prefix(before));
            let cluster = target.and_then(|target| target.split_once('.'));
            cluster.is_some_and(|(name, _)| clusters.iter().any(|one| one.as_str() == name))
        };
        let kept = old.v1.iter().filter(|(key, _)| concerns(key, ":paasta-"));
        for (key, entry) in kept {
            self.v1.entry(key.clone()).or_insert_with(|| entry.clone());
        }
        let Some(old) = old.v2.as_ref().filter(|_| !clusters.is_empty()) else {
            return;
        };
        let v2 = self.v2.get_or_insert_default();
        // Which clusters use a group is what could not be read: every group stays.
        for (key, entry) in &old.deployments {
            v2.deployments
                .entry(key.clone())
                .or_insert_with(|| entry.clone());
        }
        for (key, entry) in old.controls.iter().filter(|(key, _)| concerns(key, ":")) {
            v2.controls
                .entry(key.clone())
                .or_insert_with(|| entry.clone());
        }
    }
}

/// What is wrong, without the value: serde would quote all of it.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let kind = match error.classify() {
        serde_json::error::Category::Data => match text.split_once(", expected ") {
            Some((_, expected)) => format!("expected {expected}"),
            None => text,
        },
        _ => text,
    };
    format!("not a deployments file: {}", shortened(&kind, FIELD_MAX))
}

/// The full sha that an image's tag ends with.
fn sha_of(docker_image: &str) -> String {
    let sha = docker_image.rsplit('-').next().unwrap_or(docker_image);
    sha.to_owned()
}

fn instance_key(service: &ServiceName, cluster: &ClusterName, instance: &InstanceName) -> String {
    format!("{service}:paasta-{cluster}.{instance}")
}

fn control_key(service: &ServiceName, cluster: &ClusterName, instance: &InstanceName) -> String {
    format!("{service}:{cluster}.{instance}")
}

#[cfg(test)]
mod tests;
