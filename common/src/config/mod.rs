//! The operator's settings, `/etc/paasta/*.{yaml,json}`: PaaSTA's keys that paasta uses, and a
//! section for each of its programs. Not here: finding and merging the files.

use std::collections::BTreeMap;

use crate::{
    app::Volume,
    id::ClusterName,
    overcommit::Pools,
    problem::Problem,
    soa::{
        decode::{Fields, Range},
        marathon::{Location, Whitelist, blacklist, volumes, whitelist},
        node::{Map, Mark, Node, Value, join},
        reader::SOA_DIR_DEFAULT,
    },
};

mod agent;
mod alerts;
mod coordinator;
mod deployments;
mod pools;

pub use agent::AgentConfig;
pub use alerts::AlertsConfig;
pub use coordinator::CoordinatorConfig;
pub use deployments::DeploymentsConfig;

/// Where coordinators listen unless something else is configured.
pub const COORDINATOR_LISTEN_DEFAULT: &str = "127.0.0.1:7401";
/// Where a coordinator serves HTTP.
pub const COORDINATOR_HTTP_DEFAULT: &str = "127.0.0.1:7402";
/// Where an agent serves HTTP.
pub const AGENT_HTTP_DEFAULT: &str = "127.0.0.1:7403";

/// PaaSTA's own keys that mean nothing here: known, so never called a mistake.
const PAASTA_KEYS: &[&str] = &[
    "api_endpoints",
    "chronos_config",
    "cluster_autoscaling_draining_enabled",
    "cluster_autoscaling_resources",
    "cluster_boost_enabled",
    "cluster_fqdn_format",
    "dashboard_links",
    "deployd_big_bounce_deadline",
    "deployd_big_bounce_rate",
    "deployd_log_level",
    "deployd_maintenance_polling_frequency",
    "deployd_metrics_provider",
    "deployd_number_workers",
    "deployd_startup_bounce_deadline",
    "deployd_startup_oracle_enabled",
    "deployd_worker_failure_backoff_factor",
    "disabled_watchers",
    "fsm_template",
    "local_run_config",
    "log_reader",
    "log_writer",
    "maintenance_resource_reservation_enabled",
    "marathon_servers",
    "mesos_config",
    "monitoring_config",
    "pki_backend",
    "previous_marathon_servers",
    "register_marathon_services",
    "resource_pool_settings",
    "secret_provider",
    "slack",
    "synapse_haproxy_url_format",
    "synapse_host",
    "synapse_port",
    "taskproc",
    "tron",
    "vault_cluster_map",
    "vault_environment",
    "zookeeper",
];

/// Everything an operator can set. Units, defaults and ranges stand at the fields; the files in
/// `deploy/config` show all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemConfig {
    /// `cluster`: the cluster this machine belongs to. Programs that need it ask with
    /// [`SystemConfig::require_cluster`].
    pub cluster: Option<ClusterName>,
    /// `clusters`: all clusters. Default none, which makes every cluster visible.
    pub clusters: Vec<ClusterName>,
    /// `docker_registry`: `HOST[:PORT]` of the images.
    pub docker_registry: Option<String>,
    /// `dockercfg_location`: where pulls find their credentials. Default
    /// `file:///root/.dockercfg`.
    pub dockercfg_location: String,
    /// `volumes`: mounts of every container, `[{hostPath, containerPath, mode}]`. Default none.
    pub volumes: Vec<Volume>,
    /// `allowed_extra_volumes`: host directories that services may mount by `extra_volumes`.
    /// Default none, which refuses every extra volume.
    pub allowed_extra_volumes: Vec<String>,
    /// `deploy_blacklist`: locations where nothing new runs, `[[type, location], ...]`.
    pub deploy_blacklist: Vec<Location>,
    /// `deploy_whitelist`: the only locations where things run, `[type, [location, ...]]`.
    pub deploy_whitelist: Option<Whitelist>,
    /// `expected_slave_attributes`: the attribute maps that hosts are expected to have. Given,
    /// replicas are spread evenly over the distinct locations in it.
    pub expected_slave_attributes: Option<Vec<BTreeMap<String, String>>>,
    /// `auto_hostname_unique_size`: up to this many replicas never share a host. Default -1, off.
    pub auto_hostname_unique_size: i64,
    /// `pools`: how much of what its hosts have each pool gives out, `{POOL: {overcommit: {cpus,
    /// mem, disk}}}`. Default exactly what there is.
    pub pools: Pools,
    /// `sensu_host`: the Sensu client to which alerts go; `null` sends none there. Default
    /// `localhost`.
    pub sensu_host: Option<String>,
    /// `sensu_port`: TCP port, 1 to 65535. Default 3030.
    pub sensu_port: u16,
    /// `security_check_command`: the program that `paasta security-check` runs, with the service
    /// and the commit as its arguments. Default none.
    pub security_check_command: Option<String>,
    /// `soa_dir`: the yelpsoa-configs directory. Default `/nail/etc/services`.
    pub soa_dir: String,
    /// `alerts`: how instances are watched and where else alerts go.
    pub alerts: AlertsConfig,
    /// `coordinator`: the section of `paasta-coordinator`.
    pub coordinator: CoordinatorConfig,
    /// `agent`: the section of `paasta-agent`.
    pub agent: AgentConfig,
    /// `deployments`: how the leader follows the services' repositories.
    pub deployments: DeploymentsConfig,
    /// `cli`: the section of `paasta`.
    pub cli: CliConfig,
}

