//! Takes an [`InstanceConfig`] out of its tree, field by field. The groups of fields that have
//! rules of their own are in the files beside this one.

use std::collections::BTreeMap;

use super::{
    InstanceConfig, Origin,
    containers::{capabilities, command, environment, extra_volumes, network, ulimits},
    docker_args::docker_args,
    health::health,
    placement::placement,
    rollout::{bounce, drain},
};
use crate::{
    id::{ClusterName, InstanceName, ServiceName},
    problem::{Problem, Severity},
    soa::{
        decode::{Fields, Range},
        monitoring::Monitoring,
        node::{Map, Mark},
        smartstack::{self, Namespace},
    },
};

/// Every field an instance may have: PaaSTA's, then our own. A test keeps this list
/// equal to what the decoder asks for.
pub const FIELDS: &[&str] = &[
    "accepted_resource_roles",
    "args",
    "autoscaling",
    "backoff_factor",
    "bounce_health_params",
    "bounce_margin_factor",
    "bounce_method",
    "bounce_on_deadline",
    "bounce_priority",
    "bounce_progress_deadline",
    "bounce_start_deadline",
    "branch",
    "cap_add",
    "cfs_period_us",
    "cmd",
    "constraints",
    "container_port",
    "cpu_burst_add",
    "cpu_burst_pct",
    "cpus",
    "dependencies_reference",
    "deploy_blacklist",
    "deploy_group",
    "deploy_whitelist",
    "disk",
    "drain_method",
    "drain_method_params",
    "drain_timeout",
    "env",
    "extra_constraints",
    "extra_docker_args",
    "extra_volumes",
    "gpus",
    "healthcheck_cmd",
    "healthcheck_grace_period_seconds",
    "healthcheck_interval_seconds",
    "healthcheck_max_consecutive_failures",
    "healthcheck_mode",
    "healthcheck_timeout_seconds",
    "healthcheck_uri",
    "host_port",
    "instances",
    "marathon_shard",
    "max_instances",
    "max_launch_delay_seconds",
    "mem",
    "min_instances",
    "monitoring",
    "monitoring_blacklist",
    "nerve_ns",
    "net",
    "pool",
    "previous_marathon_shards",
    "registrations",
    "replication_threshold",
    "role",
    "security",
    "stop_timeout",
    "ulimit",
];

/// The most replicas of one instance.
pub(super) const INSTANCES_MAX: f64 = 100_000.0;
/// The longest time that a field in seconds may say: a year.
pub(super) const SECONDS_MAX: f64 = 31_536_000.0;
/// From SIGTERM to SIGKILL: Docker's own default, which PaaSTA leaves alone.
const STOP_TIMEOUT_MS: u64 = 10_000;
/// The longest time from SIGTERM to SIGKILL, seconds: a bounce waits for it.
const STOP_TIMEOUT_MAX: f64 = 3_600.0;
/// The most cores, MB or GPUs that one replica may ask for; no host is larger.
const AMOUNT_MAX: f64 = 100_000_000.0;

/// Finds the namespace of a registration; there need not be one.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Result<Option<Namespace>, Vec<Problem>> + 'a;

/// What surrounds an instance while it is decoded.
pub(crate) struct Context<'a> {
    /// The service.
    pub(crate) service: &'a ServiceName,
    /// The instance.
    pub(crate) instance: &'a InstanceName,
    /// The cluster.
    pub(crate) cluster: &'a ClusterName,
    /// Where the instance's key stands.
    pub(crate) mark: &'a Mark,
    /// The registry that service.yaml names.
    pub(crate) docker_registry: Option<&'a str>,
    /// Who is told.
    pub(crate) monitoring: &'a Monitoring,
    /// Finds the namespace of a registration.
    pub(crate) namespaces: &'a Lookup<'a>,
}

