//! What the dockerds of the hosts say, whatever paasta says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use crate::hosts::Host;

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
    let mut found = Vec::new();
    for host in hosts {
        let listed = host.docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            &format!("label=paasta_service={service}"),
            "--filter",
            &format!("label=paasta_instance={instance}"),
            "--format",
            "{{.ID}}\t{{.State}}\t{{.Label \"paasta_app\"}}\t{{.Label \"paasta_replica\"}}\t{{.Ports}}",
        ])?;
        for line in listed.lines() {
            found.push(parse(host, line)?);
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

fn parse(host: &Host, line: &str) -> Result<Container> {
    // The last field is empty for a container without ports, and lines are trimmed.
    let mut fields: Vec<&str> = line.split('\t').collect();
    fields.resize(5, "");
    let [id, state, app, replica, ports] = fields[..] else {
        unreachable!("just resized to five");
    };
    ensure!(id.len() == 64, "not a container id: {line:?}");
    Ok(Container {
        host: host.name.clone(),
        id: id.to_owned(),
        state: state.to_owned(),
        app: app.to_owned(),
        replica: replica.to_owned(),
        address: published(ports).map(|port| SocketAddr::new(IpAddr::V4(host.ip), port)),
    })
}

/// The host's port in `0.0.0.0:31234->8888/tcp, [::]:31234->8888/tcp`.
fn published(ports: &str) -> Option<u16> {
    let (address, _) = ports.split(", ").find_map(|part| part.split_once("->"))?;
    address.rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_port_is_found() {
        assert_eq!(
            published("0.0.0.0:31234->8888/tcp, [::]:31234->8888/tcp"),
            Some(31234)
        );
        assert_eq!(published("8888/tcp"), None);
        assert_eq!(published(""), None);
    }
}