/// The section `cli`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliConfig {
    /// `coordinators`: `HOST:PORT` of any coordinators, tried in turn. Default `127.0.0.1:7401`.
    pub coordinators: Vec<String>,
    /// `clusters`: cluster to `HOST:PORT` of its coordinators, for `paasta wait-for-deployment` of
    /// what is deployed in several. Default none: all are asked at `coordinators`.
    pub clusters: BTreeMap<ClusterName, Vec<String>>,
}

impl Default for CliConfig {
    fn default() -> Self {
        Self {
            coordinators: vec![COORDINATOR_LISTEN_DEFAULT.to_owned()],
            clusters: BTreeMap::new(),
        }
    }
}

impl Default for SystemConfig {
    fn default() -> Self {
        Self::decode(&Node::empty_map("")).0
    }
}

impl SystemConfig {
    /// Takes the settings out of the merged tree of all files. Problems come sorted: errors name
    /// values that cannot be used (their defaults stand in for them), warnings keys that nobody
    /// knows.
    pub fn decode(root: &Node) -> (Self, Vec<Problem>) {
        Self::decode_noting(root, &mut Vec::new())
    }

    /// Every key there is, dotted: `agent.port_range`.
    pub fn keys() -> Vec<String> {
        let mut keys = Vec::new();
        Self::decode_noting(&Node::empty_map(""), &mut keys);
        keys.sort();
        keys
    }

    /// Decodes, and notes the keys that were asked for on the way.
    fn decode_noting(root: &Node, keys: &mut Vec<String>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        root.faults("", &mut problems);
        let empty = Map::default();
        let map = root.as_map().unwrap_or(&empty);
        let mut fields = Fields::new(map, "", &mut problems);
        let config = Self {
            cluster: names(&mut fields, "cluster").pop(),
            clusters: names(&mut fields, "clusters"),
            docker_registry: fields.text("docker_registry"),
            dockercfg_location: fields
                .text("dockercfg_location")
                .unwrap_or_else(|| "file:///root/.dockercfg".to_owned()),
            volumes: volumes(&mut fields, "volumes"),
            allowed_extra_volumes: directories(&mut fields, "allowed_extra_volumes"),
            deploy_blacklist: blacklist(&mut fields, "deploy_blacklist"),
            deploy_whitelist: whitelist(&mut fields, "deploy_whitelist"),
            expected_slave_attributes: expected(&mut fields),
            auto_hostname_unique_size: fields
                .integer("auto_hostname_unique_size", Range::within(-1.0, 100_000.0))
                .unwrap_or(-1),
            pools: pools::pools(&mut fields),
            sensu_host: match fields.has("sensu_host") {
                true => fields.text("sensu_host"),
                false => Some("localhost".to_owned()),
            },
            sensu_port: fields.port("sensu_port", 1).unwrap_or(3030),
            security_check_command: fields.text("security_check_command"),
            soa_dir: fields
                .text("soa_dir")
                .unwrap_or_else(|| SOA_DIR_DEFAULT.to_owned()),
            alerts: section(&mut fields, "alerts", keys, AlertsConfig::decode),
            coordinator: section(&mut fields, "coordinator", keys, CoordinatorConfig::decode),
            agent: section(&mut fields, "agent", keys, AgentConfig::decode),
            deployments: section(&mut fields, "deployments", keys, DeploymentsConfig::decode),
            cli: section(&mut fields, "cli", keys, cli),
        };
        keys.extend(fields.asked().map(str::to_owned));
        fields.warn_unknown(PAASTA_KEYS);
        drop(fields);
        problems.sort();
        problems.dedup();
        (config, problems)
    }

