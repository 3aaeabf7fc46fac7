//! HAProxy's configuration as text: a pure function of the settings and the wanted servers. Every
//! value of a service author in it is a number, a word of this file or a text whose type has a
//! closed set of characters ([`paasta_common::smartstack`]).

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

pub use paasta_common::endpoints::{ProxyProblem, ProxyProblemKind};
use paasta_common::smartstack::{
    Balance, Chaos, ChaosFail, MS_MAX, Mode, Namespace, NamespaceOptions,
};

use super::wanted::{Server, ServerName, Service, Wanted, WantedNamespace};

/// What every server is checked by: a connection now and then, and every second once something is
/// wrong. Ten requests in a row that found no connection take it out at once.
pub const CHECKS: &str = "check inter 600s fastinter 1s downinter 200ms rise 1 fall 2 \
                          observe layer4 error-limit 10 on-error mark-down";

/// The operator's settings of the load balancer, and the paths of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// The addresses that clients connect to, at the port of each namespace.
    pub addresses: Vec<IpAddr>,
    /// Where HAProxy answers for its statistics and metrics; none where that port is taken.
    pub stats: Option<SocketAddr>,
    /// Connections at a time, at most.
    pub max_connections: u32,
    /// Threads.
    pub threads: u16,
    /// How long an old worker may finish what it has after a reload, in seconds.
    pub hard_stop_seconds: u32,
    /// The socket of the runtime API.
    pub api_socket: String,
    /// The socket that takes its log.
    pub log_socket: String,
    /// The user and group that its worker runs as; none leaves them as they are.
    pub user: Option<String>,
    /// The location of this host, by type.
    pub location: BTreeMap<String, String>,
}

/// Namespaces that are not served as wanted.
pub type Problems = BTreeMap<Namespace, ProxyProblem>;

/// The namespaces that get a frontend, and the problems of those that the set itself rules out.
pub fn servable<'a>(
    settings: &ProxySettings,
    wanted: &'a Wanted,
    refused: &Problems,
) -> (BTreeMap<&'a Namespace, &'a WantedNamespace>, Problems) {
    let mut ports: BTreeMap<u16, &Namespace> = BTreeMap::new();
    let (mut served, mut problems) = (BTreeMap::new(), refused.clone());
    for (name, namespace) in &wanted.namespaces {
        let Some(port) = namespace.options.proxy_port else {
            continue;
        };
        if settings.stats.is_some_and(|stats| stats.port() == port) {
            let detail = format!(
                "proxy_port {port} is the port of the load balancer's own statistics; choose \
                 another, or set agent.proxy.stats_port"
            );
            let kind = ProxyProblemKind::PortShared;
            problems.insert(name.clone(), ProxyProblem { kind, detail });
        } else if let Some(first) = ports.get(&port) {
            let detail = format!("proxy_port {port} is {first}'s already; choose another");
            let kind = ProxyProblemKind::PortShared;
            problems.insert(name.clone(), ProxyProblem { kind, detail });
        } else {
            ports.insert(port, name);
            if !refused.contains_key(name) {
                served.insert(name, namespace);
            }
        }
    }
    for (name, namespace) in &served {
        if let Some(through) = &namespace.options.proxied_through
            && !served.contains_key(through)
        {
            let detail = format!(
                "proxied_through: {through} is not served on this host, so requests go to \
                 {name} itself; give {through} a proxy_port, or remove the option"
            );
            let kind = ProxyProblemKind::OptionRefused;
            problems.insert((*name).clone(), ProxyProblem { kind, detail });
        }
    }
    (served, problems)
}

/// A configuration: all that a reload changes, and with it the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The fingerprint of all but the servers. The running HAProxy shows the one that it loaded.
    pub fingerprint: String,
    /// The whole text.
    pub text: String,
}

/// The configuration of what is wanted, without the refused namespaces.
pub fn rendered(settings: &ProxySettings, wanted: &Wanted, refused: &Problems) -> Config {
    config(settings, &servable(settings, wanted, refused).0)
}

/// Writes the configuration for these namespaces.
pub fn config(settings: &ProxySettings, served: &BTreeMap<&Namespace, &WantedNamespace>) -> Config {
    let globals = globals(settings);
    let (mut structure, mut sections) = (Fingerprint::new(), String::new());
    structure.add(&globals);
    for (name, namespace) in served {
        let Some(port) = namespace.options.proxy_port else {
            continue;
        };
        let through = namespace.options.proxied_through.as_ref();
        let through = through.filter(|through| served.contains_key(through));
        let begin = sections.len();
        frontend(
            &mut sections,
            settings,
            (name, port),
            &namespace.options,
            through,
        );
        backend(&mut sections, name, &namespace.options);
        structure.add(&sections[begin..]);
        for (name, server) in namespace.by_name() {
            server_line(&mut sections, name, server);
        }
    }
    let fingerprint = structure.to_string();
    let described = format!("global\n    description {fingerprint}\n");
    let mut text = String::from(
        "# Written by paasta-agent: changes are overwritten. docs/operate/load-balancer.md\n",
    );
    text.push_str(&globals.replacen("global\n", &described, 1));
    text.push_str(&sections);
    Config { fingerprint, text }
}

