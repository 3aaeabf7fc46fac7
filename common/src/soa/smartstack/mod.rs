//! `smartstack.yaml`: the namespaces under which a service is announced to the load balancers.
//! Keys of PaaSTA that do nothing here are in the table, too, and a warning names each; any other
//! key is warned of.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    marathon::Mode,
    node::{Map, Node, Value},
    table::Record,
};
use crate::{
    id::IdError,
    problem::{Problem, Rule, Severity},
    smartstack::{self, Balance, Chaos, ChaosFail, Location, NamespaceOptions},
};

mod table;

use table::{CHAOS_FAULT, NAMESPACE, ROUTE};

pub use table::NAMESPACES;

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// What it speaks: http when there is a port and nothing else is said.
    pub mode: Option<Mode>,
    /// What its checks speak, when that differs.
    pub healthcheck_mode: Option<Mode>,
    /// The path of its checks.
    pub healthcheck_uri: String,
    /// What proxies and endpoints need of it.
    pub options: NamespaceOptions,
}

/// Every namespace of a service, or what is wrong with it.
pub type Namespaces = BTreeMap<String, Result<Namespace, Vec<Problem>>>;

/// Takes the namespaces out of a file's tree.
pub fn namespaces(root: &Node) -> Namespaces {
    each(root)
        .into_iter()
        .map(|(name, namespace, problems)| {
            let broken = problems.iter().any(|one| one.severity == Severity::Error);
            let result = match broken {
                true => Err(problems),
                false => Ok(namespace),
            };
            (name, result)
        })
        .collect()
}

/// Notes every way in which the namespaces of a file are wrong, and each key that does nothing.
pub fn check(root: &Node, problems: &mut Vec<Problem>) {
    let found = each(root).into_iter().flat_map(|(_, _, found)| found);
    let known: BTreeSet<Problem> = problems.iter().cloned().collect();
    problems.extend(found.filter(|problem| !known.contains(problem)));
}

fn each(root: &Node) -> Vec<(String, Namespace, Vec<Problem>)> {
    let entries = root.as_map().into_iter().flat_map(|map| &map.entries);
    let mut all = Vec::new();
    for (name, entry) in entries.filter(|(name, _)| !name.starts_with('_')) {
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
        conflicts(&mut record, &namespace);
        unsupported(&mut record);
        all.push((name.clone(), namespace, problems));
    }
    all
}

/// Whether the text has the form `service.namespace`.
pub fn is_registration(text: &str) -> bool {
    smartstack::Namespace::new(text).is_ok()
}

/// A time as HAProxy writes it, in milliseconds rounded up: a whole number with its unit, else of
/// milliseconds; 24 hours at most.
fn delay_ms(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = match digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() < 10 {
        true => digits.parse().ok()?,
        false => return None,
    };
    let ms = match &text[digits.len()..] {
        "us" => number.div_ceil(1_000),
        "ms" | "" => number,
        "s" => number * 1_000,
        "m" => number * 60_000,
        "h" => number * 3_600_000,
        _ => return None,
    };
    u32::try_from(ms)
        .ok()
        .filter(|ms| *ms <= smartstack::MS_MAX)
}

fn decode(fields: &mut Record<'_, '_>) -> Namespace {
    let options = options(fields);
    let mode = fields.text("mode");
    let mode = mode.as_deref().and_then(|mode| match mode {
        "http2" => Some(Mode::Tcp),
        mode => Mode::from_name(mode),
    });
    let check = fields.text("healthcheck_mode");
    Namespace {
        mode: mode.or(options.proxy_port.map(|_| Mode::Http)),
        healthcheck_mode: check.as_deref().and_then(Mode::from_name),
        healthcheck_uri: fields.text("healthcheck_uri").unwrap_or_default(),
        options,
    }
}

