//! From an app and a place to a container: the flags of PaaSTA, all of them here.

use paasta_common::{
    app::{AppSpec, NetworkMode, Volume},
    assignment::AssignedReplica,
    container::{CAP_DROP, ContainerSpec, PortBinding},
    id::{HostId, ReplicaId},
};

use crate::{
    env::environment,
    labels::{container_name, labels, sandbox_name},
    settings::HostSettings,
};

/// Where a run finds its temporary workspace, which is also its working directory.
pub const SANDBOX: &str = "/mnt/mesos/sandbox";

/// The longest host name inside a container.
const HOSTNAME_MAX: usize = 60;
const MIB: u64 = 1 << 20;
/// Swap beyond the memory limit, MiB: enough for the kernel to page out what is never touched.
const SWAP_MB: u64 = 64;
/// Docker's own default and lower bounds.
const CFS_PERIOD_US: u64 = 100_000;
const CFS_QUOTA_MIN_US: u64 = 1_000;
const CPU_SHARES_MIN: u64 = 2;

/// Which run of a replica, and on which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOf {
    /// Counts from 1.
    pub number: u64,
    /// The port on the host; none without a network.
    pub host_port: Option<u16>,
}

/// Describes the container of one run, completely.
pub fn compose(
    host: &HostSettings,
    cluster_id: &str,
    id: ReplicaId,
    replica: &AssignedReplica,
    run: RunOf,
) -> ContainerSpec {
    let spec = replica.spec.as_ref();
    let (entrypoint, command) = match &spec.cmd {
        // As Mesos ran it: the shell takes the place of the image's entrypoint.
        Some(cmd) => (
            vec!["/bin/sh".to_owned()],
            vec!["-c".to_owned(), cmd.clone()],
        ),
        None => (Vec::new(), spec.args.clone()),
    };
    let period = match u64::from(spec.cfs_period_us) {
        0 => CFS_PERIOD_US,
        period => period,
    };
    let cpus_milli = spec.resources.cpus_milli;
    let burst_milli = cpus_milli.saturating_add(u64::from(spec.cpu_burst_milli));
    let (memory_bytes, memory_swap_bytes) = memory(spec.resources.mem_mb);
    let (cap_add, cap_drop) = capabilities(&spec.cap_add);
    ContainerSpec {
        name: container_name(&replica.instance, id, run.number),
        image: spec.image.clone(),
        hostname: (spec.net != NetworkMode::Host).then(|| hostname(&host.host, id, run.number)),
        entrypoint,
        command,
        env: environment(host, id, replica, run),
        labels: labels(
            cluster_id,
            &host.host,
            (id, replica),
            run.number,
            run.host_port,
        ),
        working_dir: SANDBOX.to_owned(),
        cpu_shares: (cpus_milli.saturating_mul(1024) / 1000).max(CPU_SHARES_MIN),
        cpu_period_us: period,
        cpu_quota_us: (burst_milli.saturating_mul(period) / 1000).max(CFS_QUOTA_MIN_US),
        memory_bytes,
        memory_swap_bytes,
        gpus: spec.resources.gpus,
        network: spec.net.clone(),
        ports: ports(spec, run.host_port),
        mounts: mounts(spec, host, id, run.number),
        cap_add,
        cap_drop,
        ulimits: spec.ulimits.clone(),
        stop_grace_ms: replica.run.stop_grace_ms,
        log_max_bytes: host.log_max_bytes,
        log_max_files: host.log_max_files,
    }
}

/// Whether a run of this app holds a port of the host.
pub fn needs_port(spec: &AppSpec) -> bool {
    spec.net != NetworkMode::None
}

fn memory(mem_mb: u64) -> (u64, u64) {
    match mem_mb {
        0 => (0, 0),
        mb => (
            mb.saturating_mul(MIB),
            mb.saturating_add(SWAP_MB).saturating_mul(MIB),
        ),
    }
}

fn ports(spec: &AppSpec, host_port: Option<u16>) -> Vec<PortBinding> {
    match (&spec.net, host_port) {
        (NetworkMode::Bridge | NetworkMode::Named(_), Some(host_port)) => vec![PortBinding {
            container_port: spec.container_port,
            host_port,
        }],
        _ => Vec::new(),
    }
}

fn mounts(spec: &AppSpec, host: &HostSettings, id: ReplicaId, run: u64) -> Vec<Volume> {
    let sandbox = Volume {
        container_path: SANDBOX.to_owned(),
        host_path: format!(
            "{}/{}",
            host.sandboxes.trim_end_matches('/'),
            sandbox_name(id, run)
        ),
        read_only: false,
    };
    let of_spec = spec
        .volumes
        .iter()
        // Two mounts of one path are refused by the engine; the sandbox is ours.
        .filter(|volume| volume.container_path.trim_end_matches('/') != SANDBOX);
    of_spec.cloned().chain([sandbox]).collect()
}

/// Only what is on the list can be given back: nothing that an instance asks for adds to what
/// Docker gives.
fn capabilities(asked: &[String]) -> (Vec<String>, Vec<String>) {
    let asked: Vec<String> = asked
        .iter()
        .map(|name| name.to_ascii_uppercase())
        .map(|name| name.strip_prefix("CAP_").unwrap_or(&name).to_owned())
        .collect();
    let (keep, drop): (Vec<&str>, Vec<&str>) = CAP_DROP
        .into_iter()
        .partition(|name| asked.iter().any(|asked| asked == name));
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    (owned(keep), owned(drop))
}

/// `SHORTHOST-TASK`, cut to 60 characters, in the letters that a host name may have.
fn hostname(host: &HostId, id: ReplicaId, run: u64) -> String {
    let task = format!("{id}-{run}");
    let short = host.as_str().split('.').next().unwrap_or_default();
    let room = HOSTNAME_MAX.saturating_sub(task.len() + 1);
    let short: String = short.chars().take(room).collect();
    let short = short.replace('_', "-");
    format!("{}-{task}", short.trim_matches('-'))
}

#[cfg(test)]
mod tests;
