//! The section `agent`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    AGENT_HTTP_DEFAULT, COORDINATOR_LISTEN_DEFAULT, TEXTS,
    listen::{LISTEN, http_listen, listen},
    proxy::{PROXY, ProxyConfig},
    texts,
    tls::{PATH, TLS, TlsConfig},
};
use crate::{
    disk::DiskLimits,
    id::HostId,
    soa::{
        node::{Node, Value},
        table::{
            Default::{Bool, Said, Text as Word, Texts, Whole as Int},
            Field, Kind, Pattern, Range, Record, Shape, Table,
        },
    },
};

const TIB: f64 = 1_099_511_627_776.0;
const AMOUNT: Kind = Kind::Whole(Range::within(1.0, 1.0e12));

static HOST_ID: Pattern = Pattern {
    fits: |text| HostId::new(text).is_ok(),
    regex: "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,252}$",
    rule: "use letters, digits, '.', '_' and '-' for a host's id, and begin with a letter or digit",
};

/// YAML reads `off` without quotes as a boolean.
static DISK_LIMITS: Shape = Shape {
    expected: "watch, storage-driver or off",
    fits: |node| disk_limits(node).is_some(),
    schema: r#"{"anyOf": [{"const": false}, {"enum": ["watch", "storage-driver", "off"]}]}"#,
};

static NAME_SERVERS: Kind = Kind::Shape(&Shape {
    expected: "an IP address",
    fits: |node| {
        let text = node.as_text();
        text.is_some_and(|text| text.parse::<IpAddr>().is_ok())
    },
    schema: r#"{"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}"#,
});

/// That the first is not above the last is more than a schema can say.
static PORT_RANGE: Shape = Shape {
    expected: "[FIRST, LAST], two ports from 1 to 65535 in this order",
    fits: |node| ports(node).is_some(),
    schema: r#"{"type": "array", "minItems": 2, "maxItems": 2,
        "items": {"type": "integer", "minimum": 1, "maximum": 65535}}"#,
};