fn options(fields: &mut Record<'_, '_>) -> NamespaceOptions {
    let default = NamespaceOptions::default();
    let (client, server) = (
        fields.good("timeout_client_ms"),
        fields.good("timeout_server_ms"),
    );
    let mut timeout_client_ms = fields.whole32("timeout_client_ms").unwrap_or_default();
    let mut timeout_server_ms = fields.whole32("timeout_server_ms").unwrap_or_default();
    if client.is_some() != server.is_some() {
        // PaaSTA's rule: when one of the two is given, the longer one counts for both.
        timeout_client_ms = timeout_client_ms.max(timeout_server_ms);
        timeout_server_ms = timeout_client_ms;
    }
    let advertise = parsed(fields.texts("advertise").unwrap_or_default());
    let discover = fields.text("discover").and_then(|text| text.parse().ok());
    NamespaceOptions {
        proxy_port: fields.port("proxy_port"),
        mode: match fields.text("mode").as_deref() {
            Some("https") => smartstack::Mode::Https,
            Some("http2") => smartstack::Mode::Http2,
            Some("tcp") => smartstack::Mode::Tcp,
            _ => smartstack::Mode::Http,
        },
        balance: balance(fields),
        timeout_connect_ms: fields.whole32("timeout_connect_ms").unwrap_or_default(),
        timeout_client_ms,
        timeout_server_ms,
        retries: fields
            .whole32("retries")
            .and_then(|n| n.try_into().ok())
            .unwrap_or(1),
        allredisp: fields.boolean("allredisp").unwrap_or_default(),
        retry_requests: fields.boolean("retry_requests").unwrap_or_default(),
        keepalive: fields.boolean("keepalive").unwrap_or(true),
        extra_headers: texts(fields.entries("extra_headers")),
        endpoint_timeouts: endpoint_timeouts(fields),
        proxied_through: fields
            .text("proxied_through")
            .and_then(|text| text.parse().ok()),
        chaos: chaos(fields),
        advertise: advertise.into_iter().collect(),
        discover: discover.unwrap_or(default.discover),
        extra_advertise: extra_advertise(fields),
    }
}

/// The texts that have their form; the others were noted when the record was opened.
fn parsed<T: std::str::FromStr<Err = IdError>>(texts: Vec<String>) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn texts<K, V>(entries: Vec<(&str, &Node)>) -> BTreeMap<K, V>
where
    K: std::str::FromStr<Err = IdError> + Ord,
    V: std::str::FromStr<Err = IdError>,
{
    let pairs = entries.into_iter();
    pairs
        .filter_map(|(name, node)| Some((name.parse().ok()?, node.as_text()?.parse().ok()?)))
        .collect()
}

fn balance(fields: &mut Record<'_, '_>) -> Balance {
    let given = fields.good("balance").is_some();
    match (
        fields.text("balance").as_deref(),
        fields.text("lb_policy").as_deref(),
    ) {
        (Some("roundrobin"), _) if given => Balance::RoundRobin,
        (_, Some("ROUND_ROBIN")) if !given => Balance::RoundRobin,
        (_, Some("RANDOM")) if !given => Balance::Random,
        _ => Balance::LeastConn,
    }
}

fn endpoint_timeouts(fields: &mut Record<'_, '_>) -> BTreeMap<smartstack::Path, u32> {
    let entries = fields.entries("endpoint_timeouts").into_iter();
    entries
        .filter_map(|(path, node)| {
            let ms = node.number()? as u32;
            Some((path.parse().ok()?, ms))
        })
        .collect()
}

