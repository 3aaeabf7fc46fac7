//! `smartstack.yaml`: the namespaces under which a service is announced to the load balancers.
//! Keys of PaaSTA that do nothing here are in the table, too; any other key is warned of.

use std::collections::BTreeMap;

use super::{
    marathon::{Mode, URI},
    node::{Map, Node, Value},
    table::{
        Default::{Bool, Number, Text, Texts, Whole},
        Entries, Field, Kind, Range, Record, Table,
    },
};
use crate::problem::{Problem, Rule, Severity};

/// The location type over which backends are spread and discovered when none is named.
const LOCATION_DEFAULT: &str = "region";

/// The namespaces of a service.
pub static NAMESPACES: Entries = Entries {
    about: "the namespaces under which a service is announced to the load balancers",
    names: None,
    templates: true,
    kind: Kind::Map(&NAMESPACE),
    filled: false,
};

static NAMESPACE: Table = Table::warning("one namespace", FIELDS);

const MILLISECONDS: Kind = Kind::Whole(Range::within(0.0, 86_400_000.0));
const SECONDS: Kind = Kind::Number(Range::within(0.0, 86_400.0));
const PORT: Kind = Kind::Whole(Range::within(1.0, 65_535.0));

const LATER: &str = "Of later versions of PaaSTA; does nothing here.";

const FIELDS: &[Field] = &[
    Field::new(
        "advertise",
        Kind::List(&Kind::Text),
        "The location types in which backends are announced.",
    )
    .or(Texts(LOCATION_DEFAULT)),
    Field::new("allow_websocket_upgrade", Kind::Any, LATER),
    Field::new(
        "allredisp",
        Kind::Bool,
        "Whether a retry goes to another backend at once.",
    )
    .or(Bool(false)),
    Field::new(
        "balance",
        Kind::Choice(&["leastconn", "roundrobin"]),
        "How a backend is chosen.",
    )
    .or(Text("leastconn")),
    Field::new("chaos", Kind::Any, "Faults for tests; does nothing here."),
    Field::new("choice_count", Kind::Any, LATER),
    Field::new("clb_proxy", Kind::Any, LATER),
    Field::new(
        "discover",
        Kind::Text,
        "The location type from which clients choose backends, and over which replicas are spread.",
    )
    .or(Text(LOCATION_DEFAULT)),
    Field::new("endpoint_timeouts", Kind::Any, LATER),
    Field::new(
        "extra_advertise",
        Kind::Entries(&ADVERTISE),
        "Announces backends of one location in others, {\"TYPE:LOCATION\": [\"TYPE:LOCATION\"]}.",
    ),
    Field::new(
        "extra_headers",
        Kind::Entries(&HEADERS),
        "Headers of every request.",
    ),
    Field::new(
        "extra_healthcheck_headers",
        Kind::Entries(&HEADERS),
        "Headers of the checks.",
    ),
    Field::new(
        "fixed_delay",
        Kind::Any,
        "A delay for tests; does nothing here.",
    ),
    Field::new(
        "healthcheck_body_expect",
        Kind::Text,
        "What the body of a check must hold.",
    ),
    Field::new(
        "healthcheck_mode",
        Kind::Choice(&["http", "https", "tcp", "cmd"]),
        "What checks speak, when it is not mode.",
    ),
    Field::new(
        "healthcheck_port",
        PORT,
        "The port of checks, when it is another.",
    ),
    Field::new(
        "healthcheck_timeout_s",
        SECONDS,
        "Seconds until a check has failed.",
    )
    .or(Number(1.0)),
    Field::new(
        "healthcheck_uri",
        Kind::Pattern(&URI),
        "The path of checks.",
    )
    .or(Text("/status")),
    Field::new("idle_timeout", Kind::Any, LATER),
    Field::new("is_proxy", Kind::Any, LATER),
    Field::new("lb_policy", Kind::Any, LATER),
    Field::new(
        "longest_timeout_ms",
        MILLISECONDS,
        "The longest of the timeouts of single paths.",
    ),
    Field::new(
        "mode",
        Kind::Choice(&["http", "https", "tcp"]),
        "What it speaks; http with a proxy_port.",
    ),
    Field::new("monitoring", Kind::Any, LATER),
    Field::new("plugins", Kind::Any, LATER),
    Field::new("port", Kind::Any, LATER),
    Field::new(
        "proxied_through",
        Kind::Text,
        "Another namespace that requests go through.",
    ),
    Field::new(
        "proxy_port",
        PORT,
        "The port of the load balancers; without one it is not load balanced.",
    )
    .or_null(),
    Field::new(
        "retries",
        Kind::Whole(Range::within(0.0, 100.0)),
        "How often a connection is tried again.",
    )
    .or(Whole(1)),
    Field::new(
        "routes",
        Kind::List(&ROUTES),
        "Which locations are served by which, [{source, destinations}].",
    ),
    Field::new(
        "timeout_client_ms",
        MILLISECONDS,
        "Milliseconds of silence of a client.",
    )
    .or(Whole(1000)),
    Field::new(
        "timeout_connect_ms",
        MILLISECONDS,
        "Milliseconds to connect to a backend.",
    )
    .or(Whole(200)),
    Field::new(
        "timeout_server_ms",
        MILLISECONDS,
        "Milliseconds of silence of a backend.",
    )
    .or(Whole(1000)),
    Field::new(
        "updown_timeout_s",
        SECONDS,
        "Seconds to wait for a backend to come or go.",
    ),
    Field::new("vip_upgrade", Kind::Any, LATER),
];