pub(super) static AGENT: Table = Table::warning(
    "the settings of paasta-agent",
    &[
        Field::new(
            "address",
            Kind::Text,
            "Where its containers' ports are reached.",
        )
        .or(Said("the address by which it reaches the coordinators")),
        Field::new(
            "attributes",
            Kind::Entries(&TEXTS),
            "What constraints may name: habitat, region and so on.",
        )
        .or(Said("none")),
        Field::new(
            "coordinators",
            Kind::List(&Kind::Text),
            "HOST:PORT of any coordinators, tried in turn.",
        )
        .or(Texts(COORDINATOR_LISTEN_DEFAULT)),
        Field::new(
            "cpus",
            Kind::Number(Range::above(0.0, 100_000.0)),
            "Cores offered.",
        )
        .or(Said("all that the host has")),
        Field::new(
            "disk_limits",
            Kind::Shape(&DISK_LIMITS),
            "What is done about the disk of an instance: watch (the agent measures what runs use, \
             and ends one that uses more), storage-driver (the storage driver refuses more, where \
             it can), or off.",
        )
        .or(Word("watch")),
        Field::new(
            "disk_look_seconds",
            Kind::Whole(Range::within(5.0, 3_600.0)),
            "Seconds from one measurement of the disk that runs use to the next.",
        )
        .or(Int(60)),
        Field::new("disk_mb", AMOUNT, "Disk offered, in MiB.")
            .or(Said("what the file system of state_dir has")),
        Field::new(
            "dns",
            Kind::List(&NAME_SERVERS),
            "Name servers of containers whose author names none.",
        )
        .or(Said("none, which leaves it to dockerd")),
        Field::new(
            "dns_search",
            Kind::List(&Kind::Text),
            "The domains in which those containers look up short names.",
        )
        .or(Said("none, which leaves it to dockerd")),
        Field::new("docker_socket", Kind::Text, "The path of dockerd's socket.")
            .or(Word("/var/run/docker.sock")),
        Field::new(
            "engine_timeout_seconds",
            Kind::Whole(Range::within(1.0, 600.0)),
            "Seconds that dockerd may take to make or to start a container, and half of them to \
             remove one.",
        )
        .or(Int(60)),
        Field::new(
            "exec",
            Kind::Bool,
            "Whether `paasta exec` runs commands in containers of this host; takes tls and \
             coordinator.exec.",
        )
        .or(Bool(false)),
        Field::new(
            "exec_max_seconds",
            Kind::Whole(Range::within(1.0, 86_400.0)),
            "Seconds that a command of `paasta exec` may run.",
        )
        .or(Int(3_600)),
        Field::new(
            "gpus",
            Kind::Whole(Range::within(0.0, 1024.0)),
            "Whole GPUs offered.",
        )
        .or(Said("0")),
        Field::new(
            "hacheck_listen",
            Kind::Shape(&LISTEN),
            "ADDRESS:PORT of hacheck's protocol (hacheck's own port is 6666 or 3333), or off.",
        )
        .or(Word("off")),
        Field::new(
            "host_id",
            Kind::Pattern(&HOST_ID),
            "This host's id, unique in the cluster.",
        )
        .or(Said("its host name")),
        Field::new(
            "http_listen",
            Kind::Shape(&LISTEN),
            "ADDRESS:PORT of /metrics, or off. An address other than loopback takes tls, and \
             speaks it.",
        )
        .or(Word(AGENT_HTTP_DEFAULT)),
        Field::new(
            "http_tokens_file",
            Kind::Pattern(&PATH),
            "The file of the bearer tokens of HTTP: a line ROLE NAME SHA256 EXPIRES for each.",
        )
        .or(Said("none, and no token is taken")),
        Field::new(
            "identity_dir",
            Kind::Text,
            "The directory of its certificate and key, where `tls` is not given: `join` writes \
             them there.",
        )
        .or(Said("identity in state_dir")),
        Field::new(
            "image_budget_bytes",
            Kind::Whole(Range::within(0.0, 100.0 * TIB)),
            "Bytes of the images of services; what nothing needs is removed to keep to it.",
        )
        .or(Int(20 << 30)),
        Field::new(
            "image_keep_per_service",
            Kind::Whole(Range::within(0.0, 1000.0)),
            "So many images of each service stay, the last used ones.",
        )
        .or(Int(2)),
        Field::new(
            "image_min_age_seconds",
            Kind::Whole(Range::within(0.0, 2_592_000.0)),
            "Seconds from its last use until an image may be removed.",
        )
        .or(Int(3_600)),
        Field::new(
            "join_token_file",
            Kind::Text,
            "A file with a join token. When it starts without an identity it joins with the token \
             by the `coordinators`, then removes the file.",
        )
        .or(Said("none")),
        Field::new(
            "log_budget_bytes",
            Kind::Whole(Range::within(0.0, TIB)),
            "Bytes of all captured output; that of containers that are gone is removed to keep \
             to it.",
        )
        .or(Int(1 << 30)),
        Field::new(
            "log_max_bytes",
            Kind::Whole(Range::within(4096.0, 1_073_741_824.0)),
            "Bytes of one log file of a container until it is rotated.",
        )
        .or(Int(10 << 20)),
        Field::new(
            "log_max_files",
            Kind::Whole(Range::within(1.0, 100.0)),
            "How many such files are kept of each output of a container.",
        )
        .or(Int(5)),
        Field::new(
            "max_parallel",
            Kind::Whole(Range::within(1.0, 1000.0)),
            "Container operations at the same time.",
        )
        .or(Int(16)),
        Field::new("mem_mb", AMOUNT, "Memory offered, in MiB.").or(Said("all that the host has")),
        Field::new(
            "new_privileges",
            Kind::Bool,
            "Whether setuid programs (sudo, ping) work inside containers.",
        )
        .or(Bool(false)),
        Field::new(
            "pids_limit",
            Kind::Whole(Range::within(0.0, 4_194_304.0)),
            "Processes and threads of one container, at most; 0 for no limit.",
        )
        .or(Int(4_096)),
        Field::new("pool", Kind::Text, "The pool of hosts that it belongs to.").or(Word("default")),
        Field::new(
            "port_range",
            Kind::Shape(&PORT_RANGE),
            "The first and the last host port given to containers.",
        )
        .or(Said("[31000, 32000]")),
        Field::new(
            "proxy",
            Kind::Map(&PROXY),
            "The host's load balancer; `{}` is one with all defaults.",
        )
        .or(Said("none")),
        Field::new(
            "reap_age_seconds",
            Kind::Whole(Range::within(0.0, 86_400.0)),
            "Seconds until a container that no assignment accounts for is removed.",
        )
        .or(Int(300)),
        Field::new(
            "sandbox_budget_bytes",
            Kind::Whole(Range::within(0.0, TIB)),
            "Bytes of the sandboxes of containers that are gone.",
        )
        .or(Int(1 << 30)),
        Field::new(
            "state_dir",
            Kind::Text,
            "The directory of the ledger, the sandboxes and the logs.",
        )
        .or(Word("/var/lib/paasta-agent")),
        Field::new(
            "tls",
            Kind::Map(&TLS),
            "The files of its TLS; without it those in identity_dir, and without these coordinators \
             are reached on loopback only.",
        )
        .or(Said("none")),
    ],
);