    /// The cluster, for programs that cannot do without.
    ///
    /// # Errors
    /// A problem that says how to set it.
    pub fn require_cluster(&self) -> Result<&ClusterName, Problem> {
        self.cluster.as_ref().ok_or_else(|| {
            Mark::file("/etc/paasta").error(
                "cluster",
                "is not set: name this machine's cluster, for example `cluster: prod`",
            )
        })
    }
}

/// Takes a section; an absent one has its defaults.
fn section<T>(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    keys: &mut Vec<String>,
    decode: impl FnOnce(&mut Fields<'_, '_>) -> T,
) -> T {
    let (empty, mut nothing) = (Map::default(), Vec::new());
    let mut absent = Fields::new(&empty, key, &mut nothing);
    let mut given = fields.map(key);
    let section = given.as_mut().unwrap_or(&mut absent);
    let value = decode(section);
    keys.extend(section.asked().map(|field| join(key, field)));
    section.warn_unknown(&[]);
    value
}

fn cli(fields: &mut Fields<'_, '_>) -> CliConfig {
    let given = fields.texts("coordinators");
    let mut config = CliConfig::default();
    if let Some(coordinators) = given.filter(|list| !list.is_empty()) {
        config.coordinators = coordinators;
    }
    config.clusters = clusters(fields);
    config
}

/// The coordinators of each cluster.
fn clusters(fields: &mut Fields<'_, '_>) -> BTreeMap<ClusterName, Vec<String>> {
    let mut clusters = BTreeMap::new();
    let Some(node) = fields.node("clusters").cloned() else {
        return clusters;
    };
    let Some(map) = node.as_map() else {
        let message = format!("expected a map, found {}", node.describe());
        fields.error("clusters", &node.mark, message);
        return clusters;
    };
    for (name, entry) in &map.entries {
        let key = format!("clusters.{name}");
        let list: &[Node] = match &entry.node.value {
            Value::List(list) => list,
            _ => &[],
        };
        let texts = list.iter().filter_map(|one| one.as_text());
        let addresses: Vec<String> = texts.map(str::to_owned).collect();
        match ClusterName::new(name) {
            Ok(cluster) if !addresses.is_empty() => {
                clusters.insert(cluster, addresses);
            }
            Ok(_) => {
                let message = "expected a list of HOST:PORT".to_owned();
                fields.error(&key, &entry.node.mark, message);
            }
            Err(error) => fields.error(&key, &entry.key, error.to_string()),
        }
    }
    clusters
}

/// One cluster name, or a list of them.
fn names(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<ClusterName> {
    let texts = match key {
        "cluster" => fields.text(key).map(|name| vec![name]),
        _ => fields.texts(key),
    };
    let mut names = Vec::new();
    for text in texts.unwrap_or_default() {
        match (ClusterName::new(&text), fields.node(key)) {
            (Ok(name), _) => names.push(name),
            (Err(error), Some(node)) => fields.error(key, &node.mark, error.to_string()),
            (Err(_), None) => {}
        }
    }
    names
}

/// Absolute directories; a relative one would silently allow nothing.
fn directories(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<String> {
    let directories = fields.texts(key).unwrap_or_default();
    for directory in &directories {
        let plain = directory.starts_with('/') && directory.split('/').all(|part| part != "..");
        if let Some(node) = fields.node(key).filter(|_| !plain) {
            let message = format!("{directory:?} is not an absolute path without '..'");
            fields.error(key, &node.mark, message);
        }
    }
    directories
}

fn expected(fields: &mut Fields<'_, '_>) -> Option<Vec<BTreeMap<String, String>>> {
    let mut hosts = Vec::new();
    for (n, item) in fields.list("expected_slave_attributes")?.iter().enumerate() {
        let key = format!("expected_slave_attributes[{n}]");
        match item.as_map() {
            Some(map) => hosts.push(texts(&mut fields.nested(&key, map))),
            None => {
                let message = format!("expected a map, found {}", item.describe());
                fields.error(&key, &item.mark, message);
            }
        }
    }
    Some(hosts)
}

/// A map from text to text.
fn texts(fields: &mut Fields<'_, '_>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (key, entry) in &fields.raw().entries {
        match entry.node.as_text() {
            Some(text) => {
                texts.insert(key.clone(), text.to_owned());
            }
            None => {
                let message = format!("expected text, found {}", entry.node.describe());
                fields.error(key, &entry.node.mark, message);
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests;
