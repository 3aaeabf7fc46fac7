//! From an app and a place to a container: the flags of PaaSTA, all of them here.

use std::collections::BTreeMap;

use paasta_common::{
    app::{AppSpec, DockerArgs, NetworkMode, Volume},
    assignment::AssignedReplica,
    container::{CAP_DROP, ContainerSpec, PortBinding},
    id::{HostId, ReplicaId},
    text::beginning,
};

use crate::{
    disk::engine_limit_mb,
    env::environment,
    labels::{LABEL_PREFIX, container_name, labels, sandbox_name},
    settings::HostSettings,
};

/// Where a run finds its temporary workspace; `MESOS_SANDBOX` names it. It is also the working
/// directory of images that set none.
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
/// The kernel's upper bound, 256 cores.
const CPU_SHARES_MAX: u64 = 262_144;

/// Which run of a replica, and on which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOf<'a> {
    /// Counts from 1.
    pub number: u64,
    /// The port on the host; none without a network.
    pub host_port: Option<u16>,
    /// The working directory that the image sets, if it sets one.
    pub image_working_dir: Option<&'a str>,
}

/// Where a container runs and as what: all of it that its app does not say.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The host. `sandboxes` of it holds a directory named `task`, which the container writes to.
    pub host: &'a HostSettings,
    /// The container's name.
    pub name: String,
    /// What tells this run from every other of the app, `r17-4`: a word of letters, digits and
    /// `-`. The host name inside ends with it, and so does `MESOS_TASK_ID`.
    pub task: String,
    /// By these the container is found again.
    pub labels: BTreeMap<String, String>,
    /// The port on the host; none without a network.
    pub host_port: Option<u16>,
    /// The working directory that the image sets, if it sets one.
    pub image_working_dir: Option<&'a str>,
}

/// Describes the container of one run of a replica on a host, completely.
pub fn compose(
    host: &HostSettings,
    cluster_id: &str,
    id: ReplicaId,
    replica: &AssignedReplica,
    run: RunOf<'_>,
) -> ContainerSpec {
    let (number, host_port) = (run.number, run.host_port);
    let place = Place {
        host,
        name: container_name(&replica.instance, id, number),
        task: sandbox_name(id, number),
        labels: labels(cluster_id, &host.host, (id, replica), number, host_port),
        host_port,
        image_working_dir: run.image_working_dir,
    };
    container(replica, &place)
}

/// Describes the container of an app in some place, completely: on a host of a cluster, or where
/// an author tries the app. The one place where flags come from, so that both are alike; what
/// [`docker_run`](crate::docker_run::docker_run) makes of it is the same container by hand.
///
/// Of `replica`, `want` is not looked at. `place.host_port` is needed when [`needs_port`] says so.
pub fn container(replica: &AssignedReplica, place: &Place<'_>) -> ContainerSpec {
    let (spec, host) = (replica.spec.as_ref(), place.host);
    let (entrypoint, command) = match &spec.cmd {
        // As Mesos ran it: the shell takes the place of the image's entrypoint.
        Some(cmd) => (
            vec!["/bin/sh".to_owned()],
            vec!["-c".to_owned(), cmd.clone()],
        ),
        None => (Vec::new(), spec.args.clone()),
    };
    let (cpu_shares, cpu_period_us, cpu_quota_us) = cpu(spec);
    let (memory_bytes, memory_swap_bytes) = memory(spec.resources.mem_mb);
    let (cap_add, cap_drop) = capabilities(&spec.cap_add);
    ContainerSpec {
        name: place.name.clone(),
        image: spec.image.clone(),
        hostname: (spec.net != NetworkMode::Host).then(|| hostname(&host.host, &place.task)),
        entrypoint,
        command,
        env: environment(replica, place),
        labels: own_labels_over(&spec.docker.labels, &place.labels),
        working_dir: working_dir(place),
        cpu_shares,
        cpu_period_us,
        cpu_quota_us,
        memory_bytes,
        memory_swap_bytes,
        disk_limit_mb: engine_limit_mb(host.disk_limits, spec.resources.disk_mb),
        gpus: spec.resources.gpus,
        network: spec.net.clone(),
        ports: ports(spec, place.host_port),
        mounts: mounts(spec, place),
        cap_add,
        cap_drop,
        ulimits: spec.ulimits.clone(),
        pids_limit: host.pids_limit,
        new_privileges: host.new_privileges,
        docker: docker_args(spec, host),
        stop_grace_ms: replica.run.stop_grace_ms,
        log_max_bytes: host.log_max_bytes,
        log_max_files: host.log_max_files,
    }
}

/// Whether a run of this app holds a port of the host.
pub fn needs_port(spec: &AppSpec) -> bool {
    spec.net != NetworkMode::None
}

/// The image's own, which its relative paths count from; the sandbox where the image sets none.
fn working_dir(place: &Place<'_>) -> String {
    match place.image_working_dir {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => SANDBOX.to_owned(),
    }
}

/// Shares, period and quota.
fn cpu(spec: &AppSpec) -> (u64, u64, u64) {
    let period = match u64::from(spec.cfs_period_us) {
        0 => CFS_PERIOD_US,
        period => period,
    };
    let cpus_milli = spec.resources.cpus_milli;
    let shares = cpus_milli.saturating_mul(1024) / 1000;
    let burst_milli = cpus_milli.saturating_add(u64::from(spec.cpu_burst_milli));
    let quota = burst_milli.saturating_mul(period) / 1000;
    (
        shares.clamp(CPU_SHARES_MIN, CPU_SHARES_MAX),
        period,
        quota.max(CFS_QUOTA_MIN_US),
    )
}

/// The author's, with the operator's name servers where there are none.
fn docker_args(spec: &AppSpec, host: &HostSettings) -> DockerArgs {
    let mut args = spec.docker.clone();
    if args.dns.is_empty() {
        args.dns.clone_from(&host.dns);
    }
    if args.dns_search.is_empty() {
        args.dns_search.clone_from(&host.dns_search);
    }
    // They stand among the container's labels.
    args.labels.clear();
    args
}

/// By its labels a container is known: an author cannot take them.
fn own_labels_over(
    authors: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let authors = authors
        .iter()
        .filter(|(name, _)| !name.starts_with(LABEL_PREFIX));
    let all = authors.chain(own);
    all.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
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

fn mounts(spec: &AppSpec, place: &Place<'_>) -> Vec<Volume> {
    let sandboxes = place.host.sandboxes.trim_end_matches('/');
    let sandbox = Volume {
        container_path: SANDBOX.to_owned(),
        host_path: format!("{sandboxes}/{}", place.task),
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
fn hostname(host: &HostId, task: &str) -> String {
    let short = host.as_str().split('.').next().unwrap_or_default();
    let room = HOSTNAME_MAX.saturating_sub(task.len() + 1);
    let short = beginning(short, room).replace('_', "-");
    format!("{}-{task}", short.trim_matches('-'))
}

#[cfg(test)]
mod tests;