/// Decodes the effective map of an instance. Problems, warnings among them, go to `problems`;
/// without an error there is always a configuration.
pub(crate) fn decode(
    map: &Map,
    context: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<InstanceConfig> {
    let before = problems.len();
    let mut fields = Fields::new(map, context.instance.as_str(), problems);
    let config = instance(&mut fields, context);
    fields.refuse_unknown();
    drop(fields);
    let broken = problems[before..]
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    (!broken).then_some(config)
}

pub(super) fn instance(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> InstanceConfig {
    ignored(fields);
    let amount = |low| Range::above(low, AMOUNT_MAX);
    let registrations = registrations(fields, context);
    let namespace = namespace(fields, context, &registrations);
    let (cmd, args) = command(fields);
    let (instances, max_instances) = count(fields);
    let (net, container_port, host_port) = network(fields);
    let period = Range::within(1_000.0, 1_000_000.0);
    let cpus = fields.number("cpus", amount(0.0)).unwrap_or(0.25);
    let seconds = Range::within(1.0, SECONDS_MAX);
    InstanceConfig {
        origin: origin(fields.raw(), context),
        cpus,
        cpu_burst_add: burst(fields, cpus),
        cfs_period_us: fields.whole32("cfs_period_us", period).unwrap_or(100_000),
        mem: fields.number("mem", amount(32.0)).unwrap_or(1024.0),
        disk: fields.number("disk", amount(0.0)).unwrap_or(1024.0),
        gpus: fields
            .whole32("gpus", Range::within(0.0, 1024.0))
            .unwrap_or(0),
        instances,
        max_instances,
        deploy_group: deploy_group(fields, context),
        branch: fields.text("branch"),
        cmd,
        args,
        env: environment(fields),
        bounce: bounce(fields),
        drain: drain(fields, namespace.as_ref()),
        drain_timeout_ms: fields.seconds("drain_timeout", seconds),
        stop_timeout_ms: fields
            .seconds("stop_timeout", Range::within(0.0, STOP_TIMEOUT_MAX))
            .unwrap_or(STOP_TIMEOUT_MS),
        health: health(fields),
        backoff_factor: fields
            .whole32("backoff_factor", Range::within(1.0, 1000.0))
            .unwrap_or(2),
        backoff_max_ms: fields
            .whole("max_launch_delay_seconds", seconds)
            .map_or(300_000, |seconds| seconds * 1000),
        registrations,
        namespace,
        net,
        container_port,
        host_port,
        placement: placement(fields),
        extra_volumes: extra_volumes(fields),
        ulimits: ulimits(fields),
        cap_add: capabilities(fields),
        docker: docker_args(fields),
        replication_threshold: fields
            .whole32("replication_threshold", Range::within(0.0, 100.0))
            .unwrap_or(50),
        docker_registry: context.docker_registry.map(str::to_owned),
        monitoring: context.monitoring.clone(),
    }
}

fn origin(map: &Map, context: &Context<'_>) -> Origin {
    let fields: BTreeMap<String, Mark> = map
        .entries
        .iter()
        .map(|(key, entry)| (key.clone(), entry.node.mark.clone()))
        .collect();
    Origin {
        instance: context.mark.clone(),
        fields,
    }
}

/// `instances`, and the autoscaler's bound, which PaaSTA uses until its autoscaler has spoken.
fn count(fields: &mut Fields<'_, '_>) -> (u32, Option<u32>) {
    let range = Range::within(0.0, INSTANCES_MAX);
    let instances = fields.whole32("instances", range).unwrap_or(1);
    let min = fields.whole32("min_instances", range).unwrap_or(1);
    let max = fields.whole32("max_instances", range);
    if let (Some(max), Some(node)) = (max, fields.node("max_instances")) {
        let message = match max < min {
            true => format!("is less than min_instances ({min})"),
            false => "there is no autoscaler: max_instances replicas run, and instances is ignored"
                .to_owned(),
        };
        fields.warn("max_instances", &node.mark, message);
    }
    (instances, max)
}

/// `cpu_burst_add`, or what the older `cpu_burst_pct` comes to.
fn burst(fields: &mut Fields<'_, '_>, cpus: f64) -> f64 {
    let add = fields.number("cpu_burst_add", Range::within(0.0, 1000.0));
    let percent = fields.number("cpu_burst_pct", Range::within(0.0, 100_000.0));
    match (add, percent) {
        (Some(add), _) => add,
        (None, Some(percent)) => cpus * percent / 100.0,
        (None, None) => 1.0,
    }
}

fn deploy_group(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> String {
    match fields.text("deploy_group") {
        Some(group) => group
            .replace("{cluster}", context.cluster.as_str())
            .replace("{instance}", context.instance.as_str())
            .replace("{service}", context.service.as_str()),
        None => format!("{}.{}", context.cluster, context.instance),
    }
}

fn registrations(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Vec<String> {
    let given = fields.texts("registrations");
    let nerve_ns = fields.text("nerve_ns");
    let own = |namespace: &str| format!("{}.{namespace}", context.service);
    let registrations = match (given, nerve_ns) {
        (Some(given), _) if !given.is_empty() => given,
        (_, Some(namespace)) => vec![own(&namespace)],
        _ => return vec![own(context.instance.as_str())],
    };
    let key = match fields.has("registrations") {
        true => "registrations",
        false => "nerve_ns",
    };
    let Some(node) = fields.node(key) else {
        return registrations;
    };
    for (n, registration) in registrations.iter().enumerate() {
        if !smartstack::is_registration(registration) {
            let message = format!("{registration:?} is not of the form SERVICE.NAMESPACE");
            fields.error(key, &node.mark, message);
        }
        if registrations[..n].contains(registration) {
            fields.error(key, &node.mark, format!("{registration:?} is given twice"));
        }
    }
    registrations
}

fn namespace(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
    registrations: &[String],
) -> Option<Namespace> {
    let main = registrations.first()?;
    match (context.namespaces)(main) {
        Ok(namespace) => namespace,
        Err(found) => {
            for problem in found {
                let at = problem.to_string();
                let message = format!("its namespace {main} cannot be used: {at}");
                fields.error("registrations", context.mark, message);
            }
            None
        }
    }
}

/// Fields that are understood and have no effect here, and those that would be dangerous to
/// ignore.
fn ignored(fields: &mut Fields<'_, '_>) {
    let quiet = [
        "accepted_resource_roles",
        "marathon_shard",
        "previous_marathon_shards",
        "role",
    ];
    for key in quiet {
        fields.node(key);
    }
    fields.whole("bounce_priority", Range::within(-1.0e9, 1.0e9));
    fields.map("autoscaling");
    fields.map("monitoring");
    fields.list("monitoring_blacklist");
    security(fields);
}

fn security(fields: &mut Fields<'_, '_>) {
    let reference = fields.text("dependencies_reference");
    let Some(mut security) = fields.map("security") else {
        return;
    };
    let mode = security.choice("outbound_firewall", &["block", "monitor"]);
    security.refuse_unknown();
    let Some(node) = fields.node("security").filter(|_| mode.is_some()) else {
        return;
    };
    let message = "outbound_firewall is not enforced: the container's connections are not filtered";
    fields.warn("security", &node.mark, message);
    if reference.is_none() {
        let message = "outbound_firewall needs dependencies_reference, a key of dependencies.yaml";
        fields.error("security", &node.mark, message);
    }
}