/// Settings of `paasta-agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// `host_id`: this host's id, unique in the cluster. Default: its host name.
    pub host_id: Option<HostId>,
    /// `address`: where its containers' ports are reached. Default: the address by which it
    /// reaches the coordinators.
    pub address: Option<String>,
    /// `coordinators`: `HOST:PORT` of any coordinators, tried in turn. Default `127.0.0.1:7401`.
    pub coordinators: Vec<String>,
    /// `pool`: the pool it belongs to. Default `default`.
    pub pool: String,
    /// `attributes`: what constraints may name, `habitat`, `region` and so on. Default none.
    pub attributes: BTreeMap<String, String>,
    /// `docker_socket`: the path of dockerd's socket. Default `/var/run/docker.sock`.
    pub docker_socket: String,
    /// `hacheck_listen`: `ADDRESS:PORT` of hacheck's protocol, or `off`. Default `off`.
    pub hacheck_listen: String,
    /// `http_listen`: `ADDRESS:PORT` of `/metrics`, or `off`. Default `127.0.0.1:7403`.
    pub http_listen: String,
    /// `http_tokens_file`: the absolute path of the file of the bearer tokens of HTTP, by their
    /// digests. Default none, and no token is taken.
    pub http_tokens_file: Option<String>,
    /// `state_dir`: the ledger, sandboxes and logs. Default `/var/lib/paasta-agent`.
    pub state_dir: String,
    /// `port_range`: the first and last host port given to containers. Default
    /// `[31000, 32000]`.
    pub port_range: (u16, u16),
    /// `cpus`: cores offered, in thousandths. Default: what the host has.
    pub cpus_milli: Option<u64>,
    /// `mem_mb`: memory offered, in MiB. Default: what the host has.
    pub mem_mb: Option<u64>,
    /// `disk_limits`: what is done about the `disk` of an instance. Default `watch`.
    pub disk_limits: DiskLimits,
    /// `disk_look_seconds`: from one measurement of the disk that runs use to the next, 5 s to an
    /// hour. Default 60.
    pub disk_look_seconds: u64,
    /// `disk_mb`: disk offered, in MiB. Default: what the file system of `state_dir` has.
    pub disk_mb: Option<u64>,
    /// `exec`: whether `paasta exec` runs commands in containers of this host. Default false.
    pub exec: bool,
    /// `exec_max_seconds`: how long such a command may run, 1 to 86,400. Default 3,600.
    pub exec_max_seconds: u64,
    /// `gpus`: whole GPUs offered. Default 0.
    pub gpus: Option<u64>,
    /// `proxy`: the host's load balancer. Default none.
    pub proxy: Option<ProxyConfig>,
    /// `reap_age_seconds`: an orphan container is removed when it is older than this, 0 to a
    /// day. Default 300.
    pub reap_age_seconds: u64,
    /// `max_parallel`: container operations at the same time, 1 to 1,000. Default 16.
    pub max_parallel: u32,
    /// `engine_timeout_seconds`: how long making, starting or, in half of it, removing a container
    /// may take, 1 to 600. Default 60.
    pub engine_timeout_seconds: u64,
    /// `log_max_bytes`: of one log file of a container before it is rotated, 4 KiB to 1 GiB.
    /// Default 10 MiB.
    pub log_max_bytes: u64,
    /// `log_max_files`: how many such files are kept of each output of a container, 1 to 100.
    /// Default 5.
    pub log_max_files: u32,
    /// `pids_limit`: processes and threads of one container, at most; 0 for no limit, up to
    /// 4,194,304. Default 4096.
    pub pids_limit: u64,
    /// `new_privileges`: whether setuid programs (sudo, ping) work inside containers. Default
    /// false.
    pub new_privileges: bool,
    /// `dns`: IP addresses of the name servers of containers whose author names none. Default
    /// none, which leaves it to dockerd.
    pub dns: Vec<String>,
    /// `dns_search`: the domains in which those containers look up short names. Default none,
    /// which leaves it to dockerd.
    pub dns_search: Vec<String>,
    /// `log_budget_bytes`: of all captured output; that of containers that are gone is removed,
    /// the oldest first, to keep to it, 0 to 1 TiB. Default 1 GiB.
    pub log_budget_bytes: u64,
    /// `sandbox_budget_bytes`: of the sandboxes of containers that are gone; the oldest go first,
    /// 0 to 1 TiB. Default 1 GiB.
    pub sandbox_budget_bytes: u64,
    /// `image_budget_bytes`: of the images of services from `docker_registry`; what nothing needs
    /// is removed, the longest unused first, to keep to it, 0 to 100 TiB. Default 20 GiB.
    pub image_budget_bytes: u64,
    /// `image_min_age_seconds`: an image that was in use within this time stays, 0 to 30 days.
    /// Default an hour.
    pub image_min_age_seconds: u64,
    /// `image_keep_per_service`: so many images of each service stay, the last used, 0 to 1,000.
    /// Default 2.
    pub image_keep_per_service: u32,
    /// `tls`: the files of its TLS. Default none: those in `identity_dir`, or plain text, on
    /// loopback only.
    pub tls: Option<TlsConfig>,
    /// `identity_dir`: where `join` writes its certificate and key. Default: `identity` in
    /// `state_dir`.
    pub identity_dir: Option<String>,
    /// `join_token_file`: a join token to use at the first start. Default none.
    pub join_token_file: Option<String>,
    /// Whether `coordinators` was given: else an agent that joined knows them from then.
    pub coordinators_given: bool,
}