fn chaos(
    fields: &mut Record<'_, '_>,
) -> BTreeMap<smartstack::LocationType, BTreeMap<smartstack::LocationName, Chaos>> {
    let mut chaos = BTreeMap::new();
    for (kind, group) in fields.entries("chaos") {
        let (Ok(typed), Some(group)) = (kind.parse(), group.as_map()) else {
            continue;
        };
        let mut faults = BTreeMap::new();
        for (name, entry) in &group.entries {
            let (Ok(location), Some(map)) = (name.parse(), entry.node.as_map()) else {
                continue;
            };
            let mut fault = fields.below(&format!("chaos.{kind}.{name}"), map, &CHAOS_FAULT);
            let fail = fault.text("fail").and_then(|fail| match fail.as_str() {
                "drop" => Some(ChaosFail::Drop),
                "error_503" => Some(ChaosFail::Error503),
                _ => None,
            });
            let delay = fault.text("delay").and_then(|text| delay_ms(&text));
            let delay_ms = delay.unwrap_or_default();
            faults.insert(location, Chaos { fail, delay_ms });
        }
        chaos.insert(typed, faults);
    }
    chaos
}

fn extra_advertise(fields: &mut Record<'_, '_>) -> BTreeMap<Location, BTreeSet<Location>> {
    let mut extra: BTreeMap<Location, BTreeSet<Location>> = BTreeMap::new();
    let mut add = |from: &str, to: &mut dyn Iterator<Item = String>| {
        if let Ok(from) = from.parse() {
            let to = to.filter_map(|text| text.parse().ok());
            extra.entry(from).or_default().extend(to);
        }
    };
    for (from, node) in fields.entries("extra_advertise") {
        if let Value::List(items) = &node.value {
            let texts = items.iter().filter_map(Node::as_text);
            add(from, &mut texts.map(str::to_owned));
        }
    }
    for (n, _, map) in fields.maps("routes") {
        let mut route = fields.below(&format!("routes[{n}]"), map, &ROUTE);
        if let (Some(source), Some(destinations)) =
            (route.text("source"), route.texts("destinations"))
        {
            add(&source, &mut destinations.into_iter());
        }
    }
    extra
}

/// Notes what two fields together make wrong, and what is beyond its bound.
fn conflicts(fields: &mut Record<'_, '_>, namespace: &Namespace) {
    let options = &namespace.options;
    if let Err(error) = options.check()
        && let Some(node) = fields.node(error.field)
    {
        let message = format!("holds {}, expected at most {}", error.found, error.max);
        fields.error(error.field, &node.mark, Rule::Range, message);
    }
    if !options.advertise.contains(&options.discover) && options.proxy_port.is_some() {
        let key = if fields.has("discover") {
            "discover"
        } else {
            "advertise"
        };
        if let Some(node) = fields.node(key) {
            let message = format!(
                "{} is not among advertise: no client would find a backend; add it there",
                options.discover
            );
            fields.warn(key, &node.mark, Rule::Conflict, message);
        }
    }
    if options.mode.is_read() {
        return;
    }
    let fails = |chaos: &Chaos| chaos.fail == Some(ChaosFail::Error503);
    let answers = options
        .chaos
        .values()
        .flat_map(|group| group.values())
        .any(fails);
    for (key, given) in [
        ("endpoint_timeouts", !options.endpoint_timeouts.is_empty()),
        ("extra_headers", !options.extra_headers.is_empty()),
        ("proxied_through", options.proxied_through.is_some()),
        ("retry_requests", options.retry_requests),
        ("chaos", answers),
    ] {
        if let Some(node) = fields.node(key).filter(|_| given) {
            let message = format!(
                "needs mode http: with mode {} the proxies do not read requests; remove one",
                options.mode.as_str()
            );
            fields.error(key, &node.mark, Rule::Conflict, message);
        }
    }
}

/// Fields that are understood and do nothing here, each with what is there instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("choice_count", "balance decides"),
    ("clb_proxy", "there is no such load balancer"),
    ("extra_healthcheck_headers", "the agent's checks send none"),
    ("fixed_delay", "use chaos"),
    (
        "healthcheck_body_expect",
        "a check looks at the status only",
    ),
    ("healthcheck_port", "checks go to the replica's own port"),
    (
        "healthcheck_timeout_s",
        "healthcheck_timeout_seconds of the instance counts",
    ),
    ("idle_timeout", "timeout_client_ms counts"),
    (
        "is_proxy",
        "proxied_through of the other namespace is enough",
    ),
    ("longest_timeout_ms", "endpoint_timeouts count"),
    ("monitoring", "monitoring.yaml counts"),
    ("plugins", "the proxies load none"),
    ("port", "the replica's own port counts"),
    ("updown_timeout_s", "replicas come and go at once"),
    ("vip_upgrade", "there is no such load balancer"),
];

