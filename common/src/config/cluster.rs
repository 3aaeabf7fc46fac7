//! The settings that decide what a container is, or whether and where it may run: they are the
//! cluster's, not those of whichever coordinator leads. All other keys are each machine's own; a
//! test holds every key to be in one of the two lists.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AuthorLimits, SystemConfig};
use crate::{
    app::Volume,
    id::ClusterName,
    overcommit::Pools,
    soa::marathon::{Location, Whitelist},
};

/// The settings of a cluster that every coordinator must agree on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSettings {
    /// Whether `net: host` is allowed.
    pub allow_host_network: bool,
    /// Capabilities that `cap_add` may name beside Docker's default.
    pub allowed_cap_add: Vec<String>,
    /// As in [`SystemConfig`], like the others.
    pub allowed_extra_volumes: Vec<String>,
    /// Up to this many replicas never share a host; negative is off.
    pub auto_hostname_unique_size: i64,
    /// All clusters, or none.
    pub clusters: Vec<ClusterName>,
    /// Locations where nothing new runs.
    pub deploy_blacklist: Vec<Location>,
    /// The only locations where things run.
    pub deploy_whitelist: Option<Whitelist>,
    /// `HOST[:PORT]` of the images.
    pub docker_registry: Option<String>,
    /// `agent.docker_socket`: the socket that no container gets.
    pub docker_socket: String,
    /// The attribute maps that hosts are expected to have.
    pub expected_slave_attributes: Option<Vec<BTreeMap<String, String>>>,
    /// The most that `shm-size` may ask for, MiB.
    #[serde(default = "shm_mb")]
    pub max_shm_size_mb: u64,
    /// The greatest ulimits by name.
    #[serde(default = "ulimits")]
    pub max_ulimits: BTreeMap<String, i64>,
    /// How much of what its hosts have each pool gives out.
    pub pools: Pools,
    /// Mounts of every container.
    pub volumes: Vec<Volume>,
}

/// A setting of which two sets say different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// What the first set says, as JSON.
    pub ours: String,
    /// What the second says.
    pub theirs: String,
}

/// What a set of an older version means by saying nothing.
fn shm_mb() -> u64 {
    SystemConfig::default().authors.shm_bytes >> 20
}

fn ulimits() -> BTreeMap<String, i64> {
    SystemConfig::default().authors.ulimits
}

impl ClusterSettings {
    /// What a coordinator's own files say.
    pub fn of(system: &SystemConfig) -> Self {
        let system = system.clone();
        Self {
            allow_host_network: system.authors.host_network,
            allowed_cap_add: system.authors.cap_add,
            allowed_extra_volumes: system.allowed_extra_volumes,
            auto_hostname_unique_size: system.auto_hostname_unique_size,
            clusters: system.clusters,
            deploy_blacklist: system.deploy_blacklist,
            deploy_whitelist: system.deploy_whitelist,
            docker_registry: system.docker_registry,
            docker_socket: system.agent.docker_socket,
            expected_slave_attributes: system.expected_slave_attributes,
            max_shm_size_mb: system.authors.shm_bytes >> 20,
            max_ulimits: system.authors.ulimits,
            pools: system.pools,
            volumes: system.volumes,
        }
    }

    /// A coordinator's configuration with these in place of its own.
    #[must_use]
    pub fn over(&self, system: &SystemConfig) -> SystemConfig {
        let (mut system, ours) = (system.clone(), self.clone());
        system.authors = AuthorLimits {
            cap_add: ours.allowed_cap_add,
            host_network: ours.allow_host_network,
            shm_bytes: ours.max_shm_size_mb << 20,
            ulimits: ours.max_ulimits,
        };
        system.allowed_extra_volumes = ours.allowed_extra_volumes;
        system.auto_hostname_unique_size = ours.auto_hostname_unique_size;
        system.clusters = ours.clusters;
        system.deploy_blacklist = ours.deploy_blacklist;
        system.deploy_whitelist = ours.deploy_whitelist;
        system.docker_registry = ours.docker_registry;
        system.agent.docker_socket = ours.docker_socket;
        system.expected_slave_attributes = ours.expected_slave_attributes;
        system.pools = ours.pools;
        system.volumes = ours.volumes;
        system
    }

