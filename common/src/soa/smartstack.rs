//! `smartstack.yaml`: the namespaces under which a service is announced to the load balancers.
//! Keys this file does not know are left to others: Synapse and Nerve have many more.

use std::collections::BTreeMap;

use super::{
    decode::{Fields, Range},
    marathon::Mode,
    node::{Map, Node},
};
use crate::problem::{Problem, Severity};

/// The location type over which backends are spread and discovered when none is named.
const LOCATION_DEFAULT: &str = "region";

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The port of the load balancers; without one the namespace is not load balanced.
    pub proxy_port: Option<u16>,
    /// What it speaks: http when there is a port and nothing else is said.
    pub mode: Option<Mode>,
    /// What its checks speak, when that differs.
    pub healthcheck_mode: Option<Mode>,
    /// The path of its checks.
    pub healthcheck_uri: String,
    /// The port of its checks, when that differs.
    pub healthcheck_port: Option<u16>,
    /// Milliseconds until a check has failed.
    pub healthcheck_timeout_ms: u64,
    /// The location types in which backends are announced.
    pub advertise: Vec<String>,
    /// The location type from which clients choose their backends; also what replicas are spread
    /// over.
    pub discover: String,
    /// Milliseconds to connect to a backend.
    pub timeout_connect_ms: u64,
    /// Milliseconds of silence of a backend.
    pub timeout_server_ms: u64,
    /// Milliseconds of silence of a client.
    pub timeout_client_ms: u64,
    /// How often a connection is retried.
    pub retries: u32,
    /// `leastconn` or `roundrobin`.
    pub balance: String,
}

/// Every namespace of a service, or what is wrong with it.
pub type Namespaces = BTreeMap<String, Result<Namespace, Vec<Problem>>>;

/// Takes the namespaces out of a file's tree.
pub fn namespaces(root: &Node) -> Namespaces {
    let mut namespaces = BTreeMap::new();
    let Some(map) = root.as_map() else {
        return namespaces;
    };
    for (name, entry) in map
        .entries
        .iter()
        .filter(|(name, _)| !name.starts_with('_'))
    {
        let mut problems = Vec::new();
        entry.node.faults(name, &mut problems);
        let empty = Map::default();
        let fields = entry.node.as_map().unwrap_or(&empty);
        let namespace = decode(&mut Fields::new(fields, name, &mut problems));
        let broken = problems.iter().any(|one| one.severity == Severity::Error);
        let result = match broken {
            true => Err(problems),
            false => Ok(namespace),
        };
        namespaces.insert(name.clone(), result);
    }
    namespaces
}

/// Whether the text has the form `service.namespace`.
pub fn is_registration(text: &str) -> bool {
    let part = |part: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(fine)
    };
    text.split_once('.')
        .is_some_and(|(service, namespace)| part(service) && part(namespace))
}

fn decode(fields: &mut Fields<'_, '_>) -> Namespace {
    let milliseconds = Range::within(0.0, 86_400_000.0);
    let modes = ["http", "https", "tcp"];
    let proxy_port = fields.port("proxy_port", 1);
    let mode = fields.choice("mode", &modes).and_then(Mode::from_name);
    let check = fields.choice("healthcheck_mode", &["http", "https", "tcp", "cmd"]);
    Namespace {
        proxy_port,
        mode: mode.or(proxy_port.map(|_| Mode::Http)),
        healthcheck_mode: check.and_then(Mode::from_name),
        healthcheck_uri: fields
            .text("healthcheck_uri")
            .unwrap_or_else(|| "/status".to_owned()),
        healthcheck_port: fields.port("healthcheck_port", 1),
        healthcheck_timeout_ms: fields
            .seconds("healthcheck_timeout_s", Range::within(0.0, 86_400.0))
            .unwrap_or(1_000),
        advertise: fields
            .texts("advertise")
            .unwrap_or_else(|| vec![LOCATION_DEFAULT.to_owned()]),
        discover: fields
            .text("discover")
            .unwrap_or_else(|| LOCATION_DEFAULT.to_owned()),
        timeout_connect_ms: fields
            .whole("timeout_connect_ms", milliseconds)
            .unwrap_or(200),
        timeout_server_ms: fields
            .whole("timeout_server_ms", milliseconds)
            .unwrap_or(1_000),
        timeout_client_ms: fields
            .whole("timeout_client_ms", milliseconds)
            .unwrap_or(1_000),
        retries: fields
            .whole32("retries", Range::within(0.0, 100.0))
            .unwrap_or(1),
        balance: fields
            .choice("balance", &["leastconn", "roundrobin"])
            .unwrap_or("leastconn")
            .to_owned(),
    }
}

/// The location type that replicas without a namespace are spread over.
pub fn default_discover() -> &'static str {
    LOCATION_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::yaml;

    #[test]
    fn a_namespace_has_paastas_defaults_and_a_broken_one_hurts_only_itself() {
        let text =
            "main:\n  proxy_port: 20001\n  unknown_to_us: 1\nworker: {}\nbad:\n  mode: htp\n";
        let found = namespaces(&yaml::parse("s/smartstack.yaml", text).unwrap());
        let main = found["main"].as_ref().unwrap();
        assert_eq!(main.mode, Some(Mode::Http));
        assert_eq!((main.retries, main.timeout_connect_ms), (1, 200));
        assert_eq!(
            (main.discover.as_str(), main.healthcheck_timeout_ms),
            ("region", 1000)
        );
        let worker = found["worker"].as_ref().unwrap();
        assert_eq!((worker.proxy_port, worker.mode), (None, None));
        let bad = &found["bad"].as_ref().unwrap_err()[0];
        assert_eq!((bad.line, bad.field.as_str()), (Some(6), "bad.mode"));
        assert!(bad.message.contains("http, https, tcp"), "{bad}");
    }

    #[test]
    fn a_registration_is_a_service_and_a_namespace() {
        for good in ["web.main", "my_web.canary-1"] {
            assert!(is_registration(good), "{good}");
        }
        for bad in ["web", "web.", ".main", "a.b.c", "a b.c"] {
            assert!(!is_registration(bad), "{bad}");
        }
    }
}
