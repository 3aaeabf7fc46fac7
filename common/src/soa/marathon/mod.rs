//! An instance as its author declared it: one entry of `marathon-CLUSTER.yaml` (or of
//! `adhoc-CLUSTER.yaml`, run by hand), with the defaults
//! that the rest of the service's files give it. Not here: the deployed version and the cluster's
//! own settings, which [`super::resolve()`] adds.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{kinds::InstanceType, monitoring::Monitoring, node::Mark, smartstack::Namespace};
use crate::{
    app::{Constraint, DockerArgs, NetworkMode, Ulimit, Volume},
    smartstack as words,
    spec::{BounceMethod, DrainMethod, Margin, OnDeadline},
};

mod containers;
mod docker_args;
mod fields;
mod forms;
mod health;
mod placement;
mod rollout;
mod table;

pub(crate) use fields::{Context, decode};
pub use table::{ADHOC, ADHOCS, INSTANCE, INSTANCES};
pub(crate) use {
    containers::volumes,
    forms::{ULIMIT_NAMES, URI, VOLUME},
    placement::{LOCATION, WHITELIST, blacklist, whitelist},
};

/// An instance as declared, checked, its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceConfig {
    /// Whether it runs for ever or by hand.
    pub kind: InstanceType,
    /// Where it and each of its fields were written.
    pub origin: Origin,
    /// Cores, more than 0.
    pub cpus: f64,
    /// Cores above `cpus` before the quota holds the container back.
    pub cpu_burst_add: f64,
    /// The period of the CPU quota, in microseconds.
    pub cfs_period_us: u32,
    /// Memory in MB, more than 32.
    pub mem: f64,
    /// Disk in MB.
    pub disk: f64,
    /// Whole GPUs.
    pub gpus: u32,
    /// How many replicas.
    pub instances: u32,
    /// The autoscaler's lower bound.
    pub min_instances: u32,
    /// The autoscaler's upper bound, which takes the place of `instances` where it is given.
    pub max_instances: Option<u32>,
    /// The key into deployments.json, placeholders filled in.
    pub deploy_group: String,
    /// The git branch of the seed era, when it is not `CLUSTER.INSTANCE`.
    pub branch: Option<String>,
    /// A shell command that replaces the image's.
    pub cmd: Option<String>,
    /// Arguments for the image's entrypoint.
    pub args: Vec<String>,
    /// The user's environment.
    pub env: BTreeMap<String, String>,
    /// How it moves from one version to the next.
    pub bounce: Bounce,
    /// How a replica leaves the load balancer.
    pub drain: DrainMethod,
    /// The longest a drain may take, in milliseconds, when the author says so.
    pub drain_timeout_ms: Option<u64>,
    /// Milliseconds from SIGTERM to SIGKILL, up to an hour.
    pub stop_timeout_ms: u64,
    /// How health is told.
    pub health: Health,
    /// By what the delay between starts grows.
    pub backoff_factor: u32,
    /// The longest delay between starts, in milliseconds.
    pub backoff_max_ms: u64,
    /// Where it is announced, `service.namespace`, the main one first; never empty.
    pub registrations: Vec<String>,
    /// The namespace of the first registration, when there is one.
    pub namespace: Option<Namespace>,
    /// The namespaces of the registrations that load balancers serve.
    pub namespaces: BTreeMap<words::Namespace, Arc<words::NamespaceOptions>>,
    /// The Docker network.
    pub net: NetworkMode,
    /// The port inside the container.
    pub container_port: u16,
    /// A fixed port on the host; 0 for any.
    pub host_port: u16,
    /// Where it may run.
    pub placement: Placement,
    /// Mounts beside the operator's.
    pub extra_volumes: Vec<ExtraVolume>,
    /// Resource limits by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Capabilities given back.
    pub cap_add: Vec<String>,
    /// Those of Docker's own arguments that are allowed.
    pub docker: DockerArgs,
    /// Percent of the replicas below which the instance is critical.
    pub replication_threshold: u32,
    /// The key of dependencies.yaml that says where it connects to.
    pub dependencies: Option<String>,
    /// The registry that service.yaml names instead of the cluster's.
    pub docker_registry: Option<String>,
    /// Who is told, and how.
    pub monitoring: Monitoring,
}

/// Where an instance and its fields were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The instance's own key.
    pub instance: Mark,
    /// Each field that was given, by name.
    pub fields: BTreeMap<String, Mark>,
}

impl Origin {
    /// Where `field` was written; the instance itself when it was not.
    pub fn of(&self, field: &str) -> &Mark {
        self.fields.get(field).unwrap_or(&self.instance)
    }
}

/// How an instance moves from one version to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounce {
    /// The method.
    pub method: BounceMethod,
    /// The fraction that crossover protects.
    pub margin: Margin,
    /// Whether happiness asks the load balancer; `None` leaves it to the namespace.
    pub check_load_balancer: Option<bool>,
    /// The fraction of the load balancers that must have it in service for that.
    pub min_fraction_up: Margin,
    /// How long a replica must have run to be happy, in milliseconds; `None` leaves it to the
    /// health check's interval.
    pub min_task_uptime_ms: Option<u64>,
    /// Milliseconds in which the new version's first replica must be placed; 0 for no deadline.
    pub start_deadline_ms: u64,
    /// Milliseconds without progress until `on_deadline`.
    pub progress_deadline_ms: u64,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

/// How health is told, as far as the instance itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `healthcheck_mode`; `None` leaves it to the namespace.
    pub mode: Option<Mode>,
    /// `healthcheck_cmd`, there exactly when the mode is [`Mode::Cmd`].
    pub command: Option<String>,
    /// `healthcheck_uri`; `None` leaves it to the namespace.
    pub uri: Option<String>,
    /// Milliseconds in which failures do not count.
    pub grace_ms: u64,
    /// Milliseconds between probes.
    pub interval_ms: u64,
    /// Milliseconds until a probe has failed.
    pub timeout_ms: u64,
    /// Failures in a row until the container is replaced; 0 for never.
    pub max_consecutive_failures: u32,
}

/// What a probe speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP connection.
    Tcp,
    /// A command in the container.
    Cmd,
}

impl Mode {
    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "tcp" => Some(Self::Tcp),
            "cmd" => Some(Self::Cmd),
            _ => None,
        }
    }
}

/// Where an instance may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The pool of hosts.
    pub pool: String,
    /// Replaces every computed constraint when given.
    pub constraints: Option<Vec<Constraint>>,
    /// Put before the computed ones.
    pub extra_constraints: Vec<Constraint>,
    /// Locations to stay out of.
    pub blacklist: Vec<Location>,
    /// The only locations to run in.
    pub whitelist: Option<Whitelist>,
}

/// A value of a host attribute: `[habitat, uswest1a]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The attribute.
    pub attribute: String,
    /// Its value.
    pub value: String,
}

/// The only values of a host attribute that are allowed: `[habitat, [uswest1a, uswest1b]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whitelist {
    /// The attribute.
    pub attribute: String,
    /// Its allowed values.
    pub values: Vec<String>,
}

/// A mount that the author asks for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraVolume {
    /// Where it was written.
    pub mark: Mark,
    /// The mount.
    pub volume: Volume,
}

#[cfg(test)]
mod tests;
