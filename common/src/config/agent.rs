//! The section `agent`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{AGENT_HTTP_DEFAULT, COORDINATOR_LISTEN_DEFAULT, texts};
use crate::{
    id::HostId,
    soa::{
        decode::{Fields, Range},
        node::Value,
    },
};

const TIB: f64 = 1_099_511_627_776.0;

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
    /// `http_listen`: `ADDRESS:PORT` of `/metrics`, or `off`. Default `127.0.0.1:7403`.
    pub http_listen: String,
    /// `state_dir`: the ledger, sandboxes and logs. Default `/var/lib/paasta-agent`.
    pub state_dir: String,
    /// `port_range`: the first and last host port given to containers. Default
    /// `[31000, 32000]`.
    pub port_range: (u16, u16),
    /// `cpus`: cores offered, in thousandths. Default: what the host has.
    pub cpus_milli: Option<u64>,
    /// `mem_mb`: memory offered, in MiB. Default: what the host has.
    pub mem_mb: Option<u64>,
    /// `disk_mb`: disk offered, in MiB. Default: what the file system of `state_dir` has.
    pub disk_mb: Option<u64>,
    /// `gpus`: whole GPUs offered. Default 0.
    pub gpus: Option<u64>,
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
}

impl AgentConfig {
    pub(super) fn decode(fields: &mut Fields<'_, '_>) -> Self {
        let amount = Range::within(1.0, 1.0e12);
        let coordinators = fields.texts("coordinators");
        Self {
            host_id: host_id(fields),
            address: fields.text("address"),
            coordinators: coordinators
                .filter(|list| !list.is_empty())
                .unwrap_or_else(|| vec![COORDINATOR_LISTEN_DEFAULT.to_owned()]),
            pool: fields.text("pool").unwrap_or_else(|| "default".to_owned()),
            attributes: match fields.map("attributes") {
                Some(mut attributes) => texts(&mut attributes),
                None => BTreeMap::new(),
            },
            docker_socket: fields
                .text("docker_socket")
                .unwrap_or_else(|| "/var/run/docker.sock".to_owned()),
            http_listen: fields
                .text("http_listen")
                .unwrap_or_else(|| AGENT_HTTP_DEFAULT.to_owned()),
            state_dir: fields
                .text("state_dir")
                .unwrap_or_else(|| "/var/lib/paasta-agent".to_owned()),
            port_range: port_range(fields),
            cpus_milli: fields
                .number("cpus", Range::above(0.0, 100_000.0))
                .map(|cpus| (cpus * 1000.0).round() as u64),
            mem_mb: fields.whole("mem_mb", amount),
            disk_mb: fields.whole("disk_mb", amount),
            gpus: fields.whole("gpus", Range::within(0.0, 1024.0)),
            reap_age_seconds: fields
                .whole("reap_age_seconds", Range::within(0.0, 86_400.0))
                .unwrap_or(300),
            max_parallel: fields
                .whole32("max_parallel", Range::within(1.0, 1000.0))
                .unwrap_or(16),
            engine_timeout_seconds: fields
                .whole("engine_timeout_seconds", Range::within(1.0, 600.0))
                .unwrap_or(60),
            log_max_bytes: fields
                .whole("log_max_bytes", Range::within(4096.0, 1_073_741_824.0))
                .unwrap_or(10 * 1024 * 1024),
            log_max_files: fields
                .whole32("log_max_files", Range::within(1.0, 100.0))
                .unwrap_or(5),
            pids_limit: fields
                .whole("pids_limit", Range::within(0.0, 4_194_304.0))
                .unwrap_or(4_096),
            new_privileges: fields.boolean("new_privileges").unwrap_or(false),
            dns: name_servers(fields),
            dns_search: fields.texts("dns_search").unwrap_or_default(),
            log_budget_bytes: fields
                .whole("log_budget_bytes", Range::within(0.0, TIB))
                .unwrap_or(1 << 30),
            sandbox_budget_bytes: fields
                .whole("sandbox_budget_bytes", Range::within(0.0, TIB))
                .unwrap_or(1 << 30),
            image_budget_bytes: fields
                .whole("image_budget_bytes", Range::within(0.0, 100.0 * TIB))
                .unwrap_or(20 << 30),
            image_min_age_seconds: fields
                .whole("image_min_age_seconds", Range::within(0.0, 2_592_000.0))
                .unwrap_or(3_600),
            image_keep_per_service: fields
                .whole32("image_keep_per_service", Range::within(0.0, 1000.0))
                .unwrap_or(2),
        }
    }
}

fn name_servers(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let servers = fields.texts("dns").unwrap_or_default();
    for server in &servers {
        if let Some(node) = fields.node("dns")
            && server.parse::<IpAddr>().is_err()
        {
            let message = format!("{server:?} is not an IP address");
            fields.error("dns", &node.mark, message);
        }
    }
    servers
}

fn host_id(fields: &mut Fields<'_, '_>) -> Option<HostId> {
    let text = fields.text("host_id")?;
    match (HostId::new(&text), fields.node("host_id")) {
        (Ok(id), _) => Some(id),
        (Err(error), Some(node)) => {
            fields.error("host_id", &node.mark, error.to_string());
            None
        }
        (Err(_), None) => None,
    }
}

fn port_range(fields: &mut Fields<'_, '_>) -> (u16, u16) {
    let default = (31_000, 32_000);
    let (Some(node), Some(items)) = (fields.node("port_range"), fields.list("port_range")) else {
        return default;
    };
    let ports: Vec<u16> = items
        .iter()
        .filter_map(|item| match item.value {
            Value::Int(port) => u16::try_from(port).ok().filter(|port| *port > 0),
            _ => None,
        })
        .collect();
    match (&ports[..], items.len()) {
        (&[first, last], 2) if first <= last => (first, last),
        _ => {
            let message = "expected [FIRST, LAST], two ports from 1 to 65535 in this order";
            fields.error("port_range", &node.mark, message);
            default
        }
    }
}