    /// The settings in which `theirs` says something else, by key.
    pub fn differences(&self, theirs: &Self) -> Vec<Difference> {
        let (ours, theirs) = (self.values(), theirs.values());
        let text = |value: Option<&Value>| value.map_or_else(String::new, Value::to_string);
        let keys = ours
            .keys()
            .chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
        let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
        keys.filter(differs)
            .map(|key| Difference {
                key: key.clone(),
                ours: text(ours.get(key)),
                theirs: text(theirs.get(key)),
            })
            .collect()
    }

    /// A short name of these values: 16 hex digits, the same for equal sets only.
    pub fn digest(&self) -> String {
        let text = Value::Object(self.values().into_iter().collect()).to_string();
        let digest = Md5::digest(text.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// By key, sorted.
    fn values(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map.into_iter().collect(),
            // No field of it can fail to be JSON.
            _ => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::yaml;

    /// The keys of the cluster.
    const OURS: [&str; 14] = [
        "agent.docker_socket",
        "allow_host_network",
        "allowed_cap_add",
        "allowed_extra_volumes",
        "auto_hostname_unique_size",
        "clusters",
        "deploy_blacklist",
        "deploy_whitelist",
        "docker_registry",
        "expected_slave_attributes",
        "max_shm_size_mb",
        "max_ulimits",
        "pools",
        "volumes",
    ];
    /// Keys, and sections, of each machine: they reach no container and no placement.
    const THEIRS: [&str; 12] = [
        "agent",
        "alerts",
        "cli",
        // Its name is in the replicated state, and another one is refused.
        "cluster",
        "coordinator",
        "deployments",
        "dockercfg_location",
        "security_check_command",
        "sensu_host",
        "sensu_port",
        "soa_dir",
        "",
    ];

    fn all() -> SystemConfig {
        let text = "
allow_host_network: true
allowed_cap_add: [BPF]
max_shm_size_mb: 2048
max_ulimits: {core: 5}
allowed_extra_volumes: [/srv]
auto_hostname_unique_size: 3
clusters: [prod, dev]
deploy_blacklist: [[region, north]]
deploy_whitelist: [habitat, [a, b]]
docker_registry: registry.example.com:5000
expected_slave_attributes: [{region: north}, {region: south}]
pools: {default: {overcommit: {cpus: 1.5}}}
volumes: [{hostPath: /etc/ssl, containerPath: /etc/ssl, mode: RO}]
agent: {docker_socket: /run/other.sock}
cluster: prod
";
        let (system, problems) = SystemConfig::decode(&yaml::parse("x.yaml", text).unwrap());
        assert_eq!(problems, []);
        system
    }

    #[test]
    fn every_key_is_the_clusters_or_each_machines() {
        for key in SystemConfig::keys() {
            let section = key.split('.').next().unwrap_or_default();
            let ours = OURS.contains(&key.as_str());
            let theirs = THEIRS.contains(&section) || THEIRS.contains(&key.as_str());
            assert!(
                ours || theirs,
                "{key}: does it decide what a container is, or where it may run? Then it belongs \
                 to ClusterSettings, and otherwise to the list of this test"
            );
        }
        let keys = ClusterSettings::default().values();
        assert_eq!(keys.len(), OURS.len(), "each of them is in the set");
    }

    #[test]
    fn another_coordinators_own_settings_do_not_show_through() {
        let (full, bare) = (all(), SystemConfig::default());
        let (ours, theirs) = (ClusterSettings::of(&full), ClusterSettings::of(&bare));
        assert_eq!(ours.differences(&theirs).len(), OURS.len());
        assert_eq!(ClusterSettings::of(&ours.over(&bare)), ours);
        assert_eq!(ClusterSettings::of(&theirs.over(&full)), theirs);
        assert_eq!(theirs.over(&full).cluster, full.cluster);
        assert_ne!(ours.digest(), theirs.digest());
        assert_eq!(ours.digest().len(), 16);
        let text = serde_json::to_string(&ours).unwrap();
        assert_eq!(
            serde_json::from_str::<ClusterSettings>(&text).unwrap(),
            ours
        );
        let [one] = &ours.differences(&ClusterSettings {
            volumes: Vec::new(),
            ..ours.clone()
        })[..] else {
            panic!("one differs")
        };
        assert_eq!((one.key.as_str(), one.theirs.as_str()), ("volumes", "[]"));
        assert!(one.ours.contains("/etc/ssl"), "{one:?}");
    }
}
