//! The complete description of one container, in words that no engine owns. What may never vary
//! is not in here, so that nothing can vary it: never privileged, no restart policy, no terminal,
//! always an init process, its logs in files of a bounded size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::{DockerArgs, NetworkMode, Ulimit, Volume};

/// The capabilities that every container is denied and that an author may ask back. Any other
/// would give a container more than Docker's own default, which is nobody's but the operator's.
pub const CAP_DROP: [&str; 14] = [
    "SETPCAP",
    "MKNOD",
    "AUDIT_WRITE",
    "CHOWN",
    "NET_RAW",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "SETFCAP",
];

/// Every capability of Linux, without `CAP_`, sorted.
pub const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Everything an engine needs to make one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The name: one for each run of each replica, the same for every computation.
    pub name: String,
    /// The image, with its registry and tag.
    pub image: String,
    /// The host name inside; absent where the network mode allows none.
    pub hostname: Option<String>,
    /// Replaces the image's entrypoint; empty leaves it.
    pub entrypoint: Vec<String>,
    /// Arguments of the entrypoint; empty leaves the image's own.
    pub command: Vec<String>,
    /// The environment, complete but for what the image brings.
    pub env: BTreeMap<String, String>,
    /// By these the container is found again.
    pub labels: BTreeMap<String, String>,
    /// The working directory inside.
    pub working_dir: String,
    /// Relative CPU weight, 1024 for a core.
    pub cpu_shares: u64,
    /// The period of the CPU quota, microseconds.
    pub cpu_period_us: u64,
    /// CPU time in each period, microseconds.
    pub cpu_quota_us: u64,
    /// The memory limit, bytes; 0 for none.
    pub memory_bytes: u64,
    /// The limit of memory and swap together, bytes; 0 for none.
    pub memory_swap_bytes: u64,
    /// What its writable layer may hold, MiB, where the engine's storage driver can limit it; 0 for
    /// no limit.
    #[serde(default)]
    pub disk_limit_mb: u64,
    /// Whole GPUs.
    pub gpus: u64,
    /// The network.
    pub network: NetworkMode,
    /// Ports published on the host, TCP.
    pub ports: Vec<PortBinding>,
    /// Bind mounts.
    pub mounts: Vec<Volume>,
    /// Capabilities given back.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Resource limits by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Processes and threads inside, at most; 0 for no limit.
    #[serde(default)]
    pub pids_limit: u64,
    /// Whether a program may gain privileges that its parent has not (setuid).
    #[serde(default)]
    pub new_privileges: bool,
    /// What the author sets beside the rest, with the operator's name servers where the author
    /// names none.
    #[serde(default)]
    pub docker: DockerArgs,
    /// Milliseconds from SIGTERM to SIGKILL.
    pub stop_grace_ms: u64,
    /// The largest log file the engine keeps, bytes.
    pub log_max_bytes: u64,
    /// How many such files it keeps.
    pub log_max_files: u32,
}

/// A port of the container that the host answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Inside.
    pub container_port: u16,
    /// On every address of the host.
    pub host_port: u16,
}
