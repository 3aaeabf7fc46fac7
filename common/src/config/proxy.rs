//! The section `agent.proxy`: the host's load balancer.

use std::net::{IpAddr, Ipv4Addr};

use crate::soa::{
    node::Node,
    table::{
        Default::{Said, Text as Word, Whole as Int},
        Field, Kind, Pattern, Range, Record, Shape, Table,
    },
};

/// The address that clients inside containers use, by PaaSTA's habit.
pub const YOCALHOST: Ipv4Addr = Ipv4Addr::new(169, 254, 255, 254);

static PATH: Pattern = Pattern {
    fits: |path| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        path.starts_with('/') && path.len() <= 80 && path.chars().all(fine)
    },
    regex: "^/[A-Za-z0-9/._-]{0,79}$",
    rule: "must be an absolute path of at most 80 letters, digits and '/._-'",
};

static ADDRESSES: Kind = Kind::Shape(&Shape {
    expected: "an IP address",
    fits: |node| address(node).is_some(),
    schema: r#"{"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}"#,
});

pub(super) static PROXY: Table = Table::warning(
    "the host's load balancer, HAProxy; without this section there is none",
    &[
        Field::new(
            "addresses",
            Kind::List(&ADDRESSES),
            "Where clients of this host find services, at the proxy_port of each.",
        )
        .or(Said("[127.0.0.1, 169.254.255.254]")),
        Field::new(
            "hard_stop_seconds",
            Kind::Whole(Range::within(1.0, 86_400.0)),
            "Seconds until connections that a reload left to an old worker are cut.",
        )
        .or(Int(600)),
        Field::new(
            "max_connections",
            Kind::Whole(Range::within(10.0, 1_000_000.0)),
            "Connections of clients at a time, at most; each needs two file descriptors.",
        )
        .or(Int(10_000)),
        Field::new(
            "program",
            Kind::Pattern(&PATH),
            "The path of HAProxy, version 2.6 or later.",
        )
        .or(Word("/usr/sbin/haproxy")),
        Field::new(
            "run_dir",
            Kind::Pattern(&PATH),
            "The directory of its sockets, which the agent makes.",
        )
        .or(Word("/run/paasta-proxy")),
        Field::new(
            "stats_port",
            Kind::Whole(Range::within(1.0, 65_535.0)),
            "The port on loopback of its statistics page, and of its metrics at /metrics.",
        )
        .or(Int(3_212)),
        Field::new(
            "threads",
            Kind::Whole(Range::within(1.0, 64.0)),
            "Threads of a worker.",
        )
        .or(Int(2)),
    ],
);

/// Settings of the host's load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `addresses`: where clients of this host find services. Default `127.0.0.1` and
    /// `169.254.255.254`.
    pub addresses: Vec<IpAddr>,
    /// `hard_stop_seconds`: until connections that a reload left to an old worker are cut, 1 s to
    /// a day. Default 600.
    pub hard_stop_seconds: u32,
    /// `max_connections`: of clients at a time, 10 to 1,000,000. Default 10,000.
    pub max_connections: u32,
    /// `program`: the path of HAProxy. Default `/usr/sbin/haproxy`.
    pub program: String,
    /// `run_dir`: the directory of its sockets. Default `/run/paasta-proxy`.
    pub run_dir: String,
    /// `stats_port`: the port on loopback of its statistics and metrics. Default 3212.
    pub stats_port: u16,
    /// `threads`: of a worker, 1 to 64. Default 2.
    pub threads: u16,
}

impl ProxyConfig {
    /// `None` without the section: there is no load balancer.
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Option<Self> {
        let mut section = fields.map("proxy")?;
        let addresses = section.good("addresses").is_some();
        let listed = section.list("addresses").unwrap_or_default();
        let listed: Vec<IpAddr> = listed.iter().filter_map(address).collect();
        Some(Self {
            addresses: match addresses {
                true => listed,
                false => vec![Ipv4Addr::LOCALHOST.into(), YOCALHOST.into()],
            },
            hard_stop_seconds: section.whole32("hard_stop_seconds").unwrap_or_default(),
            max_connections: section.whole32("max_connections").unwrap_or_default(),
            program: section.text("program").unwrap_or_default(),
            run_dir: section.text("run_dir").unwrap_or_default(),
            stats_port: section.port("stats_port").unwrap_or_default(),
            threads: section.port("threads").unwrap_or_default(),
        })
    }
}

fn address(node: &Node) -> Option<IpAddr> {
    node.as_text()?.parse().ok()
}