impl AgentConfig {
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Self {
        let coordinators = fields.texts("coordinators").unwrap_or_default();
        let given = fields.node("coordinators").is_some();
        Self {
            host_id: fields.text("host_id").and_then(|id| HostId::new(&id).ok()),
            address: fields.text("address"),
            coordinators: match coordinators.is_empty() {
                true => vec![COORDINATOR_LISTEN_DEFAULT.to_owned()],
                false => coordinators,
            },
            pool: fields.text("pool").unwrap_or_default(),
            attributes: texts(&fields.entries("attributes")),
            docker_socket: fields.text("docker_socket").unwrap_or_default(),
            hacheck_listen: listen(fields, "hacheck_listen"),
            http_listen: http_listen(fields),
            http_tokens_file: fields.text("http_tokens_file"),
            state_dir: fields.text("state_dir").unwrap_or_default(),
            port_range: fields
                .good("port_range")
                .and_then(ports)
                .unwrap_or((31_000, 32_000)),
            cpus_milli: fields
                .number("cpus")
                .map(|cpus| (cpus * 1000.0).round() as u64),
            mem_mb: fields.whole("mem_mb"),
            disk_limits: fields
                .good("disk_limits")
                .and_then(disk_limits)
                .unwrap_or_default(),
            disk_look_seconds: fields.whole("disk_look_seconds").unwrap_or_default(),
            disk_mb: fields.whole("disk_mb"),
            exec: fields.boolean("exec").unwrap_or_default(),
            exec_max_seconds: fields.whole("exec_max_seconds").unwrap_or_default(),
            gpus: fields.whole("gpus"),
            proxy: ProxyConfig::decode(fields),
            reap_age_seconds: fields.whole("reap_age_seconds").unwrap_or_default(),
            max_parallel: fields.whole32("max_parallel").unwrap_or_default(),
            engine_timeout_seconds: fields.whole("engine_timeout_seconds").unwrap_or_default(),
            log_max_bytes: fields.whole("log_max_bytes").unwrap_or_default(),
            log_max_files: fields.whole32("log_max_files").unwrap_or_default(),
            pids_limit: fields.whole("pids_limit").unwrap_or_default(),
            new_privileges: fields.boolean("new_privileges").unwrap_or_default(),
            dns: fields.texts("dns").unwrap_or_default(),
            dns_search: fields.texts("dns_search").unwrap_or_default(),
            log_budget_bytes: fields.whole("log_budget_bytes").unwrap_or_default(),
            sandbox_budget_bytes: fields.whole("sandbox_budget_bytes").unwrap_or_default(),
            image_budget_bytes: fields.whole("image_budget_bytes").unwrap_or_default(),
            image_min_age_seconds: fields.whole("image_min_age_seconds").unwrap_or_default(),
            image_keep_per_service: fields.whole32("image_keep_per_service").unwrap_or_default(),
            tls: TlsConfig::decode(fields),
            identity_dir: fields.text("identity_dir"),
            join_token_file: fields.text("join_token_file"),
            coordinators_given: given,
        }
    }

    /// The directory of its identity.
    #[must_use]
    pub fn identity_dir(&self) -> String {
        let within = || format!("{}/identity", self.state_dir.trim_end_matches('/'));
        self.identity_dir.clone().unwrap_or_else(within)
    }
}

fn disk_limits(node: &Node) -> Option<DiskLimits> {
    match &node.value {
        Value::Bool(false) => Some(DiskLimits::Off),
        Value::Text(word) => word.parse().ok(),
        _ => None,
    }
}

fn ports(node: &Node) -> Option<(u16, u16)> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let port = |item: &Node| match item.value {
        Value::Int(port) => u16::try_from(port).ok().filter(|port| *port > 0),
        _ => None,
    };
    let [first, last] = &items[..] else {
        return None;
    };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}