/// Without `close-spread-time`: clients that keep a connection must leave an old worker soon, as it
/// does not have the servers that come after it.
fn globals(settings: &ProxySettings) -> String {
    let ProxySettings {
        max_connections,
        threads,
        hard_stop_seconds,
        api_socket,
        log_socket,
        ..
    } = settings;
    let stats = settings.stats.map_or_else(String::new, |stats| {
        format!(
            "frontend paasta_stats\n    mode http\n    bind {stats}\n    timeout client 30s\n    \
             stats enable\n    stats uri /\n    \
             http-request use-service prometheus-exporter if {{ path /metrics }}\n"
        )
    });
    let user = match &settings.user {
        Some(user) => format!("    user {user}\n    group {user}\n"),
        None => String::new(),
    };
    format!(
        "global\n    maxconn {max_connections}\n    no strict-limits\n    nbthread {threads}\n    \
         stats socket {api_socket} mode 600 level admin\n    stats timeout 60s\n    \
         hard-stop-after {hard_stop_seconds}s\n    mworker-max-reloads 25\n    spread-checks 50\n    tune.bufsize 32768\n    \
         log {log_socket} len 2048 format raw local0 info\n{user}\
         defaults\n    log global\n    option dontlognull\n    option dontlog-normal\n    \
         timeout check 2s\n{stats}"
    )
}

/// The longest timeout stands for none.
fn ms(timeout: u32) -> u32 {
    match timeout {
        0 => MS_MAX,
        timeout => timeout,
    }
}

fn frontend(
    text: &mut String,
    settings: &ProxySettings,
    (name, port): (&Namespace, u16),
    options: &NamespaceOptions,
    through: Option<&Namespace>,
) {
    let _ = writeln!(text, "frontend {name}:{port}");
    let mut line = |words: &str| {
        let _ = writeln!(text, "    {words}");
    };
    let http = options.mode.is_read();
    line(if http { "mode http" } else { "mode tcp" });
    for address in &settings.addresses {
        line(&format!("bind {}", SocketAddr::new(*address, port)));
    }
    line(if http {
        "option httplog"
    } else {
        "option tcplog"
    });
    line(&format!(
        "timeout client {}ms",
        ms(options.timeout_client_ms)
    ));
    if http && !options.keepalive {
        line("option httpclose");
    }
    let location = |kind: &paasta_common::smartstack::LocationType| {
        settings.location.get(kind.as_str()).cloned()
    };
    if let Some(chaos) = options.chaos_at(location) {
        for rule in chaos_rules(chaos) {
            line(&rule);
        }
    }
    if let Some(through) = through {
        // The proxy's own requests come with the header, and go to the servers.
        line(&format!(
            "acl from_proxy req.hdr(X-Smartstack-Source) -i {through}"
        ));
        line(&format!("acl has_proxy nbsrv({through}) gt 0"));
        line("http-request set-var(txn.through) bool(true) if !from_proxy has_proxy");
        let goes = "if { var(txn.through) -m bool }";
        line(&format!(
            "http-request set-header X-Smartstack-Destination {name} {goes}"
        ));
        line(&format!(
            "http-request set-header X-Smartstack-Source {through} {goes}"
        ));
        line(&format!("use_backend {through} {goes}"));
    }
    line(&format!("default_backend {name}"));
}

fn chaos_rules(chaos: Chaos) -> Vec<String> {
    let mut rules = Vec::new();
    let waits = chaos.delay_ms > 0;
    if waits {
        rules.push(format!("tcp-request inspect-delay {}ms", chaos.delay_ms));
    }
    match (chaos.fail, waits) {
        (Some(ChaosFail::Drop), true) => {
            rules.push("tcp-request content reject if WAIT_END".to_owned());
        }
        (Some(ChaosFail::Drop), false) => rules.push("tcp-request connection reject".to_owned()),
        (_, true) => rules.push("tcp-request content accept if WAIT_END".to_owned()),
        (_, false) => {}
    }
    if chaos.fail == Some(ChaosFail::Error503) {
        rules.push("http-request deny deny_status 503".to_owned());
    }
    rules
}

fn backend(text: &mut String, name: &Namespace, options: &NamespaceOptions) {
    let _ = writeln!(text, "backend {name}");
    let mut line = |words: &str| {
        let _ = writeln!(text, "    {words}");
    };
    let http = options.mode == Mode::Http;
    line(if http { "mode http" } else { "mode tcp" });
    line(match options.balance {
        Balance::LeastConn => "balance leastconn",
        Balance::RoundRobin => "balance roundrobin",
        Balance::Random => "balance random",
    });
    line(&format!(
        "timeout connect {}ms",
        ms(options.timeout_connect_ms)
    ));
    line(&format!(
        "timeout server {}ms",
        ms(options.timeout_server_ms)
    ));
    line(&format!("retries {}", options.retries));
    line(match options.allredisp {
        true => "option redispatch 1",
        false => "option redispatch",
    });
    if http && options.retry_requests {
        line("retry-on all-retryable-errors");
    }
    if http {
        for (header, value) in &options.extra_headers {
            line(&format!("http-request set-header {header} \"{value}\""));
        }
        // The last rule that fits counts, so that the longest path wins.
        for (path, timeout) in &options.endpoint_timeouts {
            let fits = match path.as_str() {
                "/" => "path",
                _ => "path_beg",
            };
            let timeout = ms(*timeout);
            line(&format!(
                "http-request set-timeout server {timeout}ms if {{ {fits} {path} }}"
            ));
        }
    }
    line(&format!("default-server {CHECKS}"));
}

fn server_line(text: &mut String, name: ServerName, server: &Server) {
    let Server { at, weight, .. } = server;
    let backup = if server.backup { " backup" } else { "" };
    let disabled = match server.service {
        Service::Up => "",
        Service::Drain | Service::Down => " disabled",
    };
    let _ = writeln!(
        text,
        "    server {name} {at} weight {weight}{backup}{disabled}"
    );
}

/// FNV-1a of 64 bits: it tells configurations apart, and is no defence against anything.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paasta-{:016x}", self.0)
    }
}