static ROUTES: Kind = Kind::Map(&ROUTE);

static ROUTE: Table = Table::open(
    "a route",
    &[
        Field::new(
            "destinations",
            Kind::List(&Kind::Text),
            "Where they are served, TYPE:LOCATION.",
        )
        .required(),
        Field::new(
            "source",
            Kind::Text,
            "Where requests come from, TYPE:LOCATION.",
        )
        .required(),
    ],
);

static HEADERS: Entries = Entries {
    about: "headers",
    names: None,
    templates: false,
    kind: Kind::Text,
    filled: false,
};

static ADVERTISE: Entries = Entries {
    about: "locations, by the location that they are announced for",
    kind: Kind::List(&Kind::Text),
    ..HEADERS
};

/// Requests from a location, and the locations that serve them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where they come from, `type:location`.
    pub source: String,
    /// Where they are served.
    pub destinations: Vec<String>,
}

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
    /// What the body of a check must hold.
    pub healthcheck_body_expect: Option<String>,
    /// Headers of the checks.
    pub extra_healthcheck_headers: BTreeMap<String, String>,
    /// Headers of every request.
    pub extra_headers: BTreeMap<String, String>,
    /// Milliseconds to wait for a backend to come or go.
    pub updown_timeout_ms: Option<u64>,
    /// The location types in which backends are announced.
    pub advertise: Vec<String>,
    /// Further locations, by the location whose backends are announced there.
    pub extra_advertise: BTreeMap<String, Vec<String>>,
    /// The location type from which clients choose their backends; also what replicas are spread
    /// over.
    pub discover: String,
    /// Milliseconds to connect to a backend.
    pub timeout_connect_ms: u64,
    /// Milliseconds of silence of a backend.
    pub timeout_server_ms: u64,
    /// Milliseconds of silence of a client.
    pub timeout_client_ms: u64,
    /// The longest of the timeouts of single paths, in milliseconds.
    pub longest_timeout_ms: Option<u64>,
    /// How often a connection is retried.
    pub retries: u32,
    /// Whether a retry goes to another backend at once.
    pub allredisp: bool,
    /// `leastconn` or `roundrobin`.
    pub balance: String,
    /// Which locations are served by which.
    pub routes: Vec<Route>,
    /// Another namespace that requests go through.
    pub proxied_through: Option<String>,
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
        if !matches!(entry.node.value, Value::Map(_) | Value::Null) {
            let message = format!("expected a map, found {}", entry.node.describe());
            problems.push(entry.node.mark.error(name, message).by(Rule::Type));
        }
        let mut record = Record::open(fields, &NAMESPACE, name, &entry.key, &mut problems);
        let namespace = decode(&mut record);
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

fn decode(fields: &mut Record<'_, '_>) -> Namespace {
    let proxy_port = fields.port("proxy_port");
    let mode = fields.text("mode");
    let mode = mode.as_deref().and_then(Mode::from_name);
    let check = fields.text("healthcheck_mode");
    let texts = |entries: Vec<(&str, &Node)>| -> BTreeMap<String, String> {
        let pairs = entries.into_iter();
        pairs
            .filter_map(|(name, node)| Some((name.to_owned(), node.as_text()?.to_owned())))
            .collect()
    };
    Namespace {
        proxy_port,
        mode: mode.or(proxy_port.map(|_| Mode::Http)),
        healthcheck_mode: check.as_deref().and_then(Mode::from_name),
        healthcheck_uri: fields.text("healthcheck_uri").unwrap_or_default(),
        healthcheck_port: fields.port("healthcheck_port"),
        healthcheck_timeout_ms: fields.seconds("healthcheck_timeout_s").unwrap_or_default(),
        healthcheck_body_expect: fields.text("healthcheck_body_expect"),
        extra_healthcheck_headers: texts(fields.entries("extra_healthcheck_headers")),
        extra_headers: texts(fields.entries("extra_headers")),
        updown_timeout_ms: fields.seconds("updown_timeout_s"),
        advertise: fields.texts("advertise").unwrap_or_default(),
        extra_advertise: extra_advertise(fields),
        discover: fields.text("discover").unwrap_or_default(),
        timeout_connect_ms: fields.whole("timeout_connect_ms").unwrap_or_default(),
        timeout_server_ms: fields.whole("timeout_server_ms").unwrap_or_default(),
        timeout_client_ms: fields.whole("timeout_client_ms").unwrap_or_default(),
        longest_timeout_ms: fields.whole("longest_timeout_ms"),
        retries: fields.whole32("retries").unwrap_or_default(),
        allredisp: fields.boolean("allredisp").unwrap_or_default(),
        balance: fields.text("balance").unwrap_or_default(),
        routes: routes(fields),
        proxied_through: fields.text("proxied_through"),
    }
}

fn extra_advertise(fields: &mut Record<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let mut extra = BTreeMap::new();
    for (from, node) in fields.entries("extra_advertise") {
        if let Value::List(items) = &node.value {
            let texts = items.iter().filter_map(Node::as_text);
            extra.insert(from.to_owned(), texts.map(str::to_owned).collect());
        }
    }
    extra
}

fn routes(fields: &mut Record<'_, '_>) -> Vec<Route> {
    let mut routes = Vec::new();
    for (n, _, map) in fields.maps("routes") {
        let mut route = fields.below(&format!("routes[{n}]"), map, &ROUTE);
        if let (Some(source), Some(destinations)) =
            (route.text("source"), route.texts("destinations"))
        {
            routes.push(Route {
                source,
                destinations,
            });
        }
    }
    routes
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
