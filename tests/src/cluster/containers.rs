//! What the dockerds of the hosts say, whatever paasta says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::hosts::Host;

/// A dockerd that works answers a list within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// The name of its host.
    pub host: String,
    /// Its full id.
    pub id: String,
    /// `running`, `exited`, `created` and so on.
    pub state: String,
    /// The app it belongs to, by its label.
    pub app: String,
    /// The replica it belongs to, by its label.
    pub replica: String,
    /// Where it answers, while it runs with a published port.
    pub address: Option<SocketAddr>,
}

impl Container {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }
}

/// Every container of the instance, dead or alive, on these hosts; a host whose dockerd does not
/// answer is an error.
pub fn containers<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    id: &str,
) -> Result<Vec<Container>> {
    let (service, instance) = id.split_once('.').context("expected SERVICE.INSTANCE")?;
    let filters = json!({"label": [
        format!("paasta_service={service}"),
        format!("paasta_instance={instance}"),
    ]});
    let mut found = Vec::new();
    for host in hosts {
        for listed in list(&host.socket, &filters).with_context(|| host.name.clone())? {
            found.push(read(host, &listed)?);
        }
    }
    Ok(found)
}

/// The ids of those that run.
pub fn running_ids(containers: &[Container]) -> BTreeSet<String> {
    containers
        .iter()
        .filter(|container| container.runs())
        .map(|container| container.id.clone())
        .collect()
}

/// How many run, by host.
pub fn running_by_host(containers: &[Container]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for container in containers.iter().filter(|container| container.runs()) {
        *counts.entry(container.host.clone()).or_default() += 1;
    }
    counts
}

/// What `docker ps` asks, without the cost of starting it: tests ask many times a second.
fn list(socket: &Path, filters: &Value) -> Result<Vec<Value>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let filters: String = filters
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    // Version 1.0, so that the body is not chunked.
    let request =
        format!("GET /containers/json?all=1&filters={filters} HTTP/1.0\r\nHost: docker\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("dockerd closed the connection")?;
    ensure!(
        head.split(' ').nth(1) == Some("200"),
        "dockerd said {answer}"
    );
    Ok(serde_json::from_str(body)?)
}

fn read(host: &Host, listed: &Value) -> Result<Container> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&listed["Id"]);
    ensure!(id.len() == 64, "not a container: {listed}");
    let labels = &listed["Labels"];
    Ok(Container {
        host: host.name.clone(),
        id,
        state: text(&listed["State"]),
        app: text(&labels["paasta_app"]),
        replica: text(&labels["paasta_replica"]),
        address: published(&listed["Ports"]).map(|port| SocketAddr::new(IpAddr::V4(host.ip), port)),
    })
}

/// The first port of the host that leads into the container.
fn published(ports: &Value) -> Option<u16> {
    let ports = ports.as_array()?;
    let port = ports.iter().find_map(|port| port["PublicPort"].as_u64())?;
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_port_is_found() {
        let exposed = json!({"PrivatePort": 8888, "Type": "tcp"});
        let published_too = json!({"PrivatePort": 8888, "PublicPort": 31234, "Type": "tcp"});
        assert_eq!(published(&json!([exposed, published_too])), Some(31234));
        assert_eq!(published(&json!([exposed])), None);
        assert_eq!(published(&Value::Null), None);
    }
}
