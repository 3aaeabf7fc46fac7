//! What an app is: everything that makes one version of an instance differ from another. All of
//! it is part of the app's identity; what may change under a running app is in [`crate::spec`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One version of an instance, complete: an agent needs nothing else to compose the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct AppSpec {
    /// The full image, `REGISTRY/services-SERVICE:paasta-SHA`.
    pub image: String,
    /// The git sha the image was built from, as in deployments.json.
    pub git_sha: String,
    /// What a replica takes from its host.
    pub resources: Resources,
    /// CPU above `resources.cpus_milli` before the quota holds it back, in thousandths of a core.
    pub cpu_burst_milli: u32,
    /// The period of the CPU quota, in microseconds, 1000 to 1,000,000.
    pub cfs_period_us: u32,
    /// A shell command that replaces the image's own (`/bin/sh -c CMD`).
    pub cmd: Option<String>,
    /// Arguments for the image's entrypoint; exclusive with `cmd`.
    pub args: Vec<String>,
    /// The environment known before placement: PAASTA_* and the user's, the user's winning.
    pub env: BTreeMap<String, String>,
    /// The Docker network mode.
    pub net: NetworkMode,
    /// The port inside the container.
    pub container_port: u16,
    /// A fixed port on the host; 0 lets the agent draw one.
    pub host_port: u16,
    /// Mounts: the operator's first, sorted and without duplicates.
    pub volumes: Vec<Volume>,
    /// `--ulimit` by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Capabilities given back from the dropped list.
    pub cap_add: Vec<String>,
    /// How health is told; none for a worker without a check.
    pub health: Option<HealthCheck>,
    /// By what a failed start's delay grows each time; at least 1.
    pub backoff_factor: u32,
    /// The longest delay between starts, in milliseconds.
    pub backoff_max_ms: u64,
    /// The pool of hosts.
    pub pool: String,
    /// Placement constraints, in order.
    pub constraints: Vec<Constraint>,
    /// `extra_docker_args`, as far as they are allowed.
    #[serde(skip_serializing_if = "DockerArgs::is_empty")]
    pub docker: DockerArgs,
}

/// Those of Docker's own arguments that an author may set: none of them gives a container more of
/// its host than it has without. Order is kept where Docker minds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerArgs {
    /// `add-host`: lines of /etc/hosts, `NAME:ADDRESS`.
    pub add_hosts: Vec<String>,
    /// `dns`: addresses of name servers; they replace the operator's.
    pub dns: Vec<String>,
    /// `dns-option`: options of resolv.conf.
    pub dns_options: Vec<String>,
    /// `dns-search`: the domains in which short names are looked up; they replace the operator's.
    pub dns_search: Vec<String>,
    /// `label`: labels beside paasta's own.
    pub labels: BTreeMap<String, String>,
    /// `read-only`: the image's file system cannot be written; the sandbox can.
    pub read_only: bool,
    /// `shm-size`: bytes of /dev/shm, which count as memory; 0 for Docker's default.
    pub shm_bytes: u64,
    /// `stop-signal`: what is sent before SIGKILL instead of SIGTERM.
    pub stop_signal: Option<String>,
    /// `user`: `USER[:GROUP]`, names or numbers inside the container.
    pub user: Option<String>,
}

impl DockerArgs {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Amounts of what a host has and a replica takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpus_milli: u64,
    /// Memory, in MiB.
    pub mem_mb: u64,
    /// Disk, in MiB. Scheduled, not enforced.
    pub disk_mb: u64,
    /// Whole GPUs.
    pub gpus: u64,
}

impl Resources {
    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpus_milli: self.cpus_milli.saturating_add(other.cpus_milli),
            mem_mb: self.mem_mb.saturating_add(other.mem_mb),
            disk_mb: self.disk_mb.saturating_add(other.disk_mb),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// What remains; zero where `other` is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cpus_milli: self.cpus_milli.saturating_sub(other.cpus_milli),
            mem_mb: self.mem_mb.saturating_sub(other.mem_mb),
            disk_mb: self.disk_mb.saturating_sub(other.disk_mb),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }
}

/// The Docker network mode of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The bridge, with the container port published on a host port.
    #[default]
    Bridge,
    /// The host's own network; no port is mapped.
    Host,
    /// No network.
    None,
    /// A network that the operator made on every host.
    Named(String),
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Volume {
    /// The path inside the container.
    pub container_path: String,
    /// The path on the host.
    pub host_path: String,
    /// Whether the container may write.
    pub read_only: bool,
}

/// A resource limit of the container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The soft limit.
    pub soft: i64,
    /// The hard limit; the soft one when absent.
    pub hard: Option<i64>,
}

/// How the health of a replica is told (PaaSTA's rules: failures during the grace do not count,
/// the first success ends the grace).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Milliseconds after the start in which failures do not count.
    pub grace_ms: u64,
    /// Milliseconds between probes.
    pub interval_ms: u64,
    /// Milliseconds until a probe counts as failed.
    pub timeout_ms: u64,
    /// Failures in a row after which the replica's container is replaced.
    pub max_consecutive_failures: u32,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// GET this path; 200 to 399 is healthy.
    Http {
        /// The path, beginning with `/`.
        uri: String,
    },
    /// The same over TLS; the certificate is not verified, as it is the container's own.
    Https {
        /// The path, beginning with `/`.
        uri: String,
    },
    /// A TCP connection is accepted.
    Tcp,
    /// A shell command in the container exits with 0.
    Cmd {
        /// The command.
        command: String,
    },
}

/// A placement constraint: `[attribute, OPERATOR, value]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The host attribute: `hostname`, `pool`, or any the operator gave the host.
    pub attribute: String,
    /// What must hold of it.
    pub operator: Operator,
    /// The operator's argument, where it takes one.
    pub value: Option<String>,
}

/// Marathon's constraint operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operator {
    /// At most one replica for each value.
    Unique,
    /// All replicas on one value (the given one when there is an argument).
    Cluster,
    /// Spread evenly over the values (over that many when there is an argument).
    GroupBy,
    /// The value matches this regular expression, whole.
    Like,
    /// The value does not match this regular expression.
    Unlike,
    /// At most this many replicas for each value.
    MaxPer,
}
