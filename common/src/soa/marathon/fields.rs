//! Takes an [`InstanceConfig`] out of its tree, field by field. What the fields are is in the
//! table; the groups of fields that have rules of their own are in the files beside this one.

use std::{collections::BTreeMap, sync::Arc};

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
    problem::{Problem, QUOTED_MAX, Rule, Severity, quoted},
    smartstack as words,
    soa::{
        kinds::InstanceType,
        monitoring::Monitoring,
        node::{Map, Mark, Node, Value},
        smartstack::{self, Namespace},
        table::Record,
    },
    text::shortened,
};

/// Finds the namespace of a registration; there need not be one.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Result<Option<Namespace>, Vec<Problem>> + 'a;

/// What surrounds an instance while it is decoded.
pub(crate) struct Context<'a> {
    /// What type of instance it is.
    pub(crate) kind: InstanceType,
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
    let table = context.kind.table();
    let path = context.instance.as_str();
    let mut fields = Record::open(map, table, path, context.mark, problems);
    let config = instance(&mut fields, context);
    drop(fields);
    let broken = problems[before..]
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    (!broken).then_some(config)
}

pub(super) fn instance(fields: &mut Record<'_, '_>, context: &Context<'_>) -> InstanceConfig {
    ignored(fields);
    let registrations = registrations(fields, context);
    let (namespace, namespaces) = namespaces(fields, context, &registrations);
    let (cmd, args) = command(fields);
    let (instances, min_instances, max_instances) = count(fields);
    let (net, container_port, host_port) = network(fields);
    let cpus = fields.number("cpus").unwrap_or_default();
    InstanceConfig {
        kind: context.kind,
        origin: origin(fields.raw(), context),
        cpus,
        cpu_burst_add: burst(fields, cpus),
        cfs_period_us: fields.whole32("cfs_period_us").unwrap_or_default(),
        mem: fields.number("mem").unwrap_or_default(),
        disk: fields.number("disk").unwrap_or_default(),
        gpus: fields.whole32("gpus").unwrap_or_default(),
        instances,
        min_instances,
        max_instances,
        deploy_group: deploy_group(fields, context),
        branch: fields.text("branch"),
        cmd,
        args,
        env: environment(fields),
        bounce: bounce(fields),
        drain: drain(fields, namespace.as_ref()),
        drain_timeout_ms: fields.seconds("drain_timeout"),
        stop_timeout_ms: fields.seconds("stop_timeout").unwrap_or_default(),
        health: health(fields),
        backoff_factor: fields.whole32("backoff_factor").unwrap_or_default(),
        backoff_max_ms: fields
            .seconds("max_launch_delay_seconds")
            .unwrap_or_default(),
        registrations,
        namespace,
        namespaces,
        net,
        container_port,
        host_port,
        placement: placement(fields),
        extra_volumes: extra_volumes(fields),
        ulimits: ulimits(fields),
        cap_add: capabilities(fields),
        docker: docker_args(fields),
        replication_threshold: fields.whole32("replication_threshold").unwrap_or_default(),
        dependencies: fields.text("dependencies_reference"),
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

/// `instances`, and the autoscaler's bounds, the upper one of which PaaSTA uses until its autoscaler
/// has spoken.
fn count(fields: &mut Record<'_, '_>) -> (u32, u32, Option<u32>) {
    let instances = fields.whole32("instances").unwrap_or_default();
    let min = fields.whole32("min_instances").unwrap_or_default();
    let max = fields.whole32("max_instances");
    if let (Some(max), Some(node)) = (max, fields.node("max_instances")) {
        let (rule, message) = match max < min {
            true => (
                Rule::Conflict,
                format!("is less than min_instances ({min})"),
            ),
            false => (
                Rule::Unsupported,
                "there is no autoscaler: max_instances replicas run, and instances is ignored"
                    .to_owned(),
            ),
        };
        fields.warn("max_instances", &node.mark, rule, message);
    }
    (instances, min, max)
}

/// `cpu_burst_add`, or what the older `cpu_burst_pct` comes to.
fn burst(fields: &mut Record<'_, '_>, cpus: f64) -> f64 {
    let given = fields.node("cpu_burst_add").is_some();
    let (add, percent) = (
        fields.number("cpu_burst_add"),
        fields.number("cpu_burst_pct"),
    );
    match percent {
        Some(percent) if !given => cpus * percent / 100.0,
        _ => add.unwrap_or_default(),
    }
}

fn deploy_group(fields: &mut Record<'_, '_>, context: &Context<'_>) -> String {
    match fields.text("deploy_group") {
        Some(group) => group
            .replace("{cluster}", context.cluster.as_str())
            .replace("{instance}", context.instance.as_str())
            .replace("{service}", context.service.as_str()),
        None => format!("{}.{}", context.cluster, context.instance),
    }
}

fn registrations(fields: &mut Record<'_, '_>, context: &Context<'_>) -> Vec<String> {
    let given = fields.texts("registrations");
    let nerve_ns = fields.text("nerve_ns");
    let own = |namespace: &str| format!("{}.{namespace}", context.service);
    if let (Some([]), Some(node)) = (given.as_deref(), fields.node("registrations")) {
        let message = "is empty, which counts as not given";
        fields.warn("registrations", &node.mark, Rule::Unsupported, message);
    }
    match (given, nerve_ns) {
        (Some(given), _) if !given.is_empty() => given,
        (_, Some(namespace)) => {
            let registration = own(&namespace);
            if let (false, Some(node)) = (
                smartstack::is_registration(&registration),
                fields.node("nerve_ns"),
            ) {
                let message = format!(
                    "{} is not of the form SERVICE.NAMESPACE",
                    quoted(&registration)
                );
                fields.error("nerve_ns", &node.mark, Rule::Format, message);
            }
            vec![registration]
        }
        _ => vec![own(context.instance.as_str())],
    }
}

/// The namespaces that load balancers serve, with their options.
type Served = BTreeMap<words::Namespace, Arc<words::NamespaceOptions>>;

/// The namespace of the main registration, and those among all that load balancers serve. Every one
/// that is given by name must exist. Each is looked up once: it may be another service's, whose file
/// is then read.
fn namespaces(
    fields: &mut Record<'_, '_>,
    context: &Context<'_>,
    registrations: &[String],
) -> (Option<Namespace>, Served) {
    let given = ["registrations", "nerve_ns"];
    let empty = |node: &&Node| matches!(&node.value, Value::List(items) if items.is_empty());
    let given = given.into_iter().find_map(|key| {
        let node = fields.node(key).filter(|node| !empty(node))?;
        Some((key, node))
    });
    let (mut main, mut served) = (None, Served::new());
    for (n, registration) in registrations.iter().enumerate() {
        let found = (context.namespaces)(registration);
        if let (Ok(Some(namespace)), Ok(name)) = (&found, registration.parse())
            && namespace.options.proxy_port.is_some()
        {
            served.insert(name, Arc::new(namespace.options.clone()));
        }
        match (found, given) {
            (Ok(Some(namespace)), _) if n == 0 => main = Some(namespace),
            (Err(found), _) if n == 0 => {
                for problem in found {
                    let at = problem.to_string();
                    let message = format!(
                        "its namespace {} cannot be used: {at}",
                        quoted(registration)
                    );
                    fields.error("registrations", context.mark, Rule::Reference, message);
                }
            }
            (Ok(None), Some((key, node))) if smartstack::is_registration(registration) => {
                let (service, name) = registration.split_once('.').unwrap_or_default();
                let message = format!(
                    "there is no namespace {} in {}/smartstack.yaml",
                    quoted(name),
                    shortened(service, QUOTED_MAX)
                );
                fields.warn(key, &node.mark, Rule::Reference, message);
            }
            _ => {}
        }
    }
    (main, served)
}

/// Fields that are understood and have no effect here.
fn ignored(fields: &mut Record<'_, '_>) {
    for key in [
        "accepted_resource_roles",
        "autoscaling",
        "bounce_priority",
        "marathon_shard",
        "monitoring",
        "monitoring_blacklist",
        "previous_marathon_shards",
        "role",
    ] {
        fields.node(key);
    }
    security(fields);
}

fn security(fields: &mut Record<'_, '_>) {
    let reference = fields.text("dependencies_reference");
    let mode = match fields.map("security") {
        Some(mut security) => security.text("outbound_firewall"),
        None => None,
    };
    let Some(node) = fields.node("security").filter(|_| mode.is_some()) else {
        return;
    };
    let message = "outbound_firewall is not enforced: the container's connections are not filtered";
    fields.warn("security", &node.mark, Rule::Unsupported, message);
    if reference.is_none() {
        let message = "outbound_firewall is ignored: there is no dependencies_reference, a key of \
                       dependencies.yaml";
        fields.warn("security", &node.mark, Rule::Conflict, message);
    }
}
