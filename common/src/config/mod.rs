//! The operator's settings, `/etc/paasta/*.{yaml,json}`: PaaSTA's keys that paasta uses, and a
//! section for each of its programs. Not here: finding and merging the files.

use std::collections::BTreeMap;

use crate::{
    app::Volume,
    id::ClusterName,
    image::Registry,
    overcommit::Pools,
    problem::Problem,
    soa::{
        marathon::{Location, Whitelist, blacklist, volumes, whitelist},
        node::{Map, Mark, Node, join},
        table::{Kind, Record, Table},
    },
};

mod agent;
mod alerts;
mod authors;
mod cluster;
mod coordinator;
mod deployments;
mod effective;
mod listen;
mod pools;
mod proxy;
mod table;
mod tls;

pub use agent::AgentConfig;
pub use alerts::AlertsConfig;
pub(crate) use authors::REGISTRY;
pub use authors::{AuthorLimits, SHM_MAX_MB};
pub use cluster::{ClusterSettings, Difference};
pub use coordinator::CoordinatorConfig;
pub use deployments::DeploymentsConfig;
pub use effective::{Origin, Setting, settings};
pub use proxy::{ProxyConfig, YOCALHOST};
pub use table::SYSTEM;
use table::{SETTINGS, TEXTS};
pub use tls::TlsConfig;

/// Where coordinators listen unless something else is configured.
pub const COORDINATOR_LISTEN_DEFAULT: &str = "127.0.0.1:7401";
/// Where a coordinator serves HTTP.
pub const COORDINATOR_HTTP_DEFAULT: &str = "127.0.0.1:7402";
/// Where an agent serves HTTP.
pub const AGENT_HTTP_DEFAULT: &str = "127.0.0.1:7403";

/// Everything an operator can set. Units, defaults and ranges stand at the fields; the files in
/// `deploy/config` show all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemConfig {
    /// `cluster`: the cluster this machine belongs to. Programs that need it ask with
    /// [`SystemConfig::require_cluster`].
    pub cluster: Option<ClusterName>,
    /// `clusters`: all clusters. Default none, which makes every cluster visible.
    pub clusters: Vec<ClusterName>,
    /// `docker_registry`: `HOST[:PORT][/PATH]` of the images, without a `/` at the end.
    pub docker_registry: Option<String>,
    /// `dockercfg_location`: where pulls find their credentials. Default
    /// `file:///root/.dockercfg`.
    pub dockercfg_location: String,
    /// `volumes`: mounts of every container, `[{hostPath, containerPath, mode}]`. Default none.
    pub volumes: Vec<Volume>,
    /// `allowed_extra_volumes`: host directories that services may mount by `extra_volumes`.
    /// Default none, which refuses every extra volume.
    pub allowed_extra_volumes: Vec<String>,
    /// `allowed_cap_add`, `allow_host_network`, `max_shm_size_mb` and `max_ulimits`: what authors
    /// may ask for.
    pub authors: AuthorLimits,
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
    /// Whether `sensu_host` was given: a client at the default address may be absent.
    pub sensu_named: bool,
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
        let mut fields = Record::open(map, &SETTINGS, "", &root.mark, &mut problems);
        let cluster = fields.text("cluster");
        let config = Self {
            cluster: cluster.and_then(|name| ClusterName::new(&name).ok()),
            clusters: names(&mut fields),
            docker_registry: fields
                .text("docker_registry")
                .and_then(|text| Registry::new(&text).ok())
                .map(|registry| registry.as_str().to_owned()),
            dockercfg_location: fields.text("dockercfg_location").unwrap_or_default(),
            volumes: volumes(&mut fields),
            allowed_extra_volumes: fields.texts("allowed_extra_volumes").unwrap_or_default(),
            authors: AuthorLimits::decode(&mut fields),
            deploy_blacklist: blacklist(&mut fields),
            deploy_whitelist: whitelist(&mut fields),
            expected_slave_attributes: expected(&mut fields),
            auto_hostname_unique_size: fields
                .integer("auto_hostname_unique_size")
                .unwrap_or_default(),
            pools: pools::pools(&mut fields),
            sensu_host: match fields.node("sensu_host").is_none() && fields.has("sensu_host") {
                true => None,
                false => fields.text("sensu_host"),
            },
            sensu_named: fields.has("sensu_host"),
            sensu_port: fields.port("sensu_port").unwrap_or_default(),
            security_check_command: fields.text("security_check_command"),
            soa_dir: fields.text("soa_dir").unwrap_or_default(),
            alerts: section(&mut fields, "alerts", keys, AlertsConfig::decode),
            coordinator: section(&mut fields, "coordinator", keys, CoordinatorConfig::decode),
            agent: section(&mut fields, "agent", keys, AgentConfig::decode),
            deployments: section(&mut fields, "deployments", keys, DeploymentsConfig::decode),
            cli: section(&mut fields, "cli", keys, cli),
        };
        keys.extend(fields.asked().map(str::to_owned));
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
    fields: &mut Record<'_, '_>,
    key: &'static str,
    keys: &mut Vec<String>,
    decode: impl FnOnce(&mut Record<'_, '_>) -> T,
) -> T {
    let (empty, mut nothing) = (Map::default(), Vec::new());
    let table = fields_of(key);
    let mut absent = Record::open(&empty, table, key, &Mark::file(""), &mut nothing);
    let mut given = fields.map(key);
    let section = given.as_mut().unwrap_or(&mut absent);
    let value = decode(section);
    keys.extend(section.asked().map(|field| join(key, field)));
    value
}

/// The table of a section; of anything else one without fields.
fn fields_of(key: &str) -> &'static Table {
    static NOTHING: Table = Table::warning("no section", &[]);
    match SETTINGS.get(key).map(|field| &field.kind) {
        Some(Kind::Map(table)) => table,
        _ => &NOTHING,
    }
}

fn cli(fields: &mut Record<'_, '_>) -> CliConfig {
    let mut config = CliConfig::default();
    let given = fields.texts("coordinators");
    if let Some(coordinators) = given.filter(|list| !list.is_empty()) {
        config.coordinators = coordinators;
    }
    for (name, node) in fields.entries("clusters") {
        if let (Ok(cluster), Some(addresses)) = (ClusterName::new(name), table::addresses(node)) {
            config.clusters.insert(cluster, addresses);
        }
    }
    config
}

fn names(fields: &mut Record<'_, '_>) -> Vec<ClusterName> {
    let texts = fields.texts("clusters").unwrap_or_default();
    let names = texts.iter().filter_map(|text| ClusterName::new(text).ok());
    names.collect()
}

fn expected(fields: &mut Record<'_, '_>) -> Option<Vec<BTreeMap<String, String>>> {
    fields.list("expected_slave_attributes")?;
    let hosts = fields.maps("expected_slave_attributes").into_iter();
    let entries = |(_, _, map): (usize, _, &Map)| {
        let texts = map.entries.iter();
        let texts = texts.filter_map(|(key, entry)| Some((key.clone(), entry.node.as_text()?)));
        texts.map(|(key, text)| (key, text.to_owned())).collect()
    };
    Some(hosts.map(entries).collect())
}

/// A map from text to text.
fn texts(entries: &[(&str, &Node)]) -> BTreeMap<String, String> {
    let texts = entries.iter();
    let texts = texts.filter_map(|(key, node)| Some(((*key).to_owned(), node.as_text()?)));
    texts.map(|(key, text)| (key, text.to_owned())).collect()
}

#[cfg(test)]
mod tests;