fn unsupported(fields: &mut Record<'_, '_>) {
    for (key, instead) in UNSUPPORTED {
        if let Some(node) = fields.node(key) {
            let message = format!("does nothing here: {instead}; remove it");
            fields.warn(key, &node.mark, Rule::Unsupported, message);
        }
    }
    let hashes = ["RING_HASH", "MAGLEV"];
    let policy = fields.text("lb_policy").unwrap_or_default();
    if let (true, Some(node)) = (hashes.contains(&policy.as_str()), fields.node("lb_policy")) {
        let message = "does nothing here: servers that come and go need leastconn, roundrobin or \
                       random, and leastconn is used";
        fields.warn("lb_policy", &node.mark, Rule::Unsupported, message);
    }
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
        assert_eq!(
            (main.options.retries, main.options.timeout_connect_ms),
            (1, 200)
        );
        assert_eq!(main.options.discover.as_str(), "region");
        let worker = found["worker"].as_ref().unwrap();
        assert_eq!((worker.options.proxy_port, worker.mode), (None, None));
        let bad = &found["bad"].as_ref().unwrap_err()[0];
        assert_eq!((bad.line, bad.field.as_str()), (Some(6), "bad.mode"));
        assert!(bad.message.contains("http, https, http2, tcp"), "{bad}");
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

    /// What one namespace of these fields comes to, and its problems.
    fn one(fields: &str) -> (NamespaceOptions, Vec<String>) {
        let root = yaml::parse("s/smartstack.yaml", &format!("main:\n{fields}")).unwrap();
        let (_, namespace, problems) = each(&root).remove(0);
        let texts = problems.iter().map(ToString::to_string).collect();
        (namespace.options, texts)
    }

    #[test]
    fn options_are_typed_and_one_timeout_counts_for_both() {
        let (options, problems) = one("  proxy_port: 1\n  timeout_server_ms: 60000\n  \
             lb_policy: ROUND_ROBIN\n  keepalive: false\n  \
             endpoint_timeouts: {/a: 5}\n  extra_headers: {X-A: b}\n  \
             chaos: {region: {us: {fail: error_503, delay: 1500us}}}\n  \
             extra_advertise: {'region:a': ['region:b']}\n  \
             routes: [{source: 'region:a', destinations: ['region:c']}]\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            (options.timeout_client_ms, options.timeout_server_ms),
            (60_000, 60_000)
        );
        assert_eq!(
            (options.balance, options.keepalive),
            (Balance::RoundRobin, false)
        );
        let chaos = options.chaos_at(|_| Some("us".to_owned())).unwrap();
        assert_eq!((chaos.fail, chaos.delay_ms), (Some(ChaosFail::Error503), 2));
        assert_eq!(options.chaos_at(|_| Some("eu".to_owned())), None);
        let extra = &options.extra_advertise[&"region:a".parse().unwrap()];
        assert_eq!(extra.len(), 2);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let (_, problems) = one(
            "  proxy_port: 1\n  mode: tcp\n  extra_headers: {X-A: b}\n  \
             healthcheck_port: 80\n  lb_policy: MAGLEV\n  discover: habitat\n",
        );
        let starts = [
            "s/smartstack.yaml:7:13: main.discover: habitat is not among advertise",
            "s/smartstack.yaml:4:18: main.extra_headers: needs mode http",
            "s/smartstack.yaml:5:21: main.healthcheck_port: does nothing here",
            "s/smartstack.yaml:6:14: main.lb_policy: does nothing here",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }
}
